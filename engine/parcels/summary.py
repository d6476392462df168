"""Pixels of parcels -> one series, or one vote, per parcel. The same to the bit in any order of pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.parcels.pixels import Footprints
from kernels.zonal import mean_std, parcel_sums
from kernels.zonal_median import parcel_medians

_BOUND = 1024.0
"""Features are averaged within +-1024: kelvin fit, and an index that divided by nearly nothing counts as that much. A
value is so rounded by 2e-9 at most."""


def bulk(found: Footprints, most: int) -> Iterator[tuple[slice, slice]]:
    """Slices of parcels and of their pixels, whole parcels each, at most ``most`` pixels but for a larger parcel."""
    starts = np.searchsorted(found.owner, np.arange(found.parcels + 1))
    first = 0
    while first < found.parcels:
        last = max(int(np.searchsorted(starts, starts[first] + most, "right")) - 1, first + 1)
        yield slice(first, last), slice(int(starts[first]), int(starts[last]))
        first = last


def parcel_series(
    owner: NDArray[np.int32], x: NDArray[np.float32], parcels: int, statistic: Literal["median", "mean"]
) -> NDArray[np.float32]:
    """The statistic of every feature and step over each parcel's pixels.

    owner: (m,) int32, 0 to parcels - 1, never falling; x: (t, f, m) float32, any unit, NaN = missing; not changed.
    Returns (parcels, t, f) float32, the unit of ``x``, NaN where no pixel has a value.
    """
    steps, features, pixels = x.shape
    values = x.reshape(steps * features, 1, pixels)
    if statistic == "median":
        found = parcel_medians(_labels(owner), values, parcels)
    else:
        within = np.clip(values, -_BOUND, _BOUND)
        found = mean_std(parcel_sums(_labels(owner), within, parcels, bound=_BOUND))[0].astype(np.float32)
    return np.ascontiguousarray(found.T.reshape(parcels, steps, features))


def parcel_means(owner: NDArray[np.int32], p: NDArray[np.float32], parcels: int) -> NDArray[np.float32]:
    """The mean of each parcel's pixels' probabilities.

    owner: (m,) int32, 0 to parcels - 1, never falling; p: (m, k) float32, 0 to 1.
    Returns (parcels, k) float32, NaN for a parcel without pixels.
    """
    sums = parcel_sums(_labels(owner), np.ascontiguousarray(p.T)[:, None], parcels, bound=1.0)
    return mean_std(sums)[0].T.astype(np.float32)


def _labels(owner: NDArray[np.int32]) -> NDArray[np.int32]:
    """(1, m) int32 as the kernels want it, 1 to parcels."""
    return (owner + np.int32(1))[None]
