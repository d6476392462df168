"""The life of one tile, told end to end in this process on a tiny made country."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.io import MemoryFile

import engine.pipeline
from engine.cube import CubeOptions
from engine.errors import TileError
from engine.grid import GridOptions
from engine.ground import Ground, MaskOptions
from engine.keys import shards_around, tile_facts
from engine.ledger import Record
from engine.map_values import NODATA
from engine.objects import Objects
from engine.output import OutputOptions
from engine.pipeline import CubeTask, MapTask, build_tile, load_block, map_tile, publish_tile
from engine.plan import Inputs, Plan, make_plan, search
from engine.predict import classify_at, cut
from engine.read import SceneReader
from engine.steps import SeasonOptions
from engine.store import CubeLayout, decode_layer, prepare
from engine.types import ClassMap, Item, Window
from jobs.demo import Country, CountryOptions, write_country
from tests.engine.made_models import made_forest_classifier
from tests.engine.stac_rules import validate

SEASON = SeasonOptions.model_validate({"start": "2024-04-01", "end": "2024-05-31"})
LAST_DAY = datetime(2024, 5, 30, 12, tzinfo=UTC)
MODEL = made_forest_classifier()  # blue, green and red of the first five steps
STATED = {
    "name": "made", "start": "2024-04-01T00:00:00Z", "end": "2024-05-31T00:00:00Z", "version": "0.1.0", "model": "m",
}  # fmt: skip


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Country:
    return write_country(tmp_path_factory.mktemp("country"), CountryOptions(pixels=60, seed=3, cadence=3))


@pytest.fixture(scope="module")
def items(country: Country) -> tuple[Item, ...]:
    """The season's scenes of every sensor."""

    def source(collection: str) -> dict[str, str]:
        return {"catalog": str(country.items), "collection": collection}

    inputs = Inputs.model_validate(
        {
            "optical": [source("sentinel-2-l2a"), source("landsat-c2-l2")],
            "radar": source("sentinel-1-rtc"),
            "thermal": source("landsat-c2-l2-st"),
        }
    )
    found = search(shapely.box(*country.bbox), SEASON, inputs)
    assert {item.sensor for item in found.items} == {"optical", "radar", "thermal"} and not found.problems
    return found.items


class Story:
    """One country's tiles, built and mapped by hand."""

    def __init__(self, country: Country, items: tuple[Item, ...], root: Path, tile_px: int, mask: Any = None) -> None:
        area = shapely.box(*country.bbox)
        self.options = CubeOptions(uri=str(root / "cube.zarr"))
        self.plan: Plan = make_plan(
            area, SEASON, GridOptions(crs=country.crs, resolution=10, tile_px=tile_px), self.options, items=items,
            mask=mask,
        )  # fmt: skip
        self.cube, self.output = Objects(self.options.uri), Objects(str(root / "map"))
        self.layout: CubeLayout = prepare(self.cube, self.plan.grid, self.plan.axes)
        self.read = SceneReader(self.plan.grid)
        self.ground = Ground(self.plan.grid, self.plan.area, mask)

    def build(self, index: int, previous: dict[str, Any] | None = None) -> dict[str, Any]:
        items = self.plan.items_of(index)
        task = CubeTask(self.plan.tiles[index], self.plan.cube_key(index), 1, 1, items, previous or {})
        return build_tile(task, self.layout, self.options, self.read, self.ground, self.cube)

    def map_task(self, index: int, body: dict[str, Any]) -> MapTask:
        tile = self.plan.tiles[index]
        return MapTask(tile, "k" * 64, 1, 1, body.get("checksums", {}), tile_facts(self.plan, STATED)(tile))

    def map(self, index: int, body: dict[str, Any], rows: int = 256) -> ClassMap:
        task = self.map_task(index, body)
        block = load_block(task, self.layout, MODEL.card, self.cube) if task.checksums else {}
        return map_tile(task, block, MODEL.card, partial(classify_at, MODEL, micro_batch=rows), self.ground, rows)


@pytest.fixture(scope="module")
def story(country: Country, items: tuple[Item, ...], tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The country in one tile."""
    return Story(country, items, tmp_path_factory.mktemp("story"), 64)


@pytest.fixture(scope="module")
def built(story: Story) -> dict[str, Any]:
    return story.build(0)


def test_scenes_become_a_cube_a_map_and_published_files(story: Story, built: dict[str, Any]) -> None:
    assert set(built["steps"]) == {"optical", "radar", "thermal"} and len(built["checksums"]) == 6
    assert built["computed"] == 3 * 6 and all(built["observations"].values())
    assert built["bytes"] == {key: len(story.cube.get(key)) for key in built["checksums"]}
    classes = story.map(0, built)
    assert len(np.unique(classes.class_index)) > 1 and classes.confidence[classes.class_index < 4].max() <= 100
    task = story.map_task(0, built)
    body = publish_tile(task, story.layout, MODEL.card, classes, OutputOptions(uri="unused"), story.output)
    assert sorted(e.key for e in story.output.entries()) == [
        f"tiles/r0000c0000/{'k' * 16}/{name}" for name in ("class.tif", "confidence.tif", "item.json")
    ]
    validate(json.loads(story.output.get(f"{body['folder']}/item.json")))
    with MemoryFile(story.output.get(f"{body['folder']}/class.tif"), ext=".tif") as memory, memory.open() as file:
        np.testing.assert_array_equal(file.read(1), classes.class_index)
    assert body["pixels"] == {
        str(i): int(n) for i, n in zip(*np.unique(classes.class_index, return_counts=True), strict=True)
    }
    assert {n: size for n, (size, _) in body["files"].items()} == {
        name: len(story.output.get(f"{body['folder']}/{name}")) for name in ("class.tif", "confidence.tif")
    }


def test_cut_into_tiles_of_an_odd_size_cube_and_map_are_equal_to_the_bit(
    story: Story, built: dict[str, Any], country: Country, items: tuple[Item, ...], tmp_path: Path
) -> None:
    cut = Story(country, items, tmp_path, 19)
    assert cut.plan.grid == replace(story.plan.grid, tile_px=19) and len(cut.plan.tiles) > 8
    layers = {
        name: decode_layer(story.cube, story.layout, story.plan.tiles[0], name, built["checksums"])
        for name in ("optical", "radar", "thermal")
    }
    classes = story.map(0, built)
    for index, tile in enumerate(cut.plan.tiles):
        y0, y1, x0, x1 = tile.core
        body = cut.build(index)
        for name, layer in layers.items():
            part = decode_layer(cut.cube, cut.layout, tile, name, body["checksums"])
            np.testing.assert_array_equal(part.values, layer.values[..., y0:y1, x0:x1])
            np.testing.assert_array_equal(part.count, layer.count[..., y0:y1, x0:x1])
        mapped = cut.map(index, body)
        np.testing.assert_array_equal(mapped.class_index, classes.class_index[y0:y1, x0:x1])
        np.testing.assert_array_equal(mapped.confidence, classes.confidence[y0:y1, x0:x1])


def looks_around(x: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Which corner of each square differs most from its middle in the sum of all that was seen."""
    total = np.where(np.isnan(x), 0, np.rint(x * 8192)).astype(np.int64).sum(axis=(1, 2))
    corners = np.abs(total[:, [0, 0, -1, -1], [0, -1, 0, -1]] - total[:, 2, 2][:, None])
    return corners.argmax(axis=1).astype(np.uint8), np.isnan(x).mean(axis=(1, 2, 3, 4)).astype(np.uint8)


@pytest.mark.parametrize("masked", [False, True])
def test_a_model_that_looks_at_neighbours_maps_the_same_however_the_area_is_tiled(
    country: Country, items: tuple[Item, ...], tmp_path: Path, masked: bool
) -> None:
    card = MODEL.card.model_copy(update={"mode": "patch", "halo": 2})
    mask = MaskOptions(uri=str(country.cropland)) if masked else None
    found = []
    for tile_px in (64, 19, 5):
        story = Story(country, items, tmp_path / str(tile_px), tile_px, mask)
        plan = story.plan
        bodies = {tile.id: story.build(index) for index, tile in enumerate(plan.tiles)}
        records = {name: Record(name, 1, "key", "written", 1, body) for name, body in bodies.items()}
        whole = np.full((plan.grid.height, plan.grid.width), NODATA, np.uint8)
        for index, tile in enumerate(plan.tiles):
            sums = shards_around(plan.grid, tile, card.halo, records)
            task = replace(story.map_task(index, bodies[tile.id]), checksums=sums)
            block = load_block(task, story.layout, card, story.cube) if sums else {}
            mapped = map_tile(task, block, card, lambda *at: looks_around(cut(*at, 2)), story.ground, 256)
            whole[tile.core.within(Window(0, plan.grid.height, 0, plan.grid.width))] = mapped.class_index
        found.append(whole)
    assert len(np.unique(found[0])) == 5 if masked else len(np.unique(found[0])) >= 4
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_a_tile_built_twice_gives_equal_bytes(story: Story, built: dict[str, Any]) -> None:
    again = story.build(0)
    assert (again["checksums"], again["steps"]) == (built["checksums"], built["steps"])


def test_a_late_scene_recomputes_its_own_step_and_gives_the_bytes_of_a_fresh_build(
    country: Country, items: tuple[Item, ...], tmp_path: Path
) -> None:
    radar = [item for item in items if item.sensor == "radar"]
    early = Story(country, tuple(item for item in items if item != radar[1]), tmp_path / "late", 64).build(0)
    late, fresh = Story(country, items, tmp_path / "late", 64), Story(country, items, tmp_path / "fresh", 64)
    body, whole = late.build(0, early), fresh.build(0)
    assert body["computed"] == 1 and body["checksums"] == whole["checksums"]
    assert sum(a != b for a, b in zip(early["steps"]["radar"], body["steps"]["radar"], strict=True)) == 1
    assert late.build(0, body)["computed"] == 0


def test_a_shard_that_somebody_wrote_over_is_computed_anew(
    country: Country, items: tuple[Item, ...], tmp_path: Path
) -> None:
    story = Story(country, items, tmp_path, 64)
    body = story.build(0)
    story.cube.put("radar/c/0/0/0/0", b"something else")
    again = story.build(0, body)
    assert again["computed"] == 6 and again["checksums"] == body["checksums"]
    story.cube.delete(["thermal_count/c/0/0/0"])
    with pytest.raises(TileError, match="is gone"):
        decode_layer(story.cube, story.layout, story.plan.tiles[0], "thermal", body["checksums"])
    assert story.build(0, body)["computed"] == 6


@pytest.mark.parametrize("pixels", [1, 7 * 60, 13 * 60 + 5])
def test_how_many_pixels_are_done_at_once_does_not_show(
    story: Story, built: dict[str, Any], country: Country, items: tuple[Item, ...], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, pixels: int,
) -> None:  # fmt: skip
    masked = Story(country, items, tmp_path, 64, MaskOptions(uri=str(country.cropland)))
    part = masked.build(0)
    card = MODEL.card.model_copy(update={"mode": "patch", "halo": 2})
    task = story.map_task(0, built)

    def mapped() -> list[ClassMap]:
        block = load_block(task, story.layout, card, story.cube)
        squares = map_tile(task, block, card, lambda *at: looks_around(cut(*at, 2)), story.ground, 256)
        return [story.map(0, built, 16), masked.map(0, part, 16), squares]

    whole = mapped()
    monkeypatch.setattr(engine.pipeline, "_RUN_PX", pixels)
    monkeypatch.setattr(engine.pipeline, "_STRIP_PX", pixels)
    for got, expected in zip(mapped(), whole, strict=True):
        np.testing.assert_array_equal(got.class_index, expected.class_index)
        np.testing.assert_array_equal(got.confidence, expected.confidence)


def test_off_the_mask_nothing_is_computed_and_no_data_is_written(
    story: Story, built: dict[str, Any], country: Country, items: tuple[Item, ...], tmp_path: Path
) -> None:
    unmasked = story.map(0, built)
    masked = Story(country, items, tmp_path, 20, MaskOptions(uri=str(country.cropland)))
    grid = masked.plan.grid
    x = grid.left + 10 * np.arange(grid.width) + 5
    y = grid.top - 10 * np.arange(grid.height) - 5
    with rasterio.open(country.cropland) as file:
        sampled = file.sample([(px, py) for py in y for px in x])
        fields = np.array([value[0] == 1 for value in sampled]).reshape(grid.height, grid.width)
    for index, tile in enumerate(masked.plan.tiles):
        y0, y1, x0, x1 = tile.core
        body = masked.build(index)
        classes, inside = masked.map(index, body), fields[y0:y1, x0:x1]
        np.testing.assert_array_equal(classes.class_index, np.where(inside, unmasked.class_index[y0:y1, x0:x1], NODATA))
        np.testing.assert_array_equal(classes.confidence, np.where(inside, unmasked.confidence[y0:y1, x0:x1], NODATA))
    assert fields.any() and not fields.all()
    none = MaskOptions(uri=str(country.cropland), keep=(77,))
    reads = Story(country, items, tmp_path / "none", 64, none)
    body = reads.build(0)
    assert body == {"empty": True} and reads.read.reads == 0
    assert (reads.map(0, body).class_index == NODATA).all()


def test_a_tile_always_under_cloud_fails_alone_with_its_name_and_a_remedy(
    country: Country, items: tuple[Item, ...], tmp_path: Path
) -> None:
    cloudy = tuple(item for item in items if item.sensor == "radar")
    optical = next(item for item in items if item.sensor == "optical")
    far = replace(optical, datetime=LAST_DAY)
    story = Story(country, (*cloudy, far), tmp_path, 64)
    body = story.build(0)
    with pytest.raises(TileError, match=r"tile r0000c0000: not one clear observation in 5 steps.*max_cloud"):
        story.map(0, body)


def test_a_missing_scene_names_tile_item_and_asset(country: Country, items: tuple[Item, ...], tmp_path: Path) -> None:
    broken = replace(items[0], assets={n: replace(a, href=str(tmp_path / n)) for n, a in items[0].assets.items()})
    story = Story(country, (broken, *items[1:]), tmp_path, 64)
    with pytest.raises(TileError, match=rf"item {broken.id}, asset .*not found"):
        story.build(0)
