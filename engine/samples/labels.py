"""Labels on the ground: the code and the spatial block of each pixel, and the legend that names the codes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import fsspec
import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from engine.errors import InputError
from engine.ground import read_raster
from engine.objects import absolute, file_digest
from engine.samples.options import LabelOptions
from engine.samples.polygons import read_polygons
from engine.types import Grid, Samples, Window

MOST_PER_TILE = 20_000
RASTER_SUFFIXES = (".tif", ".tiff", ".vrt")


@dataclass(frozen=True)
class Legend:
    """Names and, where given, colours of the codes."""

    names: Mapping[int, str]
    colours: Mapping[int, str]


class Labels:
    """Labels of a whole area; asks for one window at a time."""

    def __init__(self, options: LabelOptions, grid: Grid, block_m: float) -> None:
        assert options.uri is not None, "a season without labels is not read"
        self.options, self.uri, self.grid, self.block_m = options, options.uri, grid, block_m
        self._parcels: gpd.GeoDataFrame | None = None
        self.left_out: Counter[str] = Counter()
        """Reason -> how many rows of a file of polygons label no pixel."""
        if not is_raster(self.uri):
            frame, left_out = labelled_polygons(options, grid, block_m)
            whole = frame.is_valid
            self._parcels = frame[whole]
            self.left_out = left_out + Counter({"their edges cross": int((~whole).sum())})

    def identity(self) -> list[Any]:
        """What changes when the labels do."""
        return [self.options.model_dump(mode="json"), self.block_m, file_digest(self.uri)]

    def read(self, window: Window) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Codes (y, x) int32, 0 = not labelled, and the block (y, x) int64 of each pixel.

        A polygon's pixels (by centre) all lie in the block of its representative point, so no parcel is torn; pixels
        without label in that of their own place.
        """
        if self._parcels is not None:
            return self._of_parcels(window)
        patch = read_raster(self.uri, self.grid, window)
        codes = np.zeros(window.shape, np.int32)
        if patch is not None:
            codes = patch.on_grid(_whole(patch.values, self.uri), 0)
        codes[np.isin(codes, self.options.ignore)] = 0
        return codes, self._places(window)

    def codes(self) -> set[int]:
        """All codes of polygons, wherever they lie; of a raster none, which is read tile by tile."""
        return set() if self._parcels is None else set(self._parcels["code"].unique().tolist())

    def _places(self, window: Window) -> NDArray[np.int64]:
        """Block of each pixel's centre."""
        r = self.grid.resolution
        x = self.grid.left + (np.arange(window.x0, window.x1) + 0.5) * r
        y = self.grid.top - (np.arange(window.y0, window.y1) + 0.5) * r
        return _block(x[None, :], y[:, None], self.block_m)

    def _of_parcels(self, window: Window) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        assert self._parcels is not None
        left, bottom, right, top = self.grid.bounds(window)
        near = self._parcels.cx[left:right, bottom:top]
        if near.empty:
            return np.zeros(window.shape, np.int32), self._places(window)
        which = rasterize(
            zip(near.geometry, range(1, len(near) + 1), strict=True),
            out_shape=window.shape,
            transform=rasterio.Affine(*self.grid.transform(window)),
            dtype="int32",
        )
        codes = np.concatenate([[0], near["code"].to_numpy(np.int32)])[which]
        block = np.concatenate([[0], near["block"].to_numpy(np.int64)])[which]
        return codes, np.where(which == 0, self._places(window), block)


def _whole(values: NDArray, uri: str) -> NDArray[np.int32]:
    """A raster's codes, NaN as 0; InputError for other values that are no whole numbers."""
    if values.dtype.kind != "f":
        return values.astype(np.int32)
    codes = np.where(np.isnan(values), 0, values)
    wrong = codes[~np.isfinite(codes) | (codes % 1 != 0)]
    if len(wrong):
        raise InputError(
            f"a pixel holds {wrong[0]:g}", expected="whole numbers as codes, NaN for none", place=uri,
            remedy="write a raster of whole numbers",
        )  # fmt: skip
    return codes.astype(np.int32)


def draw(
    usable: NDArray[np.bool_], window: Window, seed: int, most: int = MOST_PER_TILE
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of one tile's usable pixels, at most so many, drawn by a seed of the tile's own."""
    rows, cols = np.nonzero(usable)
    if len(rows) > most:
        drawn = np.random.default_rng([seed, window.y0, window.x0]).choice(len(rows), most, replace=False)
        rows, cols = rows[np.sort(drawn)], cols[np.sort(drawn)]
    return rows, cols


def read_legend(uri: str | None, codes: NDArray[np.int32]) -> Legend:
    """Names and colours by code; without a legend every code present is named after itself."""
    if uri is None:
        return Legend({int(c): f"class {c}" for c in np.unique(codes) if c}, {})
    try:
        with fsspec.open(uri, "rb") as file:
            table = pd.read_csv(file)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(f"cannot be read: {error}", expected="a CSV of code,name", place=uri) from error
    missing = {"code", "name"} - set(table.columns)
    if missing:
        raise InputError(
            f"columns {list(table.columns)}", expected="code and name", place=uri, remedy=f"add {sorted(missing)}"
        )
    if "kind" in table.columns:
        table = table[table["kind"] == "CT"]
    codes_column = _integers(table["code"], "code", uri)
    table, codes_column = table[codes_column != 0], codes_column[codes_column != 0]
    if codes_column.duplicated().any():
        twice = int(codes_column[codes_column.duplicated()].iloc[0])
        raise InputError(f"code {twice} stands there twice", expected="one row per code", place=uri)
    names = dict(zip(codes_column, table["name"].astype(str), strict=True))
    given = table["colour"] if "colour" in table.columns else pd.Series(dtype=str)
    colours = {code: str(c) for code, c in zip(codes_column, given, strict=False) if isinstance(c, str)}
    return Legend(names, colours)


def is_raster(uri: str) -> bool:
    """Whether labels at this uri are a raster of codes; else they are polygons."""
    return uri.lower().endswith(RASTER_SUFFIXES)


def labelled_polygons(options: LabelOptions, grid: Grid, block_m: float) -> tuple[gpd.GeoDataFrame, Counter[str]]:
    """Labelled polygons in the grid's CRS with their code and the block of their representative point; and reason ->
    how many rows hold no polygon.

    InputError: cannot be read, no such column, no CRS, no integer codes, or different codes for one place.
    """
    assert options.uri is not None, "a season without labels is not read"
    uri = options.uri
    frame, left_out = read_polygons(uri, options.column, "labels.column", "integer codes")
    codes = _integers(frame[options.column], options.column, uri)
    frame, codes = frame[~codes.isin(options.ignore)].to_crs(grid.crs), codes[~codes.isin(options.ignore)]
    _refuse_overlaps(frame, codes, grid, uri)
    points = frame.geometry.representative_point()
    block = _block(points.x.to_numpy(), points.y.to_numpy(), block_m)
    return gpd.GeoDataFrame({"code": codes, "block": block}, geometry=frame.geometry), left_out


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


def _integers(values: pd.Series, column: str, place: str) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = values[numbers.isna() | (numbers % 1 != 0)]
    if len(wrong):
        raise InputError(
            f"{column} holds {wrong.tolist()[0]!r}", expected="integer codes", place=place, remedy="number the classes"
        )
    return numbers.astype(int)


def _block(x: NDArray[np.floating], y: NDArray[np.floating], side_m: float) -> NDArray[np.int64]:
    """Number of the block a point lies in; blocks are anchored at the CRS's origin, so they outlive the area."""
    return (np.floor(y / side_m).astype(np.int64) << 32) + np.floor(x / side_m).astype(np.int64)


def legend_of(options: LabelOptions, samples: Samples) -> Legend:
    """The legend of the codes that were sampled."""
    return read_legend(options.legend and absolute(options.legend), samples.y)
