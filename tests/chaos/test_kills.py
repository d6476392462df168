"""SIGKILL at any stage, then resume: the same bytes as a run that nobody disturbed, and nothing done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.demo.country import Country
from tests.chaos.runs import TILES, Driver, Place, run_to_end, tilth, wait_for, write_job
from tests.chaos.schedule import SCHEDULE, Chaos

SEEDS = (11, 12)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_killed_a_dozen_times_at_every_stage_publishes_the_bytes_of_an_undisturbed_one(
    seed: int, country: Country, undisturbed: Place, tmp_path: Path
) -> None:
    chaos = Chaos(write_job(tmp_path, country), seed)
    chaos.carry_out(SCHEDULE)
    assert chaos.killed.total() == len(SCHEDULE)
    assert chaos.place.published() == undisturbed.published()
    assert not chaos.written_again, "a tile was computed again after its record had been committed"
    assert not chaos.left_behind, "processes outlived their driver"
    for stage in ("cube", "map"):
        records = chaos.place.records(stage).values()
        assert [(record.state, record.seq) for record in records] == [("written", 1)] * TILES


def test_the_suite_kills_at_least_twenty_times() -> None:
    assert len(SEEDS) * len(SCHEDULE) >= 20


def test_a_killed_dask_worker_changes_no_byte_and_needs_no_resume(
    country: Country, undisturbed: Place, tmp_path: Path
) -> None:
    place = write_job(tmp_path, country)
    with tilth(tmp_path / "log", "cube", str(place.job)) as driver:
        for after in (3, 12):
            assert wait_for(driver, lambda n=after: place.count("cube") >= n and bool(driver.dask_workers()))
            driver.dask_workers()[0].kill()
        assert driver.ended() == 0, driver.told()
        assert driver.leaves_nobody()
    cube = {name: digest for name, digest in undisturbed.published().items() if name.startswith("cube.zarr/")}
    assert place.published() == cube
    assert {record.state for record in place.records("cube").values()} == {"written"}


def test_the_lease_of_a_driver_killed_on_this_machine_is_free_at_once(country: Country, tmp_path: Path) -> None:
    place = write_job(tmp_path, country, in_process=True)
    with tilth(tmp_path / "log", "cube", str(place.job)) as driver:
        assert wait_for(driver, lambda: place.count("cube") >= 1)
        held = refused(place, tmp_path / "second.log", driver)
        driver.kill()
    assert f"process {driver.process.pid}" in held
    assert "cube: " in run_to_end(tmp_path / "third.log", "cube", str(place.job))


def refused(place: Place, log: Path, first: Driver) -> str:
    """What a second driver is told while ``first`` works."""
    with tilth(log, "cube", str(place.job)) as second:
        assert second.ended() == 4
    assert first.process.poll() is None
    return second.told()
