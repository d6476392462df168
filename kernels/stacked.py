"""Many dates made one, all dates at hand: read once from memory, worked a run of pixels at a time.

``kernels.composite`` does the same a date at a time, in little memory. A median needs all dates together.
Common to all: dn (t, b, y, x) uint16, cube DN, 0 = no data, dates in order of time; valid (t, y, x) bool, True where
the date's mask allows the pixel; neither changes. A date is usable at a pixel where it is valid and no band is 0. They
return composite (b, y, x) uint16, cube DN, 0 where no date is usable, and count (y, x) uint8, the usable dates, at most
255. out: that pair, C-contiguous, sharing no memory with dn, valid or each other. No date at all gives zeros.
ValueError on another dtype or shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import contiguous, destination, refuse_overlap
from kernels.composite import copy_winners, count_usable, drop_missing, mark_usable, mark_wins
from kernels.jit import jit

Composite = tuple[NDArray[np.uint16], NDArray[np.uint8]]

_RUN = 8192
"""Pixels worked at once: four dates of ten bands of them (640 KiB) stay in the second-level cache between judging the
dates and copying the winner (measured: 2048 pixels 122, 8192 pixels 157 million pixels a second)."""

_LAST = np.uint16(65535)
"""Stands for a date that is not usable: sorted behind every other."""


def max_gcvi(
    dn: NDArray[np.uint16], valid: NDArray[np.bool_], *, green: int, nir: int, out: Composite | None = None
) -> Composite:
    """(composite, count): all bands of a pixel from the date with the largest GCVI = N / G - 1; ties take the earliest.

    green, nir: positions of those bands along b. A date whose green reflectance is not above 0 is not usable either.
    To the bit what ``max_gcvi_update`` gives date by date. ValueError also on a position outside 0 to b - 1.
    """
    dn, valid, composite, count = _prepared(dn, valid, out)
    for name, position in (("green", green), ("nir", nir)):
        if not 0 <= position < dn.shape[1]:
            raise ValueError(f"{name} is band {position}, expected 0 to {dn.shape[1] - 1}; pass its position in dn")
    _max_gcvi(dn, valid, (green, nir), composite.reshape(len(composite), -1), count.reshape(-1))
    return composite, count


def latest_valid(dn: NDArray[np.uint16], valid: NDArray[np.bool_], *, out: Composite | None = None) -> Composite:
    """(composite, count): all bands of a pixel from its latest usable date."""
    dn, valid, composite, count = _prepared(dn, valid, out)
    _latest(dn, valid, composite.reshape(len(composite), -1), count.reshape(-1))
    return composite, count


def median(dn: NDArray[np.uint16], valid: NDArray[np.bool_], *, out: Composite | None = None) -> Composite:
    """(composite, count): for each band the median over the usable dates, band by band on its own.

    Of an even number of dates the mean of the middle two, halves rounded up. Exact.
    """
    dn, valid, composite, count = _prepared(dn, valid, out)
    _median(dn, valid, _sorting_network(len(dn)), composite.reshape(len(composite), -1), count.reshape(-1))
    return composite, count


def _prepared(
    dn: NDArray, valid: NDArray, out: Composite | None
) -> tuple[NDArray, NDArray, NDArray[np.uint16], NDArray[np.uint8]]:
    """dn as (t, b, n), valid as (t, n), and the pair to write into."""
    dn = contiguous("dn", dn, np.uint16, (None, None, None, None))
    dates, bands, rows, columns = dn.shape
    valid = contiguous("valid", valid, np.bool_, (dates, rows, columns))
    composite, count = out if out is not None else (None, None)
    composite = destination(composite, (bands, rows, columns), np.uint16)
    count = destination(count, (rows, columns), np.uint8)
    refuse_overlap(composite, dn, valid, count)
    refuse_overlap(count, dn, valid)
    pixels = rows * columns
    return dn.reshape(dates, bands, pixels), valid.reshape(dates, pixels), composite, count


def _sorting_network(length: int) -> NDArray[np.int64]:
    """(m, 2) positions to compare and exchange, in turn, so that any ``length`` values end up in ascending order.

    Batcher's odd-even merge sort (Knuth, volume 3, algorithm 5.2.2M).
    """
    pairs = []
    top = 1 << max(length - 1, 0).bit_length() >> 1
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(length - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return np.array(pairs, np.int64).reshape(-1, 2)


@jit
def _max_gcvi(dn: NDArray, valid: NDArray, pair: tuple[int, int], composite: NDArray, count: NDArray) -> None:
    usable, wins = np.empty(_RUN, np.bool_), np.empty(_RUN, np.bool_)
    best = np.empty(_RUN, np.float32)
    green, nir = pair
    for start in range(0, count.size, _RUN):
        stop = min(start + _RUN, count.size)
        _clear(composite, count, start, stop)
        best[:] = -np.inf
        for date in range(len(dn)):
            mark_usable(valid[date][start:stop], dn[date][green][start:stop], usable)
            _drop(dn[date], start, stop, usable)
            count_usable(usable, count[start:stop])
            if mark_wins(dn[date][green][start:stop], dn[date][nir][start:stop], usable, best[: stop - start], wins):
                for band in range(len(composite)):
                    copy_winners(dn[date][band][start:stop], wins, composite[band][start:stop])


@jit
def _latest(dn: NDArray, valid: NDArray, composite: NDArray, count: NDArray) -> None:
    usable = np.empty(_RUN, np.bool_)
    for start in range(0, count.size, _RUN):
        stop = min(start + _RUN, count.size)
        _clear(composite, count, start, stop)
        for date in range(len(dn)):
            _copy_flags(valid[date][start:stop], usable)
            _drop(dn[date], start, stop, usable)
            count_usable(usable, count[start:stop])
            for band in range(len(composite)):
                copy_winners(dn[date][band][start:stop], usable, composite[band][start:stop])


@jit
def _median(dn: NDArray, valid: NDArray, network: NDArray, composite: NDArray, count: NDArray) -> None:
    usable = np.empty((len(dn), _RUN), np.bool_)
    planes = np.empty((len(dn), _RUN), np.uint16)
    number, low, high = np.empty(_RUN, np.uint16), np.empty(_RUN, np.uint16), np.empty(_RUN, np.uint16)
    for start in range(0, count.size, _RUN):
        stop = min(start + _RUN, count.size)
        _clear(composite, count, start, stop)
        number[:] = 0
        for date in range(len(dn)):
            _copy_flags(valid[date][start:stop], usable[date])
            _drop(dn[date], start, stop, usable[date])
            count_usable(usable[date], count[start:stop])
            _count_all(usable[date], number)
        for band in range(len(composite)):
            for date in range(len(dn)):
                _set_last(dn[date][band][start:stop], usable[date], planes[date])
            for k in range(len(network)):
                _exchange(planes[network[k, 0]], planes[network[k, 1]])
            for date in range(len(dn)):
                _pick(planes[date], np.uint16(date), number, low, high)
            _middle(low, high, number, composite[band][start:stop])


@jit
def _clear(composite: NDArray, count: NDArray, start: int, stop: int) -> None:
    count[start:stop] = 0
    for band in range(len(composite)):
        composite[band][start:stop] = 0


@jit
def _drop(bands: NDArray, start: int, stop: int, usable: NDArray) -> None:
    for band in range(len(bands)):
        drop_missing(bands[band][start:stop], usable)


@jit
def _copy_flags(valid: NDArray, usable: NDArray) -> None:
    for i in range(valid.size):
        usable[i] = valid[i]


@jit
def _count_all(usable: NDArray, number: NDArray) -> None:
    for i in range(number.size):
        number[i] += np.uint16(usable[i])


@jit
def _set_last(values: NDArray, usable: NDArray, plane: NDArray) -> None:
    for i in range(values.size):
        value = values[i]
        plane[i] = value if usable[i] else _LAST


@jit
def _exchange(first: NDArray, second: NDArray) -> None:
    for i in range(first.size):
        a, b = first[i], second[i]
        first[i] = a if a < b else b
        second[i] = b if a < b else a


@jit
def _pick(plane: NDArray, rank: np.uint16, number: NDArray, low: NDArray, high: NDArray) -> None:
    """Keep what lies at the lower and at the upper middle rank."""
    twice, odd, even = np.uint16(rank + rank), np.uint16(rank + rank + 1), np.uint16(rank + rank + 2)
    for i in range(plane.size):
        value, lower, upper, n = plane[i], low[i], high[i], number[i]
        low[i] = value if (n == odd) | (n == even) else lower
        high[i] = value if (n == odd) | (n == twice) else upper


@jit
def _middle(low: NDArray, high: NDArray, number: NDArray, out: NDArray) -> None:
    for i in range(out.size):
        value = np.uint16((np.uint32(low[i]) + np.uint32(high[i]) + np.uint32(1)) >> np.uint32(1))
        out[i] = value if number[i] != 0 else np.uint16(0)
