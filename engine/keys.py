"""What decides a map tile's bytes, and the facts its STAC item states."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from pyproj import Transformer

from engine.earth import geojson, lonlat_box, split_at_date_line
from engine.features import FEATURES_VERSION, deciding, layers_needed
from engine.ground import MaskOptions, mask_identity
from engine.ledger import Record
from engine.models import Card
from engine.models.familiarity import FAMILIARITY_VERSION
from engine.output import OUTPUT_VERSION, OutputOptions
from engine.parcels import ParcelOptions, Register
from engine.plan import Plan
from engine.predict import FORWARD_VERSION
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
    parcels: tuple[ParcelOptions, Register] | None = None,
) -> Iterator[tuple[Tile, str]]:
    """Each tile with its key. ``model``: the model's digest; ``stated``: what items say of the run (name, season).

    A tile's key covers the checksums of its zarr shards, not the scenes behind them: scenes that change nothing in
    the cube change nothing in the map. Where a tile owns parcels, its key covers these, and the zarr shards and the
    area of every tile that they reach into.
    """
    tells = [FAMILIARITY_VERSION, output.unfamiliar, output.unfamiliar_below] if output.tells else []
    common = digest(
        [FEATURES_VERSION, FORWARD_VERSION, OUTPUT_VERSION, plan.grid.crs, plan.grid.resolution, model, micro_batch,
         list(output.products), output.profile.model_dump(), output.codes, mask_identity(mask), stated, tells]
    )  # fmt: skip
    layers = layers_needed(card.recipe.features)
    reached = [plan.grid.bounds(tile.core.padded(card.halo)) for tile in plan.tiles]
    boxes = shapely.box(*np.array(reached, float).reshape(-1, 4).T)
    shapely.prepare(plan.area)
    whole = shapely.contains(plan.area, boxes)
    at = {tile.id: i for i, tile in enumerate(plan.tiles)}

    @lru_cache(maxsize=4096)  # tiles come row by row, and parcels reach into the next row
    def ground(tile: str) -> tuple[Any, ...]:
        record, i = cube_records.get(tile), at[tile]
        sums = shards_around(plan.grid, plan.tiles[i], card.halo, cube_records)
        part = "whole" if whole[i] else shapely.to_wkb(shapely.normalize(plan.area & boxes[i]), hex=True)
        return needed(sums, layers), part, record.state if record else "missing"

    for tile in plan.tiles:
        owned = parcels[1].parts.get(tile.id) if parcels else None
        more = [parcels[0].arithmetic, owned.sha256, *map(ground, owned.reaches)] if parcels and owned else []
        more += [bare] if (bare := unreached(cube_records.get(tile.id), card)) else []
        yield tile, digest([common, list(plan.grid.bounds(tile.core)), *ground(tile.id), *more])


def unreached(record: Record | None, card: Card) -> list[str]:
    """Of the layers by which this model tells whether a pixel was seen those of which no scene reaches the tile."""
    bare = record.body.get("unreached", ()) if record else ()
    return [layer for layer in deciding(card.recipe) if layer in bare]


def map_digest(published: Mapping[str, Record]) -> str:
    """Names a published map: equal for the same tiles, made under the same keys, with the same bytes.

    published: the records of its published tiles, by tile.
    """
    facts = {
        tile: [record.key, record.body["files"], record.body.get("parcels", {}).get("file")]
        for tile, record in published.items()
    }
    return digest(facts)


def needed(checksums: Mapping[str, str], layers: Collection[str]) -> dict[str, str]:
    """The checksums of those zarr shards that these layers lie in."""
    return {key: value for key, value in checksums.items() if key.split("/")[0].removesuffix("_count") in layers}


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
        outline = split_at_date_line(shapely.Polygon(np.round(np.column_stack([lon, lat]), 7)))
        return {**stated, "geometry": geojson(outline), "bbox": lonlat_box(outline)}

    return facts
