"""Tasseled cap: brightness, greenness and wetness of one sensor's reflectance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import contiguous, destination, refuse_overlap
from kernels.jit import jit

_RUN = 8192
"""Pixels per pass: six bands of them (192 KiB) are read from memory once and from the second-level cache twice."""


class Cap(NamedTuple):
    """One sensor's transformation."""

    bands: tuple[str, ...]
    """The sensor's bands in the order the rows weigh them."""
    rows: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
    """Weights of brightness, greenness, wetness; orthonormal to the four digits they are published with."""


CAPS: Mapping[str, Cap] = {
    "sentinel-2": Cap(
        ("B02", "B03", "B04", "B08", "B11", "B12"),
        (
            (0.3510, 0.3813, 0.3437, 0.7196, 0.2396, 0.1949),
            (-0.3599, -0.3533, -0.4734, 0.6633, 0.0087, -0.2856),
            (0.2578, 0.2305, 0.0883, 0.1071, -0.7611, -0.5308),
        ),
    ),
    "landsat-8": Cap(
        ("B3", "B4", "B5", "B6", "B7"),
        (
            (0.4596, 0.5046, 0.5458, 0.4114, 0.2589),
            (-0.3374, -0.4901, 0.7909, 0.0177, -0.1416),
            (0.2254, 0.3681, 0.2250, -0.6053, -0.6298),
        ),
    ),
}
"""Sentinel-2: Shi and Xu 2019. Landsat 8 surface reflectance: Zhai et al. 2022."""


def tasseled_cap(
    bands: Sequence[NDArray[np.float32]], sensor: str, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Brightness, greenness and wetness, in this order along the first axis.

    bands: as many arrays as ``CAPS[sensor].bands`` names, in that order, one common shape (any number of dimensions),
    float32, surface reflectance 0 to 1, NaN = no data. sensor: a key of ``CAPS``.
    out: (3, *shape) float32, C-contiguous, sharing no memory with the bands.
    Returns (3, *shape) float32, unit of reflectance, NaN where any band is. Each is the sum of weight times band, in
    the order of the bands; absolute error up to 2^-24 (n + 1) sum |weight band| for n bands.
    Source: Shi and Xu 2019 for Sentinel-2, Zhai et al. 2022 for Landsat 8. Raises ValueError on another sensor, number
    of bands, dtype or shape.
    """
    if sensor not in CAPS:
        raise ValueError(f"sensor {sensor!r}, expected one of {', '.join(CAPS)}; no weights are held for another")
    cap = CAPS[sensor]
    if len(bands) != len(cap.bands):
        raise ValueError(f"{len(bands)} bands, expected {len(cap.bands)} for {sensor}: {', '.join(cap.bands)}")
    shape = bands[0].shape
    flat = [contiguous(name, band, np.float32, shape).reshape(-1) for name, band in zip(cap.bands, bands, strict=True)]
    target = destination(out, (3, *shape), np.float32)
    refuse_overlap(target, *flat)
    weights = np.array(cap.rows, np.float32)
    if len(flat) == 5:
        flat.append(np.empty(0, np.float32))
    _transform(tuple(flat), weights, target.reshape(3, -1))
    return target


@jit
def _transform(bands: tuple[NDArray, ...], weights: NDArray, out: NDArray) -> None:
    for start in range(0, out.shape[1], _RUN):
        stop = min(start + _RUN, out.shape[1])
        five = (
            bands[0][start:stop],
            bands[1][start:stop],
            bands[2][start:stop],
            bands[3][start:stop],
            bands[4][start:stop],
        )
        for row in range(3):
            _five(five, weights[row], out[row][start:stop])
            if bands[5].size > 0:
                _sixth(bands[5][start:stop], weights[row][5], out[row][start:stop])


@jit
def _five(bands: tuple[NDArray, ...], weights: NDArray, out: NDArray) -> None:
    b0, b1, b2, b3, b4 = bands
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    for i in range(out.size):
        out[i] = w0 * b0[i] + w1 * b1[i] + w2 * b2[i] + w3 * b3[i] + w4 * b4[i]


@jit
def _sixth(band: NDArray, weight: np.float32, out: NDArray) -> None:
    for i in range(out.size):
        out[i] = out[i] + weight * band[i]
