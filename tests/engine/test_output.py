"""Published files: valid COGs with palette, names and no data, equal when made twice; STAC offline; the mosaic."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pystac
import pytest
import rasterio
import shapely
from rasterio.io import MemoryFile
from rio_cogeo.cogeo import cog_validate

from engine.errors import InputError
from engine.keys import tile_facts
from engine.ledger import Record
from engine.map_values import NODATA, classes_table, map_values
from engine.models import Card
from engine.objects import Objects
from engine.output import OutputOptions, ProfileOptions, cog_files, stac_collection, stac_item
from engine.plan import Plan
from engine.samples import read_legend
from engine.types import ClassMap, Grid, Tile
from jobs.finish import _mosaic
from tests.engine.made_models import made_card
from tests.engine.made_scenes import CRS, LEFT, TOP, made_grid
from tests.engine.stac_rules import validate

CARD = made_card(b"x", 5, 3, classes=4, family="forest")
STATED = {
    "name": "made", "start": "2018-01-01T00:00:00Z", "end": "2018-12-01T00:00:00Z", "version": "0.1.0", "model": "ab",
}  # fmt: skip


def made_map(shape: tuple[int, int], seed: int = 0) -> ClassMap:
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 4, shape, dtype=np.uint8)
    confidence = rng.integers(0, 101, shape, dtype=np.uint8)
    classes[rng.random(shape) < 0.1] = NODATA
    confidence[classes == NODATA] = NODATA
    return ClassMap(classes, confidence, classes.size)


def plan_of(grid: Grid) -> Plan:
    """All tiles of a grid, without items."""
    tiles = tuple(grid.tile(row, col) for row in range(grid.tile_rows) for col in range(grid.tile_cols))
    area = shapely.box(LEFT, TOP - grid.height * 10, LEFT + grid.width * 10, TOP)
    none = np.zeros(0, np.int32)
    return Plan(
        grid=grid, area=area, tiles=tiles, items=(), axes={}, audit=(), left_out=(),
        starts=np.zeros(len(tiles) + 1, np.int64), links=none, identity="",
    )  # fmt: skip


def files_of(grid: Grid, tile: Tile, **changes: Any) -> dict[str, bytes]:
    options = OutputOptions(uri="unused", **changes)
    return cog_files(grid, tile, CARD, made_map(tile.core.shape, tile.row * 10 + tile.col), options)


@pytest.mark.parametrize("size", [(1200, 700), (16, 16), (5, 1)])
def test_both_products_are_valid_cogs_that_read_back_as_written(size: tuple[int, int], tmp_path: Path) -> None:
    grid = Grid(CRS, 10.0, LEFT, TOP, *size, 2048)
    tile = grid.tile(0, 0)
    made = made_map(size)
    for name, plane in (("class.tif", made.class_index), ("confidence.tif", made.confidence)):
        path = tmp_path / name
        path.write_bytes(cog_files(grid, tile, CARD, made, OutputOptions(uri="unused"))[name])
        good, errors, _ = cog_validate(path, strict=True)
        assert good, errors
        with rasterio.open(path) as file:
            np.testing.assert_array_equal(file.read(1), plane)
            assert (file.crs.to_string(), file.nodata, file.dtypes[0], file.count) == (CRS, NODATA, "uint8", 1)
            assert file.transform == rasterio.Affine(10, 0, LEFT, 0, -10, TOP)
            assert file.profile["compress"] == "deflate"
            if max(size) > 512:
                assert file.block_shapes == [(512, 512)] and file.overviews(1)


def test_the_class_map_carries_palette_and_names_and_overviews_that_are_classes(tmp_path: Path) -> None:
    grid = Grid(CRS, 10.0, LEFT, TOP, 1100, 1100, 2048)
    with MemoryFile(files_of(grid, grid.tile(0, 0))["class.tif"], ext=".tif") as memory, memory.open() as file:
        palette = file.colormap(1)
        for index, entry in enumerate(CARD.classes):
            assert palette[index] == (*bytes.fromhex(entry.colour[1:]), 255)
        assert palette[NODATA][3] == 0
        tags = file.tags(1)
        assert [tags[f"CATEGORY_{i}"] for i in range(4)] == [entry.name for entry in CARD.classes]
        small = file.read(1, out_shape=(550, 550))
        assert set(np.unique(small)) <= {0, 1, 2, 3, NODATA}
        # A block of 2 x 2 with one class is that class in the overview too: not a mean of numbers.
        whole = file.read(1).reshape(550, 2, 550, 2).transpose(0, 2, 1, 3).reshape(550, 550, 4)
        uniform = (whole == whole[..., :1]).all(axis=2)
        np.testing.assert_array_equal(small[uniform], whole[uniform][:, 0])


def test_made_twice_the_bytes_are_equal_and_another_map_gives_others() -> None:
    grid = made_grid(40, 40, 16)
    tile, other = grid.tile(2, 2), grid.tile(2, 1)
    assert files_of(grid, tile) == files_of(grid, tile)
    assert files_of(grid, tile)["class.tif"] != files_of(grid, other)["class.tif"]
    facts = tile_facts(plan_of(grid), STATED)(tile)
    one, two = (json.dumps(stac_item(grid, tile, CARD, files_of(grid, tile), facts)) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("compress", ["deflate", "zstd", "lzw"])
def test_products_and_profile_are_the_persons_choice(compress: Any) -> None:
    grid = Grid(CRS, 10.0, LEFT, TOP, 300, 300, 512)
    profile = ProfileOptions(compress=compress, blocksize=256)
    files = files_of(grid, grid.tile(0, 0), products=("confidence",), profile=profile)
    assert list(files) == ["confidence.tif"]
    with MemoryFile(files["confidence.tif"], ext=".tif") as memory, memory.open() as file:
        assert file.profile["compress"] == compress and file.block_shapes == [(256, 256)]


def test_items_and_collection_validate_offline_and_say_what_is_in_them(tmp_path: Path) -> None:
    grid = made_grid(40, 40, 16)
    tile = grid.tile(2, 1)
    files, facts = files_of(grid, tile), tile_facts(plan_of(grid), STATED)(tile)
    item = stac_item(grid, tile, CARD, files, facts)
    collection = stac_collection(
        CARD, [("./tiles/a/item.json", facts["bbox"])], ["class.gti.gpkg"], {**STATED, "bbox": [-180, -90, 180, 90]}
    )
    validate(item)
    validate(collection)
    assert pystac.Item.from_dict(item).properties["proj:shape"] == [8, 16]
    asset = item["assets"]["class"]
    assert asset["file:size"] == len(files["class.tif"])
    assert asset["file:checksum"] == "1220" + hashlib.sha256(files["class.tif"]).hexdigest()
    named = {entry["value"]: entry.get("title") for entry in asset["classification:classes"]}
    assert named == {**{i: entry.name for i, entry in enumerate(CARD.classes)}, NODATA: None}
    ring = shapely.Polygon(item["geometry"]["coordinates"][0])
    assert ring.exterior.is_ccw and ring.bounds == tuple(item["bbox"])
    assert collection["extent"]["spatial"]["bbox"] == [facts["bbox"]]
    empty = stac_collection(CARD, [], [], {**STATED, "bbox": [-180, -90, 180, 90]})
    validate(empty)


def test_the_offline_rules_do_find_what_is_wrong() -> None:
    grid = made_grid(40, 40, 16)
    tile = grid.tile(0, 0)
    facts = tile_facts(plan_of(grid), STATED)(tile)

    def item() -> dict[str, Any]:
        return stac_item(grid, tile, CARD, files_of(grid, tile), facts)

    for spoil in (
        lambda d: d.pop("bbox"),
        lambda d: d["properties"].pop("datetime"),
        lambda d: d["properties"].update({"proj:shape": [1, 2, 3]}),
        lambda d: d["properties"].update({"proj:epsg": 32631}),
        lambda d: d["assets"]["class"]["classification:classes"][0].update(name="two words"),
        lambda d: d["assets"]["class"].update({"file:checksum": "ZZ"}),
        lambda d: d["stac_extensions"].pop(),
    ):
        wrong = item()
        spoil(wrong)
        with pytest.raises((jsonschema.ValidationError, pystac.STACValidationError, AssertionError)):
            validate(wrong)


@pytest.fixture
def published(tmp_path: Path) -> tuple[Objects, Plan, dict[str, Record]]:
    """A map of nine tiles, one of them missing, as a run publishes it."""
    grid = made_grid(40, 40, 16)
    plan, output, records = plan_of(grid), Objects(str(tmp_path / "map")), {}
    for tile in plan.tiles:
        if tile.id == "r0001c0001":
            continue
        folder = f"tiles/{tile.id}/{'k' * 16}"
        for name, data in files_of(grid, tile).items():
            output.put(f"{folder}/{name}", data)
        records[tile.id] = Record(tile.id, 1, "k", "written", 1, {"folder": folder})
    return output, plan, records


@pytest.mark.parametrize("product", ["class", "confidence"])
def test_the_mosaic_opens_the_whole_map_as_one_layer_also_after_a_move(
    published: tuple[Objects, Plan, dict[str, Record]], product: str, tmp_path: Path
) -> None:
    output, plan, records = published
    output.put(f"{product}.gti.gpkg", _mosaic(plan, records, product))
    (tmp_path / "map").rename(tmp_path / "moved")
    with rasterio.open(tmp_path / "moved" / f"{product}.gti.gpkg") as mosaic:
        whole = mosaic.read(1)
        assert (mosaic.shape, mosaic.crs.to_string(), mosaic.nodata) == ((40, 40), CRS, NODATA)
        assert mosaic.transform == rasterio.Affine(10, 0, LEFT, 0, -10, TOP)
        if product == "class":
            assert mosaic.colormap(1)[1] == (*bytes.fromhex(CARD.classes[1].colour[1:]), 255)
    for tile in plan.tiles:
        y0, y1, x0, x1 = tile.core
        made = made_map(tile.core.shape, tile.row * 10 + tile.col)
        plane = made.class_index if product == "class" else made.confidence
        expected = plane if tile.id in records else np.full(tile.core.shape, NODATA)
        np.testing.assert_array_equal(whole[y0:y1, x0:x1], expected)


def test_the_mosaic_made_twice_has_equal_bytes_and_no_clock(
    published: tuple[Objects, Plan, dict[str, Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plan, records = published
    first = _mosaic(plan, records, "class")
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    assert _mosaic(plan, records, "class") == first
    assert _mosaic(plan, records, "confidence") != first


def coded(codes: list[int]) -> Card:
    entries = [entry.model_copy(update={"code": code}) for entry, code in zip(CARD.classes, codes, strict=True)]
    return CARD.model_copy(update={"classes": tuple(entries)})


WIDE = [3301060600, 7, 3301060601, 4293999999]


@pytest.mark.parametrize(
    ("codes", "dtype", "nodata"), [([0, 65534, 3, 1], "uint16", 65535), (WIDE, "uint32", 4294967295)]
)
def test_a_map_of_codes_holds_them_as_they_are_in_cog_item_table_and_mosaic(
    tmp_path: Path, codes: list[int], dtype: str, nodata: int
) -> None:
    card, grid, options = coded(codes), made_grid(600, 600, 600), OutputOptions(uri="unused", codes=True)
    tile, made = grid.tile(0, 0), made_map((600, 600))
    expected = np.array([*codes, *[nodata] * 252], np.int64)[made.class_index]
    files = cog_files(grid, tile, card, made, options)
    with MemoryFile(files["class.tif"], ext=".tif") as memory, memory.open() as file:
        assert (file.dtypes[0], file.nodata) == (dtype, nodata)
        np.testing.assert_array_equal(file.read(1), expected)
        assert {code: file.tags(1)[f"CATEGORY_{code}"] for code in codes} == {
            entry.code: entry.name for entry in card.classes
        }
        small = file.read(1, out_shape=(150, 150))
        assert set(np.unique(small).tolist()) == {*codes, nodata}
        held = map_values(card, True)
        np.testing.assert_array_equal(held.index(file.read(1)), made.class_index)
    with MemoryFile(files["confidence.tif"], ext=".tif") as memory, memory.open() as file:
        assert (file.dtypes[0], file.nodata) == ("uint8", NODATA)
    facts = tile_facts(plan_of(grid), STATED)(tile)
    item = stac_item(grid, tile, card, files, facts, codes=True)
    validate(item)
    asset = item["assets"]["class"]
    assert (asset["data_type"], asset["nodata"]) == (dtype, nodata)
    assert [entry["value"] for entry in asset["classification:classes"]] == [*codes, nodata]
    everything = {**STATED, "bbox": [-180, -90, 180, 90]}
    collection = stac_collection(card, [("./item.json", facts["bbox"])], [], everything, codes=True)
    validate(collection)
    assert collection["assets"]["classes"]["href"] == "./classes.csv"
    (tmp_path / "classes.csv").write_bytes(classes_table(card, held))
    legend = read_legend(str(tmp_path / "classes.csv"))
    assert legend.names == {entry.code: entry.name for entry in card.classes if entry.code}


def test_the_table_of_classes_keeps_names_with_commas_quotes_and_letters_of_any_kind() -> None:
    names = ['wheat, "winter"', "blé\ntendre", "NA", "小麦"]
    entries = [entry.model_copy(update={"name": name}) for entry, name in zip(CARD.classes, names, strict=True)]
    card = CARD.model_copy(update={"classes": tuple(entries)})
    rows = list(csv.DictReader(io.StringIO(classes_table(card, map_values(card, False)).decode(), newline="")))
    assert [row["name"] for row in rows] == names
    assert [(row["value"], row["code"]) for row in rows] == [("0", "10"), ("1", "20"), ("2", "30"), ("3", "40")]


def test_codes_that_no_map_can_hold_are_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match=r"code 4294000000.*take output.codes out"):
        map_values(coded([1, 2, 3, 4294000000]), True)
    assert map_values(coded([1, 2, 3, 65535]), True).dtype == "uint32"


def test_titles_tell_classes_apart_that_share_a_name() -> None:
    entries = [entry.model_copy(update={"name": "wheat"}) for entry in CARD.classes[:2]]
    card = CARD.model_copy(update={"classes": (*entries, *CARD.classes[2:])})
    assert card.titles == ("wheat (10)", "wheat (20)", "crop 2", "crop 3")


def test_the_mosaic_of_a_map_of_codes_holds_them_as_they_are(tmp_path: Path) -> None:
    card, grid, options = coded(WIDE), made_grid(40, 40, 16), OutputOptions(uri="unused", codes=True)
    plan, output, records = plan_of(grid), Objects(str(tmp_path)), {}
    expected = np.zeros((40, 40), np.uint32)
    for tile in plan.tiles:
        made = made_map(tile.core.shape, tile.row * 10 + tile.col)
        y0, y1, x0, x1 = tile.core
        expected[y0:y1, x0:x1] = map_values(card, True).plane(made.class_index)
        output.put(f"{tile.id}/class.tif", cog_files(grid, tile, card, made, options)["class.tif"])
        records[tile.id] = Record(tile.id, 1, "k", "written", 1, {"folder": tile.id})
    output.put("class.gti.gpkg", _mosaic(plan, records, "class"))
    with rasterio.open(tmp_path / "class.gti.gpkg") as mosaic:
        assert mosaic.nodata == 4294967295
        np.testing.assert_array_equal(mosaic.read(1), expected)
