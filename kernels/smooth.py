"""Time series filled and smoothed. Series lie side by side, (t, n), and the inner loops run across them.

Both kernels look at the leading ``until`` steps only (None: at all) and give back as many: what lies at or after the
cut-off can change nothing, for it is never read.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import check, destination, refuse_overlap
from kernels.jit import jit

_RUN = 2048
"""Series worked at once: 36 steps of them stay in the second-level cache, and the calls per step cost little (measured:
128 series 15, 2048 series 67 million series a second)."""

_NAN = np.float32(np.nan)
_NOTHING = np.float64(0.0)

MOST_SMOOTHING = 1e10
"""Beyond, rounding of the float64 state shows: at 1e14 a straight line misses by 0.05, at 1e16 nothing is left."""

_ROW = 256
"""Series smoothed at once: their state for 36 steps takes 240 KiB of the second-level cache (measured: 128 series 17 to
23, 256 series 22 to 27 million series a second)."""

# One step of that state, each plane _ROW long: value, and the two factors of L' that reach the next two steps.
_V, _C, _E, _STEP = 0, _ROW, 2 * _ROW, 3 * _ROW


def fill_linear(
    values: NDArray[np.float32],
    hold_ends: bool = True,
    out: NDArray[np.float32] | None = None,
    *,
    until: int | None = None,
) -> NDArray[np.float32]:
    """The series with gaps filled by linear interpolation along time, steps taken as equally long.

    values: (t, n) float32, any unit, NaN = no data. hold_ends: steps before the first and after the last valid value
    take that value; otherwise they stay NaN. until: steps 0 to until - 1 are read and returned, None: all t; T is their
    number. out: (T, n) float32, C-contiguous, not overlapping the input.
    Returns (T, n) float32; valid values unchanged, an all-NaN series all NaN. Step k between valid a and b (a < k < b)
    gets v_a + (v_b - v_a) (k - a) / (b - a), the product before the quotient, so straight lines in whole numbers are
    exact; error up to 2^-22 (|v_a| + |v_b|), values below 1e36. Each series depends on itself alone.
    Raises ValueError on another dtype or shape, an until outside 0 to t, or an out that overlaps the input.
    """
    values = _leading(values, until)
    out = destination(out, values.shape, np.float32)
    refuse_overlap(out, values)
    _fill(values, hold_ends, out)
    return out


def whittaker(
    values: NDArray[np.float32],
    smoothing: float,
    *,
    weights: NDArray[np.float32] | None = None,
    until: int | None = None,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """The series smoothed, gaps and ends included: the z that makes (W + lambda D' D) z = W y, D second differences.

    values: (t, n) float32, any unit, NaN = no data (weight 0). smoothing: lambda > 0, dimensionless: the larger, the
    smoother. weights: (t, n) float32, dimensionless; NaN, 0 and below count as 0; None: 1 where valid. until: steps 0
    to until - 1 are read and returned, None: all t; T is their number. Steps are taken as equally long.
    out: (T, n) float32, C-contiguous, not overlapping the inputs.
    Returns (T, n) float32, the unit of the values. A series with fewer than two values of weight above 0 is NaN at
    every step: counted, for rounding would hide it. Straight lines come back as they are; each series depends on
    itself alone.

    Pentadiagonal L D L' in float64 (Eilers 2003), one division a step. Of the solution in exact arithmetic the result
    misses up to half a unit in its last float32 place and about 1e-16 lambda of the largest |value| (in float32 it
    would be 1e-7 lambda: 2e-3 at lambda 1e4 was measured).
    Raises ValueError on another dtype or shape, a lambda not above 0 or above ``MOST_SMOOTHING``, an until outside 0 to
    t, or an out that overlaps an input.
    """
    if not 0 < smoothing <= MOST_SMOOTHING:
        raise ValueError(
            f"smoothing {smoothing}, expected above 0 and up to {MOST_SMOOTHING:g}; 1 to 1e4 is usual for ten-day steps"
        )
    shape = values.shape
    values = _leading(values, until)
    weighted = weights is not None
    if weights is not None:
        check("weights", weights, np.float32, shape)
        weights = _leading(weights, until)
    else:
        weights = np.ones((1, _ROW), np.float32)  # one row serves every step and series
    out = destination(out, values.shape, np.float32)
    refuse_overlap(out, values, weights)
    _smooth(values, weights, weighted, _penalty(len(values), smoothing), out)
    return out


def _leading(values: NDArray[np.float32], until: int | None) -> NDArray[np.float32]:
    """The steps before the cut-off, contiguous."""
    check("values", values, np.float32, (None, None))
    if until is None:
        return np.ascontiguousarray(values)
    if not 0 <= until <= len(values):
        raise ValueError(f"until is {until}, expected 0 to {len(values)}; the series has {len(values)} steps")
    return np.ascontiguousarray(values[:until])


def _penalty(steps: int, smoothing: float) -> NDArray[np.float64]:
    """(3, t) float64: lambda D' D on its diagonal and on the first and second one beside it."""
    bands = np.zeros((3, steps))
    for k in range(steps - 2):  # each second difference v_k - 2 v_k+1 + v_k+2
        bands[0, k : k + 3] += (1, 4, 1)
        bands[1, k : k + 2] += (-2, -2)
        bands[2, k] += 1
    return smoothing * bands


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


@jit
def _smooth(values: NDArray, weights: NDArray, weighted: bool, penalty: NDArray, out: NDArray) -> None:
    """Forward in time the factors and the half-solved values, backward the values; two empty steps on either side."""
    steps, series = values.shape
    state = np.zeros((steps + 4) * _STEP, np.float64)
    number = np.empty(_ROW, np.float32)
    main, near, far = np.zeros(steps + 2), np.zeros(steps + 2), np.zeros(steps + 2)
    main[2:], near[2:], far[2:] = penalty[0], penalty[1], penalty[2]  # two steps ahead, as the state
    for start in range(0, series, _ROW):
        stop = min(start + _ROW, series)
        number[:] = 0
        for k in range(steps):
            weight = weights[k][start:stop] if weighted else weights[0]
            line = (main[k + 2], near[k + 2], near[k + 1], far[k + 2], far[k + 1], far[k])
            _count(values[k][start:stop], weight, number)
            _forward(state[k * _STEP : (k + 3) * _STEP], values[k][start:stop], weight, line)
        for k in range(steps - 1, -1, -1):
            _backward(state[(k + 2) * _STEP : (k + 5) * _STEP], number, out[k][start:stop])


@jit
def _count(values: NDArray, weights: NDArray, number: NDArray) -> None:
    """Values that weigh. A smaller loop of its own: float32 is twice as wide as the state."""
    for i in range(values.size):
        used = (not np.isnan(values[i])) & (weights[i] > 0)
        number[i] += np.float32(used)


@jit
def _forward(state: NDArray, values: NDArray, weights: NDArray, line: tuple[float, ...]) -> None:
    """One step of L D (L' z) = W y. ``state`` holds the two steps before and this one: one array at constant offsets,
    or the loop would not be SIMD. ``line``: the matrix at this step and the two before."""
    main, near, near_1, far, far_1, far_2 = line
    for i in range(values.size):
        value, weight = np.float64(values[i]), np.float64(weights[i])
        used = (value == value) & (weight > 0)
        value = value if used else _NOTHING
        weight = weight if used else _NOTHING
        c_1, c_2, e_2 = state[_STEP + _C + i], state[_C + i], state[_E + i]
        v_1, v_2 = state[_STEP + _V + i], state[_V + i]
        reach = near_1 - far_2 * c_2  # c_1 times its own pivot
        pivot = 1.0 / (weight + main - c_1 * reach - e_2 * far_2)
        state[2 * _STEP + _V + i] = (weight * value - reach * v_1 - far_2 * v_2) * pivot
        state[2 * _STEP + _C + i] = (near - far_1 * c_1) * pivot
        state[2 * _STEP + _E + i] = far * pivot


@jit
def _backward(state: NDArray, number: NDArray, out: NDArray) -> None:
    """One step of L' z = v; ``state`` holds this step and the two after."""
    for i in range(out.size):
        value = state[_V + i] - state[_C + i] * state[_STEP + _V + i] - state[_E + i] * state[2 * _STEP + _V + i]
        state[_V + i] = value
        out[i] = np.float32(value) if number[i] >= 2 else _NAN
