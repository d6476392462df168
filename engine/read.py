"""One asset and one window of the run's grid -> one array.

A pixel of the grid takes the source pixel its centre falls in (nearest neighbour). The source index is computed from
the grid's own row and column numbers, never from the tile, so a window's pixels do not depend on how the area is cut:
``on_grid(read(w))[sub] == on_grid(read(sub))``, bit for bit, also across map projections. (GDAL's warper
approximates its transform per window, so it cannot promise this.)
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.windows import Window as SourceWindow

from engine.claims import Claim
from engine.errors import InputError, TileError
from engine.fetch import patiently
from engine.header import CODES, Reading, decide, filled
from engine.rasters import Raster, Rasters, open_raster
from engine.signing import Links
from engine.types import Asset, Grid, Item, Window


@dataclass(frozen=True, slots=True)
class Patch:
    """The part of a source image that a window of the grid needs, in the source's own pixels.

    values: (y, x) of the source, its dtype, undecoded. rows, cols: source indices into ``values`` of each grid pixel,
    (h,) and (w,) where source and grid share their axes, else (h, w); -1 where the source has no pixel. valid: (y, x)
    bool of the source, False where item, header or a mask of the file call a pixel no data, or it is not finite.
    """

    values: NDArray
    rows: NDArray[np.int32]
    cols: NDArray[np.int32]
    valid: NDArray[np.bool_]
    scale: float = 1.0
    offset: float = 0.0
    """physical = value * scale + offset."""

    def physical(self) -> NDArray[np.float32]:
        """(y, x) float32 of the source in physical units, NaN where there is no data."""
        values: NDArray[np.float32] = self.values.astype(np.float32) * np.float32(self.scale) + np.float32(self.offset)
        values[~self.valid] = np.nan
        return values

    def known(self, nothing: float = 0) -> NDArray:
        """``values``, ``nothing`` where there is no data."""
        return np.where(self.valid, self.values, self.values.dtype.type(nothing))

    def on_grid(self, values: NDArray, nothing: float) -> NDArray:
        """``values`` (shape of ``self.values``) on the window's pixels, ``nothing`` where the source has none."""
        # take() four times as fast as indexing with arrays.
        rows, cols = np.maximum(self.rows, 0), np.maximum(self.cols, 0)
        if rows.ndim == 1:
            picked = values.take(rows, axis=0).take(cols, axis=1)
            outside = (self.rows < 0)[:, None] | (self.cols < 0)[None, :]
        else:
            picked = values.reshape(-1).take(rows.astype(np.intp) * values.shape[1] + cols)
            outside = (self.rows < 0) | (self.cols < 0)
        if outside.any():
            picked[outside] = nothing
        return picked


class SceneReader:
    """Reads pinned items onto one grid, with retries; counts what it reads, keeps open what it has opened."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.links = Links()
        self.rasters = Rasters()
        self.reads = 0
        self.bytes_read = 0
        self._told: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take_told(self) -> dict[str, int]:
        """Where item, header and document disagreed since this was last asked: sentence -> in how many reads."""
        with self._lock:
            told, self._told = dict(sorted(self._told.items())), Counter()
        return told

    def __call__(self, item: Item, band: str, window: Window, margin: int = 0) -> Patch | None:
        """The patch of one band for ``window``, grown by ``margin`` source pixels; None where they do not meet.

        Raises TileError naming item and asset for damaged or missing data, InputError for a link that is refused,
        InfrastructureError for what may pass.
        """
        if band not in item.assets:
            raise TileError(
                f"the item has no asset for {band!r}",
                expected=f"one of its assets as {band}",
                place=f"item {item.id}",
                remedy="name it under inputs.*.assets, or drop the item from the catalogue",
            )
        asset = item.assets[band]
        place = f"item {item.id}, asset {band} ({asset.href})"

        def read(path: str) -> tuple[Patch | None, Reading]:
            with self.rasters.use(path) as raster:
                reading = decide(raster.header, asset, item.sensor, band)
                return _patch_of(raster, reading, self.grid, window, margin), reading

        try:
            patch, reading = patiently(asset.href, place, read, links=self.links, sign=item.sign)
        except InputError as error:
            if error.place:
                raise
            raise TileError(error.value, expected=error.expected, place=place, remedy=error.remedy) from error
        self.reads += 1
        if reading.told and patch is not None:
            with self._lock:
                self._told.update(f"{item.collection}, {band}: {sentence}" for sentence in reading.told)
        self.bytes_read += patch.values.nbytes if patch else 0
        return patch


def read_patch(
    path: str, grid: Grid, window: Window, margin: int = 0, *, band: int | str | None = None
) -> Patch | None:
    """The part of a raster of codes that ``window`` needs, grown by ``margin`` source pixels, or None.

    ``band``: number from 1 or name; None: the only one. Raises InputError without place for a raster that cannot be
    read as codes, ValueError for one without CRS or geotransform, rasterio's errors for one that cannot be read.
    """
    raster = open_raster(path)
    try:
        reading = decide(raster.header, Asset(path, "", Claim(band=band)), CODES, "")
        return _patch_of(raster, reading, grid, window, margin)
    finally:
        raster.close()


def read_whole(path: str, shape: tuple[int, int] | None = None) -> NDArray:
    """All pixels of a map of classes, or every so many of them at ``shape``; its type's largest number, as in a map,
    where there is no data."""
    raster = open_raster(path)
    try:
        reading = decide(raster.header, Asset(path, ""), CODES, "")
        shape = shape or raster.source.shape
        values, valid = _pixels(raster, reading, SourceWindow(0, 0, raster.source.width, raster.source.height), shape)
    finally:
        raster.close()
    return np.where(valid, values, np.iinfo(values.dtype).max).astype(values.dtype)


def _patch_of(raster: Raster, reading: Reading, grid: Grid, window: Window, margin: int) -> Patch | None:
    source = raster.source
    if source.crs is None or source.transform.is_identity:
        raise ValueError("it has no CRS or no geotransform")
    rows, cols = _source_index(grid, window, source.crs.to_wkt(), tuple(source.transform)[:6], source.shape)
    inside_rows, inside_cols = rows[rows >= 0], cols[cols >= 0]
    if inside_rows.size == 0 or inside_cols.size == 0:
        return None
    r0, r1 = max(int(inside_rows.min()) - margin, 0), min(int(inside_rows.max()) + 1 + margin, source.height)
    c0, c1 = max(int(inside_cols.min()) - margin, 0), min(int(inside_cols.max()) + 1 + margin, source.width)
    values, valid = _pixels(raster, reading, SourceWindow(c0, r0, c1 - c0, r1 - r0), (r1 - r0, c1 - c0))
    return Patch(
        values, np.where(rows < 0, -1, rows - r0), np.where(cols < 0, -1, cols - c0), valid,
        reading.scale, reading.offset,
    )  # fmt: skip


def _pixels(
    raster: Raster, reading: Reading, window: SourceWindow, shape: tuple[int, int]
) -> tuple[NDArray, NDArray[np.bool_]]:
    """(values, valid) of the band in a window of the source: no data by header, item or mask is not valid."""
    values = raster.source.read(reading.band, window=window, out_shape=shape)
    valid = ~filled(values, reading.nodata, reading.infinite)
    if reading.masked:
        if raster.mask is None:
            seen = raster.source.read_masks(reading.band, window=window, out_shape=shape)
        else:
            seen = raster.mask.read(min(reading.band, raster.mask.count), window=window, out_shape=shape)
        valid &= seen != 0
    if reading.opacity is not None:
        valid &= raster.source.read(reading.opacity, window=window, out_shape=shape) != 0
    return values, valid


@lru_cache(maxsize=32)
def _source_index(
    grid: Grid, window: Window, crs_wkt: str, transform: tuple[float, ...], shape: tuple[int, int]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Source row and column of every pixel centre of the window, -1 outside the source."""
    a, b, c, d, e, f = transform
    x = grid.left + (np.arange(window.x0, window.x1) + 0.5) * grid.resolution
    y = grid.top - (np.arange(window.y0, window.y1) + 0.5) * grid.resolution
    if b == 0 and d == 0 and rasterio.crs.CRS.from_wkt(crs_wkt) == rasterio.crs.CRS.from_user_input(grid.crs):
        rows, cols = np.floor((y - f) / e), np.floor((x - c) / a)
    else:
        xx, yy = np.meshgrid(x, y)
        xs, ys = Transformer.from_crs(grid.crs, crs_wkt, always_xy=True).transform(xx, yy)
        # Outside the source's projection pyproj answers inf: no pixel there.
        xs, ys = np.where(np.isfinite(xs), xs, np.nan), np.where(np.isfinite(ys), ys, np.nan)
        determinant = a * e - b * d
        cols = np.floor((e * (xs - c) - b * (ys - f)) / determinant)
        rows = np.floor((a * (ys - f) - d * (xs - c)) / determinant)
        missing = ~((rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1]))
        rows, cols = np.where(missing, -1, rows), np.where(missing, -1, cols)
    rows = np.where((rows >= 0) & (rows < shape[0]), rows, -1).astype(np.int32)
    cols = np.where((cols >= 0) & (cols < shape[1]), cols, -1).astype(np.int32)
    return rows, cols
