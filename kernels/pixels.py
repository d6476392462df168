"""Pixels taken out of a block of features, one after the other, and rescaled as a model wants them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import contiguous, destination, refuse_overlap
from kernels.jit import jit

_RUN, _PLANES = 128, 8
"""Pixels and planes gathered at once. Planes of 256 x 256 pixels lie a power of two apart, so that more than a few of
their lines drive each other out of the cache; and runs shorter than this wait for each line singly."""
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
    each = (values.shape[1],)
    lower, factor = contiguous("lower", lower, np.float32, each), contiguous("factor", factor, np.float32, each)
    stand_in = contiguous("stand_in", stand_in, np.float32, each)
    out = destination(out, values.shape, np.float32, values)
    _rescale(values, lower, factor, stand_in, out)
    return out


@jit
def _gather(planes: NDArray[np.float32], at: NDArray[np.int64], out: NDArray[np.float32]) -> None:
    n, k = out.shape
    for i0 in range(0, n, _RUN):
        for j0 in range(0, k, _PLANES):
            for i in range(i0, min(i0 + _RUN, n)):
                for j in range(j0, min(j0 + _PLANES, k)):
                    out[i, j] = planes[j, at[i]]


@jit
def _rescale(
    values: NDArray[np.float32],
    lower: NDArray[np.float32],
    factor: NDArray[np.float32],
    stand_in: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    m, f, r = values.shape
    for i in range(m):
        if r == 1:  # the innermost loop must be a long one
            for j in range(f):
                out[i, j, 0] = _held((values[i, j, 0] - lower[j]) * factor[j], stand_in[j])
        else:
            for j in range(f):
                low, by, instead = lower[j], factor[j], stand_in[j]
                for k in range(r):
                    out[i, j, k] = _held((values[i, j, k] - low) * by, instead)


@jit
def _held(value: np.float32, stand_in: np.float32) -> np.float32:
    inside = min(max(value, _ZERO), _ONE)
    return stand_in if value != value else inside
