"""SIGKILL at any stage, then resume: the same bytes as a run that nobody disturbed, and nothing done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.ledger.lease import holder
from jobs.demo.country import Country
from tests.chaos.runs import TILES, Place, long_training, run_to_end, tilth, wait_for, write_job
from tests.chaos.schedule import SCHEDULE, Chaos

SEEDS = (11, 12)


@pytest.mark.timeout(1200)  # two minutes on two idle cores, three times as long on busy ones
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
        assert wait_for(driver, lambda: place.count("cube") >= 5)
        driver.dask_workers()[0].kill()
        assert driver.ended() == 0, driver.told()
        assert driver.leaves_nobody()
    cube = {name: digest for name, digest in undisturbed.published().items() if name.startswith("cube.zarr/")}
    assert place.published() == cube
    assert {record.state for record in place.records("cube").values()} == {"written"}


def test_a_second_driver_is_refused_and_the_lease_of_a_killed_one_is_free_at_once(
    copied: Place, undisturbed: Place, tmp_path: Path
) -> None:
    with tilth(tmp_path / "log", *long_training(copied)) as driver:
        assert wait_for(driver, lambda: "model: training" in driver.told())
        with tilth(tmp_path / "second", "submit", str(copied.job)) as second:
            assert second.ended() == 4
            assert f"process {driver.process.pid}" in second.told()
        assert driver.process.poll() is None
        driver.kill()
    assert holder(copied.ledger("map")) is None
    run_to_end(tmp_path / "third", "submit", str(copied.job), "--set", "compute.in_process=true")
    assert copied.published() == undisturbed.published()
