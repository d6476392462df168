"""What a job would take: tiles, scenes, bytes, memory, time and cost, from a plan and stated rates."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.bands import ASSET_BANDS
from engine.ledger import Ledger
from engine.models import Recipe
from engine.models.card import Family
from engine.objects import absolute
from engine.plan import Plan
from engine.samples import read_legend
from engine.work import cube_ledger
from jobs.checks import check_places, checked_card, checked_plan, model_needs
from jobs.control import over_budget
from jobs.drive import Drive
from jobs.spec import Spec
from jobs.training_costs import TrainingSize, size_of, training_bytes, training_seconds
from jobs.whose import model_told
from kernels.warm import warm_up

_START_S = 25.0
"""Starting workers and compiling kernels, once a stage; measured on 2 cores."""
_PROCESS_BYTES = 500_000_000
"""What a driver or a worker holds before its first tile: Python, GDAL, torch."""


_PIXELS_PER_S = {
    "tempcnn": (28e3, 8e3), "cnn1d": (55e3, 8e3), "agrispec": (3200, 600), "dcm": (250, 30), "transformer": (100, 30),
    "clec": (650, 170), "hybridsn": (60e3, 900), "twobranch": (1100, 350), "cnn3d": (600, 150),
    "convstar": (80, 25), "convstar3d": (25, 8),
    "forest": (25e3, math.inf), "svm": (5e3, math.inf), "onnx": (8e3, math.inf),
}  # fmt: skip
"""Family -> pixels mapped, and samples trained on, in a second of one core, at 34 steps of 13 features; of squares of
pixels, at 26 steps of 3 features. An SVM's speed is that of 8,000 support vectors, and falls as they grow in number."""

_USUAL_CLASSES = 12
"""Assumed of labels without a legend: their raster is not read to plan."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Speed of one worker core. Defaults were measured on 2 cores of a virtual machine, scenes on a local disk; a
    sample (``plan --sample``) replaces them by this job's own."""

    seconds_per_asset: float = 0.004
    pixels_per_s_per_asset: float = 40e6
    seconds_per_tile: float = 0.05
    source: str = "defaults, 2 cores, local scenes"


def estimate(spec: Spec, sample: int, look: bool = False) -> dict[str, Any]:
    """Facts of the plan; with ``sample``, that many tiles are run first (in this process, and kept); with ``look``, the
    pixels of some scenes are looked at."""
    check_places(spec, stores=False)
    plan = checked_plan(spec, look=look)
    return describe(spec, plan, _measured(spec, plan, sample) if sample else Rates())


def describe(spec: Spec, plan: Plan, rates: Rates | None = None) -> dict[str, Any]:
    """The facts that ``tilth plan`` prints; ``--json`` keys are these."""
    rates = rates or Rates()
    recipe, family, halo = model_needs(spec)
    todo = _missing(spec, plan)
    workers = spec.most_workers()
    seconds = _stage_seconds(spec, _part(plan, todo), plan, rates, family)
    hours = sum(seconds.values()) / 3600
    over = over_budget(spec, hours * 3600)
    return {
        "name": spec.name,
        "run": spec.digest()[:12],
        "tiles": len(plan.tiles),
        "cube_tiles_done": len(plan.tiles) - len(todo),
        "tile_px": plan.grid.tile_px,
        "grid": f"{plan.grid.width} x {plan.grid.height} px of {plan.grid.resolution:g} m, {plan.grid.crs}",
        "area_km2": round(plan.area_km2, 4),
        "season_steps": max(len(axis) for axis in plan.axes.values()),
        "used_steps": recipe.steps,
        "features": ", ".join(recipe.features),
        "items": len(plan.items),
        "items_per_tile": round(len(plan.links) / max(len(plan.tiles), 1), 1),
        "read_bytes": plan.read_bytes(),
        "write_bytes": plan.write_bytes(),
        **_memory(spec, plan, recipe, halo),
        "workers": workers,
        "seconds": {stage: round(value, 1) for stage, value in seconds.items()},
        "wall_hours": round(hours, 4),
        "cost": round(hours * workers * spec.budget.worker_cost_per_hour, 4),
        "over_budget": f"{over.place}: {over.value}" if over else None,
        "inputs": [*plan.audit, *(f"left out: {problem}" for problem in plan.left_out)],
        "model": None if spec.labels else model_told(spec, plan, checked_card(spec)),
        "assumed": {
            "rates": rates.source,
            "seconds_per_asset_read": round(rates.seconds_per_asset, 5),
            "model_pixels_per_second_and_worker": round(_PIXELS_PER_S[family][0]),
            "worker_cost_per_hour": spec.budget.worker_cost_per_hour,
        },
    }


def _memory(spec: Spec, plan: Plan, recipe: Recipe, halo: int) -> dict[str, int]:
    """Projected peak of all processes, the larger of two: tiles under way, at most two a worker and as the byte budget
    lets, with the processes themselves; and the training, which the driver does before any map worker starts."""
    mapped = plan.map_memory_bytes(len(recipe.features), recipe.steps, halo)
    tile = max(plan.cube_memory_bytes(spec.cube.threads), mapped)
    at_once = max(1, min(2 * spec.most_workers(), len(plan.tiles), spec.byte_budget() // tile))
    processes = 1 + (0 if spec.compute.in_process else spec.most_workers())
    training = 0
    if spec.labels is not None:
        size, classes = _training(spec, plan)
        training = training_bytes(spec.train_options(), size, recipe, classes)
    tiles = tile * at_once + processes * _PROCESS_BYTES
    return {
        "memory_training_bytes": training,
        "memory_per_tile_bytes": tile,
        "tiles_at_once": at_once,
        "memory_peak_bytes": max(tiles, training + _PROCESS_BYTES),
        "byte_budget_bytes": spec.byte_budget(),
    }


def _stage_seconds(spec: Spec, todo: Plan, plan: Plan, rates: Rates, family: Family) -> dict[str, float]:
    """Wall seconds of each stage; a training that has converged stops earlier than said here."""
    workers = spec.most_workers()
    core = _core_seconds(todo, plan, rates, family)
    seconds = {"start": _START_S * (1 + bool(todo.tiles)), "cube": core["cube"] / workers}
    if spec.labels is not None:
        size, _ = _training(spec, plan)
        options = spec.train_options()
        seconds["training_at_most"] = training_seconds(options, size, spec.recipe(), _PIXELS_PER_S[family][1])
    return seconds | {"map": core["map"] / workers}


def _training(spec: Spec, plan: Plan) -> tuple[TrainingSize, int]:
    """Samples at most, and classes, of the training that a spec with labels asks for."""
    assert spec.labels is not None
    legend = spec.labels.legend
    classes = len(read_legend(absolute(legend)).names) if legend else _USUAL_CLASSES
    seasons = len(spec.labels.seasons) + bool(spec.labels.uri)
    pixels = plan.grid.width * plan.grid.height * seasons
    return size_of(spec.train_options(), pixels, classes), classes


def _core_seconds(todo: Plan, plan: Plan, rates: Rates, family: Family) -> dict[str, float]:
    """Core seconds of the cube tiles to be built, and of the whole map."""
    side = plan.grid.tile_px**2
    bands = np.array([len(ASSET_BANDS[item.sensor]) + (item.mask_kind is not None) for item in plan.items])
    assets = int(bands[todo.links].sum()) if len(todo.links) else 0
    cube = assets * (rates.seconds_per_asset + side / rates.pixels_per_s_per_asset)
    mapped = len(plan.tiles) * (side / _PIXELS_PER_S[family][0] + rates.seconds_per_tile)
    return {"cube": cube + len(todo.tiles) * rates.seconds_per_tile, "map": mapped}


def _missing(spec: Spec, plan: Plan) -> list[int]:
    """Numbers of the tiles that the cube does not hold as this plan asks for them."""
    built = Ledger(cube_ledger(spec.cube.uri)).load().latest
    return [i for i, tile in enumerate(plan.tiles) if not plan.stands(i, built.get(tile.id))]


def _measured(spec: Spec, plan: Plan, sample: int) -> Rates:
    """Rates from building ``sample`` cube tiles spread over those that are missing; they stay in the cube."""
    todo = _missing(spec, plan)
    if not todo:
        return replace(Rates(), source=f"{Rates().source}; nothing is left to sample")
    chosen = todo[:: max(1, len(todo) // sample)][:sample]
    part = _part(plan, chosen)
    local = spec.model_copy(update={"compute": spec.compute.model_copy(update={"in_process": True})})
    warm_up()  # compiling is part of the start, not of every tile
    began = time.monotonic()
    Drive(local, part, lambda _: None, lambda _: None, lambda: None).run("cube")
    seconds = time.monotonic() - began
    assumed = _core_seconds(part, part, Rates(), "tempcnn")["cube"]
    factor = seconds / assumed if assumed else 1.0
    base = Rates()
    return replace(
        base,
        seconds_per_asset=base.seconds_per_asset * factor,
        pixels_per_s_per_asset=base.pixels_per_s_per_asset / factor,
        source=f"{len(chosen)} sampled cube tile(s) here, {seconds:.1f} s; model speed is the default",
    )


def _part(plan: Plan, chosen: list[int]) -> Plan:
    """The plan with some of its tiles."""
    parts = [plan.links[plan.starts[i] : plan.starts[i + 1]] for i in chosen]
    starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    links = np.concatenate([np.zeros(0, np.int32), *parts])
    return replace(plan, tiles=tuple(plan.tiles[i] for i in chosen), starts=starts, links=links)
