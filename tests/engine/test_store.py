"""The Zarr cube: what goes in comes out, bit for bit; anybody's tools open it; it grows without losing anything."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401 (gives xarray its .rio)
import xarray as xr
import zarr

from engine.bands import SENSOR_BANDS
from engine.errors import InputError, TileError
from engine.objects import Objects
from engine.store import CubeLayout, checksum, decode_layer, decode_window, encode_layer, prepare
from engine.types import Axis, Layer, Tile, Window
from tests.engine.made_scenes import CRS, LEFT, TOP, made_axis, made_grid
from tests.servers.s3 import S3

LAYERS = ("optical", "radar", "thermal")


def made_layer(name: str, tile: Tile, steps: int, seed: int = 0) -> Layer:
    """Random values with gaps, in the layer's own type."""
    rng = np.random.default_rng([seed, tile.row, tile.col, len(name)])
    shape = (steps, len(SENSOR_BANDS[name]), *tile.core.shape)
    if name == "radar":
        values = rng.gamma(4, 0.02, shape).astype(np.float32)
        values[rng.random(shape) < 0.2] = np.nan
    else:
        values = rng.integers(0, 20_000, shape, dtype=np.uint16)
        values[rng.random(shape) < 0.2] = 0
    return Layer(values, rng.integers(0, 5, (steps, *tile.core.shape), dtype=np.uint8))


def axes(steps: int, names: tuple[str, ...] = LAYERS) -> dict[str, Axis]:
    return dict.fromkeys(names, made_axis(steps))


def write_all(cube: Objects, layout: CubeLayout, steps: int) -> dict[tuple[str, str], dict[str, str]]:
    """Every tile and layer written; checksums by (tile, layer)."""
    sums = {}
    for row in range(layout.grid.tile_rows):
        for col in range(layout.grid.tile_cols):
            tile = layout.grid.tile(row, col)
            for name in layout.axes:
                encoded = encode_layer(layout, tile, name, made_layer(name, tile, steps))
                for key, data in encoded.items():
                    cube.put(key, data)
                sums[tile.id, name] = {key: checksum(data) for key, data in encoded.items()}
    return sums


def same(layer: Layer, other: Layer) -> None:
    np.testing.assert_array_equal(layer.values, other.values)
    np.testing.assert_array_equal(layer.count, other.count)
    assert (layer.values.dtype, layer.count.dtype) == (other.values.dtype, other.count.dtype)


@pytest.mark.parametrize("tile_px", [16, 13, 7, 1, 64])
def test_every_tile_comes_back_as_it_went_in_also_at_the_edges(tmp_path: Path, tile_px: int) -> None:
    grid = made_grid(20, 33, tile_px) if tile_px > 1 else made_grid(2, 3, 1)
    cube = Objects(str(tmp_path / "cube.zarr"))
    layout = prepare(cube, grid, axes(4))
    sums = write_all(cube, layout, 4)
    for (tile_id, name), known in sums.items():
        tile = grid.tile(int(tile_id[1:5]), int(tile_id[6:]))
        made = made_layer(name, tile, 4)
        same(decode_layer(cube, layout, tile, name, known), made)
        same(decode_layer(cube, layout, tile, name, known, 2), Layer(made.values[:2], made.count[:2]))


@pytest.mark.parametrize(
    "window", [Window(-3, 11, 5, 40), Window(7, 8, 12, 13), Window(0, 20, 0, 33), Window(13, 26, -9, 2)]
)
def test_a_window_is_put_together_from_the_tiles_it_meets_and_is_no_data_elsewhere(
    tmp_path: Path, window: Window
) -> None:
    grid = made_grid(20, 33, 7)
    cube = Objects(str(tmp_path / "cube.zarr"))
    layout = prepare(cube, grid, axes(4))
    known = write_all(cube, layout, 4)
    sums = {key: value for part in known.values() for key, value in part.items() if not key.endswith("/1/2")}
    for name in LAYERS:
        parts = [made_layer(name, grid.tile(row, col), 4) for row in range(3) for col in range(5)]
        nothing = np.nan if name == "radar" else 0
        whole = np.full((4, parts[0].values.shape[1], 60, 73), nothing, parts[0].values.dtype)
        count = np.zeros((4, 60, 73), np.uint8)
        for index, part in enumerate(parts):
            tile = grid.tile(index // 5, index % 5)
            if (tile.row, tile.col) != (1, 2):  # its shards are not among those named
                rows, cols = tile.core.within(Window(-20, 40, -20, 53))
                whole[..., rows, cols], count[..., rows, cols] = part.values, part.count
        rows, cols = window.within(Window(-20, 40, -20, 53))
        expected = Layer(whole[:3, ..., rows, cols], count[:3, rows, cols])
        same(decode_window(cube, layout, window, name, sums, 3), expected)


@pytest.mark.parametrize("tile_px", [257, 514, 1021])
def test_a_tile_size_with_few_divisors_is_not_cut_into_crumbs(tmp_path: Path, tile_px: int) -> None:
    cube = Objects(str(tmp_path / "cube.zarr"))
    prepare(cube, made_grid(tile_px, tile_px, tile_px), axes(2, ("optical",)))
    codecs = json.loads(cube.get("optical/zarr.json"))["codecs"]
    side = codecs[0]["configuration"]["chunk_shape"][-1]
    assert tile_px % side == 0 and 64 <= side <= 1024


def test_equal_input_gives_equal_bytes_and_other_input_other_bytes(tmp_path: Path) -> None:
    grid = made_grid()
    tile = grid.tile(0, 0)
    layouts = [prepare(Objects(str(tmp_path / name)), grid, axes(3)) for name in ("a", "b")]
    for name in LAYERS:
        first, second = (encode_layer(layout, tile, name, made_layer(name, tile, 3)) for layout in layouts)
        assert first == second
        other = encode_layer(layouts[0], tile, name, made_layer(name, tile, 3, seed=1))
        assert all(first[key] != other[key] for key in first)


def test_a_tile_of_clouds_is_written_too_so_that_absence_means_loss(tmp_path: Path) -> None:
    grid = made_grid()
    layout = prepare(Objects(str(tmp_path)), grid, axes(3))
    tile = grid.tile(1, 1)
    nothing = Layer(np.zeros((3, 5, 16, 16), np.uint16), np.zeros((3, 16, 16), np.uint8))
    assert set(encode_layer(layout, tile, "optical", nothing)) == {"optical/c/0/0/1/1", "optical_count/c/0/1/1"}


def test_a_lost_or_foreign_shard_is_refused_by_name(tmp_path: Path) -> None:
    grid = made_grid()
    cube = Objects(str(tmp_path / "cube.zarr"))
    layout = prepare(cube, grid, axes(3))
    known = write_all(cube, layout, 3)
    tile, sums = grid.tile(0, 1), known["r0000c0001", "optical"]
    key = "optical/c/0/0/0/1"
    whole = cube.get(key)
    cube.put(key, whole[: len(whole) // 2])
    with pytest.raises(TileError, match=r"differs from its record.*own cube\.uri") as told:
        decode_layer(cube, layout, tile, "optical", sums)
    assert told.value.place.endswith(key)
    cube.put(key, cube.get("optical/c/0/0/0/0"))
    with pytest.raises(TileError, match="differs"):
        decode_layer(cube, layout, tile, "optical", sums)
    cube.delete([key])
    with pytest.raises(TileError, match=r"is gone.*run tilth cube again"):
        decode_layer(cube, layout, tile, "optical", sums)


def test_xarray_opens_the_cube_with_crs_coordinates_time_and_scale(tmp_path: Path) -> None:
    grid = made_grid(20, 33, 13)
    cube = Objects(str(tmp_path / "cube.zarr"))
    layout = prepare(cube, grid, axes(3))
    write_all(cube, layout, 3)
    opened = xr.open_zarr(cube.uri)
    assert dict(opened.sizes) == {
        "time": 3,
        "optical_band": 5,
        "radar_band": 2,
        "thermal_band": 1,
        "y": 20,
        "x": 33,
    } | {"bounds": 2}
    np.testing.assert_array_equal(opened.x, LEFT + 5 + 10 * np.arange(33))
    np.testing.assert_array_equal(opened.y, TOP - 5 - 10 * np.arange(20))
    assert opened.time.values[1] == np.datetime64("2018-01-11")
    assert opened.time_bounds.values[2, 1] == np.datetime64("2018-01-31")
    assert list(opened.optical_band.values) == list(SENSOR_BANDS["optical"])
    assert opened.optical.rio.crs.to_string() == opened.rio.crs.to_string() == CRS
    assert opened.optical.isel(time=0).rio.transform() == rasterio.Affine(10, 0, LEFT, 0, -10, TOP)
    made = np.full((3, 5, 20, 33), 0, np.uint16)
    for row in range(2):
        for col in range(3):
            tile = grid.tile(row, col)
            y0, y1, x0, x1 = tile.core
            made[..., y0:y1, x0:x1] = made_layer("optical", tile, 3).values
    held = opened.optical.values
    np.testing.assert_allclose(held, np.where(made == 0, np.nan, made * 1e-4 - 0.1), rtol=0, atol=1e-6)
    assert np.nanmin(opened.thermal.values) > 0 and np.isnan(opened.radar.values).any()


def test_the_metadata_is_consolidated_and_says_its_georeference(tmp_path: Path) -> None:
    cube = Objects(str(tmp_path / "cube.zarr"))
    prepare(cube, made_grid(), axes(3))
    root = json.loads(cube.get("zarr.json"))
    assert "optical_count" in root["consolidated_metadata"]["metadata"]
    assert root["attributes"]["proj:code"] == CRS
    assert root["attributes"]["spatial:transform"] == [10.0, 0.0, LEFT, 0.0, -10.0, TOP]


def test_a_longer_season_keeps_what_the_cube_holds(tmp_path: Path) -> None:
    grid = made_grid()
    cube = Objects(str(tmp_path / "cube.zarr"))
    known = write_all(cube, prepare(cube, grid, axes(3)), 3)
    longer = prepare(cube, grid, axes(6))
    tile = grid.tile(2, 0)
    for name in LAYERS:
        held, made = decode_layer(cube, longer, tile, name, known[tile.id, name]), made_layer(name, tile, 3)
        same(Layer(held.values[:3], held.count[:3]), made)
        assert held.values.shape[0] == 6 and not held.count[3:].any()
    opened = xr.open_zarr(cube.uri)
    assert opened.sizes["time"] == 6 and opened.time.values[5] == np.datetime64("2018-02-20")
    assert opened.optical.shape[0] == opened.optical_count.shape[0] == 6


def test_preparing_a_cube_twice_changes_no_byte(tmp_path: Path) -> None:
    cube = Objects(str(tmp_path / "cube.zarr"))
    prepare(cube, made_grid(), axes(3))
    before = {entry.key: cube.get(entry.key) for entry in cube.entries()}
    prepare(cube, made_grid(), axes(3))
    assert {entry.key: cube.get(entry.key) for entry in cube.entries()} == before


def test_another_grid_season_or_step_under_the_same_name_is_refused(tmp_path: Path) -> None:
    cube = Objects(str(tmp_path / "cube.zarr"))
    grid = made_grid()
    prepare(cube, grid, axes(3))
    before = {entry.key: cube.get(entry.key) for entry in cube.entries()}
    for change in ({"tile_px": 8}, {"left": LEFT + 10}, {"height": 41}, {"crs": "EPSG:32632"}):
        with pytest.raises(InputError, match=f"cube there has .*{cube.uri}|{cube.uri}.*cube there has"):
            prepare(cube, replace(grid, **change), axes(3))
    later = Axis("time", made_axis(4).starts[1:], made_axis(4).ends[1:])
    for axis in (made_axis(2), later):
        with pytest.raises(InputError, match=r"3 intervals from 2018-01-01 to 2018-01-21.*season\.as_of"):
            prepare(cube, grid, {"optical": axis})
    assert {entry.key: cube.get(entry.key) for entry in cube.entries()} == before


def test_a_season_beyond_the_room_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    cube = Objects(str(tmp_path / "cube.zarr"))
    prepare(cube, made_grid(), axes(3))
    before = {entry.key: cube.get(entry.key) for entry in cube.entries()}
    with pytest.raises(InputError, match=r"13 steps.*room for 12.*new cube\.uri"):
        prepare(cube, made_grid(), axes(13))
    assert {entry.key: cube.get(entry.key) for entry in cube.entries()} == before


def test_a_layer_that_a_longer_season_leaves_out_still_opens(tmp_path: Path) -> None:
    cube = Objects(str(tmp_path / "cube.zarr"))
    prepare(cube, made_grid(), axes(3))
    prepare(cube, made_grid(), axes(5, ("optical",)))
    opened = xr.open_zarr(cube.uri)
    assert opened.thermal.shape[0] == opened.optical.shape[0] == 5


@pytest.mark.parametrize("rooted", [True, False])
@pytest.mark.parametrize("kept", range(0, 30, 6))
def test_a_cube_whose_making_was_cut_short_is_finished_by_the_next(tmp_path: Path, kept: int, rooted: bool) -> None:
    whole, torn = Objects(str(tmp_path / "whole")), Objects(str(tmp_path / "torn"))
    prepare(whole, made_grid(), axes(3))
    files = {entry.key: whole.get(entry.key) for entry in whole.entries()}
    root = json.loads(files.pop("zarr.json"))
    root.pop("consolidated_metadata")
    if rooted:
        torn.put("zarr.json", json.dumps(root).encode())
    for key in sorted(files, key=lambda key: (tmp_path / "whole" / key).stat().st_mtime_ns)[:kept]:
        torn.put(key, files[key])
    prepare(torn, made_grid(), axes(3))
    xr.testing.assert_identical(xr.open_zarr(torn.uri).load(), xr.open_zarr(whole.uri).load())


def test_the_cube_lives_on_a_real_s3_server_too(s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.env().items():
        monkeypatch.setenv(name, value)
    cube, grid = Objects(f"s3://{bucket}/deep/cube.zarr"), made_grid(20, 20, 13)
    layout = prepare(cube, grid, axes(2, ("optical",)))
    known = write_all(cube, layout, 2)
    prepare(cube, grid, axes(3, ("optical",)))
    tile = grid.tile(1, 1)
    same(decode_layer(cube, layout, tile, "optical", known[tile.id, "optical"]), made_layer("optical", tile, 2))
    assert zarr.open_group(f"s3://{bucket}/deep/cube.zarr", mode="r", storage_options={"client_kwargs": {
        "endpoint_url": s3.endpoint}})["optical"].shape == (3, 5, 20, 20)  # fmt: skip
