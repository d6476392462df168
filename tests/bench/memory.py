"""Peak memory of every process of a job, from few tiles to many: ``python -m tests.bench.memory``.

The whole way (cube, map) over a made country, once on its upper left 16 tiles and once on all 400: tiles equally large,
the same scenes, the same byte budget. Dask's scheduler and workers run as processes of their own
(``compute.dask_address``), so that each can be told apart; Ray is the driver's own. Peaks are the kernel's high-water
marks of resident memory (VmHWM), read until each process ends. Limit: 400 tiles over 16 tiles at most 1.10 for the
driver, for Dask's scheduler and for the largest worker of each stage.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import yaml

from jobs.demo import Country
from tests.bench.made_run import write_made_model
from tests.bench.made_scenes import country, job
from tests.bench.measure import ROOT, closing, context, high_water, judge
from tests.servers.process import LOOPBACK, free_port, running, tree
from tests.servers.rays import is_actor

_LOOK_S = 0.2
_DASK = {
    "DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "10",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
}
_ROLES = ("driver", "Dask scheduler", "Dask worker", "Ray worker", "Ray's own")
_JUDGED = _ROLES[:4]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, nargs=2, default=[16, 400], help="square numbers")
    parser.add_argument("--px", type=int, default=96, help="side of a tile")
    parser.add_argument("--cadence", type=int, default=2, help="keep every n-th overpass")
    parser.add_argument("--bytes-in-flight", type=int, default=1_000_000_000, help="the byte budget")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    sides = [round(tiles**0.5) * arguments.px for tiles in arguments.tiles]
    with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder:
        context(f"Memory at {arguments.tiles} tiles of {arguments.px} px, {arguments.workers} workers a stage")
        print(f"  byte budget: {arguments.bytes_in_flight / 1e9:g} GB in flight (compute.bytes_in_flight)")
        made = country(Path(folder), -(-max(sides) // 6) * 6, arguments.cadence)
        peaks = [run(Path(folder) / str(side), made, side, arguments) for side in sides]
    few, many = peaks
    print(f"  {'peak MB':<18}{arguments.tiles[0]:>8}{arguments.tiles[1]:>8}")
    for role in _ROLES:
        print(f"  {role:<18}{few[role] / 1e6:>8.0f}{many[role] / 1e6:>8.0f}")
    for role in _JUDGED:
        judge(f"{role}, many tiles over few", many[role] / few[role], 1.10)
    closing()


def run(root: Path, made: Country, side: int, arguments: argparse.Namespace) -> Mapping[str, int]:
    """One job over the square of ``side`` pixels; peak bytes by role, the largest process of each."""
    root.mkdir()
    with dask_cluster(root, arguments.workers) as (address, pids):
        compute = {
            "workers": {"max": arguments.workers},
            "bytes_in_flight": arguments.bytes_in_flight,
            "dask_address": address,
        }
        spec = job(made, root, arguments.px, side=side, changes={"compute": compute})
        write_made_model(spec, "tempcnn")
        path = root / "job.yaml"
        path.write_text(yaml.safe_dump(spec.model_dump(mode="json", exclude_none=True)))
        command = [sys.executable, "-m", "jobs", "submit", str(path)]
        with (root / "log").open("w") as log:
            driver = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
            peaks = watched(driver, pids)
        if driver.returncode != 0:
            raise RuntimeError(f"the job ended with {driver.returncode}: {(root / 'log').read_text()[-2000:]}")
    return peaks


def watched(driver: subprocess.Popen[bytes], pids: Mapping[int, str]) -> dict[str, int]:
    """Look at all processes until the driver ends."""
    peaks = dict.fromkeys(_ROLES, 0)
    root = psutil.Process(driver.pid)
    while driver.poll() is None:
        seen = {process.pid: _role(process, driver.pid) for process in tree(root)} | dict(pids)
        for pid, role in seen.items():
            peaks[role] = max(peaks[role], high_water(pid))
        time.sleep(_LOOK_S)
    return peaks


def _role(process: psutil.Process, driver: int) -> str:
    if process.pid == driver:
        return "driver"
    return "Ray worker" if is_actor(process) else "Ray's own"


@contextmanager
def dask_cluster(folder: Path, workers: int) -> Iterator[tuple[str, dict[int, str]]]:
    """A scheduler and workers of one thread each on loopback, set as deploy/kuberay/daskcluster.yaml sets them; its
    address, and each process' role."""
    port = free_port()
    address = f"tcp://{LOOPBACK}:{port}"
    scheduler = [*_cli("dask_scheduler"), "--host", LOOPBACK, "--port", str(port), "--no-dashboard"]
    with ExitStack() as stack:
        first = stack.enter_context(running(scheduler, folder / "scheduler.log", port, env=_DASK))
        pids = {first.pid: "Dask scheduler"}
        for number in range(workers):
            own = free_port()
            worker = [
                *_cli("dask_worker"), address, "--host", LOOPBACK, "--worker-port", str(own), "--nthreads", "1",
                "--no-nanny", "--no-dashboard", "--memory-limit", "0", "--local-directory", str(folder),
            ]  # fmt: skip
            process = stack.enter_context(running(worker, folder / f"worker-{number}.log", own, env=_DASK))
            pids[process.pid] = "Dask worker"
        yield address, pids


def _cli(name: str) -> list[str]:
    return [sys.executable, "-m", f"distributed.cli.{name}"]


if __name__ == "__main__":
    main()
