"""Fields of a label raster are not split between training and test, or it is told that they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from engine.models import read_card
from engine.samples import LabelOptions, Labels, OtherSeason, pieces
from engine.samples.pieces import label
from engine.seasons import other_season
from engine.survey import survey
from engine.train import collect, train
from engine.training import TrainOptions
from engine.training.prepare import deal
from engine.types import Grid, Window
from jobs.notes import said_of_training
from tests.engine import test_clec
from tests.engine.made_scenes import CRS, LEFT, TOP, made_grid, write_raster

SIDE = 96
EIGHT = np.ones((3, 3), int)


def made_fields(seed: int, side: int = SIDE) -> NDArray[np.uint16]:
    """Fields of some pixels a side, a way between them; a tenth has no label, codes 1 to 4."""
    rng = np.random.default_rng(seed)
    codes = np.zeros((side, side), np.uint16)
    edges = [np.cumsum([0, *rng.integers(4, 12, side // 4)]) for _ in range(2)]
    for y0, y1 in zip(edges[0], edges[0][1:], strict=False):
        for x0, x1 in zip(edges[1], edges[1][1:], strict=False):
            codes[y0 : max(y0, y1 - 1), x0 : max(x0, x1 - 1)] = rng.choice(5, p=[0.1, 0.3, 0.2, 0.2, 0.2])
    return codes


def read_all(path: Path, grid: Grid, block_m: float = 100.0, window: Window | None = None, **options: Any) -> Any:
    held = Labels(LabelOptions(uri=str(path), **options), grid, block_m)
    return held, *held.read(window or Window(0, grid.height, 0, grid.width))


def slow_pieces(codes: NDArray[np.integer]) -> list[NDArray[np.bool_]]:
    """Masks of the connected pieces of one code, one code after the other."""
    found = []
    for code in np.unique(codes[codes != 0]):
        labelled, many = ndimage.label(codes == code, EIGHT)
        found += [labelled == i for i in range(1, many + 1)]
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (23, 31)])
def test_pieces_are_those_that_a_slow_search_finds(seed: int, shape: tuple[int, int]) -> None:
    codes = np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint16)
    found, expected = label(codes), slow_pieces(codes)
    assert (found == 0).sum() == (codes == 0).sum() and found.max(initial=0) == len(expected)
    for mask in expected:
        assert len(np.unique(found[mask])) == 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("chunk", [8, 25, 1024])
def test_every_field_lies_in_one_block_wherever_it_is_read(
    seed: int, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, grid = made_fields(seed), made_grid(SIDE, SIDE, 16)
    path = write_raster(tmp_path / "labels.tif", codes)
    _, _, whole = read_all(path, grid)
    monkeypatch.setattr(pieces, "CHUNK", chunk)
    held, read, block = read_all(path, grid)
    np.testing.assert_array_equal(read, codes)
    np.testing.assert_array_equal(block, whole, "squares do not show")
    by_place = Labels(LabelOptions(uri=str(path)), grid, 100.0, several=True).read(Window(0, SIDE, 0, SIDE))[1]
    torn = 0
    for mask in slow_pieces(codes):
        assert len(np.unique(block[mask])) == 1
        torn += len(np.unique(by_place[mask])) > 1
        y, x = (int(np.floor(axis.mean())) for axis in mask.nonzero())
        assert block[mask][0] == by_place[y, x], "that of its centre of gravity"
    assert torn > 10, "else this test would say nothing"
    np.testing.assert_array_equal(block[codes == 0], by_place[codes == 0])
    for window in (Window(3, 40, 11, 90), Window(-5, 20, -9, 13), Window(90, 110, 80, 120)):
        inside = window.shared(Window(0, SIDE, 0, SIDE))
        part = held.read(window)[1][inside.within(window)]
        np.testing.assert_array_equal(part, block[inside.y0 : inside.y1, inside.x0 : inside.x1])
    assert held.fields.cut_share == 0 and held.fields.told(100)["optimistic"] == []


def test_a_thin_slanting_field_is_one_and_a_spiral_across_squares_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "CHUNK", 7)
    codes = np.zeros((60, 60), np.uint8)
    codes[np.arange(60), np.arange(60)] = 1  # touches at corners alone
    codes[2:58:4, 30] = 2  # 14 pieces of one pixel
    spiral = [(y, x) for ring in range(0, 12, 4) for y, x in _ring(ring, 24 - ring)]
    for y, x in spiral:
        codes[34 + y, x] = 3
    for code, row, col in ((1, 3, 50), (1, 20, 50), (3, 3, 55), (3, 12, 40)):
        codes[row, col] = code  # each code has pieces in three blocks
    codes[40:, 40:] = np.where(codes[40:, 40:] == 0, 9, codes[40:, 40:])  # a background, cut
    held, _, block = read_all(write_raster(tmp_path / "labels.tif", codes), made_grid(60, 60, 16))
    for code in (1, 3):
        for mask in slow_pieces(np.where(codes == code, codes, 0)):
            assert len(np.unique(block[mask])) == 1 or mask.sum() > 0.1 * (codes != 0).sum()
    assert held.fields.count == len(slow_pieces(codes))


def test_a_code_whose_pieces_would_lie_in_too_few_blocks_is_cut_where_they_are_longer_than_a_block(
    tmp_path: Path,
) -> None:
    codes = np.zeros((120, 120), np.uint8)
    codes[::2, 60:] = 9  # fields enough that no forest is a tenth of all
    codes[5:20, 5:30] = 7  # the only forest: 250 m
    codes[40:44, 5:9] = 5  # the only pond: 40 m
    for row in (60, 80, 100):
        codes[row : row + 15, 5:30] = 8  # three heaths of 250 m
    held, _, block = read_all(write_raster(tmp_path / "labels.tif", codes), made_grid(120, 120, 16))
    assert len(np.unique(block[codes == 7])) > 1, "the forest is learnt and judged"
    assert len(np.unique(block[codes == 5])) == 1, "the pond fits into a block"
    assert all(len(np.unique(block[mask])) == 1 for mask in slow_pieces(np.where(codes == 8, codes, 0)))
    assert held.fields.cut_share == pytest.approx((codes == 7).sum() / (codes != 0).sum())
    assert "all that there is of their code" in held.fields.told(100)["optimistic"][0]


def _ring(start: int, stop: int) -> list[tuple[int, int]]:
    """A square ring with a gap."""
    sides = range(start, stop)
    return [*((start, x) for x in sides), *((y, stop - 1) for y in sides), *((stop - 1, x) for x in sides)]


@pytest.mark.parametrize("seed", range(3))
def test_a_background_is_cut_along_blocks_and_told(seed: int, tmp_path: Path) -> None:
    codes = made_fields(seed)
    codes[codes == 0] = 77  # ways and all else: one piece from end to end
    held, _, block = read_all(write_raster(tmp_path / "labels.tif", codes), made_grid(SIDE, SIDE, 16))
    background = codes == 77
    assert len(np.unique(block[background])) > 50
    pieces_of = slow_pieces(np.where(background, 0, codes))
    assert all(len(np.unique(block[mask])) == 1 for mask in pieces_of)
    share = max(mask.sum() for mask in slow_pieces(np.where(background, codes, 0))) / (codes != 0).sum()
    assert held.fields.cut_share == pytest.approx(share)
    (told,) = held.fields.told(100)["optimistic"]
    assert f"{share:.0%} of the labelled ground" in told and "learnt from and tested on" in told


def test_a_raster_too_large_to_look_through_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, grid = write_raster(tmp_path / "labels.tif", made_fields(0)), made_grid(SIDE, SIDE, 16)
    for name, most in (("MOST_PX", 1000), ("MOST_PIECES", 3)):
        monkeypatch.setattr(pieces, name, most)
        held, codes, block = read_all(path, grid)
        by_place = Labels(LabelOptions(uri=str(path)), grid, 100.0, several=True).read(Window(0, SIDE, 0, SIDE))[1]
        np.testing.assert_array_equal(block, by_place)
        assert codes.any() and "fields are not kept whole" in held.fields.told(100)["optimistic"][0]
        monkeypatch.undo()


def test_blocks_smaller_than_fields_are_told_of_rasters_and_polygons_alike(tmp_path: Path) -> None:
    codes = np.zeros((60, 60), np.uint8)
    shapes, kinds = [], []
    for i in range(12):  # 12 fields of 150 x 100 m
        y, x = 12 * (i // 3), 20 * (i % 3)
        codes[y : y + 10, x : x + 15] = i % 2 + 1
        shapes.append(shapely.box(LEFT + 10 * x, TOP - 10 * (y + 10), LEFT + 10 * x + 150, TOP - 10 * y))
        kinds.append(i % 2 + 1)
    gpd.GeoDataFrame({"crop_code": kinds}, geometry=shapes, crs=CRS).to_parquet(tmp_path / "p.parquet")
    raster = write_raster(tmp_path / "labels.tif", codes)
    for path in (raster, tmp_path / "p.parquet"):
        held = Labels(LabelOptions(uri=str(path)), made_grid(60, 60, 16), 100.0)
        assert (held.fields.count, held.fields.median_m, held.fields.p90_m) == (12, 150.0, 150.0)
        (told,) = held.fields.told(100.0)["notes"]
        assert "blocks of 100 m are smaller than fields" in told and "longer than 150 m" in told
        assert held.fields.told(150.0)["notes"] == []


def request_of(root: Path, codes: NDArray[np.integer], **labels: Any) -> Any:
    """A cube of 96 x 96 pixels with these labels."""
    grid = made_grid(SIDE, SIDE, 32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_clec, "GRID", grid)
        request = test_clec.request_for(root, test_clec.made_layers((SIDE, SIDE), 3))
    plan = replace(request.plan, area=shapely.box(*grid.bounds(Window(0, SIDE, 0, SIDE))))
    options = LabelOptions(uri=str(write_raster(root / "fields.tif", codes)), **labels)
    train = TrainOptions(family="forest", trees=5, block_m=100, min_samples=5)
    return replace(request, plan=plan, labels=options, options=train)


@pytest.mark.parametrize("border_m", [0.0, 20.0])
@pytest.mark.parametrize("seed", range(2))
def test_no_field_has_pixels_in_training_and_in_test(seed: int, border_m: float, tmp_path: Path) -> None:
    codes = made_fields(seed)
    request = request_of(tmp_path, codes, border_m=border_m)
    samples = collect(request)
    y = np.unique(samples.y, return_inverse=True)[1].astype(np.int64)
    _, rows, left = deal(samples, np.arange(len(y)), y, request.options)
    assert (left > 0) == (border_m > 0)
    part = np.zeros(codes.shape, int)
    for number, name in enumerate(("train", "validation", "test"), 1):
        part[samples.row[rows[name]], samples.col[rows[name]]] = number
    for mask in slow_pieces(codes):
        assert len(set(part[mask].tolist()) - {0}) <= 1
    assert set(np.unique(part)) == {0, 1, 2, 3}


def test_training_says_how_its_fields_were_kept(tmp_path: Path) -> None:
    whole = request_of(tmp_path / "whole", made_fields(1))
    report = train(whole)
    assert report["split"]["fields"]["optimistic"] == [] and report["split"]["fields"]["count"] > 30
    codes = made_fields(1)
    codes[codes == 0] = 7
    cut = request_of(tmp_path / "cut", codes)
    report = train(cut)
    (said,) = report["split"]["fields"]["optimistic"]
    assert f"figures are optimistic: {said}" in list(said_of_training(report))
    assert read_card(cut.model_uri).training["split"]["fields"]["optimistic"] == [said]
    assert json.loads(Path(cut.model_uri, "training.json").read_text())["split"]["fields"]["optimistic"] == [said]
    item = json.loads(Path(cut.model_uri, "model.json").read_text())
    assert item["properties"]["tilth:accuracy"]["optimistic"] == [said]
    assert f"labels: {said}" in survey(cut.labels, cut.options, cut.plan)


def test_rasters_of_several_seasons_keep_their_places_and_that_is_told(tmp_path: Path) -> None:
    first, second = (request_of(tmp_path / name, made_fields(i)) for i, name in enumerate("ab"))
    season = OtherSeason(cube=second.cube_uri, uri=str(second.labels.uri))
    options = first.labels.model_copy(update={"seasons": (season,)})
    other = other_season(1, season.cube, second.records, options.of(season), first.layout, test_clec.RECIPE)
    report = train(replace(first, labels=options, seasons=(other,)))
    told = report["split"]["fields"]
    assert len(told["seasons"]) == 2 and "several seasons share the ground" in told["optimistic"][0]
