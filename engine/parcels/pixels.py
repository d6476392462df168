"""Which pixels are a parcel's. Each centre is one sum from the grid's corner, so tiles and windows do not show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from engine.types import Grid

INTERIOR, WITHIN, POINT, NONE = 0, 1, 2, 3
"""Where a parcel's pixels come from: well inside its edge; anywhere inside; under its representative point."""
SOURCES = ("interior", "parcel", "point", "none")
_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Footprints:
    """Pixels of ``parcels`` parcels, parcel by parcel, in each row by row.

    owner: (m,) int32, index of the parcel, never falling. row, col: (m,) int32, pixel of the grid. level: (m,) uint8,
    INTERIOR, WITHIN or POINT. A pixel may be of several parcels, where these overlap.
    """

    parcels: int
    owner: NDArray[np.int32]
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    level: NDArray[np.uint8]


def footprints(grid: Grid, shapes: NDArray[Any], inward_px: float) -> Footprints:
    """Every pixel that may count for a parcel: those whose centre it holds, and the one under its representative point.

    shapes: (n,) valid polygons in the grid's CRS. A pixel is INTERIOR where its centre lies in the polygon shrunk by
    ``inward_px`` pixels. The pixel under the point comes last, once more where it is one of the others.
    """
    shrunk = shapely.buffer(shapes, -inward_px * grid.resolution)
    at_row, at_col, _, _ = points_within(grid, shapes)
    rows, cols, levels, counts = [], [], [], []
    for number, (shape, inner) in enumerate(zip(shapes, shrunk, strict=True)):
        shapely.prepare([shape, inner])
        found = 1
        for y, x in _near(grid, shape):
            centres = grid.left + (x + 0.5) * grid.resolution, grid.top - (y + 0.5) * grid.resolution
            held = shapely.contains_xy(shape, *centres)
            rows.append(y[held])
            cols.append(x[held])
            deep = shapely.contains_xy(inner, centres[0][held], centres[1][held])
            levels.append(np.where(deep, INTERIOR, WITHIN))
            found += len(deep)
        rows.append(at_row[number : number + 1])
        cols.append(at_col[number : number + 1])
        levels.append(np.array([POINT]))
        counts.append(found)
    return Footprints(
        len(shapes),
        np.repeat(np.arange(len(shapes), dtype=np.int32), counts),
        np.concatenate([*rows, np.zeros(0)]).astype(np.int32),
        np.concatenate([*cols, np.zeros(0)]).astype(np.int32),
        np.concatenate([*levels, np.zeros(0)]).astype(np.uint8),
    )


def choose(found: Footprints, there: NDArray[np.bool_]) -> tuple[Footprints, NDArray[np.uint8]]:
    """Of the pixels that are ``there`` (m,), each parcel's best kind alone; and (n,) uint8 which kind that is, or NONE.

    Interior pixels where there is one, else all inside the parcel, else the one under its representative point.
    """
    best = np.full(found.parcels, NONE, np.uint8)
    np.minimum.at(best, found.owner[there], found.level[there])
    kept = there & (found.level <= best[found.owner])
    return Footprints(found.parcels, *(getattr(found, name)[kept] for name in ("owner", "row", "col", "level"))), best


def points_within(
    grid: Grid, shapes: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Row and column (n,) int64 of the pixel under each parcel's representative point, and the point's x and y."""
    points = shapely.point_on_surface(shapes)
    x, y = shapely.get_x(points), shapely.get_y(points)
    row = np.floor((grid.top - y) / grid.resolution).astype(np.int64)
    col = np.floor((x - grid.left) / grid.resolution).astype(np.int64)
    return np.clip(row, 0, grid.height - 1), np.clip(col, 0, grid.width - 1), x, y


def _near(grid: Grid, shape: Any) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows and columns of the grid's pixels within the shape's bounds, row by row, at most about a million at once."""
    left, bottom, right, top = shape.bounds
    y0 = max(int(np.floor((grid.top - top) / grid.resolution)), 0)
    y1 = min(int(np.ceil((grid.top - bottom) / grid.resolution)), grid.height)
    x0 = max(int(np.floor((left - grid.left) / grid.resolution)), 0)
    x1 = min(int(np.ceil((right - grid.left) / grid.resolution)), grid.width)
    if x0 >= x1:
        return
    rows = max(1, _AT_ONCE // (x1 - x0))
    for start in range(y0, y1, rows):
        y, x = np.mgrid[start : min(start + rows, y1), x0:x1]
        yield y.ravel(), x.ravel()
