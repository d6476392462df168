"""The frozen nouns that travel along one tile's way. Import this module freely: no torch, rasterio or Ray behind it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from engine.claims import SILENT, Claim, fills_of, line_of

MAX_HALO = 16
"""Pixels a model may look beyond the one it classifies: so far around what is asked for the cube is built."""


class Options(BaseModel):
    """Base of every stage's options: frozen, unknown keys refused; the docstring below a field describes its key."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def digest(value: Any) -> str:
    """SHA-256 of a JSON-able value in canonical form, as 64 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def dump_json(value: Any) -> bytes:
    """Readable JSON bytes, the same for equal values: keys sorted, two spaces, a newline at the end."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


class Window(NamedTuple):
    """Half-open pixel ranges of the run's grid: rows ``y0 <= y < y1``, columns ``x0 <= x < x1``. May be negative."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.y1 - self.y0, self.x1 - self.x0

    def padded(self, halo: int) -> Window:
        """The window grown by ``halo`` pixels on every side."""
        return Window(self.y0 - halo, self.y1 + halo, self.x0 - halo, self.x1 + halo)

    def shared(self, other: Window) -> Window:
        """The window common to both; its shape is not positive where they do not meet."""
        return Window(max(self.y0, other.y0), min(self.y1, other.y1), max(self.x0, other.x0), min(self.x1, other.x1))

    def within(self, other: Window) -> tuple[slice, slice]:
        """(rows, columns) of this window in an array that holds ``other``."""
        return slice(self.y0 - other.y0, self.y1 - other.y0), slice(self.x0 - other.x0, self.x1 - other.x0)


@dataclass(frozen=True, slots=True)
class Grid:
    """The run's pixel lattice, north up, square pixels; pixel (0, 0) has its outer corner at (left, top)."""

    crs: str
    """Authority code, such as ``EPSG:32631``."""
    resolution: float
    """Pixel size in units of the CRS (metres)."""
    left: float
    top: float
    height: int
    """Rows of the whole area."""
    width: int
    """Columns of the whole area."""
    tile_px: int
    """Core size of a tile; the last row and column may be cut short by the area's edge."""

    def __post_init__(self) -> None:
        if not (self.resolution > 0 and self.height > 0 and self.width > 0 and self.tile_px > 0):
            raise ValueError(f"Grid needs positive resolution, height, width and tile_px, got {self}")

    @property
    def tile_rows(self) -> int:
        return -(-self.height // self.tile_px)

    @property
    def tile_cols(self) -> int:
        return -(-self.width // self.tile_px)

    def tile(self, row: int, col: int) -> Tile:
        """The tile at this row and column of tiles; IndexError outside the grid."""
        if not (0 <= row < self.tile_rows and 0 <= col < self.tile_cols):
            raise IndexError(f"tile ({row}, {col}) outside a grid of {self.tile_rows} x {self.tile_cols} tiles")
        y0, x0 = row * self.tile_px, col * self.tile_px
        return Tile(row, col, Window(y0, min(y0 + self.tile_px, self.height), x0, min(x0 + self.tile_px, self.width)))

    def tiles_in(self, window: Window) -> list[Tile]:
        """The tiles whose cores share a pixel with ``window``, row by row; none of what lies beyond the grid."""
        side = self.tile_px
        rows = range(max(0, window.y0 // side), min(self.tile_rows, -(-window.y1 // side)))
        cols = range(max(0, window.x0 // side), min(self.tile_cols, -(-window.x1 // side)))
        return [self.tile(row, col) for row in rows for col in cols]

    def bounds(self, window: Window) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) of a window in the grid's CRS."""
        r, left, top = self.resolution, self.left, self.top
        return left + window.x0 * r, top - window.y1 * r, left + window.x1 * r, top - window.y0 * r

    def transform(self, window: Window) -> tuple[float, float, float, float, float, float]:
        """Affine coefficients (a, b, c, d, e, f) of a window's pixels, row-major as rasterio and STAC write them."""
        left, _, _, top = self.bounds(window)
        return (self.resolution, 0.0, left, 0.0, -self.resolution, top)


@dataclass(frozen=True, slots=True)
class Tile:
    """Square of the grid, the unit of work. ``core`` is what it writes; what it reads may be larger by a halo."""

    row: int
    col: int
    core: Window

    @property
    def id(self) -> str:
        """Name such as ``r0003c0012``, unique within the grid."""
        return f"r{self.row:04d}c{self.col:04d}"


@dataclass(frozen=True, slots=True)
class Asset:
    """One band of one scene: how to fetch it, and what is said of its numbers before the file itself is asked."""

    href: str
    """Absolute path or URL, unsigned."""
    identity: str
    """What changes when the bytes change: checksum, ETag with size, or size with mtime."""
    item: Claim = SILENT
    """What the item states."""
    family: Claim = SILENT
    """What the product family's document says, the last resort after the file's own header."""
    line: tuple[float, float] = (1.0, 0.0)
    """Slope and shift on the physical value, such as to what another sensor would have seen."""

    @property
    def scale(self) -> float | None:
        """As expected where the file's header is silent; None where only the header can tell."""
        line = line_of([self.item, self.family])
        return None if line is None else line[0] * self.line[0]

    @property
    def offset(self) -> float:
        """As expected where the file's header is silent."""
        line = line_of([self.item, self.family])
        return (0.0 if line is None else line[1]) * self.line[0] + self.line[1]

    @property
    def nodata(self) -> float | None:
        """As expected where the file's header is silent; None where there is none, or NaN."""
        return next(iter(fills_of(self.item, SILENT, self.family)), None)


@dataclass(frozen=True, slots=True)
class Item:
    """One scene pinned into the run, its assets under our band names (``blue`` ... ``swir1``, ``vv``, ``vh``, ``lst``,
    and ``mask`` for the quality layer)."""

    id: str
    collection: str
    sensor: str
    """``optical``, ``radar``, ``thermal`` or ``c2``."""
    datetime: datetime
    """UTC."""
    footprint: Mapping[str, Any]
    """GeoJSON geometry, longitude and latitude."""
    assets: Mapping[str, Asset]
    mask_kind: str | None
    """How ``mask`` is read: a word of ``engine.catalog.masks.MASK_KINDS``; ``None`` without."""
    sign: str | None = None
    """Name or URL of the service that signs this item's links at reading time."""
    spare: bool = False
    """Whether a tile may be built without it where one of its files is missing or damaged."""
    platform: str = ""
    """Satellite, such as ``sentinel-2a``; empty where the item does not tell."""
    baseline: str = ""
    """Sentinel-2's processing baseline, such as ``05.09``; empty where there is none."""

    @property
    def identity(self) -> str:
        """Digest of all that decides the pixels this item gives."""
        bands = {
            name: [a.identity, astuple(a.item), astuple(a.family), a.line] for name, a in sorted(self.assets.items())
        }
        return digest([self.id, self.collection, self.sensor, self.datetime.isoformat(), self.mask_kind, bands])


@dataclass(frozen=True, slots=True)
class Axis:
    """A sensor group's time axis: half-open intervals in time order, regular steps or single acquisitions."""

    name: str
    starts: tuple[datetime, ...]
    ends: tuple[datetime, ...]

    def __post_init__(self) -> None:
        if len(self.starts) != len(self.ends) or any(s >= e for s, e in zip(self.starts, self.ends, strict=True)):
            raise ValueError(f"axis {self.name}: every interval needs start < end")

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of one cube tile: what was measured, composited, unfilled.

    values: (t, b, y, x); optical uint16 (reflectance = DN * 0.0001 - 0.1, 0 = no data), radar float32 linear power
    (NaN = no data), thermal uint16 (kelvin = DN * 0.01, 0 = no data).
    count: (t, y, x) uint8, valid observations behind each value, 255 and more written as 255.
    """

    values: NDArray
    count: NDArray[np.uint8]


CubeBlock = Mapping[str, Layer]
"""One tile's layers by name: optical, radar, thermal, radar_acquisitions, c2."""


@dataclass(frozen=True, slots=True)
class FeatureBlock:
    """Model input of one tile.

    x: (t, f, y, x) float32, features in the recipe's order, physical units, gaps filled, NaN where a whole series is
    missing. valid: (y, x) bool, True where the model may speak.
    """

    x: NDArray[np.float32]
    valid: NDArray[np.bool_]


ORIGIN = np.dtype([("number", "i2"), ("season", "U10"), ("region", "U64"), ("by_season", "i1"), ("by_region", "i1")])
"""Where a sample is from: number of its season (0 is the job's own), that season's first day, held-out region ('' =
none), and the part that season and region are held for (0 = none, 1 = validation, 2 = test)."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Labelled pixels for training.

    x: (n, t, f) float32 as in FeatureBlock; (n, t, f, s, s): the squares around pixels, for models that look at
    neighbours. y: (n,) int64 codes of the legend, below 0 for names that it lacks. block: (n,) int64, the spatial block
    a sample lies in; blocks, never pixels, are dealt to training, validation and test. row, col: (n,) int32 pixel of
    the season's own grid. near, with squares or a border: (n, m) int64, blocks of labelled pixels that each touches,
    0 = none. later, for forecasts: (n, p, f) float32, the steps after those of x, NaN after a band's last observation.
    observed, for cut-offs drawn at random: (n, t, b) float32 of ``engine.features.unfilled``. origin: (n,) ORIGIN;
    None: one season, nothing is held. parcel, for parcels: (n,) int64, number among the labelled; row, col, block are
    of its inner point. For virtual labels unlabelled pixels stand among them: y is 0, block that of their place, near
    the blocks of all pixels touched.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    block: NDArray[np.int64]
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    near: NDArray[np.int64] | None = None
    later: NDArray[np.float32] | None = None
    observed: NDArray[np.float32] | None = None
    origin: NDArray[np.void] | None = None
    parcel: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class ClassMap:
    """What the model says of one tile's core.

    class_index: (y, x) uint8, index into the card's classes, 255 = no data. confidence: (y, x) uint8, 0 to 100,
    calibrated probability of the winning class in percent, 255 = no data.
    """

    class_index: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    asked: int
    """Pixels inside area and mask, with data or without."""
    familiarity: NDArray[np.uint8] | None = None
    """(y, x) uint8, 0 to 100, percentage of known land that is no more like the training's than the pixel, 255 = no
    data; None where it was not asked for."""
