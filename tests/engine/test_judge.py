"""A model judged by pixels it never saw: the same facts for a network and a forest, and slopes that are slopes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from engine.errors import InputError
from engine.judge import Judges, judge, judge_against
from engine.models import Classifier, normalise, open_model
from engine.models.series import Shape, build, open_network, to_bytes
from engine.samples import chosen
from engine.training import TrainOptions, fit
from engine.training.blocks import deal_blocks
from tests.engine.made_models import MADE_CLASSES, MADE_RECIPE, made_card, made_pixels, made_samples, made_tempcnn

OPTIONS = TrainOptions(epochs=4, trees=20, block_m=500)


@pytest.mark.parametrize("family", ["tempcnn", "forest"])
def test_what_is_judged_on_the_test_blocks_is_what_the_training_reported(family: str) -> None:
    samples, options = made_samples(), OPTIONS.model_copy(update={"family": family})
    fitted = fit(samples, MADE_RECIPE, MADE_CLASSES, options)
    y = (samples.y // 10 - 1).astype(np.int64)
    test = deal_blocks(y, samples.block, options.seed, options.block_m).test
    mine = chosen(samples, test)
    found = judge(open_model(fitted.card, fitted.weights), Judges(mine, y[test], True, ()))
    reported, accuracy = fitted.report["accuracy"], found["accuracy"]
    key = "confusion_rows_map_columns_reference"
    assert accuracy[key] == reported[key]
    for mine_name, theirs in (("overall", "overall_accuracy"), ("kappa", "kappa"), ("macro_f1", "macro_f1")):
        assert accuracy[mine_name]["value"] == pytest.approx(reported[theirs], abs=2e-6)
        assert accuracy[mine_name]["low"] <= accuracy[mine_name]["value"] <= accuracy[mine_name]["high"]
    calibration = found["calibration"]
    assert calibration["expected_calibration_error"] == pytest.approx(reported["expected_calibration_error"], abs=2e-6)
    assert sum(map(sum, found["scores"]["right"])) == sum(accuracy[key][i][i] for i in range(3))
    assert np.shape(found["profiles"]["median"]) == (3, 2, 12) and found["profiles"]["features"] == ["ndvi", "vv"]
    assert found["profiles"]["units"] == ["index", "linear power"]
    shape = (12, 2) if family == "tempcnn" else (2,)
    assert np.shape(found["attention"]["values"]) == shape
    assert any("agreement with the labels" in note for note in found["notes"])
    json.dumps(found, allow_nan=False)


def test_two_models_of_the_same_blocks_are_compared_and_others_are_refused() -> None:
    samples, y = made_samples(), (made_samples().y // 10 - 1).astype(np.int64)
    test = deal_blocks(y, samples.block, 0, 500).test
    by = Judges(chosen(samples, test), y[test], True, ())

    def model(**changes: object) -> Classifier:
        fitted = fit(samples, MADE_RECIPE, MADE_CLASSES, OPTIONS.model_copy(update={"family": "forest", **changes}))
        return open_model(fitted.card, fitted.weights)

    large, small = model(trees=40), model(trees=1)
    found = judge_against(large, small, by)["macro_f1"]
    assert 0 < found["low"] <= found["difference"] <= found["high"]
    back = judge_against(small, large, by)["macro_f1"]
    assert back["difference"] == -found["difference"] and back["high"] == pytest.approx(-found["low"])
    with pytest.raises(InputError, match="its split into blocks"):
        judge_against(large, model(seed=9), by)


def test_the_sensitivity_of_a_network_over_squares_is_told_pixel_by_pixel() -> None:
    weights = to_bytes(build("convstar", Shape(4, 2, 3, patch=5)))
    card = made_card(weights, 4, 2, 3).model_copy(update={"family": "convstar", "mode": "patch", "halo": 2})
    network, step = open_network(card, weights), 1e-2
    x = np.random.default_rng(3).random((6, 4, 2, 5, 5), dtype=np.float32)
    slopes, plain = network.sensitivity(x), network.logits(x)
    assert slopes.shape == (4, 2, 5, 5)
    for pixel in ((2, 2), (0, 0)):
        moved = x.copy()
        moved[:, 1, 0, *pixel] += step
        rise = (network.logits(moved) - plain)[np.arange(6), plain.argmax(axis=1)]
        np.testing.assert_allclose(slopes[1, 0, *pixel], np.abs(rise / step).mean(), rtol=0.1, atol=1e-4)


def test_the_sensitivity_of_a_network_is_the_slope_of_its_winning_logit() -> None:
    model, step = made_tempcnn(8, 3, 4), 1e-3
    x = normalise(made_pixels(16, 8, 3), model.card)
    winner = model.logits(x).argmax(axis=1)
    slopes = np.zeros((8, 3))
    for t in range(8):
        for f in range(3):
            up, down = x.copy(), x.copy()
            up[:, t, f], down[:, t, f] = x[:, t, f] + step, x[:, t, f] - step
            rise = (model.logits(up) - model.logits(down))[np.arange(16), winner]
            slopes[t, f] = np.abs(rise / (2 * step)).mean()
    np.testing.assert_allclose(model.sensitivity(x), slopes, rtol=0.05)
