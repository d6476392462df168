"""Optical and thermal overpasses of the made country: Sentinel-2 with SCL, Landsat with QA_PIXEL, both under cloud.

The masks are as good as real ones: they miss thin edges, some shadows and all haze, and take bright roofs for cloud.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.demo.canvas import CODES, F32, Canvas, centres, coarsen, ground, strips
from jobs.demo.covers import BUILT_UP, WATER
from jobs.demo.phenology import State, state_on
from jobs.demo.signal import temperature
from jobs.demo.sky import Clouds, Sky, make_sky, stream
from jobs.demo.write import Band

OPTICAL = ("blue", "green", "red", "nir", "swir16")
CLOUD_WHITE = (0.52, 0.50, 0.50, 0.54, 0.34)
SHADOW_DIM = (0.38, 0.45, 0.52, 0.58, 0.60)
"""Share of light a full shadow takes; blue skylight fills in."""
PIXEL_NOISE = 0.0035
AIR_ERROR = 0.025
"""Relative error of a date's atmospheric correction, over all bands and again per band."""
MASK_SEES = 0.45
"""Opacity from which a cloud mask usually sees cloud; thinner edges are left in."""
MASK_ERROR = 0.14
VEGETATION, BARE, OPEN_WATER, SHADOW, CLOUD, THICK_CLOUD = 4, 5, 6, 3, 8, 9
QA_CLEAR, QA_WATER, QA_DILATED, QA_SHADOW, QA_CLOUD = 21824, 21952, 21762, 23888, 22280
"""QA_PIXEL of Landsat Collection 2 as commonly met."""
CLOUD_COLDER_K = 28.0


@dataclass(frozen=True)
class Encoding:
    """physical = DN * scale + offset, DN uint16 with 0 for no data."""

    scale: float
    offset: float

    def band(self, values: F32, name: str | None = None, unit: str | None = None) -> Band:
        """(y, x) physical values in counts, 1 at least: dark water is data."""
        counts = np.clip(np.rint((values - np.float32(self.offset)) / np.float32(self.scale)), 1, 65535)
        return Band(counts.astype(np.uint16), 0, self.scale, self.offset, unit, name)


LANDSAT_REFLECTANCE = Encoding(2.75e-5, -0.2)
LANDSAT_KELVIN = Encoding(0.00341802, 149.0)


@dataclass(frozen=True)
class Overpass:
    """One optical sensor over the country on one day: ``scene`` names its random streams and its sky."""

    canvas: Canvas
    scene: str
    day: int

    @property
    def sky(self) -> Sky:
        """The clouds of this overpass, as many as the day's weather has."""
        cover = float(self.canvas.weather.cloud[self.day])
        return make_sky(self.canvas.seed, self.scene, cover, self.canvas.side_m)


def sentinel2(overpass: Overpass, encoding: Encoding) -> tuple[dict[str, Band], float]:
    """Bands blue, green, red, nir (10 m), swir16, scl (20 m), and the cloud the SCL sees in percent."""
    pixels = overpass.canvas.pixels
    fine = np.empty((4, pixels, pixels), np.float32)
    swir = np.empty((pixels // 2, pixels // 2), np.float32)
    scl = np.empty(swir.shape, np.uint8)
    state, sky = state_on(overpass.canvas.growth, overpass.day), overpass.sky
    for top, bottom in strips(pixels):
        clear = _through_air(overpass, state, top, bottom)
        y, x = centres(top, bottom, 2), centres(0, pixels, 2)
        clouds = sky.over(y, x)
        half = slice(top // 2, bottom // 2)
        swir[half] = _veil(coarsen(clear[4], 2), 4, clouds)
        finer = Clouds(*(layer.repeat(2, axis=0).repeat(2, axis=1) for layer in clouds))
        for band in range(4):
            fine[band, top:bottom] = _veil(clear[band], band, finer)
        scl[half] = _scene_classes(overpass.canvas, state, (top, bottom), clouds)
    bands = {name: encoding.band(values, name) for name, values in zip(OPTICAL, (*fine, swir), strict=True)}
    bands["scl"] = Band(scl, 0)
    return bands, _percent(scl >= CLOUD)


def landsat(overpass: Overpass) -> tuple[dict[str, Band], dict[str, Band], float]:
    """Reflectance bands with qa_pixel, surface temperature lwir11 with qa_pixel (30 m), and cloud in percent."""
    pixels = overpass.canvas.pixels
    surface = np.empty((5, pixels // 3, pixels // 3), np.float32)
    kelvin = np.empty(surface.shape[1:], np.float32)
    quality = np.empty(surface.shape[1:], np.uint16)
    cold = np.empty(surface.shape[1:], np.float32)
    state, sky = state_on(overpass.canvas.growth, overpass.day), overpass.sky
    skin = temperature(state, overpass.canvas.weather, overpass.day)
    for top, bottom in strips(pixels):
        y, x = centres(top, bottom, 3), centres(0, pixels, 3)
        clouds = sky.over(y, x)
        rows = slice(top // 3, bottom // 3)
        clear = coarsen(_through_air(overpass, state, top, bottom), 3)
        for band in range(5):
            surface[band, rows] = _veil(clear[band], band, clouds)
        ids = overpass.canvas.landscape.ids[top:bottom]
        kelvin[rows] = coarsen(skin[ids], 3)
        cold[rows] = CLOUD_COLDER_K * clouds.cover + 4.0 * clouds.shadow
        quality[rows] = _quality(CODES[state.cover][ids[1::3, 1::3]], clouds)
    rng = stream(overpass.canvas.seed, overpass.scene, "lwir11")
    kelvin = _as_coarse_as_tirs(kelvin) - cold + 0.3 * rng.standard_normal(kelvin.shape, np.float32)
    names = ("blue", "green", "red", "nir08", "swir16")
    bands = {name: LANDSAT_REFLECTANCE.band(values, name) for name, values in zip(names, surface, strict=True)}
    bands["qa_pixel"] = Band(quality, 1)
    thermal = {"lwir11": LANDSAT_KELVIN.band(kelvin, "lwir11", "kelvin"), "qa_pixel": bands["qa_pixel"]}
    return bands, thermal, _percent(quality == QA_CLOUD)


def _through_air(overpass: Overpass, state: State, top: int, bottom: int) -> F32:
    """(5, y, x) reflectance of rows at 10 m with the date's correction error and the pixels' noise."""
    canvas, what = overpass.canvas, overpass.scene
    clear = ground(canvas, state, float(canvas.weather.wet[overpass.day]), top, bottom)
    error = stream(canvas.seed, what, "air").normal(0, AIR_ERROR, 6).astype(np.float32)
    for band, name in enumerate(OPTICAL):
        noise = stream(canvas.seed, what, name, top).standard_normal(clear.shape[1:], np.float32)
        clear[band] *= 1 + error[5] + error[band]
        clear[band] += np.float32(PIXEL_NOISE) * noise
    return clear


def _veil(clear: F32, band: int, clouds: Clouds) -> F32:
    """One band, (y, x), as seen through clouds and under their shadows."""
    cover = clouds.cover
    lit = clear * (1 - np.float32(SHADOW_DIM[band]) * clouds.shadow)
    white = np.float32(CLOUD_WHITE[band]) * (np.float32(0.75) + np.float32(0.25) * cover)
    return np.asarray(np.maximum(lit, 0) * (1 - cover) + white * cover)


def _scene_classes(canvas: Canvas, state: State, rows: tuple[int, int], clouds: Clouds) -> NDArray[np.uint8]:
    """Scene classification at 20 m: what the processor believes, not what is."""
    cover, shadow, error = clouds
    inner = slice(rows[0] + 1, rows[1], 2)
    ids = canvas.landscape.ids[inner, 1::2]
    code = CODES[state.cover][ids]
    scl = np.where(state.ndvi[ids] > 0.35, VEGETATION, BARE).astype(np.uint8)
    scl[code == WATER] = OPEN_WATER
    scl[(shadow > 0.5) & (error < 0.3)] = SHADOW
    scl[(code == BUILT_UP) & (canvas.soil_texture[inner, 1::2] > 1.7)] = CLOUD
    seen = cover + MASK_ERROR * error
    scl[(seen > MASK_SEES) & (cover > 0.15)] = CLOUD
    scl[seen > 0.8] = THICK_CLOUD
    return scl


def _quality(code: NDArray, clouds: Clouds) -> NDArray[np.uint16]:
    """QA_PIXEL at 30 m; unlike the SCL it widens its clouds."""
    cover, shadow, error = clouds
    quality = np.where(code == WATER, QA_WATER, QA_CLEAR).astype(np.uint16)
    quality[(shadow > 0.45) & (error < 0.6)] = QA_SHADOW
    seen = cover + MASK_ERROR * error
    quality[(seen > 0.2) & (cover > 0.05)] = QA_DILATED
    quality[(seen > MASK_SEES) & (cover > 0.15)] = QA_CLOUD
    return quality


def _as_coarse_as_tirs(kelvin: F32) -> F32:
    """Mean of 3 x 3 pixels of 30 m, since the instrument itself resolves 100 m."""
    padded = np.pad(kelvin, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / np.float32(9))


def _percent(where: NDArray[np.bool_]) -> float:
    return round(100.0 * float(where.mean()), 2)
