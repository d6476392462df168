"""Fixtures of the whole way: a small made country, and one finished job on it that other tests start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyproj import Transformer

from jobs.demo import Country, CountryOptions, write_country
from tests.flow.archive import Archive
from tests.flow.flow import Job

INSET_M = 60
SIDE_M = 840
"""The area: 84 x 84 pixels, or nine tiles of 32, inside a country of 96 x 96."""


@pytest.fixture(scope="session")
def country(tmp_path_factory: pytest.TempPathFactory) -> Country:
    """A country of 960 m, made up; some scenes of every sensor."""
    return write_country(tmp_path_factory.mktemp("country"), CountryOptions(pixels=96, seed=3, cadence=6))


@pytest.fixture
def archive(country: Country, tmp_path: Path) -> Archive:
    """The country's scenes of 2024, to be damaged at will."""
    return Archive(country, tmp_path / "archive")


def inner_bbox(country: Country) -> list[float]:
    """The area in degrees, its corners on the grid's lines."""
    left, _, _, top = country.bounds
    back = Transformer.from_crs(country.crs, "EPSG:4326", always_xy=True)
    west, south = back.transform(left + INSET_M, top - INSET_M - SIDE_M)
    east, north = back.transform(left + INSET_M + SIDE_M, top - INSET_M)
    return [west, south, east, north]


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
    """Eight steps of 30 days, a forest of 20 trees, everything in one process."""
    spec = {
        "name": "made",
        "area": {"bbox": inner_bbox(country)},
        "season": {"start": "2024-03-01", "end": "2024-10-27", "step_days": 30},
        "grid": {"crs": country.crs, "resolution": 10, "tile_px": 32},
        "inputs": inputs(str(country.items)),
        "cube": {"uri": f"{place}/cube.zarr"},
        "model": {"uri": f"{place}/model", "train": {"family": "forest", "trees": 20}},
        "labels": {"uri": str(country.labels[2024]), "legend": str(country.legend_csv), "block_m": 200},
        "output": {"uri": f"{place}/map"},
        "compute": {"in_process": True},
    }
    return Job(place, spec)


@pytest.fixture(scope="session")
def finished(country: Country, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that has built cube, model and map. Never change it: take ``copied_to`` or ``at`` for a place of your own."""
    job = made_job(country, tmp_path_factory.mktemp("finished"))
    job.submit()
    return job
