"""The life of one tile's parcels: the cube under their pixels -> one series, or one vote, per parcel -> its crop.

A parcel belongs to the tile that holds its representative point, and is judged there once, from every pixel it has,
whichever tiles these lie on. As in ``engine.pipeline``, classifier and stores come in as arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.features import derive, observations
from engine.ground import Ground
from engine.models.card import Card
from engine.objects import Objects
from engine.parcels import (
    NONE,
    Footprints,
    ParcelOptions,
    Verdicts,
    bulk,
    choose,
    footprints,
    parcel_file,
    parcel_means,
    parcel_series,
    read_part,
)
from engine.pipeline import MapTask, load_block
from engine.predict import cut
from engine.store import CubeLayout
from engine.types import CubeBlock, Layer, Tile

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""(n, t, f) float32 -> calibrated probabilities (n, k) float32."""

_STRIP_PX = 65536
"""Pixels whose features exist at once, but for a larger parcel."""

_Tiles = Sequence[tuple[Tile, Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class ParcelBlock:
    """A tile's parcels with the cube's series under them.

    ids: (n,) int64 or string. shapes: (n,) polygons in the grid's CRS. source: (n,) uint8, which kind of pixels each
    parcel's are. cube: layers of shape (t, b, 1, m), m = pixels of ``found``; empty where there is none.
    """

    ids: pa.Array
    shapes: NDArray[Any]
    found: Footprints
    source: NDArray[np.uint8]
    cube: CubeBlock


def load_parcels(
    task: MapTask, layout: CubeLayout, card: Card, block: CubeBlock, *, ground: Ground, cube: Objects,
    dealt: Objects, inward_px: float,
) -> ParcelBlock:  # fmt: skip
    """The parcels that the tile owns, read from ``dealt``, and the cube under their pixels, as far as they reach.

    ``block`` is the tile's own; the cubes of its neighbours are read one at a time. Pixels off the ground asked for, or
    where no cube could be built, are no parcel's. Raises TileError where parcels or cube differ from their checksums.
    """
    assert task.parcels is not None
    ids, shapes = read_part(dealt, task.tile, task.parcels.sha256)
    tiles = [(task.tile, task.checksums), *task.parcels.around]
    found = footprints(layout.grid, shapes, inward_px)
    found, source = choose(found, _there(found, tiles, ground))
    layers: dict[str, Layer] = {}
    for tile, checksums in tiles:
        on = _on(found, tile)
        if len(on):
            other = replace(task, tile=tile, checksums=checksums)
            held = block if tile == task.tile else load_block(other, layout, card, cube)
            _copy_under(held, found, on, tile, layers)
    return ParcelBlock(ids, shapes, found, source, layers)


def judge_parcels(parcels: ParcelBlock, card: Card, options: ParcelOptions, predict: Predict) -> Verdicts:
    """What the model says of each parcel: of its series' statistic, or as the mean over its pixels.

    Works on some parcels at a time, so that features never exist for all; a row does not depend on the others.
    """
    found, recipe = parcels.found, card.recipe
    p = np.full((found.parcels, len(card.classes)), np.nan, np.float32)
    series = np.zeros((found.parcels, recipe.steps, len(recipe.features)), np.float32)
    number, observed = np.zeros(found.parcels, np.int32), np.zeros(found.parcels, np.int16)
    for some, own in bulk(found, _STRIP_PX):
        if own.start == own.stop:
            continue
        block = {name: Layer(held.values[..., own], held.count[..., own]) for name, held in parcels.cube.items()}
        features = derive(block, recipe)
        valid = features.valid[0]
        owner, many = found.owner[own][valid] - np.int32(some.start), some.stop - some.start
        number[some] = np.bincount(owner, minlength=many)
        steps = observations(block, recipe)[:, valid][None]
        observed[some] = np.nan_to_num(parcel_series(owner, steps, many, "median")[:, 0, 0])
        if options.method == "vote":
            rows, cols = np.nonzero(features.valid)
            p[some] = parcel_means(owner, predict(cut(features, rows, cols)), many)
        else:
            series[some] = parcel_series(owner, features.x[:, :, 0, valid], many, options.statistic)
    seen = number > 0
    if options.method == "series":
        p[seen] = predict(series[seen])
    return Verdicts(p, number, np.where(seen, parcels.source, NONE).astype(np.uint8), observed)


def parcel_table(
    task: MapTask, layout: CubeLayout, card: Card, parcels: ParcelBlock, verdicts: Verdicts, review_below: float
) -> bytes:
    """The tile's parcel table: GeoParquet bytes, one row for each of its parcels."""
    return parcel_file(
        parcels.ids, parcels.shapes, verdicts, card.classes,
        crs=layout.grid.crs, tile=task.tile.id, review_below=review_below,
    )  # fmt: skip


def _there(found: Footprints, tiles: _Tiles, ground: Ground) -> NDArray[np.bool_]:
    """(m,) True for the pixels that are asked for and have a cube."""
    there = np.zeros(len(found.owner), np.bool_)
    for tile, checksums in tiles:
        on = _on(found, tile)
        if checksums and len(on):
            there[on] = ground.inside(tile.core)[_at(found, on, tile)]
    return there


def _copy_under(
    block: CubeBlock, found: Footprints, on: NDArray[np.intp], tile: Tile, layers: dict[str, Layer]
) -> None:
    """Put the tile's cube under the pixels ``on`` it into ``layers``, which are made as they are first seen."""
    rows, cols = _at(found, on, tile)
    for name, layer in block.items():
        if name not in layers:
            steps, bands = layer.values.shape[:2]
            values = np.empty((steps, bands, 1, len(found.owner)), layer.values.dtype)
            layers[name] = Layer(values, np.empty((steps, 1, len(found.owner)), np.uint8))
        layers[name].values[:, :, 0, on] = layer.values[:, :, rows, cols]
        layers[name].count[:, 0, on] = layer.count[:, rows, cols]


def _on(found: Footprints, tile: Tile) -> NDArray[np.intp]:
    """Indices of the pixels that lie on the tile's core."""
    y0, y1, x0, x1 = tile.core
    return np.flatnonzero((found.row >= y0) & (found.row < y1) & (found.col >= x0) & (found.col < x1))


def _at(found: Footprints, on: NDArray[np.intp], tile: Tile) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Rows and columns of these pixels within the tile."""
    return found.row[on] - np.int32(tile.core.y0), found.col[on] - np.int32(tile.core.x0)
