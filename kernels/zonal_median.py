"""Exact medians of parcels, cut by tile edges or not.

Medians of parts cannot be merged, so the values are: ``gathered`` lays a tile's values out parcel by parcel, ``joined``
puts the parts of all tiles together, ``medians`` takes the middle. A parcel that lies in one tile needs no joining;
only those on tile edges are held until their last tile has come.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import contiguous, destination
from kernels.jit import jit
from kernels.zonal import checked_labels, count_missing

_BUCKETS = 512
_FEW = 24
"""As many values are sorted by insertion; more are first narrowed to the bucket that holds the middle."""


class Gathered(NamedTuple):
    """One band's valid values, parcel by parcel."""

    values: NDArray[np.float32]
    """(m,) the values of label 1, then of 2, and so on."""
    starts: NDArray[np.int64]
    """(n + 1,) where each parcel's values begin; the last is m."""


def gathered(labels: NDArray[np.int32], values: NDArray[np.float32], parcels: int) -> Gathered:
    """The valid values of every parcel.

    labels: (y, x) int32, 0 = none, else 1 to parcels. values: (y, x) float32, any unit, NaN = no data.
    Returns Gathered; within a parcel in the order of rows. Raises ValueError on another dtype or shape, or a label
    outside 0 to parcels.
    """
    values = contiguous("values", values, np.float32, (None, None))
    flat = checked_labels(labels, values.shape, parcels).reshape(-1)
    begins, owners = _find_stretches(flat)
    starts = np.zeros(parcels + 1, np.int64)
    _measure(values.reshape(-1), begins, owners, starts)
    np.cumsum(starts, out=starts)
    room = np.empty(starts[-1], np.float32)
    _lay_out(values.reshape(-1), begins, owners, starts[:-1].copy(), room)
    return Gathered(room, starts)


def joined(*parts: Gathered) -> Gathered:
    """The values of several tiles together, parcel by parcel, in the order of the parts.

    parts: at least one, of one number of parcels, unchanged. Raises ValueError otherwise.
    """
    if not parts or len({part.starts.size for part in parts}) > 1:
        raise ValueError(f"{len(parts)} parts of unlike numbers of parcels, expected at least one, all of the same")
    starts = np.sum([part.starts for part in parts], axis=0)
    room = np.empty(starts[-1], np.float32)
    cursor = starts[:-1].copy()
    for part in parts:
        _append(part.values, part.starts, cursor, room)
    return Gathered(room, starts)


def medians(parts: Gathered, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """The median of every parcel.

    parts: of whole parcels, unchanged. out: (n,) float32, C-contiguous.
    Returns (n,) float32, the unit of the values, NaN where a parcel has none. Exact for an odd number of values; of an
    even number the mean of the middle two, rounded once. Infinite values are ordered like others.
    """
    out = destination(out, (parts.starts.size - 1,), np.float32)
    _medians(contiguous("values", parts.values, np.float32, (None,)).view(np.int32), parts.starts, out)
    return out


def parcel_medians(
    labels: NDArray[np.int32], values: NDArray[np.float32], parcels: int, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """The median of every parcel in every band, of parcels that lie in this raster as a whole.

    labels: (y, x) int32, 0 = none, else 1 to parcels. values: (b, y, x) float32, any unit, NaN = no data.
    out: (b, parcels) float32, C-contiguous. Returns (b, parcels) float32 as ``medians`` does, and ValueError as
    ``gathered``.
    """
    values = contiguous("values", values, np.float32, (None, None, None))
    out = destination(out, (len(values), parcels), np.float32)
    for band, row in zip(values, out, strict=True):
        medians(gathered(labels, band, parcels), row)
    return out


@jit
def _find_stretches(labels: NDArray) -> tuple[NDArray, NDArray]:
    """Where each stretch of one label begins (closing with the length), and whose it is."""
    number = 1 if labels.size else 0
    for i in range(1, labels.size):
        number += labels[i] != labels[i - 1]
    begins, owners = np.empty(number + 1, np.int64), np.empty(number, np.int64)
    at = 0
    for i in range(labels.size):
        if i == 0 or labels[i] != labels[i - 1]:
            begins[at], owners[at] = i, labels[i]
            at += 1
    begins[number] = labels.size
    return begins, owners


@jit
def _measure(values: NDArray, begins: NDArray, owners: NDArray, sizes: NDArray) -> None:
    """Valid values of each label, at its own position; those of label 0 are left out."""
    for k in range(owners.size):
        if owners[k] != 0:
            stretch = values[begins[k] : begins[k + 1]]
            sizes[owners[k]] += stretch.size - count_missing(stretch)


@jit
def _lay_out(values: NDArray, begins: NDArray, owners: NDArray, cursor: NDArray, room: NDArray) -> None:
    for k in range(owners.size):
        if owners[k] != 0:
            at = cursor[owners[k] - 1]
            for i in range(begins[k], begins[k + 1]):
                if not np.isnan(values[i]):
                    room[at] = values[i]
                    at += 1
            cursor[owners[k] - 1] = at


@jit
def _append(values: NDArray, starts: NDArray, cursor: NDArray, room: NDArray) -> None:
    for parcel in range(cursor.size):
        at = cursor[parcel]
        for i in range(starts[parcel], starts[parcel + 1]):
            room[at] = values[i]
            at += 1
        cursor[parcel] = at


@jit
def _medians(bits: NDArray, starts: NDArray, out: NDArray) -> None:
    """``bits``: the values' float32 patterns, which as whole numbers are ordered like the values once the negative ones
    are turned over."""
    longest = 0
    for parcel in range(out.size):
        longest = max(longest, starts[parcel + 1] - starts[parcel])
    keys, buckets = np.empty(longest, np.int32), np.empty(_BUCKETS, np.int64)
    middle = np.empty(2, np.int32)
    pattern = middle.view(np.float32)
    for parcel in range(out.size):
        number = starts[parcel + 1] - starts[parcel]
        if number == 0:
            out[parcel] = np.nan
            continue
        _turn(bits[starts[parcel] : starts[parcel + 1]], keys)
        _middle_two(keys[:number], buckets, middle)
        _turn(middle, middle)
        out[parcel] = np.float32((np.float64(pattern[0]) + np.float64(pattern[1])) / 2)


@jit
def _turn(bits: NDArray, keys: NDArray) -> None:
    """Float pattern to ordered whole number, and back."""
    for i in range(bits.size):
        word = bits[i]
        keys[i] = word ^ ((word >> np.int32(31)) & np.int32(0x7FFFFFFF))


@jit
def _middle_two(keys: NDArray, buckets: NDArray, middle: NDArray) -> None:
    """The keys at the two middle ranks (equal for an odd number). Counts keys in buckets of equal width between least
    and largest and keeps those of the middle's bucket, until few are left: 32 bits are used up in four rounds, mostly
    in one or two. ``keys`` is overwritten."""
    low, high, number = (keys.size - 1) // 2, keys.size // 2, keys.size
    while number > _FEW:
        least, largest = _range(keys[:number])
        if least == largest:
            middle[:] = least
            return
        shift = 0
        while ((largest - least) >> shift) >= _BUCKETS:
            shift += 1
        _count_buckets(keys[:number], least, shift, buckets)
        below, bucket = 0, 0
        while below + buckets[bucket] <= low:
            below += buckets[bucket]
            bucket += 1
        end = least + ((bucket + 1) << shift)
        if high >= below + buckets[bucket]:  # the middle lies between two buckets
            middle[0], middle[1] = _either_side(keys[:number], end)
            return
        number = _keep(keys, number, least + (bucket << shift), end)
        low, high = low - below, high - below
    _sort_few(keys[:number])
    middle[0], middle[1] = keys[low], keys[high]


@jit
def _range(keys: NDArray) -> tuple[np.int64, np.int64]:
    least, largest = keys[0], keys[0]
    for i in range(keys.size):
        least = min(least, keys[i])
        largest = max(largest, keys[i])
    return np.int64(least), np.int64(largest)


@jit
def _count_buckets(keys: NDArray, least: np.int64, shift: int, buckets: NDArray) -> None:
    buckets[:] = 0
    for i in range(keys.size):
        buckets[(np.int64(keys[i]) - least) >> shift] += 1


@jit
def _either_side(keys: NDArray, end: np.int64) -> tuple[np.int32, np.int32]:
    """The largest key below ``end`` and the least from it on."""
    below, above = np.int32(-(2**31)), np.int32(2**31 - 1)
    for i in range(keys.size):
        key = keys[i]
        below = max(below, key) if key < end else below
        above = min(above, key) if key >= end else above
    return below, above


@jit
def _keep(keys: NDArray, number: int, least: np.int64, end: np.int64) -> int:
    """Move the keys in [least, end) to the front and say how many."""
    kept = 0
    for i in range(number):
        key = keys[i]
        keys[kept] = key  # written in any case, kept or not: no branch to mispredict
        kept += (key >= least) & (key < end)
    return kept


@jit
def _sort_few(keys: NDArray) -> None:
    for i in range(1, keys.size):
        key, at = keys[i], i
        while at > 0 and keys[at - 1] > key:
            keys[at] = keys[at - 1]
            at -= 1
        keys[at] = key
