"""A tile that takes down whoever works on it is set aside after three deaths; every other tile is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import ray

from engine.executors import Executor
from engine.executors.dask import DaskExecutor
from engine.executors.ray import RayExecutor
from engine.ledger import Ledger
from engine.objects import Objects
from engine.run import Limits, Progress, stream
from tests.chaos.deadly import DeadlyWork, chores
from tests.servers.process import LOOPBACK

WORKERS = 2


@contextmanager
def on_dask(work: DeadlyWork) -> Iterator[Executor]:
    """Two Dask workers on this machine."""
    executor = DaskExecutor(work, None, WORKERS)
    try:
        yield executor
    finally:
        executor.close()


@contextmanager
def on_ray(work: DeadlyWork) -> Iterator[Executor]:
    """Two actors on a Ray of this machine."""
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, _node_ip_address=LOOPBACK)
    try:
        executor = RayExecutor(work, WORKERS, 1, 0)
        yield executor
        executor.close()
    finally:
        ray.shutdown()


@pytest.mark.parametrize("pool", [on_dask, on_ray])
def test_a_tile_that_kills_its_worker_is_quarantined_after_three_deaths_and_all_others_are_written(
    pool: Callable[[DeadlyWork], AbstractContextManager[Executor]], tmp_path: Path
) -> None:
    tasks = chores(12)
    deadly = tasks[5].tile.id
    work = DeadlyWork(str(tmp_path), deadly)
    ledger, progress = Ledger(Objects(str(tmp_path))).load(), Progress("map", len(tasks))
    with pool(work) as executor:
        stream(tasks, executor, ledger, Limits(1_000_000), progress=progress, stop=lambda: None, tick=lambda _: None)
    states = {tile: record.state for tile, record in Ledger(Objects(str(tmp_path))).load().latest.items()}
    assert states == {task.tile.id: "quarantined" if task.tile.id == deadly else "written" for task in tasks}
    assert "worker died 3 times" in ledger.latest[deadly].body["reason"]
    assert begun(tmp_path)[deadly] == 3
    assert progress.written == len(tasks) - 1 and progress.quarantined == 1


def begun(folder: Path) -> Counter[str]:
    """How many worker processes began each tile."""
    return Counter(path.name.split(".")[0] for path in (folder / "begun").iterdir())
