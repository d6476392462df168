"""What a job would take: tiles, scenes, bytes, memory, time and cost, from a plan and stated rates."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.cube import sensor_of
from engine.ledger import Ledger
from engine.models import Recipe
from engine.objects import Objects
from engine.plan import Plan
from engine.types import SENSOR_BANDS
from engine.work import LEDGER, cube_ledger
from jobs.drive import Drive, bytes_in_flight, checked_card
from jobs.pinned import fresh_plan
from jobs.spec import Spec


@dataclass(frozen=True, slots=True)
class Rates:
    """Speed of one worker core. Defaults were measured on 2 cores of a virtual machine, scenes on a local disk; a
    sample (``plan --sample``) replaces them by this job's own."""

    seconds_per_asset: float = 0.004
    pixels_per_s_per_asset: float = 40e6
    pixels_per_s_model: float = 25e3
    seconds_per_tile: float = 0.05
    source: str = "defaults, 2 cores, local scenes"


def estimate(spec: Spec, sample: int) -> dict[str, Any]:
    """Facts of the plan; with ``sample``, that many tiles are run first (in this process, and kept)."""
    plan = fresh_plan(spec)
    return describe(spec, plan, _measured(spec, plan, sample) if sample else Rates())


def describe(spec: Spec, plan: Plan, rates: Rates | None = None) -> dict[str, Any]:
    """The facts that ``tilth plan`` prints; ``--json`` keys are these."""
    rates = rates or Rates()
    recipe = spec.recipe() if spec.labels else checked_card(spec).recipe
    workers = spec.compute.workers.max or (4 if spec.compute.address else len(os.sched_getaffinity(0)))
    seconds = _seconds(plan, rates)
    hours = sum(seconds.values()) / 3600 / workers
    done = {
        "cube": Ledger(cube_ledger(spec.cube.uri)).load().latest,
        "map": Ledger(Objects(spec.output.uri).child(LEDGER)).load().latest,
    }
    keyed = {tile.id: plan.cube_key(i) for i, tile in enumerate(plan.tiles)}
    return {
        "name": spec.name,
        "run": spec.digest()[:12],
        "tiles": len(plan.tiles),
        "tile_px": plan.grid.tile_px,
        "grid": f"{plan.grid.width} x {plan.grid.height} px of {plan.grid.resolution:g} m, {plan.grid.crs}",
        "area_km2": round(plan.area.area / 1e6, 4),
        "steps": max(len(axis) for axis in plan.axes.values()),
        "features": ", ".join(recipe.features),
        "items": len(plan.items),
        "items_per_tile": round(len(plan.links) / max(len(plan.tiles), 1), 1),
        "read_bytes": plan.read_bytes(),
        "write_bytes": plan.write_bytes(),
        "memory_per_tile_bytes": _memory(plan, recipe),
        "memory_in_flight_bytes": bytes_in_flight(spec),
        "cube_tiles_done": sum(k in done["cube"] and done["cube"][k].key == v for k, v in keyed.items()),
        "workers": workers,
        "core_hours": round(sum(seconds.values()) / 3600, 4),
        "wall_hours": round(hours, 4),
        "cost": round(hours * workers * spec.budget.worker_cost_per_hour, 4),
        "inputs": [*plan.audit, *(f"left out: {problem}" for problem in plan.left_out)],
        "assumed": {
            "rates": rates.source,
            "seconds_per_asset_read": round(rates.seconds_per_asset, 5),
            "model_pixels_per_second_and_worker": round(rates.pixels_per_s_model),
            "worker_cost_per_hour": spec.budget.worker_cost_per_hour,
        },
    }


def _memory(plan: Plan, recipe: Recipe) -> int:
    return max(plan.cube_memory_bytes(), plan.map_memory_bytes(len(recipe.features), recipe.steps))


def _seconds(plan: Plan, rates: Rates) -> dict[str, float]:
    """Core seconds of the cube and of the map stage."""
    side = plan.grid.tile_px**2
    bands = np.array([len(SENSOR_BANDS[sensor_of(item.sensor)]) + (item.mask_kind is not None) for item in plan.items])
    assets = int(bands[plan.links].sum()) if len(plan.links) else 0
    cube = assets * (rates.seconds_per_asset + side / rates.pixels_per_s_per_asset)
    mapped = len(plan.tiles) * (side / rates.pixels_per_s_model + rates.seconds_per_tile)
    return {"cube": cube + len(plan.tiles) * rates.seconds_per_tile, "map": mapped}


def _measured(spec: Spec, plan: Plan, sample: int) -> Rates:
    """Rates from building ``sample`` cube tiles spread over the plan; they stay in the cube."""
    step = max(1, len(plan.tiles) // sample)
    chosen = list(range(0, len(plan.tiles), step))[:sample]
    part = _part(plan, chosen)
    local = spec.model_copy(update={"compute": spec.compute.model_copy(update={"in_process": True})})
    began = time.monotonic()
    Drive(local, part, lambda _: None, lambda _: None, lambda: None).run("cube")
    seconds = time.monotonic() - began
    assumed = _seconds(part, Rates())["cube"]
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
    return replace(
        plan, tiles=tuple(plan.tiles[i] for i in chosen), starts=starts, links=np.concatenate(parts).astype(np.int32)
    )
