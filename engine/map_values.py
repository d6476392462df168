"""What ``class.tif`` holds for each class: its index into the card's classes, or the code of its crop."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models.card import MAX_CLASSES, Card

NODATA = MAX_CLASSES
"""Class index and confidence where there is no data."""
_WIDTHS = ((np.uint16, 2**16 - 1), (np.uint32, 4_294_000_000))
"""Types of a map of codes, and the first code too large for each. GDAL's mosaics compare uint32 with no data as
float32, which does not tell numbers some thousands below from it (tried with GDAL 3.10.3)."""


@dataclass(frozen=True, slots=True)
class MapValues:
    """values: (k,) in the card's order, uint8 indices, or codes as uint16 or uint32. nodata: the type's largest."""

    values: NDArray[Any]

    @property
    def dtype(self) -> str:
        return str(self.values.dtype)

    @property
    def nodata(self) -> int:
        return int(np.iinfo(self.values.dtype).max)

    def plane(self, index: NDArray[np.uint8]) -> NDArray[Any]:
        """Class indices, ``NODATA`` among them, as the file holds them."""
        table = np.full(MAX_CLASSES + 1, self.nodata, self.values.dtype)
        table[: len(self.values)] = self.values
        return table[index]

    def index(self, plane: NDArray[Any]) -> NDArray[np.uint8]:
        """Class indices, uint8, of what a file holds; ``NODATA`` for whatever is no class."""
        order = np.argsort(self.values)
        place = np.searchsorted(self.values, plane, sorter=order).clip(max=len(order) - 1)
        found = order[place]
        return np.where(self.values[found] == plane, found, NODATA).astype(np.uint8)


def map_values(card: Card, codes: bool) -> MapValues:
    """The values of a map by this card; InputError for codes that fit neither uint16 nor uint32, nodata left over."""
    if not codes:
        return MapValues(np.arange(len(card.classes), dtype=np.uint8))
    return MapValues(_fitting([entry.code for entry in card.classes], f"model {card.name}"))


def refuse_wide(codes: Iterable[int], place: str) -> None:
    """InputError for codes that no map of codes can hold."""
    _fitting(list(codes) or [0], place)


def classes_table(card: Card, held: MapValues) -> bytes:
    """``classes.csv``: value in ``class.tif``, code, name and colour of every class, UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("value", "code", "name", "colour"))
    rows = [
        (str(value), str(entry.code), entry.name, entry.colour)
        for value, entry in zip(held.values.tolist(), card.classes, strict=True)
    ]
    writer.writerows(rows)
    data = text.getvalue().encode()
    read = list(csv.reader(io.StringIO(data.decode(), newline="")))[1:]
    assert list(map(tuple, read)) == rows, "the table of classes reads back as it was written"
    return data


def _fitting(codes: list[int], place: str) -> NDArray[Any]:
    for width, most in _WIDTHS:
        if max(codes) < most:
            return np.array(codes, width)
    raise InputError(
        f"code {max(codes)}",
        expected=f"less than {most}: uint32 holds no more, and its largest numbers stand for no data",
        place=place,
        remedy="take output.codes out: the map holds class indices then, and classes.csv their codes; or give shorter "
        "codes in labels and legend",
    )
