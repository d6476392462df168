"""Text and identifiers of vector files: valid UTF-8, and of the type they are written in."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import InputError, SpecError
from engine.vectors.file import VectorFile

_LANGUAGE = {
    0x01: "cp437", 0x02: "cp850", 0x03: "cp1252", 0x08: "cp865", 0x13: "cp932", 0x1F: "cp852", 0x26: "cp866",
    0x4D: "cp936", 0x4E: "cp949", 0x4F: "cp950", 0x50: "cp874", 0x57: "cp1252", 0x58: "cp1252", 0x59: "cp1252",
    0x64: "cp852", 0x65: "cp866", 0x66: "cp865", 0x6A: "cp737", 0x6B: "cp857", 0x78: "cp950", 0x79: "cp949",
    0x7A: "cp936", 0x7B: "cp932", 0x7C: "cp874", 0x7D: "cp1255", 0x7E: "cp1256", 0xC8: "cp1250", 0xC9: "cp1251",
    0xCA: "cp1254", 0xCB: "cp1253", 0xCC: "cp1257",
}  # fmt: skip
"""Code page by the language byte of a .dbf (dBASE's language driver, as ESRI's and GDAL's tables give it)."""
_SAY_NOTHING = ("oem", "ansi", "system", "unknown", "default")
"""What stands in a .cpg for the encoding of the machine that wrote it, which nobody else can know."""
_BLOCK = 1 << 24
EXACT = 2**53
"""Whole numbers below it are exact as float64."""


def codec_of(name: str, file: VectorFile) -> str:
    """Python's name of an encoding; SpecError where there is none of that name."""
    known = re.fullmatch(r"ldid[/ ]*(\d+)", name.strip(), re.IGNORECASE)
    if known and int(known[1]) in _LANGUAGE:
        name = _LANGUAGE[int(known[1])]
    name = "utf-8" if name.strip() == "65001" else name  # the number that Windows gives it
    short = re.sub(r"^(ansi|oem|windows|cp)?[ _-]*(\d{3,4})$", r"cp\2", name.strip().lower())
    short = re.sub(r"^(iso[ _-]*)?8859[ _-]*(\d+)$", r"iso8859-\2", short)
    try:
        return codecs.lookup(short).name
    except LookupError as error:
        raise SpecError(
            f"{name!r} is no known encoding",
            expected="a name such as utf-8, cp1252 or iso-8859-1",
            place=f"{file.key}.encoding",
            remedy="mend the name",
        ) from error


def shapefile_codec(path: str, file: VectorFile) -> tuple[str, InputError | None]:
    """The encoding of a Shapefile's text; and the error to raise, should text be read, where that is not certain.

    As the spec says, else as the .cpg says, else as the language byte of the .dbf says, else UTF-8 where all text is.
    Text that is UTF-8 throughout, beyond ASCII, where another encoding is named is not certain.
    """
    if file.encoding:
        return codec_of(file.encoding, file), None
    dbf, cpg = _beside(path, ".dbf"), _beside(path, ".cpg")
    utf8 = _is_utf8(dbf) if dbf else None
    if utf8 is None:
        return "utf-8", None
    named = cpg.read_text(errors="replace").strip() if cpg else ""
    named = "" if named.lower() in _SAY_NOTHING else named
    said, by = (named, f"its .cpg says {named!r}") if named else (None, "it has no .cpg")
    if said is None and dbf is not None:
        byte = _language(dbf)
        said = _LANGUAGE.get(byte)
        by = f"the language byte of its .dbf (0x{byte:02x}) says {said or 'nothing'}"
    wrong = file.refused(
        f"{by}, but its text is {'' if utf8 else 'not '}valid UTF-8",
        "text in the encoding that the file names",
        f"say which it is: {file.key}.encoding: utf-8, or cp1252, or another",
    )
    if said is None:
        return "utf-8" if utf8 else "iso8859-1", None if utf8 else wrong
    try:
        codec = codec_of(said, file)
    except SpecError:
        return "iso8859-1", wrong
    return codec, wrong if utf8 != (codec == "utf-8") else None


def gdal_name(codec: str) -> str:
    """An encoding as iconv spells it."""
    return re.sub("^ISO8859", "ISO-8859", codec.upper())


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def plain(values: Any, column: str, file: VectorFile, rows: np.ndarray) -> pa.Array:
    """A column's values with text as valid UTF-8 (string), dictionaries and extensions undone, all else as it is.

    InputError for text that is not UTF-8, with the row, unless the spec names its encoding.
    """
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(array, pa.ExtensionArray):
        mixed = "json" in str(array.type)
        array = array.storage
        if mixed:
            raise file.refused(
                f"column {column!r} holds numbers and text, such as {array.drop_null()[0].as_py()}",
                "one type in a column",
                "write it as text, or name another column",
            )
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not is_text(array.type):
        return array
    try:
        array = array.cast(pa.string())
        array.validate(full=True)
    except pa.ArrowInvalid:
        return _decoded(array, column, file, rows)
    return array


def identifiers(array: pa.Array, column: str, file: VectorFile, rows: np.ndarray) -> pa.Array:
    """Names of parcels, their values and kind unchanged: whole numbers as int64 (uint64 as it is), text, dates, floats.

    NaN is null. InputError for floats that cannot be exact, and for kinds that name nothing.
    """
    kind = array.type
    if pa.types.is_integer(kind):
        return array if pa.types.is_uint64(kind) else array.cast(pa.int64())
    if pa.types.is_floating(kind):
        exact = array.cast(pa.float64())
        exact = pc.if_else(pc.is_nan(exact), pa.scalar(None, pa.float64()), exact)
        large = pc.indices_nonzero(pc.fill_null(pc.greater_equal(pc.abs(exact), float(EXACT)), False))
        if len(large):
            row = large[0].as_py()
            raise file.refused(
                f"column {column!r} holds {exact[row].as_py():.0f} as a float, in row {rows[row]}",
                "whole numbers above 2^53 as integers or text: as floats, neighbours are one number",
                "write the column as integers or text",
            )
        return exact
    named = (pa.types.is_temporal, pa.types.is_decimal)
    if is_text(kind) or pa.types.is_null(kind) or any(holds(kind) for holds in named):
        return array.cast(pa.string()) if pa.types.is_null(kind) else array
    raise file.refused(
        f"column {column!r} holds {kind}",
        "whole numbers, text, dates or decimal numbers, which name a parcel",
        "write it as text or whole numbers, or name another column",
    )


def _decoded(array: pa.Array, column: str, file: VectorFile, rows: np.ndarray) -> pa.Array:
    codec = codec_of(file.encoding, file) if file.encoding else "utf-8"
    found: list[str | None] = []
    for row, value in enumerate(array.cast(pa.binary()).to_pylist()):
        try:
            found.append(None if value is None else value.decode(codec))
        except UnicodeDecodeError as error:
            raise file.refused(
                f"column {column!r} holds {value!r} in row {rows[row]}, which is not valid {codec.upper()}",
                "text in the encoding that the file names, or UTF-8",
                f"say which it is: {file.key}.encoding: cp1252, or another",
            ) from error
    return pa.array(found, pa.string())


def _beside(path: str, ending: str) -> Path | None:
    own = Path(path)
    return next((p for p in own.parent.iterdir() if p.stem == own.stem and p.suffix.lower() == ending), None)


def _language(dbf: Path) -> int:
    with dbf.open("rb") as file:
        head = file.read(32)
    return head[29] if len(head) == 32 else 0


def _is_utf8(dbf: Path) -> bool | None:
    """Whether names and records of a .dbf are UTF-8; None where they are ASCII and so are both."""
    ascii_alone, decode = True, codecs.getincrementaldecoder("utf-8")()
    with dbf.open("rb") as file:
        head = file.read(32)
        length = int.from_bytes(head[8:10], "little")
        fields = file.read(max(length - 32, 0))
        names = b" ".join(fields[at : at + 11] for at in range(0, len(fields) - 31, 32))
        for block in (names, *iter(lambda: file.read(_BLOCK), b"")):
            ascii_alone &= block.isascii()
            try:
                decode.decode(block)
            except UnicodeDecodeError:
                return False
    return None if ascii_alone else True
