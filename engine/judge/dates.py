"""F1 over the cut-off date, and from when on in the season each class can be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.assess.bootstrap import block_matrices, intervals, measures
from engine.assess.timing import THRESHOLD, cut_offs, earliest, held
from engine.features import derive, layers_needed
from engine.judge.choose import Judges, drawn
from engine.judge.measure import in_batches
from engine.judge.plain import plain, ranged
from engine.models import Classifier, load_model
from engine.objects import Objects
from engine.store import decode_layer
from engine.train import TrainRequest
from engine.types import Axis, Layer, Tile

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_MOST = 5000
"""Pixels that are predicted again for every cut-off."""


def judge_over_dates(
    classifier: Classifier, request: TrainRequest, by: Judges, dates: int, seed: int = 0
) -> dict[str, Any]:
    """F1 over cut-off dates and earliest identifiable timing, by the model as it is.

    Up to each cut-off t the features are derived as ``as_of`` = t would give them. A model that takes several cut-offs
    is asked at those from its first on. For others the steps after t hold the last value: one trained for each date
    should do better, so this tells rather too late than too early.
    """
    card = classifier.card
    few = drawn(by, _MOST, seed)
    steps = cut_offs(card.recipe.steps, dates, card.from_step or 1)
    mapped = _mapped_at(_asked_at(classifier, request.model_uri, steps), request, few)
    matrices = [block_matrices(row, few.y, few.samples.block, len(card.classes)) for row in mapped]
    found, between = [measures(m.sum(axis=0)) for m in matrices], [intervals(m, seed=seed) for m in matrices]
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
            **{
                name: [ranged(one, its, name) for one, its in zip(found, between, strict=True)]
                for name in ("overall", "kappa", "macro_f1")
            },
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
    """Class index of every pixel at each cut-off, (d, n) int64."""
    cube = Objects(request.cube_uri)
    mapped = np.zeros((len(asked), len(by.y)), np.int64)
    for tile in request.plan.tiles:
        y0, y1, x0, x1 = tile.core
        row, col = by.samples.row, by.samples.col
        rows = np.flatnonzero((row >= y0) & (row < y1) & (col >= x0) & (col < x1))
        if not len(rows):
            continue
        columns = _columns(cube, request, tile, row[rows] - y0, col[rows] - x0)
        for d, (until, predict) in enumerate(asked.items()):
            x = derive(columns, request.recipe.model_copy(update={"steps": until})).x[:, :, 0].transpose(2, 0, 1)
            mapped[d, rows] = in_batches(predict, np.ascontiguousarray(x)).argmax(axis=1)
    return mapped


def _columns(
    cube: Objects, request: TrainRequest, tile: Tile, row: NDArray[np.integer], col: NDArray[np.integer]
) -> dict[str, Layer]:
    """The tile's layers at these pixels alone, as an image of one row: (t, b, 1, n)."""
    sums, recipe = request.records[tile.id].body["checksums"], request.recipe
    columns = {}
    for name in layers_needed(recipe.features):
        layer = decode_layer(cube, request.layout, tile, name, sums, recipe.steps)
        columns[name] = Layer(
            np.ascontiguousarray(layer.values[:, :, row, col][:, :, None]),
            np.ascontiguousarray(layer.count[:, row, col][:, None]),
        )
    return columns


def _earliest(f1: NDArray[np.float64], low: NDArray[np.float64], axis: Axis, steps: Sequence[int]) -> dict[str, Any]:
    """The three timings as days; None where it never comes to that."""
    found = earliest(f1, low)
    places = {"first": found.first, "sustained": found.sustained, "confident": found.confident}
    return {name: None if at is None else _day_after(axis, steps[at]) for name, at in places.items()}


def _day_after(axis: Axis, step: int) -> str:
    """The first day that is not used when so many leading steps are."""
    return axis.ends[step - 1].date().isoformat()
