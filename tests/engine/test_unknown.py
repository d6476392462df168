"""Labels of classes that a model does not know are errors, in the same proportion as the land has them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.accuracy import confusion, score
from engine.judge import Judges, judge, judge_against, judges, on_the_map
from engine.models import open_model, read_card
from engine.models.item import item_bytes
from engine.models.whose import accuracy_of
from engine.samples import LabelOptions, chosen
from engine.train import train
from engine.training import TrainOptions, fit
from engine.training.blocks import NONE, TEST, TRAIN, deal_blocks
from engine.training.unknown import MOST_NAMED, judged_with_test, numbered
from engine.types import ORIGIN, Samples
from jobs.notes import said_of_training
from tests.engine.made_models import DOMAIN, MADE_CLASSES, MADE_RECIPE, made_samples
from tests.engine.made_scenes import write_raster
from tests.engine.test_clec import made_layers, request_for

FOREST = TrainOptions(family="forest", trees=20, block_m=500)


def with_strangers(samples: Samples, share: float, code: int = 999) -> Samples:
    """The samples with so large a share of them called another code."""
    other = np.random.default_rng(5).random(len(samples.y)) < share
    return replace(samples, y=np.where(other, code, samples.y).astype(np.int32))


def test_half_of_the_land_unknown_halves_the_accuracy_in_training_and_in_judging() -> None:
    samples = with_strangers(made_samples(2400), 0.5)
    fitted = fit(samples, MADE_RECIPE, MADE_CLASSES, FOREST)
    every = fitted.report["accuracy"]
    accuracy = every["of_known_classes"]
    assert every["samples"] == accuracy["samples"] + every["unknown_samples"]
    assert every["unknown_share"] == pytest.approx(0.5, abs=0.06)
    assert every["overall_accuracy"] * every["samples"] == pytest.approx(
        accuracy["overall_accuracy"] * accuracy["samples"], abs=0.01
    )
    assert every["kappa"] < accuracy["kappa"] and every["macro_f1"] < accuracy["macro_f1"]
    assert sum(every["unknown_classes"][0]["called"].values()) == every["unknown_samples"]
    assert np.array(every["confusion_rows_map_columns_reference"]).sum() == every["samples"]
    kept, names = fitted.card.training["accuracy"], ("samples", "overall_accuracy", "kappa", "macro_f1")
    for name in (*names, "unknown_share", "expected_calibration_error"):
        assert kept[name] == every[name]
    assert {name: kept["of_known_classes"][name] for name in names} == {name: accuracy[name] for name in names}
    said = accuracy_of(fitted.card, DOMAIN)
    assert said["kappa"] == every["kappa"] and said["of_known_classes"]["kappa"] == accuracy["kappa"]
    first, second = said["said"].split("of classes that the model does not know; ")
    assert f"kappa {every['kappa']:.3f}" in first and f"kappa {accuracy['kappa']:.3f}" in second
    assert f"of those it knows on {every['samples']:,} samples of" in second
    item = json.loads(item_bytes(fitted.card, DOMAIN))["properties"]
    assert item["tilth:accuracy"]["kappa"] == item["tilth:card"]["training"]["accuracy"]["kappa"] == every["kappa"]
    told = " ".join(said_of_training(fitted.report | {"left_out": fitted.report["left_out"]}))
    assert "of the labelled land in test blocks is of classes left out" in told
    assert f"{every['overall_accuracy']:.3f}" in told and "not in the legend" in told

    known, model = samples.y != 999, open_model(fitted.card, fitted.weights)
    y = np.where(known, samples.y // 10 - 1, 3).astype(np.int64)
    used = np.flatnonzero(known)
    split = deal_blocks(y[used], samples.block[used], 0, 500)
    rows = np.isin(samples.block, split.places[split.of_place == TEST])
    by = Judges(chosen(samples, rows), y[rows], True, numbered(samples.y[~known], 3, {})[1])
    found = judge(model, by)
    for name, theirs in (("overall", "overall_accuracy"), ("kappa", "kappa"), ("macro_f1", "macro_f1")):
        assert found["accuracy"][name]["value"] == pytest.approx(every[theirs], abs=2e-6)
        assert found["of_known_classes"][name]["value"] == pytest.approx(accuracy[theirs], abs=2e-6)
    mapped = model.predict(samples.x[rows]).argmax(axis=1)
    slow = score(confusion(mapped, y[rows], 4))
    for k, row in enumerate(found["accuracy"]["classes"][:3]):
        assert row["users_accuracy"]["value"] == pytest.approx(slow.users[k], abs=1e-6)
        assert row["users_accuracy"]["low"] < row["users_accuracy"]["value"] < 0.75
        assert every["classes"][k]["users_accuracy"] == pytest.approx(slow.users[k], abs=1e-6)
    stranger = found["accuracy"]["classes"][3]
    assert (stranger["code"], stranger["known_to_the_model"], stranger["f1"]["value"]) == (999, False, 0)
    error = found["calibration"]["expected_calibration_error"]
    assert error > 0.3 and error == pytest.approx(every["expected_calibration_error"], abs=2e-6)
    assert found["calibration"]["of_known_classes"]["expected_calibration_error"] < 0.2
    assert found["calibration"]["mean_confidence"]["unknown_classes"] > 0.4
    assert any("999" in note and "count as errors" in note for note in found["notes"])
    none = judge_against(model, model, by)
    assert none["overall"]["difference"] == none["of_known_classes"]["overall"]["difference"] == 0
    assert none["overall"]["other"] == found["accuracy"]["overall"]["value"]


def test_without_strangers_both_lines_say_the_same() -> None:
    fitted = fit(made_samples(), MADE_RECIPE, MADE_CLASSES, FOREST)
    accuracy = fitted.report["accuracy"]
    for name in ("samples", "overall_accuracy", "kappa", "macro_f1"):
        assert accuracy[name] == accuracy["of_known_classes"][name]
    assert accuracy["classes"] == accuracy["of_known_classes"]["classes"] and accuracy["unknown_share"] == 0
    assert "of those it knows" not in accuracy_of(fitted.card, DOMAIN)["said"]
    assert not [line for line in said_of_training(fitted.report) if "left out" in line]


@pytest.mark.parametrize("why", ["few", "block"])
def test_classes_that_training_left_out_count_as_errors_whatever_the_reason(why: str) -> None:
    samples, options = made_samples(2400), FOREST
    y, names = samples.y.copy(), {**MADE_CLASSES, 40: "rare"}
    if why == "few":
        y[::30] = 40
        options = options.model_copy(update={"min_samples": 100})
    else:
        y[samples.block == 3] = 40
    report = fit(replace(samples, y=y), MADE_RECIPE, names, options).report
    assert [row["code"] for row in report["left_out"]] == [40]
    every = report["accuracy"]
    share = (y == 40).mean()
    assert every["unknown_share"] == pytest.approx(share, abs=0.03) and every["unknown_classes"][0]["name"] == "rare"


def made_split() -> tuple[Samples, np.ndarray]:
    """Known samples in ten blocks, strangers in these and in ten more; and the rows of strangers."""
    rng = np.random.default_rng(2)
    y = np.concatenate([rng.integers(0, 2, 1000), np.full(1000, 9)]).astype(np.int32)
    block = np.concatenate([rng.integers(1, 11, 1000), rng.integers(1, 21, 1000)])
    at = np.arange(2000, dtype=np.int32)
    return Samples(np.zeros((2000, 1, 1), np.float32), y, block, at, at), np.flatnonzero(y == 9)


def test_strangers_are_judged_in_the_blocks_of_the_test_part_and_in_its_share_of_blocks_of_their_own() -> None:
    samples, others = made_split()
    split = deal_blocks(samples.y[:1000], samples.block[:1000], 0, 100)
    rows = judged_with_test(samples, others, split, 0, drawn=int(split.test.sum()))
    test = set(split.places[split.of_place == TEST].tolist())
    mine = np.isin(samples.block[others], list(test))
    own = samples.block[others] > 10
    assert set(others[mine]) == set(rows[samples.block[rows] <= 10])
    assert (samples.block[rows] > 10).sum() == round(own.sum() * split.blocks[2] / 10)
    assert np.array_equal(rows, judged_with_test(samples, others, split, 0, drawn=int(split.test.sum())))
    thinned = judged_with_test(samples, others, split, 0, drawn=split.test.sum() // 4)
    assert len(thinned) == pytest.approx(len(rows) / 4, abs=1)


def test_strangers_near_labels_of_another_part_are_not_judged_nor_those_off_a_held_season() -> None:
    samples, others = made_split()
    split = deal_blocks(samples.y[:1000], samples.block[:1000], 0, 100)
    learnt = int(split.places[split.of_place == TRAIN][0])
    near = samples.block[:, None].copy()
    near[1500:] = learnt
    rows = judged_with_test(replace(samples, near=near), others, split, 0, drawn=int(split.test.sum()))
    assert len(rows) and (rows < 1500).all()

    origin = np.zeros(2000, ORIGIN)
    origin["by_season"] = np.where(np.arange(2000) % 4 == 0, TEST, 0)
    split = deal_blocks(samples.y[:1000], samples.block[:1000], 0, 100, origin[:1000])
    rows = judged_with_test(replace(samples, origin=origin), others, split, 0, drawn=int(split.test.sum()))
    assert np.array_equal(rows, others[others % 4 == 0])
    assert NONE < TRAIN


def test_many_codes_share_one_column_and_none_is_lost() -> None:
    codes = np.repeat(np.arange(1000, 1000 + MOST_NAMED + 5), np.arange(MOST_NAMED + 5, 0, -1))
    y, rows = numbered(codes, 4, {1000: "barley"})
    assert len(rows) == MOST_NAMED + 1 and sum(row.samples for row in rows) == len(codes)
    assert (rows[0].code, rows[0].name, rows[-1].code, rows[-1].name) == (1000, "barley", None, "5 other codes")
    assert np.bincount(y, minlength=4)[4:].tolist() == [row.samples for row in rows]


def test_the_map_s_own_judges_hold_strangers_and_what_the_map_leaves_without_data_is_counted(tmp_path: Path) -> None:
    request = request_for(tmp_path, made_layers((30, 30)))
    with_codes = np.where(np.indices((30, 30))[1] % 5 == 0, 77, np.indices((30, 30))[0] // 3 % 2 + 1).astype(np.uint8)
    legend = tmp_path / "legend.csv"
    legend.write_text("code,name\n1,a\n2,b\n77,set aside\n")
    labels = LabelOptions(uri=str(write_raster(tmp_path / "l.tif", with_codes)), legend=str(legend), ignore=(0,))
    options = TrainOptions.model_validate({"family": "forest", "trees": 5, "block_m": 50, "min_samples": 200})
    request = replace(request, labels=labels, options=options)
    report = train(request)
    assert [row["code"] for row in report["left_out"]] == [77]
    card = read_card(request.model_uri)
    by = judges(request, card, foreign=False)
    every = report["accuracy"]
    assert by.held_out and len(by.y) == every["samples"] and (by.y == 2).sum() == every["unknown_samples"] > 0
    assert by.unknown[0].name == "set aside"

    tiles = request.plan.tiles
    places = {tile.id: write_map(tmp_path, tile.id, tile.core.shape) for tile in tiles[1:]}
    left, cover = on_the_map(request, by, places)
    gone = np.zeros((30, 30), np.bool_)
    for i, tile in enumerate(tiles):
        y0, y1, x0, x1 = tile.core
        gone[y0:y1, x0:x1] |= np.indices(tile.core.shape)[0] < (2 if i else 99)
    assert (cover.labelled, cover.without_data) == (900, int(gone.sum()))
    assert len(left.y) == (~gone[by.samples.row, by.samples.col]).sum() < len(by.y)

    ignoring = replace(request, labels=labels.model_copy(update={"ignore": (0, 77)}))
    assert judges(ignoring, card, foreign=True).unknown == (), "what is ignored is no label"


def write_map(folder: Path, tile: str, shape: tuple[int, int]) -> str:
    """A tile's class raster without data in its first two rows."""
    values = np.zeros(shape, np.uint8)
    values[:2] = 255
    return str(write_raster(folder / f"{tile}.tif", values, nodata=255))
