"""Sums over parts of 7x7 windows, for a block of the image at a time: what both refined Lee filters are built from.

A block of BLOCK_Y x BLOCK_X pixels and its three-pixel halo are copied into a scratch plane, then each step is one flat
loop over that plane: rows lie STRIDE apart, so "one row down" is a constant offset and every loop is SIMD. Sums are
built from smaller sums, along rows first (rows are whole cache lines, so what is added downward is aligned), always in
the same order, so the value of a pixel depends on its 7x7 window alone, to the last bit, wherever the image or a block
is cut. Sums in float64 of up to 49 equal float32 are exact, so constant in gives constant out; every function here also
takes float32 planes, twice as fast, for sums that no difference is taken of.

A half-window (28 pixels) is the 4x4 square in one corner of the window and a rest of 12: a 4x3 or 3x4 rectangle or two
triangles of six. Directions: 0 right (x >= 3), 1 upper right (x >= y), 2 top (y <= 3), 3 upper left (x + y <= 6), and
opposite to them 4, 5, 6, 7; the dividing line belongs to both sides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.jit import jit

HALO = 3
"""Pixels that the filter sees beyond a pixel; a tile is read with this halo."""

BLOCK_Y = 32
BLOCK_X = 56
STRIDE = BLOCK_X + 8
D = STRIDE
_USED = (BLOCK_Y + 2 * HALO) * STRIDE

PLANE = (BLOCK_Y + 13) * STRIDE
"""Pixels of a plane; the margin keeps reads below and right of the last window inside it."""

WINDOWS = BLOCK_Y * STRIDE
AREAS = (BLOCK_Y + 4) * STRIDE
"""Where there are 3x3 areas of windows."""

# Planes of the scratch, which one moment after the other goes through: so it stays in the second-level cache.
# Each sum stands at its upper left pixel; the numbers are columns x rows. The parts lie 128 bytes short of whole
# planes: a store some hundred bytes ahead of a load, in the last twelve bits of the address, makes the load wait.
PIXEL, ROW2, ROW3, ROW4 = (PLANE * k for k in range(4))
BOX4, RECT4X3, RECT3X4, UPPER_RIGHT, LOWER_LEFT, UPPER_LEFT, LOWER_RIGHT = (PLANE * k - 16 for k in range(5, 12))
SCRATCH = 12 * PLANE

CENTRE = HALO * STRIDE + HALO


@jit
def planes(size: int) -> NDArray:
    """Zeros, float64, starting at a cache line: a load across two lines takes twice as long."""
    raw = np.zeros(size + 8, np.float64)
    skip = (-(raw.ctypes.data // 8)) % 8
    return raw[skip : skip + size]


@jit
def load(image: NDArray, y: int, x: int, s: NDArray) -> None:
    """Copy the block at (y, x) with its halo into the pixel plane, NaN beyond the image."""
    height, width = image.shape
    top, bottom = max(0, HALO - y), min(BLOCK_Y + 2 * HALO, height - y + HALO)
    left, right = max(0, HALO - x), min(STRIDE, width - x + HALO)
    if bottom - top < BLOCK_Y + 2 * HALO or right - left < STRIDE:
        for i in range(_USED):
            s[i] = np.nan
    flat = image.reshape(-1)
    for row in range(top, bottom):
        # Unsigned numbers cannot count from the end, which lets the loop be SIMD.
        source = np.uint64((y + row - HALO) * width + x + left - HALO)
        target = np.uint64(row * STRIDE + left)
        for column in range(np.uint64(right - left)):
            s[target + column] = flat[source + column]


@jit
def add_plane(s: NDArray, other: NDArray) -> None:
    """Add the pixels of another plane."""
    for i in range(_USED):
        s[i] += other[i]


@jit
def spoil(s: NDArray, other: NDArray) -> None:
    """NaN where the pixel of another plane is not finite."""
    for i in range(_USED):
        s[i] += 0.0 * other[i]


@jit
def count_not_finite(s: NDArray) -> int:
    """Number of pixels that are not finite."""
    number = 0
    for i in range(_USED):
        number += 0 if s[i] - s[i] == 0.0 else 1
    return number


@jit
def square(s: NDArray) -> None:
    """Squares in place of the pixels."""
    for i in range(_USED):
        s[i] *= s[i]


@jit
def mark(s: NDArray, missing: NDArray) -> None:
    """1 in the plane of missing pixels where a pixel is not finite, else 0."""
    for i in range(_USED):
        missing[i] = 0.0 if s[i] - s[i] == 0.0 else 1.0


@jit
def blank(s: NDArray, missing: NDArray) -> None:
    """0 where a pixel is missing."""
    for i in range(_USED):
        s[i] = 0.0 if missing[i] > 0.0 else s[i]


@jit
def rows(s: NDArray) -> None:
    """Sums of 2, 3 and 4 pixels to the right."""
    for i in range(_USED):
        two = s[i] + s[i + 1]
        s[ROW2 + i] = two
        s[ROW3 + i] = two + s[i + 2]
        s[ROW4 + i] = two + (s[i + 2] + s[i + 3])


@jit
def areas(s: NDArray, into: NDArray) -> None:
    """Sums of 3x3 areas, from the rows."""
    for i in range(AREAS):
        r3 = ROW3 + i
        into[i] = (s[r3] + s[r3 + D]) + s[r3 + 2 * D]


@jit
def parts(s: NDArray) -> None:
    """Sums of the parts that half-windows are made of, from the rows."""
    for i in range(AREAS):
        r2, r3, r4 = ROW2 + i + D, ROW3 + i, ROW4 + i
        top, bottom = s[r3], s[r3 + 2 * D]
        s[BOX4 + i] = (s[r4] + s[r4 + D]) + (s[r4 + 2 * D] + s[r4 + 3 * D])
        s[RECT4X3 + i] = (s[r4 + 4 * D] + s[r4 + 5 * D]) + s[r4 + 6 * D]  # below that square
        s[RECT3X4 + i] = (top + s[r3 + D]) + (bottom + s[r3 + 3 * D])
        s[UPPER_RIGHT + i] = (top + s[r2 + 1]) + s[i + 2 * D + 2]
        s[UPPER_LEFT + i] = (top + s[r2]) + s[i + 2 * D]
        s[LOWER_LEFT + i] = (s[i] + s[r2]) + bottom
        s[LOWER_RIGHT + i] = (s[i + 2] + s[r2 + 1]) + bottom


@jit
def erase(missing: NDArray, y: int, x: int, out: NDArray) -> None:
    """NaN in the block at (y, x) of the image where a pixel is missing."""
    width = min(BLOCK_X, out.shape[1] - x)
    for row in range(min(BLOCK_Y, out.shape[0] - y)):
        target = out[y + row, x : x + width]
        holes = missing[row * STRIDE + CENTRE : (row + 1) * STRIDE + CENTRE]
        for column in range(width):
            target[column] = np.nan if holes[column] > 0.0 else target[column]


@jit
def either(condition: bool, a: float, b: float) -> float:
    """A choice between two values at hand. Compiled apart: in place, LLVM makes it a branch, and the loop is no longer
    SIMD (measured: five times slower)."""
    return a if condition else b


@jit
def _one_of_four(edge: int, v0: float, v1: float, v2: float, v3: float) -> float:
    odd = (edge & 1) != 0
    v01 = v1 if odd else v0
    v23 = v3 if odd else v2
    return v23 if (edge & 2) != 0 else v01


@jit
def half_windows(s: NDArray, direction: NDArray, into: NDArray) -> None:
    """Sum over the half-window of each window's direction (0 to 7)."""
    for i in range(WINDOWS):
        b = BOX4 + i
        left_top, right_top, left_low, right_low = s[b], s[b + 3], s[b + 3 * D], s[b + 3 * D + 3]
        half0, half4 = right_top + s[RECT4X3 + i + 3], left_top + s[RECT4X3 + i]
        half6, half2 = left_low + s[RECT3X4 + i + 3 * D + 4], left_top + s[RECT3X4 + i + 4]
        half1 = right_top + (s[UPPER_RIGHT + i] + s[UPPER_RIGHT + i + 4 * D + 4])
        half5 = left_low + (s[LOWER_LEFT + i] + s[LOWER_LEFT + i + 4 * D + 4])
        half3 = left_top + (s[UPPER_LEFT + i + 4] + s[UPPER_LEFT + i + 4 * D])
        half7 = right_low + (s[LOWER_RIGHT + i + 4] + s[LOWER_RIGHT + i + 4 * D])
        later = (direction[i] & 4) != 0
        h0, h1 = either(later, half4, half0), either(later, half5, half1)
        h2, h3 = either(later, half6, half2), either(later, half7, half3)
        into[i] = _one_of_four(direction[i], h0, h1, h2, h3)


@jit
def count_missing(s: NDArray, into: NDArray) -> None:
    """Sum over all 49 pixels of each window, from the rows; whole numbers, so their order does not matter."""
    for i in range(WINDOWS):
        total = 0.0
        for k in range(7):
            total += s[ROW4 + i + k * D] + s[ROW3 + i + k * D + 4]
        into[i] = total


@jit
def whole_windows(s: NDArray, holes: NDArray, into: NDArray) -> None:
    """Sum over all 49 pixels instead of the half-window, where a window has holes (their pixels are 0)."""
    for i in range(WINDOWS):
        r3 = ROW3 + i + 4 * D + 4
        area = (s[r3] + s[r3 + D]) + s[r3 + 2 * D]
        whole = (s[BOX4 + i] + s[RECT4X3 + i]) + (s[RECT3X4 + i + 4] + area)
        into[i] = either(holes[i] > 0.0, whole, into[i])
