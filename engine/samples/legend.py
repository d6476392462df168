"""The legend: a CSV that names the codes of labels, and may give each a colour."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import fsspec

from engine.colours import colours_of
from engine.errors import InputError
from engine.samples.codes import is_number, is_whole, number_of

_COLUMNS = {"color": "colour"}
"""Other spellings of a legend's columns."""


@dataclass(frozen=True)
class Legend:
    """Names and colours of codes. A class without a colour in the file has one that its code gives."""

    names: Mapping[int, str]
    colours: Mapping[int, str]
    texts: Mapping[str, int] = field(default_factory=dict)
    """What text labels may hold for a code: the code as it is written, or the name where one code alone has it."""
    numbered: bool = False
    """Whether the codes were given here, because the labels or the legend have names or letters in their place."""
    notes: tuple[str, ...] = ()
    """Sentences on what a person may want to know of it."""


@dataclass(frozen=True)
class _Row:
    """One line of the file."""

    line: int
    code: str
    name: str
    colour: str


def tidy(text: str) -> str:
    """A text as it is compared: without space around it, accents composed."""
    return unicodedata.normalize("NFC", text.strip())


def read_legend(uri: str) -> Legend:
    """The legend in a CSV of code,name[,colour][,kind], comma, semicolon or tab between them, UTF-8.

    Codes are whole numbers, or texts where one of them is no number: these are numbered from 1 on in their order. Rows
    of code 0, and where there is a column kind those of another kind than CT, are not read. InputError, with the line,
    for what cannot be used.
    """
    rows = _rows(uri)
    if any(not is_whole(row.code) for row in rows):
        _refuse_no_codes(rows, uri)
        texts = {text: number for number, text in enumerate(sorted({row.code for row in rows}), 1)}
        codes = [texts[row.code] for row in rows]
    else:
        texts = {}
        codes = [number_of(row.code, f"line {row.line}", uri) for row in rows]
    numbered, given = bool(texts), list(zip(codes, rows, strict=True))
    _refuse_twice(given, uri)
    given = [(code, row) for code, row in given if code]
    names = {code: row.name for code, row in given}
    shared = {name for name, count in Counter(names.values()).items() if count > 1}
    texts |= {row.code: code for code, row in given}
    texts |= {name: code for code, name in names.items() if name not in shared and name not in texts}
    notes = [f"legend: several codes share the name {name!r}; maps and tables tell them by code" for name in shared]
    if numbered:
        notes.append("legend: codes are texts and are numbered in their order: " + listed(names))
    seeds = {code: row.code for code, row in given} if numbered else {}
    colours = colours_of(names, {code: row.colour for code, row in given if row.colour}, seeds)
    return Legend(names, colours, texts, numbered, tuple(sorted(notes)))


def legend_of_names(names: Mapping[int, str]) -> Legend:
    """The legend of codes that stand for names alone: their colours are the names'."""
    return Legend(names, colours_of(names, {}, names), {name: code for code, name in names.items()}, True)


def listed(names: Mapping[int, str], most: int = 20) -> str:
    """Codes with their names, the first of them."""
    told = ", ".join(f"{code} {names[code]}" for code in sorted(names)[:most])
    return told + (", ..." if len(names) > most else "")


def _rows(uri: str) -> list[_Row]:
    lines = _text(uri).splitlines()
    first = next((line for line in lines if line.strip()), "")
    marks = {mark: [_column(cell) for cell in next(csv.reader([first], delimiter=mark), [])] for mark in ",;\t"}
    mark, columns = max(marks.items(), key=lambda item: len({"code", "name"} & set(item[1])))
    missing = {"code", "name"} - set(columns)
    if not first or missing:
        told = f"columns {columns}" if first else "cannot be read: it is empty"
        raise InputError(told, expected="code and name", place=uri, remedy=f"add {sorted(missing)}")
    reader = csv.reader(lines, delimiter=mark, strict=True)
    rows = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((reader.line_num, [tidy(cell) for cell in cells]))
    except csv.Error as error:
        raise InputError(f"line {reader.line_num} cannot be read: {error}", expected="CSV", place=uri) from error
    found = [_row(line, cells, columns, uri) for line, cells in rows[1:]]
    return [row for row in found if row is not None]


def _row(line: int, cells: list[str], columns: list[str], uri: str) -> _Row | None:
    """The row of a line; None for one of another kind than crops."""
    if any(cells[len(columns) :]):
        raise InputError(
            f"line {line} has {len(cells)} cells", expected=f"{len(columns)}, as the first line", place=uri,
            remedy="put names that hold the separator in double quotes",
        )  # fmt: skip
    row = dict(zip(columns, cells, strict=False))
    if row.get("kind", "CT") != "CT":
        return None
    for column in ("code", "name"):
        if not row.get(column):
            raise InputError(f"line {line} has no {column}", expected="code and name in every row", place=uri,
                             remedy="give one, or take the row out")  # fmt: skip
    colour = row.get("colour", "")
    if colour and not re.fullmatch("#[0-9a-fA-F]{6}", colour):
        raise InputError(f"colour {colour!r} of code {row['code']} in line {line}", expected="#rrggbb", place=uri,
                         remedy="write it so")  # fmt: skip
    return _Row(line, row["code"], row["name"], colour.lower())


def _text(uri: str) -> str:
    """The file's text; InputError where it is no UTF-8: another encoding cannot be told from its bytes for sure."""
    try:
        with fsspec.open(uri, "rb") as file:
            data: bytes = file.read()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", expected="a CSV of code,name", place=uri) from error
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"line {line} is no UTF-8: byte {data[error.start]:#04x}",
            expected="text in UTF-8",
            place=uri,
            remedy="save it as CSV UTF-8, or for Latin-1: iconv -f latin1 -t utf-8",
        ) from error


def _column(cell: str) -> str:
    name = tidy(cell).casefold()
    return _COLUMNS.get(name, name)


def _refuse_no_codes(rows: list[_Row], uri: str) -> None:
    """InputError for codes that are numbers but not whole ones, or too few to be names of their own."""
    for row in rows:
        if is_number(row.code) and not is_whole(row.code):
            raise InputError(
                f"code {row.code} in line {row.line}", expected="whole numbers from 0 on, or texts as codes", place=uri,
                remedy="write the code in full; spreadsheets shorten long ones to 3.3E+09",
            )  # fmt: skip


def _refuse_twice(given: list[tuple[int, _Row]], uri: str) -> None:
    seen: dict[int, _Row] = {}
    for code, row in given:
        if code in seen and code:
            raise InputError(
                f"code {row.code} stands there twice, in lines {seen[code].line} and {row.line}",
                expected="one row per code", place=uri, remedy="take one of them out",
            )  # fmt: skip
        seen[code] = row
