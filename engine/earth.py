"""The earth is round: shapes across the date line, boxes of longitude and latitude, and areas on the ellipsoid.

Longitudes and latitudes are degrees of WGS 84, longitude first. Import freely: no torch, rasterio or Ray behind it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import antimeridian
import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from engine.types import Grid, Tile

LON_LAT = "EPSG:4326"
MOST_OFF = 0.02
"""Share by which a grid's areas or lengths may be off within the area without a word."""
_EDGE_M = 500.0
"""Longest edge that is taken as straight when an area is computed: it bows by millimetres."""
_POLYGONS = (3, 6)
"""GEOS's numbers of polygon and multipolygon."""


def split_at_date_line(shape: BaseGeometry) -> BaseGeometry:
    """A polygon or multipolygon in longitude and latitude, valid and within -180 to 180: one that crosses the date
    line is cut along it, as GeoJSON asks (RFC 7946, section 3.1.9).

    It crosses where two neighbouring vertices lie more than 180 degrees apart, or where longitudes go beyond 180. A
    shape without a polygon gives an empty polygon.
    """
    whole = shapely.make_valid(shapely.force_2d(shape)) if not _jumps(shape) else shapely.force_2d(shape)
    parts = [part for part in shapely.get_parts(whole) if not part.is_empty]
    polygons = [part for part in shapely.get_parts(np.array(parts, object)) if shapely.get_type_id(part) in _POLYGONS]
    cut = [_within_180(polygon) for polygon in polygons]
    if not cut:
        return shapely.Polygon()
    return shapely.union_all(cut) if len(cut) > 1 else cut[0]


def joined(shape: BaseGeometry) -> BaseGeometry:
    """A shape as ``split_at_date_line`` gives it, in longitudes without a jump: what lies west of the date line is
    moved to 180 and more where the shape reaches across it. Other shapes come back as they are."""
    west, _, east, _ = lonlat_box(shape)
    if west <= east:
        return shape
    parts = shapely.get_parts(shape)
    moved = [_shifted(part, 360.0) if part.centroid.x < (west + east) / 2 else part for part in parts]
    return shapely.union_all(moved)


def lonlat_box(shape: BaseGeometry) -> list[float]:
    """[west, south, east, north] of a shape as ``split_at_date_line`` gives it; west > east where it reaches across the
    date line (RFC 7946, section 5.2)."""
    if shape.is_empty:
        raise ValueError("an empty shape has no box")
    return union_box([list(part.bounds) for part in shapely.get_parts(shape)])


def box_shape(west: float, south: float, east: float, north: float) -> BaseGeometry:
    """The polygon of a box; two where west > east, one on each side of the date line."""
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.MultiPolygon([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])


def boxes_of(shape: BaseGeometry) -> list[tuple[float, float, float, float]]:
    """The shape's box as boxes with west <= east: one, or one on each side of the date line."""
    west, south, east, north = lonlat_box(shape)
    if west <= east:
        return [(west, south, east, north)]
    return [(west, south, 180.0, north), (-180.0, south, east, north)]


def union_box(boxes: Iterable[Sequence[float]]) -> list[float]:
    """The narrowest [west, south, east, north] around all boxes; west > east where it reaches across the date line."""
    given = [list(box) for box in boxes]
    south, north = min(box[1] for box in given), max(box[3] for box in given)
    spans = sorted((west, east if east >= west else east + 360) for west, _, east, _ in given)
    runs = [list(spans[0])]
    for west, east in spans[1:]:
        if west <= runs[-1][1]:
            runs[-1][1] = max(runs[-1][1], east)
        else:
            runs.append([west, east])
    reach = runs[-1][1] - 360  # how far a box that crosses the date line reaches into the first ones
    while len(runs) > 1 and runs[0][0] <= reach:
        runs[-1][1] = max(runs[-1][1], runs.pop(0)[1] + 360)
    if runs[-1][1] - runs[0][0] >= 360:
        return [-180.0, south, 180.0, north]
    gaps = [following[0] - run[1] for run, following in pairwise(runs)]
    around = runs[0][0] + 360 - runs[-1][1]
    if not gaps or around >= max(gaps):
        west, east = runs[0][0], runs[-1][1]
    else:
        widest = int(np.argmax(gaps))
        west, east = runs[widest + 1][0], runs[widest][1]
    return [west, south, east - 360 if east > 180 else east, north]


def geojson(shape: BaseGeometry, digits: int | None = None) -> dict[str, Any]:
    """A shape in longitude and latitude as a GeoJSON geometry, cut at the date line, rings wound as RFC 7946 asks."""
    cut = split_at_date_line(shape)
    rounded = cut if digits is None else shapely.transform(cut, lambda xy: np.round(xy, digits))
    return dict(json.loads(shapely.to_geojson(shapely.orient_polygons(rounded))))


def shape_of(geometry: Mapping[str, Any]) -> BaseGeometry:
    """The shape of a GeoJSON geometry, cut at the date line."""
    return split_at_date_line(shapely.geometry.shape(geometry))


def areas_m2(shapes: NDArray[Any] | BaseGeometry, crs: Any) -> NDArray[np.float64]:
    """(n,) float64, the area of each polygon (or of one) of ``crs`` on its ellipsoid, m2; 0 for one without area.

    By Lambert's cylindrical equal-area projection of the ellipsoid (Snyder 1987, p. 81), centred on each shape; edges
    are straight in ``crs``. NaN where a vertex has no place on the earth.
    """
    shapes = np.atleast_1d(np.asarray(shapes, object))
    if shapes.size == 0:
        return np.zeros(0)
    own = pyproj.CRS.from_user_input(crs)
    length = 0.02 if own.is_geographic else _EDGE_M / own.axis_info[0].unit_conversion_factor
    bent = shapely.segmentize(shapes, length)
    xy = shapely.get_coordinates(bent)
    lon, lat = _lonlat(own.to_wkt()).transform(xy[:, 0], xy[:, 1])
    number = np.repeat(np.arange(len(shapes)), shapely.get_num_coordinates(bent))
    first = np.searchsorted(number, np.arange(len(shapes)))
    lon = np.asarray(lon, float)
    centre = np.append(lon, 0.0)[np.minimum(first, len(lon))]  # an empty shape has no vertex
    lon = (lon - centre[number] + 180) % 360 - 180  # each shape by itself lies around the middle of the projection
    x, y = _equal_area(own.geodetic_crs.to_wkt() if own.geodetic_crs else LON_LAT).transform(lon, lat)
    flat = shapely.set_coordinates(bent.copy(), np.column_stack([x, y]))
    found: NDArray[np.float64] = shapely.area(flat)
    return found


def pixel_km2(grid: Grid, tiles: Sequence[Tile]) -> NDArray[np.float64]:
    """(tiles,) float64, what a pixel of each tile covers on the ellipsoid, km2: the mean of the tile's pixels."""
    bounds = np.array([grid.bounds(tile.core) for tile in tiles], float).reshape(-1, 4)
    pixels = np.array([tile.core.shape for tile in tiles], float).reshape(-1, 2).prod(axis=1)
    return areas_m2(shapely.box(*bounds.T), grid.crs) / pixels / 1e6


@dataclass(frozen=True, slots=True)
class Scale:
    """How true a projection is at some places. area: areas on the map divided by those on the ellipsoid, (least, most).
    length: the same of lengths, the shortest and the longest in any direction."""

    area: tuple[float, float]
    length: tuple[float, float]

    @property
    def off(self) -> float:
        """Share by which an area or a length is off at worst."""
        return max(abs(value - 1) for value in (*self.area, *self.length))


def scale_at(crs: Any, x: NDArray[np.float64], y: NDArray[np.float64], side: float) -> Scale:
    """How true ``crs`` is in squares of ``side`` (units of the CRS, metres) around the points (x, y)."""
    half = side / 2
    area = side * side / areas_m2(shapely.box(x - half, y - half, x + half, y + half), crs)
    own = pyproj.CRS.from_user_input(crs)
    back, geod = _lonlat(own.to_wkt()), own.get_geod() or pyproj.Geod(ellps="WGS84")
    ratios = []
    for dx, dy in ((half, 0.0), (0.0, half), (half, half), (half, -half)):
        lon0, lat0 = back.transform(x - dx, y - dy)
        lon1, lat1 = back.transform(x + dx, y + dy)
        ratios.append(2 * np.hypot(dx, dy) / geod.inv(lon0, lat0, lon1, lat1)[2])
    return Scale((float(area.min()), float(area.max())), (float(np.min(ratios)), float(np.max(ratios))))


def _jumps(shape: BaseGeometry) -> bool:
    """Whether neighbouring vertices lie on two sides of the date line, or a longitude beyond 180."""
    for part in shapely.get_parts(shape):
        for ring in shapely.get_rings(part) if shapely.get_type_id(part) in _POLYGONS else ():
            lon = shapely.get_coordinates(ring)[:, 0]
            if len(lon) and (np.abs(lon).max() > 180 or ((np.abs(np.diff(lon)) > 180).any() and not _is_band(lon))):
                return True
    return False


def _is_band(lon: NDArray[np.float64]) -> bool:
    """Whether a ring runs around the whole earth, from -180 to 180: it crosses nothing."""
    return bool((lon == -180).any() and (lon == 180).any())


def _within_180(polygon: BaseGeometry) -> BaseGeometry:
    """One polygon, valid, cut at the date line where it crosses it."""
    if not _jumps(polygon):
        return polygon
    lon = shapely.get_coordinates(polygon)[:, 0]
    if lon.max() - lon.min() < 180:  # all of it beyond 180, or across it in longitudes without a jump
        turned = 360 * np.floor((lon.min() + 180) / 360)
        flat = _shifted(polygon, -turned)
        east = shapely.intersection(flat, shapely.box(-180, -90, 180, 90))
        beyond = shapely.intersection(flat, shapely.box(180, -90, 540, 90))
        return _polygons_of([east, _shifted(beyond, -360)])
    wrapped = shapely.transform(polygon, lambda xy: np.column_stack([_wrapped(xy[:, 0]), xy[:, 1]]))
    fixed = antimeridian.fix_shape(wrapped, great_circle=False, fix_winding=True)
    return _polygons_of([shapely.make_valid(shapely.geometry.shape(fixed))])


def _polygons_of(shapes: Sequence[BaseGeometry]) -> BaseGeometry:
    """All that has an area in these shapes as one."""
    parts = [part for shape in shapes for part in shapely.get_parts(shapely.get_parts(shape))]
    return shapely.union_all([part for part in parts if part.area > 0])


def _wrapped(lon: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(lon) > 180, (lon + 180) % 360 - 180, lon)


def _shifted(shape: BaseGeometry, degrees: float) -> BaseGeometry:
    return shapely.transform(shape, lambda xy: xy + np.array([degrees, 0.0]))


@lru_cache(maxsize=16)
def _lonlat(wkt: str) -> pyproj.Transformer:
    """From a CRS to longitude and latitude on its own datum."""
    crs = pyproj.CRS.from_wkt(wkt)
    return pyproj.Transformer.from_crs(crs, crs.geodetic_crs or LON_LAT, always_xy=True)


@lru_cache(maxsize=16)
def _equal_area(wkt: str) -> pyproj.Transformer:
    """From longitude and latitude of a datum to an equal-area projection of its ellipsoid, metres."""
    ellipsoid = pyproj.CRS.from_wkt(wkt).ellipsoid
    axes = (ellipsoid.semi_major_metre, ellipsoid.semi_minor_metre) if ellipsoid else (6378137.0, 6356752.314245)
    return pyproj.Transformer.from_pipeline(
        f"+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cea +a={axes[0]!r} +b={axes[1]!r}"
    )
