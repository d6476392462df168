"""Longitude and latitude -> the run's CRS: which CRS suits an area, and edges that bend as its projection does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import shapely
from pyproj.exceptions import CRSError
from shapely.geometry.base import BaseGeometry

from engine.errors import SpecError

LON_LAT = "EPSG:4326"
BEND_M = 500.0
"""Longest edge left straight on the way to longitude and latitude: its chord bows by about 5 mm at 45 degrees."""
BEND_DEG = 0.02
"""Longest edge left straight on the way back (bow: 10 cm). Coarser than BEND_M, so that what was bent on the way in is
not bent again: a rectangle on the grid's own lines comes back as that rectangle, without a row of pixels more."""
MARGIN_DEG = 1.0
"""How far an area may reach beyond its CRS's area of use: countries do overhang their UTM zone a little."""


def suggest_crs(area: BaseGeometry) -> str:
    """The UTM zone where the area (EPSG:4326) fits in one, else an equal-area CRS: Europe's EPSG:3035, or EPSG:6933."""
    centre = area.centroid
    zone = min(int((centre.x + 180) // 6) + 1, 60)
    codes = [f"EPSG:{(32600 if centre.y >= 0 else 32700) + zone}", "EPSG:3035"]
    for code in codes:
        if _overhang_deg(pyproj.CRS.from_user_input(code), area) <= MARGIN_DEG:
            return code
    return "EPSG:6933"


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
            f"the area {[round(v, 4) for v in area.bounds]} reaches {overhang:.1f} degrees beyond {crs.to_string()}",
            expected=f"an area within {[use.west, use.south, use.east, use.north]} (plus {MARGIN_DEG:g} degree)",
            place="grid.crs",
            remedy=f"use {suggest_crs(area)}",
        )


def project_bent(area: BaseGeometry, crs: pyproj.CRS) -> BaseGeometry:
    """``area`` (EPSG:4326) in ``crs``, straight edges cut so that they bend; SpecError where it has no place there."""
    projected = project(shapely.segmentize(area, BEND_DEG), LON_LAT, crs)
    if not np.isfinite(projected.bounds).all():
        raise SpecError(
            f"the area {[round(v, 4) for v in area.bounds]} has no place in {crs.to_string()}",
            expected="an area the projection can hold",
            place="grid.crs",
            remedy=f"use {suggest_crs(area)}",
        )
    return projected


def segment_length(crs: pyproj.CRS) -> float:
    """Longest edge left straight on the way from ``crs`` to longitude and latitude, in units of ``crs``."""
    return BEND_DEG if crs.is_geographic else BEND_M / crs.axis_info[0].unit_conversion_factor


def project(shapes: Any, source: Any, target: Any) -> Any:
    """Geometry, or array of geometries, vertex by vertex from one CRS to another; x (longitude) first in both."""
    transformer = pyproj.Transformer.from_crs(source, target, always_xy=True)
    return shapely.transform(shapes, transformer.transform, interleaved=False)


def _overhang_deg(crs: pyproj.CRS, area: BaseGeometry) -> float:
    """How far the area reaches beyond the CRS's area of use, in degrees; 0 inside, or where none is stated."""
    use = crs.area_of_use
    if use is None:
        return 0.0
    west, south, east, north = area.bounds
    sides = [use.south - south, north - use.north]
    if use.west <= use.east:  # otherwise it crosses the date line, where longitudes cannot be compared so simply
        sides += [use.west - west, east - use.east]
    return max(0.0, *sides)
