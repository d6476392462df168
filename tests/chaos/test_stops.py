"""A run that is asked to stop finishes the tiles under way, says how to go on, and leaves no process behind."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from jobs.demo.country import Country
from tests.chaos.runs import TILES, Driver, Place, long_training, run_to_end, tilth, wait_for, write_job


def drained(driver: Driver, place: Place, stage: str) -> None:
    """What holds after any way to stop: its code, its words, no tile half done, nobody left."""
    code, said = driver.ended(), driver.told()
    assert code == 130, f"exit code {code}:\n{said}"
    assert f"tilth resume {place.map}" in said
    assert "Traceback" not in said
    assert driver.leaves_nobody()
    assert not place.torn(stage)
    written = sum(record.state == "written" for record in place.records(stage).values())
    assert 0 < written < TILES


def test_ctrl_c_drains_the_cube_and_a_resume_ends_with_the_same_bytes(
    country: Country, undisturbed: Place, tmp_path: Path
) -> None:
    place = write_job(tmp_path, country)
    with tilth(tmp_path / "log", "cube", str(place.job)) as driver:
        assert wait_for(driver, lambda: place.count("cube") >= 5)
        driver.signal_group(signal.SIGINT)
        drained(driver, place, "cube")
        assert "tried again" not in driver.told(), "Ctrl-C reached the workers"
    run_to_end(tmp_path / "again", "resume", place.map, "--set", "compute.in_process=true")
    assert place.published() == undisturbed.published()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_signal_drains_the_map(number: int, copied: Place, tmp_path: Path) -> None:
    with tilth(tmp_path / "log", "submit", str(copied.job)) as driver:
        assert wait_for(driver, lambda: copied.count("map") >= 3, pause_s=0.005)
        with driver.held():
            if number == signal.SIGINT:
                driver.signal_group(number)
            else:
                driver.process.send_signal(number)
        drained(driver, copied, "map")
        assert "tried again" not in driver.told(), "the signal reached the workers"


def test_ctrl_c_ends_a_training_between_two_epochs(copied: Place, tmp_path: Path) -> None:
    with tilth(tmp_path / "log", *long_training(copied)) as driver:
        assert wait_for(driver, lambda: "model: training" in driver.told())
        driver.signal_group(signal.SIGINT)
        assert driver.ended(60) == 130, driver.told()
        assert f"tilth resume {copied.map}" in driver.told()


def test_tilth_cancel_from_another_process_drains_the_run(copied: Place, undisturbed: Place, tmp_path: Path) -> None:
    copied.job.write_text(copied.job.read_text() + "  in_process: true\n")
    with tilth(tmp_path / "log", "submit", str(copied.job)) as driver:
        assert wait_for(driver, lambda: copied.count("map") >= 3)
        with driver.held():
            said = run_to_end(tmp_path / "cancel", "cancel", copied.map)
        assert f"(process {driver.process.pid})" in said
        drained(driver, copied, "map")
    state = json.loads(run_to_end(tmp_path / "status", "status", copied.map, "--json"))
    assert state["driver"] is None and state["cancel_asked"]
    run_to_end(tmp_path / "again", "resume", copied.map)
    assert copied.published() == undisturbed.published()


def test_a_used_up_budget_ends_the_run_with_five_and_says_which_key_to_raise(copied: Place, tmp_path: Path) -> None:
    words = ["--set", "budget.max_hours=0.0000001", "--set", "compute.in_process=true"]
    with tilth(tmp_path / "log", "submit", str(copied.job), *words) as driver:
        assert driver.ended() == 5
        assert "budget.max_hours" in driver.told() and f"tilth resume {copied.map}" in driver.told()
