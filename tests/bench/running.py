"""How fast networks over series map inside a running job: ``python -m tests.bench.running``.

A made run (``made_run``: 36 steps, 13 features) is mapped by the map stage on warm Ray actors, one a core: cube read
and decoded, gaps filled, indices derived, pixels cut and scaled, classified, calibrated, COGs made, checked and
published, records committed. Beside it, in turns, as many processes each run the same network in a bare torch loop over
input that lies ready in batches of the same size. Printed: pixels a second of all workers, from one tile to the next,
and the job's share of the bare loop's. Goal: 0.90. Weights are random, which does not matter to speed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import get_args

import numpy as np

from engine.ledger import Ledger
from engine.models import load_model
from engine.models.card import normalise
from engine.objects import Objects
from engine.work import LEDGER
from jobs.cluster import connected
from tests.bench.made_run import Family, MadeRun, make_run
from tests.bench.measure import closing, context
from tests.bench.plain_loop import map_tasks, map_work
from tests.bench.stage import run_stage, warm_seconds

GOAL = 0.9
TILES = 36
TILE_PX = {"tempcnn": 320, "cnn1d": 320, "agrispec": 64, "clec": 32, "dcm": 20, "transformer": 12}
"""Sides of tiles that take a worker some seconds at most."""
WARM = 4
"""Tiles per worker before the clock runs."""
SECONDS = 8.0


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="turns of each, of which the best counts")
    parser.add_argument("--families", nargs="*", choices=list(TILE_PX), default=list(TILE_PX), help="only these")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    context(f"Networks inside a running job, {arguments.workers} workers of one thread")
    print(f"  {'family':<14}{'tile px':>8}{'job px/s':>12}{'bare px/s':>12}{'share':>8}")
    for family in arguments.families:
        with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder:
            measure(family, Path(folder), arguments.runs, arguments.workers)
    closing()


def measure(family: Family, folder: Path, runs: int, workers: int) -> None:
    """One family's line."""
    assert family in get_args(Family)
    side = TILE_PX[family]
    run = make_run(str(folder), TILES, side, family, folder, workers)
    batch = map_work(run.spec, run.plan).micro_batch
    job = bare = 0.0
    with connected(run.spec):
        for number in range(runs):
            job = max(job, side**2 / _from_tile_to_tile(run, f"{folder}/job-{number}", workers))
            bare = max(bare, _bare(run.spec.model.uri, batch, workers))
    verdict = "holds" if job >= GOAL * bare else "MISSED"
    print(f"  {family:<14}{side:>8}{job:>12,.0f}{bare:>12,.0f}{job / bare:>8.2f}  (goal {GOAL}: {verdict})", flush=True)


def _from_tile_to_tile(run: MadeRun, output: str, workers: int) -> float:
    """Seconds from one tile of the map stage to the next, on actors that have each done some before."""
    from engine.executors.ray import RayExecutor

    spec = run.spec.model_copy(update={"output": run.spec.output.model_copy(update={"uri": output})})
    work = map_work(spec, run.plan)
    executor = RayExecutor(work, workers, 1, 0)
    try:
        ledger = Ledger(Objects(output).child(LEDGER)).load()
        stage = run_stage(map_tasks(spec, run.plan, work), executor, ledger, 2 * workers)
        return warm_seconds(stage, WARM * workers)
    finally:
        executor.close()


def _bare(model: str, batch: int, workers: int) -> float:
    """Pixels a second of all processes, each with the network alone on a batch that lies ready."""
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return sum(pool.map(_loop, [model] * workers, [batch] * workers))


def _loop(model: str, batch: int) -> float:
    import torch

    torch.set_num_threads(1)
    classifier = load_model(model)
    card = classifier.card
    values = np.random.default_rng(1).random((batch, *card.input_shape), dtype=np.float32)
    ready = torch.from_numpy(normalise(values, card))
    network = classifier._network  # what nobody but a benchmark should do
    done, began = 0, 0.0
    with torch.inference_mode():
        network(ready)
        began = time.perf_counter()
        while time.perf_counter() - began < SECONDS:
            network(ready)
            done += batch
    return done / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
