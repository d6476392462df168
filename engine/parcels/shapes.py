"""Which polygons can be parcels, and which tile each belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from engine.parcels.pixels import points_within
from engine.types import Grid, Tile

_MOST_PX = 1_000_000
"""Larger parcels are left out: one parcel's series are in memory together."""
TOO_LARGE = f"larger than {_MOST_PX} pixels"
_CUT = 1e-3
"""Parcels are called cut where the area leaves out more of them than this share: edges that two files share differ by
their projection."""


def too_large(shapes: NDArray[Any], resolution: float) -> NDArray[np.bool_]:
    """(n,) True for polygons (n,), in a CRS in metres, that are too large to be parcels."""
    return np.asarray(shapely.area(shapes) > _MOST_PX * resolution**2)


def share_inside(shapes: NDArray[Any], area: shapely.Geometry) -> NDArray[np.float64]:
    """(n,) how much of each polygon's area lies in ``area``: 1 but for those that it cuts."""
    share = np.ones(len(shapes))
    shapely.prepare(area)
    crossing = np.flatnonzero(~shapely.covers(area, shapes))
    whole = shapely.area(shapes[crossing])
    inside = shapely.area(shapely.intersection(shapes[crossing], area))
    share[crossing] = np.minimum(inside / whole, 1.0)
    return np.where(share > 1 - _CUT, 1.0, share)


class Owners:
    """Which tile a parcel belongs to: the one whose core holds its representative point."""

    def __init__(self, grid: Grid, area: shapely.Geometry, tiles: Sequence[Tile]) -> None:
        self._grid, self._area = grid, area
        self._index = np.full((grid.tile_rows, grid.tile_cols), -1, np.int64)
        for i, tile in enumerate(tiles):
            self._index[tile.row, tile.col] = i
        self._tree = shapely.STRtree([shapely.box(*grid.bounds(tile.core)) for tile in tiles])
        shapely.prepare(area)

    def of(self, shapes: NDArray[Any]) -> NDArray[np.int64]:
        """(n,) index of each parcel's tile, -1 where its point lies outside the area."""
        rows, cols, x, y = points_within(self._grid, shapes)
        px = self._grid.tile_px
        owner = self._index[
            np.clip(rows // px, 0, self._grid.tile_rows - 1), np.clip(cols // px, 0, self._grid.tile_cols - 1)
        ]
        inside = shapely.contains_xy(self._area, x, y)
        # A tile that the area enters by less than half a pixel is not planned: its neighbour takes the parcel.
        stray = np.flatnonzero(inside & (owner < 0))
        owner[stray] = self._tree.nearest(shapely.points(x[stray], y[stray]))
        return np.where(inside, owner, -1)


def reached(grid: Grid, shapes: NDArray[Any]) -> set[Tile]:
    """Tiles of the grid that the parcels' bounds, or their representative points, lie on. shapes: (n,), n > 0."""
    side = grid.tile_px * grid.resolution
    left, bottom, right, top = shapely.bounds(shapes).T
    rows = np.clip(np.floor((grid.top - np.stack([top, bottom])) / side), 0, grid.tile_rows - 1).astype(int)
    cols = np.clip(np.floor((np.stack([left, right]) - grid.left) / side), 0, grid.tile_cols - 1).astype(int)
    spans = {tuple(span) for span in np.concatenate([rows, cols]).T.tolist()}
    return {
        grid.tile(row, col)
        for y0, y1, x0, x1 in spans
        for row in range(y0, y1 + 1)
        for col in range(x0, x1 + 1)
    }  # fmt: skip
