"""Parcels counted and averaged: partial sums of a tile that add up over tiles to the whole parcel's, to the last bit.

A pixel belongs to the parcel that its label names: labels 1 to n, 0 = no parcel. Every value is rounded once to a fixed
grid and then only whole numbers are added (int64). Whole numbers have no order of summing, so wherever tile edges cut a
parcel, merging the parts gives exactly what the uncut raster gives. The rounding is the only error, and below float32's
own: see ``parcel_sums``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import contiguous, destination, refuse_overlap
from kernels.jit import jit

_RUN = 2048
"""Pixels of one band rounded at once: their two moments (32 KiB) stay in the first-level cache while they are added."""

_BITS = 38
"""A value at its bound is 2^38 grid steps."""

MOST_PIXELS = 1 << (62 - _BITS)
"""Valid pixels of one parcel up to which the sums cannot overflow: 16.8 million, 1,678 km2 at 10 m."""


class Sums(NamedTuple):
    """Partial sums of parcels, each array (b, n) int64: row = band, column = label - 1."""

    pixels: NDArray[np.int64]
    """Valid values."""
    total: NDArray[np.int64]
    """Sum of the values, in units of bound * 2^-38."""
    squares: NDArray[np.int64]
    """Sum of the squared values, in units of bound^2 * 2^-38."""
    bound: float
    """Largest |value|, a power of two."""


def parcel_sums(
    labels: NDArray[np.int32],
    values: NDArray[np.float32],
    parcels: int,
    *,
    bound: float = 16.0,
    out: Sums | None = None,
) -> Sums:
    """Count, sum and sum of squares of every parcel in every band.

    labels: (y, x) int32, 0 = none, else 1 to parcels. values: (b, y, x) float32, any unit, NaN = no data.
    bound: largest |value| that may occur, raised to a power of two; it sets the grid that values are rounded to: by at
    most bound * 2^-39 (at 16: 2.9e-11), squares by bound^2 * 2^-39 (at 16: 4.7e-10). Take the smallest that holds:
    1 for reflectance and normalised differences, 512 for kelvin. Parts that are to be merged need the same.
    out: a Sums of that bound whose (b, parcels) arrays are filled anew, C-contiguous, sharing no memory.
    Returns Sums; a parcel without a valid pixel has 0 everywhere.
    Raises ValueError on another dtype or shape, a label outside 0 to parcels, a value beyond the bound or infinite, or
    a bound that is not positive and finite.
    """
    bands, rows, columns = values.shape if values.ndim == 3 else (None, None, None)
    values = contiguous("values", values, np.float32, (bands, rows, columns))
    labels = checked_labels(labels, (rows, columns), parcels)
    bound = _power_of_two(bound)
    pixels, total, squares = _tables(out, (len(values), parcels), bound)
    refuse_overlap(pixels, total, squares, values, labels)
    refuse_overlap(total, squares, values, labels)
    refuse_overlap(squares, values, labels)
    grid = bound * 2.0**-_BITS, bound * bound * 2.0**-_BITS
    flat = values.reshape(len(values), labels.size)
    beyond = _sums(labels.reshape(-1), flat, (grid[0], grid[1], bound), (pixels, total, squares))
    if beyond:
        raise ValueError(f"{beyond} values lie beyond {bound:g}, expected |value| up to it; pass a larger bound")
    return Sums(pixels, total, squares, bound)


def merged(*parts: Sums) -> Sums:
    """The sums of several tiles, or of several parts of a raster, together: exact, in any order.

    parts: at least one, of one bound and shape, unchanged. Returns fresh Sums. Raises ValueError where bounds or shapes
    differ.
    """
    if not parts:
        raise ValueError("no parts, expected at least one; a raster without tiles has no parcels")
    if len({(part.bound, part.pixels.shape) for part in parts}) > 1:
        raise ValueError("parts differ in bound or shape, expected one of each; sum all tiles with the same arguments")
    pixels, total, squares = (np.sum(tables, axis=0) for tables in zip(*(part[:3] for part in parts), strict=True))
    return Sums(pixels, total, squares, parts[0].bound)


def mean_std(
    sums: Sums, out: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(mean, std) of every parcel in every band, std the population's (divisor n).

    sums: of whole parcels, unchanged. out: that pair, C-contiguous, sharing no memory.
    Returns (b, n) float64 twice, the unit of the values, NaN where the parcel has no valid pixel. Of exact arithmetic
    on the values the mean misses up to bound * 2^-38, the variance up to bound^2 * 2^-36.
    Raises ValueError where a parcel has more than ``MOST_PIXELS`` valid pixels, whose sums may have overflowed.
    """
    if sums.pixels.size and (most := int(sums.pixels.max())) > MOST_PIXELS:
        raise ValueError(f"a parcel of {most} pixels, expected up to {MOST_PIXELS}; cut it, or use coarser pixels")
    mean, std = (destination(part, sums.pixels.shape, np.float64) for part in (out or (None, None)))
    refuse_overlap(mean, std)
    grid, square_grid = sums.bound * 2.0**-_BITS, sums.bound**2 * 2.0**-_BITS
    with np.errstate(invalid="ignore"):
        np.divide(sums.total * grid, sums.pixels, out=mean)
        np.divide(sums.squares * square_grid, sums.pixels, out=std)
    np.sqrt(np.maximum(std - mean * mean, 0.0), out=std)
    return mean, std


def class_counts(
    labels: NDArray[np.int32],
    classes: NDArray[np.uint8],
    parcels: int,
    *,
    kinds: int = 256,
    out: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Pixels of every class in every parcel; parts of a raster simply add up.

    labels: (y, x) int32, 0 = none, else 1 to parcels. classes: (y, x) uint8, class codes below ``kinds``; a no-data
    code is a class like any other, with a column of its own. out: (parcels, kinds) int64, C-contiguous.
    Returns (parcels, kinds) int64, pixels; a parcel without a pixel has zeros.
    Raises ValueError on another dtype or shape, a label outside 0 to parcels, or a class of ``kinds`` or above.
    """
    classes = contiguous("classes", classes, np.uint8, (None, None))
    labels = checked_labels(labels, classes.shape, parcels)
    if not 1 <= kinds <= 256 or (classes.size and int(classes.max()) >= kinds):
        raise ValueError(f"kinds is {kinds}, expected 1 to 256 and above every class; pass the largest code + 1")
    out = destination(out, (parcels, kinds), np.int64)
    out[:] = 0
    _count_classes(labels.reshape(-1), classes.reshape(-1), out)
    return out


def checked_labels(labels: NDArray[np.int32], shape: tuple[int | None, ...], parcels: int) -> NDArray[np.int32]:
    """The labels, contiguous; ValueError unless int32, of that shape and within 0 to parcels."""
    labels = contiguous("labels", labels, np.int32, shape)
    if parcels < 0:
        raise ValueError(f"parcels is {parcels}, expected 0 or more; pass the largest label")
    if labels.size and (int(labels.min()) < 0 or int(labels.max()) > parcels):
        found = f"{labels.min()} to {labels.max()}"
        raise ValueError(f"labels run from {found}, expected 0 to {parcels}; 0 is no parcel")
    return labels


def _power_of_two(bound: float) -> float:
    if not 0 < bound < 1e100:  # its square is used too
        raise ValueError(f"bound is {bound}, expected above 0 and below 1e100; pass the largest |value| that may occur")
    return 2.0 ** math.ceil(math.log2(bound))


def _tables(out: Sums | None, shape: tuple[int, int], bound: float) -> tuple[NDArray, NDArray, NDArray]:
    if out is not None and out.bound != bound:
        raise ValueError(f"out has bound {out.bound:g}, expected {bound:g}; pass the same bound")
    pixels, total, squares = (destination(part, shape, np.int64) for part in (out[:3] if out else (None, None, None)))
    for table in (pixels, total, squares):
        table[:] = 0
    return pixels, total, squares


@jit
def _sums(
    labels: NDArray, values: NDArray, units: tuple[float, float, float], tables: tuple[NDArray, NDArray, NDArray]
) -> int:
    """Round a run of pixels, then add stretches of one label at once. Returns how many values lie beyond the bound."""
    grid, square_grid, bound = units
    magic = np.array([grid, square_grid]) * 6755399441055744.0  # 1.5 * 2^52: there a float64 has steps of one grid
    shift = magic.view(np.int64)
    moments = np.empty((2, _RUN), np.float64)
    bits = moments.view(np.int64)
    ends, owners = np.empty(_RUN + 1, np.int64), np.empty(_RUN, np.int64)
    beyond = 0
    for start in range(0, labels.size, _RUN):
        stop = min(start + _RUN, labels.size)
        stretches = _stretches(labels[start:stop], ends, owners)
        if stretches == 1 and owners[0] == 0:
            continue
        for band in range(len(values)):
            run = values[band][start:stop]
            missing, outside = _round(run, magic[0], magic[1], bound, moments[0], moments[1])
            beyond += _outside(run, labels[start:stop], bound) if outside else 0
            pixels, total, squares = tables[0][band], tables[1][band], tables[2][band]
            for k in range(stretches):
                if owners[k] == 0:
                    continue
                lo, hi, at = ends[k], ends[k + 1], owners[k] - 1
                total[at] += _add(bits[0][lo:hi], shift[0])
                squares[at] += _add(bits[1][lo:hi], shift[1])
                pixels[at] += hi - lo - (count_missing(run[lo:hi]) if missing else 0)
    return beyond


@jit
def _stretches(labels: NDArray, ends: NDArray, owners: NDArray) -> int:
    """Note where each stretch of one label begins, and whose it is; ``ends`` closes with the length."""
    number, last = 0, -1
    for i in range(labels.size):
        if labels[i] != last:
            last = labels[i]
            ends[number] = i
            owners[number] = last
            number += 1
    ends[number] = labels.size
    return number


@jit
def _round(
    values: NDArray, magic: float, square_magic: float, bound: float, first: NDArray, second: NDArray
) -> tuple[int, int]:
    """Add the number in whose neighbourhood float64 has just the grid's steps: the low bits then hold value / grid,
    rounded. A missing value counts as 0. Returns how many are missing, and how many lie beyond the bound."""
    missing, outside = 0, 0
    for i in range(values.size):
        gone = np.isnan(values[i])
        value = np.float64(np.float32(0.0) if gone else values[i])
        first[i] = value + magic
        second[i] = value * value + square_magic
        missing += gone
        outside += bool(abs(value) > bound)
    return missing, outside


@jit
def _outside(values: NDArray, labels: NDArray, bound: float) -> int:
    """Values beyond the bound that lie in a parcel."""
    number = 0
    for i in range(values.size):
        number += (abs(values[i]) > bound) & (labels[i] != 0)
    return number


@jit
def _add(bits: NDArray, shift: np.int64) -> int:
    total = 0
    for i in range(bits.size):
        total += bits[i] - shift
    return total


@jit
def count_missing(values: NDArray) -> int:
    """How many are NaN."""
    number = 0
    for i in range(values.size):
        number += np.isnan(values[i])
    return number


@jit
def _count_classes(labels: NDArray, classes: NDArray, counts: NDArray) -> None:
    """Neighbours of one parcel and class are counted together: one addition at the end of each stretch."""
    if labels.size == 0:
        return
    began, label, code = 0, labels[0], classes[0]
    for i in range(1, labels.size):
        if (labels[i] != label) | (classes[i] != code):
            if label != 0:
                counts[label - 1, code] += i - began
            began, label, code = i, labels[i], classes[i]
    if label != 0:
        counts[label - 1, code] += labels.size - began
