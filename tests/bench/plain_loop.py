"""A map made by a plain loop on so many processes: no ledger, no Ray, no driver, nothing to resume.

``python -m tests.bench.plain_loop RUN --output URI``: the same tiles by the same functions (load, map, publish), which
is the work that no platform can spare; ``overhead.py`` compares a job with it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

import shapely

from engine.keys import map_keys, tile_facts
from engine.ledger import Ledger
from engine.models import model_digest, read_card
from engine.objects import Objects
from engine.pipeline import MapTask, load_block, map_tile, publish_tile
from engine.plan import Plan
from engine.store import prepare
from engine.work import MapWork, cube_ledger
from jobs.control import resolve_run
from jobs.finish import stated
from jobs.parcels import dealt_out, dealt_uri, shares
from jobs.pinned import micro_batch, pinned_plan
from jobs.spec import Spec

_tile: Callable[[MapTask], None] | None = None
"""What a process of the pool does with a task; set once per process."""


def map_work(spec: Spec, plan: Plan) -> MapWork:
    """The map stage of a run, as its driver describes it to workers."""
    card, digest = read_card(spec.model.uri), model_digest(spec.model.uri)
    batch = micro_batch(Objects(spec.output.uri), digest, card)
    layout = prepare(Objects(spec.cube.uri), plan.grid, plan.axes)
    return MapWork(
        layout, spec.cube.uri, spec.model.uri, spec.output, plan.area.wkb, spec.mask, batch, "cpu",
        parcels=spec.parcels, dealt_uri=dealt_uri(spec),
    )  # fmt: skip


def map_tasks(spec: Spec, plan: Plan, work: MapWork) -> list[MapTask]:
    """Every tile of the run as a task, its key and facts as the driver makes them."""
    cube, card = Ledger(cube_ledger(spec.cube.uri)).load().latest, read_card(spec.model.uri)
    digest, said = model_digest(spec.model.uri), stated(spec)
    facts = tile_facts(plan, {**said, "version": version("tilth"), "model": digest})
    register = dealt_out(spec, plan)
    keys = map_keys(
        plan, cube, card, model=digest, micro_batch=work.micro_batch, output=spec.output, mask=spec.mask, stated=said,
        parcels=(spec.parcels, register) if spec.parcels and register else None,
    )  # fmt: skip
    memory = plan.map_memory_bytes(len(card.recipe.features), card.recipe.steps)
    share = shares(plan, register, cube, card)
    return [
        MapTask(tile, key, 1, 1, cube[tile.id].body["checksums"], facts(tile), memory + more, owned)
        for tile, key in keys
        for owned, more in [share(tile)]
    ]


@contextmanager
def pool(work: MapWork, processes: int) -> Iterator[Callable[[Sequence[MapTask]], list[float]]]:
    """Processes that hold the model; the function given does tasks on them, each free process taking the next, and
    gives the moments they were done."""
    spawn = get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, _open, (work, spawn.Barrier(processes))) as executor:
        yield lambda tasks: list(executor.map(_do, tasks))


def _open(work: MapWork, all_there: Barrier) -> None:
    global _tile
    os.environ["NUMBA_NUM_THREADS"] = "1"
    import torch

    from engine.ground import Ground
    from engine.models import load_model
    from engine.predict import classify_at

    torch.set_num_threads(1)
    model = load_model(work.model_uri, work.device)
    ground = Ground(work.layout.grid, shapely.from_wkb(work.area_wkb), work.mask)
    cube, output = Objects(work.cube_uri), Objects(work.output.uri)

    def tile(task: MapTask) -> None:
        block = load_block(task, work.layout, model.card, cube)
        classify = partial(classify_at, model, micro_batch=work.micro_batch)
        classes = map_tile(task, block, model.card, classify, ground, work.micro_batch)
        publish_tile(task, work.layout, model.card, classes, work.output, output)

    _tile = tile
    all_there.wait()


def _do(task: MapTask) -> float:
    assert _tile is not None
    _tile(task)
    return time.monotonic()


def main() -> None:
    """The whole map, start to exit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="uri of a pinned run's map")
    parser.add_argument("--output", required=True, help="where the tiles go")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    spec = resolve_run(arguments.run)
    spec = spec.model_copy(update={"output": spec.output.model_copy(update={"uri": arguments.output})})
    plan = pinned_plan(resolve_run(arguments.run))
    work = map_work(spec, plan)
    tasks = map_tasks(spec, plan, work)
    with pool(work, arguments.processes) as do:
        do(tasks)
    print(json.dumps({"tiles": len(tasks)}))


if __name__ == "__main__":
    main()
