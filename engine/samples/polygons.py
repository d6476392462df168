"""Polygons that a person named, with the column that says what each is."""

from __future__ import annotations

import io

import fsspec
import geopandas as gpd
import shapely
from pyogrio.errors import DataSourceError

from engine.errors import InputError


def read_polygons(uri: str, column: str, key: str, held: str) -> gpd.GeoDataFrame:
    """The rows with a shape and a value of ``column``; InputError where file, column or CRS is not there.

    key: the spec's key that names the column. held: what the column holds, for the error.
    """
    try:
        with fsspec.open(uri, "rb") as file:
            data = io.BytesIO(file.read())
        frame = (gpd.read_parquet if uri.lower().endswith("parquet") else gpd.read_file)(data)
    except (OSError, ValueError, DataSourceError) as error:
        raise InputError(f"cannot be read: {error}", expected=f"polygons with {held}", place=uri) from error
    if column not in frame.columns:
        raise InputError(
            f"columns {list(frame.columns)}",
            expected=f"a column {column!r} of {held}",
            place=uri,
            remedy=f"name the column under {key}",
        )
    if frame.crs is None:
        raise InputError("the polygons have no CRS", place=uri, remedy="write it into the file")
    shapes = frame.geometry.to_numpy()
    return frame[frame[column].notna() & ~shapely.is_missing(shapes) & ~shapely.is_empty(shapes)]
