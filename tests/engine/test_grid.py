"""Area of interest, lattice, tiles and mask: laws on made areas, real files in several CRSs, bad input."""

from __future__ import annotations

import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.errors import InputError, SpecError, TilthError
from engine.grid import (
    AreaOptions,
    GridOptions,
    area_mask,
    make_grid,
    project_area,
    read_area,
    suggest_crs,
    tiles_of,
)
from engine.types import Window

FLANDERS = (3.0193, 50.8131, 3.0284, 50.8188)
PARCELS = Path(__file__).parents[2] / ".." / "shared" / "data" / "parcels-fiboa"
UTM = GridOptions(crs="EPSG:32631", resolution=10, tile_px=32)


def write(path: Path, shapes: list, crs: str | None) -> AreaOptions:
    frame = gpd.GeoDataFrame(geometry=shapes, crs=crs)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        with warnings.catch_warnings(action="ignore"):  # it warns of a CRS left out, which is what is tested
            frame.to_file(path)
    return AreaOptions(file=str(path))


def ring_with_hole() -> shapely.Polygon:
    return shapely.box(500_000, 5_600_000, 501_000, 5_601_000).difference(
        shapely.box(500_300, 5_600_300, 500_700, 5_600_700)
    )


def test_flanders_box_gives_the_lattice_of_its_scenes() -> None:
    area = read_area(AreaOptions(bbox=FLANDERS))
    grid = make_grid(area, UTM)
    assert (grid.crs, grid.left, grid.top) == ("EPSG:32631", 501350.0, 5629680.0)
    assert (grid.height, grid.width) == (64, 66)
    assert [tile.id for tile in tiles_of(grid, project_area(area, grid))][:3] == [
        "r0000c0000",
        "r0000c0001",
        "r0000c0002",
    ]


@pytest.mark.parametrize("name", ["area.gpkg", "area.parquet", "area.geojson"])
def test_a_rectangle_on_grid_lines_comes_back_without_a_pixel_more(tmp_path: Path, name: str) -> None:
    box = shapely.box(450_000, 6_600_000, 470_000, 6_620_010)
    frame = gpd.GeoSeries([box], crs="EPSG:32631")
    shapes = frame.segmentize(400).to_crs("EPSG:4326") if name.endswith("geojson") else frame
    area = read_area(write(tmp_path / name, list(shapes), str(shapes.crs)))
    grid = make_grid(area, UTM)
    assert (grid.left, grid.top, grid.width, grid.height) == (450_000, 6_620_010, 2000, 2001)


def test_holes_and_several_parts_of_a_geopackage_in_another_crs_are_kept(tmp_path: Path) -> None:
    island = shapely.box(503_000, 5_600_000, 503_200, 5_600_200)
    file = tmp_path / "area.gpkg"
    write(file, list(gpd.GeoSeries([ring_with_hole(), island], crs="EPSG:32631").to_crs("EPSG:3035")), "EPSG:3035")
    area = read_area(AreaOptions(file=str(file)))
    assert area.geom_type == "MultiPolygon" and sum(len(part.interiors) for part in area.geoms) == 1
    grid = make_grid(area, UTM)
    projected = project_area(area, grid)
    inside = area_mask(grid, Window(0, grid.height, 0, grid.width), projected)
    assert abs(int(inside.sum()) - (100 * 100 - 40 * 40 + 20 * 20)) <= 4  # EPSG:3035 moves corners by millimetres
    tiles = {tile.id for tile in tiles_of(grid, projected)}
    assert len(tiles) < grid.tile_rows * grid.tile_cols, "the strip between the parts has no tile"


def test_an_area_is_read_through_fsspec(tmp_path: Path) -> None:
    write(tmp_path / "area.geojson", [shapely.box(*FLANDERS)], "EPSG:4326")
    area = read_area(AreaOptions(file=f"file://{tmp_path}/area.geojson"))
    assert area.equals(shapely.box(*FLANDERS))


@pytest.mark.skipif(not PARCELS.is_dir(), reason="the shared data are not here")
def test_real_parcels_of_every_country_are_an_area() -> None:
    read = 0
    for file in sorted(PARCELS.rglob("*.parquet")):
        try:
            area = read_area(AreaOptions(file=str(file)))
        except InputError as error:  # a table without georeference
            assert "no geometry" in str(error), error
            continue
        west, south, east, north = area.bounds
        assert -180 <= west < east <= 180 and -90 <= south < north <= 90
        grid = make_grid(area, GridOptions(crs=suggest_crs(area), resolution=20))
        assert tiles_of(grid, project_area(area, grid))
        read += 1
    assert read >= 1


@settings(max_examples=25, deadline=None)
@given(
    lon=st.floats(-2, 8), lat=st.floats(-60, 70), size=st.floats(0.001, 0.5), resolution=st.sampled_from([10, 20, 30.5])
)
def test_the_lattice_lies_on_multiples_and_covers_the_area(
    lon: float, lat: float, size: float, resolution: float
) -> None:
    area = shapely.box(lon, lat, lon + size, lat + size / 2)
    grid = make_grid(area, GridOptions(crs=suggest_crs(area), resolution=resolution, tile_px=64))
    assert grid.left / resolution == pytest.approx(round(grid.left / resolution), abs=1e-6)
    assert grid.top / resolution == pytest.approx(round(grid.top / resolution), abs=1e-6)
    left, bottom, right, top = grid.bounds(Window(0, grid.height, 0, grid.width))
    west, south, east, north = project_area(area, grid).bounds
    slack = 2e-3 * resolution
    assert left - slack <= west < left + resolution and right - resolution < east <= right + slack
    assert bottom - slack <= south < bottom + resolution and top - resolution < north <= top + slack


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_mask_does_not_depend_on_how_the_window_is_cut(seed: int) -> None:
    random = np.random.default_rng(seed)
    grid = make_grid(shapely.box(*FLANDERS), GridOptions(crs="EPSG:32631", resolution=10, tile_px=16))
    # Vertices on pixel centres and corners: edges through centres are where rounding would show.
    corners = random.integers(-5, 75, (7, 2)) * 5.0 + (grid.left, grid.top - 640)
    area = shapely.make_valid(shapely.Polygon(corners))
    whole = area_mask(grid, Window(-3, 70, -3, 70), area)
    for _ in range(10):
        (y0, y1), (x0, x1) = np.sort(random.choice(73, (2, 2), replace=False) - 3, axis=1)
        part = area_mask(grid, Window(int(y0), int(y1), int(x0), int(x1)), area)
        np.testing.assert_array_equal(part, whole[y0 + 3 : y1 + 3, x0 + 3 : x1 + 3])


def test_the_mask_agrees_with_a_slow_loop_over_pixel_centres() -> None:
    grid = make_grid(shapely.box(*FLANDERS), UTM)
    area = (
        shapely.Point(grid.left + 300, grid.top - 300)
        .buffer(180)
        .difference(shapely.Point(grid.left + 250, grid.top - 310).buffer(60))
    )
    window = Window(5, 60, 8, 59)
    slow = [
        [
            area.contains(shapely.Point(grid.left + (x + 0.5) * 10, grid.top - (y + 0.5) * 10))
            for x in range(window.x0, window.x1)
        ]
        for y in range(window.y0, window.y1)
    ]
    np.testing.assert_array_equal(area_mask(grid, window, area), slow)


def test_tiles_are_those_with_a_pixel_inside_in_row_major_order() -> None:
    grid = make_grid(shapely.box(*FLANDERS), GridOptions(crs="EPSG:32631", resolution=10, tile_px=9))
    area = (
        shapely.Point(grid.left + 300, grid.top - 300)
        .buffer(200)
        .difference(shapely.Point(grid.left + 300, grid.top - 300).buffer(120))
    )
    tiles = tiles_of(grid, area)
    assert tiles == sorted(tiles, key=lambda tile: (tile.row, tile.col))
    every = [grid.tile(row, col) for row in range(grid.tile_rows) for col in range(grid.tile_cols)]
    needed = {tile.id for tile in every if area_mask(grid, tile.core, area).any()}
    assert needed <= {tile.id for tile in tiles}
    assert len(tiles) - len(needed) <= 3, "few tiles without a pixel"


def test_a_tile_that_only_touches_the_area_is_left_out() -> None:
    grid = make_grid(shapely.box(*FLANDERS), UTM)
    left, bottom, right, top = grid.bounds(grid.tile(0, 0).core)
    assert [tile.id for tile in tiles_of(grid, shapely.box(left, bottom, right, top))] == ["r0000c0000"]


def test_a_hundred_thousand_tiles_are_listed() -> None:
    angle = np.linspace(0, 2 * np.pi, 5000)
    radius = 6 * (1 + 0.1 * np.sin(37 * angle))
    country = shapely.Polygon(np.c_[20 + radius * np.cos(angle), 52 + radius * np.sin(angle)])
    grid = make_grid(country, GridOptions(crs="EPSG:3035", resolution=10, tile_px=256))
    projected = project_area(country, grid)
    tiles = tiles_of(grid, projected)
    assert len(tiles) > 100_000 and len({tile.id for tile in tiles}) == len(tiles)


@pytest.mark.parametrize(
    ("area", "expected"),
    [
        (shapely.box(*FLANDERS), "EPSG:32631"),
        (shapely.box(-65, -34, -62, -31), "EPSG:32720"),
        (shapely.box(5.9, 45.8, 17.2, 55.1), "EPSG:3035"),
        (shapely.box(-60, -20, -40, -5), "EPSG:6933"),
    ],
)
def test_the_crs_suggested_suits_the_area_and_is_accepted(area: shapely.Polygon, expected: str) -> None:
    assert suggest_crs(area) == expected
    assert make_grid(area, GridOptions(crs=expected, resolution=1000)).crs == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bbox": (3.1, 50.0, 3.0, 51.0)}, "reversed"),
        ({"bbox": (3.0, 51.0, 3.1, 50.0)}, "reversed"),
        ({"bbox": (501350, 5629040, 502000, 5629680)}, "longitude and latitude"),
        ({"bbox": (3.0, 50.0, 3.0, 51.0)}, "no width"),
        ({"bbox": (float("nan"), 50.0, 3.0, 51.0)}, "finite"),
        ({"file": "area.docx"}, "unknown ending"),
        ({}, "exactly one"),
        ({"bbox": FLANDERS, "file": "area.gpkg"}, "exactly one"),
        ({"box": FLANDERS}, "Extra inputs"),
    ],
)
def test_wrong_area_options_say_what_is_wrong(options: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        AreaOptions(**options)


@pytest.mark.parametrize("resolution", [0, -10, float("nan"), float("inf")])
def test_a_resolution_must_be_a_positive_number(resolution: float) -> None:
    with pytest.raises(ValidationError):
        GridOptions(crs="EPSG:32631", resolution=resolution)


@pytest.mark.parametrize(
    ("crs", "words"),
    [
        ("EPSG:4326", "not projected"),
        ("EPSG:999999", "PROJ"),
        ("a map", "PROJ"),
        ("EPSG:4978", "not projected"),
        ("EPSG:2263", "axes in US survey foot"),
        ("+proj=laea +lat_0=50 +lon_0=3 +units=m", "no authority code"),
        ("EPSG:32633", "beyond"),
        ("EPSG:5070", "beyond"),
    ],
)
def test_a_crs_that_does_not_suit_is_refused_with_one_that_does(crs: str, words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        make_grid(shapely.box(*FLANDERS), GridOptions(crs=crs, resolution=10))
    assert "EPSG:32631" in caught.value.remedy and caught.value.place == "grid.crs"


@pytest.mark.parametrize(
    ("name", "shapes", "crs", "words"),
    [
        ("points.gpkg", [shapely.Point(3, 50)], "EPSG:4326", "holds Point"),
        ("line.geojson", [shapely.LineString([(3, 50), (4, 50)])], "EPSG:4326", "holds LineString"),
        ("nowhere.gpkg", [shapely.box(3, 50, 4, 51)], None, "no CRS"),
        ("nowhere.parquet", [shapely.box(3, 50, 4, 51)], None, "no CRS"),
        ("empty.parquet", [], "EPSG:4326", "no polygon"),
        ("hollow.parquet", [shapely.Polygon()], "EPSG:4326", "no polygon"),
        ("mislabelled.gpkg", [shapely.box(5e7, 5e7, 6e7, 6e7)], "EPSG:32631", "are not those of WGS 84 / UTM zone 31N"),
    ],
)
def test_an_area_file_that_is_no_area_is_refused(
    tmp_path: Path, name: str, shapes: list, crs: str | None, words: str
) -> None:
    options = write(tmp_path / name, shapes, crs)
    with pytest.raises(InputError, match=words) as caught:
        read_area(options)
    assert name in str(caught.value)


def test_a_missing_a_broken_and_a_many_layered_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_area(AreaOptions(file=str(tmp_path / "none.gpkg")))
    for name in ("broken.gpkg", "broken.parquet", "broken.geojson"):
        (tmp_path / name).write_bytes(b"this is no map")
        with pytest.raises(TilthError, match="cannot be read"):
            read_area(AreaOptions(file=str(tmp_path / name)))
    frame = gpd.GeoDataFrame(geometry=[shapely.box(*FLANDERS)], crs="EPSG:4326")
    for layer in ("one", "two"):
        frame.to_file(tmp_path / "two.gpkg", layer=layer)
    with pytest.raises(InputError, match="2 layers"):
        read_area(AreaOptions(file=str(tmp_path / "two.gpkg")))


@pytest.mark.parametrize(
    ("west", "east", "crs"), [(179.95, -179.95, "EPSG:32760"), (-180, -179.9, "EPSG:32760"), (179.9, 180, "EPSG:32701")]
)
def test_an_area_at_the_date_line_is_one_piece_on_the_zones_on_both_sides(west: float, east: float, crs: str) -> None:
    area = read_area(AreaOptions(bbox=(west, -17.05, east, -17.0)))
    grid = make_grid(area, GridOptions(crs=crs, resolution=100, tile_px=64))
    width_km, height_km = grid.width * 0.1, grid.height * 0.1
    assert 10 < width_km < 11.5 and 5 < height_km < 6.5
    assert project_area(area, grid).geom_type == "Polygon" and suggest_crs(area)[:8] in ("EPSG:327", "EPSG:326")


def test_a_projection_that_tears_an_area_apart_at_the_date_line_is_refused_with_one_that_does_not() -> None:
    area = read_area(AreaOptions(bbox=(179.5, -17.5, -179.5, -17.0)))
    for crs in ("EPSG:6933", "EPSG:3857"):
        with pytest.raises(SpecError, match="two ends") as told:
            make_grid(area, GridOptions(crs=crs, resolution=100, tile_px=64))
        assert "EPSG:327" in told.value.remedy
    wide = read_area(AreaOptions(bbox=(170, -40, -170, -30)))
    assert suggest_crs(wide) == "EPSG:8859"
    make_grid(wide, GridOptions(crs="EPSG:8859", resolution=10_000, tile_px=64))
