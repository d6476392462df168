"""Made pixels of many kinds of land, for the rules that tell what land can look like."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from engine.plausible import Sight

SIDE = 48
COVERS = {
    "wood": (0.024, 0.042, 0.024, 0.350, 0.125),
    "maize": (0.042, 0.068, 0.038, 0.480, 0.195),
    "grass": (0.034, 0.063, 0.030, 0.430, 0.215),
    "savanna": (0.070, 0.110, 0.130, 0.330, 0.300),
    "soil": (0.086, 0.116, 0.143, 0.245, 0.262),
    "sand": (0.150, 0.260, 0.400, 0.520, 0.620),
    "salt": (0.550, 0.600, 0.620, 0.640, 0.350),
    "snow": (0.950, 0.940, 0.930, 0.850, 0.100),
    "water": (0.048, 0.050, 0.032, 0.020, 0.010),
    "turbid": (0.080, 0.110, 0.105, 0.055, 0.012),
    "town": (0.120, 0.140, 0.150, 0.230, 0.220),
    "roof": (0.450, 0.450, 0.440, 0.450, 0.400),
}
"""Reflectance of blue, green, red, near and shortwave infrared, as spectral libraries and fields have it."""
LAND = {
    "fields": ("maize", "soil", "grass", "wood", "town"),
    "forest": ("wood", "wood", "grass"),
    "desert": ("sand", "sand", "soil"),
    "oasis": ("sand", "sand", "grass", "savanna"),
    "salt pan": ("salt", "sand"),
    "winter": ("snow", "snow", "wood"),
    "lake": ("water", "water", "turbid", "wood"),
    "sea": ("water",),
    "city": ("town", "roof", "grass", "water"),
    "savanna": ("savanna", "soil", "grass"),
}
"""Kinds of country and what covers them."""


def day(number: int) -> datetime:
    """A day of 2018, counted from 1 January."""
    return datetime(2018, 1, 1, 10, 30, tzinfo=UTC) + timedelta(days=number)


def reflectance(land: str, seed: int, noise: float = 0.005) -> NDArray[np.float32]:
    """(5, SIDE, SIDE) reflectance of a country: patches of its covers, each brighter or darker by some per cent."""
    rng = np.random.default_rng([seed, *land.encode()])
    covers = np.array([COVERS[name] for name in LAND[land]])
    patch = rng.integers(0, len(covers), (SIDE // 8, SIDE // 8)).repeat(8, 0).repeat(8, 1)
    bright = np.exp(rng.normal(0, 0.08, patch.shape) + rng.normal(0, 0.05))
    values = covers[patch] * bright[..., None] + rng.normal(0, noise, (*patch.shape, 5))
    return np.moveaxis(np.maximum(values, 0.0001), -1, 0).astype(np.float32)


def sight(
    bands: NDArray, scene: str = "scene", number: int = 0, *, place: int = 0, clear: NDArray | None = None,
    mask: NDArray | None = None,
) -> Sight:  # fmt: skip
    """A sight of these bands, all of it clear where nothing else is said."""
    everything = np.ones(bands.shape[1:], np.bool_)
    return Sight(scene, place, day(number), bands.astype(np.float32), everything if clear is None else clear, mask)


def season(land: str, seed: int, scenes: int = 5, plus: float = 0.0, scale: float = 1.0) -> list[Sight]:
    """Sights of a country ten days apart, each reflectance * ``scale`` + ``plus``."""
    return [
        sight(reflectance(land, seed + 1000 * i) * scale + plus, f"{land}-{i}", 10 * i, place=0) for i in range(scenes)
    ]


BACKSCATTER = {
    "fields": (-9.5, -16.5), "forest": (-8.6, -13.9), "rain forest": (-6.5, -12.0), "desert": (-19.0, -29.0),
    "town": (-3.0, -11.0), "city": (1.0, -7.5), "lake": (-20.0, -27.5), "rape": (-10.4, -13.6),
    "steppe": (-13.0, -21.0),
}  # fmt: skip
"""Mean VV and VH in dB of what radars see."""


def power(land: str, seed: int, looks: float = 4.4) -> NDArray[np.float32]:
    """(2, SIDE, SIDE) linear power VV and VH: patches some dB apart, and speckle of so many looks."""
    rng = np.random.default_rng([seed, *land.encode()])
    texture = rng.normal(0, 1.5, (SIDE // 8, SIDE // 8)).repeat(8, 0).repeat(8, 1)
    mean = 10 ** ((np.array(BACKSCATTER[land])[:, None, None] + texture) / 10)
    return np.asarray(mean * rng.gamma(looks, 1 / looks, (2, SIDE, SIDE)), np.float32)


def kelvin(mean: float, seed: int) -> NDArray[np.float32]:
    """(1, SIDE, SIDE) surface temperature."""
    rng = np.random.default_rng(seed)
    return np.asarray(mean + rng.normal(0, 4, (1, SIDE, SIDE)), np.float32)
