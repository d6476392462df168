"""Labels on the ground: the code and the spatial block of each pixel, and the legend that names the codes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from engine.errors import InputError
from engine.ground import read_raster
from engine.samples.codes import raster_codes
from engine.samples.coding import Coding, coding_of, is_text
from engine.samples.fields import Fields
from engine.samples.options import LabelOptions, is_raster
from engine.samples.pieces import Pieces
from engine.types import Grid, Window
from engine.vectors import file_identity, read_polygons

MOST_PER_TILE = 20_000


class Labels:
    """Labels of a whole area; asks for one window at a time."""

    def __init__(
        self,
        options: LabelOptions,
        grid: Grid,
        block_m: float,
        coding: Coding | None = None,
        *,
        several: bool = False,
    ) -> None:
        """``coding``: of the labels of all seasons; None: there are no others. ``several``: whether other seasons have
        labels on the same ground; pixels of a raster then keep the blocks of their places. Opening a raster looks
        through all of it for its fields."""
        assert options.uri is not None, "a season without labels is not read"
        self.options, self.uri, self.grid, self.block_m = options, options.uri, grid, block_m
        self._parcels: gpd.GeoDataFrame | None = None
        self.left_out: Counter[str] = Counter()
        """Reason -> how many rows of a file of polygons label no pixel."""
        self.changed: Counter[str] = Counter()
        """Reason -> how many polygons were repaired, and label pixels."""
        self.coding = coding or coding_of(options)
        self._pieces: Pieces | None = None
        if is_raster(self.uri):
            self.coding.refuse_numbers("the labels are a raster of numbers", self.uri)
            self._pieces = None if several else Pieces(grid, self._codes, self._place, block_m)
            self.fields = self._pieces.fields if self._pieces else Fields.of_several_seasons()
        else:
            self._parcels, self.left_out, self.changed = labelled_polygons(options, grid, block_m, self.coding)
            self.fields = fields_of(self._parcels.geometry)

    def identity(self) -> list[Any]:
        """What changes when the labels do."""
        return [self.options.model_dump(mode="json"), self.block_m, file_identity(self.uri)]

    def read(self, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Codes (y, x) int64, 0 = not labelled, and the block (y, x) int64 of each pixel.

        A polygon's pixels (by centre) all lie in the block of its representative point, so no parcel is torn, and so do
        those of a connected piece of one code of a raster in that of its centre of gravity; pixels without label in
        that of their own place.
        """
        if self._parcels is not None:
            return self._of_parcels(window)
        if self._pieces is not None:
            return self._pieces.read(window)
        return self._codes(window), self._places(window)

    def _codes(self, window: Window) -> NDArray[np.int64]:
        """Codes (y, x) of the raster, 0 = not labelled."""
        return read_codes(self.uri, self.grid, window, self.options.ignore, self.options.band)

    def codes(self) -> set[int]:
        """All codes of polygons, wherever they lie; of a raster none, which is read tile by tile."""
        return set() if self._parcels is None else set(self._parcels["code"].unique().tolist())

    def _places(self, window: Window) -> NDArray[np.int64]:
        """Block of each pixel's centre."""
        rows, cols = np.arange(window.y0, window.y1), np.arange(window.x0, window.x1)
        return self._place(rows[:, None], cols[None, :])

    def _place(self, rows: NDArray, cols: NDArray) -> NDArray[np.int64]:
        """Block of the centres of these pixels of the grid."""
        r = self.grid.resolution
        return _block(self.grid.left + (cols + 0.5) * r, self.grid.top - (rows + 0.5) * r, self.block_m)

    def _of_parcels(self, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        assert self._parcels is not None
        left, bottom, right, top = self.grid.bounds(window)
        near = self._parcels.cx[left:right, bottom:top]
        if near.empty:
            return np.zeros(window.shape, np.int64), self._places(window)
        which = rasterize(
            zip(near.geometry, range(1, len(near) + 1), strict=True),
            out_shape=window.shape,
            transform=rasterio.Affine(*self.grid.transform(window)),
            dtype="int32",
        )
        codes = np.concatenate([[0], near["code"].to_numpy(np.int64)])[which]
        block = np.concatenate([[0], near["block"].to_numpy(np.int64)])[which]
        return codes, np.where(which == 0, self._places(window), block)


def fields_of(shapes: gpd.GeoSeries | NDArray[Any]) -> Fields:
    """The fields that polygons are, in the grid's CRS."""
    bounds = shapely.bounds(np.asarray(shapes, object)).reshape(-1, 4)
    longest = np.maximum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1])
    return Fields.of_sizes(longest, shapely.area(np.asarray(shapes, object)), 0.0)


def read_codes(
    uri: str, grid: Grid, window: Window, ignore: Collection[int | str] = (0,), band: int | str | None = None
) -> NDArray[np.int64]:
    """A label raster's codes (y, x) int64 on the window's pixels, 0 = not labelled; InputError for what is no code."""
    patch = read_raster(uri, grid, window, band)
    if patch is None:
        return np.zeros(window.shape, np.int64)
    return patch.on_grid(raster_codes(patch.known(0), ignore, uri), 0)


def draw(
    usable: NDArray[np.bool_], window: Window, seed: int, most: int = MOST_PER_TILE
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of one tile's usable pixels, at most so many, drawn by a seed of the tile's own."""
    rows, cols = np.nonzero(usable)
    if len(rows) > most:
        drawn = np.random.default_rng([seed, window.y0, window.x0]).choice(len(rows), most, replace=False)
        rows, cols = rows[np.sort(drawn)], cols[np.sort(drawn)]
    return rows, cols


def labelled_polygons(
    options: LabelOptions, grid: Grid, block_m: float, coding: Coding | None = None
) -> tuple[gpd.GeoDataFrame, Counter[str], Counter[str]]:
    """Labelled polygons near the grid, in its CRS, with their code (int64) and the block of their representative point,
    indexed by their rows' numbers; and reason -> how many rows were left out, or were repaired.

    coding: of the labels of all seasons; None: there are no others. InputError: cannot be read, no such column, no
    CRS, neither codes nor names, or different codes for one place.
    """
    file, column, coding = options.file, options.column, coding or coding_of(options)
    uri, box = file.uri, grid.bounds(Window(0, grid.height, 0, grid.width))
    found = read_polygons(file, [column], grid.crs, box, needed=[column])
    left_out = found.left_out
    frame = gpd.GeoDataFrame(geometry=found.shapes, crs=grid.crs, index=found.row)
    values = pd.Series(found.columns[column].to_pandas().to_numpy(), index=found.row)
    if nameless := int((values.astype(str).str.strip() == "").sum()):
        left_out = left_out + Counter({f"no {options.column}": nameless})
    if not is_text(values):
        ignored = values.isin([one for one in options.ignore if isinstance(one, int)])
        frame, values = frame[~ignored], values[~ignored]
    codes = pd.Series(coding.codes(values, options.column, uri), index=frame.index)
    frame, codes = frame[codes != 0], codes[codes != 0]
    _refuse_overlaps(frame, codes, grid, uri)
    points = frame.geometry.representative_point()
    block = _block(points.x.to_numpy(), points.y.to_numpy(), block_m)
    return gpd.GeoDataFrame({"code": codes, "block": block}, geometry=frame.geometry), left_out, found.changed


def _refuse_overlaps(frame: gpd.GeoDataFrame, codes: pd.Series, grid: Grid, uri: str) -> None:
    """InputError where polygons of different codes share ground at least a pixel wide; a narrower sliver is let be."""
    left, bottom, right, top = grid.bounds(Window(0, grid.height, 0, grid.width))
    shapes = frame.geometry.to_numpy()
    here = np.flatnonzero(shapely.is_valid(shapes) & shapely.intersects(shapes, shapely.box(left, bottom, right, top)))
    one, other = shapely.STRtree(shapes[here]).query(shapes[here], predicate="intersects")
    one, other = here[one[one < other]], here[other[one < other]]
    differ = codes.to_numpy()[one] != codes.to_numpy()[other]
    one, other = one[differ], other[differ]
    shared = shapely.intersection(shapes[one], shapes[other])
    wide = np.flatnonzero(~shapely.is_empty(shapely.buffer(shared, -grid.resolution / 2)))
    if len(wide):
        first, a, b = shared[wide[0]], int(one[wide[0]]), int(other[wide[0]])
        at = shapely.point_on_surface(first)
        raise InputError(
            f"polygons with different codes overlap ({len(wide)} in all), such as row {frame.index[a]} (code "
            f"{codes.iloc[a]}) and row {frame.index[b]} (code {codes.iloc[b]}), which share {first.area:.0f} m2 at "
            f"x {at.x:.0f}, y {at.y:.0f} in {grid.crs}",
            expected="one code for every place (overlaps narrower than a pixel are let be)",
            place=uri,
            remedy="cut or remove one of each pair, or name its code under labels.ignore",
        )


def _block(x: NDArray[np.floating], y: NDArray[np.floating], side_m: float) -> NDArray[np.int64]:
    """Number of the block a point lies in; blocks are anchored at the CRS's origin, so they outlive the area."""
    return (np.floor(y / side_m).astype(np.int64) << 32) + np.floor(x / side_m).astype(np.int64)
