"""The workers of a stage: Dask's for the cube, Ray's for the map, or none but this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from engine.executors import Executor
from engine.work import Work
from jobs.cluster import connected
from jobs.spec import Spec


@contextmanager
def executor_for(stage: str, work: Work, spec: Spec, tiles: int) -> Iterator[Executor]:
    """Workers for a stage, ended with it."""
    compute = spec.compute
    # Two tiles are under way in each: more workers than that would only be paid for.
    workers = max(1, compute.workers.min, min(spec.most_workers(), -(-tiles // 2)))
    with ExitStack() as ended_with_it:
        executor: Executor
        if compute.in_process:
            from engine.executors.local import LocalExecutor

            executor = LocalExecutor(work)
        elif stage == "cube":
            from engine.executors.dask import DaskExecutor

            executor = DaskExecutor(work, compute.dask_address, workers)
        else:
            ended_with_it.enter_context(connected(spec))
            from engine.executors.ray import RayExecutor

            executor = RayExecutor(work, workers, compute.cpus_per_worker, compute.gpus_per_worker)
        ended_with_it.callback(executor.close)
        yield executor
