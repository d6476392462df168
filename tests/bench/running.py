"""How fast networks over series map inside a running job: ``python -m tests.bench.running``.

A made run (``made_run``: 36 steps, 13 features) is mapped by the map stage on warm Ray actors, one a core: cube read
and decoded, gaps filled, indices derived, pixels cut and scaled, classified, calibrated, COGs made, checked and
published, records committed. Beside it, in turns, as many processes each run a bare torch loop over input that lies
ready in batches of the same size: the network as it was trained, and the same laid out for prediction as the engine
does with two families (batch norms folded, channels last). Printed: pixels a second of all workers, from one tile to
the next, and the job's share of either loop's. Goal: 0.90 of the first, which is the loop that one would write without
the engine. Weights are random, which does not matter to speed.

AgriSpec is measured once more with a register of parcels, squares of 16 pixels side by side: what counts is then pixels
and parcels a second, since each is one row that the network sees. The last line says what a parcel adds to its tile.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import get_args

import geopandas as gpd
import numpy as np
import shapely

from engine.ledger import Ledger
from engine.memory import keep_freed
from engine.models import read_card
from engine.models.scaling import normalise
from engine.objects import Objects
from engine.parcels import ParcelOptions
from engine.types import Grid
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
PARCEL_TILES, PARCEL_TILE_PX, FIELD_PX = 16, 256, 16
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
    if "agrispec" in arguments.families:
        with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder:
            measure_parcels(Path(folder), arguments.runs, arguments.workers)
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
    _tell(family, side, job, bare)


def measure_parcels(folder: Path, runs: int, workers: int) -> None:
    """AgriSpec's line with parcels, and what one of them adds."""
    alone = make_run(str(folder), PARCEL_TILES, PARCEL_TILE_PX, "agrispec", folder, workers)
    register = ParcelOptions(uri=str(_fields(alone.plan.grid, folder / "fields.gpkg")))
    run = replace(alone, spec=alone.spec.model_copy(update={"parcels": register}))
    batch = map_work(alone.spec, alone.plan).micro_batch
    fields = (PARCEL_TILE_PX // FIELD_PX) ** 2
    seconds, bare = {"alone": np.inf, "parcels": np.inf}, {prepared: 0.0 for prepared in (False, True)}
    with connected(run.spec):
        for number in range(runs):
            for name, each in (("alone", alone), ("parcels", run)):
                took = _from_tile_to_tile(each, f"{folder}/{name}-{number}", workers)
                seconds[name] = min(seconds[name], took)
            for prepared in bare:
                bare[prepared] = max(bare[prepared], _bare(run.spec.model.uri, batch, workers, prepared))
    _tell("with parcels", PARCEL_TILE_PX, (PARCEL_TILE_PX**2 + fields) / seconds["parcels"], bare)
    adds_us = (seconds["parcels"] - seconds["alone"]) / fields * workers * 1e6
    print(f"  {fields} parcels to a tile, {(FIELD_PX - 2) ** 2} pixels inside each: one adds {adds_us:,.0f} us", end="")
    print(f" of a worker's time, of which the network alone takes {workers * 1e6 / bare[False]:,.0f}", flush=True)


def _tell(name: str, side: int, job: float, bare: Mapping[bool, float]) -> None:
    """A line of the table."""
    shares = {prepared: job / speed for prepared, speed in bare.items()}
    numbers = f"{job:>12,.0f}{bare[False]:>12,.0f}{shares[False]:>8.2f}{bare[True]:>12,.0f}{shares[True]:>8.2f}"
    verdict = "holds" if shares[False] >= GOAL else "MISSED"
    print(f"  {name:<14}{side:>8}{numbers}  (goal {GOAL}: {verdict})", flush=True)


def _fields(grid: Grid, path: Path) -> Path:
    """Squares side by side on the grid's own lines, as many to a tile as the network takes at a time."""
    side = FIELD_PX * grid.resolution
    lefts = grid.left + side * np.arange(grid.width // FIELD_PX)
    tops = grid.top - side * np.arange(grid.height // FIELD_PX)
    shapes = [shapely.box(left, top - side, left + side, top) for top in tops for left in lefts]
    gpd.GeoDataFrame(geometry=shapes, crs=grid.crs).to_file(path)
    return path


def _from_tile_to_tile(run: MadeRun, output: str, workers: int) -> float:
    """Seconds from one tile of the map stage to the next, on actors that have each done some before."""
    from engine.executors.ray import RayExecutor

    spec = run.at(output)
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
