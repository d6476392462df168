"""Sub-classes of a crop: maize sown early and maize sown late are two crops to whoever looks for their likes.

A 1 x m self-organising map (MiniSom) of a class' labelled samples; a sub-class is what one unit matches best. Teimouri
et al. 2023 (PFG) choose m of 2 to 4 by WC(m) / BC(m), where BC is a sum over the sub-classes: that picks the largest m
always, for a class of one kind as well. So by default m is the best of 1 to 4 by the Calinski-Harabasz index.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.training.virtual_options import Criterion

MOST = 4
"""Sub-classes of a class."""
MIN_SIZE = 10
"""Labelled samples of a sub-class at least."""
_SIGMA, _RATE = 0.5, 0.5
"""With MiniSom's own width of 1, units of so small a map never part."""
_UPDATES = 1_000
"""Of the map: some hundredths of a second, whatever the number of samples."""
_CLEARER = 1.15
"""Two sub-classes or more must explain so many times what they explain in a Gaussian class of the same covariance. Two
heaps do where their centres lie some 3.2 standard deviations apart. Without it a Gaussian class is always split."""
_REFERENCES = 3


def sub_classes(x: NDArray[np.float64], y: NDArray[np.int64], criterion: Criterion, seed: int) -> NDArray[np.int64]:
    """Sub-class (n,) int64 of each sample, numbered from 0 through all classes in order. Equal input, equal result.

    x: (n, d) float64 scaled to 0 to 1, no NaN. y: (n,) class indices.
    """
    out, found = np.empty(len(y), np.int64), 0
    for label in np.unique(y):
        own = np.flatnonzero(y == label)
        out[own] = found + split(x[own], criterion, seed)
        found = int(out[own].max()) + 1
    return out


def split(x: NDArray[np.float64], criterion: Criterion, seed: int) -> NDArray[np.int64]:
    """Sub-class (n,) int64 from 0 of each sample of one class, x (n, d) float64.

    ``calinski_harabasz``: of m = 2, 3, 4 the one of the largest index, among those whose sub-classes all have
    ``MIN_SIZE`` samples and explain ``_CLEARER`` times the sum of squares that as many explain in a Gaussian class of
    the same covariance; m = 1 where there is none. ``paper``: of m = 2, 3, 4 the one of the smallest WC / BC.
    """
    one = np.zeros(len(x), np.int64)
    if criterion == "paper":
        tried = [mapped(x, m, seed) for m in range(2, min(MOST, len(x)) + 1)]
        return min(tried, key=lambda member: paper_score(x, member), default=one)
    from sklearn.metrics import calinski_harabasz_score  # takes a second to import

    best, chosen = 0.0, one
    for m in range(2, min(MOST, len(x) // MIN_SIZE) + 1):
        member = mapped(x, m, seed)
        whole = member.max() == m - 1 and np.bincount(member).min() >= MIN_SIZE
        if whole and explained(x, member) > _CLEARER * _explained_by_chance(x, m, seed):
            index = float(calinski_harabasz_score(x, member))
            best, chosen = max((best, chosen), (index, member), key=lambda tried: tried[0])
    return chosen


def mapped(x: NDArray[np.float64], m: int, seed: int) -> NDArray[np.int64]:
    """The unit (n,) int64 of a trained 1 x m map that matches each sample best; units that match none are not counted.

    x: (n, d) float64. Random training order, Gaussian neighbourhood of width 0.5, learning rate falling from 0.5 to 0.
    """
    from minisom import MiniSom  # only who asks for virtual labels needs it

    som = MiniSom(
        1, m, x.shape[1], sigma=_SIGMA, learning_rate=_RATE, decay_function="linear_decay_to_zero", random_seed=seed
    )
    # MiniSom takes the first samples where there are more than updates.
    shuffled = x[np.random.default_rng(seed).permutation(len(x))]
    som.random_weights_init(shuffled)
    som.train(shuffled, _UPDATES, random_order=True)
    far = ((x[:, None] - som.get_weights()[0]) ** 2).sum(axis=2)
    return np.unique(far.argmin(axis=1), return_inverse=True)[1].astype(np.int64)


def explained(x: NDArray[np.float64], member: NDArray[np.int64]) -> float:
    """Sum of squares of x (n, d) that lies between its sub-classes, member (n,)."""
    mean = x.mean(axis=0)
    own = [x[member == unit] for unit in range(member.max() + 1)]
    return float(sum(len(part) * ((part.mean(axis=0) - mean) ** 2).sum() for part in own))


def paper_score(x: NDArray[np.float64], member: NDArray[np.int64]) -> float:
    """WC / BC as we read the source's Eq. 1 to 3: mean distance of the samples to their sub-class' centre, over the sum
    of the sub-class centres' distances to the class' centre. Infinite for one sub-class."""
    centres = np.array([x[member == unit].mean(axis=0) for unit in range(member.max() + 1)])
    within = np.linalg.norm(x - centres[member], axis=1).mean()
    between = np.linalg.norm(centres - x.mean(axis=0), axis=1).sum()
    return float(within / between) if between > 0 else np.inf


def _explained_by_chance(x: NDArray[np.float64], m: int, seed: int) -> float:
    """What m sub-classes explain of as many samples of a Gaussian class of x's covariance, the mean of some draws."""
    value, vector = np.linalg.eigh(np.cov(x, rowvar=False).reshape(x.shape[1], x.shape[1]))
    spread = vector * np.sqrt(value.clip(min=0))
    rng = np.random.default_rng(seed)
    made = [rng.standard_normal(x.shape) @ spread.T for _ in range(_REFERENCES)]
    return float(np.mean([explained(part, mapped(part, m, seed)) for part in made]))
