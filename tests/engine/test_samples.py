"""Labels from rasters and polygons: which pixels, in which block, by which name; and what is wrong with a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely

from engine.errors import InputError
from engine.samples import Coding, LabelOptions, Labels, draw, joined, read_legend
from engine.types import Samples, Window
from tests.engine.made_scenes import CRS, LEFT, TOP, made_grid, write_raster

GRID = made_grid(40, 40, 16)
WHOLE = Window(0, 40, 0, 40)


def labels(uri: Path | str, **options: Any) -> Labels:
    block_m, several = options.pop("block_m", 100.0), options.pop("several", False)
    return Labels(LabelOptions(uri=str(uri), **options), GRID, block_m, several=several)


def polygon(x0: float, y0: float, x1: float, y1: float) -> shapely.Geometry:
    """Box in metres from the grid's upper left corner."""
    return shapely.box(LEFT + x0, TOP - y1, LEFT + x1, TOP - y0)


def write_parcels(path: Path, shapes: list[Any], codes: list[Any], crs: str | None = CRS) -> Path:
    frame = gpd.GeoDataFrame({"crop_code": codes}, geometry=shapes, crs=crs)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_file(path)
    return path


def test_a_raster_of_several_seasons_gives_codes_where_it_lies_and_blocks_by_place(tmp_path: Path) -> None:
    codes = np.random.default_rng(1).integers(0, 4, (30, 30), dtype=np.uint16)
    path = write_raster(tmp_path / "labels.tif", codes)
    held, block = labels(path, ignore=(0, 2), several=True).read(WHOLE)
    expected = np.zeros((40, 40), int)
    expected[:30, :30] = np.where(codes == 2, 0, codes)
    np.testing.assert_array_equal(held, expected)
    for y in range(0, 40, 7):
        for x in range(0, 40, 7):
            same = (block == block[y, x]).nonzero()
            assert {v // 10 for v in same[0]} == {y // 10} and {v // 10 for v in same[1]} == {x // 10}


def test_a_block_outlives_the_area_it_was_seen_in(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "labels.tif", np.ones((60, 60), np.uint8))
    other = Labels(LabelOptions(uri=str(path)), made_grid(80, 80, 32), 100.0)
    for window in (Window(3, 17, 20, 31), Window(0, 1, 39, 40)):
        np.testing.assert_array_equal(labels(path).read(window)[1], other.read(window)[1])


@pytest.mark.parametrize(
    ("name", "crs"),
    [
        ("p.parquet", CRS),
        ("p.parquet", "EPSG:3035"),
        ("p.gpkg", CRS),
        ("p.gpkg", "EPSG:4326"),
        ("p.geojson", "EPSG:4326"),
    ],
)
def test_polygons_of_any_format_and_crs_are_burnt_by_pixel_centre(tmp_path: Path, name: str, crs: str) -> None:
    shapes = gpd.GeoSeries([polygon(10, 10, 60, 40), polygon(100, 20, 196, 300)], crs=CRS).to_crs(crs)
    codes, _ = labels(write_parcels(tmp_path / name, list(shapes), [1200, 1110], crs)).read(WHOLE)
    expected = np.zeros((40, 40), int)
    expected[1:4, 1:6] = 1200
    expected[2:30, 10:20] = 1110
    np.testing.assert_array_equal(codes, expected)


def test_a_parcel_lies_whole_in_the_block_of_its_representative_point(tmp_path: Path) -> None:
    long, left, right = polygon(10, 10, 390, 30), polygon(20, 200, 80, 280), polygon(320, 200, 380, 280)
    path = write_parcels(tmp_path / "p.parquet", [long, left, right], [1, 2, 3])
    codes, block = labels(path).read(WHOLE)
    assert len(np.unique(block[codes == 1])) == 1, "a parcel was torn over blocks"
    assert len({block[codes == c][0] for c in (1, 2, 3)}) == 3
    for window in (Window(0, 16, 0, 16), Window(0, 3, 30, 40), Window(17, 40, 5, 40)):
        y0, y1, x0, x1 = window
        part, part_block = labels(path).read(window)
        np.testing.assert_array_equal(part, codes[y0:y1, x0:x1])
        seen = part != 0
        np.testing.assert_array_equal(part_block[seen], block[y0:y1, x0:x1][seen])


def test_where_no_parcel_lies_nothing_is_labelled_and_ignored_codes_are_left_out(tmp_path: Path) -> None:
    path = write_parcels(tmp_path / "p.parquet", [polygon(0, 0, 50, 50), polygon(100, 0, 150, 50)], [5, 9])
    assert not labels(path).read(Window(20, 30, 20, 30))[0].any()
    for nine in (9, "9"):
        assert set(np.unique(labels(path, ignore=(nine,)).read(WHOLE)[0])) == {0, 5}


def test_a_parcel_without_geometry_or_code_is_passed_over(tmp_path: Path) -> None:
    shapes = [polygon(0, 0, 50, 50), None, shapely.Polygon(), polygon(100, 0, 150, 50)]
    path = write_parcels(tmp_path / "p.parquet", shapes, [5.0, 6.0, 7.0, None])
    assert set(np.unique(labels(path).read(WHOLE)[0])) == {0, 5}


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda p: None, r"[Nn]o such file"),
        (lambda p: p.write_bytes(b"PAR1 not really"), r"cannot be read"),
        (lambda p: write_parcels(p, [polygon(0, 0, 9, 9)], [1], None), r"no CRS"),
        (lambda p: gpd.GeoDataFrame({"kind": [1]}, geometry=[polygon(0, 0, 9, 9)], crs=CRS).to_parquet(p),
         r"has no column 'crop_code'; it has kind"),
        (lambda p: write_parcels(p, [polygon(0, 0, 9, 9)], [1.5]), r"crop_code.*1.5 in row 0.*whole numbers"),
        (lambda p: write_parcels(p, [polygon(0, 0, 9, 9)], [-3]), r"crop_code.*-3 in row 0.*whole numbers"),
        (lambda p: write_parcels(p, [polygon(0, 0, 9, 9)], [True]), r"crop_code.*boolean values"),
    ],
)  # fmt: skip
def test_a_wrong_parcel_file_is_refused_with_what_is_wrong(tmp_path: Path, write: Any, words: str) -> None:
    path = tmp_path / "p.parquet"
    write(path)
    with pytest.raises(InputError, match=words) as told:
        labels(path)
    assert str(path) in str(told.value)


def test_rows_that_are_no_polygons_label_nothing_and_are_counted(tmp_path: Path) -> None:
    line = shapely.LineString([(LEFT, TOP), (LEFT + 80, TOP - 80)])
    held = labels(
        write_parcels(tmp_path / "p.parquet", [None, line, shapely.Polygon(), polygon(0, 0, 50, 50)], [3, 3, 3, 4])
    )
    assert held.left_out == {"no geometry": 1, "an empty geometry": 1, "no polygon": 1} and held.codes() == {4}


def test_a_broken_polygon_is_repaired_and_counted(tmp_path: Path) -> None:
    bow_tie = shapely.Polygon([(LEFT, TOP), (LEFT + 80, TOP - 80), (LEFT + 80, TOP), (LEFT, TOP - 80)])
    uri = write_parcels(tmp_path / "p.parquet", [bow_tie, polygon(100, 0, 150, 50)], [3, 4])
    held = labels(uri)
    codes, _ = held.read(Window(0, 20, 0, 20))
    assert set(np.unique(codes)) == {0, 3, 4} and not held.left_out and held.codes() == {3, 4}
    assert held.changed == {"repaired: Self-intersection": 1}


def test_a_raster_of_floats_holds_whole_codes_and_nan_for_none(tmp_path: Path) -> None:
    codes = np.array([[1, 2], [np.nan, 3]], np.float32)
    read, _ = labels(write_raster(tmp_path / "codes.tif", codes)).read(Window(0, 2, 0, 2))
    assert read.tolist() == [[1, 2], [0, 3]]
    cases = ((1.5, "1.5.*whole numbers"), (np.inf, "inf as float32"), (3301060600, r"\d+ as float32.*2 .. 24"))
    for wrong, words in cases:
        codes[0, 0] = wrong
        with pytest.raises(InputError, match=f"a pixel holds {words}"):
            labels(write_raster(tmp_path / "wrong.tif", codes)).read(Window(0, 2, 0, 2))


def test_a_label_raster_that_is_gone_or_torn_is_refused(tmp_path: Path) -> None:
    torn = tmp_path / "torn.tif"
    torn.write_bytes(write_raster(tmp_path / "whole.tif", np.ones((300, 300), np.uint8)).read_bytes()[:400])
    for path in (tmp_path / "gone.tif", torn):
        with pytest.raises(InputError, match=r"cannot be read|not found") as told:
            labels(path).read(WHOLE)
        assert str(path) in str(told.value)


def test_tables_of_samples_are_joined_with_and_without_squares() -> None:
    one = Samples(
        np.zeros((2, 3, 2), np.float32), *(np.zeros(2, dtype) for dtype in (np.int32, np.int64, np.int32, np.int32))
    )
    assert joined([one, one]).x.shape == (4, 3, 2) and joined([one, one]).near is None
    squares = replace(one, near=np.ones((2, 9), np.int64))
    near = joined([squares, squares]).near
    assert near is not None and near.shape == (4, 9)


def test_a_large_tile_is_sampled_and_the_same_pixels_every_time() -> None:
    window, side = Window(0, 200, 0, 200), 200
    usable = np.ones((side, side), bool)
    usable[0, 0] = False
    (rows, cols), again = (draw(usable, window, seed=3) for _ in range(2))
    assert len(rows) == 20_000
    np.testing.assert_array_equal([rows, cols], again)
    assert (np.diff(rows * side + cols) > 0).all(), "not in order, or one twice"
    assert usable[rows, cols].all()
    moved, _ = draw(usable, Window(200, 400, 0, 200), seed=3)
    assert (moved != rows).any()
    assert len(draw(usable, window, 3, most=7)[0]) == 7


def test_a_legend_gives_names_and_colours_and_only_crops_where_it_says_kinds(tmp_path: Path) -> None:
    path = tmp_path / "legend.csv"
    path.write_text("code,name,kind,colour\n0,none,CT,\n1200,maize,CT,#ffd400\n7,road,LC,#000000\n1110,wheat,CT,\n")
    legend = read_legend(str(path))
    assert legend.names == {1200: "maize", 1110: "wheat"} and legend.colours[1200] == "#ffd400"
    assert Coding().legend_for(np.array([0, 3, 3, 8])).names == {3: "class 3", 8: "class 8"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("", "cannot be read"),
        ("value,label\n1,maize\n", "add.*code.*name"),
        ("code,name\n-1,maize\n", "code -1 in line 2.*whole numbers"),
        ("code,name\n1.5,maize\n", "code 1.5 in line 2.*whole numbers"),
        ("code,name\n3.3E+09,maize\n", "code 3.3E.09 in line 2.*whole numbers.*in full"),
        ("code,name\n9223372036854775808,maize\n", "line 2 holds 9223372036854775808.*9223372036854775807"),
        ("code,name\n1,maize\n2,\n", "line 3 has no name"),
        ("code,name\n1,maize\n,wheat\n", "line 3 has no code"),
        ("code,name\n1,wheat, winter\n", "line 2 has 3 cells.*double quotes"),
        ("code,name,colour\n1,wheat,red\n", "colour 'red' of code 1 in line 2.*#rrggbb"),
        ("code,name\n1,maize\n1,wheat\n", "twice"),
    ],
)
def test_a_wrong_legend_is_refused_with_what_is_wrong(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "legend.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=rf"(?s){words}") as told:
        read_legend(str(path))
    assert str(path) in str(told.value)


def test_polygons_of_different_codes_that_share_ground_are_refused_with_rows_and_place(tmp_path: Path) -> None:
    shapes = [polygon(10, 10, 60, 60), polygon(200, 200, 260, 260), polygon(40, 10, 90, 60)]
    with pytest.raises(InputError) as told:
        labels(write_parcels(tmp_path / "p.parquet", shapes, [1, 2, 3]))
    assert "row 0 (code 1) and row 2 (code 3), which share 1000 m2" in str(told.value)
    assert f"x {LEFT + 50:.0f}, y {TOP - 35:.0f} in {CRS}" in str(told.value) and "p.parquet" in told.value.place


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (polygon(60, 10, 90, 60), 3),  # touches
        (polygon(53, 10, 90, 60), 3),  # a sliver of 7 m, less than a pixel
        (polygon(40, 10, 90, 60), 1),  # of the same code
        (polygon(40, 10, 90, 60), 0),  # ignored
    ],
)
def test_slivers_neighbours_and_polygons_of_one_code_may_overlap(tmp_path: Path, second: Any, code: int) -> None:
    shapes = [polygon(10, 10, 60, 60), second]
    assert labels(write_parcels(tmp_path / "p.parquet", shapes, [1, code])).read(WHOLE)[0].any()


def test_an_overlap_off_the_area_is_no_matter(tmp_path: Path) -> None:
    shapes = [polygon(10, 10, 60, 60), polygon(-900, 10, -800, 60), polygon(-850, 10, -700, 60)]
    assert labels(write_parcels(tmp_path / "p.parquet", shapes, [1, 2, 3])).read(WHOLE)[0].any()
