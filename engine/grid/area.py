"""The area of interest: a box or the polygons of a file, in longitude and latitude."""

from __future__ import annotations

import math

import shapely
from pydantic import field_validator, model_validator
from shapely.geometry.base import BaseGeometry

from engine.earth import LON_LAT, box_shape, split_at_date_line
from engine.errors import InputError
from engine.types import Options
from engine.vectors import FORMATS, VectorFile, is_unknown, read_polygons, told_of


class AreaOptions(Options):
    """What to map: exactly one of ``bbox`` (west, south, east, north in degrees) and ``file`` (polygons)."""

    bbox: tuple[float, float, float, float] | None = None
    """West, south, east and north in degrees of longitude and latitude, west > east across the date line; None where a
    file is given."""
    file: str | None = None
    """Polygons to map, any CRS, holes counted: GeoPackage, GeoParquet (a file or a folder), FlatGeobuf, GeoJSON or
    Shapefile; None where a bbox is given."""
    layer: str | None = None
    """The layer of the file, where it holds several."""

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
        if west == east or west - east == 360 or south == north:
            raise ValueError(
                f"bbox {list(bbox)} has no width or no height; expected: west < east and south < north; remedy: give "
                "two corners of the area, not a point"
            )
        if south > north or (west > east and west - east < 180):
            raise ValueError(
                f"bbox {list(bbox)} is reversed; expected: west < east and south < north (west > east only across the "
                f"date line); remedy: order it as [{min(west, east)}, {min(south, north)}, {max(west, east)}, "
                f"{max(south, north)}]"
            )
        return bbox

    @field_validator("file")
    @classmethod
    def _known_format(cls, file: str | None) -> str | None:
        if file is not None and is_unknown(file):
            raise ValueError(
                f"area file {file!r} has an unknown ending; expected: {FORMATS}; remedy: convert it with "
                "`ogr2ogr area.gpkg FILE`"
            )
        return file

    @model_validator(mode="after")
    def _exactly_one(self) -> AreaOptions:
        if (self.bbox is None) == (self.file is None):
            given = "neither" if self.bbox is None else "both"
            raise ValueError(f"{given} given; expected: exactly one of bbox and file; remedy: keep one of them")
        if self.layer is not None and self.file is None:
            raise ValueError("layer without file; expected: the layer of a file; remedy: take layer out")
        return self


def read_area(options: AreaOptions) -> BaseGeometry:
    """Polygon or multi-polygon in EPSG:4326, longitude first; holes and separate parts kept. InputError as
    ``look_at_area``."""
    return look_at_area(options)[0]


def look_at_area(options: AreaOptions) -> tuple[BaseGeometry, list[str]]:
    """The area, and sentences on polygons of its file that were repaired or left out.

    Any vector format and CRS, from a path or any fsspec URL. All polygons of the file together are the area.
    InputError: no such file, several layers, no or a foreign CRS, no polygon that can be used.
    """
    if options.bbox is not None:
        return box_shape(*options.bbox), []
    assert options.file is not None
    found = read_polygons(VectorFile(options.file, "area", options.layer), (), LON_LAT)
    if not len(found.shapes):
        told = f" ({', '.join(f'{why}: {number}' for why, number in sorted(found.left_out.items()))})"
        raise InputError(
            f"holds no polygon that can be used{told if found.left_out else ''}",
            expected="one or more",
            place=options.file,
            remedy="choose another area.file",
        )
    whole = shapely.union_all([split_at_date_line(s) if _may_cross(s) else s for s in found.shapes])
    return whole, told_of("area", found.left_out, found.changed)


def _may_cross(shape: BaseGeometry) -> bool:
    """Whether a polygon in degrees may reach across the date line: it is as wide as half the earth, or goes beyond."""
    west, _, east, _ = shape.bounds
    return bool(west < -180 or east > 180 or east - west > 180)
