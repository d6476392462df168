"""Vegetation indices on reflectance (0 to 1). A denominator of zero gives NaN, whatever stands above it.

Every function takes float32 arrays of one common shape, any number of dimensions, NaN = no data, and returns float32 of
that shape, dimensionless, NaN where an input is NaN. ``out``: C-contiguous float32 of that shape, may be one of the
inputs. ValueError on another dtype or shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import contiguous, destination
from kernels.jit import jit

Array = NDArray[np.float32]

_NAN = np.float32(np.nan)
_ONE = np.float32(1.0)


def ndvi(nir: Array, red: Array, out: Array | None = None) -> Array:
    """(N - R) / (N + R), the normalised difference vegetation index (Rouse et al. 1974).

    nir, red: any shape float32, reflectance, NaN = no data. Returns float32, NaN where N + R = 0.
    """
    return _normalised_difference(nir, red, "red", out)


def lswi(nir: Array, swir1: Array, out: Array | None = None) -> Array:
    """(N - S1) / (N + S1), the land surface water index (Xiao et al. 2004).

    nir, swir1: any shape float32, reflectance, NaN = no data. Returns float32, NaN where N + S1 = 0.
    """
    return _normalised_difference(nir, swir1, "swir1", out)


def gcvi(nir: Array, green: Array, out: Array | None = None) -> Array:
    """N / G - 1, the green chlorophyll vegetation index (Gitelson et al. 2003).

    nir, green: any shape float32, reflectance, NaN = no data. Returns float32, NaN where G = 0.
    """
    target = destination(out, nir.shape, np.float32)
    _ratio(_flat("nir", nir, nir), _flat("green", green, nir), _ONE, target.reshape(-1))
    return target


def rvi(nir: Array, red: Array, out: Array | None = None) -> Array:
    """N / R, the ratio vegetation index (Jordan 1969; not the radar index that spyndex calls RVI).

    nir, red: any shape float32, reflectance, NaN = no data. Returns float32, NaN where R = 0.
    """
    target = destination(out, nir.shape, np.float32)
    _ratio(_flat("nir", nir, nir), _flat("red", red, nir), np.float32(0.0), target.reshape(-1))
    return target


def evi(nir: Array, red: Array, blue: Array, clip: bool = True, out: Array | None = None) -> Array:
    """2.5 (N - R) / (N + 6 R - 7.5 B + 1), the enhanced vegetation index (Huete et al. 2002).

    nir, red, blue: any shape float32, reflectance, NaN = no data. clip: hold the result in [-1, 1].
    Returns float32, NaN where the denominator is <= 0 (bright blue, such as B = 0.4, R = 0.2, N = 0.8).
    """
    target = destination(out, nir.shape, np.float32)
    limit = np.float32(1.0 if clip else np.inf)
    _evi(_flat("nir", nir, nir), _flat("red", red, nir), _flat("blue", blue, nir), limit, target.reshape(-1))
    return target


def _flat(name: str, array: Array, like: Array) -> Array:
    return contiguous(name, array, np.float32, like.shape).reshape(-1)


def _normalised_difference(nir: Array, other: Array, name: str, out: Array | None) -> Array:
    target = destination(out, nir.shape, np.float32)
    _difference(_flat("nir", nir, nir), _flat(name, other, nir), target.reshape(-1))
    return target


@jit
def _difference(nir: Array, other: Array, out: Array) -> None:
    for i in range(out.size):
        total = nir[i] + other[i]
        index = (nir[i] - other[i]) / total
        out[i] = index if total != 0 else _NAN


@jit
def _ratio(above: Array, below: Array, minus: np.float32, out: Array) -> None:
    for i in range(out.size):
        divisor = below[i]
        index = above[i] / divisor - minus
        out[i] = index if divisor != 0 else _NAN


@jit
def _evi(nir: Array, red: Array, blue: Array, limit: np.float32, out: Array) -> None:
    for i in range(out.size):
        divisor = nir[i] + np.float32(6.0) * red[i] - np.float32(7.5) * blue[i] + _ONE
        index = np.float32(2.5) * (nir[i] - red[i]) / divisor
        index = limit if index > limit else index
        index = -limit if index < -limit else index
        out[i] = index if divisor > 0 else _NAN
