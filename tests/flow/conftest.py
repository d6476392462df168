"""Fixtures of the whole way: a small made country, and one finished job on it that other tests start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely

from jobs.demo import Country, CountryOptions, write_country
from tests.flow.archive import Archive
from tests.flow.flow import Job

INSET_M = 60
SIDE_M = 840
"""The area: 84 x 84 pixels, or four tiles of 42, inside a country of 96 x 96."""


@pytest.fixture(scope="session")
def country(tmp_path_factory: pytest.TempPathFactory) -> Country:
    """A country of 960 m, made up; some scenes of every sensor."""
    return write_country(tmp_path_factory.mktemp("country"), CountryOptions(pixels=96, seed=3, cadence=6))


@pytest.fixture
def archive(country: Country, tmp_path: Path) -> Archive:
    """The country's scenes of 2024, to be damaged at will."""
    return Archive(country, tmp_path / "archive")


def area_file(country: Country, path: Path, *holes: tuple[float, float, float, float]) -> str:
    """A GeoPackage of the area without ``holes``, which are metres from its upper left corner (x0, y0, x1, y1)."""
    left, top = country.bounds[0] + INSET_M, country.bounds[3] - INSET_M
    area = shapely.box(left, top - SIDE_M, left + SIDE_M, top)
    for x0, y0, x1, y1 in holes:
        area -= shapely.box(left + x0, top - y1, left + x1, top - y0)
    path.parent.mkdir(parents=True, exist_ok=True)
    gpd.GeoDataFrame(geometry=[area], crs=country.crs).to_file(path, driver="GPKG")
    return str(path)


def inputs(catalog: str) -> dict[str, Any]:
    """All of the country's sensors, from one catalogue."""
    return {
        "optical": [
            {"catalog": catalog, "collection": "sentinel-2-l2a", "max_cloud": 90},
            {"catalog": catalog, "collection": "landsat-c2-l2", "max_cloud": 90},
        ],
        "radar": {"catalog": catalog, "collection": "sentinel-1-rtc"},
        "thermal": {"catalog": catalog, "collection": "landsat-c2-l2-st"},
    }


def made_job(country: Country, place: Path) -> Job:
    """Eight steps of 30 days, four tiles, a briefly trained network, everything in one process."""
    spec = {
        "name": "made",
        "area": {"file": area_file(country, place / "area.gpkg")},
        "season": {"start": "2024-03-01", "end": "2024-10-27", "step_days": 30},
        "grid": {"crs": country.crs, "resolution": 10, "tile_px": 42},
        "inputs": inputs(str(country.items)),
        "cube": {"uri": f"{place}/cube.zarr"},
        "model": {"uri": f"{place}/model", "train": {"family": "tempcnn", "epochs": 6}},
        "labels": {"uri": str(country.labels[2024]), "legend": str(country.legend_csv), "block_m": 200},
        "output": {"uri": f"{place}/map"},
        "compute": {"in_process": True},
    }
    return Job(place, spec)


@pytest.fixture(scope="session")
def finished(country: Country, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that has built cube, model and map. Never change it: take ``copied_to`` or ``at`` for your own place."""
    job = made_job(country, tmp_path_factory.mktemp("finished"))
    job.submit()
    return job
