"""What sensors receive from a field in a given state: reflectance, backscatter and surface temperature, per parcel.

In every array the first axis is that of the landscape's ids: 0 = road or verge, then the parcels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.demo.covers import BUILT_UP, COVERS, WATER
from jobs.demo.phenology import State
from jobs.demo.sky import CLEAR_SKY_K, Weather, by_month, stream

BARE_SOIL = (0.086, 0.116, 0.143, 0.245, 0.262)
STRAW = (0.090, 0.132, 0.170, 0.300, 0.325)
CONCRETE = (0.125, 0.145, 0.165, 0.215, 0.240)
RAPE_FLOWER = (0.060, 0.150, 0.125, 0.440, 0.190)
SOIL_DB = ((-12.3, 2.8), (-20.9, 2.2))
"""VV and VH of bare soil: dry value, and rise to full wetness."""
CANOPY_WET_DB = 1.6
COOLING_K_PER_NDVI = 9.0

_CANOPY = np.array([c.canopy for c in COVERS])
_RADAR_DB = np.array([(c.vv_db, c.vh_db) for c in COVERS])
_CODES = np.array([c.code for c in COVERS])


@dataclass(frozen=True)
class Traits:
    """What tells one parcel from another of the same crop, all year; float64.

    brightness: (n,) factor on the soil's reflectance. tint: (n, 5) factor on the canopy's. rough_db: (n, 2) VV and VH
    above or below the usual (roughness, rows, slope). patchy: (n,) factor on variation within the field.
    """

    brightness: NDArray[np.float64]
    tint: NDArray[np.float64]
    rough_db: NDArray[np.float64]
    patchy: NDArray[np.float64]


@dataclass(frozen=True)
class Optical:
    """Two-part mixture per parcel, float32: ground (n, 5), canopy (n, 5) reflectance, and the canopy's share (n,)."""

    ground: NDArray[np.float32]
    canopy: NDArray[np.float32]
    share: NDArray[np.float32]


def draw_traits(seed: int, parcels: int) -> Traits:
    """Traits of all parcels, equal for equal seeds."""
    rng = stream(seed, "traits")
    common = rng.normal(0, 0.05, (parcels, 1))
    rough = rng.normal(0, 0.9, (parcels, 1))
    return Traits(
        brightness=np.exp(rng.normal(0, 0.13, parcels)),
        tint=np.exp(common + rng.normal(0, 0.045, (parcels, 5))),
        rough_db=np.hstack([rough, 0.6 * rough + rng.normal(0, 0.6, (parcels, 1))]),
        patchy=rng.gamma(6.0, 1 / 6.0, parcels),
    )


def reflectance(state: State, traits: Traits, wet: float) -> Optical:
    """The mixture of ground and canopy whose NDVI is the state's; bands blue, green, red, nir, swir16."""
    flower = state.flower[:, None]
    canopy = _CANOPY[state.cover] * traits.tint
    soil = np.array(BARE_SOIL) * (traits.brightness * (1.12 - 0.32 * wet))[:, None]
    code = _CODES[state.cover]
    soil[code == BUILT_UP] = np.array(CONCRETE) * traits.brightness[code == BUILT_UP, None]
    ground = soil + state.straw[:, None] * (np.array(STRAW) - soil)
    # N of the mixture c canopy + (1 - c) ground, solved for c
    (sum_g, dif_g), (sum_c, dif_c) = ((s[:, 3] + s[:, 2], s[:, 3] - s[:, 2]) for s in (ground, canopy))
    share = (state.ndvi * sum_g - dif_g) / (dif_c - dif_g - state.ndvi * (sum_c - sum_g))
    share = np.where(code == WATER, 1.0, np.clip(share, 0.0, 1.0))
    canopy = canopy * (1 - flower) + flower * np.array(RAPE_FLOWER)
    return Optical(ground.astype(np.float32), canopy.astype(np.float32), share.astype(np.float32))


def backscatter(state: State, traits: Traits, wet: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """(n, 2) float32 linear power of VV and VH: soil and canopy side by side, as much of each as the crop stands."""
    soil = np.array([dry + rise * wet for dry, rise in SOIL_DB]) + traits.rough_db
    canopy = _RADAR_DB[state.cover] + CANOPY_WET_DB * (wet - 0.4) + 0.5 * traits.rough_db
    on_the_day = rng.normal(0, 0.35, soil.shape)
    stand = np.clip(state.stand, 0, 1)[:, None]
    water = (_CODES[state.cover] == WATER)[:, None]
    mixed = (1 - stand) * 10 ** (soil / 10) + stand * 10 ** (np.where(water, _RADAR_DB[state.cover], canopy) / 10)
    return np.asarray(mixed * 10 ** (on_the_day / 10), np.float32)


def temperature(state: State, weather: Weather, day: int) -> NDArray[np.float32]:
    """(n,) float32 K: clear-sky surface temperature, cooler where green; water lags behind and towns run ahead."""
    sun = np.clip((by_month(CLEAR_SKY_K, day) - 273.0) / 35.0, 0.1, 1.0)
    half_green = by_month(CLEAR_SKY_K, day) + weather.warm[day]
    code = _CODES[state.cover]
    kelvin = half_green - COOLING_K_PER_NDVI * sun * (state.ndvi - 0.55)
    kelvin = np.where(code == WATER, 283.0 + 0.35 * (half_green - 290.0), kelvin)
    return np.asarray(kelvin + 2.0 * sun * (code == BUILT_UP), np.float32)
