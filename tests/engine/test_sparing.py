"""Tiles without a damaged scene, and tiles that no scene reaches: built, told, and built anew from mended scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from pyproj import Transformer

from engine.bands import OPTICAL_BANDS
from engine.cube import CubeOptions
from engine.errors import InfrastructureError, TileError
from engine.grid import GridOptions
from engine.ground import Ground
from engine.ledger import Record
from engine.objects import Objects
from engine.pipeline import CubeTask, build_tile
from engine.plan import Plan, make_plan
from engine.read import Patch, SceneReader
from engine.steps import SeasonOptions
from engine.store import CubeLayout, decode_layer, prepare
from engine.types import Item, Window
from tests.engine.made_scenes import CRS, LEFT, TOP, write_raster, write_scene
from tests.flow.archive import truncate

SEASON = SeasonOptions.model_validate({"start": "2018-01-01", "end": "2018-01-31"})
SQUARE = shapely.box(LEFT, TOP - 400, LEFT + 400, TOP)


def scene(folder: Path, day: int, seed: int | None = None, **changes: Any) -> Item:
    """Five bands and a scene classification without a cloud, 40 x 40 pixels."""
    rng = np.random.default_rng(day if seed is None else seed)
    bands = {band: rng.integers(300, 4000, (40, 40), dtype=np.uint16) for band in OPTICAL_BANDS}
    item = write_scene(
        folder / f"s2-{day}", "optical", bands | {"mask": np.full((40, 40), 4, np.uint8)}, day=day, name=f"s2-{day}",
        scale=1e-4, nodata=0.0, mask_kind="scl", footprint=SQUARE,
    )  # fmt: skip
    return replace(item, **changes)


class Cube:
    """A cube of tiles of 40 pixels, built by hand."""

    def __init__(self, root: Path, items: Sequence[Item], width_m: int = 400) -> None:
        area = shapely.transform(shapely.box(LEFT, TOP - 400, LEFT + width_m, TOP), _to_lonlat)
        self.options = CubeOptions(uri=str(root / "cube.zarr"))
        self.plan: Plan = make_plan(
            area, SEASON, GridOptions(crs=CRS, resolution=10, tile_px=40), self.options, items=items
        )
        self.objects = Objects(self.options.uri)
        self.layout: CubeLayout = prepare(self.objects, self.plan.grid, self.plan.axes)
        self.read: Any = SceneReader(self.plan.grid)

    def build(self, index: int = 0, previous: Mapping[str, Any] | None = None) -> dict[str, Any]:
        tile = self.plan.tiles[index]
        task = CubeTask(tile, self.plan.cube_key(index), 1, 1, self.plan.items_of(index), previous or {})
        ground = Ground(self.plan.grid, self.plan.area, None)
        return build_tile(task, self.layout, self.options, self.read, ground, self.objects)

    def record(self, body: Mapping[str, Any], index: int = 0) -> Record:
        return Record(self.plan.tiles[index].id, 1, self.plan.cube_key(index), "written", 1, body)


def _to_lonlat(xy: np.ndarray) -> np.ndarray:
    back = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    return np.column_stack(back.transform(xy[:, 0], xy[:, 1]))


def spared(items: Sequence[Item]) -> list[Item]:
    return [replace(item, spare=True) for item in items]


@pytest.mark.parametrize("band", ["nir", "mask", "swir1"])
def test_a_tile_is_built_without_a_truncated_scene_as_if_it_had_not_been_there(tmp_path: Path, band: str) -> None:
    items = spared([scene(tmp_path, day) for day in (2, 5, 8, 15)])
    whole = Cube(tmp_path / "whole", items).build()
    without = Cube(tmp_path / "without", [items[0], items[2], items[3]]).build()
    kept = truncate(Path(items[1].assets[band].href))
    cube = Cube(tmp_path / "cube", items)
    body = cube.build()
    assert list(body["left_out"]) == ["s2-5"] and f"asset {band}" in body["left_out"]["s2-5"]
    assert body["checksums"] == without["checksums"] != whole["checksums"] and body["steps"] == without["steps"]
    assert cube.build()["checksums"] == body["checksums"], "the same again"
    assert not cube.build(previous=body)["computed"] > 1 and "left_out" in cube.build(previous=body)
    Path(items[1].assets[band].href).write_bytes(kept)
    mended = cube.build(previous=body)
    assert "left_out" not in mended and mended["checksums"] == whole["checksums"] and mended["computed"] == 1


def test_a_missing_file_is_damage_too_and_refused_where_the_spec_does_not_leave_it_out(tmp_path: Path) -> None:
    items = [scene(tmp_path, day) for day in (2, 5)]
    Path(items[1].assets["red"].href).unlink()
    with pytest.raises(TileError, match=r"item s2-5, asset red.*not found"):
        Cube(tmp_path / "refused", items).build()
    assert list(Cube(tmp_path / "spared", spared(items)).build()["left_out"]) == ["s2-5"]
    mixed = [items[0], replace(items[1], spare=True)]
    assert list(Cube(tmp_path / "mixed", mixed).build()["left_out"]) == ["s2-5"]


def test_where_no_scene_can_be_read_it_is_not_the_scenes_that_are_broken(tmp_path: Path) -> None:
    items = spared([scene(tmp_path, day) for day in (2, 5, 8)])
    for item in items:
        for asset in item.assets.values():
            Path(asset.href).unlink()
    with pytest.raises(TileError, match=r"not one of 3 optical scenes can be read; the first: item s2-2.*catalogue"):
        Cube(tmp_path / "cube", items).build()


def test_a_store_that_is_down_is_never_taken_for_damage(tmp_path: Path) -> None:
    cube = Cube(tmp_path / "cube", spared([scene(tmp_path, day) for day in (2, 5)]))
    good = cube.read

    def read(item: Item, band: str, window: Window, margin: int = 0) -> Patch | None:
        if item.id == "s2-5":
            raise InfrastructureError("503", place=f"item {item.id}")
        return good(item, band, window, margin)

    cube.read = read
    with pytest.raises(InfrastructureError, match="s2-5"):
        cube.build()


def test_numbers_that_cannot_be_are_no_damage_and_stop_the_tile(tmp_path: Path) -> None:
    good, odd = spared([scene(tmp_path, day) for day in (2, 5)])
    odd = replace(odd, mask_kind="qa_pixel")  # its values are classes of Sentinel-2
    with pytest.raises(TileError, match="s2-5"):
        Cube(tmp_path / "cube", [good, odd]).build()


def test_a_record_stands_by_whether_scenes_may_be_left_out(tmp_path: Path) -> None:
    items = [scene(tmp_path, day) for day in (2, 5)]
    refusing, sparing = Cube(tmp_path / "a", items), Cube(tmp_path / "b", spared(items))
    assert refusing.plan.cube_key(0) != sparing.plan.cube_key(0)
    whole, part = {"checksums": {}}, {"checksums": {}, "left_out": {"s2-5": "truncated"}}
    for one, other in ((refusing, sparing), (sparing, refusing)):
        assert one.plan.stands(0, one.record(whole)) and other.plan.stands(0, one.record(whole))
        assert not one.plan.stands(0, replace(one.record(whole), state="pending"))
        assert not other.plan.stands(0, replace(one.record({}), state="quarantined"))
    assert sparing.plan.stands(0, sparing.record(part)) and not refusing.plan.stands(0, sparing.record(part))
    assert not sparing.plan.stands(0, None)


def test_a_tile_that_no_scene_reaches_says_so_and_a_cloudy_one_does_not(tmp_path: Path) -> None:
    cloudy = scene(tmp_path, 2)
    path = Path(cloudy.assets["mask"].href)
    write_raster(path, np.full((40, 40), 9, np.uint8))
    cube = Cube(tmp_path / "cube", [cloudy], width_m=1600)
    assert len(cube.plan.tiles) == 4
    first, last = cube.build(0), cube.build(3)
    assert "unreached" not in first and first["observations"] == {"optical": 0}
    assert last["unreached"] == ["optical"]
    assert cube.build(3, previous=last)["unreached"] == ["optical"], "also where its steps are taken over"
    layer = decode_layer(cube.objects, cube.layout, cube.plan.tiles[3], "optical", last["checksums"])
    assert not layer.values.any() and not layer.count.any()


def test_a_scene_that_is_fill_alone_over_a_tile_does_not_reach_it(tmp_path: Path) -> None:
    item = scene(tmp_path, 2)
    for asset in item.assets.values():
        write_raster(Path(asset.href), np.zeros((40, 40), np.uint16))
    assert Cube(tmp_path / "cube", [item]).build()["unreached"] == ["optical"]
