"""A seeded schedule of SIGKILLs, carried out on a run until the run is done."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from tests.chaos.runs import Driver, Place, stamps, tilth, wait_for
from tests.servers.process import command_of

Victim = Literal["driver", "machine", "dask worker", "ray actor", "raylet"]
Stage = Literal["cube", "train", "map", "finish"]
_NEAR_S = 0.05


@dataclass(frozen=True)
class Kill:
    """Who is killed and when: a random moment after ``stage`` holds about so many records.

    ``machine``: the driver and all below it at once, as when the power fails, at a moment when a tile has files in
    place and no record yet.
    """

    victim: Victim
    stage: Stage
    after: int = 0


SCHEDULE = (
    Kill("dask worker", "cube", 3),
    Kill("dask worker", "cube", 8),
    Kill("machine", "cube", 13),
    Kill("dask worker", "cube", 17),
    Kill("driver", "cube", 23),
    Kill("driver", "train"),
    Kill("ray actor", "map", 3),
    Kill("ray actor", "map", 8),
    Kill("machine", "map", 13),
    Kill("raylet", "map"),
    Kill("ray actor", "map", 17),
    Kill("driver", "finish"),
)
"""No more than two workers in one driver's life: a tile that goes down with three is rightly set aside. The raylet goes
while the actors start: those that work already would be done with tiles as small as these before Ray missed it."""


@dataclass
class Chaos:
    """Carries out a schedule on a run."""

    place: Place
    seed: int
    killed: Counter[str] = field(default_factory=Counter)
    lives: int = 0
    written_again: set[Path] = field(default_factory=set)
    """Files of committed tiles that were written once more."""
    left_behind: list[str] = field(default_factory=list)
    """Processes that outlived their driver."""

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._last = ""
        self._looked_at = -1
        self._chosen: psutil.Process | None = None

    def carry_out(self, schedule: Sequence[Kill]) -> None:
        """Kill after kill, with a resume whenever the driver is gone; then let the run come to its end."""
        pending = deque(schedule)
        code = -1
        while code != 0:
            with self._driver() as driver:
                while pending and driver.process.poll() is None:
                    self._strike(driver, pending[0])
                    pending.popleft()
                code = driver.ended()
                assert code == 0 or self._last in ("driver", "machine", "raylet"), f"exit code {code}:\n{driver.told()}"
                if not driver.leaves_nobody():
                    self.left_behind += [command_of(one) for one in driver.family if one.is_running()]
            self._note_committed()
        assert not pending, f"the run ended before {pending[0]}"

    @contextmanager
    def _driver(self) -> Iterator[Driver]:
        self.lives += 1
        started = (self.place.root / "map" / "_tilth" / "run.json").exists()
        words = ("resume", self.place.map) if started else ("submit", str(self.place.job))
        with tilth(self.place.root / f"life-{self.lives}.log", *words) as driver:
            yield driver

    def _strike(self, driver: Driver, kill: Kill) -> None:
        """Wait for the moment, then kill."""
        after = kill.after + self._draw.randrange(3) if kill.after else 0
        came = wait_for(driver, lambda: self._has_come(driver, kill, after), pause_s=0.005 if kill.after else 0.02)
        assert came, f"the run ended before {kill}:\n{driver.told()}"
        if kill.victim == "machine":
            self._power_failure(driver, kill.stage)
        else:
            assert self._chosen is not None
            time.sleep(self._draw.uniform(0, _NEAR_S))
            with suppress(psutil.NoSuchProcess):
                self._chosen.kill()
        self.killed[kill.victim] += 1
        self._last = kill.victim
        if kill.victim in ("driver", "machine"):
            driver.process.wait()
        elif kill.victim == "raylet":
            # 1: Ray itself has ended the driver, as it does with a process that asks a dead raylet for something.
            code = driver.ended()
            assert code == 1 or (code == 4 and "resume" in driver.told()), f"exit code {code}:\n{driver.told()}"
        self._note_committed()

    def _has_come(self, driver: Driver, kill: Kill, after: int) -> bool:
        """Whether it is due; between tiles the machine is held still, for to look takes longer than a small tile."""
        if not kill.after:
            return self._is_due(driver, kill, after) and self._choose(driver, kill.victim)
        if (count := self.place.count(kill.stage)) == self._looked_at:
            return False
        self._looked_at = count
        with self._held(driver):
            return self._is_due(driver, kill, after) and self._choose(driver, kill.victim)

    def _is_due(self, driver: Driver, kill: Kill, after: int) -> bool:
        if kill.stage == "train":
            return "model: training" in driver.told()
        if kill.stage == "finish":
            return "map: " in driver.told() and "written" in driver.told().split("map: ")[-1]
        return self.place.count(kill.stage) >= after

    def _candidates(self, driver: Driver, victim: Victim) -> list[psutil.Process]:
        if victim == "dask worker":
            return driver.dask_workers()
        if victim == "ray actor":
            return driver.ray_actors()
        if victim == "raylet":
            return driver.raylets() if driver.ray_actors() else []
        return [psutil.Process(driver.process.pid)]

    def _choose(self, driver: Driver, victim: Victim) -> bool:
        """Draw the process to be killed; False where there is none of the kind."""
        found = sorted(self._candidates(driver, victim), key=lambda one: one.pid)
        self._chosen = self._draw.choice(found) if found else None
        return bool(found)

    def _power_failure(self, driver: Driver, stage: Stage) -> None:
        """Hold the machine still until it is caught with a tile half written, then kill all there is."""
        deadline = time.monotonic() + 240  # held still most of the time, workers take long to start
        while True:
            assert driver.process.poll() is None and time.monotonic() < deadline, f"never caught:\n{driver.told()}"
            with self._held(driver) as held:
                if self.place.torn(stage) and self._is_still(stage, held):
                    # Children first: the kernel continues a stopped process that its parent's death has orphaned.
                    _signal(reversed(held), signal.SIGKILL)
                    break
            time.sleep(self._draw.uniform(0.001, 0.02))
        psutil.wait_procs(held[1:], timeout=10)
        assert self.place.torn(stage)

    @contextmanager
    def _held(self, driver: Driver) -> Iterator[list[psutil.Process]]:
        """The driver and all below it, stopped: those known from the last look at once, then whoever is new."""
        held = [psutil.Process(driver.process.pid), *driver.family]
        try:
            _signal(held, signal.SIGSTOP)
            new = [one for one in driver.below() if one not in held]
            held += new
            _signal(new, signal.SIGSTOP)
            yield held
        finally:
            _signal(reversed(held), signal.SIGCONT)

    def _is_still(self, stage: Stage, held: Sequence[psutil.Process]) -> bool:
        """Whether it is caught half written even when the last thread has come back from the disk and is at rest."""
        until = time.monotonic() + 5
        while not all(_is_at_rest(one.pid) for one in held) and time.monotonic() < until:
            time.sleep(0.01)
        return bool(self.place.torn(stage))

    def _note_committed(self) -> None:
        """Remember the files that records vouch for, and those of them that are no longer the very files they were."""
        for stage in ("cube", "map"):
            for record in self.place.records(stage).values():
                now = stamps(self.place.files(record))
                self.written_again |= {path for path, stamp in now.items() if self._stamps.get(path, stamp) != stamp}
                self._stamps |= now


def _signal(processes: Iterable[psutil.Process], number: int) -> None:
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(number)


def _is_at_rest(pid: int) -> bool:
    """Whether every thread of a process is stopped, or gone."""
    states = set()
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):  # it has just ended
            states.add(thread.read_text().rpartition(")")[2].split()[0])
    return states <= {"T", "t", "Z", "X"}
