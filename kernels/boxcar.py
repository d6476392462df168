"""Mean over a sliding square window, of the valid pixels in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import contiguous, destination, refuse_overlap
from kernels.jit import jit


def box_mean(
    values: NDArray[np.float32], window: int = 7, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """The mean of the valid pixels in a window x window square round each pixel.

    values: (y, x) float32, any unit, NaN (or infinite) = no data. window: odd, 1 or more; at the edges the part of the
    square inside the array counts. out: (y, x) float32, C-contiguous, not overlapping the input.
    Returns (y, x) float32, the same unit, NaN where the input is no data; an all-NaN image stays so. Columns are added
    first, top to bottom, then rows, left to right, in float64, so a value depends on its window alone, to the last bit;
    error below 1e-7 of the window's largest absolute value. A constant stays itself to the bit.
    Raises ValueError on another dtype or shape, a window that is not odd, or an out that overlaps the input.
    """
    values = contiguous("values", values, np.float32, (None, None))
    check_window(window)
    out = destination(out, values.shape, np.float32)
    refuse_overlap(out, values)
    _box_mean(values, window, out)
    return out


def check_window(window: int, widest: int | None = None) -> None:
    """Raise ValueError unless the window is odd, positive and not above the widest."""
    if (
        not isinstance(window, int | np.integer)
        or window < 1
        or window % 2 == 0
        or (widest is not None and window > widest)
    ):
        upper = "" if widest is None else f", {widest} or less"
        raise ValueError(f"window is {window}, expected an odd number of pixels, 1 or more{upper}")


@jit
def _box_mean(values: NDArray, window: int, out: NDArray) -> None:
    """A row of the result at a time; ``window`` zeros lie round the columns' sums on both sides."""
    height, width = values.shape
    reach = window // 2
    total, number = np.zeros(width + 2 * reach), np.zeros(width + 2 * reach)
    mean, count = np.empty(width), np.empty(width)
    for y in range(height):
        total.fill(0.0)
        number.fill(0.0)
        for row in range(max(0, y - reach), min(height, y + reach + 1)):
            _add_valid(values[row], total[reach : reach + width], number[reach : reach + width])
        mean.fill(0.0)
        count.fill(0.0)
        for k in range(window):
            add(total[k : k + width], mean)
            add(number[k : k + width], count)
        _divide(values[y], mean, count, out[y])


@jit
def _add_valid(row: NDArray, total: NDArray, number: NDArray) -> None:
    for i in range(row.size):
        value = np.float64(row[i])
        valid = value - value == 0.0
        total[i] += value if valid else 0.0
        number[i] += 1.0 if valid else 0.0


@jit
def add(values: NDArray, total: NDArray) -> None:
    """Add the values to the total."""
    for i in range(total.size):
        total[i] += values[i]


@jit
def _divide(row: NDArray, total: NDArray, number: NDArray, out: NDArray) -> None:
    """The mean where the pixel itself is valid, else NaN."""
    for i in range(out.size):
        value = np.float64(row[i])
        out[i] = total[i] / number[i] if value - value == 0.0 else np.nan
