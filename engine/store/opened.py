"""A cube as another job left it: how it is cut, read from its own metadata."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args

import numpy as np
import zarr
from zarr.storage import MemoryStore

from engine.bands import LayerName
from engine.errors import InputError
from engine.objects import Objects
from engine.store.layout import CubeLayout
from engine.store.metadata import array_in, copied, held_metadata, layout_of
from engine.types import Axis, Grid


def opened(objects: Objects) -> CubeLayout:
    """The layout of the cube there; InputError where there is none. Writes nothing and reads no shard."""
    held = held_metadata(objects, {})
    if "zarr.json" not in held:
        raise InputError("no cube is there", place=objects.uri, remedy="build it: tilth cube with that season's job")
    root = zarr.open_group(MemoryStore(copied(held)), mode="r", use_consolidated=False)
    try:
        grid = _grid(root)
        axes = {name: _axis(root, name) for name in get_args(LayerName) if name in root}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"its metadata lacks what Tilth writes ({error})",
            expected="a cube that tilth cube built",
            place=objects.uri,
        ) from error
    return layout_of(objects, grid, axes)


def _grid(root: zarr.Group) -> Grid:
    """The inverse of what the root's attributes were written from."""
    facts: dict[str, Any] = root.attrs.asdict()
    resolution, _, left, _, _, top = facts["spatial:transform"]
    height, width = facts["spatial:shape"]
    return Grid(facts["proj:code"], resolution, left, top, height, width, facts["tilth:tile_px"])


def _axis(root: zarr.Group, layer: str) -> Axis:
    name = str((array_in(root, layer).metadata.dimension_names or ("",))[0])  # type: ignore[union-attr]
    bounds = np.asarray(array_in(root, f"{name}_bounds")[:])
    starts, ends = (tuple(datetime.fromtimestamp(int(s), UTC) for s in side) for side in bounds.T)
    return Axis(name, starts, ends)
