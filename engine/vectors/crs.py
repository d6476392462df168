"""Which CRS a file of vectors is in, and whether its coordinates can be in it."""

from __future__ import annotations

import math
from typing import Any

import pyproj
from pyproj.exceptions import CRSError, ProjError

from engine.vectors.file import VectorFile

Box = tuple[float, float, float, float]
"""(left, bottom, right, top)."""
BEND_M = 500.0
"""Longest edge left straight on the way to longitude and latitude: its chord bows by about 5 mm at 45 degrees."""
BEND_DEG = 0.02
"""Longest edge left straight on the way back (bow: 10 cm). Coarser than BEND_M, so that what was bent on the way in is
not bent again: a rectangle on the grid's own lines comes back as that rectangle, without a row of pixels more."""
_BEYOND_DEG = 5.0
"""How far coordinates may reach beyond their CRS's area of use: a country does overhang its UTM zone."""
_EARTH_M = (6.3e6, 6.45e6)
_WHOLE = (-1e12, -1e12, 1e12, 1e12)


def segment_length(crs: pyproj.CRS) -> float:
    """Longest edge left straight on the way from ``crs`` to longitude and latitude, in units of ``crs``."""
    return BEND_DEG if crs.is_geographic else BEND_M / crs.axis_info[0].unit_conversion_factor


def known_crs(said: Any, file: VectorFile) -> pyproj.CRS:
    """The CRS, without height, that a file says; InputError where it says none, or none of places on the earth."""
    remedy = "write the right one into the file: `ogr2ogr -a_srs EPSG:... OUT.gpkg FILE`"
    if said is None or "Undefined geographic SRS" in str(said) or "Undefined Cartesian SRS" in str(said):
        raise file.refused("says no CRS", "a CRS written in the file", remedy)
    try:
        crs = pyproj.CRS.from_user_input(said)
        flat = crs.to_2d()
    except CRSError as error:
        raise file.refused(f"its CRS {_short(said)} is none that PROJ knows", "a known CRS", remedy) from error
    if not (flat.is_geographic or flat.is_projected):
        raise file.refused(f"its CRS {crs.name!r} is a {crs.type_name}", "a geographic or projected CRS", remedy)
    if flat.ellipsoid is not None and not _EARTH_M[0] < flat.ellipsoid.semi_major_metre < _EARTH_M[1]:
        raise file.refused(f"its CRS {crs.name!r} is of another body than the earth", "a CRS of the earth", remedy)
    return flat


def check_range(box: Box | None, crs: pyproj.CRS, file: VectorFile) -> None:
    """InputError where all coordinates (``box``, x first) lie outside what the CRS can hold; a part that does is judged
    row by row."""
    if box is None or not all(map(math.isfinite, box)):
        return
    left, bottom, right, top = box
    told = f"coordinates [{left:g}, {bottom:g}, {right:g}, {top:g}] are not those of {crs.name}"
    remedy = "the file names a CRS its coordinates are not in, or their axes are swapped: write it with the right one"
    if crs.is_geographic:
        degree = crs.axis_info[0].unit_conversion_factor / math.radians(1)
        if left * degree > 360 or right * degree < -360 or bottom * degree > 90 or top * degree < -90:
            raise file.refused(told, "longitude -180 to 180 first, latitude -90 to 90", remedy)
        return
    if max(map(abs, box)) <= 360 and right - left < 360 and (left, bottom) != (right, top):
        raise file.refused(f"{told}: they look like degrees", f"{crs.axis_info[0].unit_name}s", remedy)
    use = crs.area_of_use
    try:
        west, south, east, north = pyproj.Transformer.from_crs(crs, "OGC:CRS84", always_xy=True).transform_bounds(*box)
    except ProjError:
        west = south = east = north = math.inf
    if not all(map(math.isfinite, (west, south, east, north))):
        raise file.refused(told, "coordinates inside the file's own CRS", remedy)
    if use is None or use.west > use.east or west > east:  # across the date line longitudes are not compared so simply
        return
    far = max(use.west - east, west - use.east, use.south - north, south - use.north)
    if far > _BEYOND_DEG:
        raise file.refused(
            f"{told}: they lie {far:.0f} degrees away from where it is used",
            f"coordinates within longitude {use.west:g} to {use.east:g}, latitude {use.south:g} to {use.north:g}",
            remedy,
        )


def own_box(box: Box, crs: Any, own: pyproj.CRS) -> Box:
    """``box`` (in ``crs``) in the file's CRS, a little larger than need be; the whole plane where it has no place
    there."""
    try:
        left, bottom, right, top = pyproj.Transformer.from_crs(crs, own, always_xy=True).transform_bounds(*box)
    except ProjError:
        return _WHOLE
    if not all(map(math.isfinite, (left, bottom, right, top))) or left > right:  # across the date line
        return _WHOLE
    x, y = (right - left) / 100, (top - bottom) / 100
    return left - x, bottom - y, right + x, top + y


def _short(said: Any) -> str:
    text = said.get("name", "") if isinstance(said, dict) else str(said)
    return repr(text if len(text) < 60 else f"{text[:60]}...")
