"""How what labels hold becomes codes: numbers as they are, names by the legend or, without one, in their order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from engine.colours import colours_of
from engine.errors import InputError
from engine.objects import absolute
from engine.samples.codes import column_codes, is_number, is_whole, number_of
from engine.samples.legend import Legend, legend_of_names, listed, read_legend, tidy
from engine.samples.options import LabelOptions, is_raster
from engine.vectors import VectorFile, file_identity, opened

_MOST_TOLD = 10
_BEYOND = 1_000_000
"""Names that a model does not know are numbered below minus this many."""


@dataclass(frozen=True)
class Coding:
    """What the labels of all seasons of a job mean.

    legend: None where no file names the codes and they are numbers. texts: what a column of text holds -> its code,
    below 0 where the legend does not know it. named: code -> its text where no legend names it.
    """

    legend: Legend | None = None
    texts: Mapping[str, int] = field(default_factory=dict)
    named: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """Sentences on how the labels were understood, for the audit."""

    def codes(self, values: pd.Series, column: str, place: str) -> NDArray[np.int64]:
        """Codes (n,) int64 of a column without missing values; InputError, with the row, for what is none."""
        if is_text(values):
            return np.array([self.texts[tidy(text)] for text in values.astype(str)], np.int64)
        self.refuse_numbers(f"column {column!r} holds numbers", place)
        return column_codes(_plain(values), column, place)

    def refuse_numbers(self, what: str, place: str) -> None:
        """InputError where the legend numbers its codes itself: numbers in labels are others."""
        if self.legend is not None and self.legend.numbered:
            raise InputError(
                what,
                expected="names or text codes of the legend, whose numbers are given by Tilth and are not the labels'",
                place=place,
                remedy="name a column of texts under labels.column, or give a legend of whole numbers",
            )

    def legend_for(self, codes: NDArray[np.int64]) -> Legend:
        """The legend; without one every code present is named after itself."""
        if self.legend is not None:
            return self.legend
        names = {int(code): self.named.get(int(code), f"class {code}") for code in np.unique(codes) if code}
        return Legend(names, colours_of(names))

    def name_of(self, code: int) -> str | None:
        """What legend or labels call a code, where they have a name for it."""
        return (self.legend.names if self.legend else {}).get(code) or self.named.get(code)

    def told(self, code: int) -> str:
        """A code as the labels write it: texts that the legend does not know have no number of their own."""
        return repr(self.named[code]) if code < 0 and code in self.named else str(code)


def is_text(values: pd.Series) -> bool:
    """Whether a column holds texts."""
    return pd.api.types.infer_dtype(_plain(values), skipna=True) == "string"


def _plain(values: pd.Series) -> pd.Series:
    """A column of categories as what these are."""
    return values.astype(values.cat.categories.dtype) if isinstance(values.dtype, pd.CategoricalDtype) else values


def coding_of(options: LabelOptions, known: Legend | None = None) -> Coding:
    """How the labels of all seasons become codes; InputError for a legend or texts that cannot be told apart.

    known: the classes of a model that is there, where labels are to judge it: names mean its codes.
    """
    legend = read_legend(absolute(options.legend)) if options.legend else None
    found = [_texts(file, column, file_identity(file.uri)) for file, column in _columns(options)]
    texts = sorted(frozenset[str]().union(*found) - _ignored(options))
    notes = legend.notes if legend else ()
    if known is not None:
        legend = _as_known(legend, known)
    if not texts:
        return Coding(legend, notes=notes)
    if all(map(is_number, texts)) and not (legend and legend.numbered):
        coding = _by_number(texts, legend, f"labels.column of {', '.join(options.uris)}")
    else:
        coding = _by_name(texts, legend)
    ignored = dict.fromkeys(_ignored(options), 0)
    return replace(coding, texts={**coding.texts, **ignored}, notes=(*notes, *coding.notes))


def _by_number(texts: Sequence[str], legend: Legend | None, place: str) -> Coding:
    """The coding of texts that are all numbers: these."""
    numbers = {text: _number(text, place) for text in texts}
    return Coding(legend, numbers, {code: f"class {text}" for text, code in numbers.items()}, _zeros(numbers, place))


def _by_name(texts: Sequence[str], legend: Legend | None) -> Coding:
    """The coding of texts by the legend's names and text codes; without a legend they are numbered in their order."""
    notes = list(_alike(texts))
    if mixed := [text for text in texts if is_number(text)]:
        notes.append(f"labels: numbers stand among the names, such as {mixed[0]!r}; they are taken as names")
    if legend is None:
        names = dict(enumerate(texts, 1))
        legend = legend_of_names(names)
        notes.append(f"labels: classes are named by text and numbered in the order of their names: {listed(names)}")
    codes = {text: code for text in texts if (code := _known_code(text, legend)) is not None}
    outside = {text: -number for number, text in enumerate((text for text in texts if text not in codes), 1)}
    return Coding(legend, codes | outside, {number: text for text, number in outside.items()}, tuple(notes))


def _columns(options: LabelOptions) -> list[tuple[VectorFile, str]]:
    """File and column of the polygons of every season."""
    seasons = [*([options] if options.uri else []), *(options.of(season) for season in options.seasons)]
    return [(one.file, one.column) for one in seasons if one.uri and not is_raster(one.uri)]


@lru_cache(maxsize=64)
def _texts(file: VectorFile, column: str, _digest: str) -> frozenset[str]:
    """The texts of a column, of rows with a geometry; none of a column of numbers."""
    texts: set[str] = set()
    with opened(file, [column]) as found:
        for batch in found.batches:
            there = pd.Series(batch.columns[column].to_pandas().to_numpy())[~shapely.is_missing(batch.geometry.shapes)]
            values = there[there.notna()]
            if is_text(values):
                texts.update(tidy(text) for text in values.unique())
    return frozenset(texts)


def _known_code(text: str, legend: Legend) -> int | None:
    """The code that a text stands for in a legend."""
    if text in legend.texts:
        return legend.texts[text]
    number = int(text.partition(".")[0]) if is_whole(text) and not legend.numbered else None
    return number if number in legend.names else None


def _as_known(legend: Legend | None, known: Legend) -> Legend:
    """The legend with the codes that a model's classes have, where either numbers its codes itself: names tell which
    is which, and a class that the model has not is below 0."""
    if legend is None or not (legend.numbered or known.numbered):
        return legend or known
    codes = {name: code for code, name in known.names.items()}
    beyond = -_BEYOND - len(legend.names)

    def moved(code: int, name: str) -> int:
        return code if known.names.get(code) == name else codes.get(name, beyond + code % _BEYOND)

    code_of = {code: moved(code, name) for code, name in legend.names.items()}
    return replace(
        legend,
        names={code_of[code]: name for code, name in legend.names.items()},
        colours={code_of[code]: colour for code, colour in legend.colours.items()},
        texts={text: code_of[code] for text, code in legend.texts.items()},
        numbered=True,
    )


def _number(text: str, place: str) -> int:
    if not is_whole(text):
        raise InputError(
            f"holds {text!r}", expected="whole numbers from 0 on, or names", place=place,
            remedy="write codes in full; spreadsheets shorten long ones to 3.3E+09",
        )  # fmt: skip
    return number_of(text, "the column", place)


def _zeros(numbers: Mapping[str, int], place: str) -> tuple[str, ...]:
    """A sentence on leading zeros; InputError where two texts would become one code."""
    written: defaultdict[int, list[str]] = defaultdict(list)
    for text, code in sorted(numbers.items()):
        written[code].append(text)
    for code, texts in written.items():
        if len({text.partition(".")[0].lstrip("+") for text in texts}) > 1:
            raise InputError(
                f"{texts[0]!r} and {texts[1]!r} are both the number {code}", expected="one way to write each code",
                place=place, remedy="write them alike, or give names that are no numbers",
            )  # fmt: skip
    zeros = [text for text in numbers if text.startswith("0") and len(text.partition(".")[0]) > 1]
    told = ", ".join(f"{text!r} as {numbers[text]}" for text in sorted(zeros)[:_MOST_TOLD])
    return (f"labels: codes with leading zeros are read as numbers: {told}",) if zeros else ()


def _ignored(options: LabelOptions) -> set[str]:
    """Texts that mean: not labelled."""
    return {"", *(tidy(str(one)) for one in options.ignore)}


def _alike(texts: Sequence[str]) -> Iterable[str]:
    """Sentences on names that differ in upper case or inner space alone."""
    same: defaultdict[str, list[str]] = defaultdict(list)
    for text in texts:
        same["".join(text.casefold().split())].append(text)
    return [
        f"labels: {' and '.join(map(repr, alike))} are taken as classes of their own"
        for alike in same.values()
        if len(alike) > 1
    ]
