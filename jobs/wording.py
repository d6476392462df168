"""Pydantic's validation problems in plain words: place, value, expectation, and the nearest valid name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel

_WORDS = {
    "string_type": "text, in quotes where it looks like a number",
    "string_too_short": "not empty",
    "int_": "a whole number",
    "float_": "a number",
    "bool_": "true or false",
    "date_": "a day such as 2024-03-01",
    "model_": "keys with values below it",
    "dict_": "keys with values below it",
    "tuple_": "a list of values",
    "finite_": "a finite number",
    "too_short": "at least one value",
}
"""Pydantic's kinds of problem, by the start of their names."""

_FORMS = {
    "name": "at most 63 lower-case letters, digits, hyphens and underscores, a letter or digit first",
    "model.train.name": "letters, digits, spaces and _ . - between them, a letter first",
    "model.train.device": "cpu, cuda or cuda:0",
}


def sentence(problem: Any, spec: type[BaseModel]) -> str:
    """One validation problem in the house's words: place, value, expectation."""
    path = [str(part) for part in problem["loc"] if not _is_branch(str(part))]
    place = ".".join(path) or "spec"
    if problem["type"] == "extra_forbidden":
        known = _keys_at(path[:-1], spec)
        near = difflib.get_close_matches(path[-1], known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known here are {', '.join(known)}"
        return f"{place}: unknown key; {hint}"
    if problem["type"] == "missing":
        index = problem["loc"][-1]
        if isinstance(index, int):
            return f"{place}: {problem['input']!r} has too few values: number {index + 1} is missing"
        return f"{place}: is missing; add it"
    shown = repr(problem["input"])
    value = f"{shown}; " if len(shown) < 80 else ""
    if problem["type"] == "value_error":
        return f"{place}: {problem['msg'].removeprefix('Value error, ')}"
    return f"{place}: {value}expected: {_expectation(problem, place)}"


def _expectation(problem: Any, place: str) -> str:
    """What would have been right, in plain words."""
    if problem["type"] == "string_pattern_mismatch":
        return _FORMS.get(place, f"text of the form {problem['ctx']['pattern']}")
    for start, words in _WORDS.items():
        if problem["type"].startswith(start):
            return words
    expected: str = problem["msg"].removeprefix("Input should be ").removeprefix("Value should ")
    if problem["type"] == "literal_error" and isinstance(problem["input"], str):
        near = difflib.get_close_matches(problem["input"], re.findall("'([^']+)'", expected), 1)
        expected += f"; did you mean {near[0]}?" if near else ""
    return expected


def _is_branch(part: str) -> bool:
    """Whether this part of pydantic's path is none that a person wrote: a single source is a list of one."""
    return part.isdigit() or part.startswith(("tuple[", "function-"))


def _keys_at(path: Sequence[str], model: type[BaseModel]) -> list[str]:
    """The keys the spec knows below a path."""
    for part in path:
        field = model.model_fields.get(part)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg))), None)
