"""Training on virtual labels: they are right, they help where labels are few, held-out blocks have no part in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models import Recipe, open_model
from engine.training import TrainOptions, fit, training_key
from engine.training.enlarge import enlarged, paired_gain, subsets
from engine.training.prepare import Prepared, prepare
from engine.training.virtual_options import VirtualOptions
from engine.types import Samples

RECIPE = Recipe(features=("ndvi", "red", "vv"), steps=12)
CLASSES = {10: "maize", 20: "wheat", 30: "beet"}
BLOCKS = 15
UNUSED = 40
"""A block without labels."""


def made_country(
    seed: int = 0, labelled: int = 20, unlabelled: int = 60, noise: float = 0.08
) -> tuple[Samples, NDArray[np.int64]]:
    """So many pixels of each kind in each of 15 blocks, and unlabelled ones in one more: three crops, each sown early
    or late. Also what is truly there, 0 to 2."""
    rng = np.random.default_rng(seed)
    block = np.repeat(np.arange(BLOCKS), labelled)
    more = np.repeat([*range(BLOCKS), UNUSED], unlabelled)
    crop, late = rng.integers(0, 3, len(block) + len(more)), rng.integers(0, 2, len(block) + len(more))
    time = np.linspace(0, 1, 12)
    curve = np.exp(-(((time - (0.2 + 0.2 * crop + 0.32 * late)[:, None]) / (0.1 + 0.03 * crop[:, None])) ** 2))
    x = np.stack([curve, 0.3 - 0.2 * curve, 0.05 + 0.1 * curve], axis=2)
    x += rng.normal(0, noise, x.shape) * [1, 0.4, 0.2]
    y = np.where(np.arange(len(crop)) < len(block), 10 * crop + 10, 0).astype(np.int32)
    at = np.arange(len(y), dtype=np.int32)
    return Samples(x.astype(np.float32), y, np.concatenate([block, more]), at, at), crop


def labelled_of(samples: Samples) -> Samples:
    """The labelled ones alone."""
    return Samples(*(getattr(samples, name)[samples.y != 0] for name in ("x", "y", "block", "row", "col")))


def made_options(family: str = "forest", virtual: dict[str, Any] | None = None, **other: Any) -> TrainOptions:
    given = {"family": family, "trees": 30, "epochs": 12, "patience": 12, "batch": 32, "min_samples": 5, **other}
    return TrainOptions.model_validate({**given, "virtual": {} if virtual is None else virtual})


def never(ready: Prepared) -> NDArray[np.bool_]:
    raise AssertionError("no training is judged when all virtual labels are taken")


def grown_by(samples: Samples, options: TrainOptions) -> tuple[Prepared, Prepared, dict[str, Any]]:
    """What is prepared, the same with virtual labels, and what is told of them."""
    ready = prepare(samples, RECIPE, CLASSES, options, {})
    more, told = enlarged(ready, samples, RECIPE, options, never)
    return ready, more, told["virtual"]


def test_virtual_labels_are_mostly_right_and_no_more_than_asked_for() -> None:
    samples, truth = made_country()
    for share in (1.0, 0.3):
        ready, more, told = grown_by(samples, made_options(virtual={"share": share}))
        own = len(ready.rows["train"])
        rows, labels = more.rows["train"][own:], more.parts["train"].y[own:]
        assert (samples.y[rows] == 0).all() and len(np.unique(rows)) == len(rows)
        assert (truth[rows] == labels).mean() > 0.95
        assert told["trained_on"] == len(rows) == min(round(share * own), told["accepted"]) > 40
        assert told["drawn"] == len(ready.unlabelled) and 0.5 < told["mean_margin"] <= 1
        assert [row["virtual"] for row in told["classes"]] == np.bincount(labels).tolist()
        assert [row["sub_classes"] for row in told["classes"]] == [2, 2, 2]
        np.testing.assert_array_equal(more.parts["train"].x[:own], ready.parts["train"].x)
        for part in ("validation", "test"):
            assert more.parts[part] is ready.parts[part]


def test_labelled_samples_are_dealt_and_scaled_as_they_are_without_virtual_labels() -> None:
    samples, _ = made_country()
    options = made_options()
    plain = options.model_copy(update={"virtual": None})
    labelled = labelled_of(samples)
    ready, _, _ = grown_by(samples, options)
    bare = prepare(labelled, RECIPE, CLASSES, plain, {})
    assert (ready.dealt, ready.scaling, ready.left_out) == (bare.dealt, bare.scaling, [])
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(ready.rows[part], bare.rows[part])
    assert len(bare.unlabelled) == 0


def test_garbage_in_test_and_validation_blocks_changes_no_virtual_label_and_no_weight() -> None:
    samples, _ = made_country()
    options = made_options()
    ready, more, told = grown_by(samples, options)
    held = np.isin(samples.block, samples.block[np.concatenate([ready.rows["validation"], ready.rows["test"]])])
    assert (held & (samples.y == 0)).sum() > 200 and not held[samples.block == UNUSED].any()
    rubbish = np.where(held[:, None, None], np.float32(1e3) - samples.x[::-1], samples.x)
    _, other, other_told = grown_by(replace(samples, x=rubbish), options)
    assert told == other_told
    np.testing.assert_array_equal(more.rows["train"], other.rows["train"])
    np.testing.assert_array_equal(more.parts["train"].x, other.parts["train"].x)
    np.testing.assert_array_equal(more.parts["train"].y, other.parts["train"].y)
    assert not held[more.rows["train"]].any() and (samples.block[more.rows["train"]] == UNUSED).any()
    weights = [fit(made, RECIPE, CLASSES, options).weights for made in (samples, replace(samples, x=rubbish))]
    assert weights[0] == weights[1]


def test_an_unlabelled_square_that_touches_a_held_out_block_or_lacks_a_pixel_is_not_used() -> None:
    samples, _ = made_country()
    squares = np.repeat(np.repeat(samples.x[..., None, None], 3, axis=3), 3, axis=4)
    near = np.repeat(samples.block[:, None], 9, axis=1)
    options = made_options("cnn3d", patch=3)
    bare = replace(samples, x=squares, near=near)
    ready, more, _ = grown_by(bare, options)
    series = grown_by(samples, made_options())[1]
    np.testing.assert_array_equal(more.rows["train"], series.rows["train"])
    assert more.parts["train"].x.shape[3:] == (3, 3)
    touching, torn = ready.unlabelled[::3], ready.unlabelled[1::3]
    near[touching, 4] = samples.block[ready.rows["test"][0]]
    squares[torn, 0, 0, 0, 2] = np.nan
    again = grown_by(replace(samples, x=squares, near=near), options)[0]
    np.testing.assert_array_equal(again.unlabelled, ready.unlabelled[2::3])


def test_virtual_labels_help_a_network_where_labels_are_few() -> None:
    gains = []
    for seed in range(4):  # one made country in five is made worse, so single ones tell little
        samples, _ = made_country(seed, labelled=8, noise=0.2)
        elsewhere, truth = made_country(seed + 100, noise=0.2)
        options = made_options("cnn1d", seed=seed, epochs=40, patience=20)
        right = []
        for given in (samples, labelled_of(samples)):
            own = options if given is samples else options.model_copy(update={"virtual": None})
            fitted = fit(given, RECIPE, CLASSES, own)
            right.append((open_model(fitted.card, fitted.weights).predict(elsewhere.x).argmax(axis=1) == truth).mean())
        gains.append(right[0] - right[1])
    assert np.mean(gains) > 0.02, gains


@pytest.mark.parametrize("family", ["forest", "cnn1d"])
def test_two_fits_with_virtual_labels_give_equal_bytes_and_the_report_tells_of_them(family: str) -> None:
    samples, _ = made_country()
    options = made_options(family, epochs=2)
    first, second = (fit(samples, RECIPE, CLASSES, options) for _ in range(2))
    assert first.weights == second.weights and first.report == second.report
    assert first.report["virtual"]["trained_on"] > 0 and first.report["left_out"] == []
    assert first.report["split"]["train"]["samples"] < 15 * 20
    near = replace(samples, near=np.zeros((len(samples.y), 1), np.int64))
    assert training_key(near, RECIPE, CLASSES, options) != training_key(samples, RECIPE, CLASSES, options)


def test_subsets_are_kept_by_their_gain_on_validation_alone_and_the_log_tells_of_each() -> None:
    samples, _ = made_country()
    options = made_options(virtual={"accept": "gain"})
    ready = prepare(samples, RECIPE, CLASSES, options, {})
    own, asked = len(ready.rows["train"]), []

    def judge(tried: Prepared) -> NDArray[np.bool_]:
        """Right on 10 more at the 3rd training, on 1 more (within the error) at the 5th, on fewer at the 6th."""
        asked.append(tried.rows["train"][own:])
        hits = {3: 60, 5: 61, 6: 20}.get(len(asked), 60 if len(asked) > 3 else 50)
        return np.arange(100) < hits

    more, told = enlarged(ready, samples, RECIPE, options, judge)
    log = told["virtual"]["subsets"]
    assert [row["kept"] for row in log] == [row["subset"] == 1 for row in log] and len(log) == 10 == len(asked) - 1
    assert log[1] == {"subset": 1, "samples": log[1]["samples"], "gain": 0.1, "standard_error": 0.030151, "kept": True}
    assert log[3]["gain"] == 0.01 and log[4]["gain"] == -0.4
    assert len(asked[0]) == 0 and not set(asked[1]) & set(asked[2]), "a refused subset was trained on again"
    assert all(set(asked[2]) <= set(rows) for rows in asked[3:])
    np.testing.assert_array_equal(more.rows["train"][own:], asked[2])
    assert told["virtual"]["trained_on"] == len(asked[2])


def test_a_fit_that_keeps_what_gains_logs_ten_subsets_and_gives_equal_bytes() -> None:
    samples, _ = made_country(labelled=8)
    options = made_options(virtual={"accept": "gain"}, trees=5)
    first, second = (fit(samples, RECIPE, CLASSES, options) for _ in range(2))
    assert first.weights == second.weights and first.report == second.report
    told = first.report["virtual"]
    assert [row["subset"] for row in told["subsets"]] == list(range(10))
    assert told["trained_on"] == sum(row["samples"] for row in told["subsets"] if row["kept"])
    assert all(row["kept"] == (row["gain"] > row["standard_error"]) for row in told["subsets"])


def test_subsets_are_of_one_size_and_stratified_and_the_gain_is_paired() -> None:
    y = np.random.default_rng(0).integers(0, 3, 157)
    number = subsets(y, 1)
    assert set(np.bincount(number)) == {15, 16}
    counts = np.array([np.bincount(y[number == own], minlength=3) for own in range(10)])
    assert np.ptp(counts, axis=0).max() <= 1
    rng = np.random.default_rng(2)
    before, after = rng.random(60) < 0.6, rng.random(60) < 0.8
    difference = [int(b) - int(a) for a, b in zip(before, after, strict=True)]
    mean = sum(difference) / 60
    error = (sum((d - mean) ** 2 for d in difference) / 59 / 60) ** 0.5
    assert paired_gain(before, after) == pytest.approx((mean, error))


def test_labels_that_leave_no_pixel_free_are_refused() -> None:
    samples, _ = made_country()
    labelled = labelled_of(samples)
    with pytest.raises(InputError, match=r"model\.train\.virtual: not one unlabelled pixel"):
        fit(labelled, RECIPE, CLASSES, made_options())


def test_three_pixels_are_drawn_for_each_virtual_label_wanted() -> None:
    assert VirtualOptions().drawn(40) == 120 and VirtualOptions(share=0.5).drawn(40) == 60
