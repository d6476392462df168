"""What the chaos tests share: a made country, and an undisturbed run on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from jobs.demo.country import Country, CountryOptions, write_country
from tests.chaos.runs import TILES, Place, run_to_end, write_job


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.chaos)


@pytest.fixture(scope="session")
def country(tmp_path_factory: pytest.TempPathFactory) -> Country:
    """Fields and scenes, made up: 1.2 x 1.2 km."""
    return write_country(tmp_path_factory.mktemp("country"), CountryOptions(pixels=120, seed=3, cadence=6))


@pytest.fixture(scope="session")
def undisturbed(country: Country, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A finished run, tile after tile in one process, with neither Dask nor Ray."""
    place = write_job(tmp_path_factory.mktemp("undisturbed"), country, in_process=True)
    run_to_end(place.root / "log", "submit", str(place.job))
    assert len(place.records("map")) == TILES
    return place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A place for a run; emptied at once, since a failing suite would fill the disk."""
    return tmp_path


@pytest.fixture
def copied(undisturbed: Place, country: Country, tmp_path: Path) -> Place:
    """A run whose cube and model are those of the undisturbed one, so that only the map is to be made."""
    place = write_job(tmp_path, country)
    for part in ("cube.zarr", "cube.zarr.ledger", "model"):
        shutil.copytree(undisturbed.root / part, place.root / part)
    return place
