"""Refined Lee speckle filter, scalar flavour "snap".

The image is worked in blocks of BLOCK_Y x BLOCK_X pixels. A block and its three-pixel halo are copied into a scratch
plane, then each step is one flat loop over that plane: rows lie STRIDE apart, so "one row down" is a constant offset
and every loop is SIMD. Sums are built from smaller sums (3 wide, 4 wide, 3x3, 4x4, triangles of six), always in the
same order, so the value of a pixel depends on its 7x7 window alone, to the last bit, wherever the image or a block is
cut. Sums are float64: up to 49 equal float32 add up exactly, so constant in gives constant out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import contiguous, destination, refuse_overlap
from kernels.jit import jit

HALO = 3
"""Pixels that the filter sees beyond a pixel; a tile is read with this halo."""

BLOCK_Y = 32
BLOCK_X = 64
STRIDE = BLOCK_X + 8
_USED = (BLOCK_Y + 2 * HALO) * STRIDE
_PLANE = _USED + 6 * STRIDE + 8
"""The margin keeps reads below and right of the last window inside the plane."""

# Planes of one moment's scratch, each anchored at its upper left pixel.
_PIXEL, _ROW3, _ROW4, _BOX3, _BOX4, _TALL, _WIDE, _UPPER_RIGHT, _LOWER_LEFT, _UPPER_LEFT, _LOWER_RIGHT = (
    _PLANE * k for k in range(11)
)
_CV = _PLANE * 11
_NOISE = _PLANE * 12

_D = STRIDE
_BOX = (0, 2, 4, 2 * _D, 2 * _D + 2, 2 * _D + 4, 4 * _D, 4 * _D + 2, 4 * _D + 4)
_M00, _M01, _M02, _M10, _M11, _M12, _M20, _M21, _M22 = _BOX
_CENTRE = 3 * _D + 3


def refined_lee(intensity: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """The intensity with its speckle filtered by the refined Lee filter in 7x7 windows.

    intensity: (y, x) float32, linear power (never dB), NaN = no data (infinite counts as no data).
    out: (y, x) float32, C-contiguous, not overlapping the input; made where not given.
    Returns (y, x) float32, linear power, NaN where the input is no data; an all-NaN image stays so.

    From nine 3x3 means at stride 2 the strongest of four gradients picks an edge direction and the half-window (28
    pixels) on the side closer to the centre mean. Noise variance s2 is the mean of the five smallest of the nine
    var/mean^2; the estimate is m + b (c - m), b = max(0, v - m^2 s2) / ((1 + s2) v), with m, v over the half-window
    (v with n - 1) and c the centre; b = 0 where v = 0. Where a pixel of the window is invalid or outside the array: m,
    v over all valid pixels of the window, s2 from complete 3x3 areas only (s2 = 0 where there is none, so the centre is
    kept). An area whose mean is 0 counts as var/mean^2 = 0.

    Lee 1981, "Refined filtering of image noise using local statistics", as in SNAP's refined Lee, with all nine areas
    in the sort and a constant window giving its constant.
    Raises ValueError on another dtype or shape, or an out that overlaps the input.
    """
    intensity = contiguous("intensity", intensity, np.float32, (None, None))
    out = destination(out, intensity.shape, np.float32)
    refuse_overlap(out, intensity)
    _filter(intensity, out)
    return out


@jit
def _filter(image: NDArray, out: NDArray) -> None:
    """Filter block by block; ``first`` and ``second`` hold sums of the pixels and of their squares."""
    first = np.zeros(13 * _PLANE, np.float64)
    second = np.zeros(11 * _PLANE, np.float64)
    invalid = np.zeros(3 * _PLANE, np.float64)
    estimate = np.zeros(_USED, np.float64)
    for y in range(0, image.shape[0], BLOCK_Y):
        for x in range(0, image.shape[1], BLOCK_X):
            holes = _load(image, y, x, first, second, invalid)
            _sums(first)
            _sums(second)
            _noise(first, second)
            _estimate(first, second, estimate)
            if holes:
                _mend(first, invalid, estimate)
            _store(estimate, y, x, out)


@jit
def _load(image: NDArray, y: int, x: int, first: NDArray, second: NDArray, invalid: NDArray) -> bool:
    """Copy a block with its halo, zeros for invalid pixels; True where there are any."""
    holes = False
    for row in range(BLOCK_Y + 2 * HALO):
        source = y + row - HALO
        for column in range(BLOCK_X + 2 * HALO):
            inside = 0 <= source < image.shape[0] and 0 <= x + column - HALO < image.shape[1]
            value = np.float64(image[source, x + column - HALO]) if inside else np.nan
            bad = not np.isfinite(value)
            holes |= bad
            value = 0.0 if bad else value
            at = row * STRIDE + column
            first[at] = value
            second[at] = value * value
            invalid[at] = 1.0 if bad else 0.0
    return holes


@jit
def _store(estimate: NDArray, y: int, x: int, out: NDArray) -> None:
    """Write the part of a block that lies in the image. (A slice assignment takes a second to compile.)"""
    width = min(BLOCK_X, out.shape[1] - x)
    for row in range(min(BLOCK_Y, out.shape[0] - y)):
        target, source = out[y + row][x : x + width], estimate[row * STRIDE : (row + 1) * STRIDE]
        for column in range(width):
            target[column] = source[column]


@jit
def _sums(s: NDArray) -> None:
    """All partial sums of one moment, from the pixel plane."""
    for i in range(_USED):
        s[_ROW3 + i] = (s[i] + s[i + 1]) + s[i + 2]
        s[_ROW4 + i] = (s[i] + s[i + 1]) + (s[i + 2] + s[i + 3])
    for i in range(_USED):
        r3, r4 = _ROW3 + i, _ROW4 + i
        s[_BOX3 + i] = (s[r3] + s[r3 + _D]) + s[r3 + 2 * _D]
        box4 = (s[r4] + s[r4 + _D]) + (s[r4 + 2 * _D] + s[r4 + 3 * _D])
        s[_BOX4 + i] = box4
        s[_TALL + i] = box4 + ((s[r4 + 4 * _D] + s[r4 + 5 * _D]) + s[r4 + 6 * _D])
        s[_WIDE + i] = box4 + ((s[r3 + 4] + s[r3 + 4 + _D]) + (s[r3 + 4 + 2 * _D] + s[r3 + 4 + 3 * _D]))
    for i in range(_USED):
        top, middle, bottom = i, i + _D, i + 2 * _D
        left, right = s[middle] + s[middle + 1], s[middle + 1] + s[middle + 2]
        s[_UPPER_RIGHT + i] = (s[_ROW3 + top] + right) + s[bottom + 2]
        s[_LOWER_LEFT + i] = (s[_ROW3 + bottom] + left) + s[top]
        s[_UPPER_LEFT + i] = (s[_ROW3 + top] + left) + s[bottom]
        s[_LOWER_RIGHT + i] = (s[_ROW3 + bottom] + right) + s[top + 2]


@jit
def _sort3(a: float, b: float, c: float) -> tuple[float, float, float]:
    low, high = (a, b) if a < b else (b, a)
    middle, top = (high, c) if high < c else (c, high)
    return (low, middle, top) if low < middle else (middle, low, top)


@jit
def _noise(first: NDArray, second: NDArray) -> None:
    """Noise variance of every window: mean of the five smallest var/mean^2 of its nine 3x3 areas.

    The nine are sorted along rows, then along columns. In such a square the first two of the first row and the first of
    the second row are always among the five smallest, and so are two of the other diagonal: no full sort is needed.
    """
    for i in range(_USED):
        total = first[_BOX3 + i]
        square = total * total
        cv = (second[_BOX3 + i] - square / 9.0) * 10.125 / square
        first[_CV + i] = cv if cv > 0.0 else 0.0  # also where 0/0
    for i in range(BLOCK_Y * STRIDE):
        c = _CV + i
        a0, a1, a2 = _sort3(first[c + _M00], first[c + _M01], first[c + _M02])
        b0, b1, b2 = _sort3(first[c + _M10], first[c + _M11], first[c + _M12])
        c0, c1, c2 = _sort3(first[c + _M20], first[c + _M21], first[c + _M22])
        a0, b0, c0 = _sort3(a0, b0, c0)
        a1, b1, c1 = _sort3(a1, b1, c1)
        a2, b2, c2 = _sort3(a2, b2, c2)
        low, middle, _ = _sort3(c0, b1, a2)
        first[_NOISE + i] = ((a0 + a1) + (b0 + low) + middle) / 5.0


@jit
def _estimate(s: NDArray, q: NDArray, out: NDArray) -> None:
    """The estimate for windows without a hole."""
    for i in range(BLOCK_Y * STRIDE):
        b = _BOX3 + i
        m00, m01, m02, m10, m11 = s[b + _M00], s[b + _M01], s[b + _M02], s[b + _M10], s[b + _M11]
        m12, m20, m21, m22 = s[b + _M12], s[b + _M20], s[b + _M21], s[b + _M22]
        edge = _first_largest(abs(m10 - m12), abs(m02 - m20), abs(m01 - m21), abs(m00 - m22))
        favourite = _pick(edge, m12, m20, m21, m22)  # directions 0, 5, 6, 7, which win a tie
        opposite = _pick(edge, m10, m02, m01, m00)
        turn = abs(opposite - m11) < abs(favourite - m11)
        mean = _half_window(s, i, edge, turn) / 28.0
        variance = (_half_window(q, i, edge, turn) - 28.0 * mean * mean) / 27.0
        out[i] = _lee(s[i + _CENTRE], mean, variance, s[_NOISE + i])


@jit
def _first_largest(g0: float, g1: float, g2: float, g3: float) -> int:
    edge, largest = (1, g1) if g1 > g0 else (0, g0)
    edge, largest = (2, g2) if g2 > largest else (edge, largest)
    return 3 if g3 > largest else edge


@jit
def _pick(edge: int, v0: float, v1: float, v2: float, v3: float) -> float:
    v01 = v1 if edge == 1 else v0
    v23 = v3 if edge == 3 else v2
    return v23 if edge >= 2 else v01


@jit
def _half_window(s: NDArray, i: int, edge: int, turn: bool) -> float:
    """Sum over the chosen half-window. All eight are read, then one is picked: a load inside a condition would keep
    the loop from becoming SIMD (measured: four times slower)."""
    half1 = s[_BOX4 + i + 3] + (s[_UPPER_RIGHT + i] + s[_UPPER_RIGHT + i + 4 * _D + 4])
    half5 = s[_BOX4 + i + 3 * _D] + (s[_LOWER_LEFT + i] + s[_LOWER_LEFT + i + 4 * _D + 4])
    half3 = s[_BOX4 + i] + (s[_UPPER_LEFT + i + 4] + s[_UPPER_LEFT + i + 4 * _D])
    half7 = s[_BOX4 + i + 3 * _D + 3] + (s[_LOWER_RIGHT + i + 4] + s[_LOWER_RIGHT + i + 4 * _D])
    half4, half0 = s[_TALL + i], s[_TALL + i + 3]
    half2, half6 = s[_WIDE + i], s[_WIDE + i + 3 * _D]
    favourite = _pick(edge, half0, half5, half6, half7)
    opposite = _pick(edge, half4, half1, half2, half3)
    return opposite if turn else favourite


@jit
def _lee(centre: float, mean: float, variance: float, noise: float) -> float:
    """m + b (c - m); the mean alone where the variance is zero."""
    signal = variance - mean * mean * noise
    signal = signal if signal > 0.0 else 0.0
    weight = signal / ((1.0 + noise) * variance)
    weight = weight if variance > 0.0 else 0.0
    return mean + weight * (centre - mean)


@jit
def _mend(first: NDArray, invalid: NDArray, estimate: NDArray) -> None:
    """Put plain local statistics where the window has a hole, and NaN where the centre is one."""
    row, window = _PLANE, 2 * _PLANE
    _sum7(invalid, 0, 1, row)
    _sum7(invalid, row, _D, window)
    for i in range(BLOCK_Y * STRIDE):
        if invalid[i + _CENTRE] > 0.0:
            estimate[i] = np.nan
        elif invalid[window + i] > 0.0:
            estimate[i] = _from_valid(first, invalid, i)


@jit
def _sum7(s: NDArray, plane: int, step: int, into: int) -> None:
    """Sums of seven neighbours ``step`` apart; whole numbers, so their order does not matter."""
    for i in range(_USED):
        total = s[plane + i]
        for k in range(1, 7):
            total += s[plane + i + k * step]
        s[into + i] = total


@jit
def _from_valid(first: NDArray, invalid: NDArray, i: int) -> float:
    """The estimate from the valid pixels of the window at ``i``."""
    number, total = 0, 0.0
    for y in range(7):
        for at in range(i + y * STRIDE, i + y * STRIDE + 7):
            number += invalid[at] == 0.0
            total += first[at]
    mean = total / number
    squares = 0.0
    for y in range(7):
        for at in range(i + y * STRIDE, i + y * STRIDE + 7):
            deviation = first[at] - mean
            squares += deviation * deviation if invalid[at] == 0.0 else 0.0
    variance = squares / (number - 1) if number > 1 else 0.0
    return _lee(first[i + _CENTRE], mean, variance, _noise_of_complete(first, invalid, i))


@jit
def _noise_of_complete(first: NDArray, invalid: NDArray, i: int) -> float:
    """Mean of the five smallest var/mean^2 of the complete 3x3 areas, of all where fewer; 0 without any."""
    found = np.empty(9, np.float64)
    number = 0
    for offset in _BOX:
        holes = 0.0
        for y in range(3):
            for x in range(3):
                holes += invalid[i + offset + y * STRIDE + x]
        if holes == 0.0:
            at = number
            while at > 0 and found[at - 1] > first[_CV + i + offset]:
                found[at] = found[at - 1]
                at -= 1
            found[at] = first[_CV + i + offset]
            number += 1
    total, used = 0.0, min(5, number)
    for k in range(used):
        total += found[k]
    return total / used if used > 0 else 0.0
