"""Shapes across the date line, boxes of longitude and latitude, and areas on the ellipsoid."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely
from shapely.geometry.base import BaseGeometry

from engine.earth import (
    areas_m2,
    box_shape,
    boxes_of,
    geojson,
    joined,
    lonlat_box,
    scale_at,
    shape_of,
    split_at_date_line,
    union_box,
)

HOLED = shapely.Polygon(
    [(179, 0), (181, 0), (181, 1), (179, 1)], [[(179.5, 0.2), (180.5, 0.2), (180.5, 0.8), (179.5, 0.8)]]
)


@pytest.mark.parametrize(
    "shape",
    [
        shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)]),  # as catalogues write a scene across the line
        shapely.Polygon([(179, 0), (179, 1), (-179, 1), (-179, 0)]),
        shapely.box(179, 0, 181, 1),  # longitudes from 0 to 360
        shapely.box(-181, 0, -179, 1),
        shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)]),
    ],
)
def test_a_shape_across_the_date_line_is_cut_along_it_however_it_is_written(shape: BaseGeometry) -> None:
    cut = split_at_date_line(shape)
    assert cut.equals(shapely.MultiPolygon([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)]))
    assert lonlat_box(cut) == [179, 0, -179, 1]
    assert joined(cut).equals(shapely.box(179, 0, 181, 1))
    assert boxes_of(cut) == [(179, 0, 180, 1), (-180, 0, -179, 1)]
    assert geojson(shape)["type"] == "MultiPolygon" and shape_of(geojson(shape)).equals(cut)


def test_holes_stay_holes_on_both_sides() -> None:
    cut = split_at_date_line(HOLED)
    assert cut.area == pytest.approx(HOLED.area) and cut.is_valid and joined(cut).equals(HOLED)


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        (shapely.box(-10, 40, 30, 60), [-10, 40, 30, 60]),
        (shapely.box(-180, -60, 180, 60), [-180, -60, 180, 60]),
        (shapely.box(170, 0, 180, 1), [170, 0, 180, 1]),
        (shapely.Polygon([(170, 0), (-180, 0), (-180, 1), (170, 1)]), [170, 0, 180, 1]),
        (shapely.box(181, 0, 182, 1), [-179, 0, -178, 1]),
        (shapely.box(0, 0, 1, 1), [0, 0, 1, 1]),
    ],
)
def test_a_shape_that_crosses_nothing_stays_whole(shape: BaseGeometry, box: list[float]) -> None:
    cut = split_at_date_line(shape)
    assert cut.geom_type == "Polygon" and lonlat_box(cut) == box and joined(cut).equals(cut)


def test_what_has_no_polygon_gives_an_empty_one_and_a_bow_tie_is_repaired() -> None:
    for nothing in (shapely.Polygon(), shapely.Point(3, 3), shapely.LineString([(179, 0), (-179, 1)])):
        assert split_at_date_line(nothing).is_empty
    mixed = shapely.GeometryCollection([shapely.box(0, 0, 1, 1), shapely.Point(3, 3)])
    assert split_at_date_line(mixed).equals(shapely.box(0, 0, 1, 1))
    assert split_at_date_line(shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])).area == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(40))
def test_the_box_around_boxes_holds_them_all_and_is_the_narrowest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    covered = np.zeros(360, bool)
    boxes = []
    for _ in range(rng.integers(1, 7)):
        west, width = int(rng.integers(-180, 180)), int(rng.integers(1, 60))
        boxes.append([west, 0, (west + width + 180) % 360 - 180, 1])
        covered[(west + np.arange(width)) % 360] = True
    west, _, east, _ = union_box(boxes)
    width = (east - west) % 360 or 360
    assert set(np.flatnonzero(covered)) <= {(int(west) + i) % 360 for i in range(int(width))}
    gap = longest = 0
    for free in np.tile(~covered, 2):
        gap = gap + 1 if free else 0
        longest = max(longest, gap)
    assert width == 360 - longest


def test_a_box_across_the_date_line_is_two() -> None:
    assert box_shape(179, -1, -178, 1).area == pytest.approx(6)
    assert box_shape(-1, -1, 1, 1).area == pytest.approx(4)


@pytest.mark.parametrize(
    ("crs", "x", "y", "side"),
    [
        ("EPSG:32631", 500_000, 5_600_000, 1000),
        ("EPSG:32760", 820_000, 8_000_000, 5000),
        ("EPSG:3857", 450_000, 6_500_000, 1000),
        ("EPSG:3035", 4_000_000, 3_000_000, 1000),
        ("EPSG:27700", 400_000, 300_000, 1000),  # another ellipsoid
        ("EPSG:6933", 100_000, 5_000_000, 1000),
        ("EPSG:4326", 3, 50, 0.05),
        ("EPSG:4326", 179.99, -17, 0.05),
    ],
)
def test_an_area_is_that_on_the_ellipsoid_in_every_projection(crs: str, x: float, y: float, side: float) -> None:
    square = shapely.box(x, y, x + side, y + side)
    own = pyproj.CRS(crs)
    back = pyproj.Transformer.from_crs(own, own.geodetic_crs, always_xy=True)
    lonlat = shapely.transform(shapely.segmentize(square, side / 200), back.transform, interleaved=False)
    geod = own.get_geod()
    assert geod is not None
    expected = abs(geod.geometry_area_perimeter(lonlat)[0])  # Karney 2013, another way to the same
    assert areas_m2(square, crs)[0] == pytest.approx(expected, rel=1e-7)


def test_areas_come_in_the_shapes_order_and_an_empty_shape_has_none() -> None:
    shapes = np.array([shapely.box(0, 0, 10, 10), shapely.Polygon(), shapely.box(0, 0, 20, 10)], object)
    first, nothing, second = areas_m2(shapes, "EPSG:3035")
    assert nothing == 0 and second == pytest.approx(2 * first, rel=1e-5)
    assert areas_m2(np.array([], object), "EPSG:3035").shape == (0,)


def test_a_projection_says_how_far_it_is_off() -> None:
    x, y = np.array([450_000.0]), np.array([6_500_000.0])
    mercator = scale_at("EPSG:3857", x, y, 10)
    assert mercator.area[0] == pytest.approx(2.449, abs=0.001) and 1.56 < mercator.length[0] < mercator.length[1] < 1.57
    assert scale_at("EPSG:32631", np.array([500_000.0]), np.array([5_600_000.0]), 10).off < 0.001
    cylindrical = scale_at("EPSG:6933", x, y, 10)
    assert cylindrical.area == pytest.approx((1, 1), abs=1e-6) and cylindrical.off > 0.4
