"""Sentinel-1 overpasses of the made country: terrain-corrected backscatter with speckle, and C2 covariance.

Speckle of L looks is drawn from the gamma distribution of the intensity, and for C2 from the complex Wishart
distribution of the whole matrix (Goodman 1963), so that filters and decompositions meet the statistics they assume.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jobs.demo.canvas import F32, Canvas, coarsen, strips
from jobs.demo.phenology import state_on
from jobs.demo.signal import backscatter
from jobs.demo.sky import stream
from jobs.demo.write import Band

LOOKS = 4.4
"""Equivalent number of looks of Sentinel-1 IW GRD in high resolution."""
TEXTURE_DB = 1.3
VV_VH_CORRELATION = 0.12 * np.exp(0.6j)
"""Small, as for vegetation, whose reflection symmetry makes it vanish; the phase is any."""
KEPT_BITS = np.uint32(0xFFFFF000)
"""Speckle is far coarser than the last twelve bits of a float32; without them it compresses to half."""


def sentinel1(canvas: Canvas, scene: str, day: int) -> dict[str, Band]:
    """vv and vh (20 m), float32 linear power, NaN nodata."""
    power = _power(canvas, scene, day)
    bands = {}
    for name, mean in zip(("vv", "vh"), power, strict=True):
        for top, bottom in strips(canvas.pixels):
            rows = slice(top // 2, bottom // 2)
            mean[rows] *= speckle(stream(canvas.seed, scene, name, top), mean[rows].shape, LOOKS)
        bands[name] = _band((mean.view(np.uint32) & KEPT_BITS).view(np.float32))
    return bands


def sentinel1_c2(canvas: Canvas, scene: str, day: int) -> dict[str, Band]:
    """c11 = <|VV|^2>, c22 = <|VH|^2>, c12 = <VV conj(VH)> (20 m), float32 linear power, NaN nodata."""
    power = _power(canvas, scene, day)
    c12 = np.empty(power.shape[1:], np.complex64)
    for top, bottom in strips(canvas.pixels):
        rows = slice(top // 2, bottom // 2)
        cross = VV_VH_CORRELATION * np.sqrt(power[0, rows] * power[1, rows])
        rng = stream(canvas.seed, scene, "c2", top)
        power[0, rows], power[1, rows], c12[rows] = wishart(rng, power[0, rows], power[1, rows], cross, looks=LOOKS)
    layers = {"c11": power[0], "c22": power[1], "c12_real": c12.real, "c12_imag": c12.imag}
    return {
        name: _band(np.ascontiguousarray(values)) for name, values in layers.items()
    }  # unrounded: C2 stays definite


def speckle(rng: np.random.Generator, shape: tuple[int, ...], looks: float) -> F32:
    """Multiplicative speckle, float32: gamma with mean 1 and variance 1 / looks."""
    return np.asarray(rng.standard_gamma(looks, shape, np.float32) / np.float32(looks))


def wishart(
    rng: np.random.Generator, vv: F32, vh: F32, cross: NDArray, *, looks: float
) -> tuple[F32, F32, NDArray[np.complex64]]:
    """Samples (c11, c22, c12) of the complex Wishart distribution with mean [[vv, cross], [conj(cross), vh]] and
    ``looks`` looks, all (y, x).

    By Bartlett's decomposition W = C A A* C* / L: C is the Cholesky factor of the mean, A lower triangular with
    |a11|^2 ~ gamma(L), |a22|^2 ~ gamma(L - 1), a21 standard complex normal; so L need not be whole, only above 1.
    """
    shape = vv.shape
    a11 = np.sqrt(rng.standard_gamma(looks, shape, np.float32))
    a22 = np.sqrt(rng.standard_gamma(looks - 1, shape, np.float32))
    re, im = rng.standard_normal((2, *shape), np.float32) * np.float32(np.sqrt(0.5))
    lower = np.conj(cross) / np.sqrt(vv)
    first = np.sqrt(vv) * a11
    second = lower * a11 + np.sqrt(np.maximum(vh - np.abs(lower) ** 2, 0)) * (re + 1j * im)
    rest = np.sqrt(np.maximum(vh - np.abs(lower) ** 2, 0)) * a22
    c22 = (np.abs(second) ** 2 + rest**2) / looks
    return (
        (first**2 / looks).astype(np.float32),
        c22.astype(np.float32),
        (first * np.conj(second) / looks).astype(np.complex64),
    )


def _power(canvas: Canvas, scene: str, day: int) -> F32:
    """(2, y, x) expected VV and VH at 20 m, mixed across field edges and textured within fields."""
    state = state_on(canvas.growth, day)
    wet = float(canvas.weather.wet[day])
    per_parcel = backscatter(state, canvas.traits, wet, stream(canvas.seed, scene, "parcels"))
    out = np.empty((2, canvas.pixels // 2, canvas.pixels // 2), np.float32)
    for top, bottom in strips(canvas.pixels):
        ids = canvas.landscape.ids[top:bottom]
        texture = coarsen(canvas.soil_texture[top:bottom].astype(np.float32), 2)
        factor = np.float32(10.0) ** (np.float32(TEXTURE_DB / 10) * texture)
        for band in range(2):
            out[band, top // 2 : bottom // 2] = coarsen(per_parcel[:, band][ids], 2) * factor
    return out


def _band(values: F32) -> Band:
    return Band(values, float("nan"), 1.0, 0.0, "linear power")
