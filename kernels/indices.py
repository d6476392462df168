"""Vegetation indices on reflectance (0 to 1). A denominator of zero gives NaN, whatever stands above it; a quotient
beyond the range of float32 is infinite.

Every function takes float32 arrays of one common shape, any number of dimensions, NaN = no data, and returns float32 of
that shape, dimensionless, NaN where an input is NaN. ``out``: C-contiguous float32 of that shape, may be one of the
inputs. ValueError on another dtype or shape. Arithmetic is float32; each docstring bounds its distance from exact
arithmetic on the same inputs, with u = 2^-24 = 6.0e-8.
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

    nir, red: any shape float32, reflectance, NaN = no data. Returns float32, NaN where N + R = 0; relative error up to
    4 u.
    """
    return _normalised_difference("nir", nir, "red", red, out)


def lswi(nir: Array, swir1: Array, out: Array | None = None) -> Array:
    """(N - S1) / (N + S1), the land surface water index (Xiao et al. 2004).

    nir, swir1: any shape float32, reflectance, NaN = no data. Returns float32, NaN where N + S1 = 0; relative error up
    to 4 u.
    """
    return _normalised_difference("nir", nir, "swir1", swir1, out)


def ndwi(green: Array, nir: Array, out: Array | None = None) -> Array:
    """(G - N) / (G + N), the normalised difference water index of open water (McFeeters 1996).

    green, nir: any shape float32, reflectance, NaN = no data. Returns float32, NaN where G + N = 0; relative error up
    to 4 u. (Gao's index of the same name is ``lswi``.)
    """
    return _normalised_difference("green", green, "nir", nir, out)


def gcvi(nir: Array, green: Array, out: Array | None = None) -> Array:
    """N / G - 1, the green chlorophyll vegetation index (Gitelson et al. 2003).

    nir, green: any shape float32, reflectance, NaN = no data. Returns float32, NaN where G = 0; absolute error up to
    2 u (|N / G| + 1).
    """
    target = destination(out, nir.shape, np.float32, nir, green)
    _ratio(_flat("nir", nir, nir), _flat("green", green, nir), _ONE, target.reshape(-1))
    return target


def rvi(nir: Array, red: Array, out: Array | None = None) -> Array:
    """N / R, the ratio vegetation index (Jordan 1969; not the radar index that spyndex calls RVI).

    nir, red: any shape float32, reflectance, NaN = no data. Returns float32, NaN where R = 0; relative error up to 2 u.
    """
    target = destination(out, nir.shape, np.float32, nir, red)
    _ratio(_flat("nir", nir, nir), _flat("red", red, nir), np.float32(0.0), target.reshape(-1))
    return target


def evi(nir: Array, red: Array, blue: Array, clip: bool = True, out: Array | None = None) -> Array:
    """2.5 (N - R) / (N + 6 R - 7.5 B + 1), the enhanced vegetation index (Huete et al. 2002).

    nir, red, blue: any shape float32, reflectance, NaN = no data. clip: hold the result in [-1, 1].
    Returns float32, NaN where the denominator d is <= 0 (bright blue, such as B = 0.4, R = 0.2, N = 0.8, where rounding
    decides); relative error up to u (4 + 5 s / d), s = |N| + 6 |R| + 7.5 |B| + 1.
    """
    target = destination(out, nir.shape, np.float32, nir, red, blue)
    bands = _flat("nir", nir, nir), _flat("red", red, nir), _flat("blue", blue, nir)
    _evi(*bands, np.float32(1.0 if clip else np.inf), target.reshape(-1))
    return target


def lai(nir: Array, red: Array, blue: Array, clip: bool = True, out: Array | None = None) -> Array:
    """3.618 EVI - 0.118, a proxy of the leaf area index (Boegh et al. 2002), m2 of leaf per m2 of ground.

    nir, red, blue, clip: as ``evi`` takes them. Returns float32, NaN where EVI is; negative below EVI = 0.033, as the
    line says. Absolute error up to 3.7 times EVI's, and 4 u (|LAI| + 0.2).
    """
    target = evi(nir, red, blue, clip, out)
    leaf_area(target.reshape(-1))
    return target


def _flat(name: str, array: Array, like: Array) -> Array:
    return contiguous(name, array, np.float32, like.shape).reshape(-1)


def _normalised_difference(one: str, first: Array, other: str, second: Array, out: Array | None) -> Array:
    target = destination(out, first.shape, np.float32, first, second)
    _difference(_flat(one, first, first), _flat(other, second, first), target.reshape(-1))
    return target


@jit
def _difference(first: Array, second: Array, out: Array) -> None:
    for i in range(out.size):
        out[i] = normalised(first[i], second[i])


@jit
def _ratio(above: Array, below: Array, minus: np.float32, out: Array) -> None:
    for i in range(out.size):
        out[i] = ratio(above[i], below[i], minus)


@jit
def _evi(nir: Array, red: Array, blue: Array, limit: np.float32, out: Array) -> None:
    for i in range(out.size):
        out[i] = enhanced(nir[i], red[i], blue[i], _ONE, limit)


@jit
def leaf_area(evi: Array) -> None:
    """The proxy of leaf area in place of EVI."""
    for i in range(evi.size):
        evi[i] = np.float32(3.618) * evi[i] - np.float32(0.118)


# The formulae of one pixel, for this file's loops and those of kernels.fused.


@jit
def normalised(first: np.float32, second: np.float32) -> np.float32:
    """(first - second) / (first + second), NaN where the sum is 0."""
    total = first + second
    index = (first - second) / total
    return index if total != 0 else _NAN


@jit
def ratio(above: np.float32, below: np.float32, minus: np.float32) -> np.float32:
    """above / below - minus, NaN where below is 0."""
    index = above / below - minus
    return index if below != 0 else _NAN


@jit
def enhanced(nir: np.float32, red: np.float32, blue: np.float32, one: np.float32, limit: np.float32) -> np.float32:
    """EVI held in [-limit, limit], NaN where the denominator is <= 0; ``one``: reflectance 1 in the bands' unit."""
    divisor = nir + np.float32(6.0) * red - np.float32(7.5) * blue + one
    index = np.float32(2.5) * (nir - red) / divisor
    index = limit if index > limit else index
    index = -limit if index < -limit else index
    return index if divisor > 0 else _NAN
