"""The made country: invented fields and two seasons of invented scenes, written as a real archive would be.

Nothing in it was observed. It is there so that every part of Tilth can be tried with nothing but this package, on
scenes that are as awkward as real ones; results on it say nothing about any real place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pystac
from pydantic import Field, field_validator

from engine.types import Options
from jobs.demo.canvas import PIXEL_M, Canvas, make_texture
from jobs.demo.covers import LEGEND
from jobs.demo.fields import make_landscape
from jobs.demo.optical import Encoding, Overpass, landsat, sentinel2
from jobs.demo.phenology import draw_growth
from jobs.demo.radar import sentinel1, sentinel1_c2
from jobs.demo.signal import draw_traits
from jobs.demo.sky import FIRST_DAY, day_of, make_weather
from jobs.demo.truth import write_truth
from jobs.demo.write import CRS, MADE, Frame, Scene, write_catalogue, write_scene

Size = Literal["small", "medium", "large"]
PIXELS: Mapping[str, int] = {"small": 300, "medium": 1002, "large": 3000}
YEARS = (2023, 2024)
CORNER = (360_000.0, 5_400_000.0)
"""Upper left corner; the coordinates are borrowed, what lies there is not what is drawn here."""
OVERCAST = 0.95
"""Optical scenes with more cloud than this are left out, as archives are searched with a limit anyway."""
COLLECTIONS = {
    "sentinel-2-l2a": "Sentinel-2 L2A-like surface reflectance with SCL",
    "landsat-c2-l2": "Landsat Collection 2 Level-2-like surface reflectance with QA_PIXEL",
    "landsat-c2-l2-st": "Landsat Collection 2 Level-2-like surface temperature with QA_PIXEL",
    "sentinel-1-rtc": "Sentinel-1-like terrain-corrected backscatter, linear power",
    "sentinel-1-c2": "Sentinel-1-like dual-pol covariance: c11 = <|VV|^2>, c22 = <|VH|^2>, c12 = <VV conj(VH)>",
}

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


class CountryOptions(Options):
    """How large a country to make, and how often it is looked at."""

    pixels: int = Field(default=300, ge=60, le=6000)
    """Rows and columns of 10 m; a multiple of 6."""
    seed: int = Field(default=7, ge=0)
    cadence: int = Field(default=1, ge=1)
    """Keep every n-th overpass of each sensor."""

    @field_validator("pixels")
    @classmethod
    def _fits_all_sensors(cls, pixels: int) -> int:
        if pixels % 6:
            raise ValueError(f"pixels is {pixels}; expected a multiple of 6, so that 20 m and 30 m pixels fit")
        return pixels


@dataclass(frozen=True)
class Country:
    """Where everything is. Paths of yearly files are keyed by year."""

    root: Path
    catalog: Path
    """Static STAC catalogue."""
    items: Path
    """The same items as NDJSON, links relative to that file."""
    legend_csv: Path
    cropland: Path
    """uint8 raster, 1 where fields are."""
    truth: Mapping[int, Path]
    """uint16 raster of codes, every parcel."""
    labels: Mapping[int, Path]
    """The same, parcels of split ``train`` alone; 0 elsewhere."""
    parcels: Mapping[int, Path]
    """GeoParquet: id, crop_code, crop_name, area_ha, split, geometry."""
    bbox: tuple[float, float, float, float]
    """West, south, east, north in degrees."""
    bounds: tuple[float, float, float, float]
    """Left, bottom, right, top in metres of the CRS."""
    crs: str
    years: tuple[int, ...]
    legend: Mapping[int, str]
    """Code to name; codes from 1000 on are crops, below it land cover."""


def make_country(root: Path, size: Size, seed: int = 7, progress: Progress | None = None) -> Country:
    """Write the made country of this size under ``root``: the same bytes for the same size, seed and versions.

    small: 3 x 3 km. medium: 10 x 10 km. large: 30 x 30 km. Memory stays bounded by a few bands of one scene.
    """
    return write_country(root, CountryOptions(pixels=PIXELS[size], seed=seed), progress)


def write_country(root: Path, options: CountryOptions, progress: Progress | None = None) -> Country:
    """``make_country`` for any size."""
    tell = progress or (lambda stage, done, total: None)
    root.mkdir(parents=True, exist_ok=True)
    tell("fields", 0, 1)
    canvas = _canvas(options)
    frame = Frame(*CORNER, canvas.side_m)
    write_truth(root, frame, canvas.landscape, {year: canvas.growth.crop[year] for year in YEARS})
    tell("fields", 1, 1)
    items: list[pystac.Item] = []
    overpasses = list(_calendar(canvas, options.cadence))
    for done, (sensor, moment) in enumerate(overpasses):
        tell("scenes", done, len(overpasses))
        items += [write_scene(root, frame, scene) for scene in _MAKERS[sensor](canvas, moment)]
    tell("scenes", len(overpasses), len(overpasses))
    write_catalogue(root, frame, COLLECTIONS, items)
    (root / "README.md").write_text(_README.format(made=MADE, side=canvas.side_m / 1000, seed=options.seed))
    return _country(root, frame)


def _canvas(options: CountryOptions) -> Canvas:
    seed, pixels = options.seed, options.pixels
    landscape = make_landscape(seed, CORNER, pixels, PIXEL_M)
    kind = np.concatenate([[0], landscape.kind]).astype(np.int16)
    days = day_of(date(YEARS[-1] + 1, 1, 1))
    return Canvas(
        seed,
        landscape,
        draw_growth(seed, kind, landscape.centre_m, YEARS),
        draw_traits(seed, len(kind)),
        make_weather(seed, days),
        make_texture(seed, "canopy", pixels),
        make_texture(seed, "soil", pixels),
    )


def _country(root: Path, frame: Frame) -> Country:
    return Country(
        root=root,
        catalog=root / "catalog.json",
        items=root / "items.ndjson",
        legend_csv=root / "legend.csv",
        cropland=root / "cropland.tif",
        truth={year: root / f"truth_{year}.tif" for year in YEARS},
        labels={year: root / f"labels_{year}.tif" for year in YEARS},
        parcels={year: root / f"parcels_{year}.parquet" for year in YEARS},
        bbox=frame.bbox(),
        bounds=frame.bounds,
        crs=CRS,
        years=YEARS,
        legend=LEGEND,
    )


def _calendar(canvas: Canvas, cadence: int) -> Iterator[tuple[str, datetime]]:
    """(sensor, UTC time) of every overpass kept, sensor by sensor in time order."""
    last = len(canvas.weather.cloud)
    for sensor, first, every, at in _ORBITS:
        for day in range(first, last, every * cadence):
            if sensor.startswith("sentinel-1") or canvas.weather.cloud[day] <= OVERCAST:
                yield sensor, datetime.combine(FIRST_DAY + timedelta(days=day), at)


_ORBITS = (
    ("sentinel-2", 2, 5, time(10, 54, 28)),
    ("landsat", 6, 16, time(10, 40, 11)),
    ("sentinel-1", 3, 6, time(17, 40, 43)),
    ("sentinel-1-c2", 9, 30, time(17, 40, 43)),
)


def _sentinel2(canvas: Canvas, moment: datetime) -> list[Scene]:
    """One Sentinel-2 scene; 2023 keeps the offset of baseline 05.09 in its counts, 2024 has it already applied."""
    day = day_of(moment.date())
    unit = "AB"[day // 5 % 2]
    applied = moment.year != YEARS[0]
    baseline = "05.10" if applied else "05.09"
    item_id = f"MADE_S2{unit}_{moment:%Y%m%d}_L2A"
    bands, cloud = sentinel2(Overpass(canvas, item_id, day), Encoding(1e-4, 0.0 if applied else -0.1))
    properties = {
        "platform": f"sentinel-2{unit.lower()}",
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "grid:code": "MGRS-31UCP",
        "eo:cloud_cover": cloud,
        "s2:processing_baseline": baseline,
        "s2:datatake_id": f"GS2{unit}_{moment:%Y%m%dT%H%M%S}_{day:06d}_N{baseline}",
        "earthsearch:boa_offset_applied": applied,
    }
    return [Scene("sentinel-2-l2a", item_id, moment, bands, properties)]


def _landsat(canvas: Canvas, moment: datetime) -> list[Scene]:
    """One overpass, two scenes: reflectance and surface temperature."""
    name = f"MADE_LC08_{moment:%Y%m%d}"
    surface, thermal, cloud = landsat(Overpass(canvas, name, day_of(moment.date())))
    properties = {
        "platform": "landsat-8",
        "instruments": ["oli", "tirs"],
        "eo:cloud_cover": cloud,
        "landsat:collection_number": "02",
        "landsat:correction": "L2SP",
    }
    return [
        Scene(collection, f"{name}_{suffix}", moment, bands, properties)
        for collection, suffix, bands in (("landsat-c2-l2", "SR", surface), ("landsat-c2-l2-st", "ST", thermal))
    ]


def _sentinel1(canvas: Canvas, moment: datetime) -> list[Scene]:
    name = f"MADE_S1A_{moment:%Y%m%dT%H%M%S}_RTC"
    bands = sentinel1(canvas, name, day_of(moment.date()))
    return [Scene("sentinel-1-rtc", name, moment, bands, _radar("RTC"))]


def _sentinel1_c2(canvas: Canvas, moment: datetime) -> list[Scene]:
    name = f"MADE_S1A_{moment:%Y%m%dT%H%M%S}_C2"
    bands = sentinel1_c2(canvas, name, day_of(moment.date()))
    return [Scene("sentinel-1-c2", name, moment, bands, _radar("C2"))]


def _radar(product: str) -> dict[str, object]:
    return {
        "platform": "sentinel-1a",
        "constellation": "sentinel-1",
        "sar:instrument_mode": "IW",
        "sar:polarizations": ["VV", "VH"],
        "sar:product_type": product,
        "sat:orbit_state": "ascending",
    }


_MAKERS = {
    "sentinel-2": _sentinel2,
    "landsat": _landsat,
    "sentinel-1": _sentinel1,
    "sentinel-1-c2": _sentinel1_c2,
}

_README = """# A country {made}

Fields, crops, weather and scenes in this folder were drawn at random (seed {seed}), {side:g} x {side:g} km.
Nothing here was observed, and no result on it says anything about a real place; the coordinates are borrowed. 2023 is a
wet year, 2024 a dry and early one, over the same fields with crops in rotation.

- `catalog.json`: static STAC catalogue; `items.ndjson`: the same items in one file
- `parcels_YEAR.parquet`: every parcel with its crop and split; `legend.csv`: the codes
- `truth_YEAR.tif`: crop of every pixel; `labels_YEAR.tif`: only what a model may see (split `train`)
- `cropland.tif`: 1 where fields are
"""
