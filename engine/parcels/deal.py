"""A register's rows, judged one batch after the other: which are parcels of the area, and what became of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from engine.errors import InputError
from engine.parcels.options import ParcelOptions
from engine.parcels.shapes import TOO_LARGE, Owners, share_inside, too_large
from engine.types import Grid, Tile, Window
from engine.vectors import NO_GEOMETRY, Judged, Opened, identifiers, judge, opened, refuse_no_polygons

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Dealt:
    """One tile's parcels, n of them. ids: (n,), of the type that the register gives them. shapes: (n,) polygons in the
    grid's CRS. inside: (n,) float64, the share of each one's area that lies in the area asked for."""

    ids: pa.Array
    shapes: NDArray[Any]
    inside: NDArray[np.float64]


class _Account:
    """How many rows met which fate, with some of their names."""

    def __init__(self) -> None:
        self._number: Counter[str] = Counter()
        self._names: dict[str, list[str]] = {}

    def add(self, reasons: NDArray[Any], ids: pa.Array) -> None:
        """reasons: (n,) text, empty for rows that are not to be counted. ids: (n,)."""
        for row in np.flatnonzero(reasons != "").tolist():
            reason = str(reasons[row])
            self._number[reason] += 1
            if len(named := self._names.setdefault(reason, [])) < _EXAMPLES and ids[row].is_valid:
                named.append(str(ids[row]))

    def add_unnamed(self, reason: str, number: int) -> None:
        self._number[reason] += number

    def total(self) -> int:
        return self._number.total()

    def told(self) -> dict[str, Any]:
        """Reason -> how many parcels, and such as."""
        kept = sorted((why, number) for why, number in self._number.items() if number)
        return {why: {"parcels": number, "such_as": self._names.get(why, [])} for why, number in kept}


def deal(
    options: ParcelOptions, grid: Grid, area: shapely.Geometry, tiles: Sequence[Tile],
    keep: Callable[[NDArray[np.int64], Dealt], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Give every usable parcel of the area, with the index of its tile (n,), to ``keep``, in batches; what is to be
    told of the register, whose every row is counted once.

    InputError: cannot be read, no CRS, no such column, no parcel kept, a name twice, names of a wrong kind.
    """
    box = grid.bounds(Window(0, grid.height, 0, grid.width))
    owners, names = Owners(grid, area, tiles), []
    left_out, cut, changed = _Account(), _Account(), _Account()
    with opened(options.file, [options.id] if options.id else [], box, grid.crs) as found:
        refuse_no_polygons(found.header.kinds, options.file)
        left_out.add_unnamed(NO_GEOMETRY, found.without_geometry)
        for ids, judged in _judged(options, found, grid):
            left_out.add(judged.wrong, ids)
            usable = np.flatnonzero(judged.wrong == "")
            owner = owners.of(judged.shapes[usable])
            kept = usable[owner >= 0]
            if len(kept):
                parcels = Dealt(ids.take(pa.array(kept)), judged.shapes[kept], share_inside(judged.shapes[kept], area))
                names.append(parcels.ids)
                changed.add(judged.changed[kept], parcels.ids)
                cut.add(np.where(parcels.inside < 1, "cut", "").astype(object), parcels.ids)
                if keep is not None:
                    keep(owner[owner >= 0], parcels)
    rows, number = found.header.rows, sum(map(len, names))
    told = {"left_out": left_out.told(), "cut": cut.told().get("cut", {"parcels": 0}), "changed": changed.told()}
    if not names:
        raise InputError(
            f"none of {rows} parcels has its representative point in the area"
            + (f" ({left_out.total()} cannot be used: {', '.join(told['left_out'])})" if left_out.total() else ""),
            expected="parcels in the area",
            place=options.uri,
            remedy="check the parcels' CRS and extent, and the area",
        )
    _refuse_twins(pa.chunked_array(names), options)
    return {"rows": rows, "kept": number, "outside": rows - number - left_out.total(), **told}


def _judged(options: ParcelOptions, found: Opened, grid: Grid) -> Iterator[tuple[pa.Array, Judged]]:
    """The register's rows in batches: their ids, and their shapes in the grid's CRS."""
    file = options.file
    for batch in found.batches:
        if options.id is None:
            ids = pa.array(batch.row)
        else:
            ids = identifiers(batch.columns[options.id], options.id, file, batch.row)
        judged = judge(batch.geometry, found.header.crs, grid.crs)
        fit = np.flatnonzero(judged.wrong == "")
        judged.wrong[fit[too_large(judged.shapes[fit], grid.resolution)]] = TOO_LARGE
        judged.wrong[(judged.wrong == "") & ids.is_null().to_numpy(zero_copy_only=False)] = "no id"
        yield ids, judged


def _refuse_twins(names: pa.ChunkedArray, options: ParcelOptions) -> None:
    counts = pc.value_counts(names)
    twice = pc.filter(counts, pc.greater(pc.struct_field(counts, "counts"), 1))
    if len(twice):
        first = twice[0].as_py()
        raise InputError(
            f"{len(twice)} names stand there more than once, such as {first['values']!r}, {first['counts']} times",
            expected="a name of its own for every parcel of the area",
            place=f"{options.uri}, column {options.id}",
            remedy="name another column under parcels.id, or leave it out to number the rows",
        )
