"""The cube's metadata: created, or lengthened for a longer season. Only the driver does this, before any tile.

Everything is refused before anything is written, and each piece is written unless it is there as it should be: a run
killed halfway is finished by the next.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, get_args

import numpy as np
import zarr
from numpy.typing import NDArray
from pyproj import CRS
from zarr.abc.buffer import Buffer
from zarr.core.buffer import default_buffer_prototype
from zarr.errors import ZarrUserWarning
from zarr.storage import MemoryStore

from engine.bands import SENSOR_BANDS, LayerName, sensor_of
from engine.errors import InputError
from engine.objects import Objects
from engine.store.layout import CHUNK_STEPS, CubeLayout, arrays_of
from engine.types import Axis, Grid

_PARALLEL = 16
_EPOCH = np.datetime64("1970-01-01T00:00:00")


def prepare(objects: Objects, grid: Grid, axes: Mapping[str, Axis]) -> CubeLayout:
    """Create the cube, or lengthen its time axes, and say how it is cut. Only the driver calls this, before any tile.

    Raises InputError where the uri holds a cube of another grid, season start or step.
    """
    held = held_metadata(objects, axes)
    copy = copied(held)
    store = MemoryStore(copy)
    layout = layout_of(objects, grid, axes)
    distinct = {axis.name: axis for axis in axes.values()}
    if "zarr.json" not in held:
        root = zarr.create_group(store, attributes=_root_attributes(grid))
    else:
        root = zarr.open_group(store, mode="r+", use_consolidated=False)
        _refuse_other(root, layout, objects)
    _write_space(root, grid)
    for axis in distinct.values():
        _write_axis(root, axis)
    for layer in axes:
        for array in arrays_of(layout, layer):
            if array.name not in root:
                array.create(store, array.shape)
        labels = SENSOR_BANDS[sensor_of(layer)]
        _write_coordinate(root, f"{sensor_of(layer)}_band", np.array(labels, np.dtypes.StringDType()), {})
    _lengthen(root, distinct)
    with warnings.catch_warnings():
        # It warns that consolidated metadata is not in the Zarr 3 specification yet; xarray opens cubes faster by it.
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(store)
    made = {key: buffer.to_bytes() for key, buffer in copy.items()}
    for key in sorted(made, key=lambda key: (key == "zarr.json", key)):  # the root last: it lists all the others
        if made[key] != held.get(key):
            objects.put(key, made[key])
    return layout


def refuse_other_cube(objects: Objects, grid: Grid, axes: Mapping[str, Axis]) -> None:
    """InputError where ``prepare`` would raise it; writes nothing."""
    held = held_metadata(objects, axes)
    if "zarr.json" in held:
        root = zarr.open_group(MemoryStore(copied(held)), mode="r", use_consolidated=False)
        _refuse_other(root, layout_of(objects, grid, axes), objects)


def layout_of(objects: Objects, grid: Grid, axes: Mapping[str, Axis]) -> CubeLayout:
    """How the cube there is cut, for who reads it; writes nothing."""
    return CubeLayout(grid, dict(axes), {name: _room(objects, name, axis) for name, axis in axes.items()})


def copied(held: Mapping[str, bytes]) -> dict[str, Buffer]:
    """What Zarr works on, in memory: the store is asked, and written to, by ``objects`` alone, which is patient."""
    return {key: default_buffer_prototype().buffer.from_bytes(data) for key, data in held.items()}


def held_metadata(objects: Objects, axes: Mapping[str, Axis]) -> dict[str, bytes]:
    """Every array's metadata that the cube has, and the values of the small ones. Not listed: shards are many."""
    layers = [array for layer in get_args(LayerName) for array in (layer, f"{layer}_count")]
    held = _found(objects, ["zarr.json", *(f"{name}/zarr.json" for name in layers)])
    documents = [json.loads(data) for key, data in held.items() if key != "zarr.json"]
    times = {document["dimension_names"][0] for document in documents} | {axis.name for axis in axes.values()}
    flat = [*times, "x", "y", *(f"{sensor}_band" for sensor in SENSOR_BANDS)]
    values = [*(f"{name}/c/0" for name in flat), *(f"{name}_bounds/c/0/0" for name in times), "spatial_ref/c"]
    headers = [f"{key.split('/')[0]}/zarr.json" for key in values]
    return held | _found(objects, [*headers, *values])


def _found(objects: Objects, keys: Sequence[str]) -> dict[str, bytes]:
    """Those of the objects that are there."""
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return {key: data for key, data in zip(keys, pool.map(objects.find, keys), strict=True) if data is not None}


def _room(objects: Objects, name: str, axis: Axis) -> int:
    known = objects.find(f"{name}/zarr.json")
    if known is not None:
        return int(json.loads(known)["chunk_grid"]["configuration"]["chunk_shape"][0])
    return -(-2 * len(axis) // CHUNK_STEPS) * CHUNK_STEPS


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


def _refuse_other(root: zarr.Group, layout: CubeLayout, objects: Objects) -> None:
    _refuse_other_grid(root, layout.grid, objects)
    for axis in {axis.name: axis for axis in layout.axes.values()}.values():
        _refuse_other_season(root, axis, objects)
    _refuse_beyond_room(layout, objects)


def _refuse_other_grid(root: zarr.Group, grid: Grid, objects: Objects) -> None:
    wanted = _root_attributes(grid)
    for name in ("proj:code", "spatial:transform", "spatial:shape", "tilth:tile_px"):
        if root.attrs.get(name) != wanted[name]:
            raise InputError(
                f"the cube there has {name} {root.attrs.get(name)}, the spec gives {wanted[name]}",
                place=objects.uri,
                remedy="name another cube.uri, or give the spec the cube's area and grid",
            )


def _refuse_other_season(root: zarr.Group, axis: Axis, objects: Objects) -> None:
    starts = _seconds(axis.starts)
    known = np.asarray(array_in(root, axis.name)[:]) if axis.name in root else starts[:0]
    if not known.any():  # none yet, or its writing was cut short
        return
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


def _refuse_beyond_room(layout: CubeLayout, objects: Objects) -> None:
    for layer, axis in layout.axes.items():
        if len(axis) > layout.room[layer]:
            raise InputError(
                f"{len(axis)} steps, but the zarr shards of {layer} have room for {layout.room[layer]}",
                place=objects.uri,
                remedy="start a new cube.uri for the longer season",
            )


def _write_space(root: zarr.Group, grid: Grid) -> None:
    half = grid.resolution / 2
    x = grid.left + half + np.arange(grid.width) * grid.resolution
    y = grid.top - half - np.arange(grid.height) * grid.resolution
    for name, values in (("x", x), ("y", y)):
        attributes = {"standard_name": f"projection_{name}_coordinate", "units": "m", "axis": name.upper()}
        _write_coordinate(root, name, values, attributes)
    a, b, c, d, e, f = grid.transform(grid.tile(0, 0).core)
    crs = CRS.from_user_input(grid.crs)
    geotransform = " ".join(str(v) for v in (c, a, b, f, d, e))
    mapping = crs.to_cf() | {"spatial_ref": crs.to_wkt(), "GeoTransform": geotransform}
    _write_coordinate(root, "spatial_ref", np.zeros((), "int64"), mapping)


def _write_axis(root: zarr.Group, axis: Axis) -> None:
    """Start of each interval as the coordinate, both ends as its CF bounds, in seconds since 1970."""
    starts, ends = _seconds(axis.starts), _seconds(axis.ends)
    clock = {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian"}
    _write_coordinate(root, axis.name, starts, clock | {"bounds": f"{axis.name}_bounds"})
    _write_coordinate(root, f"{axis.name}_bounds", np.stack([starts, ends], 1), clock, (axis.name, "bounds"))


def _write_coordinate(
    root: zarr.Group, name: str, data: NDArray, attributes: Mapping[str, Any], dims: tuple[str, ...] | None = None
) -> None:
    """A small array in one chunk, ``dims`` named after itself. Left alone where it is there just so: an earlier run may
    have been killed before, in or after its writing."""
    attributes = json.loads(json.dumps(attributes))
    if name in root:
        known = array_in(root, name)
        if dict(known.attrs) == attributes and np.array_equal(np.asarray(known[...]), data):
            return
    names = dims if dims is not None else (name,) * data.ndim
    root.create_array(
        name, data=data, chunks=data.shape, dimension_names=names, attributes=dict(attributes), overwrite=True
    )


def _lengthen(root: zarr.Group, axes: Mapping[str, Axis]) -> None:
    """Every layer on these axes, also those this run does not build, gets the axis' length."""
    for _, array in root.arrays():
        first = str((array.metadata.dimension_names or ("",))[0])  # type: ignore[union-attr]
        if array.ndim > 2 and first in axes and array.shape[0] != len(axes[first]):
            array.resize((len(axes[first]), *array.shape[1:]))


def _seconds(moments: Sequence[datetime]) -> NDArray[np.int64]:
    return np.array([int(moment.timestamp()) for moment in moments], np.int64)


def array_in(root: zarr.Group, name: str) -> zarr.Array:
    found = root[name]
    assert isinstance(found, zarr.Array)
    return found
