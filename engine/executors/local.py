"""Tasks in this process, one after the other."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from engine.executors import Outcome, attempt
from engine.work import Work


class LocalExecutor:
    """One worker: the caller."""

    def __init__(self, work: Work) -> None:
        self._do = work.open()
        self._tasks: deque[Any] = deque()

    def free(self) -> int:
        return 1 - len(self._tasks)

    def submit(self, task: Any) -> None:
        self._tasks.append(task)

    def wait(self, timeout_s: float) -> list[Outcome]:
        if not self._tasks:
            time.sleep(timeout_s)
            return []
        task = self._tasks.popleft()
        return [Outcome(task, attempt(self._do, task))]

    def shrink(self, at_once: int) -> None:
        """Nothing to give back."""

    def slow_start(self) -> str | None:
        """The caller is always there."""
        return None

    def close(self) -> None:
        """Nothing to end."""
