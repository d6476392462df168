"""Labelled parcels -> one sample each: the very series that the map stage gives of a parcel to the model.

As there, a parcel belongs to the tile that holds its representative point, and has every pixel it has, whichever tiles
these lie on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from engine.errors import SpecError
from engine.features import layers_needed
from engine.ground import Ground
from engine.keys import shards_around
from engine.models.card import Recipe, Sampled
from engine.objects import Objects
from engine.parcel_tile import Under, cube_under, series_of
from engine.parcels import TOO_LARGE, Owners, points_within, reached, too_large
from engine.samples import Coding, LabelOptions, draw, is_raster, labelled_polygons
from engine.seasons import Season
from engine.store import decode_window
from engine.training import TrainOptions
from engine.types import CubeBlock, Grid, Samples, Tile

_SAMPLED: Mapping[str, Sampled] = {"median": "parcel median", "mean": "parcel mean"}


@dataclass(frozen=True, slots=True)
class LabelledParcels:
    """Labelled polygons that can be samples, n of them.

    shapes: (n,) in the grid's CRS. y: (n,) int64 codes. block: (n,) int64, row, col: (n,) int32, of the representative
    point. owner: (n,) int64, index of the tile, ascending. left_out: reason -> how many near the area cannot be used;
    changed: how many were repaired.
    """

    shapes: NDArray[Any]
    y: NDArray[np.int64]
    block: NDArray[np.int64]
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    owner: NDArray[np.int64]
    left_out: Mapping[str, int]
    changed: Mapping[str, int]

    def of(self, tile: int) -> NDArray[np.intp]:
        """Numbers of the parcels that the tile of this index owns."""
        return np.arange(*np.searchsorted(self.owner, [tile, tile + 1]))


def refuse_parcels(labels: LabelOptions, options: TrainOptions) -> None:
    """SpecError where ``labels.per: parcel`` does not go with the labels' file or with what is trained."""
    if labels.per != "parcel":
        return
    raster = next((uri for uri in labels.uris if is_raster(uri)), None)
    if raster:
        raise SpecError(
            f"parcel, but {raster} is a raster of codes, which has no parcels",
            expected="polygons with a column of codes",
            place="labels.per",
            remedy="name polygons, or take labels.per out",
        )
    if options.halo or options.family == "clec":
        looks = "looks at the squares around pixels" if options.halo else "learns from each pixel's later steps"
        raise SpecError(
            f"parcel, but {options.family} {looks}",
            expected="another family of series, such as agrispec",
            place="labels.per",
            remedy="choose another model.train.family, or take labels.per out",
        )
    if options.virtual:
        raise SpecError(
            "parcel, but virtual labels are given to pixels",
            expected="labels.per: pixel, or no model.train.virtual",
            place="labels.per",
            remedy="take one of them out",
        )


def sampled(labels: LabelOptions) -> Sampled:
    """What the card says of the training's samples."""
    return _SAMPLED[labels.statistic] if labels.per == "parcel" else "pixel"


def labelled_parcels(
    labels: LabelOptions, grid: Grid, area: shapely.Geometry, tiles: Sequence[Tile], block_m: float,
    coding: Coding | None = None,
) -> LabelledParcels:  # fmt: skip
    """The labelled polygons whose representative point lies in the area; InputError as ``labelled_polygons``."""
    frame, left_out, changed = labelled_polygons(labels, grid, block_m, coding)
    shapes = frame.geometry.to_numpy()
    large = too_large(shapes, grid.resolution)
    here = np.flatnonzero(~large)
    owner = Owners(grid, area, tiles).of(shapes[here])
    order = np.argsort(owner, kind="stable")[(owner < 0).sum() :]
    kept, owner = here[order], owner[order]
    row, col, _, _ = points_within(grid, shapes[kept])
    return LabelledParcels(
        shapes[kept], frame["code"].to_numpy(np.int64)[kept], frame["block"].to_numpy(np.int64)[kept],
        row.astype(np.int32), col.astype(np.int32), owner, left_out + Counter({TOO_LARGE: int(large.sum())}), changed,
    )  # fmt: skip


def samples_of(
    index: int, parcels: LabelledParcels, season: Season, recipe: Recipe, *, ground: Ground, seed: int
) -> Samples | None:
    """The samples of the parcels that the season's tile of this index owns; None where it owns none. A parcel never
    seen gives none."""
    tile, own = season.tiles[index], parcels.of(index)
    record = season.records.get(tile.id)
    if not len(own) or record is None or record.state != "written":
        return None
    own = own[draw(np.ones((1, len(own)), np.bool_), tile.core, seed)[1]]
    series = series_of(under_parcels(season, recipe, parcels.shapes[own], ground), recipe, season.labels.statistic)
    seen = series.pixels > 0
    own = own[seen]
    return Samples(
        x=series.x[seen], y=parcels.y[own], block=parcels.block[own], row=parcels.row[own], col=parcels.col[own],
        parcel=own,
    )  # fmt: skip


def under_parcels(season: Season, recipe: Recipe, shapes: NDArray[Any], ground: Ground) -> Under:
    """The cube under these parcels, wherever they lie; shapes (n,), n > 0, in the grid's CRS."""
    grid, cube = season.grid, Objects(season.cube_uri)
    tiles = [(tile, shards_around(grid, tile, 0, season.records)) for tile in reached(grid, shapes)]

    def load(tile: Tile, checksums: Mapping[str, str]) -> CubeBlock:
        return {
            name: decode_window(cube, season.layout, tile.core, name, checksums, recipe.steps)
            for name in layers_needed(recipe.features)
        }

    return cube_under(shapes, tiles, grid, ground, season.labels.inward_px, load)
