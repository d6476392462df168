"""Tasks on pinned Ray actors: the map stage.

The pool is ours: each actor opens its work once (so a model is loaded once), two tasks are under way in each, and a
lost actor is replaced by a new one. Actors ask for what they need and no more, so a cluster that scales by itself
brings nodes up for them and takes nodes down when they end. What comes back is put into one queue by Ray's own thread:
waiting costs the same for two actors and for a thousand.
"""

from __future__ import annotations

import pickle
import time
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError, WorkerCrashedError

from engine.errors import InfrastructureError, TilthError
from engine.executors import Outcome, attempt
from engine.ledger.advance import Failure
from engine.ledger.record import Record
from engine.work import Work

_PER_ACTOR = 2
_INLINE_BYTES = 50_000
_QUIET_S = 60.0
_LOOK_AFTER_S = 5.0
_MAX_STILLBORN = 5
_REOPEN_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


class _Worker:
    """Lives in an actor."""

    def __init__(self, work: Work, threads: int) -> None:
        import os

        os.environ["NUMBA_NUM_THREADS"] = "1"
        import torch

        torch.set_num_threads(threads)
        self._work = work

    def open(self, delay_s: float) -> str:
        """Open the work, after a while where it failed before; returns the node the actor runs on."""
        time.sleep(delay_s)
        self._do = self._work.open()
        return str(ray.get_runtime_context().get_node_id())

    def do(self, task: Any) -> Record | Failure:
        return attempt(self._do, task)


@dataclass(eq=False)
class _Actor:
    handle: Any
    node: str | None = None
    """Set once its work is open."""
    tasks: int = 0
    reopened: int = 0


class RayExecutor:
    """Up to ``workers`` actors on the Ray this process is connected to, each with its CPUs and GPUs."""

    def __init__(self, work: Work, workers: int, cpus: float, gpus: float) -> None:
        self._options = {"num_cpus": cpus, "num_gpus": gpus, "max_concurrency": _PER_ACTOR, "max_restarts": 0}
        # Small work travels with each actor: an object in Ray's store is lost with this node's raylet, and Ray ends the
        # very process that misses it.
        self._work: Any = work if len(pickle.dumps(work)) < _INLINE_BYTES else ray.put(work)
        self._threads = max(1, int(cpus))
        self._remote: Any = ray.remote(_Worker)
        self._home = str(ray.get_runtime_context().get_node_id())
        self._events: SimpleQueue[tuple[_Actor, Any, Any]] = SimpleQueue()
        self._stillborn = 0
        self._looked = self._quiet_since = time.monotonic()
        self._wanted = workers
        self._actors = [self._start() for _ in range(workers)]

    def free(self) -> int:
        return sum(_PER_ACTOR - actor.tasks for actor in self._actors if actor.node)

    def submit(self, task: Any) -> None:
        actor = min((a for a in self._actors if a.node), key=lambda a: a.tasks)
        actor.tasks += 1
        self._heed(actor, task, actor.handle.do.remote(task))

    def wait(self, timeout_s: float) -> list[Outcome]:
        outcomes = []
        with suppress(Empty):
            event = self._events.get(timeout=timeout_s)
            while True:
                outcomes += self._take(*event)
                event = self._events.get_nowait()
        if not outcomes and time.monotonic() - self._looked > _LOOK_AFTER_S:
            self._refuse_without_home()
        return outcomes

    def shrink(self, at_once: int) -> None:
        self._wanted = min(self._wanted, at_once)
        idle = sorted((a for a in self._actors if not a.tasks), key=lambda a: a.node is not None)
        for actor in idle[: max(0, len(self._actors) - self._wanted)]:
            self._drop(actor)

    def close(self) -> None:
        for actor in list(self._actors):
            self._drop(actor)

    def slow_start(self) -> str | None:
        if any(actor.node for actor in self._actors) or not self._actors:
            self._quiet_since = time.monotonic()
            return None
        if time.monotonic() - self._quiet_since < _QUIET_S:
            return None
        asked = {"CPU": self._options["num_cpus"], "GPU": self._options["num_gpus"]}
        there = {name: amount for name, amount in ray.cluster_resources().items() if name in asked}
        return f"no worker is ready yet: {len(self._actors)} ask for {asked} each, the cluster has {there}"

    def _start(self) -> _Actor:
        actor = _Actor(self._remote.options(**self._options).remote(self._work, self._threads))
        self._heed(actor, None, actor.handle.open.remote(0.0))
        return actor

    def _heed(self, actor: _Actor, task: Any, ref: Any) -> None:
        """Have what becomes of ``ref`` put into the queue; ``task`` None: the actor's opening."""
        ref.future().add_done_callback(lambda done: self._events.put((actor, task, done)))

    def _take(self, actor: _Actor, task: Any, done: Any) -> list[Outcome]:
        """What an event means: an outcome of a task, or an actor that opened."""
        error = done.exception()
        if task is None:
            if actor in self._actors:
                self._opened(actor, done, error)
            return []
        actor.tasks -= 1
        if error is None:
            return [Outcome(task, done.result())]
        failure = self._failure(actor, error)
        if failure.kind in ("death", "node_lost"):
            self._replace(actor)
        return [Outcome(task, failure)]

    def _opened(self, actor: _Actor, done: Any, error: Any) -> None:
        """Take note of an actor that is ready; try again what may pass, end the run for what will not."""
        if error is None:
            actor.node, self._stillborn = done.result(), 0
            return
        if isinstance(error, RayTaskError):
            cause = error.cause
            if not isinstance(cause, InfrastructureError | OSError):
                raise cause if isinstance(cause, TilthError) else _no_worker(f"{type(cause).__name__}: {cause}")
            delay_s = _REOPEN_S[min(actor.reopened, len(_REOPEN_S) - 1)]
            actor.reopened += 1
            self._heed(actor, None, actor.handle.open.remote(delay_s))
            return
        failure = self._failure(actor, error)
        self._stillborn += failure.kind == "death"
        if self._stillborn >= _MAX_STILLBORN:
            raise _no_worker(failure.reason)
        self._replace(actor)

    def _failure(self, actor: _Actor, error: Any) -> Failure:
        """Tell a worker that died on a living node from a node that went, and both from an error in the task."""
        told = _first_line(error)
        if isinstance(error, RayTaskError):
            return Failure("unknown", told, f"{type(error.cause).__name__}")
        if isinstance(error, OutOfMemoryError | WorkerCrashedError):
            return Failure("death", f"its worker died: {told}")
        if not isinstance(error, RayActorError):
            return Failure("infrastructure", f"{type(error).__name__}: {told}")
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        self._refuse_without_home(alive)
        # Only the node's own raylet can say that the process alone has died; whatever else is told, the node went.
        if "worker process has died" in str(error) and (actor.node is None or actor.node in alive):
            return Failure("death", f"its worker died: {told}")
        return Failure("node_lost", f"its node went: {told}")

    def _refuse_without_home(self, alive: set[str] | None = None) -> None:
        """InfrastructureError once the node this process belongs to is dead: no actor can be started any more."""
        self._looked = time.monotonic()
        if self._home in (alive if alive is not None else {n["NodeID"] for n in ray.nodes() if n["Alive"]}):
            return
        self._actors.clear()
        raise InfrastructureError(
            "the Ray node that the driver runs on has died",
            place=f"node {self._home}",
            remedy="resume the run; nothing written is lost",
        )

    def _replace(self, actor: _Actor) -> None:
        if actor in self._actors:
            self._drop(actor)
            if len(self._actors) < self._wanted:
                self._actors.append(self._start())

    def _drop(self, actor: _Actor) -> None:
        """End an actor: one that is only out of reach would go on holding its node."""
        self._actors.remove(actor)
        with suppress(RayError):
            ray.kill(actor.handle)


def _first_line(error: Any) -> str:
    """What Ray tells of a death, without its table of ids and its advice."""
    lines = [line for line in str(error).strip().splitlines() if not line.startswith("\t")]
    return lines[-1].split(" Some common causes")[0] if lines else type(error).__name__


def _no_worker(reason: str) -> TilthError:
    return TilthError(f"no worker can be started: {reason}", place="map stage", remedy="mend the cause and resume")
