"""The Zarr cube: create and lengthen its metadata (driver only), encode and decode one tile's zarr shards.

One zarr shard per tile and array. A worker encodes a shard in memory, learns its checksum and replaces the object by
one PUT; a reader fetches the whole object, compares it with the checksum in the ledger, and decodes. So a half written
or foreign shard is never taken for the tile. Zarr itself does all encoding; ``xarray.open_zarr`` opens the cube as any.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from pyproj import CRS
from zarr.codecs import BloscCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore, ObjectStore

from engine.cube import sensor_of
from engine.errors import InputError, TileError
from engine.objects import Objects
from engine.types import SENSOR_BANDS, Axis, Grid, Layer, Tile

_CHUNK_STEPS = 12
_CHUNK_PX = 256
_EPOCH = np.datetime64("1970-01-01T00:00:00")
_ENCODING: Mapping[str, tuple[str, Any, dict[str, Any]]] = {
    "optical": ("uint16", 0, {"scale_factor": 0.0001, "add_offset": -0.1, "_FillValue": 0, "units": "1"}),
    "radar": ("float32", float("nan"), {"long_name": "backscatter, linear power", "units": "1"}),
    "thermal": ("uint16", 0, {"scale_factor": 0.01, "add_offset": 0.0, "_FillValue": 0, "units": "K"}),
}


@dataclass(frozen=True, slots=True)
class CubeLayout:
    """How the cube is cut: its grid, each layer's time axis, and how many steps each layer's zarr shards have room for.

    Room is fixed when an array is created, at twice the steps, so that later scenes go into the same shard.
    """

    grid: Grid
    axes: Mapping[str, Axis]
    room: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Array:
    """One Zarr array of the cube."""

    name: str
    dtype: str
    fill: Any
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    attributes: Mapping[str, Any]

    def create(self, store: Any, shape: tuple[int, ...]) -> zarr.Array:
        """The array's metadata in ``store``, in this ``shape`` (the whole cube's, or one tile's)."""
        return zarr.create_array(
            store,
            name=self.name,
            shape=shape,
            dtype=self.dtype,
            chunks=self.chunks,
            shards=self.shards,
            fill_value=self.fill,
            compressors=BloscCodec(
                cname="zstd", clevel=3, shuffle="bitshuffle", typesize=np.dtype(self.dtype).itemsize
            ),
            dimension_names=self.dims,
            attributes=dict(self.attributes),
            # Cloud is written out like any value: every tile has every shard, and absence means loss.
            config={"write_empty_chunks": True},
        )

    def key(self, row: int, col: int) -> str:
        """Object key of a tile's shard below the cube."""
        return "/".join([self.name, "c", *["0"] * (len(self.dims) - 2), str(row), str(col)])


def _arrays(layout: CubeLayout, layer: str) -> tuple[_Array, _Array]:
    """Values and count arrays of one layer."""
    grid, axis, sensor = layout.grid, layout.axes[layer], sensor_of(layer)
    dtype, fill, attributes = _ENCODING[sensor]
    steps, bands, side = len(axis), len(SENSOR_BANDS[sensor]), grid.tile_px
    room = layout.room[layer]
    px = max(n for n in range(1, min(side, _CHUNK_PX) + 1) if side % n == 0)
    mapping = {"grid_mapping": "spatial_ref"}
    values = _Array(
        name=layer,
        dtype=dtype,
        fill=fill,
        dims=(axis.name, f"{sensor}_band", "y", "x"),
        shape=(steps, bands, grid.height, grid.width),
        chunks=(_CHUNK_STEPS, 1, px, px),
        shards=(room, bands, side, side),
        attributes={**attributes, **mapping},
    )
    count = _Array(
        name=f"{layer}_count",
        dtype="uint8",
        fill=0,
        dims=(axis.name, "y", "x"),
        shape=(steps, grid.height, grid.width),
        chunks=(_CHUNK_STEPS, px, px),
        shards=(room, side, side),
        attributes={"long_name": "valid observations", "units": "1", **mapping},
    )
    return values, count


def prepare(objects: Objects, grid: Grid, axes: Mapping[str, Axis]) -> CubeLayout:
    """Create the cube, or lengthen its time axes, and say how it is cut. Only the driver calls this, before any tile.

    Raises InputError where the uri holds a cube of another grid, season start or step.
    """
    store = ObjectStore(objects.obstore)
    if objects.find("zarr.json") is None:
        root = zarr.create_group(store, attributes=_root_attributes(grid))
        _write_space(root, grid)
    else:
        root = zarr.open_group(store, mode="r+", use_consolidated=False)
        _refuse_other_grid(root, grid, objects)
    layout = CubeLayout(grid, dict(axes), {name: _room(objects, name, axis) for name, axis in axes.items()})
    for axis in {axis.name: axis for axis in axes.values()}.values():
        _write_axis(root, axis, objects)
    for layer, axis in axes.items():
        if len(axis) > layout.room[layer]:
            raise InputError(
                f"{len(axis)} steps, but the zarr shards of {layer} have room for {layout.room[layer]}",
                place=objects.uri,
                remedy="start a new cube.uri for the longer season",
            )
        for array in _arrays(layout, layer):
            if array.name not in root:
                array.create(store, array.shape)
            else:
                _array_in(root, array.name).resize(array.shape)
        _write_labels(root, f"{sensor_of(layer)}_band", SENSOR_BANDS[sensor_of(layer)])
    zarr.consolidate_metadata(store)
    return layout


def encode_layer(layout: CubeLayout, tile: Tile, name: str, layer: Layer) -> dict[str, bytes]:
    """The tile's two shards of one layer as object key -> bytes. Equal input gives equal bytes."""
    encoded = {}
    for array, values in zip(_arrays(layout, name), (layer.values, layer.count), strict=True):
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
        for array in _arrays(layout, name)
        for key in (array.key(tile.row, tile.col),)
    )
    return Layer(values, count)


def checksum(data: bytes) -> str:
    """SHA-256 of an object's bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _decode(array: _Array, data: bytes, tile: Tile, steps: int | None) -> NDArray:
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


def _array_in(root: zarr.Group, name: str) -> zarr.Array:
    found = root[name]
    assert isinstance(found, zarr.Array)
    return found


def _room(objects: Objects, name: str, axis: Axis) -> int:
    known = objects.find(f"{name}/zarr.json")
    if known is not None:
        return int(json.loads(known)["chunk_grid"]["configuration"]["chunk_shape"][0])
    return -(-2 * len(axis) // _CHUNK_STEPS) * _CHUNK_STEPS


def _root_attributes(grid: Grid) -> dict[str, Any]:
    """CF and GeoZarr-style georeference; what makes two grids the same cube."""
    return {
        "Conventions": "CF-1.11",
        "title": "composites by time step, unfilled, with counts of valid observations",
        "proj:code": grid.crs,
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": list(grid.transform(grid.tile(0, 0).core)),
        "spatial:shape": [grid.height, grid.width],
        "tilth:tile_px": grid.tile_px,
    }


def _refuse_other_grid(root: zarr.Group, grid: Grid, objects: Objects) -> None:
    wanted = _root_attributes(grid)
    for name in ("proj:code", "spatial:transform", "spatial:shape", "tilth:tile_px"):
        if root.attrs.get(name) != wanted[name]:
            raise InputError(
                f"the cube there has {name} {root.attrs.get(name)}, the spec gives {wanted[name]}",
                place=objects.uri,
                remedy="name another cube.uri, or give the spec the cube's area and grid",
            )


def _write_space(root: zarr.Group, grid: Grid) -> None:
    half = grid.resolution / 2
    x = grid.left + half + np.arange(grid.width) * grid.resolution
    y = grid.top - half - np.arange(grid.height) * grid.resolution
    for name, values in (("x", x), ("y", y)):
        array = root.create_array(name, data=values, chunks=(len(values),), dimension_names=(name,))
        array.attrs.update({"standard_name": f"projection_{name}_coordinate", "units": "m", "axis": name.upper()})
    a, b, c, d, e, f = grid.transform(grid.tile(0, 0).core)
    crs = root.create_array("spatial_ref", shape=(), dtype="int64", fill_value=0)
    wkt = CRS.from_user_input(grid.crs).to_wkt()
    geotransform = " ".join(str(v) for v in (c, a, b, f, d, e))
    crs.attrs.update(CRS.from_user_input(grid.crs).to_cf() | {"spatial_ref": wkt, "GeoTransform": geotransform})


def _write_axis(root: zarr.Group, axis: Axis, objects: Objects) -> None:
    """Start of each interval as the coordinate, both ends as its CF bounds, in seconds since 1970."""
    starts, ends = (np.array([int(m.timestamp()) for m in moments], "int64") for moments in (axis.starts, axis.ends))
    if axis.name in root:
        known = np.asarray(_array_in(root, axis.name)[:])
        shared = min(len(known), len(starts))
        if not np.array_equal(known[:shared], starts[:shared]) or len(known) > len(starts):
            first, last = (_EPOCH + known[[0, -1]].astype("timedelta64[s]")).astype("datetime64[D]")
            raise InputError(
                f"the cube there has {len(known)} intervals from {first} to {last} on axis {axis.name}, "
                f"the spec gives {len(starts)} from {axis.starts[0]:%Y-%m-%d} to {axis.starts[-1]:%Y-%m-%d}",
                expected="the same start and step, and an end no earlier",
                place=objects.uri,
                remedy="use season.as_of for an earlier cut-off, or name another cube.uri",
            )
    bounds = {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian"}
    for name, data, dims in (
        (axis.name, starts, (axis.name,)),
        (f"{axis.name}_bounds", np.stack([starts, ends], 1), (axis.name, "bounds")),
    ):
        array = root.create_array(name, data=data, chunks=data.shape, dimension_names=dims, overwrite=True)
        array.attrs.update(bounds | ({"bounds": f"{axis.name}_bounds"} if name == axis.name else {}))


def _write_labels(root: zarr.Group, name: str, labels: tuple[str, ...]) -> None:
    if name not in root:
        array = root.create_array(name, shape=(len(labels),), dtype=str, dimension_names=(name,))
        array[:] = np.array(labels, dtype=object)
