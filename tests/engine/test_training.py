"""Training by blocks: repeatable, honest about what it left out, and good on what can be learnt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.accuracy import score
from engine.errors import InputError
from engine.models import open_model
from engine.training import TrainOptions, fit, training_key
from engine.training.blocks import deal_blocks
from engine.training.calibrate import fit_temperature
from engine.training.legend import class_entries
from tests.engine.made_models import MADE_CLASSES, MADE_RECIPE, made_samples

QUICK = TrainOptions(epochs=4, trees=20, block_m=500)
FOREST = QUICK.model_copy(update={"family": "forest"})


@pytest.mark.parametrize("options", [QUICK, FOREST], ids=["tempcnn", "forest"])
def test_two_fits_of_equal_arguments_give_equal_bytes_and_learn(options: TrainOptions) -> None:
    first = fit(made_samples(), MADE_RECIPE, MADE_CLASSES, options)
    state = torch.random.get_rng_state(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.manual_seed(99)
    second = fit(made_samples(), MADE_RECIPE, MADE_CLASSES, options)
    assert first.weights == second.weights
    assert first.card == second.card
    assert first.report == second.report
    assert state[1:] == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    assert first.report["accuracy"]["kappa"] > 0.8
    assert [row["name"] for row in first.report["accuracy"]["classes"]] == ["early", "middle", "late"]


@pytest.mark.parametrize("options", [QUICK, FOREST], ids=["tempcnn", "forest"])
def test_the_reported_accuracy_is_that_of_the_written_model_on_the_held_out_blocks(options: TrainOptions) -> None:
    samples = made_samples()
    fitted = fit(samples, MADE_RECIPE, MADE_CLASSES, options)
    y = samples.y // 10 - 1
    test = deal_blocks(y, samples.block, options.seed, options.block_m).test
    mapped = open_model(fitted.card, fitted.weights).predict(samples.x[test]).argmax(axis=1)
    counts = np.array(fitted.report["accuracy"]["confusion_rows_map_columns_reference"])
    assert fitted.report["accuracy"]["samples"] == test.sum() == counts.sum()
    assert fitted.report["accuracy"]["overall_accuracy"] == pytest.approx((mapped == y[test]).mean(), abs=1e-5)
    assert fitted.report["accuracy"]["kappa"] == pytest.approx(score(counts).kappa, abs=1e-5)
    assert fitted.card.training["accuracy"]["kappa"] == fitted.report["accuracy"]["kappa"]


def test_progress_tells_every_epoch() -> None:
    seen: list[tuple[int, int, float, float]] = []
    fit(made_samples(), MADE_RECIPE, MADE_CLASSES, QUICK, lambda *told: seen.append(told))
    assert [row[:2] for row in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert seen[-1][2] < seen[0][2] and 0 <= seen[-1][3] <= 1


def test_training_stops_when_validation_no_longer_gains() -> None:
    options = QUICK.model_copy(update={"epochs": 30, "patience": 2})
    report = fit(made_samples(400, noise=0.02), MADE_RECIPE, MADE_CLASSES, options).report
    assert report["epochs"] < 30


def test_scaling_comes_from_the_training_blocks_alone() -> None:
    samples = made_samples()
    split = deal_blocks(samples.y // 10 - 1, samples.block, 0, 500)
    outside = ~split.train
    shifted = replace(samples, x=samples.x + 100 * outside[:, None, None].astype(np.float32))
    before = fit(samples, MADE_RECIPE, MADE_CLASSES, FOREST).card
    after = fit(shifted, MADE_RECIPE, MADE_CLASSES, FOREST).card
    assert (before.lower, before.upper, before.fill) == (after.lower, after.upper, after.fill)


def test_no_block_is_in_two_parts_and_every_class_is_in_each() -> None:
    samples = made_samples()
    y = samples.y // 10 - 1
    split = deal_blocks(y, samples.block, 7, 500)
    assert (sum(mask.astype(int) for mask in split.parts.values()) == 1).all()
    blocks = [set(samples.block[mask].tolist()) for mask in split.parts.values()]
    assert sum(map(len, blocks)) == len(set.union(*blocks)) == 15 == sum(split.blocks)
    assert all(set(y[mask]) == {0, 1, 2} for mask in split.parts.values())
    again = deal_blocks(y, samples.block, 7, 500)
    np.testing.assert_array_equal(split.test, again.test)


def test_a_class_of_one_block_is_left_out_and_one_of_two_is_trained_and_judged() -> None:
    samples = made_samples()
    common = np.minimum(samples.y, 20)
    for blocks, trained in (([3], [10, 20]), ([3, 4], [10, 20, 30])):
        y = np.where(np.isin(samples.block, blocks), 30, common).astype(np.int32)
        fitted = fit(replace(samples, y=y), MADE_RECIPE, MADE_CLASSES, FOREST)
        assert [entry.code for entry in fitted.card.classes] == trained
        reasons = {row["code"]: row["reason"] for row in fitted.report["left_out"]}
        assert (30 in reasons) == (len(blocks) == 1)
        assert fitted.report["split"]["train"]["lacks"] == fitted.report["split"]["test"]["lacks"] == []
    alone = np.where(samples.block == 3, 30, common).astype(np.int32)
    (told,) = fit(replace(samples, y=alone), MADE_RECIPE, MADE_CLASSES, FOREST).report["left_out"]
    assert "all in one block of 500 m, so it could be trained or judged, never both" in told["reason"]


def test_rare_and_unnamed_classes_are_left_out_and_said() -> None:
    samples = made_samples()
    y = samples.y.copy()
    y[:5], y[5:105] = 70, 80
    classes = {**MADE_CLASSES, 70: "saffron", 90: "vanilla"}
    fitted = fit(replace(samples, y=y), MADE_RECIPE, classes, FOREST, colours={10: "#ABCDEF"})
    assert [entry.code for entry in fitted.card.classes] == [10, 20, 30]
    assert fitted.card.classes[0].colour == "#abcdef"
    left_out = {row["code"]: row["reason"] for row in fitted.report["left_out"]}
    assert left_out == {
        70: "fewer than min_samples = 30 samples",
        80: "not in the legend",
        90: "fewer than min_samples = 30 samples",
    }


def test_the_cap_per_class_holds_for_training_alone() -> None:
    options = FOREST.model_copy(update={"max_samples_per_class": 50})
    split = fit(made_samples(), MADE_RECIPE, MADE_CLASSES, options).report["split"]
    assert split["train"]["samples"] == 150
    assert split["test"]["samples"] > 150


def test_a_feature_that_never_changes_is_scaled_without_dividing_by_zero() -> None:
    samples = made_samples()
    flat = samples.x.copy()
    flat[:, :, 1] = 0.25
    fitted = fit(replace(samples, x=flat), MADE_RECIPE, MADE_CLASSES, FOREST)
    assert fitted.card.upper[1] == fitted.card.lower[1] + 1


def test_what_cannot_be_trained_on_is_refused_with_a_remedy() -> None:
    samples = made_samples()
    with pytest.raises(InputError, match=r"4 spatial blocks.*block_m, now 500 m"):
        fit(replace(samples, block=samples.block % 4), MADE_RECIPE, MADE_CLASSES, FOREST)
    with pytest.raises(InputError, match=r"1 classes.*min_samples"):
        fit(samples, MADE_RECIPE, {10: "early"}, FOREST)
    with pytest.raises(InputError, match="13 steps and 2 features"):
        fit(samples, MADE_RECIPE.model_copy(update={"steps": 13}), MADE_CLASSES, FOREST)
    blind = samples.x.copy()
    blind[:, :, 0] = np.nan
    with pytest.raises(InputError, match=r"\['ndvi'\] without a single value"):
        fit(replace(samples, x=blind), MADE_RECIPE, MADE_CLASSES, FOREST)


def test_temperature_finds_back_what_logits_were_multiplied_by() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, (4000, 5)).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = (rng.random(4000)[:, None] > p.cumsum(axis=1)).sum(axis=1).clip(0, 4)
    assert fit_temperature(logits, y) == pytest.approx(1, abs=0.1)
    assert fit_temperature(3 * logits, y) == pytest.approx(3, abs=0.3)


def test_the_training_key_changes_with_data_options_recipe_and_legend() -> None:
    samples = made_samples(60)
    changed = replace(samples, x=samples.x + np.float32(1))
    keys = {
        training_key(samples, MADE_RECIPE, MADE_CLASSES, QUICK),
        training_key(changed, MADE_RECIPE, MADE_CLASSES, QUICK),
        training_key(samples, MADE_RECIPE, MADE_CLASSES, FOREST),
        training_key(samples, MADE_RECIPE.model_copy(update={"hold_ends": False}), MADE_CLASSES, QUICK),
        training_key(samples, MADE_RECIPE, {**MADE_CLASSES, 10: "first"}, QUICK),
        training_key(samples, MADE_RECIPE, MADE_CLASSES, QUICK, {10: "#000000"}),
    }
    assert len(keys) == 6


def test_made_colours_differ() -> None:
    entries = class_entries(range(40), {code: f"crop {code}" for code in range(40)})
    assert len({entry.colour for entry in entries}) == 40
