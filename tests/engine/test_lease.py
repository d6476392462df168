"""One driver at a time: who holds the lease is named, a dead one's turn is over at once, a lost one is noticed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import psutil
import pytest

import engine.ledger.lease as lease_module
from engine.errors import InputError, LeaseHeld
from engine.ledger import Lease
from engine.ledger.lease import holder
from engine.objects import Objects
from tests.servers.process import REPO_ROOT, wait_until
from tests.servers.s3 import S3

HOLD = "import sys, time; from engine.ledger import Lease; from engine.objects import Objects; " + (
    "Lease(Objects(sys.argv[1])).take(); print('taken', flush=True); time.sleep(600)"
)


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    """A run's place: a folder of this disk, then a bucket of a real S3 server."""
    if request.param == "folder":
        return Objects(str(tmp_path / "run"))
    server: S3 = request.getfixturevalue("s3")
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    return Objects(f"s3://{request.getfixturevalue('bucket')}/run")


@pytest.fixture
def driver(objects: Objects) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lease until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, objects.uri], cwd=REPO_ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "taken\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats every tenth of a second."""
    monkeypatch.setattr(lease_module, "_BEAT_S", 0.1)


def test_the_second_driver_is_refused_and_told_who_holds_the_lease(
    objects: Objects, driver: subprocess.Popen[str]
) -> None:
    with pytest.raises(LeaseHeld) as refused:
        Lease(objects).take()
    text = str(refused.value)
    assert f"process {driver.pid}" in text and os.uname().nodename in text and objects.uri in text
    known = holder(objects)
    assert known is not None and known["pid"] == driver.pid and known["age_s"] < 30


@pytest.mark.parametrize("reaped", [True, False])
def test_a_killed_drivers_turn_is_over_at_once(objects: Objects, driver: subprocess.Popen[str], reaped: bool) -> None:
    os.kill(driver.pid, signal.SIGKILL)
    if reaped:
        driver.wait()
    else:  # its parent, a shell or a test, has not looked yet: a zombie drives nothing
        wait_until(lambda: psutil.Process(driver.pid).status() == psutil.STATUS_ZOMBIE, 5, "the driver's end")
    assert holder(objects) is None
    with Lease(objects) as mine:
        assert mine.epoch == 2


def test_a_driver_of_another_machine_that_was_silent_too_long_has_lost_its_turn(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = lease_module._me() | {"host": "another-machine", "pid": 1}
    objects.put("lease/00000007.json", json.dumps(far).encode())
    objects.put("lease/00000007.beat", json.dumps(far).encode())
    with pytest.raises(LeaseHeld, match="another-machine"):
        Lease(objects).take()
    monkeypatch.setattr(lease_module, "TTL_S", 0.0)
    time.sleep(1.1)  # moto's clock has whole seconds
    with Lease(objects) as mine:
        assert mine.epoch == 8


def test_a_released_lease_is_free_and_the_next_turn_has_the_next_number(objects: Objects) -> None:
    for epoch in (1, 2, 3):
        with Lease(objects) as lease:
            assert lease.epoch == epoch
            assert holder(objects)["pid"] == os.getpid()  # type: ignore[index]
        assert holder(objects) is None
    assert len(list(objects.entries("lease"))) == 2  # old turns are swept up


def test_of_many_that_want_the_lease_at_one_moment_one_gets_it(objects: Objects) -> None:
    barrier = threading.Barrier(8)
    taken: list[Lease] = []

    def take(_: int) -> bool:
        barrier.wait()
        try:
            taken.append(Lease(Objects(objects.uri)).take())
        except LeaseHeld:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(take, range(8)))
    assert won.count(True) == 1
    taken[0].release()


def test_processes_that_race_for_the_lease_find_one_winner(tmp_path: Path) -> None:
    context: Any = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        won = pool.map(_try, [str(tmp_path)] * 3, chunksize=1)
    assert sum(won) == 1


def _try(uri: str) -> bool:
    try:
        Lease(Objects(uri)).take()
    except LeaseHeld:
        return False
    time.sleep(2)
    return True


def test_one_who_was_refused_does_not_give_the_holders_turn_back(objects: Objects) -> None:
    with Lease(objects):
        other = Lease(objects)
        with pytest.raises(LeaseHeld):
            other.take()
        other.release()
        assert holder(objects) is not None


def test_a_lease_that_another_took_is_noticed_and_not_given_back(objects: Objects, quick: None) -> None:
    with Lease(objects) as mine:
        objects.put(f"lease/{mine.epoch + 1:08d}.json", json.dumps(lease_module._me()).encode())
        assert mine.lost.wait(5)
    assert holder(objects) is not None


def test_a_lease_is_kept_by_beats_as_long_as_its_holder_lives(
    objects: Objects, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "TTL_S", 2.5)
    with Lease(objects) as mine:
        time.sleep(3)
        assert holder(objects) is not None and not mine.lost.is_set()
        with pytest.raises(LeaseHeld):
            Lease(objects).take()


def test_a_holder_who_may_no_longer_write_has_lost_its_lease(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:

    objects = Objects(str(tmp_path))
    with Lease(objects) as mine:

        def refuse(key: str, data: bytes) -> None:
            raise InputError("the store refuses: credentials expired")

        monkeypatch.setattr(objects, "put", refuse)
        assert mine.lost.wait(5)


def test_a_driver_whose_own_clock_is_wrong_does_not_take_a_living_ones_turn(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(hours=1)

    far = lease_module._me() | {"host": "another-machine"}
    objects.put("lease/00000001.beat", json.dumps(far).encode())
    monkeypatch.setattr(lease_module, "datetime", Ahead)
    with pytest.raises(LeaseHeld, match="another-machine"):
        Lease(objects).take()
