"""Networks over series: as large as published, repeatable, and blind to a pixel's place and neighbours."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from engine.errors import InputError
from engine.models import Classifier, open_model
from engine.models.series import NETWORKS, parameter_count, to_bytes
from engine.training import TrainOptions, fit
from tests.engine.made_models import (
    MADE_CLASSES,
    MADE_RECIPE,
    made_card,
    made_pixels,
    made_samples,
    rows_that_stand_alone,
)

LIGHT = ("tempcnn", "cnn1d", "agrispec")
HEAVY = ("dcm", "transformer")
STEPS, FEATURES, CLASSES = 8, 3, 4


@pytest.mark.parametrize(
    ("family", "features", "steps", "classes", "count"),
    [
        ("cnn1d", 13, 37, 2, 36_514),
        ("dcm", 13, 37, 2, 8_461_315),
        ("transformer", 13, 37, 2, 10_522_114),
        ("agrispec", 8, 23, 17, 376_467),
        ("tempcnn", 3, 26, 4, 470_276),
        ("tempcnn", 13, 37, 2, 653_186),
    ],
)
def test_a_network_has_the_published_number_of_parameters(
    family: str, features: int, steps: int, classes: int, count: int
) -> None:
    assert parameter_count(NETWORKS[family](steps, features, classes)) == count


def made_classifier(family: str) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        weights = to_bytes(NETWORKS[family](STEPS, FEATURES, CLASSES))
    return open_model(made_card(weights, STEPS, FEATURES, CLASSES, family), weights)


@pytest.mark.parametrize("family", NETWORKS)
def test_a_row_depends_on_itself_alone_to_the_bit(family: str) -> None:
    classifier, x = made_classifier(family), made_pixels(128, STEPS, FEATURES)
    rows_that_stand_alone(classifier, x)


@pytest.mark.parametrize("family", NETWORKS)
def test_a_network_sees_in_which_order_the_steps_come(family: str) -> None:
    classifier, x = made_classifier(family), made_pixels(32, STEPS, FEATURES)
    assert not np.allclose(classifier.predict(x), classifier.predict(x[:, ::-1]), atol=1e-6)


@pytest.mark.parametrize("family", LIGHT)
def test_a_light_network_learns_and_two_fits_give_equal_bytes(family: str) -> None:
    options = TrainOptions(family=family, epochs=6, block_m=500)
    first, second = (fit(made_samples(), MADE_RECIPE, MADE_CLASSES, options) for _ in range(2))
    assert first.weights == second.weights and first.card == second.card
    assert first.card.weights_sha256 == hashlib.sha256(first.weights).hexdigest()
    assert first.report["accuracy"]["kappa"] > 0.8


@pytest.mark.parametrize("family", HEAVY)
def test_a_heavy_network_begins_to_learn_and_two_fits_give_equal_bytes(family: str) -> None:
    """A few passes over few samples: these take seconds a pass."""
    options = TrainOptions(family=family, epochs=3, block_m=500, batch=32, learning_rate=1e-4)
    losses: list[float] = []
    first, second = (
        fit(made_samples(300), MADE_RECIPE, MADE_CLASSES, options, lambda *told: losses.append(told[2]))
        for _ in range(2)
    )
    assert first.weights == second.weights and losses[:3] == losses[3:]
    assert losses[2] < losses[1] < losses[0]


def test_a_series_too_short_for_the_network_is_refused_before_training() -> None:
    recipe = MADE_RECIPE.model_copy(update={"steps": 3})
    with pytest.raises(InputError, match=r"3 steps.*4 or more.*cnn1d"):
        fit(made_samples(steps=3), recipe, MADE_CLASSES, TrainOptions(family="cnn1d", block_m=500))


def test_weights_of_another_family_are_refused_by_name() -> None:
    weights = to_bytes(NETWORKS["cnn1d"](STEPS, FEATURES, CLASSES))
    with pytest.raises(InputError, match="weights that are no agrispec of this card"):
        open_model(made_card(weights, STEPS, FEATURES, CLASSES, "agrispec"), weights)
