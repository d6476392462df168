"""Labelled pixels, or parcels, that the map says nothing of: counted, and not judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import rasterio
from numpy.typing import NDArray

from engine.ground import Ground, read_named
from engine.judge.choose import Judges, kept
from engine.parcel_samples import labelled_parcels
from engine.samples import MOST_PER_TILE, Labels
from engine.train import TrainRequest
from engine.types import Tile


@dataclass(frozen=True, slots=True)
class Cover:
    """How much of what is labelled inside the area the map speaks of; pixels, or parcels, all of them."""

    labelled: int
    without_data: int
    """Off the mask, never seen, or on a tile that was not published."""


def on_the_map(request: TrainRequest, by: Judges, places: Mapping[str, str]) -> tuple[Judges, Cover]:
    """Those of ``by`` of which the map says something, and how many labelled ones it leaves without data.

    places: published tile -> where a product of it lies, whose file says what no data is.
    """
    if request.labels.per == "parcel":
        return _parcels(request, by, places)
    labels = Labels(request.labels, request.plan.grid, request.options.block_m, request.coding)
    ground = request.own.ground(None)
    there = np.ones(len(by.y), np.bool_)
    labelled = without = 0
    for tile in request.plan.tiles:
        codes = _codes(labels, ground, tile)
        if not codes.any():
            continue
        empty = _empty(tile, places)
        labelled, without = labelled + int((codes != 0).sum()), without + int((empty & (codes != 0)).sum())
        rows = _on(tile, by)
        there[rows] = ~empty[by.samples.row[rows] - tile.core.y0, by.samples.col[rows] - tile.core.x0]
    return kept(by, there), Cover(labelled, without)


def _parcels(request: TrainRequest, by: Judges, places: Mapping[str, str]) -> tuple[Judges, Cover]:
    """A parcel without a sample was never seen; so is one whose tile was not published."""
    own = request.own
    parcels = labelled_parcels(own.labels, own.grid, own.area, own.tiles, request.options.block_m, request.coding)
    published = np.array([tile.id in places for tile in own.tiles], np.bool_)
    assert by.samples.parcel is not None and by.seen is not None
    asked, seen = (np.bincount(owners, minlength=len(own.tiles)) for owners in (parcels.owner, parcels.owner[by.seen]))
    lacking = np.where(published, np.minimum(asked, MOST_PER_TILE) - seen, asked)
    return kept(by, published[parcels.owner[by.samples.parcel]]), Cover(len(parcels.y), int(lacking.sum()))


def _codes(labels: Labels, ground: Ground, tile: Tile) -> NDArray[np.integer]:
    """Codes (y, x) of the tile's core, 0 = not labelled, or beyond the area."""
    codes = labels.read(tile.core)[0]
    codes[~ground.of_area(tile.core)] = 0
    return codes


def _empty(tile: Tile, places: Mapping[str, str]) -> NDArray[np.bool_]:
    """(y, x) bool, True where the map has no data."""
    if tile.id not in places:
        return np.ones(tile.core.shape, np.bool_)
    return read_named(places[tile.id], _without_data)


def _without_data(path: str) -> NDArray[np.bool_]:
    with rasterio.open(path) as source:
        return np.asarray(source.read(1) == source.nodata)


def _on(tile: Tile, by: Judges) -> NDArray[np.intp]:
    y0, y1, x0, x1 = tile.core
    row, col = by.samples.row, by.samples.col
    return np.flatnonzero((row >= y0) & (row < y1) & (col >= x0) & (col < x1))
