"""A stratified random sample whose strata are the map's classes: how many points, in which stratum, and which pixels.

Good practice after Olofsson et al. (2014, Remote Sensing of Environment 148, 42-57), section 5.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SMALLEST = 50
"""Points in a rare class (section 5.1.2 suggests 50 to 100): too few say nothing of its user's accuracy."""


def sample_size(weight: NDArray[np.floating], users: NDArray[np.floating], error: float) -> int:
    """Points for a standard error of overall accuracy of ``error``: n = (sum of W_i S_i / error)^2, equation 13.

    weight: (k,) shares of the mapped area, summing to 1. users: (k,) user's accuracies expected, 0 to 1;
    S_i = sqrt(U_i (1 - U_i)). The equation's term for a small population is left out: it only ever saves points.
    """
    if not 0 < error < 1:
        raise ValueError(f"error must lie between 0 and 1, got {error}")
    spread = np.sqrt(np.asarray(users) * (1 - np.asarray(users)))
    return math.ceil(round(float((np.asarray(weight) * spread).sum() / error) ** 2, 9))


def allocate(size: int, pixels: NDArray[np.integer], smallest: int = SMALLEST) -> NDArray[np.int64]:
    """Points per stratum, (k,) int64, summing to ``size`` where there are so many pixels.

    Every stratum gets ``smallest`` (or an equal share, where ``size`` is too small for that), the rest is dealt in
    proportion to area, by largest remainders. pixels: (k,) of the map in each stratum; none gets more than it has, and
    a stratum with pixels gets two points or more if ``size`` allows: one has no variance.
    """
    room = np.asarray(pixels, np.int64)
    strata = int((room > 0).sum())
    if strata == 0 or size < 2 * strata:
        raise ValueError(f"{size} points cannot give two to each of {strata} strata")
    size = min(size, int(room.sum()))
    points = np.minimum(room, min(smallest, size // strata))
    while (rest := size - int(points.sum())) > 0:
        free = np.where(points < room, room, 0)
        share = rest * free / free.sum()
        more = np.floor(share).astype(np.int64)
        order = np.argsort(more - share, kind="stable")
        more[order[: rest - int(more.sum())]] += 1
        points = np.minimum(points + more, room)
    return points


def draw_ranks(points: NDArray[np.int64], pixels: NDArray[np.int64], seed: int) -> list[NDArray[np.int64]]:
    """Per stratum, which of its pixels are drawn, by their rank among them: (points,) int64 ascending, no two alike."""
    rng = np.random.default_rng(seed)
    pairs = zip(points.tolist(), pixels.tolist(), strict=True)
    return [
        np.sort(rng.choice(room, count, replace=False)) if count else np.empty(0, np.int64) for count, room in pairs
    ]
