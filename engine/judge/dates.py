"""F1 over the cut-off date, and from when on in the season each class can be told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.assess.bootstrap import block_matrices, intervals, measures
from engine.assess.timing import THRESHOLD, cut_offs, earliest, held
from engine.features import derive, hide, layers_needed
from engine.ground import Ground
from engine.judge.choose import Judges, drawn
from engine.judge.measure import HEADLINE, in_batches, only_known
from engine.judge.plain import plain, ranged
from engine.keys import shards_around
from engine.models import Classifier, Recipe, load_model
from engine.objects import Objects
from engine.parcel_samples import labelled_parcels, under_parcels
from engine.parcel_tile import Under, series_of
from engine.store import decode_window
from engine.train import TrainRequest
from engine.types import Axis, Layer, Samples, Tile

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_MOST, _MOST_SQUARES = 5000, 500
"""Pixels or parcels, and squares of pixels, that are predicted again for every cut-off: a network over squares does
some tens of them in a second."""

Input = Callable[[Recipe], NDArray[np.float32]]
"""A recipe of fewer steps -> model input (n, t, f) or (n, t, f, s, s) float32 of some samples."""


def judge_over_dates(
    classifier: Classifier, request: TrainRequest, by: Judges, dates: int, seed: int = 0
) -> dict[str, Any]:
    """F1 over cut-off dates and earliest identifiable timing, by the model as it is; labels of classes that it does
    not know are errors.

    Up to each cut-off t the features are derived as ``as_of`` = t would give them. A model that takes several cut-offs
    is asked at those from its first on. For others the steps after t hold the last value: one trained for each date
    should do better, so this tells rather too late than too early.
    """
    card = classifier.card
    few = drawn(by, _MOST_SQUARES if card.halo else _MOST, seed)
    steps = cut_offs(card.recipe.steps, dates, card.from_step or 1)
    mapped = _mapped_at(_asked_at(classifier, request.model_uri, steps), request, few)
    matrices = [block_matrices(row, few.y, few.samples.block, len(few.columns(card))) for row in mapped]
    found, between = [measures(m.sum(axis=0)) for m in matrices], [intervals(m, seed=seed) for m in matrices]
    known = [measures(only_known(m, len(card.classes)).sum(axis=0)) for m in matrices]
    axis = request.plan.axes[card.recipe.layers[0]]
    f1, low = np.stack([m.f1 for m in found]), np.stack([i.low.f1 for i in between])
    macro, macro_low = np.array([m.macro_f1 for m in found]), np.array([i.low.macro_f1 for i in between])
    return plain(
        {
            "samples": len(few.y),
            "threshold": THRESHOLD,
            "held": card.from_step is None,
            "steps": steps,
            "dates": [_day_after(axis, step) for step in steps],
            **{name: [ranged(one, its, name) for one, its in zip(found, between, strict=True)] for name in HEADLINE},
            "of_known_classes": {name: [float(getattr(one, name)) for one in known] for name in HEADLINE},
            "earliest": _earliest(macro, macro_low, axis, steps),
            "classes": [
                {
                    "code": entry.code,
                    "name": entry.name,
                    "f1": [ranged(one, its, "f1", k) for one, its in zip(found, between, strict=True)],
                    "earliest": _earliest(f1[:, k], low[:, k], axis, steps),
                }
                for k, entry in enumerate(card.classes)
            ],
        }
    )


def _asked_at(classifier: Classifier, uri: str, steps: Sequence[int]) -> dict[int, Predict]:
    """How the model is asked at each cut-off: as itself, or of series held at their last value."""
    if classifier.card.from_step is not None:
        return {until: load_model(uri, steps=until).predict for until in steps}
    whole = classifier.card.recipe.steps
    return dict.fromkeys(steps, lambda x: classifier.predict(held(x, whole)))


def _mapped_at(asked: Mapping[int, Predict], request: TrainRequest, by: Judges) -> NDArray[np.int64]:
    """Class index of every sample at each cut-off, (d, n) int64."""
    mapped = np.zeros((len(asked), len(by.y)), np.int64)
    for rows, given in _of_parcels(request, by.samples) if request.labels.per == "parcel" else _of_pixels(request, by):
        for d, (until, predict) in enumerate(asked.items()):
            x = given(request.recipe.model_copy(update={"steps": until}))
            mapped[d, rows] = in_batches(predict, x).argmax(axis=1)
    return mapped


def _of_pixels(request: TrainRequest, by: Judges) -> Iterator[tuple[NDArray[np.intp], Input]]:
    """Which pixels lie on a tile, and their input, tile by tile."""
    row, col = by.samples.row, by.samples.col
    for tile in request.plan.tiles:
        y0, y1, x0, x1 = tile.core
        rows = np.flatnonzero((row >= y0) & (row < y1) & (col >= x0) & (col < x1))
        if len(rows):
            yield rows, _squares(request, tile, row[rows] - y0, col[rows] - x0)


def _squares(request: TrainRequest, tile: Tile, row: NDArray[np.integer], col: NDArray[np.integer]) -> Input:
    """The input of these pixels of a tile, with a halo of the squares around them; features exist for these alone."""
    halo, layout, grid = request.options.halo, request.layout, request.plan.grid
    side, window = 2 * halo + 1, tile.core.padded(halo)
    at = np.arange(side)
    y = np.broadcast_to(row[:, None, None] + at[:, None], (len(row), side, side)).ravel()
    x = np.broadcast_to(col[:, None, None] + at, (len(row), side, side)).ravel()
    beyond = ~Ground(grid, request.plan.area, None).of_area(window)[y, x]
    sums, cube = shards_around(grid, tile, halo, request.records), Objects(request.cube_uri)
    columns = {}
    for name in layers_needed(request.recipe.features):
        layer = decode_window(cube, layout, window, name, sums, request.recipe.steps)
        columns[name] = Layer(
            np.ascontiguousarray(layer.values[:, :, y, x][:, :, None]),
            np.ascontiguousarray(layer.count[:, y, x][:, None]),
        )

    def given(recipe: Recipe) -> NDArray[np.float32]:
        features = hide(derive(columns, recipe), beyond[None]).x
        squares = features.reshape(*features.shape[:2], len(row), *((side, side) if halo else ()))
        return np.ascontiguousarray(np.moveaxis(squares, 2, 0))

    return given


def _of_parcels(request: TrainRequest, samples: Samples) -> Iterator[tuple[NDArray[np.intp], Input]]:
    """Which parcels a tile owns, and their input, tile by tile."""
    assert samples.parcel is not None
    own = request.own
    parcels = labelled_parcels(own.labels, own.grid, own.area, own.tiles, request.options.block_m, request.coding)
    ground = own.ground(request.mask)
    owner = parcels.owner[samples.parcel]
    for index in np.unique(owner):
        rows = np.flatnonzero(owner == index)
        under = under_parcels(own, request.recipe, parcels.shapes[samples.parcel[rows]], ground)

        def given(recipe: Recipe, under: Under = under) -> NDArray[np.float32]:
            series = series_of(under, recipe, request.labels.statistic)
            return np.where((series.pixels > 0)[:, None, None], series.x, np.float32(np.nan))

        yield rows, given


def _earliest(f1: NDArray[np.float64], low: NDArray[np.float64], axis: Axis, steps: Sequence[int]) -> dict[str, Any]:
    """The three timings as days; None where it never comes to that."""
    found = earliest(f1, low)
    places = {"first": found.first, "sustained": found.sustained, "confident": found.confident}
    return {name: None if at is None else _day_after(axis, steps[at]) for name, at in places.items()}


def _day_after(axis: Axis, step: int) -> str:
    """The first day that is not used when so many leading steps are."""
    return axis.ends[step - 1].date().isoformat()
