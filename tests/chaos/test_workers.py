"""Workers that die of their tile, that cannot be started, or that nobody gives."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
import ray

import engine.executors.ray
from engine.errors import Cancelled, InfrastructureError, InputError, TilthError
from engine.executors import Executor
from engine.executors.dask import DaskExecutor
from engine.executors.ray import RayExecutor
from engine.ledger import Ledger, Record
from engine.objects import Objects
from engine.run import Limits, Progress, stream
from engine.work import Work
from tests.chaos.deadly import BrokenWork, DeadlyWork, chores
from tests.servers.process import command_of, wait_until

WORKERS = 2


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """A Ray of two CPUs on this machine."""
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def on_dask(work: Work) -> Executor:
    return DaskExecutor(work, None, WORKERS)


def on_ray(work: Work) -> Executor:
    return RayExecutor(work, WORKERS, 1, 0)


def streamed(
    executor: Executor, folder: Path, count: int, stop: Callable[[Progress], TilthError | None] = lambda _: None
) -> Progress:
    """Run so many tiles; where they stand."""
    progress = Progress("map", count)
    with closing(executor):
        stream(
            chores(count),
            executor,
            Ledger(Objects(str(folder))).load(),
            Limits(1_000_000),
            progress=progress,
            stop=lambda: stop(progress),
            tick=lambda _: None,
        )
    return progress


@contextmanager
def killing_newborn_workers(count: int) -> Iterator[None]:
    """SIGKILL, as soon as they are seen, for the first ``count`` of the worker processes that Dask starts here."""
    done, killed = threading.Event(), list[psutil.Process]()

    def watch() -> None:
        while not done.wait(0.02) and len(killed) < count:
            for child in psutil.Process().children(recursive=True):
                if child not in killed and len(killed) < count and "spawn_main" in command_of(child):
                    child.kill()
                    killed.append(child)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert killed


@pytest.mark.parametrize("pool", [on_dask, on_ray])
@pytest.mark.usefixtures("local_ray")
def test_a_tile_that_kills_its_worker_is_quarantined_after_three_deaths_and_all_others_are_written(
    pool: Callable[[Work], Executor], tmp_path: Path
) -> None:
    deadly = chores(12)[5].tile.id
    progress = streamed(pool(DeadlyWork(str(tmp_path), deadly)), tmp_path, 12)
    records = Ledger(Objects(str(tmp_path))).load().latest
    assert {t: r.state for t, r in records.items() if t != deadly} == {
        chore.tile.id: "written" for chore in chores(12) if chore.tile.id != deadly
    }
    assert records[deadly].state == "quarantined"
    assert "worker died 3 times" in records[deadly].body["reason"]
    begun = Counter(path.name.split(".")[0] for path in (tmp_path / "begun").iterdir())
    assert begun[deadly] == 3
    assert (progress.written, progress.quarantined) == (11, 1)


def test_a_dask_worker_killed_at_its_birth_is_started_anew_and_those_that_never_live_are_told(tmp_path: Path) -> None:
    with killing_newborn_workers(1):
        assert streamed(on_dask(DeadlyWork(str(tmp_path), "none")), tmp_path, 2).written == 2
    with killing_newborn_workers(1000), pytest.raises(InfrastructureError, match="died 3 times while they started"):
        on_dask(DeadlyWork(str(tmp_path), "none"))


@pytest.mark.usefixtures("local_ray")
def test_work_that_no_actor_can_open_ends_the_run_at_once_with_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model"):
        streamed(on_ray(BrokenWork(str(tmp_path / "tries"), fails=100, passing=False)), tmp_path, 2)


@pytest.mark.usefixtures("local_ray")
def test_a_store_that_fails_while_an_actor_opens_its_work_is_tried_again(tmp_path: Path) -> None:
    progress = streamed(on_ray(BrokenWork(str(tmp_path / "tries"), fails=2, passing=True)), tmp_path, 2)
    assert progress.written == 2


@pytest.mark.usefixtures("local_ray")
def test_a_person_is_told_why_nothing_runs_when_the_cluster_has_no_such_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.executors.ray, "_QUIET_S", 0.5)
    told = []

    def stop(progress: Progress) -> TilthError | None:
        told.append(progress.trouble)
        return Cancelled("seen") if progress.trouble else None

    with pytest.raises(Cancelled):
        streamed(RayExecutor(DeadlyWork(str(tmp_path), ""), 1, 1, 4), tmp_path, 2, stop)
    assert "no worker is ready yet: 1 ask for {'CPU': 1, 'GPU': 4}" in told[-1]


@pytest.mark.usefixtures("local_ray")
def test_an_idle_actor_gives_its_cores_back_while_another_still_works(tmp_path: Path) -> None:
    with closing(RayExecutor(DeadlyWork(str(tmp_path), "", seconds=6), WORKERS, 1, 0)) as executor:
        wait_until(lambda: not executor.wait(0.1) and executor.free() == 2 * WORKERS, 60, "two actors")
        executor.submit(chores(1)[0])
        executor.shrink(1)
        wait_until(lambda: ray.available_resources().get("CPU") == 1, 5, "a core given back")
        assert not executor.wait(0), "the tile is still under way"
        (outcome,) = executor.wait(60)
    assert isinstance(outcome.result, Record)
