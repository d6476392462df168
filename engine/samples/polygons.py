"""Polygons that a person named, with the column that says what each is."""

from __future__ import annotations

from collections import Counter

import geopandas as gpd
import numpy as np
import shapely
from pyogrio.errors import DataSourceError

from engine.errors import InputError
from engine.objects import absolute, local_file

_POLYGONS = (3, 6)
"""GEOS's numbers of polygon and multipolygon."""


def read_polygons(uri: str, column: str, key: str, held: str) -> tuple[gpd.GeoDataFrame, Counter[str]]:
    """The polygons with a value of ``column``, and reason -> how many rows are none; InputError where file, column or
    CRS is not there.

    key: the spec's key that names the column. held: what the column holds, for the error.
    """
    try:
        with local_file(absolute(uri)) as path:
            frame = (gpd.read_parquet if uri.lower().endswith("parquet") else gpd.read_file)(path)
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
    frame = frame[frame[column].notna()]
    shapes = frame.geometry.to_numpy()
    nothing = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    polygon = np.isin(shapely.get_type_id(shapes), _POLYGONS)
    left_out = {"no geometry": nothing.sum(), "no polygon": (~nothing & ~polygon).sum()}
    return frame[polygon & ~nothing], Counter({why: int(number) for why, number in left_out.items() if number})
