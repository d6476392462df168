"""Reflectance of one sensor as Landsat 8's OLI would have seen it, band by band on a line.

So adjusted, Landsat 7, Landsat 8 and 9 and Sentinel-2 can go into one composite.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import contiguous, destination
from kernels.jit import jit

Line = tuple[float, float]
"""Slope and offset: OLI reflectance = slope * reflectance + offset."""

_OLI = ("coastal", "blue", "green", "red", "nir08", "swir1", "swir2")
_SAME: Line = (1.0, 0.0)

TO_OLI: Mapping[str, Mapping[str, Line]] = {
    "sentinel-2a": {
        "coastal": (0.9959, -0.0002),
        "blue": (0.9778, -0.0040),
        "green": (1.0053, -0.0009),
        "red": (0.9765, 0.0009),
        "nir08": (0.9983, -0.0001),
        "swir1": (0.9987, -0.0011),
        "swir2": (1.0030, -0.0012),
    },
    "sentinel-2b": {
        "coastal": (0.9959, -0.0002),
        "blue": (0.9778, -0.0040),
        "green": (1.0075, -0.0008),
        "red": (0.9761, 0.0010),
        "nir08": (0.9966, 0.0000),
        "swir1": (1.0000, -0.0003),
        "swir2": (0.9867, 0.0004),
    },
    "landsat-7": {
        "blue": (0.8474, 0.0003),
        "green": (0.8483, 0.0088),
        "red": (0.9047, 0.0061),
        "nir08": (0.8462, 0.0412),
        "swir1": (0.8937, 0.0254),
        "swir2": (0.9071, 0.0172),
    },
    "landsat-8": dict.fromkeys(_OLI, _SAME),
    "landsat-9": dict.fromkeys(_OLI, _SAME),
}
"""By sensor and band.

Sentinel-2A and 2B: NASA's Harmonized Landsat Sentinel-2 (Claverie et al. 2018; values as the project's page "Bandpass
adjustment" prints them), a fit to 500 Hyperion spectra. ``nir08`` is the narrow near infrared, band 8A: the project
leaves band 8 as it is and publishes no line for it, so a composite with Landsat takes 8A. Sentinel-2C is left out: no
line of it was found published.
Landsat 7 ETM+ (bands 1 to 5 and 7): Roy et al. 2016, table 2, ordinary least squares over surface reflectance, OLI from
ETM+. Such a fit draws towards the mean: means agree, extremes are damped.
Landsat 8 is the reference, and the project takes Landsat 9 as its like."""


def line_to_oli(sensor: str, band: str) -> Line:
    """Slope and offset that turn this sensor's reflectance into OLI's.

    sensor: a key of ``TO_OLI``. band: one of its bands. Raises ValueError on another, with those that are held.
    """
    if sensor not in TO_OLI:
        raise ValueError(
            f"sensor {sensor!r}, expected one of {', '.join(TO_OLI)}; no published line is held for another"
        )
    if band not in TO_OLI[sensor]:
        held = ", ".join(TO_OLI[sensor])
        raise ValueError(f"band {band!r} of {sensor}, expected one of {held}; near infrared is nir08 (Sentinel-2: B8A)")
    return TO_OLI[sensor][band]


def scaling_to_oli(sensor: str, band: str, scale: float, offset: float) -> Line:
    """Scale and offset that take DN straight to OLI reflectance: both lines in one, so adjusting costs nothing.

    scale, offset: reflectance = DN * scale + offset. Returns the pair that ``encode_reflectance`` takes instead; its
    rounding to the cube's 0.0001 is the only one. Raises ValueError as ``line_to_oli``.
    """
    slope, shift = line_to_oli(sensor, band)
    return slope * scale, slope * offset + shift


def to_oli(
    reflectance: NDArray[np.float32], sensor: str, band: str, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """The band's reflectance as OLI would have seen it: slope * reflectance + offset.

    reflectance: any shape, float32, surface reflectance 0 to 1, NaN = no data. out: C-contiguous float32 of that shape,
    may be the input. Returns that shape, float32, reflectance, NaN where the input is; absolute error up to
    2^-22 (|reflectance| + |offset|). Source: Claverie et al. 2018, Roy et al. 2016, as ``TO_OLI`` tells.
    Raises ValueError as ``line_to_oli``, and on another dtype or shape.
    """
    slope, offset = line_to_oli(sensor, band)
    flat = contiguous("reflectance", reflectance, np.float32).reshape(-1)
    target = destination(out, reflectance.shape, np.float32, reflectance)
    _adjust(flat, np.float32(slope), np.float32(offset), target.reshape(-1))
    return target


@jit
def _adjust(values: NDArray, slope: np.float32, offset: np.float32, out: NDArray) -> None:
    for i in range(values.size):
        out[i] = slope * values[i] + offset
