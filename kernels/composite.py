"""Many dates made one, a date at a time: only the accumulators stay in memory, however many dates there are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import accumulator, contiguous, destination, refuse_overlap
from kernels.jit import jit

_RUN = 4096
"""Pixels judged at once: their flags stay in the first-level cache while the bands are copied."""

_ZERO_REFLECTANCE = np.int32(1000)
"""Cube DN of reflectance 0."""


def max_gcvi_update(
    best: NDArray[np.float32],
    composite: NDArray[np.uint16],
    count: NDArray[np.uint8],
    dn: NDArray[np.uint16],
    valid: NDArray[np.bool_],
    *,
    green: int,
    nir: int,
) -> None:
    """Take one date into a maximum-GCVI composite: its bands replace the composite's where its GCVI is larger.

    best: (y, x) float32, largest GCVI so far; starts at -inf. composite: (b, y, x) uint16, cube DN (reflectance =
    DN * 0.0001 - 0.1), 0 = no data; starts at 0. count: (y, x) uint8, usable dates so far, stops at 255. These three
    are the result and are updated in place.
    dn: (b, y, x) uint16, cube DN of this date, 0 = no data. valid: (y, x) bool, True where the date's mask allows it.
    Neither changes. green, nir: positions of those bands along b.

    GCVI = N / G - 1 of reflectance. A date is usable where ``valid``, no band is 0 and green reflectance is above 0;
    of equal values the earliest given date stays. A pixel without a usable date keeps composite 0, count 0, best -inf.
    Raises ValueError on another dtype or shape, accumulators not C-contiguous, or a band position outside 0 to b - 1.
    """
    bands, rows, columns = dn.shape if dn.ndim == 3 else (None, None, None)
    dn = contiguous("dn", dn, np.uint16, (bands, rows, columns))
    valid = contiguous("valid", valid, np.bool_, (rows, columns))
    accumulator("best", best, np.float32, (rows, columns))
    accumulator("composite", composite, np.uint16, (bands, rows, columns))
    accumulator("count", count, np.uint8, (rows, columns))
    for name, position in (("green", green), ("nir", nir)):
        if not 0 <= position < dn.shape[0]:
            raise ValueError(f"{name} is band {position}, expected 0 to {dn.shape[0] - 1}; pass its position in dn")
    flat = dn.reshape(len(dn), -1), valid.reshape(-1)
    _take_larger(best.reshape(-1), composite.reshape(len(dn), -1), count.reshape(-1), *flat, (green, nir))


@jit
def _take_larger(
    best: NDArray, composite: NDArray, count: NDArray, dn: NDArray, valid: NDArray, pair: tuple[int, int]
) -> None:
    usable = np.empty(_RUN, np.bool_)
    wins = np.empty(_RUN, np.bool_)
    for start in range(0, best.size, _RUN):
        stop = min(start + _RUN, best.size)
        mark_usable(valid[start:stop], dn[pair[0]][start:stop], usable)
        for band in range(len(dn)):
            drop_missing(dn[band][start:stop], usable)
        count_usable(usable, count[start:stop])
        if mark_wins(dn[pair[0]][start:stop], dn[pair[1]][start:stop], usable, best[start:stop], wins):
            for band in range(len(dn)):
                copy_winners(dn[band][start:stop], wins, composite[band][start:stop])


@jit
def mark_usable(valid: NDArray, green: NDArray, usable: NDArray) -> None:
    """True where the mask allows the pixel and green reflectance is above 0."""
    for i in range(valid.size):
        usable[i] = valid[i] & (green[i] > _ZERO_REFLECTANCE)


@jit
def drop_missing(values: NDArray, usable: NDArray) -> None:
    """False where a band is 0."""
    for i in range(values.size):
        usable[i] = usable[i] & (values[i] != 0)


@jit
def count_usable(usable: NDArray, count: NDArray) -> None:
    """One more where usable, up to 255."""
    for i in range(count.size):
        count[i] += np.uint8(usable[i] & (count[i] < 255))


@jit
def mark_wins(green: NDArray, nir: NDArray, usable: NDArray, best: NDArray, wins: NDArray) -> bool:
    """Raise ``best`` and say whether any pixel won. The scale cancels in N / G, and DN - 1000 is exact in float32, so
    equal ratios are equal GCVI to the bit."""
    won = 0
    for i in range(best.size):
        above = np.float32(np.int32(nir[i]) - _ZERO_REFLECTANCE)
        below = np.float32(np.int32(green[i]) - _ZERO_REFLECTANCE)
        gcvi = above / below - np.float32(1.0)
        win = usable[i] & (gcvi > best[i])
        wins[i] = win
        best[i] = gcvi if win else best[i]
        won += win
    return won > 0


@jit
def copy_winners(values: NDArray, wins: NDArray, composite: NDArray) -> None:
    """The value where it wins."""
    for i in range(values.size):
        old, new = composite[i], values[i]  # both read before the choice, or the loop is not SIMD
        composite[i] = new if wins[i] else old


def mean_update(total: NDArray[np.float64], number: NDArray[np.uint16], values: NDArray[np.float32]) -> None:
    """Take one date into a mean over dates; NaN is skipped.

    total: (b, y, x) float64, sum so far, starts at 0. number: (b, y, x) uint16, values in it, starts at 0. Both are the
    result and are updated in place. values: (b, y, x) float32, any unit, NaN = no data; unchanged.
    Raises ValueError on another dtype or shape, or accumulators not C-contiguous.
    """
    values = contiguous("values", values, np.float32, (None, None, None))
    accumulator("total", total, np.float64, values.shape)
    accumulator("number", number, np.uint16, values.shape)
    _add(total.reshape(-1), number.reshape(-1), values.reshape(-1))


@jit
def _add(total: NDArray, number: NDArray, values: NDArray) -> None:
    for i in range(values.size):
        value = values[i]
        present = not np.isnan(value)
        total[i] += np.float64(value) if present else 0.0
        number[i] += np.uint16(present)


def mean_finish(
    total: NDArray[np.float64], number: NDArray[np.uint16], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """The mean: total / number, rounded once.

    total: (b, y, x) float64 and number: (b, y, x) uint16 as ``mean_update`` leaves them; unchanged.
    out: (b, y, x) float32, C-contiguous, sharing no memory with total or number.
    Returns (b, y, x) float32, the unit of the values, NaN where there was none. ValueError on another dtype or shape.
    """
    total = contiguous("total", total, np.float64, (None, None, None))
    number = contiguous("number", number, np.uint16, total.shape)
    out = destination(out, total.shape, np.float32)
    refuse_overlap(out, total, number)
    _divide(total.reshape(-1), number.reshape(-1), out.reshape(-1))
    return out


@jit
def _divide(total: NDArray, number: NDArray, out: NDArray) -> None:
    for i in range(out.size):
        mean = total[i] / np.float64(number[i])
        out[i] = np.float32(mean) if number[i] != 0 else np.float32(np.nan)
