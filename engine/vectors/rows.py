"""What an open file of vectors gives."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyproj
from numpy.typing import NDArray

from engine.vectors.crs import Box
from engine.vectors.file import VectorFile
from engine.vectors.shapes import Shapes

BATCH = 65536
"""Rows that are read at once."""
Near = tuple[Box, str] | None
"""Box and its CRS; None: everywhere."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself. columns: name -> type. box: in its own CRS, None where it does not say. kinds: of its
    geometries, empty where it does not say. rows: how many there are."""

    crs: pyproj.CRS
    columns: Mapping[str, str]
    box: Box | None
    kinds: frozenset[str]
    rows: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a file. row: (n,) int64, their numbers in it (GDAL's feature numbers). columns: those asked for,
    each (n,), text as UTF-8."""

    row: NDArray[np.int64]
    columns: Mapping[str, pa.Array]
    geometry: Shapes


@dataclass(frozen=True, slots=True)
class Opened:
    """An open file. without_geometry: rows that have none and are not among those read, as they lie in no box."""

    header: Header
    without_geometry: int
    batches: Iterator[Batch]


def refuse_unknown(columns: Sequence[str] | None, header: Header, file: VectorFile) -> tuple[str, ...]:
    """The columns that are wanted; InputError where the file lacks one."""
    if columns is None:
        return tuple(header.columns)
    for column in columns:
        if column not in header.columns:
            near = difflib.get_close_matches(column, header.columns, 1)
            raise file.refused(
                f"has no column {column!r}; it has {', '.join(header.columns) or 'none'}",
                "a column of that name",
                f"name {near[0] if near else 'one of these'} in {file.key}",
            )
    return tuple(dict.fromkeys(columns))
