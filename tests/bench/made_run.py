"""A run whose cube is already there, made of invented numbers: what the benchmarks of the map stage start from.

Everything goes through the engine's own doors: the plan is pinned, the cube is written by ``engine.store`` and its
ledger holds the keys a real build would give, so ``tilth resume`` takes it for a built cube and goes on with the map.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

import geopandas as gpd
import numpy as np
import shapely
from sklearn.ensemble import RandomForestClassifier

from engine.bands import C2_BANDS, FEATURE_BANDS, SENSOR_BANDS
from engine.grid import read_area
from engine.ledger import Ledger, Record
from engine.models import Card, ClassEntry, Domain, Recipe, model_digest, read_card, write_model
from engine.models import forest as forests
from engine.models import series as networks
from engine.objects import Objects
from engine.plan import Plan, make_plan
from engine.store import CubeLayout, checksum, encode_layer, prepare
from engine.types import Asset, Item, Layer
from engine.work import LEDGER, cube_ledger
from jobs.pinned import pin
from jobs.spec import Spec, parse_spec

CRS = "EPSG:32631"
CORNER = (480_000.0, 5_640_000.0)
STEPS = 36
CLASSES = 9
VARIANTS = 4
"""So many different tiles are made and repeated over the area."""
SEASON = (date(2021, 1, 1), date(2021, 12, 27))
FORECAST_FROM = date(2021, 7, 8)
"""For clec: what is known of the season, 19 of its 36 steps."""
Family = Literal["tempcnn", "cnn1d", "agrispec", "dcm", "transformer", "clec", "trivial"]


@dataclass(frozen=True)
class MadeRun:
    """A pinned run with a cube, a model and an empty map."""

    spec: Spec
    plan: Plan
    layout: CubeLayout
    cube: Ledger
    card: Card

    def at(self, output: str) -> Spec:
        """The same run with its map elsewhere, pinned there."""
        spec = self.spec.model_copy(update={"output": self.spec.output.model_copy(update={"uri": output})})
        pin(spec, self.plan)
        return spec


def make_run(root: str, tiles: int, px: int, family: Family, folder: Path, workers: int) -> MadeRun:
    """A square of ``tiles`` tiles (rounded down to a square number) of ``px`` pixels, below the uri ``root``.

    A network: all 13 features and random weights; ``trivial``: NDVI and one tree with one question, so that next to
    nothing but the platform is left.
    """
    features = ("ndvi",) if family == "trivial" else tuple(f for f in FEATURE_BANDS if f not in C2_BANDS)
    spec = _spec(root, _area(folder, math.isqrt(tiles) * px * 10), px, features, workers)
    if family == "clec":
        spec = spec.model_copy(update={"season": spec.season.model_copy(update={"as_of": FORECAST_FROM})})
    layers = spec.recipe().layers
    items = _items(spec, layers)
    plan = make_plan(read_area(spec.area), spec.season, spec.grid, spec.cube, items=items)
    layout = prepare(Objects(spec.cube.uri), plan.grid, plan.axes)
    cube = _fill(spec, plan, layout)
    write_made_model(spec, family)
    pin(spec, plan)
    return MadeRun(spec, plan, layout, cube, read_card(spec.model.uri))


def set_micro_batch(spec: Spec, rows: int) -> None:
    """Fix the rows of a forward pass for a run that has not chosen yet."""
    digest = model_digest(spec.model.uri)
    Objects(spec.output.uri).put_new(f"{LEDGER}/micro_batch/{digest[:16]}.json", json.dumps(rows).encode())


def _area(folder: Path, side_m: float) -> Path:
    """A square on the grid's own lines, so that it comes back as just so many tiles."""
    folder.mkdir(parents=True, exist_ok=True)
    left, top = CORNER
    path = folder / f"area-{side_m:g}.gpkg"
    if not path.exists():
        gpd.GeoDataFrame(geometry=[shapely.box(left, top - side_m, left + side_m, top)], crs=CRS).to_file(path)
    return path


def _spec(root: str, area: Path, px: int, features: tuple[str, ...], workers: int) -> Spec:
    sensors = [s for s, bands in SENSOR_BANDS.items() if {b for f in features for b in FEATURE_BANDS[f]} & set(bands)]
    return parse_spec(
        {
            "name": "made-for-a-benchmark",
            "area": {"file": str(area)},
            "season": {"start": str(SEASON[0]), "end": str(SEASON[1]), "step_days": 10},
            "grid": {"crs": CRS, "resolution": 10, "tile_px": px},
            "inputs": {sensor: {"catalog": "nowhere.ndjson", "collection": f"made-{sensor}"} for sensor in sensors},
            "cube": {"uri": f"{root}/cube.zarr"},
            "model": {"uri": f"{root}/model", "features": list(features)},
            "output": {"uri": f"{root}/map"},
            "compute": {"workers": {"max": workers}},
        }
    )


def _items(spec: Spec, sensors: tuple[str, ...]) -> list[Item]:
    """One scene per sensor over the whole area, never opened."""
    footprint = shapely.geometry.mapping(shapely.box(*read_area(spec.area).buffer(0.1).bounds))
    moment = datetime(2021, 6, 1, tzinfo=UTC)
    return [
        Item(
            id=f"made-{sensor}", collection=f"made-{sensor}", sensor=sensor, datetime=moment, footprint=footprint,
            assets={band: Asset("nowhere", f"made-{band}") for band in SENSOR_BANDS[sensor]}, mask_kind=None,
        )
        for sensor in sensors
    ]  # fmt: skip


def _fill(spec: Spec, plan: Plan, layout: CubeLayout) -> Ledger:
    """Write every tile's zarr shards and its record, as the cube stage would have."""
    cube, ledger = Objects(spec.cube.uri), Ledger(cube_ledger(spec.cube.uri))
    side, encoded = plan.grid.tile_px, []
    for seed in range(min(VARIANTS, len(plan.tiles))):
        layers = dict(_layers(layout, side, seed))
        encoded.append({name: encode_layer(layout, plan.tiles[0], name, layer) for name, layer in layers.items()})
    for index, tile in enumerate(plan.tiles):
        shards = {}
        for pair in encoded[index % len(encoded)].values():
            for key, data in pair.items():
                shards[f"{key.rsplit('/', 2)[0]}/{tile.row}/{tile.col}"] = data
        for key, data in shards.items():
            cube.put(key, data)
        body = {
            "checksums": {key: checksum(data) for key, data in shards.items()},
            "bytes": {key: len(data) for key, data in shards.items()},
        }
        ledger.note(Record(tile.id, 1, plan.cube_key(index), "written", 1, body))
    ledger.compact(force=True)
    return ledger


def _layers(layout: CubeLayout, side: int, seed: int) -> Iterator[tuple[str, Layer]]:
    """Curves with one peak a season, noise and clouds, in the cube's own encoding."""
    rng = np.random.default_rng(seed)
    for name, axis in layout.axes.items():
        shape = (len(axis), len(SENSOR_BANDS[name]), side, side)
        peak = rng.uniform(0.3, 0.7, (1, 1, side, side))
        growth = np.exp(-(((np.linspace(0, 1, shape[0])[:, None, None, None] - peak) / 0.15) ** 2))
        level = rng.uniform(0.05, 0.2, (1, shape[1], 1, 1)) + growth * rng.uniform(0.05, 0.3, (1, shape[1], 1, 1))
        values = level + rng.normal(0, 0.01, shape)
        seen = rng.random((shape[0], side, side)) < 0.6
        if name == "optical":
            stored = np.where(seen[:, None], np.rint((values + 0.1) / 0.0001), 0).astype(np.uint16)
        elif name == "thermal":
            stored = np.where(seen[:, None], np.rint((280 + 40 * values) / 0.01), 0).astype(np.uint16)
        else:
            stored = np.where(seen[:, None], np.maximum(values, 1e-4), np.nan).astype(np.float32)
        yield name, Layer(stored, seen.astype(np.uint8))


def write_made_model(spec: Spec, family: Family) -> None:
    """A model of nine classes for the spec's recipe, with random weights, at the spec's place."""
    recipe, trivial = spec.recipe(), family == "trivial"
    later = STEPS - recipe.steps if family == "clec" else 0
    weights, parameters = _stump(recipe) if trivial else _network(family, recipe, later)
    count = len(recipe.features)
    card = Card(
        name="made-model",
        family="forest" if family == "trivial" else family,
        recipe=recipe,
        classes=tuple(ClassEntry(code=1000 + i, name=f"crop {i}", colour=f"#00{20 * i:02x}40") for i in range(CLASSES)),
        lower=tuple(280.0 if name == "lst" else 0.0 for name in recipe.features),
        upper=tuple(300.0 if name == "lst" else 1.0 for name in recipe.features),
        fill=(0.3,) * count,
        weights="model.skops" if trivial else "model.safetensors",
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        weights_bytes=len(weights),
        later_steps=later,
        parameters=parameters,
    )
    box = shapely.geometry.mapping(read_area(spec.area))
    start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in SEASON)
    write_model(card, weights, spec.model.uri, Domain(geometry=box, start=start, end=end))


def _network(family: Family, recipe: Recipe, later: int) -> tuple[bytes, int]:
    import torch

    torch.manual_seed(5)
    network = networks.build(family, networks.Shape(recipe.steps, len(recipe.features), CLASSES, later_steps=later))
    if isinstance(network, networks.TempCNN):
        with torch.no_grad():  # so that every class wins somewhere
            network.eval().out.weight.mul_(40)
            ramp = torch.linspace(0, 1, 200 * recipe.steps * len(recipe.features))
            network.out.bias.sub_(network(ramp.view(200, recipe.steps, -1)).mean(0))
    return networks.to_bytes(network), networks.parameter_count(network)


def _stump(recipe: Recipe) -> tuple[bytes, int]:
    rng = np.random.default_rng(5)
    y = np.arange(200) % CLASSES
    x = (rng.random((200, recipe.steps * len(recipe.features))) + 0.1 * y[:, None]).astype(np.float32)
    forest = RandomForestClassifier(1, max_depth=1, random_state=1).fit(x, y)
    return forests.to_bytes(forest), forests.node_count(forest)
