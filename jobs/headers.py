"""What the headers of labels, parcels and masks tell: where they lie, and whether they can be used at all."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pyproj
from rasterio.warp import transform_bounds

from engine.claims import Claim
from engine.errors import InputError
from engine.ground import read_named
from engine.header import CODES, decide
from engine.objects import absolute
from engine.rasters import open_raster
from engine.types import Asset, Grid, Window

Box = tuple[float, float, float, float]
"""(left, bottom, right, top)."""


def raster_box(uri: str, grid: Grid, band: int | str | None = None, keep: Sequence[int] = ()) -> Box:
    """Bounds of a raster of codes in the grid's CRS; only its header is read. InputError where it cannot be read as
    codes: no CRS, several bands and none named, a data type that holds no codes; or where its header calls no data
    what is asked for by ``keep``."""

    def box(path: str) -> Box:
        raster = open_raster(path)
        try:
            reading = decide(raster.header, Asset(path, "", Claim(band=band)), CODES, "")
            lost = [code for code in keep if code in reading.nodata]
            if lost:
                raise InputError(
                    f"its header calls {lost[0]} no data", expected="the values to keep among its data",
                    remedy="take it out of keep, or out of the header (gdal_edit -unsetnodata)",
                )  # fmt: skip
            if raster.source.crs is None:
                raise InputError(
                    "the raster says no CRS", expected="a CRS and a geotransform", remedy="gdal_edit -a_srs"
                )
            return transform_bounds(raster.source.crs, grid.crs, *raster.source.bounds)
        finally:
            raster.close()

    return read_named(uri, box)


def parcel_box(uri: str, column: str | None, grid: Grid) -> Box | None:
    """Bounds of parcels in the grid's CRS as far as a header tells; InputError where column or CRS is not there."""
    path = absolute(uri)
    if uri.lower().endswith("parquet"):
        with fsspec.open(path, "rb") as file:
            columns, crs, box = _geo_footer(pq.ParquetFile(file))
        names = list(columns)
    elif "://" in path:
        with fsspec.open(path, "rb"):
            return None
    else:
        info = pyogrio.read_info(path, force_total_bounds=True)
        names, crs, box = list(info["fields"]), info["crs"], info["total_bounds"]
    if column is not None and column not in names:
        near = difflib.get_close_matches(column, names, 1)
        raise InputError(
            f"has no column {column!r}; it has {', '.join(names)}",
            expected="a column that names each parcel",
            remedy=f"parcels.id: {near[0] if near else 'one of these, or leave it out to number the rows'}",
        )
    if crs is None:
        raise InputError("the parcels say no CRS", expected="a CRS in the file", remedy="ogr2ogr -a_srs EPSG:...")
    return transform_bounds(crs, grid.crs, *box) if box is not None else None


def polygon_box(uri: str, column: str, grid: Grid) -> Box | None:
    """Bounds of polygons in the grid's CRS as far as a header tells; InputError where column or CRS is not there."""
    path = absolute(uri)
    if uri.lower().endswith("parquet"):
        names, crs, box = _parquet_header(path)
    elif "://" in path:
        with fsspec.open(path, "rb"):  # to learn more, the whole file would have to be fetched
            return None
    else:
        names, crs, box = _ogr_header(path)
    if column not in names:
        near = difflib.get_close_matches(column, [name for name, whole in names.items() if whole], 1)
        raise InputError(
            f"has no column {column!r}; it has {', '.join(names)}",
            expected="a column of codes or of names",
            remedy=f"labels.column: {near[0] if near else 'one of these'}",
        )
    if crs is None:
        raise InputError("the polygons say no CRS", expected="a CRS in the file", remedy="ogr2ogr -a_srs EPSG:...")
    return transform_bounds(crs, grid.crs, *box) if box is not None else None


def overlap(box: Box | None, grid: Grid) -> Box:
    """The part of the grid that the box covers; the whole grid where the box is not known."""
    left, bottom, right, top = whole = grid.bounds(Window(0, grid.height, 0, grid.width))
    if box is None:
        return whole
    shared = (max(left, box[0]), max(bottom, box[1]), min(right, box[2]), min(top, box[3]))
    if shared[0] >= shared[2] or shared[1] >= shared[3]:
        raise InputError(
            f"covers {_told(box)} in {grid.crs}",
            expected=f"something of the area, {_told(whole)}",
            remedy="check its CRS, or choose one of this area",
        )
    return shared


def _told(box: Box) -> str:
    """Bounds without decimals; "inf" where coordinates are not those of their CRS."""
    return f"[{', '.join(f'{value:.0f}' for value in box)}]"


def _ogr_header(path: str) -> tuple[dict[str, bool], Any, Box | None]:
    """(columns and whether each holds whole numbers, CRS, bounds) of a GeoPackage, GeoJSON or another format of
    GDAL's."""
    info = pyogrio.read_info(path, force_total_bounds=True)
    names = {name: "int" in kind for name, kind in zip(info["fields"], info["dtypes"], strict=True)}
    if not info["geometry_type"]:
        raise InputError("has no geometry", expected="a raster of codes, or polygons with a column of codes")
    return names, info["crs"], info["total_bounds"]


def _parquet_header(uri: str) -> tuple[dict[str, bool], Any, Box | None]:
    """The same of a GeoParquet file, from its footer."""
    with fsspec.open(uri, "rb") as file:
        return _geo_footer(pq.ParquetFile(file))


def _geo_footer(parquet: pq.ParquetFile) -> tuple[dict[str, bool], Any, Box | None]:
    """(columns and whether each holds whole numbers, CRS, bounds) of a GeoParquet file."""
    names = {field.name: pa.types.is_integer(field.type) for field in parquet.schema_arrow}
    geo = json.loads((parquet.schema_arrow.metadata or {}).get(b"geo", b"{}"))
    if not geo:
        raise InputError(
            "has no geometry", expected="GeoParquet: polygons with columns", remedy="write it as GeoParquet"
        )
    geometry = geo["columns"][geo["primary_column"]]
    crs = geometry.get("crs", "OGC:CRS84")  # absent means longitude and latitude, null means unknown
    return names, crs and pyproj.CRS.from_user_input(crs), geometry.get("bbox")
