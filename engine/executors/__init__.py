"""Three ways to run tiles, one protocol: a task goes in, an outcome comes out.

``local`` in this process (tests, replay), ``dask`` on Dask's distributed scheduler (the cube), ``ray`` on pinned Ray
actors (the map). An executor knows nothing of retries, keys or the ledger: that is ``engine.run``.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from engine.errors import InfrastructureError, MicroBatchTooLarge, TileError, TilthError
from engine.ledger.advance import Failure
from engine.ledger.record import Record


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt at a task ended."""

    task: Any
    result: Record | Failure


class Executor(Protocol):
    """A pool of workers."""

    def free(self) -> int:
        """How many more tasks may be submitted now."""
        ...

    def submit(self, task: Any) -> None:
        """Give a task to a worker."""
        ...

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Outcomes that came in, waiting at most so long for the first."""
        ...

    def shrink(self, at_once: int) -> None:
        """No more than so many tasks will be under way at once from now on: give back idle workers beyond them."""
        ...

    def slow_start(self) -> str | None:
        """Why nothing runs, once no worker has been ready for a minute; else None."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


def attempt(do: Callable[[Any], Record], task: Any) -> Record | Failure:
    """One attempt in the worker; what went wrong comes back as a value, told apart by who can mend it."""
    try:
        return do(task)
    except TileError as error:
        return Failure("tile", str(error), f"{error.value.split(':')[0]}; {error.remedy}")
    except InfrastructureError as error:
        return Failure("infrastructure", str(error))
    except MicroBatchTooLarge as error:
        return Failure("memory", str(error), "memory")
    except TilthError as error:
        return Failure("unknown", str(error), f"{type(error).__name__}: {error.value.split(':')[0]}")
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename}:{last.lineno}"
        return Failure("unknown", f"{type(error).__name__}: {error} ({place})", f"{type(error).__name__} {place}")
