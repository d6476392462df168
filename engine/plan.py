"""The plan: every tile of the area with its items, keys and projected bytes, made without reading a pixel."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pydantic import field_validator, model_validator

from engine.bands import SENSOR_BANDS, sensor_of
from engine.catalog import Found, SourceOptions, find_items
from engine.cube import CubeOptions
from engine.earth import MOST_OFF, areas_m2, pixel_km2, scale_at
from engine.errors import InputError, SpecError
from engine.grid import GridOptions, make_grid, project_area, suggest_crs, tiles_of
from engine.ground import MaskOptions, mask_identity
from engine.ledger import Record
from engine.pairing import pair
from engine.steps import SeasonOptions, acquisition_axis, regular_axis
from engine.types import MAX_HALO, Axis, Grid, Item, Options, Tile, digest

_SQUARES_BYTES = 1 << 28
"""A micro-batch of squares takes less."""
_SCALE_TILES = 1000
"""The projection's scale is looked at in so many tiles."""
_READ_BYTES_PER_PX = {"optical": 2 * 5 + 1, "radar": 4 * 2, "thermal": 2 + 2, "c2": 4 * 4}
_STORED_BYTES_PER_PX = {"optical": 2 * 5 + 1, "radar": 4 * 2 + 1, "thermal": 2 + 1, "c2": 4 * 3 + 1}


class Inputs(Options):
    """Where scenes come from, per sensor; several sources of one sensor are composited together."""

    optical: tuple[SourceOptions, ...] = ()
    """Sources of optical reflectance, one or a list."""
    radar: tuple[SourceOptions, ...] = ()
    """Sources of radar backscatter, one or a list."""
    thermal: tuple[SourceOptions, ...] = ()
    """Sources of surface temperature, one or a list."""
    c2: tuple[SourceOptions, ...] = ()
    """Dual-pol covariance from radar with phase: assets c11, c22, c12_real, c12_imag."""

    @field_validator("*", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, dict | SourceOptions) else value

    @model_validator(mode="after")
    def _lines_are_for_reflectance(self) -> Inputs:
        for sensor, sources in self.sources().items():
            if sensor != "optical" and any(source.bandpass for source in sources):
                raise ValueError(f"bandpass under {sensor}; expected: under optical only; remedy: take it out")
            if sensor in ("radar", "c2") and any(source.mask for source in sources):
                raise ValueError(f"mask under {sensor}; expected: under optical and thermal only; remedy: take it out")
            if sensor != "optical" and any(source.offset == "verify" for source in sources):
                raise ValueError(f"offset: verify under {sensor}; expected: under optical only; remedy: take it out")
        return self

    def sources(self) -> dict[str, tuple[SourceOptions, ...]]:
        """Sensors that are given, each with its sources."""
        return {sensor: getattr(self, sensor) for sensor in SENSOR_BANDS if getattr(self, sensor)}


@dataclass(frozen=True)
class Plan:
    """Tiles in row-major order, items in time order, and which items each tile needs."""

    grid: Grid
    area: shapely.Geometry
    """In the grid's CRS."""
    tiles: tuple[Tile, ...]
    items: tuple[Item, ...]
    axes: Mapping[str, Axis]
    """Time axis of every cube layer."""
    audit: tuple[str, ...]
    """What was decided about the inputs, in sentences."""
    left_out: tuple[str, ...]
    """Items that the catalogue has and the run cannot use, each with what is wrong with it."""
    starts: NDArray[np.int64]
    """(tiles + 1,): tile i's items are ``links[starts[i]:starts[i + 1]]``."""
    links: NDArray[np.int32]
    """Indices into ``items``."""
    identity: str
    """Digest of the options that decide a cube tile's pixels beside its items."""

    def items_of(self, index: int) -> dict[str, list[Item]]:
        """The items of the plan's ``index``-th tile, per cube layer, earliest first."""
        mine = [self.items[i] for i in self.links[self.starts[index] : self.starts[index + 1]]]
        return {layer: [item for item in mine if item.sensor == sensor_of(layer)] for layer in self.axes}

    def cube_key(self, index: int) -> str:
        """Digest of all that decides the cube tile's bytes, with whether it may be built without damaged scenes."""
        return _under(self._whole_key(index), self._spares(index))

    def stands(self, index: int, record: Record | None) -> bool:
        """Whether a tile's record tells that it is done as this plan asks, or set aside. Built whole it is the same
        tile whether or not scenes might have been left out."""
        if record is None or record.state == "pending":
            return False
        if record.key == self.cube_key(index):
            return True
        other = _under(self._whole_key(index), not self._spares(index))
        return record.state == "written" and record.key == other and "left_out" not in record.body

    def _spares(self, index: int) -> bool:
        """Whether the tile may be built without any of its scenes."""
        return bool(self._spared[self.links[self.starts[index] : self.starts[index + 1]]].any())

    @cached_property
    def _spared(self) -> NDArray[np.bool_]:
        return np.array([item.spare for item in self.items], np.bool_)

    def _whole_key(self, index: int) -> str:
        core = self.tiles[index].core
        hashed = hashlib.sha256(f"{self.identity}{tuple(core)}".encode())
        hashed.update(self._item_digests[self.links[self.starts[index] : self.starts[index + 1]]].tobytes())
        return hashed.hexdigest()

    @cached_property
    def _areas(self) -> NDArray[np.int64]:
        """Pixels of each tile; those at the area's edge are smaller."""
        return np.array([tile.core.shape[0] * tile.core.shape[1] for tile in self.tiles], np.int64)

    @cached_property
    def area_km2(self) -> float:
        """The area of interest on the ellipsoid, km2."""
        return float(areas_m2(self.area, self.grid.crs)[0]) / 1e6

    @cached_property
    def pixel_km2(self) -> Mapping[str, float]:
        """What a pixel of each tile covers on the ellipsoid, km2, by the tile's name; the mean of the tile's pixels."""
        covered = pixel_km2(self.grid, self.tiles).tolist()
        return {tile.id: km2 for tile, km2 in zip(self.tiles, covered, strict=True)}

    @cached_property
    def _item_digests(self) -> NDArray[np.uint8]:
        """(items, 32) uint8."""
        if not self.items:
            return np.zeros((0, 32), np.uint8)
        return np.frombuffer(b"".join(bytes.fromhex(item.identity) for item in self.items), np.uint8).reshape(-1, 32)

    def cube_memory_bytes(self, threads: int) -> int:
        """Projected peak of building one tile: its layers twice (values, encoded), and ``threads`` dates at work."""
        layers = sum(len(axis) * _STORED_BYTES_PER_PX[sensor_of(name)] for name, axis in self.axes.items())
        at_work = threads * (5 * 2 * 3 + 4 + 8 * 2)
        return self.grid.tile_px**2 * (2 * layers + at_work)

    def map_memory_bytes(self, features: int, steps: int, halo: int = 0) -> int:
        """Projected peak of mapping one tile: its cube block, features of 65,536 pixels three times, outputs; with a
        halo the strip's halo and the squares cut from it. A network over series on a CPU needs less: it gets features
        of 4,096 pixels at a time."""
        side = (self.grid.tile_px + 2 * halo) ** 2
        layers = sum(len(axis) * _STORED_BYTES_PER_PX[sensor_of(name)] for name, axis in self.axes.items())
        strip_px = min(side, max(65536, self.grid.tile_px) + 2 * halo * self.grid.tile_px)
        series = steps * features * 4
        squares = min(_SQUARES_BYTES, strip_px * series * (2 * halo + 1) ** 2) if halo else 0
        return 2 * side * layers + 3 * (strip_px * series + squares) + 8 * side

    def parcel_memory_bytes(self, pixels: int, largest: int, features: int, steps: int) -> int:
        """What a tile's parcels of so many ``pixels`` add: a neighbour's cube, the cube under them, a strip's features.

        ``largest``: pixels of the largest parcel, which is done in one piece.
        """
        layers = sum(len(axis) * _STORED_BYTES_PER_PX[sensor_of(name)] for name, axis in self.axes.items())
        return (2 * self.grid.tile_px**2 + 2 * pixels) * layers + max(65536, largest) * steps * features * 4 * 3

    def read_bytes(self) -> int:
        """Projected bytes of scenes to read, undecoded."""
        per_item = np.array([_READ_BYTES_PER_PX[item.sensor] for item in self.items], np.int64)
        return int((per_item[self.links] * np.repeat(self._areas, np.diff(self.starts))).sum())

    def write_bytes(self) -> int:
        """Projected bytes to write, before compression: cube layers and three products."""
        layers = sum(len(axis) * _STORED_BYTES_PER_PX[sensor_of(name)] for name, axis in self.axes.items())
        return int(self._areas.sum()) * (layers + 3)


def _under(key: str, spares: bool) -> str:
    return digest([key, "leave_out"]) if spares else key


def search(area: shapely.Geometry, season: SeasonOptions, inputs: Inputs) -> Found:
    """Every usable item of the season over the area (EPSG:4326), in time order; what was left out; the input audit."""
    axis = regular_axis(season)
    items: list[Item] = []
    problems: list[str] = []
    audit: list[str] = []
    for sensor, sources in inputs.sources().items():
        for source in sources:
            found = find_items(source, sensor, area, axis.starts[0], axis.ends[-1])
            items += found.items
            problems += found.problems
            audit += found.audit
    ordered = sorted(items, key=lambda item: (item.datetime, item.collection, item.id))
    return Found(tuple(ordered), tuple(problems), tuple(audit))


def make_plan(
    area: shapely.Geometry,
    season: SeasonOptions,
    grid_options: GridOptions,
    cube: CubeOptions,
    *,
    items: Sequence[Item],
    audit: Sequence[str] = (),
    left_out: Sequence[str] = (),
    mask: MaskOptions | None = None,
) -> Plan:
    """The plan for these pinned items: a pure function of its arguments. ``area`` in EPSG:4326."""
    grid = make_grid(area, grid_options)
    projected = project_area(area, grid)
    tiles = tuple(tiles_of(grid, projected))
    if not tiles:
        raise InputError(
            f"the area, {areas_m2(projected, grid.crs)[0]:.3g} m2, holds no centre of a pixel of {grid.resolution:g} m",
            expected="an area of some pixels",
            place="area",
            remedy="widen the area, or use a finer grid.resolution",
        )
    axes = _axes(season, cube, items)
    starts, links = pair(grid, tiles, items)
    identity = digest(
        [grid.crs, grid.resolution, grid.left, grid.top, cube.arithmetic,
         {name: [str(axis.starts), str(axis.ends)] for name, axis in axes.items()},
         mask and [mask_identity(mask), MAX_HALO]]
    )  # fmt: skip
    audit = (*audit, *_scale_note(grid, area, tiles))
    bare = int((np.diff(starts) == 0).sum())
    notes = [f"{bare} of {len(tiles)} tiles are reached by no item: no data there"] if bare else []
    told = tuple(dict.fromkeys((*audit, *notes)))  # a pinned audit has the notes already
    return Plan(grid, projected, tiles, tuple(items), axes, told, tuple(left_out), starts, links, identity)


def refuse_too_large(
    plan: Plan, bytes_in_flight: int, threads: int, *, features: int, steps: int, halo: int = 0
) -> None:
    """SpecError where one tile alone needs more memory than may be in flight, or is smaller than the model's halo."""
    if halo > plan.grid.tile_px:
        raise SpecError(
            f"{plan.grid.tile_px} px",
            expected=f"{halo} or more: the model looks that far beyond the pixel it classifies",
            place="grid.tile_px",
            remedy="use larger tiles",
        )
    need = max(plan.cube_memory_bytes(threads), plan.map_memory_bytes(features, steps, halo))
    if need <= bytes_in_flight:
        return
    fits = plan.grid.tile_px
    while fits > 16 and need * (fits / plan.grid.tile_px) ** 2 > bytes_in_flight:
        fits //= 2
    raise SpecError(
        f"{plan.grid.tile_px} px: one tile needs about {need / 1e9:.2f} GB",
        expected=f"at most {bytes_in_flight / 1e9:.2f} GB in flight",
        place="grid.tile_px",
        remedy=f"use tile_px {fits}, raise compute.bytes_in_flight, or lower cube.threads",
    )


def _axes(season: SeasonOptions, cube: CubeOptions, items: Sequence[Item]) -> dict[str, Axis]:
    regular = regular_axis(season)
    sensors = [sensor for sensor in SENSOR_BANDS if any(item.sensor == sensor for item in items)]
    layers = cube.layers if cube.layers is not None else tuple(sensors)
    axes = {}
    for layer in layers:
        mine = [item for item in items if item.sensor == sensor_of(layer)]
        if not mine:
            raise InputError(
                f"no item of sensor {sensor_of(layer)} to make layer {layer} of",
                place="cube.layers",
                remedy=f"add inputs.{sensor_of(layer)}, or leave the layer out",
            )
        axes[layer] = acquisition_axis(mine) if layer == "radar_acquisitions" else regular
    return axes


def _scale_note(grid: Grid, area: shapely.Geometry, tiles: Sequence[Tile]) -> list[str]:
    """A sentence for the audit where the grid's projection is off by more than MOST_OFF within the area."""
    some = tiles[:: -(-len(tiles) // _SCALE_TILES)]
    left, bottom, right, top = np.array([grid.bounds(tile.core) for tile in some], float).T
    scale = scale_at(grid.crs, (left + right) / 2, (bottom + top) / 2, grid.resolution)
    if scale.off <= MOST_OFF:
        return []
    suited = suggest_crs(area)
    instead = f"; {suited} suits this area better" if suited != grid.crs else ""
    return [
        f"grid.crs {grid.crs} draws areas {_from_to(scale.area)}, lengths {_from_to(scale.length)} times their size: "
        "km2 and ha are computed on the ellipsoid, but grid.resolution, block_m and border_m are metres of the map, "
        f"not of the ground{instead}"
    ]


def _from_to(ends: tuple[float, float]) -> str:
    low, high = (f"{end:.3g}" for end in ends)
    return low if low == high else f"{low} to {high}"
