"""Tasks on pinned Ray actors: the map stage.

The pool is ours: each actor opens its work once (so a model is loaded once), two tasks are under way in each, and a
lost actor is replaced by a new one. Actors ask for what they need and no more, so a cluster that scales by itself
brings nodes up for them and takes nodes down when they end.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError

from engine.executors import Outcome, attempt
from engine.ledger.advance import Failure
from engine.ledger.record import Record
from engine.work import Work

_PER_ACTOR = 2
_QUIET_S = 60.0


class _Worker:
    """Lives in an actor."""

    def __init__(self, work: Work, threads: int) -> None:
        import os

        os.environ["NUMBA_NUM_THREADS"] = "1"
        import torch

        torch.set_num_threads(threads)
        self._do = work.open()

    def where(self) -> str:
        """The node the actor runs on: an answer means that it is ready."""
        return str(ray.get_runtime_context().get_node_id())

    def do(self, task: Any) -> Record | Failure:
        return attempt(self._do, task)


@dataclass
class _Actor:
    handle: Any
    ready: Any
    node: str | None = None
    tasks: dict[Any, Any] = field(default_factory=dict)


class RayExecutor:
    """Up to ``workers`` actors on the Ray this process is connected to, each with its CPUs and GPUs."""

    def __init__(self, work: Work, workers: int, cpus: float, gpus: float) -> None:
        self._options = {"num_cpus": cpus, "num_gpus": gpus, "max_concurrency": _PER_ACTOR, "max_restarts": 0}
        self._work, self._threads = ray.put(work), max(1, int(cpus))
        self._remote: Any = ray.remote(_Worker)
        self._actors = [self._start() for _ in range(workers)]
        self._shrinking = False
        self.waiting_since: float | None = time.monotonic()

    def free(self) -> int:
        self._greet()
        return sum(_PER_ACTOR - len(actor.tasks) for actor in self._actors if actor.node)

    def submit(self, task: Any) -> None:
        actor = min((a for a in self._actors if a.node), key=lambda a: len(a.tasks))
        actor.tasks[actor.handle.do.remote(task)] = task

    def wait(self, timeout_s: float) -> list[Outcome]:
        owner = {ref: actor for actor in self._actors for ref in actor.tasks}
        pending = [actor.ready for actor in self._actors if not actor.node]
        if not owner and not pending:
            return []
        done, _ = ray.wait([*owner, *pending], timeout=timeout_s)
        outcomes = []
        for ref in done:
            if ref in owner and ref in owner[ref].tasks:
                outcomes += self._collect(owner[ref], ref)
        self._greet()
        return outcomes

    def shrink(self) -> None:
        self._shrinking = True
        for actor in [a for a in self._actors if not a.tasks]:
            self._actors.remove(actor)
            ray.kill(actor.handle)

    def close(self) -> None:
        for actor in self._actors:
            ray.kill(actor.handle)
        self._actors = []

    def slow_start(self) -> str | None:
        """Why nothing runs, once no actor has been ready for a minute."""
        if self.waiting_since is None or time.monotonic() - self.waiting_since < _QUIET_S:
            return None
        return f"no worker is ready: each asks for {self._options}, the cluster has {ray.cluster_resources()}"

    def _start(self) -> _Actor:
        handle = self._remote.options(**self._options).remote(self._work, self._threads)
        return _Actor(handle, handle.where.remote())

    def _greet(self) -> None:
        """Take note of actors that have become ready, replace those that died before they were."""
        waiting = {actor.ready: actor for actor in self._actors if not actor.node}
        if waiting:
            ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=0)
            for ref in ready:
                try:
                    waiting[ref].node = ray.get(ref, timeout=5)
                except (RayActorError, GetTimeoutError):
                    self._replace(waiting[ref])
        if any(actor.node for actor in self._actors):
            self.waiting_since = None

    def _collect(self, actor: _Actor, ref: Any) -> list[Outcome]:
        """One outcome; or, when the actor has died, one failure for each task it had."""
        try:
            result = ray.get(ref)
        except RayActorError as error:
            failure = self._death(actor, error)
            lost = list(actor.tasks.values())
            self._replace(actor)
            return [Outcome(task, failure) for task in lost]
        except RayError as error:
            result = Failure("infrastructure", f"{type(error).__name__}: {error}")
        return [Outcome(actor.tasks.pop(ref), result)]

    def _death(self, actor: _Actor, error: RayActorError) -> Failure:
        alive = any(node["NodeID"] == actor.node and node["Alive"] for node in ray.nodes())
        first = str(error).strip().splitlines()[0]
        if alive and "node" not in str(error).lower().split("actor died", 1)[-1][:120]:
            return Failure("death", f"its worker died: {first}")
        return Failure("node_lost", f"its node went: {first}")

    def _replace(self, actor: _Actor) -> None:
        self._actors.remove(actor)
        if not self._shrinking or actor.tasks:
            self._actors.append(self._start())
