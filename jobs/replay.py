"""One tile again, here, step by step, saying what is read and what comes out. Nothing is written."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np

from engine.cube import build_layer, items_by_step
from engine.ground import Ground
from engine.ledger import Ledger
from engine.models import load_model, model_digest
from engine.objects import Objects
from engine.pipeline import MapTask, map_tile
from engine.plan import Plan
from engine.predict import classify_at
from engine.read import Patch, SceneReader
from engine.types import Item, Layer, Window
from engine.work import LEDGER, cube_ledger
from jobs import control
from jobs.checks import checked_card
from jobs.lines import say
from jobs.pinned import micro_batch, pinned_plan
from jobs.spec import Spec

_T = TypeVar("_T")


def replay(run: str, name: str) -> None:
    """Build the tile's cube block from its scenes and map it, a line for every read; raises what the tile raises."""
    spec = control.resolve_run(run)
    plan = pinned_plan(spec)
    index = control.tile_index(plan, name)
    for stage, objects in (("cube", cube_ledger(spec.cube.uri)), ("map", Objects(spec.output.uri).child(LEDGER))):
        record = Ledger(objects).load().latest.get(name)
        say(f"ledger, {stage}: " + (f"{record.state} {record.body.get('reason', '')}" if record else "no record"))
    model = _timed("open model", lambda: load_model(spec.model.uri, steps=checked_card(spec).recipe.steps))
    block = _cube_block(spec, plan, index, model.card.halo)
    batch = micro_batch(Objects(spec.output.uri), model_digest(spec.model.uri), model.card)
    task = MapTask(plan.tiles[index], "replay", 0, 0, {}, {})
    classes = _timed(
        "map",
        lambda: map_tile(
            task,
            block,
            model.card,
            partial(classify_at, model, micro_batch=batch),
            Ground(plan.grid, plan.area, spec.mask),
            batch,
        ),
    )
    names = {i: entry.name for i, entry in enumerate(model.card.classes)} | {255: "no data"}
    for value, count in zip(*np.unique(classes.class_index, return_counts=True), strict=True):
        print(f"{names[int(value)]}: {count} px")


def _cube_block(spec: Spec, plan: Plan, index: int, halo: int) -> dict[str, Layer]:
    around = plan.tiles[index].core.padded(halo)
    scenes = SceneReader(plan.grid)

    def read(item: Item, band: str, window: Window, margin: int = 0) -> Patch | None:
        began = time.monotonic()
        patch = scenes(item, band, window, margin)
        seen = f"{patch.values.shape} {patch.values.dtype}" if patch else "does not reach the tile"
        say(f"  read {item.datetime:%Y-%m-%d} {item.id} {band}: {seen}, {1000 * (time.monotonic() - began):.1f} ms")
        return patch

    block = {}
    for layer, axis in plan.axes.items():
        steps = dict(enumerate(items_by_step(axis, plan.items_of(index)[layer])))
        say(f"{layer}: {sum(map(len, steps.values()))} items in {len(axis)} steps")
        built = build_layer(layer, steps, around, read, spec.cube, threads=1)
        block[layer] = Layer(
            np.concatenate([built[i].values for i in range(len(axis))]),
            np.concatenate([built[i].count for i in range(len(axis))]),
        )
        seen = (block[layer].count > 0).mean(axis=(1, 2))
        say(f"{layer}: share of pixels seen per step " + " ".join(f"{share:.2f}" for share in seen))
    return block


def _timed(what: str, do: Callable[[], _T]) -> _T:
    began = time.monotonic()
    result = do()
    say(f"{what}: {time.monotonic() - began:.2f} s")
    return result
