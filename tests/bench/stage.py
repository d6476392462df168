"""One stage driven as a job drives it, with the moment each tile came back: what is timed once the workers are warm."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from engine.executors import Executor, Outcome
from engine.ledger import Ledger
from engine.run import Limits, Progress, stream

_BYTES_IN_FLIGHT = 8_000_000_000
_PATIENCE_S = 120.0


class Clocked:
    """An executor that notes when each outcome came in."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.moments: list[float] = []

    def wait(self, timeout_s: float) -> list[Outcome]:
        outcomes = self._executor.wait(timeout_s)
        self.moments += [time.monotonic()] * len(outcomes)
        return outcomes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)


def run_stage(tasks: Sequence[Any], executor: Executor, ledger: Ledger, room: int) -> list[float]:
    """Drive the tasks to their records; the moments they came back.

    ``room``: how many tasks the executor takes once all its workers are there, which is waited for. RuntimeError where
    a tile is not written.
    """
    until = time.monotonic() + _PATIENCE_S
    while executor.free() < room and time.monotonic() < until:
        executor.wait(0.2)
    clocked, progress = Clocked(executor), Progress("stage", len(tasks))
    stream(
        iter(tasks), clocked, ledger, Limits(_BYTES_IN_FLIGHT),
        progress=progress, stop=lambda: None, tick=lambda _: None,
    )  # fmt: skip
    if progress.written != len(tasks):
        raise RuntimeError(f"{progress.written} of {len(tasks)} tiles written; {progress.trouble}")
    return clocked.moments


def warm_seconds(moments: Sequence[float], warm: int) -> float:
    """Mean seconds from one tile to the next, the first ``warm`` of them apart: kernels are compiled with those."""
    ordered = sorted(moments)
    return (ordered[-1] - ordered[warm - 1]) / (len(ordered) - warm)
