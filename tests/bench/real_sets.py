"""The labelled sets of real series that models are judged on, read as samples.

They lie beside the repository under ``../shared/data``, each with the source and licence in its SOURCE.txt, and are not
part of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.transform import rowcol

from engine.models.card import Recipe
from engine.samples import chosen
from engine.types import Samples
from kernels.indices import evi, gcvi, lswi, ndvi
from kernels.smooth import fill_linear

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
BLOCK_PX = 6
"""Side of a block of Mato Grosso, 1,390 m: 30 blocks hold samples. Fields are up to ten pixels long, so that a block's
edge still cuts some; with 8 pixels forest would lie in four blocks, too few for five folds."""
_MODIS = {"blue": "blue", "red": "red", "nir": "nir", "mir": "swir1", "ndvi": "ndvi", "evi": "evi"}
"""File -> feature. MODIS' middle infrared is at 2.1 um and stands in the place of swir1 (1.6 um), for recipes know no
other; no model made here is kept."""
_STEPS, _STEP_DAYS, _SEASON = 23, 16, 365 + 16
"""Of MOD13Q1: composites and their days; days in which those of a season are acquired."""
_DAYS = _STEP_DAYS - 4 + _STEP_DAYS * np.arange(_STEPS)
"""The day of the season that each step is read at."""
CORSICA_LEAST = 30
"""Parcels of a class in Corsica at least: five classes have so many."""
_CORSICA_BLOCK_M, _MONTHS, _NO_DATA = 10_000, 17, 65535
_CORSICA = {
    "blue": "B02", "green": "B03", "red": "B04", "nir": "B08", "swir1": "B11",
    "vv": "S1", "vh": "S1", "ndvi": "", "evi": "", "gcvi": "", "lswi": "",
}  # fmt: skip
"""Feature -> where it comes from: a band of Sentinel-2, Sentinel-1, or other features."""


@dataclass(frozen=True, slots=True)
class Given:
    """Labelled series. Codes in ``samples.y`` are class indices, the position of the class in ``names``."""

    samples: Samples
    recipe: Recipe
    names: tuple[str, ...]

    def of(self, rows: NDArray) -> Given:
        """These rows alone: (m,) indices or (n,) bool."""
        return replace(self, samples=chosen(self.samples, rows))


def formosat(folder: Path = DATA / "formosat-series") -> tuple[Given, NDArray[np.bool_]]:
    """260 training and 260 test pixels of 13 classes, block = polygon; and (n,) bool, which are given as the test.

    149 steps of nir, red, green (the digital numbers of the files) and their ndvi and gcvi. The axis is regular: the
    files hold series interpolated linearly in time already (62 % of the second differences are 0, and bends lie at the
    same steps in every pixel), so steps are taken as equally long. How long is not said with them; the recipe's two
    days are a guess that nothing here depends on.
    """
    parts = [np.loadtxt(folder / f"{name}_dataset.csv", delimiter=",", ndmin=2) for name in ("train", "test")]
    table = np.concatenate(parts)
    x = table[:, 2:].reshape(len(table), -1, 3).astype(np.float32)
    nir, red, green = np.ascontiguousarray(x.transpose(2, 0, 1))
    x = np.concatenate([x, ndvi(nir, red)[..., None], gcvi(nir, green)[..., None]], axis=2)
    nowhere = np.zeros(len(x), np.int32)
    samples = Samples(x, table[:, 0].astype(np.int32), table[:, 1].astype(np.int64), nowhere, nowhere)
    recipe = Recipe(features=("nir", "red", "green", "ndvi", "gcvi"), steps=x.shape[1], step_days=2)
    names = tuple(pd.read_csv(folder / "class_map.txt")["class"])
    return Given(samples, recipe, names), np.repeat([False, True], [len(part) for part in parts])


def matogrosso(folder: Path = DATA / "matogrosso-modis", steps: int | None = None) -> tuple[Given, NDArray[np.int64]]:
    """603 samples of five classes, one pixel and season (September to August) each; and (n,) the season's first year.

    23 steps of 16 days of the bands and indices of MOD13Q1. Each value stands at the day on which it was acquired; in
    between is interpolated linearly in time, by the sample's own season alone, and read every 16 days. ``steps``: a
    season cut off at the day of so many steps; what was acquired after that day is not looked at, and the steps to come
    are ``samples.later``, NaN after the last value. None: the season is over.
    """
    table = pd.read_csv(folder / "samples.csv", parse_dates=["from"])
    timeline = pd.DatetimeIndex((folder / "timeline").read_text().split())
    year = table["from"].dt.year.to_numpy()
    row, col, doy = _pixels(folder, table)
    first, days = (np.asarray(a)[:, None] for a in (timeline.day_of_year, np.where(timeline.is_leap_year, 366, 365)))
    delay = (doy[:, row, col] - first) % days  # the last composite of a year reaches into the next
    since = ((timeline.to_numpy()[:, None] - table["from"].to_numpy()) / np.timedelta64(1, "D") + delay).astype(int)
    own = (timeline.year - (timeline.month < 9)).to_numpy()[:, None] == year
    daily = [_daily(folder / f"{name}.tif", (row, col), since, own) for name in _MODIS]
    until = None if steps is None else int(_DAYS[steps - 1]) + 1
    x = _read([fill_linear(one, until=until) for one in daily], _DAYS[:steps])
    later = None if steps is None else _read([fill_linear(one, hold_ends=False) for one in daily], _DAYS[steps:])
    names, y = np.unique(table["label"], return_inverse=True)
    block = (row // BLOCK_PX) * 1000 + col // BLOCK_PX
    place = block.astype(np.int64), row.astype(np.int32), col.astype(np.int32)
    samples = Samples(x, y.astype(np.int32), *place, later=later)
    recipe = Recipe(features=tuple(_MODIS.values()), steps=x.shape[1], step_days=_STEP_DAYS, season_start="09-01")
    return Given(samples, recipe, tuple(names)), year


def corsica(folder: Path = DATA / "corsica-parcels-2022") -> Given:
    """Parcels of the French register with the crops declared for 2022, 17 monthly steps from September 2021.

    Classes of ``CORSICA_LEAST`` parcels or more, as WorldCereal groups the register's codes (``sampling_label``); the
    many rare ones are left out. Block: 10 km. Gaps are filled linearly; weather, slope and elevation are left out, for
    on one island in one year they tell the place.
    """
    table = pd.read_parquet(next(folder.glob("*.geoparquet"))).sort_values(["sample_id", "timestamp"])
    groups = pd.read_csv(folder / "ewoc_crop_type_class_mappings.csv", sep=";", dtype=str)
    label_of = dict(zip(groups["ewoc_code"].str.replace("-", ""), groups["sampling_label"], strict=True))
    label = table["ewoc_code"].astype(str).map(label_of)
    held = label.groupby(label).transform("size") >= CORSICA_LEAST * _MONTHS
    table, label = table[held], label[held][::_MONTHS]
    names, y = np.unique(label, return_inverse=True)
    first = table[::_MONTHS]
    east, north = Transformer.from_crs("EPSG:4326", "EPSG:32632", always_xy=True).transform(first["lon"], first["lat"])
    row, col = (np.floor(np.asarray(place) / _CORSICA_BLOCK_M).astype(np.int32) for place in (north, east))
    samples = Samples(_monthly(table), y.astype(np.int32), row.astype(np.int64) * 1000 + col, row, col)
    recipe = Recipe(features=tuple(_CORSICA), steps=_MONTHS, step_days=30, season_start="09-01")
    return Given(samples, recipe, tuple(names))


def _monthly(table: pd.DataFrame) -> NDArray[np.float32]:
    """(n, 17, f) float32 of the features in ``_CORSICA``: reflectance, linear power, indices."""

    def column(name: str) -> NDArray[np.float32]:
        values = table[name].to_numpy(np.float32)
        return np.where(values == _NO_DATA, np.nan, values)

    bands = {name: column(f"S2-L2A-{key}") * np.float32(1e-4) for name, key in _CORSICA.items() if key.startswith("B")}
    for name in ("vv", "vh"):
        decibels = 20 * np.log10(np.maximum(column(f"S1-SIGMA0-{name.upper()}"), 1)) - 83
        bands[name] = 10 ** (decibels / 10)
    bands["ndvi"], bands["gcvi"] = ndvi(bands["nir"], bands["red"]), gcvi(bands["nir"], bands["green"])
    bands["evi"] = evi(bands["nir"], bands["red"], bands["blue"])
    bands["lswi"] = lswi(bands["nir"], bands["swir1"])
    x = np.stack([bands[name].reshape(-1, _MONTHS).T for name in _CORSICA], axis=2)
    filled = fill_linear(np.ascontiguousarray(x.reshape(_MONTHS, -1), np.float32))
    return np.ascontiguousarray(filled.reshape(x.shape).transpose(1, 0, 2))


def _pixels(folder: Path, table: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of each sample, and the day of year of every value (t, y, x)."""
    with rasterio.open(folder / "doy.tif") as raster:
        to_grid = Transformer.from_crs("EPSG:4326", raster.crs.to_wkt(), always_xy=True)
        x, y = to_grid.transform(table["longitude"].to_numpy(), table["latitude"].to_numpy())
        row, col = (np.asarray(place, np.int64) for place in rowcol(raster.transform, x, y))
        return row, col, raster.read().astype(np.int64)


def _daily(
    path: Path, place: tuple[NDArray, NDArray], since: NDArray[np.int64], own: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """(days of the season, n) float32 of one raster, NaN where nothing was acquired. since: (t, n) days from the
    season's start; own: (t, n) in the season."""
    with rasterio.open(path) as raster:
        values = raster.read()[:, place[0], place[1]]
        values = np.where(values == raster.nodata, np.nan, values)
    daily = np.full((_SEASON, len(place[0])), np.nan, np.float32)
    step, sample = np.nonzero(own & ~np.isnan(values))
    daily[since[step, sample], sample] = values[step, sample]
    return daily


def _read(bands: list[NDArray[np.float32]], days: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n, steps, bands) float32, daily series (day, n) read at these days."""
    return np.stack([band[days].T for band in bands], axis=2)
