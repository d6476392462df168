"""How fast networks over series map inside a running job: ``python -m tests.bench.running``.

A made run (``made_run``: 36 steps, 13 features) is mapped by the map stage on warm Ray actors, one a core: cube read
and decoded, gaps filled, indices derived, pixels cut and scaled, classified, calibrated, COGs made, checked and
published, records committed. Beside it, in turns, as many processes each run a bare torch loop over input that lies
ready in batches of the same size: the network as it was trained, and the same laid out for prediction as the engine
does with two families (batch norms folded, channels last). Printed: pixels a second of all workers, from one tile to
the next, and the job's share of either loop's. Goal: 0.90 of the first, which is the loop that one would write without
the engine. Weights are random, which does not matter to speed.
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
from engine.memory import keep_freed
from engine.models import read_card
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
TILE_PX = {"tempcnn": 320, "cnn1d": 320, "agrispec": 64, "clec": 32, "dcm": 32, "transformer": 16}
"""Sides of tiles that take a worker some seconds at most; whole passes make up a tile, as with tiles of 512 px."""
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
    print(f"  {'family':<14}{'tile px':>8}{'job px/s':>12}{'bare px/s':>12}{'share':>8}{'laid out':>12}{'share':>8}")
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
    job, bare = 0.0, {prepared: 0.0 for prepared in (False, True)}
    with connected(run.spec):
        for number in range(runs):
            job = max(job, side**2 / _from_tile_to_tile(run, f"{folder}/job-{number}", workers))
            for prepared in bare:
                bare[prepared] = max(bare[prepared], _bare(run.spec.model.uri, batch, workers, prepared))
    shares = {prepared: job / speed for prepared, speed in bare.items()}
    numbers = f"{job:>12,.0f}{bare[False]:>12,.0f}{shares[False]:>8.2f}{bare[True]:>12,.0f}{shares[True]:>8.2f}"
    verdict = "holds" if shares[False] >= GOAL else "MISSED"
    print(f"  {family:<14}{side:>8}{numbers}  (goal {GOAL}: {verdict})", flush=True)


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


def _bare(model: str, batch: int, workers: int, prepared: bool) -> float:
    """Pixels a second of all processes, each with the network alone on a batch that lies ready."""
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return sum(pool.map(_loop, [model] * workers, [batch] * workers, [prepared] * workers))


def _loop(model: str, batch: int, prepared: bool) -> float:
    import torch
    from safetensors.torch import load_file

    from engine.models.series import Shape, build, for_prediction

    torch.set_num_threads(1)
    keep_freed()  # as the engine does: without it a loop runs at half its speed in some processes
    card = read_card(model)
    sizes = card.recipe.steps, len(card.recipe.features), len(card.classes)
    network = build(card.family, Shape(*sizes, later_steps=card.later_steps))
    network.load_state_dict(load_file(f"{model}/{card.weights}"))
    network = for_prediction(network) if prepared else network.eval()
    values = np.random.default_rng(1).random((batch, *card.input_shape), dtype=np.float32)
    ready = torch.from_numpy(normalise(values, card))
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
