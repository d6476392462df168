"""Tasks on Dask's distributed scheduler: the cube stage.

One Dask task per tile, two under way per worker thread. Dask's own retries are off: a worker that dies is this
project's to count (``engine.ledger.advance``).
"""

from __future__ import annotations

import atexit
import logging
import os
import pickle
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import dask
from distributed import Client, LocalCluster, WorkerPlugin
from distributed.scheduler import KilledWorker

from engine.errors import InfrastructureError
from engine.executors import Outcome, attempt
from engine.ledger.advance import Failure
from engine.ledger.record import Record
from engine.work import Work

_PER_WORKER = 2
_COUNT_EVERY_S = 1.0
_QUIET_S = 60.0
_REACH_S = 2.0
_PATIENCE = "20s"
_FETCH_S = 10.0
"""A record is small; Dask would try for more than a minute to fetch it from a worker that has died."""
_STARTS = 3
_SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.worker.memory.terminate": False,  # memory is bounded by bytes in flight, not by killing
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    "distributed.comm.retry.count": 3,
    "distributed.scheduler.work-stealing": False,
    "distributed.admin.tick.limit": "60s",
    # Driver and scheduler keep so many past messages: at the default of 1000 that was 60 MB of tasks in each.
    "distributed.admin.low-level-log-length": 10,
    # Without Dask's sampling every 10 ms, and without its malloc setting that hands each large array back to the
    # system: the cube stage takes 1.03 of Ray's time, with them 1.38 (tests/bench/cube_dask_vs_ray.py).
    "distributed.worker.profile.enabled": False,
    "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1, "OPENBLAS_NUM_THREADS": 1},
}


class _OfThisRun(WorkerPlugin):
    """A worker that the driver has started heeds the driver alone, and ends without ceremony."""

    name = "of-this-run"

    def setup(self, worker: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the driver is to drain
        atexit.register(os._exit, 0)  # measured: the interpreter takes 4 s to clear away what Numba has compiled


class DaskExecutor:
    """Workers of a Dask cluster at ``address``, or of one started on this machine and closed at the end."""

    def __init__(self, work: Work, address: str | None, workers: int) -> None:
        self._work = pickle.dumps(work)
        self._settings = dask.config.set(_SETTINGS)
        self._cluster = None
        try:
            if address is None:
                self._cluster = _own_cluster(workers)
            self._client = Client(self._cluster or address, timeout=_PATIENCE, set_as_default=False)
            if self._cluster is not None:
                self._client.register_plugin(_OfThisRun())
        except (OSError, TimeoutError) as error:
            raise InfrastructureError(
                f"no Dask scheduler answers: {error}",
                place=f"compute.dask_address {address}",
                remedy="start it, or leave the key out for one on this machine",
            ) from error
        self._futures: dict[Any, Any] = {}
        self._done: SimpleQueue[Any] = SimpleQueue()
        self._workers = workers
        self._threads, self._counted = 0, float("-inf")
        self._quiet_since = time.monotonic()

    def free(self) -> int:
        """Room for two tasks a worker; for as many workers as were asked for, where there are fewer yet: a cluster
        that scales by itself goes by the tasks that wait."""
        self._count()
        return _PER_WORKER * max(self._threads, self._workers) - len(self._futures)

    def submit(self, task: Any) -> None:
        self._refuse_without_scheduler()
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

    def shrink(self, at_once: int) -> None:
        """An adaptive cluster does this by itself."""

    def slow_start(self) -> str | None:
        if self._threads:
            self._quiet_since = time.monotonic()
        if time.monotonic() - self._quiet_since < _QUIET_S:
            return None
        return "no worker is ready: the Dask scheduler has none"

    def _count(self) -> None:
        """Threads of all workers, asked for once a second; InfrastructureError once the scheduler has gone."""
        if time.monotonic() - self._counted < _COUNT_EVERY_S:
            return
        workers: dict[str, Any] = {}
        with suppress(OSError, RuntimeError):  # the client tries to reach a lost scheduler for a while, then closes
            workers = self._client.scheduler_info(n_workers=-1).get("workers", {})
        self._refuse_without_scheduler()
        self._threads, self._counted = sum(worker["nthreads"] for worker in workers.values()), time.monotonic()

    def _refuse_without_scheduler(self) -> None:
        if self._client.status == "closed":
            raise InfrastructureError(
                f"the Dask scheduler has not been heard for {_PATIENCE}",
                place="cube stage",
                remedy="start it again and resume; nothing written is lost",
            )

    def close(self) -> None:
        told = logging.getLogger("tornado.application")
        told.disabled = True  # what is still asked for while all closes fails, and means nothing
        try:
            self._client.close()
            if self._cluster is not None:
                self._cluster.close()
        finally:
            told.disabled = False
            self._settings.__exit__(None, None, None)


def _own_cluster(workers: int) -> LocalCluster:
    """Workers on this machine; started anew where one of them died while it started: its nanny lets go of it then."""
    for _ in range(_STARTS):
        try:
            return LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1",
                memory_limit=None, silence_logs=logging.CRITICAL,
            )  # fmt: skip
        except RuntimeError as error:
            last = error
    raise InfrastructureError(
        f"Dask's workers died {_STARTS} times while they started: {last}",
        place="cube stage",
        remedy="look for what ends processes on this machine (memory, limits), then resume",
    ) from last


def _result(future: Any) -> Record | Failure:
    if future.status == "finished":
        try:
            answer: Record | Failure = future.result(timeout=_FETCH_S)
        except (OSError, RuntimeError) as lost:  # it lies on a worker that only the scheduler can name
            return Failure("infrastructure", f"the task is done, but its result is out of reach: {lost}")
        return answer
    error = future.exception()
    if error is None:
        return Failure("infrastructure", f"the Dask scheduler has let go of the task ({future.status})")
    if isinstance(error, KilledWorker):
        worker = error.last_worker
        # A worker's nanny outlives it, but not the node that both are on.
        if worker.nanny is None or _is_up(worker.nanny):
            return Failure("death", f"its worker died: {worker.address}")
        return Failure("node_lost", f"its node went, with worker and nanny: {worker.address}")
    told = f"{type(error).__name__}: {error}"
    return Failure("infrastructure", told) if isinstance(error, OSError) else Failure("unknown", told, told)


def _is_up(address: str) -> bool:
    """Whether somebody answers at ``tcp://host:port``."""
    place = urlsplit(address)
    try:
        with socket.create_connection((place.hostname, place.port), timeout=_REACH_S):
            return True
    except OSError:
        return False


def _run(work: bytes, task: Any) -> Record | Failure:
    return attempt(_opened(work), task)


@lru_cache(maxsize=2)
def _opened(work: bytes) -> Callable[[Any], Record]:
    """The work, opened once per worker process."""
    opened: Work = pickle.loads(work)
    return opened.open()
