"""Seasons and regions held for validation or test: what is learnt from, what is left out, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from pydantic import ValidationError

from engine.errors import InputError
from engine.ground import MaskOptions
from engine.judge.choose import judges
from engine.ledger import Record
from engine.models import read_card
from engine.objects import Objects
from engine.samples import LabelOptions, Labels, OtherSeason, touched
from engine.seasons import Season, other_season
from engine.steps import SeasonOptions, regular_axis
from engine.store import opened, prepare
from engine.train import TrainRequest, collect, is_trained, target_of, train
from engine.training import TrainOptions, fit
from engine.training.blocks import TEST, VALIDATION, Split, deal_blocks, within_one_part
from engine.types import ORIGIN, Samples, Window
from tests.engine.made_models import MADE_CLASSES, MADE_RECIPE, made_samples
from tests.engine.made_scenes import CRS, LEFT, TOP, made_axis, made_grid, write_raster
from tests.engine.test_clec import GRID, RECIPE, SEASON, STEPS, made_layers, request_for

QUICK = TrainOptions(family="forest", trees=10, block_m=500, min_samples=5)


def of_two_seasons(by_season: int, by_region: Callable[[Samples], Any] = lambda samples: 0) -> Samples:
    """Made samples of 15 blocks; those of odd number are of a second season, held for a part."""
    samples = made_samples()
    origin = np.zeros(len(samples.y), ORIGIN)
    origin["number"] = np.arange(len(samples.y)) % 2
    origin["season"] = np.where(origin["number"] == 1, "2023-03-01", "2024-03-01")
    origin["by_season"] = np.where(origin["number"] == 1, by_season, 0)
    origin["by_region"] = by_region(samples)
    origin["region"] = np.where(origin["by_region"] > 0, "south", "")
    return replace(samples, origin=origin)


def dealt(samples: Samples) -> Split:
    return deal_blocks(samples.y // 10 - 1, samples.block, 0, 500, samples.origin)


def test_blocks_are_dealt_once_for_all_seasons() -> None:
    samples = of_two_seasons(0)
    split = dealt(samples)
    assert samples.origin is not None
    for mask in split.parts.values():
        other = np.logical_or.reduce([m for m in split.parts.values() if m is not mask])
        assert not set(samples.block[mask]) & set(samples.block[other])
        assert set(samples.origin["number"][mask]) == {0, 1}
    plain = dealt(replace(samples, origin=None))
    np.testing.assert_array_equal(split.test, plain.test)


@pytest.mark.parametrize("part", [VALIDATION, TEST])
def test_a_season_that_is_held_is_that_part_alone_and_the_blocks_are_dealt_to_the_others(part: int) -> None:
    samples = of_two_seasons(part)
    split = dealt(samples)
    assert samples.origin is not None
    second = samples.origin["number"] == 1
    held = (split.validation, split.test)[part - 1]
    other = (split.test, split.validation)[part - 1]
    assert held.any() and not (held & ~second).any() and not (split.train & second).any() and not (other & second).any()
    assert set(samples.block[held]) & set(samples.block[split.train]), "the year is left out, not the ground"
    assert not set(samples.block[other]) & set(samples.block[split.train])
    assert split.blocks[0] == 12 and split.blocks[3 - part] == 3
    if part == VALIDATION:  # no epoch is chosen on ground that is tested
        assert not set(samples.block[held]) & set(samples.block[split.test])
        assert (split.of_place[np.searchsorted(split.places, samples.block[second & ~held])] == TEST).all()
    else:
        np.testing.assert_array_equal(held, second)


def test_a_region_is_held_in_every_season_and_nothing_is_learnt_from_a_block_that_it_cuts() -> None:
    def south(samples: Samples) -> Any:  # block 3 lies half in it
        return TEST * ((samples.block < 3) | ((samples.block == 3) & (samples.row % 3 == 0)))

    samples = of_two_seasons(VALIDATION, south)
    split = dealt(samples)
    assert samples.origin is not None
    inside = samples.origin["by_region"] == TEST
    np.testing.assert_array_equal(split.test, inside)
    cut = (samples.block == 3) & ~inside
    assert cut.any() and not (split.train | split.validation | split.test)[cut].any()
    assert (
        set(samples.block[split.train].tolist()) == set(samples.block[split.validation].tolist()) == set(range(4, 15))
    )
    assert set(samples.origin["number"][split.test]) == {0, 1}


def test_where_season_and_region_are_held_for_everything_four_blocks_are_enough() -> None:
    samples = of_two_seasons(VALIDATION, lambda samples: TEST * (samples.block == 0))
    few = replace(samples, block=samples.block % 4)
    assert few.origin is not None
    few.origin["by_region"] = TEST * (few.block == 0)
    assert dealt(few).blocks == (3, 3, 1)
    few.origin["by_region"] = 0
    with pytest.raises(InputError, match="labels in 4 spatial blocks"):
        dealt(few)


def test_the_report_says_which_season_and_region_is_in_which_part_and_scaling_knows_training_alone() -> None:
    samples = of_two_seasons(VALIDATION, lambda samples: TEST * (samples.block < 3))
    assert samples.origin is not None
    held = (samples.origin["by_season"] > 0) | (samples.origin["by_region"] > 0)
    samples.x[held] += 100
    fitted = fit(samples, MADE_RECIPE, MADE_CLASSES, QUICK)
    assert max(fitted.card.upper) < 10
    told = fitted.report["split"]
    own, second = told["seasons"][1], told["seasons"][0]
    assert (second["season"], second["train"]) == ("2023-03-01", 0) and second["validation"] and second["test"]
    assert (own["season"], own["validation"]) == ("2024-03-01", 0) and own["train"] and own["test"]
    assert told["regions"] == [{"region": "south", "train": 0, "validation": 0, "test": told["test"]["samples"]}]
    assert told["left_out_at_held_places"] == 0
    assert json.dumps(fitted.report)
    assert fit(samples, MADE_RECIPE, MADE_CLASSES, QUICK).weights == fitted.weights


def test_a_class_of_the_held_season_alone_is_left_out_and_a_hold_without_a_class_is_refused() -> None:
    samples = of_two_seasons(TEST)
    assert samples.origin is not None
    second = samples.origin["number"] == 1
    only_there = replace(samples, y=np.where(~second & (samples.y == 30), 10, samples.y).astype(np.int32))
    report = fit(only_there, MADE_RECIPE, MADE_CLASSES, QUICK).report
    assert [(row["code"], row["samples"]) for row in report["left_out"]] == [(30, 0)]
    none = replace(samples, y=np.where(second, 30, np.where(samples.y == 30, 10, samples.y)).astype(np.int32))
    with pytest.raises(InputError, match="season held for test has no sample of a class that is trained"):
        fit(none, MADE_RECIPE, MADE_CLASSES, QUICK)


def test_near_labels_of_another_part_a_sample_is_left_out_and_a_held_season_looks_at_its_own_part() -> None:
    samples = of_two_seasons(TEST)
    split = dealt(samples)
    assert samples.origin is not None
    trained, validated = (samples.block[mask][0] for mask in (split.train, split.validation))
    near = np.zeros((len(samples.y), 2), np.int64)
    near[:, 0] = trained
    near[:, 1] = samples.block  # what a sample lies in itself is no other part
    near[0::5, 0] = 999  # not dealt
    whole = within_one_part(split, samples.block, near, samples.origin["by_season"])
    foreign = split.validation & (near[:, 0] == trained)
    np.testing.assert_array_equal(~whole, foreign)
    near[:, 0] = validated
    whole = within_one_part(split, samples.block, near, samples.origin["by_season"])
    np.testing.assert_array_equal(~whole, split.train)
    bordered = replace(samples, near=near)
    with pytest.raises(InputError, match=r"all samples of train are near labels.*border_m"):
        fit(bordered, MADE_RECIPE, MADE_CLASSES, QUICK)
    assert (samples.block[split.test] == trained).any()


@pytest.mark.parametrize("reach", [1, 3, 9])
def test_the_blocks_touched_are_those_a_slow_search_finds(reach: int) -> None:
    rng = np.random.default_rng(reach)
    block = np.repeat(np.repeat(rng.integers(0, 6, (6, 6)), 7, axis=0), 7, axis=1).astype(np.int64) << 33
    block[rng.random(block.shape) < 0.02] = -(5 << 32)
    rows, cols = (rng.integers(0, 42 - 2 * reach, 60) for _ in range(2))
    found = touched(block, rows, cols, reach)
    for i, (row, col) in enumerate(zip(rows, cols, strict=True)):
        around = set(block[row : row + 2 * reach + 1, col : col + 2 * reach + 1].ravel().tolist()) - {0}
        assert sorted(v for v in found[i].tolist() if v) == sorted(around)
    assert touched(block, rows[:0], cols[:0], reach).shape[0] == 0
    assert not touched(np.zeros_like(block), rows, cols, reach).any()


def with_second_season(root: Path, part: str = "any", **labels: Any) -> TrainRequest:
    """Two cubes of 30 x 30 pixels with labels; the second is of another season."""
    first, second = (request_for(root / name, made_layers((30, 30), seed)) for name, seed in (("a", 2), ("b", 7)))
    season = OtherSeason(cube=second.cube_uri, uri=str(second.labels.uri), part=part)
    options = LabelOptions.model_validate({"uri": first.labels.uri, "seasons": [season.model_dump()], **labels})
    other = other_season(1, season.cube, second.records, options.of(season), first.layout, RECIPE)
    train = TrainOptions(family="forest", trees=5, block_m=50, min_samples=5)
    return replace(first, labels=options, seasons=(other,), options=train)


def test_samples_of_every_season_are_read_each_from_its_own_cube(tmp_path: Path) -> None:
    request = with_second_season(tmp_path, "validation")
    samples = collect(request)
    alone = [replace(request, labels=LabelOptions(uri=s.labels.uri), seasons=(), cube_uri=s.cube_uri,
                     layout=s.layout, records=s.records) for s in (request.own, *request.seasons)]  # fmt: skip
    assert samples.origin is not None
    for number, its in enumerate(alone):
        bare = collect(its)
        mine = samples.origin["number"] == number
        for name in ("x", "y", "row", "col"):
            np.testing.assert_array_equal(getattr(samples, name)[mine], getattr(bare, name), err_msg=name)
        assert bare.origin is None
        # One season keeps its fields whole; several share the ground, which is dealt by its blocks.
        places = Labels(its.labels, GRID, 50, several=True).read(Window(0, 30, 0, 30))[1]
        np.testing.assert_array_equal(samples.block[mine], places[bare.row, bare.col])
        assert (bare.block != samples.block[mine]).any()
    assert set(samples.origin["by_season"][samples.origin["number"] == 1]) == {VALIDATION}
    keys = {request.key(), alone[0].key(), with_second_season(tmp_path / "again", "test").key()}
    tile, record = next(iter(request.seasons[0].records.items()))
    changed = {**request.seasons[0].records, tile: replace(record, body={"checksums": {"radar/c/0/0/0/0": "0"}})}
    keys.add(replace(request, seasons=(replace(request.seasons[0], records=changed),)).key())
    assert len(keys) == 4


def test_a_year_left_out_is_the_test_and_a_map_is_judged_in_its_own_year_alone(tmp_path: Path) -> None:
    request = with_second_season(tmp_path, part="any")
    own = replace(request, labels=request.labels.model_copy(update={"part": "test"}))
    report = train(own)
    assert is_trained(own) and not is_trained(request)
    assert [row["part"] for row in report["seasons"]] == ["test", "any"]
    by = judges(own, read_card(own.model_uri), foreign=False)
    assert by.held_out and len(by.y) == report["accuracy"]["samples"] == report["split"]["test"]["samples"]
    away = with_second_season(tmp_path / "away", part="test")
    train(away)
    with pytest.raises(InputError, match=r"test part is of other seasons.*--labels"):
        judges(away, read_card(away.model_uri), foreign=False)


def test_without_labels_of_its_own_a_season_is_learnt_for_from_another_and_drawn_from_inside_the_mask(
    tmp_path: Path,
) -> None:
    mask = np.repeat([[1] * 15 + [0] * 15], 30, axis=0).astype(np.uint8)
    named = MaskOptions(uri=str(write_raster(tmp_path / "mask.tif", mask)))
    request = replace(with_second_season(tmp_path, uri=None), mask=named)
    options = TrainOptions.model_validate(
        {"family": "agrispec", "adversarial": {"series": 90}, "epochs": 2, "block_m": 50, "min_samples": 5}
    )
    request = replace(request, options=options)
    target = target_of(request)
    assert target is not None and target.shape == (90, STEPS, 2)
    everything = replace(request, options=options.model_copy(update={"adversarial": options.adversarial.model_copy(
        update={"series": 10_000})}))  # fmt: skip
    whole = target_of(everything)
    assert whole is not None and len(whole) == 30 * 15 - 1, "all inside the mask but the one never seen"
    np.testing.assert_array_equal(target_of(request), target)
    report = train(request)
    assert report["target_series"] == 90 and 0 <= report["domain_accuracy"] <= 1
    assert [row["season"] for row in report["split"]["seasons"]] == [request.seasons[0].name]
    assert request.key() != replace(request, mask=None).key()
    empty = write_raster(tmp_path / "empty.tif", np.zeros((30, 30), np.uint8))
    with pytest.raises(InputError, match=r"0 pixels of this season seen inside area and mask"):
        target_of(replace(request, mask=MaskOptions(uri=str(empty))))


def write_regions(path: Path, *names: str) -> Path:
    """Polygons side by side from the grid's left edge, each 150 m wide."""
    shapes = [shapely.box(LEFT + 150 * i, TOP - 300, LEFT + 150 * (i + 1), TOP) for i in range(len(names))]
    gpd.GeoDataFrame({"name": names}, geometry=shapes, crs=CRS).to_crs("EPSG:4326").to_file(path)
    return path


def test_a_region_left_out_is_the_test_in_all_seasons(tmp_path: Path) -> None:
    path = write_regions(tmp_path / "regions.gpkg", "west", "east", "far")
    request = with_second_season(tmp_path, regions={"uri": str(path), "test": ["east"]})
    samples = collect(request)
    assert samples.origin is not None
    np.testing.assert_array_equal(samples.origin["by_region"] == TEST, samples.col >= 15)
    report = train(request)
    assert report["split"]["regions"] == [
        {"region": "east", "train": 0, "validation": 0, "test": report["split"]["test"]["samples"]}
    ]
    for regions, words in (
        ({"test": ["south"]}, r"no region 'south'; it has east, far, west"),
        ({"test": ["east"], "validation": ["far"]}, r"not one labelled pixel lies in region 'far'"),
        ({"test": ["east"], "column": "title"}, r"labels\.regions"),
    ):
        wrong = request.labels.model_validate({**request.labels.model_dump(), "regions": {"uri": str(path), **regions}})
        with pytest.raises(InputError, match=words):
            train(replace(request, labels=wrong, model_uri=str(tmp_path / "wrong")))
    assert not (tmp_path / "wrong").exists()


def test_a_border_leaves_out_what_lies_near_labels_of_another_part(tmp_path: Path) -> None:
    request = replace(request_for(tmp_path, made_layers((30, 30))), options=QUICK.model_copy(update={"block_m": 100.0}))
    bordered = replace(request, labels=request.labels.model_copy(update={"border_m": 15.0}))
    assert request.key() != bordered.key()
    plain, samples = collect(request), collect(bordered)
    assert plain.near is None and samples.near is not None
    np.testing.assert_array_equal(plain.x, samples.x)
    left_out = train(bordered)["split"]
    split = deal_blocks(samples.y - 1, samples.block, 0, 100)
    part = np.zeros((34, 34), int)
    part[samples.row + 2, samples.col + 2] = 1 + np.select(list(split.parts.values()), [0, 1, 2])
    around = [part[r : r + 5, c : c + 5] for r, c in zip(samples.row, samples.col, strict=True)]
    torn = sum(bool(((a != 0) & (a != a[2, 2])).any()) for a in around)
    assert left_out["reaching_into_another_part"] == torn > 50
    assert sum(left_out[name]["samples"] for name in split.parts) == len(samples.y) - torn


def other(season: Season, own: Season, records: Any = None, uri: str = "") -> Season:
    return other_season(1, uri or season.cube_uri, season.records if records is None else records, season.labels,
                        own.layout, RECIPE)  # fmt: skip


def test_a_cube_that_cannot_be_learnt_from_is_refused(tmp_path: Path) -> None:
    request = with_second_season(tmp_path)
    own, season = request.own, request.seasons[0]
    assert opened(Objects(season.cube_uri)) == season.layout == other(season, own).layout
    with pytest.raises(InputError, match=r"no cube is there.*tilth cube"):
        other(season, own, uri=str(tmp_path / "gone.zarr"))
    with pytest.raises(InputError, match=r"not one tile written"):
        other(season, own, {})
    tile = next(iter(season.records))
    begun = {**season.records, tile: Record(tile, 2, "k", "pending")}
    with pytest.raises(InputError, match=rf"1 tiles pending, such as {tile}.*finish it"):
        other(season, own, begun)
    set_aside = {**season.records, tile: Record(tile, 2, "k", "quarantined")}
    assert len(other(season, own, set_aside).tiles) == len(season.tiles) - 1
    cubes = {
        "steps": (GRID, dict.fromkeys(("radar", "optical"), made_axis(SEASON - 1)), rf"{SEASON - 1} steps"),
        "layer": (GRID, {"radar": made_axis(SEASON)}, r"has radar, and no optical"),
        "pixel": (made_grid(30, 30, 20, resolution=20.0), dict.fromkeys(("radar", "optical"), made_axis(SEASON)),
                  r"resolution 20.0, this job 10"),
    }  # fmt: skip
    for name, (grid, axes, words) in cubes.items():
        uri = str(tmp_path / f"{name}.zarr")
        prepare(Objects(uri), grid, axes)
        with pytest.raises(InputError, match=words) as told:
            other(season, own, uri=uri)
        assert uri in str(told.value)


def test_a_leap_year_s_day_more_in_the_last_step_is_no_matter_but_another_first_day_is(tmp_path: Path) -> None:
    request = with_second_season(tmp_path)
    season, layouts = request.seasons[0], {}
    for name, start, end in (("2023", "2023-01-01", "2023-12-01"), ("2024", "2024-01-01", "2024-12-01"),
                             ("late", "2023-01-06", "2023-12-06")):  # fmt: skip
        axis = regular_axis(SeasonOptions.model_validate({"start": start, "end": end}))
        cube = Objects(str(tmp_path / f"{name}.zarr"))
        layouts[name] = prepare(cube, GRID, dict.fromkeys(("radar", "optical"), axis))
    own = replace(request.own, layout=layouts["2024"])
    assert other(season, own, uri=str(tmp_path / "2023.zarr")).name == "2023-01-01"
    with pytest.raises(
        InputError, match=r"334 days in 34 steps from 06 January on.*335 days in 34 steps from 01 January"
    ):
        other(season, own, uri=str(tmp_path / "late.zarr"))


@pytest.mark.parametrize(
    ("codes", "words"),
    [(np.zeros((30, 30)), "not one labelled pixel lies on a cube tile"), (np.full((30, 30), 9), r"codes \[9\]")],
)
def test_a_season_without_labels_is_refused_by_name_before_anything_is_trained(
    tmp_path: Path, codes: Any, words: str
) -> None:
    request = with_second_season(tmp_path)
    legend = tmp_path / "legend.csv"
    legend.write_text("code,name\n1,a\n2,b\n")
    path = str(write_raster(tmp_path / "codes.tif", codes.astype(np.uint8)))
    season = request.seasons[0]
    season = replace(season, labels=season.labels.model_copy(update={"uri": path}))
    labels = request.labels.model_copy(update={"legend": str(legend)})
    with pytest.raises(InputError, match=words) as told:
        train(replace(request, labels=labels, seasons=(season,)))
    assert season.name in str(told.value) and path in str(told.value)
    assert not Path(request.model_uri).exists()


def test_an_adversarial_training_is_for_agrispec() -> None:
    with pytest.raises(ValidationError, match="adversarial with family tempcnn"):
        TrainOptions.model_validate({"adversarial": {}})
