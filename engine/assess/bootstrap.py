"""Intervals of accuracies by resampling whole blocks: neighbouring pixels are alike, so pixels are not what varies.

A resample draws as many blocks as there are, with replacement. Confusion matrices add up, so a resample is a weighted
sum of the blocks' matrices, and all resamples together are one matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEAST_BLOCKS = 3
"""With two, every second resample would be one block alone: the interval is from the one's number to the other's."""
LEVELS = (2.5, 97.5)
"""Percentiles of a 95 % interval."""
_AT_ONCE = 2**24
"""Numbers of resampled matrices held at a time, 128 MiB: 50 classes 2000 times are 40 MB, 250 classes a gigabyte."""


@dataclass(frozen=True, slots=True)
class Measures:
    """Accuracies of confusion matrices (..., k, k), rows map, columns reference, as ``engine.accuracy.score`` has them.

    overall, kappa, macro_f1: (...) float64. users, producers, f1: (..., k) float64. NaN where not defined.
    """

    overall: NDArray[np.float64]
    kappa: NDArray[np.float64]
    macro_f1: NDArray[np.float64]
    users: NDArray[np.float64]
    producers: NDArray[np.float64]
    f1: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Intervals:
    """Ends of 95 % percentile intervals, shapes as in ``Measures``. NaN where fewer than ``LEAST_BLOCKS`` speak for it:
    of a class in one or two blocks, resampling blocks says nothing."""

    low: Measures
    high: Measures


def block_matrices(
    mapped: NDArray[np.integer], reference: NDArray[np.integer], block: NDArray[np.integer], classes: int
) -> NDArray[np.int64]:
    """One confusion matrix per block, (b, k, k) int64, rows map, columns reference, blocks in ascending order.

    mapped, reference: (n,) class indices 0 <= i < classes. block: (n,) block numbers.
    """
    numbers, which = np.unique(block, return_inverse=True)
    flat = (which.astype(np.int64) * classes + mapped) * classes + reference
    return np.bincount(flat, minlength=len(numbers) * classes**2).reshape(len(numbers), classes, classes)


def measures(matrices: NDArray) -> Measures:
    """The accuracies of many matrices (..., k, k) at once."""
    counts = matrices.astype(np.float64, copy=False)
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    rows, columns, total = counts.sum(axis=-1), counts.sum(axis=-2), counts.sum(axis=(-2, -1))
    overall = _ratio(right.sum(axis=-1), total)
    chance = _ratio((rows * columns).sum(axis=-1), total * total)
    f1 = _ratio(2 * right, rows + columns)
    kappa = _ratio(overall - chance, 1 - chance)
    return Measures(overall, kappa, _mean_of_known(f1), _ratio(right, rows), _ratio(right, columns), f1)


def intervals(matrices: NDArray[np.int64], resamples: int = RESAMPLES, seed: int = 0) -> Intervals:
    """95 % percentile intervals of the accuracies of all blocks together (Efron and Tibshirani 1993, chapter 13).

    matrices: (b, k, k) of ``block_matrices``. A resample into which no block of a class has come gives that class no
    number, and is passed over; else the F1 of a class in few blocks would often be 0 for want of anything to find.
    """
    held = matrices.sum(axis=(0, 1)) > 0
    return _ends([_measured(part, held) for part in _resampled(matrices, resamples, seed)], matrices)


def difference(
    first: NDArray[np.int64], second: NDArray[np.int64], resamples: int = RESAMPLES, seed: int = 0
) -> Intervals:
    """95 % intervals of first minus second, two models on the same samples: both see the same resamples of blocks.

    An interval without 0 in it says that they differ. Raises ValueError where the blocks are not the same.
    """
    if first.shape != second.shape or not np.array_equal(first.sum(axis=1), second.sum(axis=1)):
        raise ValueError("the two models' matrices must be of the same samples in the same blocks")
    pairs = zip(_resampled(first, resamples, seed), _resampled(second, resamples, seed), strict=True)
    held = first.sum(axis=(0, 1)) > 0
    drawn = [_less(_measured(one, held), _measured(other, held)) for one, other in pairs]
    return _ends(drawn, first + second)


def _measured(resampled: NDArray[np.float64], held: NDArray[np.bool_]) -> Measures:
    """The accuracies of resamples, without the F1 of classes that the reference has (``held``), but not in there."""
    found = measures(resampled)
    f1 = np.where(held & (resampled.sum(axis=-2) == 0), np.nan, found.f1)
    return replace(found, f1=f1, macro_f1=_mean_of_known(f1))


def _less(first: Measures, second: Measures) -> Measures:
    return Measures(*(getattr(first, name) - getattr(second, name) for name in Measures.__slots__))


def _ends(drawn: list[Measures], matrices: NDArray[np.int64]) -> Intervals:
    ends = []
    for level in LEVELS:
        found = {name: _percentile([getattr(part, name) for part in drawn], level) for name in Measures.__slots__}
        ends.append(Measures(**_known(found, matrices)))
    return Intervals(ends[0], ends[1])


def _resampled(matrices: NDArray[np.int64], resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Sums of the blocks drawn, (some, k, k) float64, ``resamples`` in all; equal seeds draw equal blocks."""
    blocks, classes = len(matrices), matrices.shape[-1]
    rng = np.random.default_rng(seed)
    flat = matrices.reshape(blocks, -1).astype(np.float64)
    some = max(1, _AT_ONCE // max(classes**2, blocks))
    for start in range(0, resamples, some):
        times = rng.multinomial(blocks, np.full(blocks, 1 / blocks), min(some, resamples - start))
        yield (times.astype(np.float64) @ flat).reshape(-1, classes, classes)


def _percentile(parts: list[NDArray[np.float64]], level: float) -> NDArray[np.float64]:
    """Percentile over the first axis of the parts joined, NaN passed over, NaN where there is nothing else."""
    values = np.concatenate(parts)
    empty = np.isnan(values).all(axis=0)
    return np.where(empty, np.nan, np.nanpercentile(np.where(empty, 0.0, values), level, axis=0))


def _known(found: dict[str, NDArray[np.float64]], matrices: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """``found`` with NaN where fewer than ``LEAST_BLOCKS`` hold the class, or are there at all."""
    mapped, reference = ((matrices.sum(axis=axis) > 0).sum(axis=0) < LEAST_BLOCKS for axis in (2, 1))
    few = np.asarray(len(matrices) < LEAST_BLOCKS)
    unknown = {"users": mapped, "producers": reference, "f1": reference}
    return {name: np.where(unknown.get(name, few) | few, np.nan, values) for name, values in found.items()}


def _mean_of_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1))


def _ratio(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    """a / b in float64, NaN where b is 0."""
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b != 0)
