"""What grows on every field of the made country, and how green, tall, dry or in flower it is on any day.

A sown crop is a double logistic in NDVI between green-up and wilting (Zhang et al. 2003), above a lower winter plateau
where it is sown in autumn; a standing cover (grass, wood, village, water) follows a yearly curve. Fields of one crop
differ in sowing by weeks and in vigour; grass is cut; catch crops bridge winters; the dry year comes early and wilts.

In every array the first axis is that of the landscape's ids: 0 = road or verge, then the parcels.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from jobs.demo.covers import CATCH, COVERS, CROPS, GRASS, LAND, VERGE, Sown, Standing
from jobs.demo.sky import DRY_YEAR, SmoothNoise, by_month, day_of, drought, stream

BARE_NDVI = 0.24
RAPE_IN_FLOWER = (45.0, 11.0)
"""Days from green-up to full flower, and half width in days."""
CUT_RECOVERY_DAYS = 15.0
EARLY_IN_DRY_YEAR = (9.0, 12.0)
"""Days by which green-up, and wilting with harvest, come early."""


@dataclass(frozen=True)
class Season:
    """One growing season of every parcel, or one winter of catch crops; arrays (n,) float64, days since FIRST_DAY.

    cover: int8 index into COVERS, -1 where nothing is sown. emerged and winter: when an autumn-sown crop greens, and
    its plateau as a share of the peak. pace: days of the green-up's logistic. peak: NDVI.
    """

    cover: NDArray[np.int8]
    emerged: NDArray[np.float64]
    winter: NDArray[np.float64]
    green_up: NDArray[np.float64]
    pace: NDArray[np.float64]
    wilt: NDArray[np.float64]
    harvest: NDArray[np.float64]
    plough: NDArray[np.float64]
    peak: NDArray[np.float64]


@dataclass(frozen=True)
class Growth:
    """All that grows in the made country.

    crop: year -> (n,) int8 index into COVERS. seasons: in time order. cuts: (n, k) days on which grass is cut.
    cut_depth, vigour: (n,) NDVI lost at a cut, and NDVI of the field's soil above or below the usual. thirst: (n,)
    factor on the loss in drought.
    """

    crop: dict[int, NDArray[np.int8]]
    seasons: tuple[Season, ...]
    cuts: NDArray[np.float64]
    cut_depth: NDArray[np.float64]
    vigour: NDArray[np.float64]
    thirst: NDArray[np.float64]


@dataclass(frozen=True)
class State:
    """Every parcel on one day; arrays (n,) float64 but ``cover``, int8 index into COVERS of what stands there.

    ndvi: of the whole field. stand: 0 bare to 1 full canopy, green or dry, as radar sees it. straw: share of the ground
    under dry matter. flower: share of the canopy in yellow flower.
    """

    cover: NDArray[np.int8]
    ndvi: NDArray[np.float64]
    stand: NDArray[np.float64]
    straw: NDArray[np.float64]
    flower: NDArray[np.float64]


def draw_growth(seed: int, kind: NDArray[np.int16], centre_m: NDArray[np.float64], years: tuple[int, ...]) -> Growth:
    """Crops in rotation and their calendars, for every year and the autumn after the last.

    kind: (n,) int16, FIELD or the land cover's code. centre_m: (n, 2) float64, y and x of the parcels in metres from
    the upper left corner, so that soils vary smoothly over the country.
    """
    rng = stream(seed, "growth")
    n = len(kind)
    extent = float(centre_m.max()) + 1
    soil, sand = (SmoothNoise(stream(seed, name), extent, 1400.0).over(centre_m) for name in ("soil", "sand"))
    vigour = 0.035 * soil + rng.normal(0, 0.05, n)
    thirst = np.exp(0.3 * sand + rng.normal(0, 0.25, n))
    crop = _rotate(rng, kind, (*years, years[-1] + 1))
    seasons: list[Season] = []
    for year in crop:
        before = seasons[-1] if seasons else None
        seasons.append(_winter(rng, crop[year], year, before))
        seasons.append(_main_season(rng, crop[year], year, vigour))
    mown = rng.random(n) < 0.75
    cuts = np.concatenate([_cuts(rng, n, year) for year in years], axis=1)
    cut_depth = np.where(mown, rng.normal(0.30, 0.05, n), rng.normal(0.12, 0.03, n))
    return Growth(crop, tuple(seasons), cuts, cut_depth, vigour, thirst)


def _rotate(rng: np.random.Generator, kind: NDArray[np.int16], years: tuple[int, ...]) -> dict[int, NDArray[np.int8]]:
    share = np.array([c.share for c in CROPS])
    fields = np.flatnonzero(kind == 0)
    fields = fields[fields > 0]
    quota = np.repeat(np.arange(len(CROPS)), np.round(share * len(fields)).astype(int))
    first = np.full(len(kind), VERGE, np.int8)
    for index, land in enumerate(LAND):
        first[kind == land.code] = len(CROPS) + index
    first[0] = VERGE
    first[fields] = rng.permutation(np.resize(quota, len(fields)))
    follow = np.tile(share, (len(CROPS), 1))
    follow[np.diag_indices(GRASS)] *= 0.05
    follow[3, 3] = share[3] * 0.6  # maize after maize is common
    follow[:, GRASS] = 0.0
    crop = {years[0]: first}
    for year in years[1:]:
        crop[year] = crop[year - 1].copy()
        arable = fields[crop[year][fields] != GRASS]
        chance = np.log(follow[crop[year][arable]] + 1e-12)
        crop[year][arable] = (chance + rng.gumbel(size=chance.shape)).argmax(axis=1)
    return crop


def _main_season(rng: np.random.Generator, crop: NDArray[np.int8], year: int, vigour: NDArray[np.float64]) -> Season:
    n = len(crop)
    sown = np.array([isinstance(c, Sown) for c in COVERS])[crop]

    def table(name: str, default: float) -> NDArray[np.float64]:
        values = [getattr(c, name, default) for c in COVERS]
        return np.array([default if v is None else v for v in values], np.float64)[crop]

    early, late = EARLY_IN_DRY_YEAR if year == DRY_YEAR else (0.0, 0.0)
    start = day_of(date(year, 1, 1))
    farmer = rng.normal(0, 1, n)  # who sows late also harvests late
    autumn_sown = table("winter", 0.0) > 0
    green_up = start + table("green_up", 0) - early + 8 * farmer + rng.normal(0, 5, n)
    wilt = start + table("wilt", 0) - late + 5 * farmer + rng.normal(0, 6, n)
    harvest = start + table("harvest", 0) - late + 6 * farmer + rng.normal(0, 7, n)
    return Season(
        cover=np.where(sown, crop, -1).astype(np.int8),
        emerged=np.where(autumn_sown, start + table("emerged", 0) + rng.normal(0, 11, n), np.inf),
        winter=np.clip(table("winter", 0.0) * rng.normal(1, 0.3, n), 0, 0.9),
        green_up=green_up,
        pace=rng.uniform(7, 12, n),
        wilt=wilt,
        harvest=np.maximum(harvest, green_up + 60),
        plough=harvest + 8 + rng.gamma(2.0, 12.0, n),
        peak=np.clip(table("peak", BARE_NDVI) + vigour + rng.normal(0, 0.045, n), 0.45, 0.95),
    )


def _winter(rng: np.random.Generator, crop: NDArray[np.int8], year: int, before: Season | None) -> Season:
    """Catch crops of the winter that ends in ``year``, on fields sown in spring, if the last crop left in time."""
    n = len(crop)
    spring_sown = np.array([isinstance(c, Sown) and c.emerged is None for c in COVERS])[crop]
    start = day_of(date(year, 1, 1))
    free = start - 115 + rng.normal(0, 14, n)
    if before is not None:
        free = np.maximum(free, before.harvest + 27)
    grown = spring_sown & (rng.random(n) < 0.88) & (free < start - 45)
    killed = np.minimum(start + 114 + rng.normal(0, 15, n), start + 140)
    return Season(
        cover=np.where(grown, CATCH, -1).astype(np.int8),
        emerged=np.full(n, np.inf),
        winter=np.zeros(n),
        green_up=free + 14,
        pace=rng.uniform(6, 11, n),
        wilt=killed,
        harvest=killed + 8,
        plough=killed + 10,
        peak=0.36 + 0.56 * rng.beta(2.2, 1.0, n),
    )


def _cuts(rng: np.random.Generator, n: int, year: int) -> NDArray[np.float64]:
    first = day_of(date(year, 1, 1)) + rng.normal(138, 11, (n, 1))
    return np.asarray(first + np.cumsum(np.hstack([np.zeros((n, 1)), rng.normal(39, 6, (n, 3))]), axis=1))


def state_on(growth: Growth, day: int) -> State:
    """Every parcel on ``day`` (days since FIRST_DAY)."""
    crop = _crop_of(growth, day)
    standing = np.array([isinstance(c, Standing) for c in COVERS])[crop]
    yearly = np.array([by_month(c.monthly, day) if isinstance(c, Standing) else 0.0 for c in COVERS])
    weeds = BARE_NDVI + np.clip(0.05 + 0.7 * growth.vigour, 0.0, 0.25)
    ndvi = np.where(standing, yearly[crop] + growth.vigour, weeds)
    stand = np.where(standing, 1.0, 0.0)
    straw, flower = np.zeros_like(ndvi), np.zeros_like(ndvi)
    cover = np.where(standing, crop, CATCH).astype(np.int8)
    score = np.zeros_like(ndvi)
    for season in growth.seasons:
        green, tall, dry = _phase(season, day)
        ndvi = np.where(season.cover >= 0, np.maximum(ndvi, BARE_NDVI + (season.peak - BARE_NDVI) * green), ndvi)
        here = (season.cover >= 0) & (np.maximum(green, tall) > score)
        cover = np.where(here, season.cover, cover)
        score = np.where(here, np.maximum(green, tall), score)
        stand = np.where(season.cover >= 0, np.maximum(stand, tall), stand)
        straw = np.maximum(straw, dry)
        rape = (season.cover >= 0) & (season.cover == _RAPE)
        flower += rape * np.exp(-(((day - season.green_up - RAPE_IN_FLOWER[0]) / RAPE_IN_FLOWER[1]) ** 2))
    since = day - growth.cuts
    regrowth = np.where(since >= 0, np.exp(-np.maximum(since, 0) / CUT_RECOVERY_DAYS), 0.0).max(axis=1)
    ndvi = ndvi - np.where(crop == GRASS, growth.cut_depth * regrowth, 0.0)
    stand = np.where(crop == GRASS, 1 - 0.4 * regrowth, stand)
    loss = np.array([c.drought_loss for c in COVERS])[cover] * growth.thirst * drought(day)
    ndvi = ndvi - loss * np.clip((ndvi - BARE_NDVI) / 0.5, 0, 1)
    return State(cover, np.clip(ndvi, -0.3, 0.95), stand, straw, np.clip(flower, 0, 0.9))


_RAPE = next(index for index, crop in enumerate(CROPS) if crop.name == "Rapeseed")


def _crop_of(growth: Growth, day: int) -> NDArray[np.int8]:
    """The crop of the calendar year, which tells standing covers from sown ones on any day."""
    years = sorted(growth.crop)
    year = max([y for y in years if day >= day_of(date(y, 1, 1))], default=years[0])
    return growth.crop[year]


def _phase(season: Season, day: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """How green, how tall and how dry (0 to 1) a season's crop is on ``day``."""
    rise = _logistic((day - season.green_up) / season.pace)
    uncut = _logistic((season.harvest - day) / 1.5)
    plateau = season.winter * _logistic((day - season.emerged) / 9)
    wilted = _logistic((day - season.wilt) / 6)
    green = (plateau + (1 - season.winter) * rise) * (1 - wilted) * uncut
    catch = season.cover == CATCH
    tall = np.where(
        catch, green, np.maximum(0.6 * plateau, _logistic((day - season.green_up - 8) / season.pace)) * uncut
    )
    straw = np.array([getattr(c, "straw", 0.0) for c in COVERS])[season.cover]
    dry = np.where(season.cover >= 0, straw * wilted * _logistic((season.plough - day) / 3), 0.0)
    return green, tall, dry


def _logistic(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -40, 40))))
