"""One asset and one window of the run's grid -> one array.

A pixel of the grid takes the source pixel its centre falls in (nearest neighbour). The source index is computed from
the grid's own row and column numbers, never from the tile, so a window's pixels do not depend on how the area is cut:
``on_grid(read(w))[sub] == on_grid(read(sub))``, bit for bit, also across map projections. (GDAL's warper
approximates its transform per window, so it cannot promise this.)
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.errors import RasterioError
from rasterio.windows import Window as SourceWindow

from engine.claims import Claim
from engine.environment import refuse_broken
from engine.errors import InfrastructureError, InputError, TileError
from engine.header import CODES, Reading, decide, filled
from engine.rasters import Raster, Rasters, open_raster
from engine.s3 import gdal_options, gdal_session, known_settings
from engine.signing import Links
from engine.types import Asset, Grid, Item, Window

T = TypeVar("T")

_TRIES, _TRIES_DAMAGED = 4, 6
"""Half of a body and half of a file look alike, and only the first passes: what seems damaged is tried longer. So is
what seems to have no geotransform: GDAL opens half of a header without a word."""
_MISSING = re.compile(r"code: 404|specified (key|bucket) does not exist|NoSuch(Key|Bucket)|No such file or directory")
_REFUSED = re.compile(r"code: 40[13]|Access ?Denied|Forbidden|InvalidAccessKeyId|SignatureDoesNotMatch|Credentials")
_PASSING = re.compile(
    r"code: (408|429|5\d\d)|CURL error|[Cc]onnection|[Tt]ime(d )?out|resolve host|request rate|SlowDown|InternalError"
    r"|does not exist in the file system"  # GDAL's word for an S3 object whose HEAD got no answer; a 404 says so
)


def gdal_settings() -> dict[str, Any]:
    """GDAL's configuration for reading scenes, set once, here; for objects on S3 ``engine.s3`` has more."""
    settings: dict[str, Any] = {
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_HTTP_MULTIPLEX": "YES",
        "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
        "GDAL_HTTP_MAX_RETRY": 4,
        "GDAL_HTTP_RETRY_DELAY": 0.3,
        "GDAL_HTTP_TIMEOUT": 60,
        "GDAL_HTTP_CONNECTTIMEOUT": 10,
        "GDAL_INGESTED_BYTES_AT_OPEN": 32768,
        "GDAL_CACHEMAX": 64,
        "VSI_CACHE": False,
    }
    return settings


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


def patiently(
    href: str, place: str, read: Callable[[str], T], *, links: Links | None = None, sign: str | None = None
) -> T:
    """What ``read`` gives of the raster at ``href``, tried again while that may help; it is called with GDAL's path.

    Raises TileError for what is missing or damaged, InputError for a link that is refused, InfrastructureError for what
    may pass; all name ``place``.
    """
    links, refused = links or Links(), False
    for attempt in range(_TRIES_DAMAGED):
        path = links.open_path(href, sign, renew=refused)
        # After a failure, what GDAL remembers of the file may be the damaged half.
        extra: dict[str, Any] = {"CPL_VSIL_CURL_NON_CACHED": "/vsis3/:/vsicurl/"} if attempt else {}
        if not path.startswith("/vsi"):
            extra["GDAL_DISABLE_READDIR_ON_OPEN"] = "TRUE"  # no listing, but masks and headers beside a file are seen
        if path.startswith("/vsis3/"):
            s3 = known_settings(place)
            extra |= {"session": gdal_session(s3), **gdal_options(s3)}
        try:
            with rasterio.Env(**(gdal_settings() | extra)):
                return read(path)
        except (RasterioError, OSError, ValueError) as error:
            text = _whole_text(error, path, href)
            told = _tell(text, place, definite="://" not in href, tries=attempt + 1)
            if told is not None:
                if isinstance(told, TileError):
                    refuse_broken(place)  # where nothing can be read, no scene is to blame
                raise told from error
            refused = _REFUSED.search(text) is not None
            time.sleep(random.uniform(0.5, 1.0) * min(0.3 * 2**attempt, 2.0))
    raise AssertionError("the last attempt returns or raises")


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


def _whole_text(error: BaseException, path: str, href: str) -> str:
    """The error and its causes in words, without the file's own name: names hold digits that look like HTTP codes."""
    words, cause = [], error.__cause__
    words.append(str(error) or type(error).__name__)
    while cause is not None:
        words.append(str(cause))
        cause = cause.__cause__
    text = "; ".join(dict.fromkeys(words))
    for name in (path, href, href.rsplit("/", 1)[-1]):
        text = text.replace(name, "the file")
    return text


_AGAIN = (
    "mend the scene, then tiles --retry and resume; or do without it: inputs.*.damaged: leave_out, or its id under "
    "inputs.*.exclude, then submit"
)


def _tell(text: str, place: str, definite: bool, tries: int) -> Exception | None:
    """The error to raise, or None to try again."""
    if _MISSING.search(text) and not _PASSING.search(text):
        return TileError(f"not found: {text}", place=place, remedy=_AGAIN)
    if not definite and _REFUSED.search(text):
        remedy = "check the credentials or the signing service, then tiles --retry and resume"
        # Not the tile's fault: where the first tiles all meet it, the run ends.
        return InputError(f"refused: {text}", place=place, remedy=remedy) if tries >= _TRIES else None
    if not definite and _PASSING.search(text):
        return InfrastructureError(text, place=place, remedy="the run tries again") if tries >= _TRIES else None
    if not definite and tries < _TRIES_DAMAGED:
        return None
    return TileError(
        f"cannot be read, truncated or damaged: {text}",
        expected="a georeferenced raster GDAL can decode",
        place=place,
        remedy=_AGAIN,
    )
