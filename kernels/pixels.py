"""Pixels taken out of a block of features and rescaled as a model wants them, and what it says turned into shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import contiguous, destination, refuse_overlap
from kernels.jit import jit

_RUN, _PLANES = 128, 8
"""Pixels and planes gathered at once. Planes of 256 x 256 pixels lie a power of two apart, so that more than a few of
their lines drive each other out of the cache, and runs shorter than this wait for each line singly. The innermost loop
runs over a constant number of planes: 36 steps of 13 features of a pixel then take 0.17 us, else 0.55."""
_ZERO, _ONE = np.float32(0), np.float32(1)


def gather(
    planes: NDArray[np.float32], at: NDArray[np.int64], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """All values of some pixels, pixel by pixel: the planes' columns ``at`` as rows.

    planes: (k, p) float32, any unit: a plane for each step and feature, a column for each pixel. at: (n,) int64, 0 to
    p - 1. out: (n, k) float32, C-contiguous, not overlapping ``planes``. Returns (n, k) float32, bit for bit as given.
    Raises ValueError on another dtype or shape, an index outside, or an out that overlaps.
    """
    planes, at = contiguous("planes", planes, np.float32, (None, None)), contiguous("at", at, np.int64, (None,))
    if len(at) and not (at.min() >= 0 and at.max() < planes.shape[1]):
        raise ValueError(f"at holds {at.min()} to {at.max()}, expected 0 to {planes.shape[1] - 1}")
    out = destination(out, (len(at), len(planes)), np.float32)
    refuse_overlap(out, planes)
    _gather(planes, at, out)
    return out


def rescale(
    values: NDArray[np.float32],
    lower: NDArray[np.float32],
    factor: NDArray[np.float32],
    stand_in: NDArray[np.float32],
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """(value - lower) * factor of each feature, held within 0 to 1; ``stand_in`` where a value is missing.

    values: (m, f, r) float32, the feature's unit, NaN = no data. lower: (f,) float32, same unit. factor: (f,) float32,
    one over that unit. stand_in: (f,) float32, rescaled already. out: (m, f, r) float32, C-contiguous, or the input
    itself. Returns (m, f, r) float32, no NaN but where factor or stand_in is one. ValueError on another dtype or shape.
    """
    values = contiguous("values", values, np.float32, (None, None, None))
    m, f, r = values.shape
    lower, factor = contiguous("lower", lower, np.float32, (f,)), contiguous("factor", factor, np.float32, (f,))
    stand_in = contiguous("stand_in", stand_in, np.float32, (f,))
    out = destination(out, values.shape, np.float32, values)
    # One innermost loop, and a long one, whatever f and r.
    lower, factor, stand_in = (np.repeat(line, r) for line in (lower, factor, stand_in))
    _rescale(values.reshape(m, f * r), lower, factor, stand_in, out.reshape(m, f * r))
    return out


def softmax(
    logits: NDArray[np.float32], temperature: float, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """exp(logits / temperature) over its sum, row by row, in float64 and rounded once (Guo et al. 2017, equation 9).

    logits: (n, k) float32, dimensionless; -inf gives 0, a row with NaN is all NaN. out: (n, k) float32, C-contiguous,
    or the input itself. Returns (n, k) float32, rows sum to 1. Raises ValueError on another dtype or shape, or on a
    temperature that is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature {temperature}, expected above 0")
    logits = contiguous("logits", logits, np.float32, (None, None))
    out = destination(out, logits.shape, np.float32, logits)
    _softmax(logits, float(temperature), out)
    return out


@jit
def _gather(planes: NDArray[np.float32], at: NDArray[np.int64], out: NDArray[np.float32]) -> None:
    n, k = out.shape
    whole = k - k % _PLANES
    for i0 in range(0, n, _RUN):
        i1 = min(i0 + _RUN, n)
        for j0 in range(0, whole, _PLANES):
            for i in range(i0, i1):
                column = at[i]
                for j in range(_PLANES):
                    out[i, j0 + j] = planes[j0 + j, column]
        for j in range(whole, k):
            for i in range(i0, i1):
                out[i, j] = planes[j, at[i]]


@jit
def _rescale(
    values: NDArray[np.float32],
    lower: NDArray[np.float32],
    factor: NDArray[np.float32],
    stand_in: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    m, f = values.shape
    for i in range(m):
        for j in range(f):
            out[i, j] = _held((values[i, j] - lower[j]) * factor[j], stand_in[j])


@jit
def _softmax(logits: NDArray[np.float32], temperature: float, out: NDArray[np.float32]) -> None:
    n, k = logits.shape
    row = np.empty(k, np.float64)
    for i in range(n):
        top = -np.inf
        for j in range(k):
            row[j] = np.float64(logits[i, j]) / temperature
            top = max(top, row[j])
        total = 0.0
        for j in range(k):
            row[j] = np.exp(row[j] - top)
            total += row[j]
        for j in range(k):
            out[i, j] = np.float32(row[j] / total)


@jit
def _held(value: np.float32, stand_in: np.float32) -> np.float32:
    inside = min(max(value, _ZERO), _ONE)
    return stand_in if value != value else inside
