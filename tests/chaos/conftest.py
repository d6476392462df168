"""What the chaos tests share: a made country, and an undisturbed run on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from jobs.demo.country import Country
from tests.chaos.runs import Place, make_country_once, run_undisturbed_once, write_job


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.chaos)


@pytest.fixture(scope="session")
def country(tmp_path_factory: pytest.TempPathFactory) -> Country:
    """Fields and scenes, made up: 1.2 x 1.2 km."""
    return make_country_once(tmp_path_factory.getbasetemp() / "country")


@pytest.fixture(scope="session")
def undisturbed(country: Country) -> Place:
    """A finished run, tile after tile in one process, with neither Dask nor Ray."""
    return run_undisturbed_once(country.root)


@pytest.fixture
def copied(undisturbed: Place, country: Country, tmp_path: Path) -> Place:
    """A run whose cube and model are those of the undisturbed one, so that only the map is to be made."""
    place = write_job(tmp_path, country)
    for part in ("cube.zarr", "cube.zarr.ledger", "model"):
        shutil.copytree(undisturbed.root / part, place.root / part)
    return place
