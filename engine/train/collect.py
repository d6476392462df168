"""Labelled pixels or parcels of every season and tile, and unlabelled pixels for virtual labels; read tile by tile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.features import derive, hide, layers_needed, unfilled
from engine.ground import Ground
from engine.keys import shards_around
from engine.models import Recipe
from engine.objects import Objects
from engine.parcel_samples import LabelledParcels, labelled_parcels, refuse_parcels, samples_of
from engine.predict import cut
from engine.samples import (
    HELD,
    MOST_PER_TILE,
    Fields,
    Labels,
    Regions,
    draw,
    fields_of,
    joined,
    stacked,
    touched,
)
from engine.seasons import Season
from engine.store import decode_window
from engine.train.request import TrainRequest
from engine.training.early import whole_season
from engine.types import ORIGIN, CubeBlock, FeatureBlock, Layer, Samples, Tile

_MOST_BYTES = 2 << 30
"""Of the squares of pixels that models with patches are trained on."""


def collect(request: TrainRequest) -> Samples:
    """Labelled pixels, or parcels, of every tile whose cube is there, season by season; InputError where the labels of
    one and its cube do not meet.

    For virtual labels unlabelled ones as well (y = 0), some for every labelled one of the same tile, of seasons that
    are not held for validation or test.
    """
    return collected(request)[0]


def collected(request: TrainRequest) -> tuple[Samples, tuple[Fields, ...]]:
    """What ``collect`` gives, and the fields of each season's labels."""
    refuse_parcels(request.labels, request.options)
    found = [_of_season(request, season) for season in request.labelled]
    return joined([part for parts, _ in found for part in parts]), tuple(fields for _, fields in found)


def _of_season(request: TrainRequest, season: Season) -> tuple[list[Samples], Fields]:
    """Samples of each tile that has some, and the labels' fields; InputError where none has."""
    regions = request.labels.regions and Regions(request.labels.regions, season.grid)
    block_m, whole = request.options.block_m, season.labels.per == "parcel"
    several, coding = len(request.labelled) > 1, request.coding
    labels = None
    if not whole or request.reach:
        labels = Labels(season.labels, season.grid, block_m, coding, several=several)
    parcels = _parcels_of(request, season) if whole else None
    read = _Reader(request, season, labels, season.ground(request.mask), regions or None, parcels)
    found = [part for index in range(len(season.tiles)) if (part := read.tile(index)) and len(part.y)]
    if not found:
        raise InputError(
            f"not one labelled {season.labels.per} lies on a cube tile of the season from {season.name} on",
            expected=f"labels that overlap the area and the cube {season.cube_uri}",
            place=str(season.labels.uri),
            remedy="check the labels' CRS and extent, labels.ignore and the area",
        )
    fields = fields_of(parcels.shapes) if parcels else labels.fields if labels else fields_of(np.zeros(0, object))
    return found, fields


def _parcels_of(request: TrainRequest, season: Season) -> LabelledParcels:
    return labelled_parcels(
        season.labels, season.grid, season.area, season.tiles, request.options.block_m, request.coding
    )


@dataclass(frozen=True)
class _Reader:
    """What is open while one season's samples are read."""

    request: TrainRequest
    season: Season
    labels: Labels | None
    """None: for parcels without a border, which ask no pixel."""
    ground: Ground
    regions: Regions | None
    parcels: LabelledParcels | None

    def tile(self, index: int) -> Samples | None:
        """The labelled, seen pixels of the season's tile of this index, or the parcels that it owns; None where it has
        none."""
        if self.parcels is None:
            return self._pixels(self.season.tiles[index])
        return self._parcels(index, self.parcels)

    def _parcels(self, index: int, parcels: LabelledParcels) -> Samples | None:
        """What lies near a parcel is told from its representative point."""
        request, tile, seed = self.request, self.season.tiles[index], self.request.options.seed
        found = samples_of(index, parcels, self.season, request.recipe, ground=self.ground, seed=seed)
        if found is None:
            return None
        rows, cols = found.row.astype(np.intp) - tile.core.y0, found.col.astype(np.intp) - tile.core.x0
        return replace(
            found,
            near=_near(request, *self._labelled(tile), (rows, cols), len(rows)) if request.reach else None,
            origin=self._origin(tile, rows, cols) if request.holds else None,
        )

    def _labelled(self, tile: Tile) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Codes and blocks of the tile and of what lies within reach of it; no code beyond the area."""
        assert self.labels is not None
        around = tile.core.padded(self.request.reach)
        codes, block = self.labels.read(around)
        codes[~self.ground.of_area(around)] = 0
        return codes, block

    def _pixels(self, tile: Tile) -> Samples | None:
        request, season = self.request, self.season
        halo, options = request.options.halo, request.options
        sums = shards_around(season.grid, tile, halo, season.records)
        if not sums:
            return None
        codes, block = self._labelled(tile)
        core = tile.core.within(tile.core.padded(request.reach))
        if not codes[core].any():
            return None
        layers, features = features_of(request, season, self.ground, tile, sums)
        usable = (codes[core] != 0) & features.valid[_inner(features, halo)]
        rows, cols = draw(usable, tile.core, options.seed, _most_per_tile(request))
        labelled = len(rows)
        if options.virtual and season.labels.part == "any":
            free = (codes[core] == 0) & features.valid[_inner(features, halo)] & self.ground.inside(tile.core)
            more = _draw_unlabelled(request, free, tile, labelled)
            rows, cols = np.concatenate([rows, more[0]]), np.concatenate([cols, more[1]])
        return Samples(
            x=cut(features, rows, cols, halo),
            y=codes[core][rows, cols],
            block=block[core][rows, cols],
            row=(rows + tile.core.y0).astype(np.int32),
            col=(cols + tile.core.x0).astype(np.int32),
            near=_near(request, codes, block, (rows, cols), labelled) if request.reach else None,
            later=later_steps(layers, rows, cols, request.recipe) if options.forecasts else None,
            observed=_observed(layers, rows, cols, request.recipe) if options.cascade.from_step else None,
            origin=self._origin(tile, rows, cols) if request.holds else None,
        )

    def _origin(self, tile: Tile, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> NDArray[np.void]:
        origin = np.zeros(len(rows), ORIGIN)
        origin["number"], origin["season"] = self.season.number, self.season.name
        origin["by_season"] = HELD.index(self.season.labels.part)
        if self.regions:
            region = self.regions.read(tile.core)[rows, cols]
            origin["region"], origin["by_region"] = self.regions.names[region], self.regions.held[region]
        return origin


def features_of(
    request: TrainRequest, season: Season, ground: Ground, tile: Tile, sums: Mapping[str, str]
) -> tuple[CubeBlock, FeatureBlock]:
    """A tile's layers, and its features with the halo; nothing is seen beyond the area where there is one."""
    halo, recipe = request.options.halo, request.recipe
    window, cube = tile.core.padded(halo), Objects(season.cube_uri)
    steps = None if request.options.forecasts else recipe.steps
    layers = {
        name: decode_window(cube, season.layout, window, name, sums, steps) for name in layers_needed(recipe.features)
    }
    features = derive(layers, recipe)
    return layers, hide(features, ~ground.of_area(window)) if halo else features


def _inner(features: FeatureBlock, halo: int) -> tuple[slice, slice]:
    height, width = features.valid.shape
    return slice(halo, height - halo), slice(halo, width - halo)


def _draw_unlabelled(
    request: TrainRequest, free: NDArray[np.bool_], tile: Tile, labelled: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of unlabelled pixels that may get a virtual label, for so many labelled ones of the tile."""
    assert request.options.virtual is not None
    most = min(request.options.virtual.drawn(labelled), _most_per_tile(request))
    return draw(free, tile.core, request.options.seed + 1, most)


def _near(
    request: TrainRequest,
    codes: NDArray[np.int64],
    block: NDArray[np.int64],
    at: tuple[NDArray[np.intp], NDArray[np.intp]],
    labelled: int,
) -> NDArray[np.int64]:
    """Blocks within reach of these rows and columns: of the first ``labelled`` those of labelled pixels, of the others
    those of all pixels. With several seasons those of all pixels: a place without labels may have some in another."""
    rows, cols = at
    seen = block if request.seasons else np.where(codes != 0, block, 0)
    tables = [touched(seen, rows[:labelled], cols[:labelled], request.reach)]
    if labelled < len(rows):
        tables.append(touched(block, rows[labelled:], cols[labelled:], request.reach))
    return stacked(tables)


def _most_per_tile(request: TrainRequest) -> int:
    """Samples a tile may give: with squares of pixels so many that all tiles' fit into ``_MOST_BYTES``."""
    recipe, side = request.recipe, 2 * request.options.halo + 1
    each = 4 * recipe.steps * len(recipe.features) * side**2
    tiles = sum(len(season.tiles) for season in request.labelled)
    return MOST_PER_TILE if side == 1 else max(1, min(MOST_PER_TILE, _MOST_BYTES // each // tiles))


def later_steps(
    layers: CubeBlock, rows: NDArray[np.intp], cols: NDArray[np.intp], recipe: Recipe
) -> NDArray[np.float32]:
    """The steps after the recipe's of these pixels (n,), (n, p, f) float32, physical units: what really followed, as
    ``whole_season`` says. layers: the tile's, with all steps of the season."""
    return np.ascontiguousarray(whole_season(_observed(layers, rows, cols, recipe), recipe)[:, recipe.steps :])


def _observed(layers: CubeBlock, rows: NDArray[np.intp], cols: NDArray[np.intp], recipe: Recipe) -> NDArray[np.float32]:
    """What was observed of these pixels (n,) at each step, as ``Samples.observed``."""
    chosen = {
        name: Layer(layer.values[:, :, rows, cols][:, :, None], layer.count[:, rows, cols][:, None])
        for name, layer in layers.items()
    }
    return np.ascontiguousarray(unfilled(chosen, recipe.features)[:, :, 0].transpose(2, 0, 1))
