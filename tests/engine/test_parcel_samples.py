"""Parcels as samples: the very series that the map stage gives to a model, whatever tiles a parcel lies on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from engine.errors import InputError, SpecError
from engine.ground import Ground, MaskOptions
from engine.judge import judges
from engine.keys import shards_around
from engine.models import Card, read_card
from engine.objects import Objects
from engine.parcel_samples import labelled_parcels
from engine.parcel_tile import judge_parcels, load_parcels
from engine.parcels import ParcelOptions, Register, take_in
from engine.pipeline import MapTask, ParcelTask, load_block
from engine.samples import LabelOptions
from engine.train import TrainRequest, collect, is_trained, train
from engine.training import TrainOptions
from engine.types import Tile
from tests.engine.made_models import made_card
from tests.engine.made_scenes import CRS, write_raster
from tests.engine.test_clec import RECIPE, made_layers, request_for
from tests.engine.test_samples import polygon

SHAPE = (30, 30)
ODD = {
    1: polygon(10, 10, 90, 80),
    2: polygon(105, 20, 292, 140),  # over four tiles
    3: polygon(20, 203, 290, 214),  # narrow
    4: polygon(31, 161, 34, 164),  # smaller than a pixel
    5: shapely.Polygon([(500040, 5599770), (500090, 5599710), (500090, 5599770), (500040, 5599710)]),  # crossed edges
    6: polygon(-300, 20, -200, 90),  # off the area
    7: polygon(230, 250, 296, 296),
    8: polygon(0, 0, 10, 10),  # never seen
}
"""By code."""


def write_labels(path: Path, shapes: dict[int, Any], codes: list[int] | None = None) -> str:
    frame = gpd.GeoDataFrame({"crop_code": codes or list(shapes)}, geometry=list(shapes.values()), crs=CRS)
    frame.to_crs("EPSG:3035").to_parquet(path)
    return str(path)


def made_request(root: Path, uri: str, family: str = "forest", **labels: Any) -> TrainRequest:
    """On a cube of 30 x 30 pixels in four tiles, without its last one; two columns are off the mask."""
    made = request_for(root, made_layers(SHAPE))
    mask = np.ones(SHAPE, np.uint8)
    mask[:, 4:6] = 0
    return replace(
        made,
        records={name: record for name, record in made.records.items() if name != "r0001c0001"},
        labels=LabelOptions.model_validate({"uri": uri, "per": "parcel", **labels}),
        options=TrainOptions.model_validate({"family": family, "block_m": 50, "min_samples": 5, "trees": 5}),
        mask=MaskOptions(uri=str(write_raster(root / "mask.tif", mask))),
    )


def given_by_the_map(
    request: TrainRequest, options: ParcelOptions, store: Objects
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(name, input) of every parcel that the map stage gives to the model, tile by tile as a worker does them."""
    plan, cube = request.plan, Objects(request.cube_uri)
    register = take_in(options, plan.grid, plan.area, plan.tiles, store)
    card = made_card(b"x", RECIPE.steps, len(RECIPE.features), 3).model_copy(update={"recipe": request.recipe})
    tiles = {tile.id: tile for tile in plan.tiles}
    for tile in plan.tiles:
        if tile.id in register.parts and tile.id in request.records:
            yield from _of_tile(request, options, store, register, card, cube, tile, tiles)


def _of_tile(
    request: TrainRequest, options: ParcelOptions, store: Objects, register: Register, card: Card, cube: Objects,
    tile: Tile, tiles: dict[str, Tile],
) -> Iterator[tuple[int, NDArray[np.float32]]]:  # fmt: skip
    def sums(name: str) -> dict[str, str]:
        return shards_around(request.plan.grid, tiles[name], 0, request.records)

    part = register.parts[tile.id]
    around = tuple((tiles[name], sums(name)) for name in part.reaches if name in request.records)
    task = MapTask(tile, "k", 1, 1, sums(tile.id), {}, parcels=ParcelTask(part.sha256, around))
    ground = Ground(request.plan.grid, request.plan.area, request.mask)
    parcels = load_parcels(
        task, request.layout, card, load_block(task, request.layout, card, cube),
        ground=ground, cube=cube, dealt=store, inward_px=options.inward_px,
    )  # fmt: skip
    given: list[NDArray[np.float32]] = []

    def predict(x: NDArray[np.float32]) -> NDArray[np.float32]:
        given.append(x.copy())
        return np.full((len(x), 3), 1 / 3, np.float32)

    verdicts = judge_parcels(parcels, card, options, predict)
    seen = np.flatnonzero(verdicts.pixels > 0)
    yield from zip([parcels.dealt.ids[int(row)].as_py() for row in seen], given[0], strict=True)


@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_a_parcel_s_sample_is_to_the_bit_what_the_map_stage_gives_to_the_model(
    tmp_path: Path, statistic: Literal["median", "mean"]
) -> None:
    uri = write_labels(tmp_path / "p.parquet", ODD)
    request = made_request(tmp_path, uri, statistic=statistic, inward_px=0.5)
    samples = collect(request)
    options = ParcelOptions(uri=uri, id="crop_code", statistic=statistic, inward_px=0.5)
    expected = dict(given_by_the_map(request, options, Objects(str(tmp_path / "dealt"))))
    assert sorted(samples.y.tolist()) == sorted(expected) == [1, 2, 3, 4, 5], "each parcel once, the others not at all"
    for code, x in zip(samples.y.tolist(), samples.x, strict=True):
        np.testing.assert_array_equal(x.view(np.uint32), expected[code].view(np.uint32), err_msg=f"parcel {code}")
    other = collect(replace(request, labels=request.labels.model_copy(update={"inward_px": 0.0})))
    assert (other.x[samples.y == 2] != samples.x[samples.y == 2]).any(), "the inward buffer shows"


def test_place_and_block_are_those_of_the_representative_point_and_broken_polygons_are_counted(tmp_path: Path) -> None:
    request = made_request(tmp_path, write_labels(tmp_path / "p.parquet", ODD))
    samples = collect(request)
    for code, row, col, block in zip(samples.y.tolist(), samples.row, samples.col, samples.block, strict=True):
        there = gpd.GeoSeries([ODD[code]], crs=CRS).to_crs("EPSG:3035").to_numpy()
        whole = shapely.make_valid(there, method="structure", keep_collapsed=False)
        point = gpd.GeoSeries(whole, crs="EPSG:3035").to_crs(CRS).representative_point()[0]
        assert (row, col) == ((5_600_000 - point.y) // 10, (point.x - 500_000) // 10)
        assert block == (int(point.y // 50) << 32) + int(point.x // 50)
    plan = request.plan
    held = labelled_parcels(request.labels, plan.grid, plan.area, plan.tiles, 50)
    assert held.left_out == {} and held.changed == {"repaired: Self-intersection": 1}
    assert samples.parcel is not None
    np.testing.assert_array_equal(held.y[samples.parcel], samples.y)


def test_a_model_of_parcels_is_trained_counted_by_parcels_and_judged_on_its_own_test_blocks(tmp_path: Path) -> None:
    places = [(x, y) for y in range(0, 300, 20) for x in range(0, 300, 20)]
    shapes = {i: polygon(x + 1, y + 1, x + 19, y + 19) for i, (x, y) in enumerate(places)}
    codes = [1 + (i % 2) for i in shapes]
    codes[:4] = [3] * 4
    uri = write_labels(tmp_path / "p.parquet", shapes, codes)
    request = made_request(tmp_path, uri)
    report = train(request)
    card = read_card(request.model_uri)
    assert is_trained(request) and card.sampled == "parcel median" and [c.code for c in card.classes] == [1, 2]
    (few,) = report["left_out"]
    assert few["code"] == 3 and few["samples"] <= 4 and "min_samples = 5" in few["reason"]
    by = judges(request, card, foreign=False)
    assert by.held_out and len(by.y) == report["accuracy"]["samples"] <= len(shapes)
    assert not is_trained(replace(request, mask=None)), "parcels have no pixel off the mask"
    assert not is_trained(replace(request, labels=request.labels.model_copy(update={"per": "pixel"})))


def test_parcels_of_another_season_lie_on_its_own_cube_and_a_border_is_kept(tmp_path: Path) -> None:
    shapes = {i: polygon(x + 1, y + 1, x + 19, y + 19) for i, (x, y) in enumerate(product(range(0, 300, 20), repeat=2))}
    uri = write_labels(tmp_path / "p.parquet", shapes, [1 + (i % 2) for i in shapes])
    own = made_request(tmp_path, uri, seasons=[{"cube": "other", "uri": uri, "part": "test"}], border_m=10)
    labels = own.labels.of(own.labels.seasons[0])
    other = replace(own.own, number=1, records={}, labels=labels)
    with pytest.raises(InputError, match="not one labelled parcel lies on a cube tile"):
        collect(replace(own, seasons=(other,)))
    half = {name: record for name, record in own.records.items() if name.startswith("r0000")}
    found = collect(replace(own, seasons=(replace(other, records=half),)))
    assert found.origin is not None and found.near is not None and found.parcel is not None
    first, second = (found.origin["number"] == number for number in (0, 1))
    assert 0 < second.sum() < first.sum() and set(found.parcel[second]) < set(found.parcel[first])
    assert {2} == set(found.origin["by_season"][second]) and {0} == set(found.origin["by_season"][first])
    where = [list(found.parcel[first]).index(name) for name in found.parcel[second]]
    np.testing.assert_array_equal(found.x[first][where], found.x[second])
    assert ((found.near != 0).sum(axis=1) >= 1).all() and ((found.near != 0).sum(axis=1) > 1).any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"uri": "labels.tif"}, "labels.tif is a raster"),
        ({"family": "hybridsn"}, "hybridsn looks at the squares around pixels"),
        ({"family": "clec"}, "clec learns from each pixel's later steps"),
        ({"virtual": {}}, "virtual labels are given to pixels"),
    ],
)
def test_what_has_no_parcels_refuses_them(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    request = made_request(tmp_path, change.pop("uri", "p.parquet"))
    options = TrainOptions.model_validate({**request.options.model_dump(), **change})
    with pytest.raises(SpecError, match=words) as told:
        collect(replace(request, options=options))
    assert told.value.place == "labels.per" and told.value.expected and told.value.remedy
