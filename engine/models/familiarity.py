"""How familiar a pixel is to a model: whether its series lies among those the model was trained on.

A classifier gives every pixel one of its classes, also land of a kind it has never seen, and is often sure of it. What
a package carries beside its weights tells such land: where the training's samples lie in the space of the scaled
features. Each feature of each step counts by how much it tells of the classes, as in the dissimilarity index of the
area of applicability (Meyer and Pebesma 2021, Methods in Ecology and Evolution 12(9)); along at most 32 principal axes
the distance is that of Mahalanobis to the nearest class, with one covariance shared by all and shrunk (Lee et al. 2018,
A Simple Unified Framework for Detecting Out-of-Distribution Samples; Ledoit and Wolf 2004). Its scale is that of the
validation samples: familiarity is the share of these, in percent, that lie at least as far out (the conformal p-value
of Vovk et al. 2005).

No pass through the model is needed: it works alike for a network, a forest and a support vector machine. How it
compares with the index itself, with distances in a network's last hidden layer and with the classes' probabilities:
``tests/bench/familiarity.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from engine.errors import InputError
from engine.models.card import Card
from engine.models.scaling import scale

FAMILIARITY_NAME = "familiarity.safetensors"
FAMILIARITY_VERSION = "familiarity-1"
"""Raised whenever the arithmetic of the distance changes: it is part of the keys of map tiles that tell it."""
FALSE_ALARMS = 5
"""Percent of known land that may be told unfamiliar, where nothing else is asked for."""
LEVELS = 100
"""Steps of familiarity, one a percent."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What tells the familiar, for one number of leading steps.

    centre: (d,) float32, d = steps * features, of scaled series. axes: (d, r) float32, which weigh the features and
    whiten the covariance within classes. points: (r, k) float32, the classes' means along these. levels: (100,)
    float32, never rising: the largest squared distance of familiarity 1, 2, ... 100; infinite where every pixel has it.
    """

    steps: int
    centre: NDArray[np.float32]
    axes: NDArray[np.float32]
    points: NDArray[np.float32]
    levels: NDArray[np.float32]

    def distance(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        """Squared distance (n,) float32 of scaled series (n, t, f) float32 to the nearest class, of their first
        ``steps`` steps. A row's result depends on the row alone."""
        from kernels.nearest import nearest  # brings Numba along

        rows = np.ascontiguousarray(scaled[:, : self.steps]).reshape(len(scaled), -1)
        return nearest(rows, self.centre, self.axes, self.points)

    def familiarity(self, x: NDArray[np.float32], card: Card) -> NDArray[np.uint8]:
        """Familiarity (n,) uint8, 0 to 100, of series (n, t, f) float32, physical units, NaN = missing, as the model
        is given them (of squares the middle pixel's): the percentage, rounded down, of known land that lies at least as
        far from what was learnt.

        Below 5 therefore lie five in a hundred samples of classes the model knows, and more of what it does not.
        """
        return self.graded(self.distance(scale(middle(x), card.lower, card.upper, card.fill)))

    def graded(self, apart: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Familiarity (n,) uint8 of distances (n,) float32: how many levels are no less."""
        return np.searchsorted(-self.levels, -apart, side="right").astype(np.uint8)  # levels fall: negatives rise


def middle(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Series (n, t, f) as they are; of squares (n, t, f, s, s) those of the middle pixel."""
    return x[..., x.shape[3] // 2, x.shape[4] // 2] if x.ndim == 5 else x


def levels_of(apart: NDArray[np.float32]) -> NDArray[np.float32]:
    """``Reference.levels`` of the distances (n,) of validation samples.

    Familiarity v is reached where (1 + how many of them are no less) / (1 + n) >= v / 100: so at most v in a hundred
    pixels of land like theirs lie below v, however few they are.
    """
    falling, n = np.sort(apart)[::-1], len(apart)
    least = np.array([-(-v * (n + 1) // LEVELS) - 1 for v in range(1, LEVELS + 1)])
    return np.where(least == 0, np.float32(np.inf), falling[np.maximum(least, 1) - 1]).astype(np.float32)


def to_bytes(references: Mapping[int, Reference]) -> bytes:
    """The references by their steps as safetensors bytes: ``steps/name`` for each array."""
    arrays = {}
    for steps, one in references.items():
        for name in _NAMES:
            arrays[f"{steps}/{name}"] = np.ascontiguousarray(getattr(one, name))
    return save(arrays)


def reference_of(data: bytes, card: Card, place: str) -> Reference:
    """The reference for a card (cut to the steps that are known): that of the most steps among those no more.

    InputError where the bytes hold none that fits the card.
    """
    try:
        arrays = load(data)
        held = {int(name.split("/")[0]) for name in arrays}
        steps = max(steps for steps in held if steps <= card.recipe.steps)
        found = Reference(steps, *(arrays[f"{steps}/{name}"] for name in _NAMES))
    except (SafetensorError, KeyError, ValueError) as error:
        raise _unfit(f"{type(error).__name__}: {error}", place) from error
    (d, r), k = found.axes.shape, found.points.shape[-1]
    shapes = [getattr(found, name).shape for name in _NAMES]
    numbers = all(getattr(found, name).dtype == np.float32 for name in _NAMES)
    finite = all(np.isfinite(getattr(found, name)).all() for name in _NAMES[:-1])
    if shapes != [(steps * len(card.recipe.features),), (d, r), (r, k), (LEVELS,)] or not (k and numbers and finite):
        raise _unfit(f"arrays of shapes {shapes}", place)
    if np.isnan(found.levels).any() or (found.levels[1:] > found.levels[:-1]).any():
        raise _unfit("levels that rise", place)
    return found


_NAMES = ("centre", "axes", "points", "levels")


def _unfit(what: str, place: str) -> InputError:
    return InputError(
        f"no reference of this card's training ({what})", place=place,
        remedy="copy the model folder again, or train the model anew",
    )  # fmt: skip
