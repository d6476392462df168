"""Fine-tuning: a model goes on from another's weights, and only from one that is alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from engine.errors import InputError
from engine.training import Fitted, Parent, TrainOptions, fit, refuse_unlike, training_key
from engine.types import Samples
from tests.engine.made_models import MADE_CLASSES, MADE_RECIPE, made_samples

OPTIONS = TrainOptions(family="cnn1d", epochs=12, patience=12, block_m=500)
FURTHER = TrainOptions(family="cnn1d", epochs=1, block_m=500, start_from="there")


@pytest.fixture(scope="module")
def parent() -> Parent:
    """A model of the made problem, well trained."""
    fitted = fit(made_samples(), MADE_RECIPE, MADE_CLASSES, OPTIONS)
    return Parent(fitted.card, fitted.weights, "ab" * 32)


def elsewhere() -> Samples:
    """The made problem in a year in which all is brighter, with few samples."""
    samples = made_samples(260)
    return replace(samples, x=samples.x * np.float32(1.1))


def kappa(fitted: Fitted) -> float:
    return float(fitted.report["accuracy"]["kappa"])


def test_an_epoch_from_a_parent_beats_an_epoch_from_nothing_and_takes_its_scaling_over(parent: Parent) -> None:
    further = fit(elsewhere(), MADE_RECIPE, MADE_CLASSES, FURTHER, parent=parent)
    anew = fit(elsewhere(), MADE_RECIPE, MADE_CLASSES, OPTIONS.model_copy(update={"epochs": 1}))
    assert kappa(further) > 0.8 > kappa(anew)
    assert (further.card.lower, further.card.upper, further.card.fill) == (
        parent.card.lower, parent.card.upper, parent.card.fill,
    )  # fmt: skip
    assert further.card.classes == parent.card.classes
    assert further.weights != parent.weights
    assert further.card.training["parent"] == further.report["parent"] == parent.digest
    assert "parent" not in anew.card.training


def test_the_order_of_the_parents_classes_is_kept(parent: Parent) -> None:
    backward = parent.card.model_copy(update={"classes": parent.card.classes[::-1]})
    options = FURTHER.model_copy(update={"epochs": 12, "learning_rate": 1e-3})
    fitted = fit(made_samples(), MADE_RECIPE, MADE_CLASSES, options, parent=replace(parent, card=backward))
    assert [entry.code for entry in fitted.card.classes] == [30, 20, 10]
    assert kappa(fitted) > 0.8


def test_a_parent_unlike_the_training_is_refused_by_the_first_difference(parent: Parent) -> None:
    card = parent.card
    with pytest.raises(InputError, match="family of the model to begin from: cnn1d; expected: dcm"):
        refuse_unlike(card, MADE_RECIPE, "dcm")
    other = MADE_RECIPE.model_copy(update={"features": ("ndvi", "vh"), "steps": 9})
    with pytest.raises(InputError, match="features of the model to begin from: ndvi, vv; expected: ndvi, vh"):
        refuse_unlike(card, other, "cnn1d")
    with pytest.raises(InputError, match="steps of the model to begin from: 12; expected: 9"):
        refuse_unlike(card, MADE_RECIPE.model_copy(update={"steps": 9}), "cnn1d")
    with pytest.raises(InputError, match=r"code 20: the model to begin from has middle; expected: maize"):
        fit(made_samples(), MADE_RECIPE, {**MADE_CLASSES, 20: "maize"}, FURTHER, parent=parent)
    with pytest.raises(InputError, match=r"code 30: the model to begin from has late; expected: none such"):
        fit(made_samples(), MADE_RECIPE, {10: "early", 20: "middle"}, FURTHER, parent=parent)


def test_the_learning_rate_is_a_tenth_where_none_is_given_and_outlives_a_pinned_spec() -> None:
    assert FURTHER.learning_rate == pytest.approx(1e-4)
    assert TrainOptions(**FURTHER.model_dump(mode="json")) == FURTHER
    assert TrainOptions(start_from="there", learning_rate=0.01).learning_rate == 0.01
    assert TrainOptions().learning_rate == 1e-3
    with pytest.raises(ValidationError, match="start_from is for networks"):
        TrainOptions(family="forest", start_from="there")


def test_the_key_knows_the_parents_digest_and_not_its_place(parent: Parent) -> None:
    samples = made_samples(60)
    moved = FURTHER.model_copy(update={"start_from": "elsewhere"})
    key = training_key(samples, MADE_RECIPE, MADE_CLASSES, FURTHER, parent=parent)
    assert key == training_key(samples, MADE_RECIPE, MADE_CLASSES, moved, parent=parent)
    assert key != training_key(samples, MADE_RECIPE, MADE_CLASSES, FURTHER, parent=replace(parent, digest="cd" * 32))
    assert key != training_key(samples, MADE_RECIPE, MADE_CLASSES, FURTHER)
