"""The life of one tile's parcels: the cube under their pixels -> one series, or one vote, per parcel -> its crop.

A parcel belongs to the tile that holds its representative point, and is judged there once, from every pixel it has,
whichever tiles these lie on. As in ``engine.pipeline``, classifier and stores come in as arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.features import NeedsFeatures, derive, observations
from engine.ground import Ground
from engine.models.card import Card
from engine.models.familiarity import Reference
from engine.objects import Objects
from engine.parcels import (
    NONE,
    Dealt,
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
from engine.types import CubeBlock, FeatureBlock, Grid, Layer, Tile

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""(n, t, f) float32 -> calibrated probabilities (n, k) float32."""

_STRIP_PX = 65536
"""Pixels whose features exist at once, but for a larger parcel."""

_Tiles = Sequence[tuple[Tile, Mapping[str, str]]]
"""Tiles, each with its cube's checksums, empty where none could be built."""


@dataclass(frozen=True, slots=True)
class Under:
    """The cube under the pixels of n parcels.

    found: their pixels, m in all. source: (n,) uint8, which kind of pixels each parcel's are. cube: layers of shape
    (t, b, 1, m); empty where there is none.
    """

    found: Footprints
    source: NDArray[np.uint8]
    cube: CubeBlock


@dataclass(frozen=True, slots=True)
class ParcelBlock:
    """A tile's parcels, and their cube."""

    dealt: Dealt
    under: Under


@dataclass(frozen=True, slots=True)
class ParcelSeries:
    """What a model is given of n parcels.

    x: (n, t, f) float32 as in FeatureBlock, the statistic over each parcel's pixels. pixels: (n,) int32, pixels behind
    it that were seen; 0: the row is no data. observed: (n,) int16 as in Verdicts.
    """

    x: NDArray[np.float32]
    pixels: NDArray[np.int32]
    observed: NDArray[np.int16]


def load_parcels(
    task: MapTask, layout: CubeLayout, card: Card, block: CubeBlock, *, ground: Ground, cube: Objects,
    dealt: Objects, inward_px: float,
) -> ParcelBlock:  # fmt: skip
    """The parcels that the tile owns, read from ``dealt``, and the cube under their pixels, as far as they reach.

    ``block`` is the tile's own. Raises TileError where parcels or cube differ from their checksums.
    """
    assert task.parcels is not None
    mine = read_part(dealt, task.tile, task.parcels.sha256)
    tiles = [(task.tile, task.checksums), *task.parcels.around]

    def load(tile: Tile, checksums: Mapping[str, str]) -> CubeBlock:
        other = replace(task, tile=tile, checksums=checksums)
        return block if tile == task.tile else load_block(other, layout, card, cube)

    return ParcelBlock(mine, cube_under(mine.shapes, tiles, layout.grid, ground, inward_px, load))


def cube_under(
    shapes: NDArray[Any], tiles: _Tiles, grid: Grid, ground: Ground, inward_px: float,
    load: Callable[[Tile, Mapping[str, str]], CubeBlock],
) -> Under:  # fmt: skip
    """The cube under the parcels' pixels on these tiles, whose cubes are loaded one at a time.

    Pixels off the ground asked for, or where no cube could be built, are no parcel's.
    """
    found = footprints(grid, shapes, inward_px)
    found, source = choose(found, _there(found, tiles, ground))
    layers: dict[str, Layer] = {}
    for tile, checksums in tiles:
        on = _on(found, tile)
        if len(on):
            _copy_under(load(tile, checksums), found, on, tile, layers)
    return Under(found, source, layers)


def series_of(under: Under, recipe: NeedsFeatures, statistic: Literal["median", "mean"]) -> ParcelSeries:
    """The parcels' series, as a model is trained on them and as the map stage gives them to it."""
    x = np.zeros((under.found.parcels, recipe.steps, len(recipe.features)), np.float32)
    number, observed = np.zeros(len(x), np.int32), np.zeros(len(x), np.int16)
    for some, owner, features, steps in _in_strips(under, recipe):
        valid, many = features.valid[0], some.stop - some.start
        x[some] = parcel_series(owner, features.x[:, :, 0, valid], many, statistic)
        number[some], observed[some] = _counted(owner, steps, many)
    return ParcelSeries(x, number, observed)


def judge_parcels(
    parcels: ParcelBlock, card: Card, options: ParcelOptions, predict: Predict, reference: Reference | None = None
) -> Verdicts:
    """What the model says of each parcel: of its series' statistic, or as the mean over its pixels; with a
    ``reference`` how familiar it is, likewise.

    Works on some parcels at a time, so that features never exist for all; a row does not depend on the others.
    """
    p = np.full((parcels.under.found.parcels, len(card.classes)), np.nan, np.float32)
    told = np.full(len(p), np.nan, np.float32)
    if options.method == "series":
        series = series_of(parcels.under, card.recipe, options.statistic)
        number, observed, seen = series.pixels, series.observed, series.pixels > 0
        p[seen] = predict(series.x[seen])
        if reference:
            told[seen] = reference.familiarity(series.x[seen], card)
    else:
        number, observed = np.zeros(len(p), np.int32), np.zeros(len(p), np.int16)
        for some, owner, features, steps in _in_strips(parcels.under, card.recipe):
            rows, cols = np.nonzero(features.valid)
            many = some.stop - some.start
            x = cut(features, rows, cols)
            p[some] = parcel_means(owner, predict(x), many)
            if reference:
                each = reference.familiarity(x, card)[:, None].astype(np.float32)
                told[some] = parcel_means(owner, each, many)[:, 0]
            number[some], observed[some] = _counted(owner, steps, many)
    source = np.where(number > 0, parcels.under.source, NONE).astype(np.uint8)
    return Verdicts(p, number, source, observed, told if reference else None)


def parcel_table(
    task: MapTask, layout: CubeLayout, card: Card, parcels: ParcelBlock, verdicts: Verdicts, review_below: float
) -> bytes:
    """The tile's parcel table: GeoParquet bytes, one row for each of its parcels."""
    return parcel_file(
        parcels.dealt, verdicts, card.classes,
        crs=layout.grid.crs, tile=task.tile.id, review_below=review_below,
    )  # fmt: skip


def _in_strips(
    under: Under, recipe: NeedsFeatures
) -> Iterator[tuple[slice, NDArray[np.int32], FeatureBlock, NDArray[np.float32]]]:
    """Some parcels at a time: which; of each of their valid pixels the parcel, counted from the first of these; the
    features of all their pixels; the steps at which each valid one was seen."""
    for some, own in bulk(under.found, _STRIP_PX):
        if own.start == own.stop:
            continue
        block = {name: Layer(held.values[..., own], held.count[..., own]) for name, held in under.cube.items()}
        features = derive(block, recipe)
        valid = features.valid[0]
        owner = under.found.owner[own][valid] - np.int32(some.start)
        yield some, owner, features, observations(block, recipe)[:, valid]


def _counted(
    owner: NDArray[np.int32], steps: NDArray[np.float32], many: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Valid pixels of each of so many parcels, and the steps at which these were seen, their median."""
    observed = np.nan_to_num(parcel_series(owner, steps[None], many, "median")[:, 0, 0])
    return np.bincount(owner, minlength=many), observed


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
