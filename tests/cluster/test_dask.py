"""The cube stage on a Dask cluster that is there already."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from jobs.demo.country import Country
from tests.chaos.runs import TILES, Place, run_to_end, stamps, tilth, wait_for, write_job
from tests.servers.process import LOOPBACK, free_port, running, wait_until
from tests.servers.rays import kill_trees

SETTINGS = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0", "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "False"}
"""As deploy/kuberay/daskcluster.yaml sets them."""


@dataclass
class DaskCluster:
    """``dask scheduler`` and ``dask worker`` as an operator would start them."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)


@contextmanager
def dask_cluster(workers: int, folder: Path) -> Iterator[DaskCluster]:
    """A scheduler and workers of one thread, each under its nanny, until the block ends."""
    port = free_port()
    dask = [sys.executable, "-m", "dask"]
    start = [*dask, "scheduler", "--host", LOOPBACK, "--port", str(port), "--no-dashboard", "--no-jupyter"]
    with ExitStack() as all_of_it:
        scheduler = all_of_it.enter_context(running(start, folder / "scheduler.log", port, env=SETTINGS))
        made = DaskCluster(f"tcp://{LOOPBACK}:{port}", scheduler)
        for i in range(workers):
            nanny = free_port()
            join = [*dask, "worker", made.address, "--nthreads", "1", "--host", LOOPBACK, "--no-dashboard"]
            join += ["--nanny-port", str(nanny), "--local-directory", str(folder)]
            made.workers.append(all_of_it.enter_context(running(join, folder / f"worker-{i}.log", nanny)))
        yield made


def test_a_lost_dask_node_costs_time_and_no_tile(country: Country, undisturbed: Place, tmp_path: Path) -> None:
    place = write_job(tmp_path, country)
    with dask_cluster(2, tmp_path) as cluster:
        words = ("cube", str(place.job), "--set", f"compute.dask_address={cluster.address}")
        with tilth(tmp_path / "log", *words) as driver:
            assert wait_for(driver, lambda: place.count("cube") >= 3)
            kill_trees([cluster.workers[0].pid])
            assert driver.ended() == 0, driver.told()
            assert "its node went" in driver.told()
    assert place.published() == cube_of(undisturbed)


def test_a_driver_killed_leaves_the_cluster_to_the_next_one_and_no_tile_is_done_twice(
    country: Country, undisturbed: Place, tmp_path: Path
) -> None:
    place = write_job(tmp_path, country)
    with dask_cluster(2, tmp_path) as cluster:
        words = ("cube", str(place.job), "--set", f"compute.dask_address={cluster.address}")
        with tilth(tmp_path / "log", *words) as driver:
            assert wait_for(driver, lambda: place.count("cube") >= 5)
            driver.kill()
        committed = [path for record in place.records("cube").values() for path in place.files(record)]
        before = stamps(committed)
        run_to_end(tmp_path / "again", *words)
        assert stamps(committed) == before
    assert [record.seq for record in place.records("cube").values()] == [1] * TILES
    assert place.published() == cube_of(undisturbed)


def test_a_lost_scheduler_ends_the_run_with_the_advice_to_resume(country: Country, tmp_path: Path) -> None:
    place = write_job(tmp_path, country)
    with dask_cluster(1, tmp_path) as cluster:
        words = ("cube", str(place.job), "--set", f"compute.dask_address={cluster.address}")
        with tilth(tmp_path / "log", *words) as driver:
            assert wait_for(driver, lambda: place.count("cube") >= 3)
            psutil.Process(cluster.scheduler.pid).kill()
            wait_until(lambda: driver.process.poll() is not None, 120, "the end of the run")
            assert driver.process.returncode == 4, driver.told()
            assert "resume" in driver.told() and "Traceback" not in driver.told()


def cube_of(place: Place) -> dict[str, str]:
    """What of a run's published objects is the cube."""
    return {name: digest for name, digest in place.published().items() if name.startswith("cube.zarr/")}
