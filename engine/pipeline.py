"""The life of one tile: read this file first.

Two stories, each told for one tile: ``build_tile`` makes its part of the cube from scenes, ``map_tile`` makes its class
map from the cube (``engine.parcel_tile`` tells a third, of its parcels). Readers, classifiers and stores come in as
arguments, so one tile on a laptop and a thousand on a cluster run the same lines: nothing here knows Ray, Dask's
scheduler or torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.cube import CubeOptions, Reader, items_by_step, step_keys
from engine.errors import TileError
from engine.features import derive, hide, layers_needed, seen
from engine.ground import Ground
from engine.map_values import NODATA
from engine.models.card import Card
from engine.objects import Objects
from engine.output import OutputOptions, cog_files, parcel_asset, stac_item, told_unfamiliar, without
from engine.parcels import FILE_NAME, tally
from engine.sparing import Sparing, build_sparing
from engine.store import CubeLayout, checksum, decode_layer, decode_window, encode_layer
from engine.types import MAX_HALO, ClassMap, CubeBlock, FeatureBlock, Item, Layer, Tile, digest, dump_json

Classify = Callable[[FeatureBlock, NDArray[np.intp], NDArray[np.intp]], tuple[NDArray[np.uint8], NDArray[np.uint8]]]
"""A block with the model's halo, rows (n,) and columns (n,) of its core -> class index and confidence (n,) uint8."""

Familiar = Callable[[FeatureBlock, NDArray[np.intp], NDArray[np.intp]], NDArray[np.uint8]]
"""The same -> how familiar each pixel is, (n,) uint8."""

_Part = tuple[tuple[NDArray[np.intp], ...], FeatureBlock, NDArray[np.intp], NDArray[np.intp]]
"""Pixels of the tile (rows, columns), a block of features, and where in it they are (rows and columns of its core)."""

_STRIP_PX = 65536
_RUN_PX = 4096
"""Pixels whose features are made at once for a model that looks at single pixels, or one pass where that is more: they
are still in the cache when they are cut (measured: to derive them takes 0.4 us a pixel, and 1.2 to 3 in strips)."""


@dataclass(frozen=True, slots=True)
class CubeTask:
    """What a worker needs to know to build one cube tile. ``items``: per sensor; ``previous``: its last record."""

    tile: Tile
    key: str
    seq: int
    epoch: int
    items: Mapping[str, Sequence[Item]]
    previous: Mapping[str, Any] = field(default_factory=dict)
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ParcelTask:
    """The parcels that a tile owns. ``sha256``: of their file; ``around``: the other tiles that they reach into and
    whose cube is there, each with its checksums."""

    sha256: str
    around: Sequence[tuple[Tile, Mapping[str, str]]] = ()


@dataclass(frozen=True, slots=True)
class MapTask:
    """What a worker needs to know to map one tile. ``checksums``: cube object key -> SHA-256, of the tile and, for a
    model that looks at neighbours, of the tiles around it; empty: off the mask. ``unreached``: layers that decide
    whether a pixel was seen, and of which no scene reaches the tile: it is no data, and that is no failure."""

    tile: Tile
    key: str
    seq: int
    epoch: int
    checksums: Mapping[str, str]
    facts: Mapping[str, Any]
    memory_bytes: int = 0
    parcels: ParcelTask | None = None
    unreached: Sequence[str] = ()


def build_tile(
    task: CubeTask, layout: CubeLayout, options: CubeOptions, read: Reader, ground: Ground, cube: Objects
) -> dict[str, Any]:
    """Scenes -> the tile's zarr shards, in place in the cube. Returns what its record remembers.

    Steps whose key is that of the previous record are taken over from the shard that holds them. ``left_out`` names
    the scenes that it was built without, since they are missing or damaged and may be spared; ``unreached`` the layers
    of which no scene reaches the tile.
    """
    began = time.monotonic()
    if not ground.inside(task.tile.core.padded(MAX_HALO)).any():
        return {"empty": True}
    identity = digest([layout.grid.crs, layout.grid.bounds(task.tile.core), options.arithmetic])
    body: dict[str, Any] = {"checksums": {}, "bytes": {}, "steps": {}, "observations": {}, "computed": 0}
    unreached: list[str] = []
    left_out: dict[str, str] = {}
    for name, axis in layout.axes.items():
        items = task.items[name]
        keys = step_keys(name, axis, items, identity)
        held = _held_steps(task, layout, name, keys, cube)
        wanted = {i: members for i, members in enumerate(items_by_step(axis, items)) if i not in held}
        sparing = Sparing(read)
        fresh = build_sparing(name, wanted, task.tile.core, sparing, options)
        if sparing.broken:  # else a later build would take the step over, mended or not
            left_out |= sparing.broken
            keys = step_keys(name, axis, [item for item in items if item.id not in sparing.broken], identity)
        if not (sparing.met or sparing.broken or (held and name not in task.previous.get("unreached", ()))):
            unreached.append(name)
        layer = _joined([held[i] if i in held else fresh[i] for i in range(len(axis))])
        for key, data in encode_layer(layout, task.tile, name, layer).items():
            cube.put(key, data)
            body["checksums"][key] = checksum(data)
            body["bytes"][key] = len(data)
        body["steps"][name] = keys
        body["observations"][name] = int(layer.count.sum(dtype=np.int64))
        body["computed"] += len(wanted)
    body |= {"left_out": left_out} if left_out else {}
    body |= {"unreached": unreached} if unreached else {}
    body["seconds"] = round(time.monotonic() - began, 4)
    return body


def load_block(task: MapTask, layout: CubeLayout, card: Card, cube: Objects) -> CubeBlock:
    """The tile's cube block with the model's halo, as far as the card's recipe asks, each zarr shard checked against
    the ledger."""
    window = task.tile.core.padded(card.halo)
    layers = layers_needed(card.recipe.features)
    return {name: decode_window(cube, layout, window, name, task.checksums, card.recipe.steps) for name in layers}


def map_tile(
    task: MapTask, block: CubeBlock, card: Card, classify: Classify, ground: Ground, micro_batch: int,
    familiar: Familiar | None = None,
) -> ClassMap:  # fmt: skip
    """Cube block -> class and confidence of every pixel of the tile's core, no data off the ground asked for; how
    familiar each is as well, where ``familiar`` is given.

    Features never exist for the whole tile: they are made for some pixels at a time, ``micro_batch`` or a multiple of
    it, or for strips of rows where the model looks at neighbours; a pixel's result does not depend on which. Such a
    model sees nothing beyond the area: whether the cube holds that depends on the tiling. Raises TileError for a tile
    in which nothing was ever seen though scenes reach it.
    """
    inside = ground.inside(task.tile.core)
    unseen = np.full(task.tile.core.shape, NODATA, np.uint8)
    classes = ClassMap(unseen, unseen.copy(), int(inside.sum()), unseen.copy() if familiar else None)
    if not inside.any():
        return classes
    if card.halo:
        parts = _strips(block, card, inside, ~ground.of_area(task.tile.core.padded(card.halo)))
    else:
        parts = _runs(block, card, inside, micro_batch)
    any_seen = False
    for at, features, rows, cols in parts:
        any_seen = True
        classes.class_index[at], classes.confidence[at] = classify(features, rows, cols)
        if familiar and classes.familiarity is not None:
            classes.familiarity[at] = familiar(features, rows, cols)
    if not any_seen and not task.unreached:
        raise TileError(
            f"not one clear observation in {card.recipe.steps} steps",
            place=f"tile {task.tile.id}",
            remedy="raise inputs.*.max_cloud, widen the season or add a sensor; then tiles --retry",
        )
    return classes


def publish_tile(
    task: MapTask, layout: CubeLayout, card: Card, classes: ClassMap, options: OutputOptions, output: Objects,
    parcels: bytes | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Class map -> COGs and STAC item, published under a name that carries the key. Returns what the record keeps.

    ``parcels``: the tile's parcel table, which is published in a folder tree of its own, so that this opens as one.
    """
    unfamiliar = told_unfamiliar(classes, options.unfamiliar_below)
    told = _counts(classes.class_index[unfamiliar])
    if options.unfamiliar == "mask":
        classes = without(classes, unfamiliar)
    files = cog_files(layout.grid, task.tile, card, classes, options)
    item = stac_item(layout.grid, task.tile, card, files, task.facts, codes=options.codes)
    folder = f"tiles/{task.tile.id}/{task.key[:16]}"
    for name, data in files.items():
        output.put(f"{folder}/{name}", data)
    table: dict[str, Any] = {}
    if parcels is not None:
        place = f"parcels/{task.tile.id}/{task.key[:16]}"
        output.put(f"{place}/{FILE_NAME}", parcels)
        item["assets"]["parcels"] = parcel_asset(parcels, f"../../../{place}/{FILE_NAME}")
        table = {"folder": place, "file": [len(parcels), checksum(parcels)], **tally(parcels)}
    output.put(f"{folder}/item.json", dump_json(item))
    return {
        **({"parcels": table} if table else {}),
        "folder": folder,
        "files": {name: [len(data), checksum(data)] for name, data in files.items()},
        "bbox": task.facts["bbox"],
        "pixels": _counts(classes.class_index),
        "asked": classes.asked,
        **({"unreached": list(task.unreached)} if task.unreached else {}),
        **({} if classes.familiarity is None else {"unfamiliar": told}),
    }


def _counts(index: NDArray[np.uint8]) -> dict[str, int]:
    """Pixels of each class index there is, the index as text."""
    return {str(i): int(n) for i, n in enumerate(np.bincount(index.ravel(), minlength=256)) if n}


def _held_steps(task: CubeTask, layout: CubeLayout, name: str, keys: Sequence[str], cube: Objects) -> dict[int, Layer]:
    """The steps that the cube already holds under the same key."""
    old = task.previous.get("steps", {}).get(name, [])
    same = [i for i, (was, now) in enumerate(zip(old, keys, strict=False)) if was == now]
    if not same:
        return {}
    try:
        layer = decode_layer(cube, layout, task.tile, name, task.previous["checksums"])
    except TileError:  # somebody wrote over it: compute it anew
        return {}
    return {i: Layer(layer.values[i : i + 1], layer.count[i : i + 1]) for i in same}


def _joined(steps: Sequence[Layer]) -> Layer:
    return Layer(np.concatenate([s.values for s in steps]), np.concatenate([s.count for s in steps]))


def _runs(block: CubeBlock, card: Card, inside: NDArray[np.bool_], micro_batch: int) -> Iterator[_Part]:
    """The pixels that were seen, so many at a time, side by side in blocks of one row."""
    wanted = np.flatnonzero(seen(block, card.recipe) & inside)
    length = max(1, _RUN_PX // micro_batch) * micro_batch
    for start in range(0, len(wanted), length):
        some = wanted[start : start + length]
        features = derive({name: _picked(layer, some) for name, layer in block.items()}, card.recipe)
        yield np.unravel_index(some, inside.shape), features, np.zeros_like(some), np.arange(len(some))


def _strips(block: CubeBlock, card: Card, inside: NDArray[np.bool_], beyond: NDArray[np.bool_]) -> Iterator[_Part]:
    """Strips of rows that hold a pixel which was seen, with the model's halo."""
    halo, height = card.halo, max(1, _STRIP_PX // inside.shape[1])
    for y0 in range(0, len(inside), height):
        strip, reach = slice(y0, y0 + height), slice(y0, y0 + height + 2 * halo)
        if not inside[strip].any():
            continue
        features = derive({name: _rows(layer, reach) for name, layer in block.items()}, card.recipe)
        features = hide(features, beyond[reach])
        rows, cols = np.nonzero(_core(features.valid, halo) & inside[strip])
        if len(rows):
            yield (y0 + rows, cols), features, rows, cols


def _core(padded: NDArray[np.bool_], halo: int) -> NDArray[np.bool_]:
    """(y, x) without its outermost ``halo`` pixels."""
    return padded[halo : padded.shape[0] - halo, halo : padded.shape[1] - halo]


def _rows(layer: Layer, rows: slice) -> Layer:
    return Layer(layer.values[..., rows, :], layer.count[..., rows, :])


def _picked(layer: Layer, at: NDArray[np.intp]) -> Layer:
    """Single pixels, by their place in the flattened rows, as one row."""
    together = at[-1] - at[0] + 1 == len(at)  # as most are: nothing is copied
    pick = slice(at[0], at[-1] + 1) if together else at
    flat = (array.reshape(*array.shape[:-2], 1, -1) for array in (layer.values, layer.count))
    return Layer(*(array[..., pick] for array in flat))
