"""Every key of the spec is described, in the schema and in what ``tilth init`` writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from jobs.cli import app
from jobs.explained import explained, template
from jobs.spec import Spec, parse_spec, schema

SCHEMA = json.loads(schema())


def keys(node: Any, above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(dotted key, its part of the JSON Schema) of every key of the spec."""
    for name, part in node.get("properties", {}).items():
        yield f"{above}{name}", part
        for inner, many in held(part):
            yield from keys(inner, f"{above}{name}{many}.")


def held(part: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """The objects that a key holds, and the mark of a list."""
    for choice in (part, *part.get("anyOf", ())):
        if "$ref" in choice:
            yield SCHEMA["$defs"][choice["$ref"].rsplit("/", 1)[1]], ""
        if "$ref" in choice.get("items", {}):
            yield SCHEMA["$defs"][choice["items"]["$ref"].rsplit("/", 1)[1]], "[]"


KEYS = dict(keys(SCHEMA))


def test_there_are_as_many_keys_as_one_expects() -> None:
    assert len(KEYS) > 130 and "inputs.optical[].max_cloud" in KEYS and "model.train.cascade.alpha" in KEYS


@pytest.mark.parametrize("key", KEYS)
def test_every_key_has_a_description_in_the_schema(key: str) -> None:
    text = KEYS[key].get("description", "")
    assert len(text) > 10 and text.rstrip().endswith((".", ")")), f"give {key} a docstring of one sentence"


def test_init_writes_a_job_that_is_one_and_explains_every_key(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    done = CliRunner().invoke(app, ["init", str(path)])
    assert done.exit_code == 0, done.output
    text = path.read_text()
    assert text == template()
    parse_spec(yaml.load(text, yaml.BaseLoader))
    told = dict(explained(Spec))
    assert list(told) == list(KEYS)
    joined = " ".join(text.replace("\n#", " ").split())
    for key, words in told.items():
        assert f"{key}: {' '.join(words.split())}" in joined
