"""Gaps in time series filled. Series lie side by side, (t, n), and the inner loops run across them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import contiguous, destination, refuse_overlap
from kernels.jit import jit

_RUN = 2048
"""Series worked at once: 36 steps of them stay in the second-level cache, and the calls per step cost little (measured:
128 series 15, 2048 series 67 million series a second)."""

_NAN = np.float32(np.nan)


def fill_linear(
    values: NDArray[np.float32], hold_ends: bool = True, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """The series with gaps filled by linear interpolation along time, steps taken as equally long.

    values: (t, n) float32, any unit, NaN = no data. hold_ends: steps before the first and after the last valid value
    take that value; otherwise they stay NaN. out: (t, n) float32, C-contiguous, not overlapping the input.
    Returns (t, n) float32; valid values unchanged, an all-NaN series all NaN. Step k between valid a and b (a < k < b)
    gets v_a + (v_b - v_a) (k - a) / (b - a), the product before the quotient, so straight lines in whole numbers are
    exact. Each series depends on itself alone.
    Raises ValueError on another dtype or shape, or an out that overlaps the input.
    """
    values = contiguous("values", values, np.float32, (None, None))
    out = destination(out, values.shape, np.float32)
    refuse_overlap(out, values)
    _fill(values, hold_ends, out)
    return out


@jit
def _fill(values: NDArray, hold_ends: bool, out: NDArray) -> None:
    """Backward in time the next valid value and its step are noted, forward the last valid one is carried along.

    The input is read once and the result written once: rows of a power-of-two length fall into the same cache sets, and
    a second visit would miss.
    """
    steps, series = values.shape
    width = min(_RUN, series)
    next_value = np.full((steps + 1, width), _NAN, np.float32)
    next_step = np.full((steps + 1, width), _NAN, np.float32)
    last_value = np.empty(width, np.float32)
    last_step = np.empty(width, np.float32)
    for start in range(0, series, _RUN):
        stop = min(start + _RUN, series)
        for k in range(steps - 1, -1, -1):
            later = next_value[k + 1], next_step[k + 1]
            _note(values[k][start:stop], np.float32(k), later, next_value[k], next_step[k])
        last_value[:] = _NAN
        last_step[:] = _NAN
        for k in range(steps):
            _carry(next_value[k], next_step[k], np.float32(k), last_value, last_step)
            known = last_value, last_step, next_value[k], next_step[k]
            _between(known, np.float32(k), hold_ends, out[k][start:stop])


@jit
def _note(
    values: NDArray, step: np.float32, later: tuple[NDArray, NDArray], next_value: NDArray, next_step: NDArray
) -> None:
    """The value here where it is valid, else what is noted for the step after."""
    later_value, later_step = later
    for i in range(values.size):
        value, other, other_step = values[i], later_value[i], later_step[i]
        next_value[i] = other if np.isnan(value) else value
        next_step[i] = other_step if np.isnan(value) else step


@jit
def _carry(next_value: NDArray, next_step: NDArray, step: np.float32, last_value: NDArray, last_step: NDArray) -> None:
    """Where the next valid step is this one, its value becomes the last valid one."""
    for i in range(last_value.size):
        value, here, old_value, old_step = next_value[i], next_step[i] == step, last_value[i], last_step[i]
        last_value[i] = value if here else old_value
        last_step[i] = step if here else old_step


@jit
def _between(known: tuple[NDArray, NDArray, NDArray, NDArray], step: np.float32, hold_ends: bool, out: NDArray) -> None:
    """The value at this step from the last and the next valid one; a missing side is NaN."""
    last_value, last_step, next_value, next_step = known
    for i in range(out.size):
        before, after = last_value[i], next_value[i]
        gap = next_step[i] - last_step[i]
        between = before + (after - before) * (step - last_step[i]) / gap
        nearest = before if np.isnan(after) else after
        end = nearest if hold_ends else _NAN
        inside = between if gap > 0 else before  # no gap: the step itself is valid
        out[i] = end if np.isnan(gap) else inside
