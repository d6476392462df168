"""One asset and one window give the same pixels however the area is cut; what is wrong is said with item and asset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import Transformer

from engine.errors import TileError
from engine.read import Patch, SceneReader, read_patch
from engine.types import Grid, Window
from tests.engine.made_scenes import CRS, LEFT, TOP, made_grid, made_item, write_raster

WHOLE = Window(0, 40, 0, 40)


def noise(height: int, width: int, seed: int = 1) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(1, 60_000, (height, width), dtype=np.uint16)


def pixels(patch: Patch | None) -> NDArray:
    assert patch is not None
    return patch.on_grid(patch.values, 0)


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 m, 300 x 300, on the grid's own lines."""
    return write_raster(tmp_path_factory.mktemp("scene") / "aligned.tif", noise(300, 300))


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 m, on every second line of the grid."""
    return write_raster(tmp_path_factory.mktemp("scene") / "coarse.tif", noise(150, 150), 20.0)


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 m, its corner 15 m off the grid's lines as Landsat's is."""
    return write_raster(tmp_path_factory.mktemp("scene") / "shifted.tif", noise(100, 100), 30.0, left=LEFT - 15)


@pytest.fixture(scope="module")
def next_zone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 m in the neighbouring UTM zone, around the grid's corner."""
    x, y = Transformer.from_crs(CRS, "EPSG:32632", always_xy=True).transform(LEFT, TOP)
    left, top = x // 10 * 10 - 1500, y // 10 * 10 + 1500
    path = tmp_path_factory.mktemp("scene") / "next_zone.tif"
    return write_raster(path, noise(400, 400), left=left, top=top, crs="EPSG:32632")


def test_a_scene_on_the_grids_own_lines_is_taken_pixel_by_pixel(aligned: Path) -> None:
    whole = noise(300, 300)
    np.testing.assert_array_equal(pixels(read_patch(str(aligned), made_grid(), WHOLE)), whole[:40, :40])
    window = Window(130, 131, 255, 290)
    np.testing.assert_array_equal(pixels(read_patch(str(aligned), made_grid(), window)), whole[130:131, 255:290])


def test_twenty_metre_pixels_are_repeated_on_ten_metres(coarse: Path) -> None:
    repeated = noise(150, 150).repeat(2, 0).repeat(2, 1)
    for window in (WHOLE, Window(1, 40, 3, 38), Window(7, 8, 9, 10)):
        y0, y1, x0, x1 = window
        np.testing.assert_array_equal(pixels(read_patch(str(coarse), made_grid(), window)), repeated[y0:y1, x0:x1])


def test_a_pixel_takes_the_source_pixel_its_centre_falls_in(shifted: Path) -> None:
    held, source = pixels(read_patch(str(shifted), made_grid(), WHOLE)), noise(100, 100)
    for y in range(40):
        for x in range(40):
            assert held[y, x] == source[int((y * 10 + 5) // 30), int((x * 10 + 5 + 15) // 30)]


def test_another_utm_zone_is_sampled_at_each_centre_as_rasterio_samples_it(next_zone: Path) -> None:
    grid = made_grid()
    held = pixels(read_patch(str(next_zone), grid, WHOLE))
    forth = Transformer.from_crs(CRS, "EPSG:32632", always_xy=True)
    with rasterio.open(next_zone) as file:
        for y in range(0, 40, 3):
            for x in range(0, 40, 3):
                at = forth.transform(LEFT + 10 * x + 5, TOP - 10 * y - 5)
                assert held[y, x] == next(file.sample([at]))[0]


@pytest.mark.parametrize("scene", ["aligned", "coarse", "shifted", "next_zone"])
@settings(max_examples=25, deadline=None)
@given(
    y0=st.integers(-20, 60), x0=st.integers(-20, 60), height=st.integers(1, 30), width=st.integers(1, 30)
)  # fmt: skip
def test_cut_anywhere_the_pixels_are_the_same_to_the_bit(
    scene: str, request: pytest.FixtureRequest, y0: int, x0: int, height: int, width: int
) -> None:
    path = str(request.getfixturevalue(scene))
    large = Window(-20, 90, -20, 90)
    whole = pixels(read_patch(path, made_grid(), large))
    patch = read_patch(path, made_grid(), Window(y0, y0 + height, x0, x0 + width))
    part = np.zeros((height, width)) if patch is None else patch.on_grid(patch.values, 0)
    np.testing.assert_array_equal(part, whole[y0 + 20 : y0 + 20 + height, x0 + 20 : x0 + 20 + width])


@pytest.mark.parametrize("scene", ["aligned", "coarse", "next_zone"])
def test_a_margin_brings_neighbours_and_moves_no_pixel(scene: str, request: pytest.FixtureRequest) -> None:
    path, window = str(request.getfixturevalue(scene)), Window(10, 20, 12, 25)
    bare, grown = (read_patch(path, made_grid(), window, margin) for margin in (0, 3))
    assert bare is not None and grown is not None
    assert grown.values.shape == tuple(n + 6 for n in bare.values.shape)
    np.testing.assert_array_equal(grown.values[3:-3, 3:-3], bare.values)
    np.testing.assert_array_equal(pixels(grown), pixels(bare))


def test_a_margin_ends_where_the_scene_ends(aligned: Path) -> None:
    patch = read_patch(str(aligned), made_grid(), Window(0, 4, 296, 300), 3)
    assert patch is not None and patch.values.shape == (7, 7)
    np.testing.assert_array_equal(pixels(patch), noise(300, 300)[:4, 296:300])


@pytest.mark.parametrize("scene", ["aligned", "next_zone"])
def test_where_scene_and_window_do_not_meet_there_is_nothing(scene: str, request: pytest.FixtureRequest) -> None:
    path = str(request.getfixturevalue(scene))
    for window in (Window(-1000, -900, 0, 10), Window(0, 10, 5000, 5010)):
        assert read_patch(path, made_grid(), window) is None


def test_a_window_over_the_scenes_edge_has_nothing_beyond_it(aligned: Path) -> None:
    held = pixels(read_patch(str(aligned), made_grid(), Window(-5, 5, 295, 305)))
    assert not held[:5].any() and not held[:, 5:].any() and held[5:, :5].all()


def test_a_scene_far_outside_its_own_projection_is_nothing_and_no_error(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "far.tif", noise(20, 20), crs="EPSG:32660")
    assert read_patch(str(path), made_grid(), WHOLE) is None


def test_a_grid_finer_than_the_scene_and_one_coarser_take_pixels_by_centre(aligned: Path) -> None:
    source = noise(300, 300)
    fine = Grid(CRS, 2.5, LEFT, TOP, 80, 80, 16)
    np.testing.assert_array_equal(
        pixels(read_patch(str(aligned), fine, Window(0, 80, 0, 80))), source[:20, :20].repeat(4, 0).repeat(4, 1)
    )
    rough = Grid(CRS, 30, LEFT, TOP, 100, 100, 16)
    np.testing.assert_array_equal(pixels(read_patch(str(aligned), rough, Window(0, 9, 0, 9))), source[1:27:3, 1:27:3])


def told(href: object, band: str = "blue", window: Window = WHOLE) -> str:
    with pytest.raises(TileError) as error:
        SceneReader(made_grid())(made_item({"blue": str(href)}, name="S2A_20180404"), band, window)
    assert "item S2A_20180404" in error.value.place
    return str(error.value)


def test_a_missing_asset_is_named(aligned: Path) -> None:
    assert "no asset for 'nir'" in told(aligned, "nir")


def test_a_missing_file_is_called_not_found_with_item_and_asset(tmp_path: Path) -> None:
    text = told(tmp_path / "gone.tif")
    assert "not found" in text and "asset blue" in text and str(tmp_path / "gone.tif") in text


@pytest.mark.parametrize("share", [0.6, 0.01])
def test_a_truncated_cog_is_called_damaged_whatever_its_name_holds(aligned: Path, tmp_path: Path, share: float) -> None:
    data, path = aligned.read_bytes(), tmp_path / "S2_20180404_403_503.tif"
    path.write_bytes(data[: int(len(data) * share)])
    text = told(path, window=Window(0, 300, 0, 300))
    assert "truncated or damaged" in text and "not found" not in text and "inputs.*.exclude" in text


def test_what_is_no_raster_is_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "page.tif").write_text("<html>404</html>" * 20)
    assert "truncated or damaged" in told(tmp_path / "page.tif")


def test_a_raster_without_crs_is_refused(tmp_path: Path) -> None:
    assert "no CRS or no geotransform" in told(write_raster(tmp_path / "bare.tif", noise(40, 40), crs=None))


def test_the_reader_counts_what_it_read(aligned: Path) -> None:
    read = SceneReader(made_grid())
    item = made_item({"blue": aligned})
    read(item, "blue", WHOLE)
    read(item, "blue", Window(-1000, -900, 0, 10))
    assert (read.reads, read.bytes_read) == (2, 40 * 40 * 2)
