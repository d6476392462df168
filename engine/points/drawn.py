"""Points drawn from a published map.

Strata are the map's classes. Within each, every pixel has the same chance, whatever tile it lies in; only tiles with a
point are opened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.assess.design import draw_ranks
from engine.earth import pixel_km2
from engine.ground import read_named
from engine.map_values import MapValues
from engine.read import read_whole
from engine.types import Grid, Tile


@dataclass(frozen=True)
class Strata:
    """A map as its classes and tiles.

    pixels: (tiles, k) int64, pixels of each class in each tile, in the order of ``tiles``.
    """

    grid: Grid
    codes: tuple[int, ...]
    names: tuple[str, ...]
    tiles: tuple[Tile, ...]
    places: tuple[str, ...]
    """Where each tile's class raster lies."""
    pixels: NDArray[np.int64]
    model: str
    """Digest of the model that made the map."""
    values: MapValues
    """What the class raster holds for each class."""
    map: str = ""
    """Digest of the map (``engine.keys.map_digest``)."""

    @property
    def area_km2(self) -> NDArray[np.float64]:
        """Mapped area of each class on the ellipsoid, (k,) km2."""
        return pixel_km2(self.grid, self.tiles) @ self.pixels

    @property
    def design(self) -> str:
        """Names the map in files of points written before maps had a digest: another map has other strata."""
        facts = [self.model, self.codes, [tile.id for tile in self.tiles], self.pixels.tolist()]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def draw(strata: Strata, points: NDArray[np.int64], seed: int) -> gpd.GeoDataFrame:
    """``points`` (k,) pixels of each class at random, in random order: ``POINTS``, ``DESIGN`` and geometry.

    x, y are pixel centres in the grid's CRS; inclusion_probability is the chance of each pixel of the stratum to be
    drawn. Equal arguments draw equal points.
    """
    chosen: dict[int, list[tuple[int, int]]] = {}
    for index, ranks in enumerate(draw_ranks(points, strata.pixels.sum(axis=0), seed)):
        ends = np.cumsum(strata.pixels[:, index])
        for rank, tile in zip(ranks.tolist(), np.searchsorted(ends, ranks, side="right").tolist(), strict=True):
            before = int(ends[tile] - strata.pixels[tile, index])
            chosen.setdefault(tile, []).append((index, rank - before))
    rows = [row for tile, wanted in sorted(chosen.items()) for row in _located(strata, tile, wanted)]
    order = np.random.default_rng([seed, 1]).permutation(len(rows))
    frame = pd.DataFrame([rows[i] for i in order], columns=["index", "x", "y"])
    shapes = gpd.GeoSeries(gpd.points_from_xy(frame["x"], frame["y"]), crs=strata.grid.crs)
    lonlat = shapes.to_crs("EPSG:4326")
    index = frame["index"].to_numpy(np.int64)
    pixels, drawn = strata.pixels.sum(axis=0), np.asarray(points)
    table = {
        "id": np.arange(1, len(frame) + 1),
        "map_code": np.array(strata.codes)[index],
        "map_name": np.array(strata.names, object)[index],
        "stratum_pixels": pixels[index],
        "stratum_points": drawn[index],
        "inclusion_probability": drawn[index] / pixels[index],
        "x": frame["x"],
        "y": frame["y"],
        "longitude": lonlat.x.round(7),
        "latitude": lonlat.y.round(7),
        "crs": strata.grid.crs,
        "resolution": strata.grid.resolution,
        "map": strata.map,
        "reference": pd.array([pd.NA] * len(frame), dtype="Int64"),
    }
    return gpd.GeoDataFrame(table, geometry=shapes)


def _located(strata: Strata, tile: int, wanted: Sequence[tuple[int, int]]) -> list[tuple[int, float, float]]:
    """(class index, x, y) of pixels given by class and rank in row-major order."""
    values = strata.values.index(read_named(strata.places[tile], read_whole))
    core, r = strata.tiles[tile].core, strata.grid.resolution
    found = []
    cells: Mapping[int, NDArray[np.intp]] = {index: np.flatnonzero(values == index) for index, _ in wanted}
    for index, rank in wanted:
        y, x = divmod(int(cells[index][rank]), values.shape[1])
        found.append((index, strata.grid.left + (core.x0 + x + 0.5) * r, strata.grid.top - (core.y0 + y + 0.5) * r))
    return found
