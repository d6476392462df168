"""Every key of the spec in words, from the docstrings below the options' fields."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from jobs.spec import Spec, example

_WIDTH = 118


def template() -> str:
    """A job to begin with, as YAML, and below it a comment on every key."""
    lines = ["", "# Every key, what it means and what holds where it is left out (None: no value, or null):", "#"]
    for key, text in explained(Spec):
        lines += textwrap.wrap(
            f"{key}: {text}", _WIDTH, initial_indent="# ", subsequent_indent="#     ", break_on_hyphens=False
        )
    return example("template") + "\n".join(lines) + "\n"


def explained(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, description and default) of every key, in order; keys of a list's entries stand below ``[]``, and
    those of a model that several keys share at each of them."""
    for name, field in model.model_fields.items():
        inner = _inner(field.annotation)
        key = f"{above}{name}"
        yield key, f"{_plain(field.description or '')} {_default(field)}".strip()
        if inner is not None:
            many = "[]" if "tuple" in str(field.annotation) else ""
            yield from explained(inner, f"{key}{many}.")


def _plain(description: str) -> str:
    """A description on one line, its code unmarked."""
    return " ".join(description.replace("``", "").split())


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The options that a key holds, alone or in a list, if it holds any."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _inner(part))), None)


def _default(field: FieldInfo) -> str:
    """What holds where a key is left out, in brackets."""
    if field.default is PydanticUndefined:
        return "(must be given)" if field.is_required() else ""
    if isinstance(field.default, BaseModel) or field.default is None:
        return ""
    return f"(default: {json.dumps(field.default, default=str)})"
