"""The area of interest: a box or the polygons of a file, in longitude and latitude."""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import geopandas as gpd
import numpy as np
import pyogrio
import pyproj
import shapely
from pydantic import field_validator, model_validator
from shapely.geometry.base import BaseGeometry

from engine.earth import LON_LAT
from engine.errors import InputError
from engine.grid.projection import project, segment_length
from engine.objects import local_file
from engine.types import Options

AREA_SUFFIXES = (".geojson", ".json", ".gpkg", ".parquet", ".geoparquet")


class AreaOptions(Options):
    """What to map: exactly one of ``bbox`` (west, south, east, north in degrees) and ``file`` (polygons)."""

    bbox: tuple[float, float, float, float] | None = None
    """West, south, east and north in degrees of longitude and latitude; None where a file is given."""
    file: str | None = None
    """Polygons to map, GeoPackage, GeoJSON or GeoParquet in any CRS, holes counted; None where a bbox is given."""

    @field_validator("bbox")
    @classmethod
    def _ordered(cls, bbox: tuple[float, float, float, float] | None) -> tuple[float, float, float, float] | None:
        if bbox is None:
            return None
        west, south, east, north = bbox
        if not all(map(math.isfinite, bbox)):
            raise ValueError(f"bbox {list(bbox)} holds a number that is not finite; expected: four finite degrees")
        if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= 90 and -90 <= north <= 90):
            raise ValueError(
                f"bbox {list(bbox)} leaves the globe; expected: [west, south, east, north] in degrees, longitude "
                "-180 to 180 and latitude -90 to 90; remedy: give longitude and latitude, not metres, longitude first"
            )
        if west == east or south == north:
            raise ValueError(
                f"bbox {list(bbox)} has no width or no height; expected: west < east and south < north; remedy: give "
                "two corners of the area, not a point"
            )
        if not (west < east and south < north):
            raise ValueError(
                f"bbox {list(bbox)} is reversed; expected: west < east and south < north; remedy: order it as "
                f"[{min(west, east)}, {min(south, north)}, {max(west, east)}, {max(south, north)}], or give a file "
                "with one polygon on each side if the area crosses the date line"
            )
        return bbox

    @field_validator("file")
    @classmethod
    def _known_format(cls, file: str | None) -> str | None:
        if file is not None and _suffix(file) not in AREA_SUFFIXES:
            raise ValueError(
                f"area file {file!r} has an unknown ending; expected: one of {', '.join(AREA_SUFFIXES)}; remedy: "
                "convert it with `ogr2ogr area.gpkg FILE`"
            )
        return file

    @model_validator(mode="after")
    def _exactly_one(self) -> AreaOptions:
        if (self.bbox is None) == (self.file is None):
            given = "neither" if self.bbox is None else "both"
            raise ValueError(f"{given} given; expected: exactly one of bbox and file; remedy: keep one of them")
        return self


def read_area(options: AreaOptions) -> BaseGeometry:
    """Polygon or multi-polygon in EPSG:4326, longitude first; holes and separate parts kept.

    GeoJSON, GeoPackage and GeoParquet in any CRS, from a path or any fsspec URL. All polygons of the file together are
    the area. InputError: no such file, no CRS, nothing in it, anything but polygons, an invalid polygon.
    """
    if options.bbox is not None:
        return shapely.box(*options.bbox)
    assert options.file is not None
    frame = _read_frame(options.file)
    _check_polygons(frame, options.file)
    source = pyproj.CRS.from_user_input(frame.crs)
    bent = shapely.segmentize(shapely.force_2d(frame.geometry.to_numpy()), segment_length(source))
    area = shapely.union_all(project(bent, source, LON_LAT))
    if not np.isfinite(area.bounds).all():
        raise InputError(
            f"coordinates {list(frame.total_bounds)} cannot be converted from {source.to_string()}",
            expected="coordinates inside the file's own CRS",
            place=options.file,
            remedy="the file names a CRS its coordinates are not in; set the right one",
        )
    return area


def _suffix(path: str) -> str:
    return PurePosixPath(urlsplit(path).path).suffix.lower()


def _read_frame(path: str) -> gpd.GeoDataFrame:
    try:
        with local_file(path) as file:
            if _suffix(path) in (".parquet", ".geoparquet"):
                frame = gpd.read_parquet(file)
            else:
                frame = gpd.read_file(file, layer=_only_layer(file, path))
    except FileNotFoundError as error:
        raise InputError("no such file", place=path, remedy="check area.file") from error
    except (OSError, ValueError, pyogrio.errors.DataSourceError) as error:
        raise InputError(
            f"cannot be read: {error}", expected="GeoJSON, GeoPackage or GeoParquet with polygons", place=path
        ) from error
    if not isinstance(frame, gpd.GeoDataFrame):
        raise InputError("holds no geometry", expected="polygons", place=path, remedy="choose a file with polygons")
    return frame


def _only_layer(file: str, path: str) -> str:
    layers = [name for name, kind in pyogrio.list_layers(file) if kind is not None]
    if len(layers) != 1:
        raise InputError(
            f"holds {len(layers)} layers with geometry ({', '.join(layers)})",
            expected="exactly one",
            place=path,
            remedy="write the one you mean to its own file: `ogr2ogr area.gpkg FILE LAYER`",
        )
    return str(layers[0])


def _check_polygons(frame: gpd.GeoDataFrame, path: str) -> None:
    shapes = frame.geometry
    wrong = sorted({str(kind) for kind in shapes.geom_type.dropna()} - {"Polygon", "MultiPolygon"})
    if len(frame) == 0 or bool((shapes.isna() | shapes.is_empty).all()):
        raise InputError("holds no polygon", expected="one or more", place=path, remedy="choose another area.file")
    if wrong:
        raise InputError(
            f"holds {', '.join(wrong)}", expected="polygons only", place=path, remedy="buffer or remove the others"
        )
    if frame.crs is None:
        raise InputError(
            "says no CRS",
            expected="a CRS written in the file",
            place=path,
            remedy="set it where you made it, for example `ogr2ogr -a_srs EPSG:4326 area.gpkg FILE`",
        )
    invalid = np.flatnonzero(~shapely.is_valid(shapes.to_numpy()) & shapes.notna().to_numpy())
    if invalid.size:
        raise InputError(
            f"polygon {int(invalid[0])} is invalid: {shapely.is_valid_reason(shapes.iloc[invalid[0]])}",
            expected="valid polygons",
            place=path,
            remedy="mend them, for example with `ogr2ogr -makevalid area.gpkg FILE`",
        )
