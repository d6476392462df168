"""Weather of the made country: random streams, smooth noise, wet and dry days, clouds in runs and their shadows."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FIRST_DAY = date(2023, 1, 1)
"""Day 0 of every calendar in the made country."""
DRY_YEAR = 2024

CLEAR_SKY_K = (275.0, 275.5, 280.0, 290.0, 299.0, 304.5, 307.5, 308.5, 300.0, 292.5, 282.0, 277.0)
"""Mid-morning surface temperature of half-covered land under clear sky, by month (as Flanders 2018)."""
CLOUD_OCTAVES_M = ((2400.0, 1.0), (1000.0, 0.7), (420.0, 0.4), (170.0, 0.22))
SHADOW_SHIFT_M = (520.0, 240.0)
"""Shadows fall this far north and west of their cloud: morning sun in the south-east, cloud base near 1 km."""


def stream(seed: int, *what: str | int) -> np.random.Generator:
    """The random stream of one named thing; equal for equal arguments, whatever was drawn before."""
    return np.random.default_rng([seed, zlib.crc32("/".join(map(str, what)).encode())])


def day_of(moment: date) -> int:
    """Days since FIRST_DAY, negative before it."""
    return (moment - FIRST_DAY).days


def by_month(nodes: tuple[float, ...], day: int) -> float:
    """A yearly curve given at the middle of its twelve months, linear between, at ``day``."""
    moment = FIRST_DAY + timedelta(days=day)
    return float(np.interp(moment.timetuple().tm_yday, np.arange(-1, 13) * 30.44 + 15.2, (nodes[-1], *nodes, nodes[0])))


def drought(day: int) -> float:
    """How dry the land is, 0 (never short of water) to 1 (the worst week of the dry year)."""
    moment = FIRST_DAY + timedelta(days=day)
    doy = moment.timetuple().tm_yday
    rise = 1 / (1 + np.exp(-(doy - 165) / 7))
    fall = 1 / (1 + np.exp(-(doy - 262) / 10))
    return float((1.0 if moment.year == DRY_YEAR else 0.12) * (rise - fall))


@dataclass(frozen=True)
class Weather:
    """One value per day from FIRST_DAY on.

    cloud: share of sky covered at overpass, 0 to 1; overcast and clear days come in runs. wet: top soil moisture, 0 to
    1. warm: kelvin above or below the season.
    """

    cloud: NDArray[np.float64]
    wet: NDArray[np.float64]
    warm: NDArray[np.float64]


def make_weather(seed: int, days: int) -> Weather:
    """Daily weather by first-order autoregression, so that five-day revisits still meet the same cloud."""
    rng = stream(seed, "clouds and rain")
    cloudy = _autoregressive(rng, days, 0.77)
    season = np.array(
        [by_month((0.1, 0.05, 0.0, 0.05, 0, -0.08, -0.12, -0.05, 0.0, 0.02, 0.12, 0.15), d) for d in range(days)]
    )
    share = np.clip(1.75 * _normal_cdf(cloudy) - 0.38 + season, 0.0, 1.0)
    rain = 0.6 * cloudy + 0.8 * _autoregressive(rng, days, 0.8)
    yearly = np.array(
        [by_month((0.8, 0.78, 0.7, 0.5, 0.42, 0.38, 0.32, 0.4, 0.45, 0.5, 0.72, 0.8), d) for d in range(days)]
    )
    dry = np.array([drought(d) for d in range(days)])
    wet = np.clip(yearly + 0.13 * rain - 0.22 * dry, 0.02, 1.0)
    warm = 2.2 * _autoregressive(rng, days, 0.8) + 2.5 * dry
    return Weather(share, wet, warm)


def _autoregressive(rng: np.random.Generator, days: int, memory: float) -> NDArray[np.float64]:
    shocks = rng.normal(size=days)
    path = np.empty(days)
    path[0] = shocks[0]
    for day in range(1, days):
        path[day] = memory * path[day - 1] + np.sqrt(1 - memory**2) * shocks[day]
    return path


def _normal_cdf(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-1.702 * z))  # the logistic stands in for the normal to 0.01


class SmoothNoise:
    """A smooth random field over a square of ``extent_m`` metres, mean 0, standard deviation near 1.

    Random values on a lattice of ``cell_m``, joined by cubic B-splines. It is evaluated for any rows and columns in
    metres, so that strips and grids of different pixel size see one and the same field.
    """

    def __init__(self, rng: np.random.Generator, extent_m: float, cell_m: float) -> None:
        self.cell_m = cell_m
        knots = int(np.ceil(extent_m / cell_m)) + 6
        # 2.08 undoes the loss of variance in the spline's averaging over neighbouring knots
        self.lattice = (rng.normal(size=(knots, knots)) * 2.08).astype(np.float32)

    def at(self, y_m: NDArray[np.float64], x_m: NDArray[np.float64]) -> NDArray[np.float32]:
        """(y, x) float32 values at the given row and column positions, metres from the upper left corner."""
        rows, cols = self._taps(y_m), self._taps(x_m)
        along_y = sum(weight[:, None] * self.lattice[knot] for knot, weight in rows)
        return np.asarray(sum(weight * np.take(along_y, knot, axis=1) for knot, weight in cols), np.float32)

    def over(self, points_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) float64 values at (n, 2) points, y and x in metres."""
        rows, cols = (self._taps(along) for along in points_m.T)
        return np.asarray(sum(v * w * self.lattice[i, j] for i, v in rows for j, w in cols), np.float64)

    def _taps(self, position_m: NDArray[np.float64]) -> list[tuple[NDArray[np.intp], NDArray[np.float32]]]:
        place = position_m / self.cell_m + 1
        first = np.floor(place).astype(np.intp)
        u = (place - first).astype(np.float32)
        weights = ((1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3)
        last = len(self.lattice) - 1
        return [(np.clip(first + k - 1, 0, last), np.asarray(w / 6, np.float32)) for k, w in enumerate(weights)]


class Clouds(NamedTuple):
    """Clouds on one grid, (y, x) float32.

    cover: opacity, 0 clear to 1 opaque, soft at the edges over some hundred metres, haze included. shadow: depth of
    cloud shadow, 0 to 1. error: mean 0, sd 1, how much more than usual a cloud mask sees (it is wrong in patches).
    """

    cover: NDArray[np.float32]
    shadow: NDArray[np.float32]
    error: NDArray[np.float32]


@dataclass(frozen=True)
class Sky:
    """Clouds of one overpass; evaluate it on any grid of the country."""

    layers: tuple[tuple[SmoothNoise, float], ...]
    gaps: SmoothNoise
    """Where cloud masks do worse than elsewhere."""
    threshold: float
    softness: float
    haze: float
    margin_m: float

    def over(self, y_m: NDArray[np.float64], x_m: NDArray[np.float64]) -> Clouds:
        """Clouds above the given row and column positions, metres from the upper left corner."""
        north, west = SHADOW_SHIFT_M
        return Clouds(self._opacity(y_m, x_m), self._opacity(y_m + north, x_m + west), self.gaps.at(y_m, x_m))

    def _opacity(self, y_m: NDArray[np.float64], x_m: NDArray[np.float64]) -> NDArray[np.float32]:
        value = sum(weight * noise.at(y_m + self.margin_m, x_m + self.margin_m) for noise, weight in self.layers)
        step = np.clip((value - self.threshold) / self.softness, 0.0, 1.0)
        return np.asarray(np.maximum(step * step * (3 - 2 * step), self.haze * np.clip(value, 0, 1)), np.float32)


def make_sky(seed: int, scene: str, cover: float, extent_m: float) -> Sky:
    """The sky of one overpass with this share of cloud (0 to 1) over the country."""
    rng = stream(seed, scene, "sky")
    margin = 2 * SHADOW_SHIFT_M[0]
    layers = tuple((SmoothNoise(rng, extent_m + 2 * margin, cell), weight) for cell, weight in CLOUD_OCTAVES_M)
    haze = float(rng.uniform(0.05, 0.16)) if rng.random() < 0.3 else 0.0
    gaps = SmoothNoise(rng, extent_m, 260.0)
    coarse = (np.arange(0, extent_m, max(extent_m / 150, 20.0)) + margin).astype(np.float64)
    value = sum(weight * noise.at(coarse, coarse) for noise, weight in layers)
    softness = float(rng.uniform(0.25, 0.6))
    edge = float(np.quantile(np.asarray(value), 1 - cover)) if cover > 0 else np.inf
    return Sky(layers, gaps, edge - softness / 2, softness, haze, margin)
