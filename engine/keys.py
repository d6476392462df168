"""What decides a map tile's bytes, and the facts its STAC item states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import shapely
from pyproj import Transformer

from engine.features import FEATURES_VERSION, layers_needed
from engine.ground import MaskOptions, mask_identity
from engine.ledger import Record
from engine.models import Card
from engine.output import OUTPUT_VERSION, OutputOptions
from engine.plan import Plan
from engine.types import Grid, Tile, digest


def map_keys(
    plan: Plan,
    cube_records: Mapping[str, Record],
    card: Card,
    *,
    model: str,
    micro_batch: int,
    output: OutputOptions,
    mask: MaskOptions | None,
    stated: Any,
) -> Iterator[tuple[Tile, str]]:
    """Each tile with its key. ``model``: the model's digest; ``stated``: what items say of the run (name, season).

    A tile's key covers the checksums of its zarr shards, not the scenes behind them: scenes that change nothing in
    the cube change nothing in the map.
    """
    common = digest(
        [FEATURES_VERSION, OUTPUT_VERSION, plan.grid.crs, plan.grid.resolution, model, micro_batch,
         list(output.products), output.profile.model_dump(), mask_identity(mask), stated]
    )  # fmt: skip
    layers = layers_needed(card.recipe.features)
    reached = [plan.grid.bounds(tile.core.padded(card.halo)) for tile in plan.tiles]
    boxes = shapely.box(*np.array(reached, float).reshape(-1, 4).T)
    shapely.prepare(plan.area)
    whole = shapely.contains(plan.area, boxes)
    for tile, box, inside in zip(plan.tiles, boxes, whole, strict=True):
        record = cube_records.get(tile.id)
        sums = shards_around(plan.grid, tile, card.halo, cube_records)
        mine = {key: value for key, value in sums.items() if key.split("/")[0].removesuffix("_count") in layers}
        part = "whole" if inside else shapely.to_wkb(shapely.normalize(plan.area & box), hex=True)
        state = record.state if record else "missing"
        yield tile, digest([common, list(plan.grid.bounds(tile.core)), mine, part, state])


def shards_around(grid: Grid, tile: Tile, halo: int, cube_records: Mapping[str, Record]) -> dict[str, str]:
    """Object key -> SHA-256 of the tile's zarr shards and, with a halo, of the tiles it reaches into; empty where the
    tile itself has none."""
    own = _checksums(cube_records.get(tile.id))
    if not own or not halo:
        return own
    near = [_checksums(cube_records.get(other.id)) for other in grid.tiles_in(tile.core.padded(halo))]
    return {key: value for sums in near for key, value in sums.items()}


def _checksums(record: Record | None) -> dict[str, str]:
    return dict(record.body.get("checksums", {})) if record and record.state == "written" else {}


def tile_facts(plan: Plan, stated: Mapping[str, Any]) -> Callable[[Tile], dict[str, Any]]:
    """``stated`` with the outline of each tile, longitude and latitude, for its STAC item."""
    back = Transformer.from_crs(plan.grid.crs, "EPSG:4326", always_xy=True)

    def facts(tile: Tile) -> dict[str, Any]:
        left, bottom, right, top = plan.grid.bounds(tile.core)
        lon, lat = back.transform([left, right, right, left, left], [top, top, bottom, bottom, top])
        ring = [[round(x, 7), round(y, 7)] for x, y in zip(lon, lat, strict=True)]
        bbox = [min(x for x, _ in ring), min(y for _, y in ring), max(x for x, _ in ring), max(y for _, y in ring)]
        # Written anticlockwise, as GeoJSON asks.
        return {**stated, "geometry": {"type": "Polygon", "coordinates": [ring[::-1]]}, "bbox": bbox}

    return facts
