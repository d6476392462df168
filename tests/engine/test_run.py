"""The loop that drives tiles: it retries, sets aside, keeps suspects apart, respects the bytes, drains and stops."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.errors import Cancelled, InfrastructureError, MicroBatchTooLarge, TileError, TilthError
from engine.executors import Outcome
from engine.executors.local import LocalExecutor
from engine.ledger import Failure, Ledger, Record, advance
from engine.ledger.book import commit_record
from engine.objects import Objects
from engine.run import Limits, Progress, stream
from engine.types import Tile, Window

GB = 1_000_000_000
BACKOFF = sys.modules[advance.__module__]  # the package has a function of the module's name


@dataclass(frozen=True)
class Job:
    """A task as small as can be."""

    tile: Tile
    key: str = "k"
    seq: int = 1
    epoch: int = 1
    memory_bytes: int = GB


def jobs(count: int, memory_bytes: int = GB) -> list[Job]:
    return [Job(Tile(0, col, Window(0, 1, col, col + 1)), memory_bytes=memory_bytes) for col in range(count)]


@dataclass
class Told:
    """An executor with several workers that fails each attempt as told, and notes what was under way together."""

    ledger: Objects
    plan: Mapping[int, list[Failure]]
    workers: int = 4
    under_way: deque[Job] = field(default_factory=deque)
    together: list[tuple[int, ...]] = field(default_factory=list)
    attempts: Counter[int] = field(default_factory=Counter)
    wanted: int = 1_000_000
    """No more at once from now on, as the loop has said last."""

    def free(self) -> int:
        return self.workers - len(self.under_way)

    def submit(self, task: Job) -> None:
        self.under_way.append(task)
        assert len(self.under_way) <= self.wanted, "given more work at once than the loop has said there will be"
        self.together.append(tuple(job.tile.col for job in self.under_way))

    def wait(self, timeout_s: float) -> list[Outcome]:
        if not self.under_way:
            time.sleep(min(timeout_s, 0.01))
            return []
        task = self.under_way.popleft()
        failures = self.plan.get(task.tile.col, [])
        attempt = self.attempts[task.tile.col]
        self.attempts[task.tile.col] += 1
        if attempt < len(failures):
            return [Outcome(task, failures[attempt])]
        return [Outcome(task, commit_record(self.ledger, Record(task.tile.id, task.seq, task.key, "written", 1)))]

    def shrink(self, at_once: int) -> None:
        assert at_once <= self.wanted
        self.wanted = at_once

    def slow_start(self) -> str | None:
        return None

    def close(self) -> None:
        """Nothing to end."""


class Here:
    """Work for the real LocalExecutor: one function."""

    def __init__(self, do: Callable[[Job], Record]) -> None:
        self.do = do

    def open(self) -> Callable[[Any], Record]:
        return self.do


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(Objects(str(tmp_path))).load()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries after milliseconds."""
    monkeypatch.setattr(BACKOFF, "_BACKOFF_S", (0.01, 0.02))


def drive(tasks: Sequence[Job], executor: Any, ledger: Ledger, limits: Limits | None = None, **more: Any) -> Progress:
    progress = Progress("map", len(tasks))
    stream(
        iter(tasks), executor, ledger, limits or Limits(100 * GB), progress=progress, tick=lambda _: None,
        **{"stop": lambda: None, **more},
    )  # fmt: skip
    return progress


def states(ledger: Ledger) -> Counter[str]:
    return Counter(record.state for record in Ledger(ledger.objects).load().latest.values())


def test_every_tile_ends_with_a_record_through_the_real_local_executor(ledger: Ledger) -> None:
    def do(job: Job) -> Record:
        if job.tile.col == 3:
            raise TileError("truncated", place="item a, asset red")
        return commit_record(ledger.objects, Record(job.tile.id, job.seq, job.key, "written", 1, {"seconds": 0.5}))

    progress = drive(jobs(6), LocalExecutor(Here(do)), ledger)
    assert (progress.written, progress.quarantined, progress.retried) == (5, 1, 0)
    assert progress.seconds == {"build": 2.5} and states(ledger) == {"written": 5, "quarantined": 1}
    assert "item a, asset red: truncated" in ledger.latest["r0000c0003"].body["reason"]


@pytest.mark.parametrize(
    ("error", "tries"),
    [(InfrastructureError("503"), 4), (ZeroDivisionError("surprise"), 3), (TilthError("surprise"), 3)],
)
def test_the_local_executor_tells_errors_apart(ledger: Ledger, error: Exception, tries: int) -> None:
    seen: Counter[int] = Counter()

    def do(job: Job) -> Record:
        seen[job.tile.col] += 1
        if job.tile.col == 0 and seen[0] < 4:
            raise error
        return commit_record(ledger.objects, Record(job.tile.id, job.seq, job.key, "written", 1))

    drive(jobs(2), LocalExecutor(Here(do)), ledger)
    assert seen[0] == tries and seen[1] == 1


def test_what_passes_is_tried_again_until_it_is_done(ledger: Ledger) -> None:
    executor = Told(ledger.objects, {2: [Failure("infrastructure", "503")] * 12, 4: [Failure("node_lost", "gone")]})
    progress = drive(jobs(6), executor, ledger)
    assert (progress.written, progress.retried) == (6, 13) and executor.attempts[2] == 13
    assert "503" in progress.trouble or "gone" in progress.trouble


def test_waiting_for_a_retry_costs_no_processor_time(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BACKOFF, "_BACKOFF_S", (1.0,))
    failed: list[int] = []

    def do(job: Job) -> Record:
        if not failed:
            failed.append(1)
            raise InfrastructureError("503")
        return commit_record(ledger.objects, Record(job.tile.id, job.seq, job.key, "written", 1))

    before = time.process_time()
    drive(jobs(1), LocalExecutor(Here(do)), ledger)
    assert time.process_time() - before < 0.3


def test_a_culprit_is_found_by_running_suspects_alone_and_the_innocent_are_done(ledger: Ledger) -> None:
    death = Failure("death", "SIGKILL")
    executor = Told(ledger.objects, {1: [death] * 9, 2: [death]})
    progress = drive(jobs(8), executor, ledger)
    assert (progress.written, progress.quarantined) == (7, 1)
    assert "died 3 times" in ledger.latest["r0000c0001"].body["reason"]
    assert executor.attempts[1] == 3 and executor.attempts[2] == 2
    again = [group for group in executor.together[8:]]
    assert again and all(len(group) == 1 for group in again), "a suspect ran beside another tile"
    assert executor.wanted == 1


def test_an_unforeseen_error_is_tried_as_often_as_the_spec_says(ledger: Ledger) -> None:
    for retries, base in ((0, 0), (3, 10)):
        tasks = [Job(Tile(1, base + i, Window(0, 1, 0, 1))) for i in range(2)]
        executor = Told(ledger.objects, {base: [Failure("unknown", "KeyError", "KeyError x:1")] * 9})
        progress = drive(tasks, executor, ledger, Limits(100 * GB, retries))
        assert executor.attempts[base] == retries + 1 and progress.quarantined == 1
        body = ledger.latest[f"r0001c{base:04d}"].body
        assert body["attempts"] == retries + 1 and f"failed {retries + 1} times: KeyError" in body["reason"]


def test_the_same_error_on_the_first_eight_tiles_stops_the_job_and_says_so(ledger: Ledger) -> None:
    alike = Failure("unknown", "the link is refused", "refused")
    executor = Told(ledger.objects, {i: [alike] for i in range(1000)}, workers=2)
    with pytest.raises(TilthError, match="first 8 tiles all failed alike: the link is refused"):
        drive(jobs(1000), executor, ledger, Limits(100 * GB, 0))
    assert states(ledger)["quarantined"] <= 8 + 2


def test_eight_tiles_that_all_fail_alike_are_a_wrong_job_too(ledger: Ledger) -> None:
    executor = Told(ledger.objects, {i: [Failure("unknown", "KeyError", "a.py:1")] for i in range(8)})
    with pytest.raises(TilthError, match="all failed alike"):
        drive(jobs(8), executor, ledger, Limits(100 * GB, 0))


def test_a_damaged_scene_under_the_first_eight_tiles_stops_nothing(ledger: Ledger) -> None:
    executor = Told(ledger.objects, {i: [Failure("tile", "S2_1 is truncated", "truncated")] for i in range(8)})
    progress = drive(jobs(20), executor, ledger)
    assert (progress.quarantined, progress.written) == (8, 12)


def test_tiles_that_fail_alike_after_others_went_well_stop_nothing(ledger: Ledger) -> None:
    executor = Told(ledger.objects, {i: [Failure("tile", "truncated", "truncated")] for i in range(9)})
    assert drive(jobs(9), executor, ledger, proven=True).quarantined == 9


def test_different_errors_or_one_good_tile_stop_nothing(ledger: Ledger) -> None:
    plan = {i: [Failure("tile", f"{i}", f"{i % 2}")] for i in range(20)}
    assert drive(jobs(20), Told(ledger.objects, plan), ledger).quarantined == 20


@pytest.mark.parametrize(("budget", "most"), [(1 * GB, 1), (2 * GB, 2), (3.5 * GB, 3), (100 * GB, 4), (1, 1)])
def test_no_more_bytes_are_under_way_than_allowed_but_always_one_tile(ledger: Ledger, budget: float, most: int) -> None:
    executor = Told(ledger.objects, {})
    assert drive(jobs(12), executor, ledger, Limits(int(budget))).written == 12
    assert max(len(group) for group in executor.together) == most


def test_a_stop_starts_nothing_new_and_commits_what_is_under_way(ledger: Ledger) -> None:
    executor = Told(ledger.objects, {})
    asked: list[int] = []

    def stop() -> TilthError | None:
        asked.append(1)
        return Cancelled("a person asked") if executor.together else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.run._TICK_S", 0.0)
        with pytest.raises(Cancelled):
            drive(jobs(100), executor, ledger, stop=stop)
    assert asked and not executor.under_way
    assert states(ledger) == {"written": len(executor.together)} and len(executor.together) < 12


def test_a_stop_does_not_wait_for_retries(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BACKOFF, "_BACKOFF_S", (60.0,))
    executor = Told(ledger.objects, {0: [Failure("infrastructure", "503")] * 9})
    began = time.monotonic()
    with pytest.raises(Cancelled):
        drive(jobs(1), executor, ledger, stop=lambda: Cancelled("x") if executor.attempts else None)
    assert time.monotonic() - began < 55 and states(ledger) == {}, "it did not sit out the minute"


def test_out_of_memory_before_the_first_commit_asks_for_a_smaller_micro_batch(ledger: Ledger) -> None:
    executor = Told(ledger.objects, {0: [Failure("memory", "1024 rows", "memory")]})
    with pytest.raises(MicroBatchTooLarge, match="tile r0000c0000: 1024 rows"):
        drive(jobs(3), executor, ledger)


def test_out_of_memory_later_is_the_tiles_own_trouble(ledger: Ledger) -> None:
    executor = Told(ledger.objects, {2: [Failure("memory", "x", "memory")] * 9}, workers=1)
    progress = drive(jobs(4), executor, ledger)
    assert (progress.written, progress.quarantined) == (3, 1)


def test_a_quarantine_takes_the_next_number_when_another_was_first(ledger: Ledger) -> None:
    commit_record(ledger.objects, Record("r0000c0000", 1, "k", "pending", 1))
    executor = Told(ledger.objects, {0: [Failure("tile", "bad")]})
    drive(jobs(1), executor, ledger)
    assert Ledger(ledger.objects).load().latest["r0000c0000"].seq == 2
