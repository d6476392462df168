"""The support vector machine: scikit-learn's decisions from plain arrays, row by row."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from safetensors.numpy import load, save
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from engine.errors import InputError
from engine.models import Card, open_model
from engine.models.svm import BLOCK, SupportVectors, standardised
from engine.training import TrainOptions, fit
from tests.engine.made_models import MADE_CLASSES, MADE_RECIPE, made_card, made_pixels, made_samples, made_svm

OPTIONS = TrainOptions(family="svm", block_m=500)


def loaded(weights: bytes, classes: int = 4) -> SupportVectors:
    """The made machine, opened."""
    return SupportVectors(made_card(weights, 5, 3, classes, "svm"), weights)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_decisions_are_those_of_scikit_learn(classes: int) -> None:
    trained, part = made_svm(classes=classes)
    arrays = load(trained.weights)
    rows = standardised(part.x, arrays["mean"], arrays["scale"])
    twin = SVC(C=3, gamma="scale", decision_function_shape="ovo").fit(rows, part.y)
    fresh = np.random.default_rng(1).random((40, 5, 3), dtype=np.float32)
    expected = twin.decision_function(standardised(fresh, arrays["mean"], arrays["scale"]))
    if classes == 2:  # there scikit-learn counts above 0 for the second class
        expected = -expected[:, None]
    np.testing.assert_allclose(loaded(trained.weights, classes).decisions(fresh), expected, atol=1e-6)


def test_scikit_learns_one_against_the_rest_follows_from_the_decisions() -> None:
    trained, part = made_svm()
    arrays = load(trained.weights)
    rows = standardised(part.x, arrays["mean"], arrays["scale"])
    expected = SVC(C=3, gamma="scale").fit(rows, part.y).decision_function(rows)
    pairs = loaded(trained.weights).decisions(part.x)
    votes, sums = np.zeros((300, 4)), np.zeros((300, 4))
    for column, (i, j) in enumerate(combinations(range(4), 2)):
        won = pairs[:, column] > 0
        votes[:, i] += won
        votes[:, j] += ~won
        sums[:, i] += pairs[:, column]
        sums[:, j] -= pairs[:, column]
    np.testing.assert_allclose(votes + sums / (3 * (np.abs(sums) + 1)), expected, atol=1e-6)


def test_logits_are_the_chances_to_win_every_pair() -> None:
    trained, part = made_svm(classes=3)
    machine = loaded(trained.weights, 3)
    d01, d02, d12 = machine.decisions(part.x).T

    def log_sigmoid(z: np.ndarray) -> np.ndarray:
        return -np.log1p(np.exp(-2 * z))

    expected = [log_sigmoid(d01) + log_sigmoid(d02), log_sigmoid(-d01) + log_sigmoid(d12)]
    expected.append(log_sigmoid(-d02) + log_sigmoid(-d12))
    np.testing.assert_allclose(machine.logits(part.x), np.stack(expected, axis=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_gives_the_same_bits_in_any_company(threads: int) -> None:
    machine, x = loaded(made_svm()[0].weights), made_pixels(3 * BLOCK + 5, 5, 3)
    with threadpool_limits(threads):
        expected = machine.predict(x)
        order = np.random.default_rng(2).permutation(len(x))
        np.testing.assert_array_equal(machine.predict(x[order]), expected[order])
        for count in (1, 7, BLOCK, BLOCK + 1):
            np.testing.assert_array_equal(machine.predict(x[:count]), expected[:count])
    assert machine.predict(x[:0]).shape == (0, 4)


def test_an_svm_is_trained_calibrated_and_opened_like_any_other() -> None:
    first, second = (fit(made_samples(), MADE_RECIPE, MADE_CLASSES, OPTIONS) for _ in range(2))
    assert first.weights == second.weights and first.card == second.card
    assert first.card.weights == "model.safetensors" and first.card.parameters > 1000
    assert first.report["accuracy"]["kappa"] > 0.8
    p = open_model(first.card, first.weights).predict(made_samples().x)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)


def test_an_svm_takes_no_more_samples_of_a_class_than_it_can() -> None:
    options = OPTIONS.model_copy(update={"svm_samples_per_class": 40})
    report = fit(made_samples(), MADE_RECIPE, MADE_CLASSES, options).report
    assert report["split"]["train"]["samples"] == report["of"] == 120
    assert TrainOptions(family="svm", max_samples_per_class=30).per_class == 30
    assert TrainOptions(svm_samples_per_class=30).per_class == 10_000


def test_an_input_that_never_changes_does_not_divide_by_zero() -> None:
    samples = made_samples()
    samples.x[:, 3:, 1] = 0.25
    fitted = fit(samples, MADE_RECIPE, MADE_CLASSES, OPTIONS)
    assert fitted.report["accuracy"]["kappa"] > 0.8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean": np.zeros(14)}, "no svm of this card"),
        ({"counts": np.array([1, 2, 3, 4])}, "no svm of this card"),
        ({"scale": np.zeros(15)}, "not finite"),
        ({"intercepts": np.full(6, np.nan)}, "not finite"),
        ({"extra": np.zeros(1)}, "no svm of this card"),
    ],
)
def test_arrays_that_do_not_fit_the_card_are_refused(change: dict[str, np.ndarray], words: str) -> None:
    weights = save({**load(made_svm()[0].weights), **change})
    with pytest.raises(InputError, match=words):
        loaded(weights)


def test_a_file_that_is_no_safetensors_is_refused() -> None:
    card: Card = made_card(b"junk", 5, 3, 4, "svm")
    with pytest.raises(InputError, match="no svm of this card"):
        open_model(card, b"junk")
