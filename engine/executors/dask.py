"""Tasks on Dask's distributed scheduler: the cube stage.

One Dask task per tile, two under way per worker thread. Dask's own retries are off: a worker that dies is this
project's to count (``engine.ledger.advance``).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any

import dask
from distributed import Client, LocalCluster

from engine.errors import InfrastructureError
from engine.executors import Outcome, attempt
from engine.ledger.advance import Failure
from engine.ledger.record import Record
from engine.work import Work

_PER_WORKER = 2
_SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.worker.memory.terminate": False,  # memory is bounded by bytes in flight, not by killing
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    "distributed.comm.retry.count": 3,
    "distributed.scheduler.work-stealing": False,
    "distributed.admin.tick.limit": "60s",
}


class DaskExecutor:
    """Workers of a Dask cluster at ``address``, or of one started on this machine and closed at the end."""

    def __init__(self, work: Work, address: str | None, workers: int) -> None:
        self._work = pickle.dumps(work)
        self._settings = dask.config.set(_SETTINGS)
        self._cluster = None
        try:
            if address is None:
                self._cluster = LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", memory_limit=None
                )
            self._client = Client(self._cluster or address, timeout="60s", set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise InfrastructureError(
                f"no Dask scheduler answers: {error}",
                place=f"compute.dask_address {address}",
                remedy="start it, or leave the key out for one on this machine",
            ) from error
        self._futures: dict[Any, Any] = {}
        self._done: SimpleQueue[Any] = SimpleQueue()

    def free(self) -> int:
        threads = sum(worker["nthreads"] for worker in self._client.scheduler_info(n_workers=-1)["workers"].values())
        return _PER_WORKER * threads - len(self._futures)

    def submit(self, task: Any) -> None:
        future = self._client.submit(_run, self._work, task, pure=False, retries=0)
        self._futures[future] = task
        future.add_done_callback(self._done.put)

    def wait(self, timeout_s: float) -> list[Outcome]:
        done: list[Any] = []
        with suppress(Empty):
            done.append(self._done.get(timeout=timeout_s))
            while True:
                done.append(self._done.get_nowait())
        return [Outcome(self._futures.pop(future), _result(future)) for future in done]

    def shrink(self) -> None:
        """An adaptive cluster does this by itself."""

    def close(self) -> None:
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()
        self._settings.__exit__(None, None, None)


def _result(future: Any) -> Record | Failure:
    error = future.exception()
    if error is None:
        answer: Record | Failure = future.result()
        return answer
    if type(error).__name__ == "KilledWorker":
        return Failure("death", "its Dask worker died")
    told = f"{type(error).__name__}: {error}"
    passes = isinstance(error, OSError | CancelledError)
    return Failure("infrastructure", told) if passes else Failure("unknown", told, told)


def _run(work: bytes, task: Any) -> Record | Failure:
    return attempt(_opened(work), task)


@lru_cache(maxsize=2)
def _opened(work: bytes) -> Callable[[Any], Record]:
    """The work, opened once per worker process."""
    opened: Work = pickle.loads(work)
    return opened.open()
