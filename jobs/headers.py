"""What the headers of labels, parcels and masks tell: where they lie, and whether they can be used at all."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from rasterio.warp import transform_bounds

from engine.claims import Claim
from engine.errors import InputError
from engine.ground import read_named
from engine.header import CODES, decide
from engine.parcels import ParcelOptions
from engine.rasters import open_raster
from engine.samples import LabelOptions
from engine.types import Asset, Grid, Window
from engine.vectors import Box, Header, read_header, refuse_no_polygons


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


def parcel_box(options: ParcelOptions, grid: Grid) -> Box | None:
    """Bounds of parcels in the grid's CRS as far as a header tells; InputError for a file that cannot be a register."""
    header = read_header(options.file)
    refuse_no_polygons(header.kinds, options.file)
    if options.id is not None and options.id not in header.columns:
        near = difflib.get_close_matches(options.id, header.columns, 1)
        raise InputError(
            f"has no column {options.id!r}; it has {', '.join(header.columns)}",
            expected="a column that names each parcel",
            remedy=f"parcels.id: {near[0] if near else 'one of these, or leave it out to number the rows'}",
        )
    return _placed(header, grid)


def polygon_box(options: LabelOptions, grid: Grid) -> Box | None:
    """Bounds of labels in the grid's CRS as far as a header tells; InputError for a file that cannot be labels."""
    header, column = read_header(options.file), options.column
    refuse_no_polygons(header.kinds, options.file)
    if column not in header.columns:
        whole = [name for name, kind in header.columns.items() if "int" in kind]
        near = difflib.get_close_matches(column, whole, 1)
        raise InputError(
            f"has no column {column!r}; it has {', '.join(header.columns)}",
            expected="a column of codes or of names",
            remedy=f"labels.column: {near[0] if near else 'one of these'}",
        )
    return _placed(header, grid)


def _placed(header: Header, grid: Grid) -> Box | None:
    if header.box is None:
        return None
    left, bottom, right, top = transform_bounds(header.crs, grid.crs, *header.box)
    return left, bottom, right, top


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
