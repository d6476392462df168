"""What a model looks at: how far its answer moves with each input, and what a feature's loss costs it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.accuracy import confusion, score

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def permutation_importance(
    predict: Predict, x: NDArray[np.float32], y: NDArray[np.int64], seed: int = 0, repeats: int = 3
) -> NDArray[np.float64]:
    """By how much macro-F1 falls when one feature's series are dealt out anew among the samples (Breiman 2001).

    predict: x -> (n, k) probabilities. x: (n, t, f) float32. y: (n,) class indices. Returns (f,) float64, the mean of
    ``repeats`` deals. Features that say the same stand in for each other: both then look unimportant.
    """
    rng = np.random.default_rng(seed)
    whole = _macro_f1(predict(x), y)
    falls = np.zeros(x.shape[2])
    for feature in range(x.shape[2]):
        for _ in range(repeats):
            dealt = x.copy()
            dealt[:, :, feature] = x[rng.permutation(len(x)), :, feature]
            falls[feature] += whole - _macro_f1(predict(dealt), y)
    return falls / repeats


def profiles(
    x: NDArray[np.float32], y: NDArray[np.int64], classes: int, levels: tuple[float, ...] = (10, 50, 90)
) -> NDArray[np.float64]:
    """Percentiles of every feature at every step, by reference class: (k, levels, t, f) float64, NaN passed over.

    x: (n, t, f) float32 physical units. y: (n,) class indices. NaN where a class has no sample, or none with a value.
    """
    found = np.full((classes, len(levels), *x.shape[1:]), np.nan)
    for index in np.unique(y):
        own = x[y == index].astype(np.float64)
        empty = np.isnan(own).all(axis=0)
        values = np.nanpercentile(np.where(empty, 0.0, own), levels, axis=0)
        found[index] = np.where(empty, np.nan, values)
    return found


def _macro_f1(p: NDArray[np.float32], y: NDArray[np.int64]) -> float:
    return score(confusion(p.argmax(axis=1), y, p.shape[1])).macro_f1
