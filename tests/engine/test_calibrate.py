"""A temperature is applied where it helps on blocks that it was not fitted on, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.accuracy import calibration_error
from engine.models.scaling import probabilities
from engine.training import TrainOptions, fit
from engine.training.calibrate import Calibration, at_an_end, calibrate, fit_temperature
from jobs.notes import said_of_training
from tests.engine.made_models import MADE_CLASSES, MADE_RECIPE, made_samples

SEEDS = range(5)
Made = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]


def made(seed: int, factor: float, blocks: int = 10, n: int = 4000) -> Made:
    """Logits that are ``factor`` times too sure, the classes drawn by them, and blocks of unlike sizes."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 4)).astype(np.float32)
    p = probabilities(logits, 1.0)
    y = (rng.random(n)[:, None] > p.cumsum(axis=1)).sum(axis=1).clip(0, 3)
    block = rng.choice(blocks, n, p=np.arange(1, blocks + 1) / np.arange(1, blocks + 1).sum())
    return (factor * logits).astype(np.float32), y.astype(np.int64), block.astype(np.int64) * 7 - 3


def errors(given: Made, temperature: float) -> tuple[float, float]:
    logits, y, _ = given
    p = probabilities(logits, temperature)
    return float(-np.log(p[np.arange(len(y)), y].astype(float)).mean()), calibration_error(p, y)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("factor", [0.4, 3.0])
def test_a_model_too_sure_or_not_sure_enough_is_calibrated(seed: int, factor: float) -> None:
    given = made(seed, factor)
    found = calibrate(*given)
    assert found.temperature == found.fitted == fit_temperature(*given[:2]) and not found.refused
    assert found.temperature == pytest.approx(factor, rel=0.15) and found.groups == 5
    assert found.log_loss[1] < found.log_loss[0] and found.error[1] < found.error[0]
    assert all(
        after < before for before, after in zip(errors(given, 1.0), errors(given, found.temperature), strict=True)
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_one_odd_block_does_not_make_the_others_less_sure(seed: int) -> None:
    """Nearly all is right and sure to be so; in one small block everything is wrong: the temperature that fits all is
    bad for the rest."""
    logits, _, block = made(seed, 3.0)
    y = logits.argmax(axis=1).astype(np.int64)
    noise = np.random.default_rng(seed).random(len(y)) < 0.02
    y[noise] = (y[noise] + 1) % 4
    odd = block == np.unique(block)[1]
    y[odd] = (y[odd] + 1) % 4
    found = calibrate(logits, y, block)
    assert found.fitted > 1.5
    own = calibrate(logits, y, np.zeros_like(block))
    worse = [after > before for before, after in (found.log_loss, found.error)]
    assert (found.temperature == 1.0) == any(worse) == bool(found.refused)
    assert own.groups == 1 and own.log_loss[1] <= own.log_loss[0], (
        "on its own samples a temperature loses no likelihood"
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_applied_never_harms_on_validation_whatever_its_blocks_are_like(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    applied = 0
    for _ in range(12):
        logits, y, block = made(int(rng.integers(1 << 30)), float(rng.uniform(0.5, 2)), blocks=3, n=300)
        logits = logits * np.exp(rng.normal(0, 1, 3))[np.unique(block, return_inverse=True)[1]][:, None]
        found = calibrate(logits.astype(np.float32), y, block)
        harms = found.log_loss[1] > found.log_loss[0] or found.error[1] > found.error[0]
        assert (found.temperature != 1.0) == (not harms and not at_an_end(found.fitted)), found
        applied += found.temperature != 1.0
    assert applied, "else this test would say nothing"


def test_a_temperature_at_the_end_of_its_range_is_not_applied() -> None:
    logits, y, block = made(1, 1.0)
    right = logits.argmax(axis=1).astype(np.int64)
    for answers, end in ((right, 0.05), (np.random.default_rng(0).integers(0, 4, len(y)), 20.0)):
        found = calibrate(logits, answers, block)
        assert found.temperature == 1.0 and "at the end" in found.refused
        assert found.fitted == pytest.approx(end, rel=0.01)


def test_groups_are_whole_blocks_and_the_judgement_does_not_hang_on_the_order_of_samples() -> None:
    logits, y, block = made(3, 2.0)
    order = np.random.default_rng(0).permutation(len(y))
    one, other = calibrate(logits, y, block), calibrate(logits[order], y[order], block[order])
    assert one.groups == other.groups == 5
    for name in ("log_loss", "error"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=2e-3)
    assert [calibrate(logits, y, block % n).groups for n in (1, 2, 3)] == [1, 2, 3]


@pytest.mark.parametrize("blind", [False, True])
def test_a_training_tells_whether_it_was_calibrated(blind: bool) -> None:
    """With labels that nothing in the series tells apart, no temperature can be right."""
    samples = made_samples()
    if blind:
        samples = replace(samples, y=np.random.default_rng(5).permutation(samples.y))
    fitted = fit(samples, MADE_RECIPE, MADE_CLASSES, TrainOptions(family="forest", trees=20, block_m=500))
    told = fitted.report["accuracy"]["calibration"]
    assert told["temperature"] == fitted.card.temperature == fitted.card.training["calibration"]["temperature"]
    assert told["applied"] == (fitted.card.temperature != 1.0)
    said = [line for line in said_of_training(fitted.report) if "own confidence" in line]
    assert bool(said) == (not told["applied"])
    assert all(told["refused"] in line for line in said)


def test_a_calibration_is_told_as_json() -> None:
    found = Calibration(1.0, 20.0, 3, (0.5, 0.6), (0.1, 0.2), "why")
    assert found.told()["uncalibrated"] == {"log_loss": 0.5, "expected_calibration_error": 0.1}
    assert found.told()["fitted_on_other_blocks"] == {"log_loss": 0.6, "expected_calibration_error": 0.2}
    assert found.told()["refused"] == "why" and not found.told()["applied"]
