"""Two drivers on one run: one works, the other says who holds the lease and ends. Two runs may map one cube."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from engine.ledger.lease import holder
from engine.objects import Objects
from engine.work import LEDGER
from tests.flow.flow import PATIENCE_S, Job, assert_same_published, command, tilth
from tests.servers.process import REPO_ROOT, wait_until


@contextmanager
def held_still(job: Job, mapping: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A driver stopped until the block ends, then it goes on to its end: as soon as its plan is pinned, or at its first
    tile of the map."""
    driver = subprocess.Popen(
        command("predict", job.yaml), cwd=REPO_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: (Path(job.map) / LEDGER / "run.json").exists(), 60, "its plan", pause_s=0.01)
        if mapping:
            wait_until(lambda: len(job.records("map")) > 0, 60, "its first tile", pause_s=0.01)
        os.kill(driver.pid, signal.SIGSTOP)
        yield driver
        os.kill(driver.pid, signal.SIGCONT)
        driver.wait(PATIENCE_S)
    finally:
        if driver.poll() is None:
            driver.kill()
            driver.wait()


def test_the_second_driver_names_the_first_and_ends_while_the_first_finishes(finished: Job, tmp_path: Path) -> None:
    job = finished.at(tmp_path)
    with held_still(job) as first:
        began = time.monotonic()
        second = job.with_({"name": "other"}).predict(expect=4)
        third = tilth("resume", job.map, expect=4)
        seconds = time.monotonic() - began
        pinned = json.loads((Path(job.map) / LEDGER / "run.json").read_text())
    assert first.returncode == 0
    for told in (second, third):
        assert f"(process {first.pid}, turn 1)" in told.err and "drives this run from" in told.err
        assert "watch or cancel it" in told.err
    assert seconds < 25, "both ended long before the lease could"
    assert pinned["spec"]["name"] == "made", "the run's plan is still the first driver's"
    assert_same_published(finished, job)


def test_two_maps_from_one_cube_do_not_build_it_at_the_same_time(finished: Job, tmp_path: Path) -> None:
    job = finished.at(tmp_path)
    with held_still(job) as first:
        other = job.with_({"output.uri": f"{tmp_path}/other-map"})
        told = other.predict(expect=4)
        assert f"(process {first.pid}, turn 1)" in told.err and "builds this cube" in told.err
        assert "cube.zarr.ledger" in told.err
    assert first.returncode == 0
    other.predict()
    assert_same_published(job, other)


def test_two_runs_map_one_finished_cube_at_the_same_time(finished: Job, tmp_path: Path) -> None:
    job = finished.copied_to(tmp_path)
    one, other = (job.with_({"output.uri": f"{tmp_path}/map-{name}"}) for name in "ab")
    with held_still(one, mapping=True) as first:
        other.predict()
        assert first.poll() is None and not (Path(one.map) / "report.json").exists()
    assert first.returncode == 0
    assert_same_published(one, other)


def test_two_runs_may_begin_at_the_same_moment_where_the_cube_is_finished(finished: Job, tmp_path: Path) -> None:
    job = finished.copied_to(tmp_path)
    both = [replace(job.with_({"output.uri": f"{tmp_path}/map-{n}"}), folder=tmp_path / n) for n in "ab"]
    drivers = [
        subprocess.Popen(command("predict", each.yaml), cwd=REPO_ROOT, stderr=subprocess.DEVNULL) for each in both
    ]
    assert [driver.wait(PATIENCE_S) for driver in drivers] == [0, 0]
    assert_same_published(*both)


def test_a_training_leaves_the_finished_map_of_another_spec_as_it_is(finished: Job, tmp_path: Path) -> None:
    job = finished.copied_to(tmp_path)
    pinned = (Path(job.map) / LEDGER / "run.json").read_bytes()
    other = job.with_({"model.uri": f"{tmp_path}/model", "model.train.epochs": 1})
    assert "train: not pinned, the finished map in" in tilth("train", other.yaml).err
    assert Path(other.model, "model.json").exists()
    assert (Path(job.map) / LEDGER / "run.json").read_bytes() == pinned


def test_one_stage_alone_is_not_handed_over_to_a_cluster(finished: Job, tmp_path: Path) -> None:
    job = finished.at(tmp_path).with_({"compute.address": "http://127.0.0.1:1"})
    for stage in ("cube", "train"):
        assert "compute.address: http://127.0.0.1:1, which does whole jobs" in tilth(stage, job.yaml, expect=2).err
    assert not Path(job.map).exists() and not Path(job.cube).exists()


def test_a_second_driver_takes_over_at_once_when_the_first_was_killed(finished: Job, tmp_path: Path) -> None:
    job = finished.at(tmp_path)
    with pytest.raises(AssertionError, match="killed"), held_still(job) as first:
        first.kill()
        first.wait()
        raise AssertionError("killed")
    tilth("resume", job.map)
    assert holder(Objects(job.map).child(LEDGER)) is None
    assert_same_published(finished, job)
