"""A wrong spec is refused in seconds, with exit code 2, before a worker starts, in words that help to mend it.

Every case goes through the command line itself. What needs a catalogue uses real scenes and is skipped where they are
absent; the rest needs nothing but the spec.
"""

from __future__ import annotations

import copy
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from jobs.cli import main
from jobs.spec import Spec, example, load_spec
from tests.jobs.wrong_specs import BOX, PARSED, PLACED, REMOVED, Change, Wrong
from tests.servers.files import file_server
from tests.servers.process import free_port
from tests.servers.s3 import S3

PATIENCE_S = 30.0
pytestmark = pytest.mark.timeout(60)  # a spec that is accepted would start a job


def base(folder: Path, data: Path) -> dict[str, Any]:
    """Flanders, with outputs in ``folder`` and inputs in ``data``."""
    items = str(data / "items.ndjson")
    return {
        "name": "flanders-2018",
        "area": {"bbox": BOX},
        "season": {"start": "2018-01-01", "end": "2018-12-01", "step_days": 10},
        "grid": {"crs": "EPSG:32631", "resolution": 10, "tile_px": 32},
        "inputs": {
            "optical": {"catalog": items, "collection": "sentinel-2-l2a", "max_cloud": 90},
            "radar": {"catalog": items, "collection": "sentinel-1-grd"},
            "thermal": {"catalog": items, "collection": "landsat-c2-l2-st"},
        },
        "cube": {"uri": str(folder / "cube.zarr")},
        "model": {"uri": str(folder / "model")},
        "labels": {"uri": str(data / "labels.tif"), "legend": str(data / "legend.csv"), "block_m": 80},
        "output": {"uri": str(folder / "map")},
    }


def changed(spec: dict[str, Any], change: Change) -> dict[str, Any]:
    """The spec with dotted keys set, or removed."""
    spec = copy.deepcopy(spec)
    for key, value in change.items():
        *above, last = key.split(".")
        inner = spec
        for part in above:
            inner = inner.setdefault(part, {})
        if value is REMOVED:
            del inner[last]
        else:
            inner[last] = value
    return spec


def holds(said: str, words: tuple[str, ...]) -> None:
    """Each of the words is in what was said, capitals aside."""
    missing = [word for word in words if word.lower() not in said.lower()]
    assert not missing, f"{missing} not in: {said}"


class Refused:
    """Hands a YAML text to ``tilth submit``; what it said, once it has been refused as it should be."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys

    def __call__(self, spec: dict[str, Any] | str, *more: str) -> str:
        path = self.folder / "job.yaml"
        path.write_text(spec if isinstance(spec, str) else yaml.safe_dump(spec))
        self.monkeypatch.setattr(sys, "argv", ["tilth", "submit", str(path), *more])
        before, began = set(psutil.Process().children(recursive=True)), time.monotonic()
        with pytest.raises(SystemExit) as ended:
            main()
        said = self.capsys.readouterr().err
        assert ended.value.code == 2, said
        assert time.monotonic() - began < PATIENCE_S
        assert set(psutil.Process().children(recursive=True)) <= before, "a worker process was started"
        assert "ray" not in sys.modules or not sys.modules["ray"].is_initialized()
        assert not list(self.folder.rglob("_tilth/*.json")), "the run was pinned"
        assert "Traceback" not in said
        return said


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    return Refused(tmp_path, monkeypatch, capsys)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize("wrong", [*PARSED, *PLACED], ids=lambda wrong: wrong.name)
def test_a_wrong_spec_is_refused_with_value_place_and_remedy_before_a_worker_starts(
    wrong: Wrong, tmp_path: Path, refused: Refused, request: pytest.FixtureRequest
) -> None:
    data: Path = request.getfixturevalue("flanders") if wrong in PLACED else tmp_path
    change = wrong.change if isinstance(wrong.change, dict) else wrong.change(tmp_path, data)
    holds(refused(changed(base(tmp_path, data), change)), wrong.words)


def test_there_are_forty_five_ways_and_more() -> None:
    assert len({wrong.name for wrong in [*PARSED, *PLACED]}) >= 45


TEXTS = {
    "bad YAML": ("name: [x\narea: {", (), ("job.yaml", "cannot be read", "a YAML file")),
    "a list": ("- name: x\n- area: y\n", (), ("job.yaml", "a list", "keys with values", "tilth init")),
    "nothing": ("", (), ("job.yaml", "nothing", "keys with values", "tilth init")),
    "one key twice": ("name: a\ngrid: {}\nname: b\n", (), ("'name' is given twice", "line 1")),
    "--set without a value": ("name: a\n", ("--set", "grid.tile_px"), ("--set", "'grid.tile_px'", "key=value")),
    "--set below a value": ("name: a\n", ("--set", "name.first=b"), ("--set", "'name'", "holds a value")),
    "--set of bad YAML": ("name: a\n", ("--set", "area=[1,"), ("--set area", "'[1,'", "a YAML value")),
    "an object of Python": ("name: !!python/object:os.system {}\n", (), ("job.yaml", "cannot be read")),
}


@pytest.mark.parametrize("case", TEXTS)
def test_what_is_no_spec_at_all_is_refused(case: str, refused: Refused) -> None:
    text, more, words = TEXTS[case]
    holds(refused(text, *more), words)


def test_a_catalogue_that_answers_404_is_refused_with_its_address(
    tmp_path: Path, flanders: Path, refused: Refused
) -> None:
    with file_server(tmp_path) as server:
        url = f"{server.url}/catalog.json"
        said = refused(changed(base(tmp_path, flanders), {"inputs.radar.catalog": url}))
    holds(said, (url, "HTTP 404", "check the address"))


@pytest.mark.parametrize("key", ["output.uri", "cube.uri", "model.uri"])
def test_a_bucket_that_is_not_there_is_refused(
    key: str, tmp_path: Path, flanders: Path, s3: S3, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.env().items():
        monkeypatch.setenv(name, value)
    said = refused(changed(base(tmp_path, flanders), {key: "s3://no-such-bucket/here"}))
    holds(said, (key, "s3://no-such-bucket/here", "no such bucket", "create it first"))


def test_a_store_that_does_not_answer_is_refused_without_two_minutes_of_retries(
    tmp_path: Path, flanders: Path, s3: S3, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    for name, value in s3.at(endpoint).env().items():
        monkeypatch.setenv(name, value)
    said = refused(changed(base(tmp_path, flanders), {"output.uri": "s3://bucket/map"}))
    holds(said, ("endpoint of S3", endpoint, "nothing answers"))


def test_the_example_is_right_and_changes_reach_it(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(example("flanders"))
    spec = load_spec(str(path), ["grid.tile_px=64", "budget.max_hours=2", "labels=null", "season.as_of=2018-06-30"])
    assert (spec.grid.tile_px, spec.budget.max_hours, spec.labels) == (64, 2.0, None)
    assert spec.recipe().steps == 18
    assert spec.digest() == load_spec(str(path), ["grid.tile_px=64", "labels=null", "season.as_of=2018-06-30"]).digest()


def test_the_schema_names_every_section_of_the_spec() -> None:
    from jobs.spec import schema

    assert set(yaml.safe_load(schema())["properties"]) == set(Spec.model_fields)
