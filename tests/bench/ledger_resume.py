"""Resuming a finished country: ``python -m tests.bench.ledger_resume``.

100,489 tiles, all built and mapped, their records in Parquet snapshots as a run leaves them (bodies with the checksums,
sizes, step keys, counts and files of a season of 36 steps and three layers). Timed in a process of its own, by the
driver's own methods: the cube's ledger loaded and every tile's key compared, the map's ledger loaded and every tile's
key compared; both find nothing to do. Limit: 15 s. The plan has a limit of its own (``planning.py``) and is printed
beside.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from engine.bands import SENSOR_BANDS
from engine.keys import map_keys, tile_facts
from engine.ledger import Ledger, Record
from engine.models import model_digest, read_card
from engine.objects import Objects
from engine.plan import Plan
from engine.store import prepare
from engine.types import Tile
from engine.work import LEDGER, cube_ledger
from jobs.drive import Drive
from jobs.finish import stated
from jobs.pinned import micro_batch, pin, pinned_plan, pinned_spec
from jobs.spec import Spec, parse_spec
from tests.bench import planning
from tests.bench.made_run import CLASSES, write_made_model
from tests.bench.measure import closing, context, fresh, judge


def main() -> None:
    """Parse, measure, print; with ``--once`` be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--once", metavar="URI", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        print(json.dumps(once(arguments.once)))
        return
    context(f"Resuming a finished ledger of about {arguments.tiles:,} tiles, local disk")
    with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder:
        sizes = write_finished(Path(folder), arguments.tiles)
        uri, log = f"{folder}/map", Path(folder) / "log"
        print(f"  snapshots: cube {sizes[0] / 1e6:.1f} MB, map {sizes[1] / 1e6:.1f} MB")
        runs = []
        for _ in range(arguments.runs):
            fresh("tests.bench.ledger_resume", "--once", uri, log=log)
            runs.append(json.loads(log.read_text().splitlines()[-1]))
        for part in ("plan_s", "cube_s", "map_s"):
            print(f"  {part:<8}{statistics.median(run[part] for run in runs):8.2f}")
        judge("resume from the snapshots, median", statistics.median(run["total_s"] for run in runs), 15.0, "s ")
        print(f"  peak memory of that process: {max(run['peak_bytes'] for run in runs) / 1e9:.2f} GB")
    closing()


def once(uri: str) -> dict[str, float]:
    """What a driver does before it knows that nothing is to do; seconds by part."""
    began = time.perf_counter()
    spec = pinned_spec(uri)
    plan = pinned_plan(spec)
    layout = prepare(Objects(spec.cube.uri), plan.grid, plan.axes)
    said: list[str] = []
    drive = Drive(spec, plan, said.append, lambda _: None, lambda: None)
    planned = time.perf_counter()
    built = drive.build_cube(layout, 2)
    looked = time.perf_counter()
    drive.make_map(layout, built, 2)
    ended = time.perf_counter()
    if [line.split(":")[1] for line in said] != [" nothing to do, every tile is there"] * 2:
        raise RuntimeError(f"something was to do: {said}")
    return {
        "plan_s": planned - began,
        "cube_s": looked - planned,
        "map_s": ended - looked,
        "total_s": ended - planned,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def write_finished(folder: Path, tiles: int) -> tuple[int, int]:
    """A run whose ledgers say that every tile is built and mapped; sizes of the two snapshots."""
    spec = _spec(folder, tiles)
    plan = planning.made_plan(tiles, tuple(planning.made_items(tiles, 50)))
    pin(spec, plan)
    prepare(Objects(spec.cube.uri), plan.grid, plan.axes)
    write_made_model(spec, "tempcnn")
    built = _write_ledger(
        cube_ledger(spec.cube.uri),
        (Record(t.id, 1, plan.cube_key(i), "written", 1, _cube_body(t, plan)) for i, t in enumerate(plan.tiles)),
    )
    card, output, digest = read_card(spec.model.uri), Objects(spec.output.uri), model_digest(spec.model.uri)
    keys = map_keys(
        plan, built.latest, card, model=digest, micro_batch=micro_batch(output, digest, card), output=spec.output,
        mask=spec.mask, stated=stated(spec),
    )  # fmt: skip
    facts = tile_facts(plan, stated(spec))
    mapped = _write_ledger(
        output.child(LEDGER), (Record(t.id, 1, key, "written", 1, _map_body(t, key, facts(t))) for t, key in keys)
    )
    return tuple(next(ledger.objects.entries("snapshots")).size for ledger in (built, mapped))  # type: ignore[return-value]


def _spec(folder: Path, tiles: int) -> Spec:
    area = folder / "area.geojson"
    area.write_text(json.dumps(shapely.geometry.mapping(planning.square(tiles))))
    return parse_spec(
        {
            "name": "made-for-a-benchmark",
            "area": {"file": str(area)},
            "season": planning.SEASON.model_dump(mode="json"),
            "grid": {"crs": planning.CRS, "resolution": 10, "tile_px": planning.TILE_PX},
            "inputs": {s: {"catalog": "nowhere.ndjson", "collection": f"made-{s}"} for s in SENSOR_BANDS},
            "cube": {"uri": f"{folder}/cube.zarr"},
            "model": {"uri": f"{folder}/model"},
            "output": {"uri": f"{folder}/map"},
        }
    )


def _write_ledger(objects: Objects, records: Any) -> Ledger:
    ledger = Ledger(objects).load()
    for record in records:
        ledger.note(record)
    ledger.compact(force=True)
    return ledger


def _cube_body(tile: Tile, plan: Plan) -> dict[str, Any]:
    """As ``engine.pipeline.build_tile`` gives it, with made checksums."""
    shards = [f"{name}{kind}/c/0/0/{tile.row}/{tile.col}" for name in plan.axes for kind in ("", "_count")]
    sums = {key: hashlib.sha256(key.encode()).hexdigest() for key in shards}
    steps = {name: [sums[f"{name}/c/0/0/{tile.row}/{tile.col}"][i : i + 12] for i in range(36)] for name in plan.axes}
    return {
        "checksums": sums,
        "bytes": dict.fromkeys(shards, 4_567_890),
        "steps": steps,
        "observations": dict.fromkeys(plan.axes, 1_234_567),
        "computed": 108,
        "seconds": 4.5678,
        "bytes_read": 123_456_789,
        "requests": 345,
    }


def _map_body(tile: Tile, key: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """As ``engine.pipeline.publish_tile`` and the worker give it, with made sizes."""
    pixels = np.random.default_rng(tile.row * 1000 + tile.col).multinomial(planning.TILE_PX**2, [1 / CLASSES] * CLASSES)
    return {
        "folder": f"tiles/{tile.id}/{key[:16]}",
        "files": {name: [23_456, key] for name in ("class.tif", "confidence.tif")},
        "bbox": facts["bbox"],
        "pixels": {str(i): int(n) for i, n in enumerate(pixels)},
        "seconds": {"read": 0.3456, "predict": 1.7654, "write": 0.0456},
        "requests": 10,
        "device": "cpu",
    }


if __name__ == "__main__":
    main()
