"""What tells the two refined Lee filters apart: the choice of the half-window, the noise variance, and the weight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.jit import jit
from kernels.speckle_windows import (
    AREAS,
    BLOCK_X,
    BLOCK_Y,
    CENTRE,
    PLANE,
    ROW3,
    STRIDE,
    WINDOWS,
    D,
    blank,
    count_missing,
    count_not_finite,
    either,
    half_windows,
    mark,
    parts,
    rows,
    whole_windows,
)

# Planes of var/mean^2 of the 3x3 areas: as they are, and sorted along rows of three.
_CV, _LOW, _MIDDLE, _HIGH, NOISE = (PLANE * k for k in range(5))
CV_PLANES = 5 * PLANE

# Planes of the state of a block's windows.
FIRST, SECOND, INVERSE, FREEDOM, HOLES, OTHER, TOTALS = (PLANE * k for k in range(7))
"""Sum over the pixels used, sum of their squares (later the weight), 1 / their number, degrees of freedom, number of
missing pixels, sum of a further channel; sums of the 3x3 areas."""
STATE = 7 * PLANE

_SECOND, _INVERSE, _CENTRE = np.uint64(SECOND), np.uint64(INVERSE), np.uint64(CENTRE)  # as estimate counts
_LARGEST = np.float32(3e38)
_INFINITE = np.float32(np.inf)
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_FOUR = np.float32(4.0)
_FIFTH = np.float32(0.2)


@jit
def _first_largest(g0: float, g1: float, g2: float, g3: float) -> int:
    edge, largest = (1, g1) if g1 > g0 else (0, g0)
    edge, largest = (2, g2) if g2 > largest else (edge, largest)
    return 3 if g3 > largest else edge


@jit
def _of_edge(edge: int, v0: float, v1: float, v2: float, v3: float) -> float:
    v01 = v1 if edge == 1 else v0
    v23 = v3 if edge == 3 else v2
    return v23 if edge >= 2 else v01


@jit
def closer_side(totals: NDArray, direction: NDArray) -> None:
    """Flavour "snap": the side of the strongest of four gradients whose mean is closer to that of the centre area."""
    for b in range(WINDOWS):
        m00, m01, m02, m10, m11 = totals[b], totals[b + 2], totals[b + 4], totals[b + 2 * D], totals[b + 2 * D + 2]
        m12, m20, m21, m22 = totals[b + 2 * D + 4], totals[b + 4 * D], totals[b + 4 * D + 2], totals[b + 4 * D + 4]
        edge = _first_largest(abs(m10 - m12), abs(m02 - m20), abs(m01 - m21), abs(m00 - m22))
        # A tie takes direction 0, 5, 6 or 7.
        of_tie, of_other = _of_edge(edge, m12, m20, m21, m22), _of_edge(edge, m10, m02, m01, m00)
        other = abs(of_other - m11) < abs(of_tie - m11)
        direction[b] = _snap_direction(edge, other)


@jit
def _snap_direction(edge: int, other: bool) -> int:
    """Edge 0: right 0, left 4. Edges 1 to 3: lower side 5, 6, 7, upper side 1, 2, 3."""
    first = edge + (4 if edge > 0 else 0)
    return first ^ (4 if other else 0)


@jit
def darker_side(totals: NDArray, direction: NDArray) -> None:
    """Flavour "polsarpro": the darker side of the strongest of four gradients, each of three areas against three."""
    for b in range(WINDOWS):
        m00, m01, m02, m10 = totals[b], totals[b + 2], totals[b + 4], totals[b + 2 * D]
        m12, m20, m21, m22 = totals[b + 2 * D + 4], totals[b + 4 * D], totals[b + 4 * D + 2], totals[b + 4 * D + 4]
        g0 = (m02 + m12 + m22) - (m00 + m10 + m20)
        g1 = (m01 + m02 + m12) - (m10 + m20 + m21)
        g2 = (m00 + m01 + m02) - (m20 + m21 + m22)
        g3 = (m00 + m01 + m10) - (m12 + m21 + m22)
        edge = _first_largest(abs(g0), abs(g1), abs(g2), abs(g3))
        direction[b] = _polsarpro_direction(edge, _of_edge(edge, g0, g1, g2, g3) > 0.0)


@jit
def _polsarpro_direction(edge: int, brighter: bool) -> int:
    return edge + (4 if brighter else 0)


@jit
def ratios(q: NDArray, totals: NDArray, cv: NDArray) -> None:
    """var/mean^2 (n - 1) of the 3x3 areas, float32 (they only go into a mean of five); 0 where the mean is 0.

    q: the rows of the squares; totals: the areas' sums.
    """
    for i in range(AREAS):
        r3, total = ROW3 + i, totals[i]
        squares, square = (q[r3] + q[r3 + D]) + q[r3 + 2 * D], total * total
        ratio = (9.0 * squares - square) * 1.125 / square
        ratio = ratio if (ratio > 0.0) & (square > 0.0) else 0.0
        cv[i] = min(np.float32(ratio), _LARGEST)


@jit
def leave_out_incomplete(missing: NDArray, cv: NDArray) -> None:
    """Infinity for 3x3 areas with a missing pixel: they come last in the sort."""
    for i in range(AREAS):
        r3 = ROW3 + i
        number = (missing[r3] + missing[r3 + D]) + missing[r3 + 2 * D]
        cv[i] = _INFINITE if number > 0.0 else cv[i]


@jit
def _sort3(a: np.float32, b: np.float32, c: np.float32) -> tuple[np.float32, np.float32, np.float32]:
    low, high = (a, b) if a < b else (b, a)
    middle, top = (high, c) if high < c else (c, high)
    return (low, middle, top) if low < middle else (middle, low, top)


@jit
def sort_rows(cv: NDArray) -> None:
    """Sort every area with the two that follow at stride 2: once for the three windows that share them."""
    for i in range(AREAS):
        cv[_LOW + i], cv[_MIDDLE + i], cv[_HIGH + i] = _sort3(cv[i], cv[i + 2], cv[i + 4])


@jit
def _five(cv: NDArray, i: int) -> tuple[np.float32, np.float32, np.float32, np.float32, np.float32]:
    """The five smallest of the nine of a window, in some order.

    With rows sorted, columns are sorted. In such a square the first two of the first row and the first of the second
    row are always among the five smallest, and so are two of the other diagonal: no full sort is needed.
    """
    low, middle, high = _LOW + i, _MIDDLE + i, _HIGH + i
    a0, b0, c0 = _sort3(cv[low], cv[low + 2 * D], cv[low + 4 * D])
    a1, b1, _ = _sort3(cv[middle], cv[middle + 2 * D], cv[middle + 4 * D])
    a2, _, _ = _sort3(cv[high], cv[high + 2 * D], cv[high + 4 * D])
    d0, d1, _ = _sort3(c0, b1, a2)
    return a0, a1, b0, d0, d1


@jit
def mean_of_five(cv: NDArray) -> None:
    """Noise variance: mean of the five smallest var/mean^2 of the nine areas of each window."""
    for i in range(WINDOWS):
        a, b, c, d, e = _five(cv, i)
        cv[NOISE + i] = (((a + b) + (c + d)) + e) * _FIFTH


@jit
def mean_of_complete(cv: NDArray) -> None:
    """The same where areas may be incomplete: mean of all complete ones if they are fewer than five, 0 without any."""
    for i in range(WINDOWS):
        a, b, c, d, e = _five(cv, i)
        number = _finite(a) + _finite(b) + _finite(c) + _finite(d) + _finite(e)
        total = ((_or_zero(a) + _or_zero(b)) + (_or_zero(c) + _or_zero(d))) + _or_zero(e)
        few = either32(number > _ZERO, total / number, _ZERO)
        cv[NOISE + i] = either32(number > _FOUR, total * _FIFTH, few)


@jit
def either32(condition: bool | np.bool_, a: np.float32, b: np.float32) -> np.float32:
    return a if condition else b


@jit
def _finite(value: np.float32) -> np.float32:
    return _ONE if value < _INFINITE else _ZERO


@jit
def _or_zero(value: np.float32) -> np.float32:
    return value if value < _INFINITE else _ZERO


@jit
def count_valid(state: NDArray, population: bool) -> None:
    """1 / number and degrees of freedom: 28 pixels, or all valid ones in windows with a hole."""
    lost = 0.0 if population else 1.0
    for i in range(WINDOWS):
        holes = state[HOLES + i]
        number = either(holes > 0.0, 49.0 - holes, 28.0)
        state[INVERSE + i] = 1.0 / number
        state[FREEDOM + i] = number - lost


@jit
def weigh(state: NDArray, cv: NDArray) -> None:
    """Weight b = max(0, v - m^2 s2) / ((1 + s2) v), 0 where v = 0, in place of the sum of squares.

    The sum is that of two channels together; without a second one, OTHER is 0.
    """
    for i in range(WINDOWS):
        s2 = np.float64(cv[NOISE + i])
        total = state[FIRST + i] + state[OTHER + i]
        mean = total * state[INVERSE + i]
        spread = state[SECOND + i] - total * mean  # v times its degrees of freedom
        signal = spread - mean * mean * (s2 * state[FREEDOM + i])
        signal = signal if signal > 0.0 else 0.0
        weight = signal / ((1.0 + s2) * spread)
        state[SECOND + i] = weight if spread > 0.0 else 0.0


@jit
def estimate(state: NDArray, s: NDArray, sums: NDArray, same: float, at: tuple[int, int], out: NDArray) -> None:
    """m + b (c - m) of a channel whose pixels are in ``s``, into the block of the image at ``at``.

    c itself where m differs from it by no more than ``same`` times m: the error of sums in float32, 0 in float64.
    """
    flat, width = out.reshape(-1), min(BLOCK_X, out.shape[1] - at[1])
    for row in range(min(BLOCK_Y, out.shape[0] - at[0])):
        first, target = np.uint64(row * STRIDE), np.uint64((at[0] + row) * out.shape[1] + at[1])
        for k in range(np.uint64(width)):
            i = first + k
            mean = sums[i] * state[_INVERSE + i]
            centre = np.float64(s[_CENTRE + i])
            value = mean + state[_SECOND + i] * (centre - mean)
            flat[target + k] = centre if abs(centre - mean) <= same * abs(mean) else value


@jit
def plane_of(state: NDArray, plane: int) -> NDArray:
    """One plane of the state."""
    return state[plane : plane + WINDOWS]


@jit
def totals_of(state: NDArray) -> NDArray:
    """The sums of the 3x3 areas."""
    return state[TOTALS : TOTALS + PLANE]


@jit
def fill_noise(cv: NDArray, noise: float) -> None:
    """One noise variance for all windows."""
    for i in range(WINDOWS):
        cv[NOISE + i] = noise


@jit
def find_holes(s: NDArray, missing: NDArray, state: NDArray, before: bool, population: bool) -> bool:
    """True where a pixel is missing: such are then 0 and the windows know of them.

    ``before``: what this returned for the block before, whose traces are removed.
    """
    holes = count_not_finite(s) > 0
    if holes or before:
        mark(s, missing)
        rows(missing)
        count_missing(missing, plane_of(state, HOLES))
        count_valid(state, population)
    if holes:
        blank(s, missing)
    return holes


@jit
def snap_noise(q: NDArray, missing: NDArray, holes: bool, state: NDArray, cv: NDArray) -> None:
    """Noise variance of every window from its 3x3 areas."""
    ratios(q, totals_of(state), cv)
    if holes:
        leave_out_incomplete(missing, cv)
    sort_rows(cv)
    if holes:
        mean_of_complete(cv)
    else:
        mean_of_five(cv)


@jit
def used_sums(s: NDArray, direction: NDArray, holes: bool, state: NDArray, into: NDArray) -> None:
    """Sums of a channel over the pixels that each window uses: of the half-window, or all valid ones round a hole."""
    parts(s)
    half_windows(s, direction, into)
    if holes:
        whole_windows(s, plane_of(state, HOLES), into)
