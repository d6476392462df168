"""The cube stage on Dask beside the same tile function on Ray: ``python -m tests.bench.cube_dask_vs_ray``.

One made country, the same tasks, the same driver loop, as many workers; each run writes a cube of its own. Timed from
one tile to the next once every worker has its kernels compiled; the start of either cluster is printed beside, because
a job pays it once. Limit: Dask / Ray at most 1.05, median over paired runs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.ledger import Ledger
from engine.objects import Objects
from engine.pipeline import CubeTask
from engine.plan import Plan
from engine.store import prepare
from engine.work import CubeWork, cube_ledger
from jobs.cluster import connected
from jobs.pinned import fresh_plan
from jobs.spec import Spec
from tests.bench.made_scenes import country, job
from tests.bench.measure import closing, context, cpu_seconds, paired
from tests.bench.stage import run_stage, warm_seconds

_WARM_TILES = 4
"""Per worker."""


@dataclass(frozen=True)
class Timed:
    """One run: seconds from tile to tile once warm, seconds from nothing to the first tile, and processor seconds of
    this process and its workers over the whole run, which say the most where others use the cores too."""

    step_s: float
    start_s: float
    cpu_s: float


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=49, help="a square number")
    parser.add_argument("--px", type=int, default=132, help="side of a tile; a multiple of 6")
    parser.add_argument("--cadence", type=int, default=2, help="keep every n-th overpass")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder:
        root, side = Path(folder), round(arguments.tiles**0.5)
        context(f"Cube stage, Dask over Ray: {side**2} tiles of {arguments.px} px, {arguments.workers} workers")
        spec = job(country(root, side * arguments.px, arguments.cadence), root, arguments.px, side=side * arguments.px)
        plan = fresh_plan(spec)
        print(f"  {len(plan.tiles)} tiles, {len(plan.links) / len(plan.tiles):.0f} items a tile")
        compare(root, spec, plan, arguments)
    closing()


def compare(root: Path, spec: Spec, plan: Plan, arguments: argparse.Namespace) -> None:
    """Pairs of runs, and what they say."""
    runs: dict[str, list[Timed]] = {"dask": [], "ray": []}

    def timed(kind: Literal["dask", "ray"], number: int) -> float:
        cube = root / f"{kind}-{number}.zarr"
        result = build(kind, spec, plan, cube, arguments.workers)
        shutil.rmtree(cube)
        runs[kind].append(result)
        return result.step_s

    with connected(spec):
        pairs = paired(arguments.runs, lambda n: timed("dask", n), lambda n: timed("ray", n))
    pairs.show("Dask, from one tile to the next", "Ray, from one tile to the next", 1.05)
    for kind, results in runs.items():
        start, cpu = (statistics.median(getattr(r, part) for r in results) for part in ("start_s", "cpu_s"))
        print(f"  {kind}: from nothing to the first tile {start:.1f} s, processor time of a whole run {cpu:.1f} s")
    print("  (Ray's own start apart; most of the first tile is the compiling of kernels)")


def build(kind: Literal["dask", "ray"], spec: Spec, plan: Plan, cube: Path, workers: int) -> Timed:
    """Build the whole cube at ``cube`` on fresh workers of this kind."""
    from engine.executors.dask import DaskExecutor
    from engine.executors.ray import RayExecutor

    layout = prepare(Objects(str(cube)), plan.grid, plan.axes)
    work = CubeWork(layout, spec.cube.model_copy(update={"uri": str(cube)}), plan.area.wkb, spec.mask)
    memory = plan.cube_memory_bytes(spec.cube.threads)
    tasks = [
        CubeTask(tile, plan.cube_key(index), 1, 1, plan.items_of(index), {}, memory)
        for index, tile in enumerate(plan.tiles)
    ]
    began, before = time.monotonic(), cpu_seconds()
    executor = DaskExecutor(work, None, workers) if kind == "dask" else RayExecutor(work, workers, 1, 0)
    try:
        moments = run_stage(tasks, executor, Ledger(cube_ledger(str(cube))).load(), 2 * workers)
        used = cpu_seconds() - before
    finally:
        executor.close()
    return Timed(warm_seconds(moments, _WARM_TILES * workers), moments[0] - began, used)


if __name__ == "__main__":
    main()
