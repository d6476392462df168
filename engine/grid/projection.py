"""Longitude and latitude -> the run's CRS: which CRS suits an area, and edges that bend as its projection does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import shapely
from pyproj.exceptions import CRSError
from shapely.geometry.base import BaseGeometry

from engine.earth import LON_LAT, joined, lonlat_box
from engine.errors import SpecError
from engine.vectors import BEND_DEG

_TORN_M = 1e6
"""An edge of BEND_DEG is some 2 km long; one of 1,000 km runs from one end of the map to the other."""
MARGIN_DEG = 1.0
"""How far an area may reach beyond its CRS's area of use: countries do overhang their UTM zone a little."""


def suggest_crs(area: BaseGeometry) -> str:
    """The UTM zone where the area (EPSG:4326) fits in one, else an equal-area CRS: Europe's EPSG:3035, or EPSG:6933;
    across the date line EPSG:8859."""
    centre = joined(area).centroid
    zone = int((centre.x + 180) % 360 // 6) + 1
    codes = [f"EPSG:{(32600 if centre.y >= 0 else 32700) + zone}", "EPSG:3035"]
    for code in codes:
        if _overhang_deg(pyproj.CRS.from_user_input(code), area) <= MARGIN_DEG:
            return code
    west, _, east, _ = lonlat_box(area)
    return "EPSG:6933" if west <= east else "EPSG:8859"


def projected_crs(code: str, area: BaseGeometry) -> pyproj.CRS:
    """The CRS behind ``code``, refused unless it is projected, in metres and has an authority code."""
    remedy = f"use {suggest_crs(area)}, which suits this area"

    def refuse(value: str, expected: str) -> SpecError:
        return SpecError(value, expected=expected, place="grid.crs", remedy=remedy)

    try:
        crs = pyproj.CRS.from_user_input(code)
    except CRSError as error:
        raise refuse(f"{code!r} is no CRS that PROJ knows", "an authority code such as EPSG:32631") from error
    if not crs.is_projected:
        raise refuse(
            f"{code} ({crs.name}) is not projected", "a projected CRS, so that pixels are square on the ground"
        )
    if any(axis.unit_conversion_factor != 1 for axis in crs.axis_info):
        raise refuse(f"{code} ({crs.name}) has axes in {crs.axis_info[0].unit_name}", "axes in metres")
    if crs.to_authority() is None:
        raise refuse(f"{code!r} has no authority code", "an authority code, so that every output can name it")
    return crs


def check_use(crs: pyproj.CRS, area: BaseGeometry) -> None:
    """SpecError unless the area (EPSG:4326) lies in the CRS's area of use, give or take MARGIN_DEG."""
    overhang, use = _overhang_deg(crs, area), crs.area_of_use
    if use is not None and overhang > MARGIN_DEG:
        raise SpecError(
            f"the area {_told_box(area)} reaches {overhang:.1f} degrees beyond {crs.to_string()}",
            expected=f"an area within {[use.west, use.south, use.east, use.north]} (plus {MARGIN_DEG:g} degree)",
            place="grid.crs",
            remedy=f"use {suggest_crs(area)}",
        )


def project_bent(area: BaseGeometry, crs: pyproj.CRS) -> BaseGeometry:
    """``area`` (EPSG:4326) in ``crs``, straight edges cut so that they bend; SpecError where it has no place there, or
    where the projection tears it apart, as one around Greenwich does at the date line."""
    projected = project(shapely.segmentize(joined(area), BEND_DEG), LON_LAT, crs)
    if not np.isfinite(projected.bounds).all():
        raise SpecError(
            f"the area {_told_box(area)} has no place in {crs.to_string()}",
            expected="an area the projection can hold",
            place="grid.crs",
            remedy=f"use {suggest_crs(area)}",
        )
    if _longest_edge(projected) > _TORN_M:
        raise SpecError(
            f"the area {_told_box(area)} lies on two ends of {crs.to_string()}",
            expected="a projection that holds both sides of the date line together",
            place="grid.crs",
            remedy=f"use {suggest_crs(area)}",
        )
    return projected


def project(shapes: Any, source: Any, target: Any) -> Any:
    """Geometry, or array of geometries, vertex by vertex from one CRS to another; x (longitude) first in both."""
    transformer = pyproj.Transformer.from_crs(source, target, always_xy=True)
    return shapely.transform(shapes, transformer.transform, interleaved=False)


def _overhang_deg(crs: pyproj.CRS, area: BaseGeometry) -> float:
    """How far the area reaches beyond the CRS's area of use, in degrees; 0 inside, or where none is stated."""
    use = crs.area_of_use
    if use is None:
        return 0.0
    west, south, east, north = lonlat_box(area)
    east = east if east >= west else east + 360
    use_east = use.east if use.east >= use.west else use.east + 360
    if use_east - use.west >= 360:
        across = 0.0
    else:  # longitudes repeat after 360 degrees: the nearest turn counts
        across = min(max(use.west - west - turn, east + turn - use_east) for turn in (-360.0, 0.0, 360.0))
    return max(0.0, use.south - south, north - use.north, across)


def _told_box(area: BaseGeometry) -> list[float]:
    """West, south, east and north for a message."""
    return [round(value, 4) for value in lonlat_box(area)]


def _longest_edge(shape: BaseGeometry) -> float:
    """The longest straight edge of a shape's rings, in its own units."""
    rings = [shapely.get_coordinates(ring) for part in shapely.get_parts(shape) for ring in shapely.get_rings(part)]
    return max((float(np.hypot(*np.diff(ring, axis=0).T).max()) for ring in rings if len(ring) > 1), default=0.0)
