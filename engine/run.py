"""One loop that drives tiles through an executor until each is written or quarantined.

It keeps at most so many bytes in flight, tries again what may pass, sets aside what cannot, and stops early when a
person, the budget, the lease or the tiles themselves say so. What is committed is in the ledger; the loop holds nothing
that a resume would miss.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from engine.errors import MicroBatchTooLarge, TilthError
from engine.executors import Executor, Outcome
from engine.ledger import (
    SYSTEMIC_AFTER,
    Attempts,
    Failure,
    Ledger,
    Quarantine,
    Record,
    Retry,
    advance,
    standing_record,
    systemic,
)

_TICK_S = 1.0


class Task(Protocol):
    """What the loop asks of a task."""

    @property
    def tile(self) -> Any: ...

    @property
    def key(self) -> str: ...

    @property
    def seq(self) -> int: ...

    @property
    def epoch(self) -> int: ...

    @property
    def memory_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """``bytes_in_flight``: projected bytes of all tiles under way; ``retries`` of an error nobody foresaw."""

    bytes_in_flight: int
    retries: int = 2


@dataclass
class Progress:
    """Where a stage stands; shown to people, never read by the engine."""

    stage: str
    total: int
    written: int = 0
    quarantined: int = 0
    retried: int = 0
    in_flight: int = 0
    trouble: str = ""
    """The last thing a person may want to know: which tile is tried again and why, or why nothing runs yet."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Summed time of the workers by part of the work."""
    began: float = field(default_factory=time.monotonic)
    unit: str = "tiles"
    note: str = ""
    """A few words on what was done last."""

    @property
    def done(self) -> int:
        return self.written + self.quarantined


def stream(
    tasks: Iterable[Task],
    executor: Executor,
    ledger: Ledger,
    limits: Limits,
    *,
    progress: Progress,
    stop: Callable[[], TilthError | None],
    tick: Callable[[Progress], None],
    proven: bool = False,
) -> None:
    """Run every task to a record. ``stop`` is asked before anything is started: an error it returns drains the loop
    (nothing new is started, what is under way is committed) and is then raised. ``tick`` is told of progress about
    once a second.
    ``proven``: tiles of this stage are done already, so that the first ones now failing alike tell nothing of the
    job, and its micro-batch is settled.
    """
    loop = _Loop(iter(tasks), executor, ledger, limits, progress, proven)
    ending: TilthError | None = None
    next_tick = 0.0
    while loop.unfinished() and not (ending and not loop.in_flight):
        if time.monotonic() >= next_tick:
            next_tick = time.monotonic() + _TICK_S
            progress.trouble = executor.slow_start() or progress.trouble
            tick(progress)
        ending = ending or stop()
        if not ending:
            loop.fill()
        for outcome in executor.wait(_TICK_S if loop.in_flight else 0.05):
            loop.settle(outcome)
        ending = ending or (None if proven else loop.hopeless())
        ledger.compact()
    tick(progress)
    if ending:
        raise ending


@dataclass
class _Loop:
    source: Iterator[Task]
    """Tasks not yet looked at: made one at a time, because a country's would not fit into the driver."""
    executor: Executor
    ledger: Ledger
    limits: Limits
    progress: Progress
    proven: bool
    queue: deque[Task] = field(default_factory=deque)
    """The next task, and those to be tried again."""
    in_flight: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, Attempts] = field(default_factory=dict)
    later: list[tuple[float, Task]] = field(default_factory=list)
    suspects: deque[Task] = field(default_factory=deque)
    first: list[Failure | None] = field(default_factory=list)

    def unfinished(self) -> bool:
        self._look_ahead()
        return bool(self.queue or self.later or self.suspects or self.in_flight)

    def fill(self) -> None:
        """Submit while workers and bytes allow; a suspect only when it would be alone."""
        now = time.monotonic()
        for entry in [entry for entry in self.later if entry[0] <= now]:
            self.later.remove(entry)
            self.queue.appendleft(entry[1])
        while self.queue and self.executor.free() > 0 and self._fits(self.queue[0]):
            self._submit(self.queue.popleft())
            self._look_ahead()
        if self.suspects and not (self.queue or self.later or self.in_flight) and self.executor.free() > 0:
            self._submit(self.suspects.popleft())
        left = self.progress.total - self.progress.done
        self.executor.shrink(left - max(0, len(self.suspects) - 1))

    def settle(self, outcome: Outcome) -> None:
        """Take in what became of one attempt."""
        task, result = outcome.task, self._as_committed(outcome)
        self.in_flight.pop(task.tile.id, None)
        if isinstance(result, Record):
            self.ledger.note(result)
            self._finished(None)
            self.progress.written += 1
            self._add_times(result)
        elif result.kind == "memory" and self.progress.written == 0 and not self.proven:
            raise MicroBatchTooLarge(result.reason, place=f"tile {task.tile.id}")
        else:
            self._failed(task, result)
        self.progress.in_flight = len(self.in_flight)

    def hopeless(self) -> TilthError | None:
        """The error that ends the run when the first tiles all fail alike."""
        verdict = systemic(self.first)
        return TilthError(verdict.reason, remedy="mend the cause and resume; nothing is lost") if verdict else None

    def _look_ahead(self) -> None:
        if not self.queue:
            self.queue.extend(islice(self.source, 1))

    def _fits(self, task: Task) -> bool:
        under_way = sum(self.in_flight.values())
        return under_way == 0 or under_way + task.memory_bytes <= self.limits.bytes_in_flight

    def _submit(self, task: Task) -> None:
        self.in_flight[task.tile.id] = task.memory_bytes
        self.progress.in_flight = len(self.in_flight)
        self.executor.submit(task)

    def _as_committed(self, outcome: Outcome) -> Record | Failure:
        """The outcome; or, where a worker was lost after it had committed and before it could say so, the record."""
        task, result = outcome.task, outcome.result
        if isinstance(result, Failure) and result.kind in ("death", "node_lost", "infrastructure"):
            return standing_record(self.ledger.objects, task.tile.id, task.seq, task.key) or result
        return result

    def _failed(self, task: Task, failure: Failure) -> None:
        before = self.attempts.get(task.tile.id, Attempts())
        after, decision = advance(before, failure, self.limits.retries)
        self.attempts[task.tile.id] = after
        if isinstance(decision, Retry):
            self.progress.retried += 1
            self.progress.trouble = f"tile {task.tile.id} is tried again: {failure.reason}"
            if decision.alone:
                self.suspects.append(task)
            else:
                self.later.append((time.monotonic() + decision.delay_s * random.uniform(0.5, 1.5), task))
            return
        self._quarantine(task, decision, before.total + 1)
        self._finished(failure)

    def _quarantine(self, task: Task, decision: Quarantine, attempts: int) -> None:
        body = {"reason": decision.reason, "attempts": attempts}
        self.ledger.commit(Record(task.tile.id, task.seq, task.key, "quarantined", task.epoch, body))
        self.progress.quarantined += 1

    def _finished(self, failure: Failure | None) -> None:
        if len(self.first) < SYSTEMIC_AFTER:
            self.first.append(failure)

    def _add_times(self, record: Record) -> None:
        seconds = record.body.get("seconds", {})
        for part, value in (seconds if isinstance(seconds, dict) else {"build": seconds}).items():
            self.progress.seconds[part] = self.progress.seconds.get(part, 0.0) + float(value)
