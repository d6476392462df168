"""How the cube is cut into Zarr arrays, chunks and zarr shards. Pure: no store is touched."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from engine.bands import SENSOR_BANDS, sensor_of
from engine.types import Axis, Grid

CHUNK_STEPS = 12
_CHUNK_PX = 256
_ENCODING: Mapping[str, tuple[str, Any, dict[str, Any]]] = {
    "optical": ("uint16", 0, {"scale_factor": 0.0001, "add_offset": -0.1, "_FillValue": 0, "units": "1"}),
    "radar": ("float32", float("nan"), {"long_name": "backscatter, linear power", "units": "1"}),
    "c2": ("float32", float("nan"), {"long_name": "m-chi scattering, square root of linear power", "units": "1"}),
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
class CubeArray:
    """One Zarr array of the cube, the whole or one tile's part."""

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
            # Level 3 takes twice the time and saves nothing (measured on cubes of the demo).
            compressors=BloscCodec(
                cname="zstd", clevel=1, shuffle="bitshuffle", typesize=np.dtype(self.dtype).itemsize
            ),
            dimension_names=self.dims,
            attributes=dict(self.attributes),
            # Cloud is written out like any value: every tile has every shard, and absence means loss.
            config={"write_empty_chunks": True},
        )

    def key(self, row: int, col: int) -> str:
        """Object key of a tile's shard below the cube."""
        return "/".join([self.name, "c", *["0"] * (len(self.dims) - 2), str(row), str(col)])


def arrays_of(layout: CubeLayout, layer: str) -> tuple[CubeArray, CubeArray]:
    """Values and count arrays of one layer."""
    grid, axis, sensor = layout.grid, layout.axes[layer], sensor_of(layer)
    dtype, fill, attributes = _ENCODING[sensor]
    steps, bands, side = len(axis), len(SENSOR_BANDS[sensor]), grid.tile_px
    room = layout.room[layer]
    px = _chunk_side(side)
    mapping = {"grid_mapping": "spatial_ref", "coordinates": "spatial_ref"}  # the second makes xarray find the first
    values = CubeArray(
        name=layer,
        dtype=dtype,
        fill=fill,
        dims=(axis.name, f"{sensor}_band", "y", "x"),
        shape=(steps, bands, grid.height, grid.width),
        chunks=(CHUNK_STEPS, 1, px, px),
        shards=(room, bands, side, side),
        attributes={**attributes, **mapping},
    )
    count = CubeArray(
        name=f"{layer}_count",
        dtype="uint8",
        fill=0,
        dims=(axis.name, "y", "x"),
        shape=(steps, grid.height, grid.width),
        chunks=(CHUNK_STEPS, px, px),
        shards=(room, side, side),
        attributes={"long_name": "valid observations", "units": "1", **mapping},
    )
    return values, count


def _chunk_side(side: int) -> int:
    """The divisor of the tile's side nearest to ``_CHUNK_PX``: a prime side is one chunk, not crumbs of one pixel."""
    return min((n for n in range(1, side + 1) if side % n == 0), key=lambda n: abs(math.log(n / _CHUNK_PX)))
