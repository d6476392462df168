"""What the platform costs beside the work itself: ``python -m tests.bench.overhead``.

Two questions, each against the plain loop of ``plain_loop.py`` on as many processes, in the same run:

1. A whole job (``tilth resume`` of a run whose cube and model are there, new process to exit: Ray's start, lease, plan,
   ledger, map, collection, mosaics, report) over the plain loop (new process to exit). Limit 1.10 at 100 tiles of
   256 x 256 pixels, 36 steps, 13 features, a TempCNN.
2. ``--trivial``: tiles of 32 pixels, one feature, one tree with one question. The time from one tile to the next on
   warm Ray actors, less that of a warm plain loop (limit 20 ms, the commit of the tile's record into the bucket
   included), and the same times the workers, which is what each worker loses per tile. ``--s3`` puts cube and map on a
   real S3 server on loopback.

The cube is made of invented numbers and written through the engine's own store.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.ledger import Ledger
from engine.objects import Objects
from engine.pipeline import MapTask
from engine.work import LEDGER, MapWork
from jobs.cluster import connected
from tests.bench.made_run import MadeRun, make_run, set_micro_batch
from tests.bench.measure import closing, context, fresh, judge, paired
from tests.bench.plain_loop import map_tasks, map_work, pool
from tests.bench.stage import run_stage, warm_seconds

_TRIVIAL_BATCH = 1024
_WARM_TILES = 16
"""Per worker: enough that all kernels are compiled."""


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trivial", action="store_true", help="the second question instead of the first")
    parser.add_argument("--tiles", type=int, help="a square number; default 100, with --trivial 400")
    parser.add_argument("--px", type=int, help="side of a tile; default 256, with --trivial 32")
    parser.add_argument("--runs", type=int, default=3, help="paired runs")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--s3", action="store_true", help="with --trivial: on moto's S3 server on loopback")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder:
        if arguments.trivial:
            trivial(Path(folder), arguments)
        else:
            whole_job(Path(folder), arguments)
    closing()


def whole_job(folder: Path, arguments: argparse.Namespace) -> None:
    """Question 1."""
    run = make_run(str(folder), arguments.tiles or 100, arguments.px or 256, "tempcnn", folder, arguments.workers)
    context(f"Job over plain loop: {_size(run)}, TempCNN, {arguments.workers} workers, local disk")

    cpu: dict[str, list[float]] = {"job": [], "plain loop": []}

    def job(number: int) -> float:
        uri = str(folder / f"job-{number}")
        run.at(uri)
        used = fresh("jobs", "resume", uri, log=folder / "job.log")
        shutil.rmtree(uri)
        cpu["job"].append(used.cpu_s)
        return used.seconds

    def plain(number: int) -> float:
        uri = str(folder / f"plain-{number}")
        command = (run.spec.output.uri, "--output", uri, "--processes", arguments.workers)
        used = fresh("tests.bench.plain_loop", *command, log=folder / "plain.log")
        shutil.rmtree(uri)
        cpu["plain loop"].append(used.cpu_s)
        return used.seconds

    pairs = paired(arguments.runs, job, plain)
    pairs.show("job (tilth resume), process start to exit", "plain loop, process start to exit", 1.10)
    beyond = statistics.median(a - b for a, b in zip(pairs.ours, pairs.peer, strict=True))
    print(f"  the job takes {beyond:.2f} s more, {beyond / len(run.plan.tiles) * 1000:.1f} ms a tile")
    told = ", ".join(f"{name} {statistics.median(seconds):.1f} s" for name, seconds in cpu.items())
    print(f"  processor time of all processes: {told}")


def trivial(folder: Path, arguments: argparse.Namespace) -> None:
    """Question 2."""
    workers = arguments.workers
    with _place(folder, arguments.s3) as root:
        run = make_run(root, arguments.tiles or 400, arguments.px or 32, "trivial", folder, workers)
        where = "moto S3 on loopback" if arguments.s3 else "local disk"
        context(f"Overhead per tile: {_size(run)}, one tree with one question, {workers} workers, {where}")
        with connected(run.spec):
            pairs = paired(
                arguments.runs,
                lambda number: _warm_job(run, f"{root}/job-{number}", workers),
                lambda number: _warm_plain(run, f"{root}/plain-{number}", workers),
            )
    for name, seconds in (("executor, with commit", pairs.ours), ("plain loop, no commit", pairs.peer)):
        print(f"  {name:<24}{statistics.median(seconds) * 1000:8.2f} ms from one tile to the next")
    extra = statistics.median(a - b for a, b in zip(pairs.ours, pairs.peer, strict=True)) * 1000
    judge("overhead per tile, wall time", extra, 20.0, "ms ")
    judge("overhead per tile, worker time", extra * workers, 20.0, "ms ")


def _warm_job(run: MadeRun, output: str, workers: int) -> float:
    """Seconds from tile to tile on a Ray executor whose actors have each done some tiles before."""
    from engine.executors.ray import RayExecutor

    tasks, work = _prepared(run, output)
    executor = RayExecutor(work, workers, 1, 0)
    try:
        ledger = Ledger(Objects(output).child(LEDGER)).load()
        return warm_seconds(run_stage(tasks, executor, ledger, 2 * workers), _WARM_TILES * workers)
    finally:
        executor.close()


def _warm_plain(run: MadeRun, output: str, workers: int) -> float:
    tasks, work = _prepared(run, output)
    with pool(work, workers) as do:
        return warm_seconds(do(tasks), _WARM_TILES * workers)


def _prepared(run: MadeRun, output: str) -> tuple[list[MapTask], MapWork]:
    spec = run.spec.model_copy(update={"output": run.spec.output.model_copy(update={"uri": output})})
    set_micro_batch(spec, _TRIVIAL_BATCH)
    work = map_work(spec, run.plan)
    return map_tasks(spec, run.plan, work), work


@contextmanager
def _place(folder: Path, s3: bool) -> Iterator[str]:
    """Root uri of the run: a folder, or a bucket of an S3 server that lives as long as the block."""
    if not s3:
        yield str(folder)
        return
    from tests.servers.moto import moto

    with moto(folder / "moto.log") as server:
        os.environ.update(server.env())
        server.make_bucket("bench")
        yield "s3://bench/run"


def _size(run: MadeRun) -> str:
    px, features = run.plan.grid.tile_px, len(run.card.recipe.features)
    return f"{len(run.plan.tiles)} tiles of {px} x {px} px x {run.card.recipe.steps} steps x {features} features"


if __name__ == "__main__":
    main()
