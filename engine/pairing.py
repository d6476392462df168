"""Which scenes reach which tiles, by their footprints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from engine.earth import shape_of
from engine.types import Grid, Item, Tile

_NEAR_PX = 30
"""Items this many pixels beyond a tile are its items too: the speckle window reaches over the edge."""


def pair(grid: Grid, tiles: Sequence[Tile], items: Sequence[Item]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """For each tile the items whose footprint meets it, grown by ``_NEAR_PX`` pixels, in the items' order."""
    cores = np.array([tile.core for tile in tiles], np.float64).reshape(-1, 4)
    r, near = grid.resolution, _NEAR_PX
    boxes = shapely.box(
        grid.left + (cores[:, 2] - near) * r,
        grid.top - (cores[:, 1] + near) * r,
        grid.left + (cores[:, 3] + near) * r,
        grid.top - (cores[:, 0] - near) * r,
    )
    tree = shapely.STRtree(boxes)
    which, where = tree.query(_footprints(grid, items), predicate="intersects")
    order = np.lexsort((which, where))
    starts = np.searchsorted(where[order], np.arange(len(tiles) + 1))
    return starts.astype(np.int64), which[order].astype(np.int32)


def _footprints(grid: Grid, items: Sequence[Item]) -> NDArray[Any]:
    """The items' footprints in the grid's CRS, edges densified so that they bend with the projection."""
    transformer = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True)
    known: dict[str, shapely.Geometry] = {}
    shapes = []
    for item in items:
        name = str(item.footprint)
        if name not in known:
            bent = shapely.segmentize(shape_of(item.footprint), 0.1)
            known[name] = shapely.transform(bent, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1])))
        shapes.append(known[name])
    return np.array(shapes, dtype=object)
