"""One tile's zarr shards: encoded in memory and told by checksum, or fetched whole, compared and decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from engine.errors import TileError
from engine.objects import Objects
from engine.store.layout import CubeArray, CubeLayout, arrays_of
from engine.types import Layer, Tile, Window


def encode_layer(layout: CubeLayout, tile: Tile, name: str, layer: Layer) -> dict[str, bytes]:
    """The tile's two shards of one layer as object key -> bytes. Equal input gives equal bytes."""
    encoded = {}
    for array, values in zip(arrays_of(layout, name), (layer.values, layer.count), strict=True):
        memory: dict[str, Any] = {}
        array.create(MemoryStore(memory), values.shape)[...] = values
        (data,) = [buffer for key, buffer in memory.items() if "/c/" in key]
        encoded[array.key(tile.row, tile.col)] = data.to_bytes()
    return encoded


def decode_layer(
    objects: Objects, layout: CubeLayout, tile: Tile, name: str, checksums: Mapping[str, str], steps: int | None = None
) -> Layer:
    """The tile's core of one layer, its ``steps`` leading steps (None: all). ``checksums``: object key -> SHA-256.

    Raises TileError where a shard is gone or is not the one the ledger knows.
    """
    values, count = (
        _decode(array, _fetch(objects, key, checksums[key]), tile, steps)
        for array in arrays_of(layout, name)
        for key in (array.key(tile.row, tile.col),)
    )
    return Layer(values, count)


def decode_window(
    objects: Objects,
    layout: CubeLayout,
    window: Window,
    name: str,
    checksums: Mapping[str, str],
    steps: int | None = None,
) -> Layer:
    """Any window of one layer, put together from the tiles it meets, its ``steps`` leading steps (None: all).

    No data where a tile has no shard among ``checksums``, and beyond the grid. Errors as ``decode_layer``.
    """
    arrays, tiles = arrays_of(layout, name), layout.grid.tiles_in(window)
    if [tile.core for tile in tiles] == [window] and arrays[0].key(tiles[0].row, tiles[0].col) in checksums:
        return decode_layer(objects, layout, tiles[0], name, checksums, steps)  # nothing to put together
    length = min(steps or len(layout.axes[name]), len(layout.axes[name]))
    values, count = (np.full((length, *array.shape[1:-2], *window.shape), array.fill, array.dtype) for array in arrays)
    for tile in tiles:
        if arrays[0].key(tile.row, tile.col) not in checksums:
            continue
        held = decode_layer(objects, layout, tile, name, checksums, steps)
        part = tile.core.shared(window)
        here, there = (..., *part.within(window)), (..., *part.within(tile.core))
        values[here], count[here] = held.values[there], held.count[there]
    return Layer(values, count)


def checksum(data: bytes) -> str:
    """SHA-256 of an object's bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _decode(array: CubeArray, data: bytes, tile: Tile, steps: int | None) -> NDArray:
    memory: dict[str, Any] = {}
    small = array.create(MemoryStore(memory), (*array.shape[:-2], *tile.core.shape))
    memory[array.key(0, 0)] = default_buffer_prototype().buffer.from_bytes(data)
    return np.asarray(small[:steps])


def _fetch(objects: Objects, key: str, expected: str) -> bytes:
    try:
        data = objects.get(key)
    except FileNotFoundError:
        raise TileError("a zarr shard is gone", place=objects.url(key), remedy="run tilth cube again") from None
    if checksum(data) != expected:
        raise TileError(
            "a zarr shard differs from its record: something else wrote into this cube",
            place=objects.url(key),
            remedy="give each job its own cube.uri, or run tilth cube again",
        )
    return data
