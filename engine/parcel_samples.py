"""Labelled parcels -> one sample each: the very series that the map stage gives of a parcel to the model.

As there, a parcel belongs to the tile that holds its representative point, and has every pixel it has, whichever tiles
these lie on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray

from engine.errors import SpecError
from engine.features import layers_needed
from engine.ground import Ground
from engine.keys import shards_around
from engine.ledger import Record
from engine.models.card import Recipe, Sampled
from engine.objects import Objects
from engine.parcel_tile import Under, cube_under, series_of
from engine.parcels import Owners, faults, points_within, reached
from engine.plan import Plan
from engine.samples import LabelOptions, draw, is_raster, read_polygons
from engine.store import CubeLayout, decode_window
from engine.training import TrainOptions
from engine.types import CubeBlock, Samples, Tile, Window

_SAMPLED: Mapping[str, Sampled] = {"median": "parcel median", "mean": "parcel mean"}


class NeedsParcels(Protocol):
    """What is asked of a training's request."""

    @property
    def plan(self) -> Plan: ...

    @property
    def layout(self) -> CubeLayout: ...

    @property
    def records(self) -> Mapping[str, Record]: ...

    @property
    def cube_uri(self) -> str: ...

    @property
    def labels(self) -> LabelOptions: ...

    @property
    def recipe(self) -> Recipe: ...

    @property
    def options(self) -> TrainOptions: ...


@dataclass(frozen=True, slots=True)
class LabelledParcels:
    """Labelled polygons that can be samples, n of them.

    shapes: (n,) in the grid's CRS. y: (n,) int32 codes. block: (n,) int64, row, col: (n,) int32, of the representative
    point. owner: (n,) int64, index of the plan's tile. left_out: reason -> how many near the area cannot be samples.
    """

    shapes: NDArray[Any]
    y: NDArray[np.int32]
    block: NDArray[np.int64]
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    owner: NDArray[np.int64]
    left_out: Mapping[str, int]


def refuse_parcels(labels: LabelOptions, options: TrainOptions) -> None:
    """SpecError where ``labels.per: parcel`` does not go with the labels' file or with what is trained."""
    if labels.per != "parcel":
        return
    if is_raster(labels.uri):
        raise SpecError(
            f"parcel, but {labels.uri} is a raster of codes, which has no parcels",
            expected="polygons with a column of codes",
            place="labels.per",
            remedy="name polygons under labels.uri, or take labels.per out",
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


def labelled_parcels(options: LabelOptions, plan: Plan, block_m: float) -> LabelledParcels:
    """The labelled polygons whose representative point lies in the area; InputError as ``read_polygons``."""
    grid = plan.grid
    frame = read_polygons(options, grid, block_m)
    shapes = shapely.force_2d(frame.geometry.to_numpy())
    wrong, here = faults(shapes, grid.bounds(Window(0, grid.height, 0, grid.width)), grid.resolution)
    here = here[wrong[here] == ""]
    owner = Owners(grid, plan.area, plan.tiles).of(shapes[here])
    kept, owner = here[owner >= 0], owner[owner >= 0]
    row, col, _, _ = points_within(grid, shapes[kept])
    return LabelledParcels(
        shapes[kept], frame["code"].to_numpy(np.int32)[kept], frame["block"].to_numpy(np.int64)[kept],
        row.astype(np.int32), col.astype(np.int32), owner, Counter(wrong[wrong != ""].tolist()),
    )  # fmt: skip


def parcel_samples(request: NeedsParcels, ground: Ground) -> Iterator[Samples]:
    """The samples of every tile that owns labelled parcels, one tile at a time; a parcel never seen gives none."""
    plan = request.plan
    parcels = labelled_parcels(request.labels, plan, request.options.block_m)
    for index in np.unique(parcels.owner):
        tile = plan.tiles[index]
        record = request.records.get(tile.id)
        if record is None or record.state != "written":
            continue
        own = np.flatnonzero(parcels.owner == index)
        own = own[draw(np.ones((1, len(own)), np.bool_), tile.core, request.options.seed)[1]]
        series = series_of(
            under_parcels(request, parcels.shapes[own], ground), request.recipe, request.labels.statistic
        )
        seen = series.pixels > 0
        own = own[seen]
        yield Samples(
            x=series.x[seen], y=parcels.y[own], block=parcels.block[own], row=parcels.row[own], col=parcels.col[own],
            parcel=own,
        )  # fmt: skip


def under_parcels(request: NeedsParcels, shapes: NDArray[Any], ground: Ground) -> Under:
    """The cube under these parcels, wherever they lie; shapes (n,), n > 0, in the grid's CRS."""
    grid, recipe, cube = request.plan.grid, request.recipe, Objects(request.cube_uri)
    tiles = [(tile, shards_around(grid, tile, 0, request.records)) for tile in reached(grid, shapes)]

    def load(tile: Tile, checksums: Mapping[str, str]) -> CubeBlock:
        return {
            name: decode_window(cube, request.layout, tile.core, name, checksums, recipe.steps)
            for name in layers_needed(recipe.features)
        }

    return cube_under(shapes, tiles, grid, ground, request.labels.inward_px, load)
