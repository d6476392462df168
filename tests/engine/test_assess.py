"""Measuring: resampled blocks against a slow twin, calibration and timing against cases counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from engine.accuracy import calibration_error, confusion, score
from engine.assess.attention import permutation_importance, profiles
from engine.assess.bootstrap import Measures, block_matrices, difference, intervals, measures
from engine.assess.design import allocate, draw_ranks, sample_size
from engine.assess.reliability import (
    brier,
    classwise_error,
    kept,
    negative_log_likelihood,
    reliability,
    score_histograms,
)
from engine.assess.timing import Earliest, cut_offs, earliest, held

K = 4


def made_answers(n: int = 900, blocks: int = 30, hit: float = 0.7, seed: int = 1) -> tuple[np.ndarray, ...]:
    """mapped, reference and block of made pixels; a block is good or bad as a whole."""
    rng = np.random.default_rng(seed)
    reference, block = rng.integers(0, K, n), rng.integers(0, blocks, n)
    luck = np.clip(hit + rng.normal(0, 0.2, blocks), 0, 1)[block]
    mapped = np.where(rng.random(n) < luck, reference, rng.integers(0, K, n))
    return mapped, reference, block


def made_probabilities(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    p = rng.dirichlet(np.ones(K), n).astype(np.float32)
    return p, (rng.random(n)[:, None] > p.cumsum(axis=1)).sum(axis=1).clip(0, K - 1)


def test_block_matrices_are_the_confusions_of_each_block() -> None:
    mapped, reference, block = made_answers(200, 7)
    found = block_matrices(mapped, reference, block * 1000 - 3, K)
    for index, number in enumerate(np.unique(block)):
        rows = block == number
        assert np.array_equal(found[index], confusion(mapped[rows], reference[rows], K))


def test_measures_of_many_matrices_are_those_of_each() -> None:
    mapped, reference, block = made_answers(120, 12)
    mapped[mapped == 2], reference[reference == 2] = 1, 0
    matrices = block_matrices(mapped, reference, block, K)
    found = measures(matrices)
    for index, matrix in enumerate(matrices):
        one = score(matrix)
        for name in ("overall", "kappa", "macro_f1", "users", "producers", "f1"):
            np.testing.assert_allclose(getattr(found, name)[index], getattr(one, name), rtol=1e-12)
    assert np.isnan(measures(np.zeros((K, K), np.int64)).macro_f1)


def test_intervals_are_percentiles_over_resampled_blocks() -> None:
    mapped, reference, block = made_answers()
    matrices = block_matrices(mapped, reference, block, K)
    found = intervals(matrices, resamples=300, seed=5)
    times = np.random.default_rng(5).multinomial(30, np.full(30, 1 / 30), 300)
    slow = []
    for row in times:
        rows = np.concatenate([np.flatnonzero(block == b) for b, count in enumerate(row) for _ in range(count)])
        slow.append(score(confusion(mapped[rows], reference[rows], K)))
    for name in ("overall", "kappa", "macro_f1", "users", "producers", "f1"):
        low, high = np.percentile([getattr(one, name) for one in slow], (2.5, 97.5), axis=0)
        np.testing.assert_allclose(getattr(found.low, name), low, rtol=1e-12)
        np.testing.assert_allclose(getattr(found.high, name), high, rtol=1e-12)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(100):
        mapped, reference, block = made_answers(2000, 40, hit=0.6, seed=seed)
        between = intervals(block_matrices(mapped, reference, block, K), resamples=400, seed=seed)
        truth = 0.5989 + (1 - 0.5989) / K  # a block's luck, cut to 0 and 1, is 0.5989 on average
        hits += bool(between.low.overall <= truth <= between.high.overall)
    assert 86 <= hits <= 99


def test_intervals_of_whole_blocks_are_wider_than_those_of_pixels() -> None:
    mapped, reference, block = made_answers(3000)
    blocks = intervals(block_matrices(mapped, reference, block, K), 500)
    pixels = intervals(block_matrices(mapped, reference, np.arange(3000), K), 500)
    width = [float(each.high.overall - each.low.overall) for each in (blocks, pixels)]
    assert width[0] > 1.5 * width[1]


@pytest.mark.parametrize("few", [1, 2])
def test_a_class_in_few_blocks_has_no_interval_and_few_blocks_have_none_at_all(few: int) -> None:
    mapped, reference, block = made_answers()
    rare = (block >= 3) & (block < 3 + few)
    reference = np.where(rare, 0, np.where(reference == 0, 1, reference))
    found = intervals(block_matrices(mapped, reference, block, K), 200)
    for side in (found.low, found.high):
        assert np.isnan([side.producers[0], side.f1[0]]).all() and not np.isnan(side.users).any()
        assert not np.isnan(side.f1[1:]).any() and not np.isnan(side.macro_f1)
    alone = intervals(block_matrices(mapped[rare], reference[rare], block[rare], K), 200)
    assert all(np.isnan(getattr(alone.low, name)).all() for name in Measures.__slots__)


def test_resamples_without_a_class_do_not_count_its_f1_as_nothing() -> None:
    mapped, reference, block = np.tile([0, 1, 1, 1], 9), np.tile([0, 1, 1, 1], 9), np.repeat(np.arange(9), 4)
    reference[(block > 2) & (reference == 0)] = 1
    found = intervals(block_matrices(mapped, reference, block, 2), 500)
    assert found.low.f1[0] > 0.19, "class 0 is right in three blocks and mapped in all"


def test_the_difference_of_two_models_is_paired() -> None:
    mapped, reference, block = made_answers(3000)
    better = np.where(np.random.default_rng(2).random(3000) < 0.1, reference, mapped)
    first, second = (block_matrices(each, reference, block, K) for each in (better, mapped))
    gap = difference(first, second, 500)
    assert gap.low.overall > 0 and gap.low.macro_f1 > 0
    apart = intervals(first, 500), intervals(second, 500)
    assert gap.high.overall - gap.low.overall < 0.5 * (apart[0].high.overall - apart[0].low.overall)
    assert apart[0].low.overall < apart[1].high.overall, "unpaired they could not be told apart"
    none = difference(first, first, 100)
    assert none.low.kappa == none.high.kappa == 0
    with pytest.raises(ValueError, match="same samples"):
        difference(first, block_matrices(mapped, np.roll(reference, 1), block, K))


def test_reliability_bins_hold_equal_mass_and_their_gaps_are_the_calibration_error() -> None:
    p, y = made_probabilities()
    found = reliability(p, y)
    assert found.samples.sum() == 400 and found.samples.max() - found.samples.min() <= 1
    assert (np.diff(found.confidence) >= 0).all()
    gaps = (np.abs(found.confidence - found.accuracy) * found.samples).sum() / 400
    assert gaps == pytest.approx(calibration_error(p, y, 15))
    assert len(reliability(p[:4], y[:4]).samples) == 4, "no bin is empty"


def test_brier_and_log_likelihood_agree_with_scikit_learn() -> None:
    p, y = made_probabilities()
    exact = p.astype(np.float64) / p.sum(axis=1, dtype=np.float64, keepdims=True)
    assert brier(p, y) == pytest.approx(brier_score_loss(y, exact, labels=range(K), scale_by_half=False), rel=1e-5)
    assert negative_log_likelihood(p, y) == pytest.approx(log_loss(y, exact, labels=range(K)), rel=1e-4)
    empty = np.empty((0, K), np.float32), np.empty(0, np.int64)
    assert np.isnan([brier(*empty), negative_log_likelihood(*empty), classwise_error(*empty)]).all()


def test_the_classwise_error_sees_what_the_winner_hides() -> None:
    y = np.repeat([0, 1, 2], [80, 20, 0])
    p = np.tile(np.array([0.8, 0.0, 0.2], np.float32), (100, 1))
    assert calibration_error(p, y, 1) == pytest.approx(0, abs=1e-7)
    assert classwise_error(p, y, 1) == pytest.approx((0 + 0.2 + 0.2) / 3)


def test_scores_are_counted_by_the_class_that_wins_right_or_wrong() -> None:
    p = np.array([[0.95, 0.05], [0.65, 0.35], [0.25, 0.75], [0.0, 1.0]], np.float32)
    right, wrong = score_histograms(p, np.array([0, 1, 0, 1]), bins=10)
    assert np.argwhere(right).tolist() == [[0, 9], [1, 9]]
    assert np.argwhere(wrong).tolist() == [[0, 6], [1, 7]]


def test_a_threshold_keeps_a_share_and_its_accuracy() -> None:
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]], np.float32)
    assert kept(p, np.array([0, 0, 0, 0]), 0.65) == (0.5, 0.5)
    assert kept(p, np.array([0, 0, 0, 0]), 0.95) == (0.0, pytest.approx(float("nan"), nan_ok=True))


def test_the_three_timings_differ_on_a_curve_that_falls_back() -> None:
    nan = float("nan")
    f1 = np.array([nan, 0.81, 0.7, 0.8, 0.9, 0.95])
    low = np.array([nan, 0.5, 0.6, 0.7, 0.79, 0.85])
    assert earliest(f1, low) == Earliest(first=1, sustained=3, confident=5)
    assert earliest(f1, low, 0.96) == Earliest(None, None, None)
    assert earliest(np.array([0.9, nan]), np.array([nan, nan])) == Earliest(0, None, None)


@pytest.mark.parametrize(("steps", "dates", "expected"), [(8, 4, [2, 4, 6, 8]), (34, 3, [12, 23, 34]), (2, 8, [1, 2])])
def test_cut_offs_are_spread_evenly_and_end_with_the_season(steps: int, dates: int, expected: list[int]) -> None:
    assert cut_offs(steps, dates) == expected


def test_a_season_cut_off_is_held_at_its_last_values() -> None:
    x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    longer = held(x, 5)
    assert longer.shape == (2, 5, 2) and np.array_equal(longer[:, :3], x)
    assert (longer[:, 3:] == x[:, 2:]).all()
    assert np.array_equal(held(x, 3), x)


def test_only_the_feature_that_tells_the_classes_is_missed() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 500)
    x = rng.random((500, 3, 2)).astype(np.float32)
    x[:, :, 1] += y[:, None]

    def predict(x: np.ndarray) -> np.ndarray:
        second = (x[:, :, 1].mean(axis=1) > 1).astype(np.float32)
        return np.stack([1 - second, second], axis=1)

    falls = permutation_importance(predict, x, y)
    assert falls[0] == 0 and falls[1] == pytest.approx(0.5, abs=0.07)


def test_profiles_are_percentiles_of_each_class_and_pass_over_what_is_missing() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((60, 5, 2)).astype(np.float32), np.repeat([0, 2], 30)
    x[:10, 1, 0], x[30:, 2, 1] = np.nan, np.nan
    found = profiles(x, y, 3)
    assert found.shape == (3, 3, 5, 2) and np.isnan(found[1]).all()
    np.testing.assert_allclose(found[0, :, 1, 0], np.percentile(x[10:30, 1, 0], (10, 50, 90)), rtol=1e-6)
    np.testing.assert_allclose(found[2, :, 0, 0], np.percentile(x[30:, 0, 0], (10, 50, 90)), rtol=1e-6)
    assert np.isnan(found[2, :, 2, 1]).all()


def test_the_sample_size_is_that_of_the_worked_example_of_olofsson_2014() -> None:
    weight, users = np.array([0.020, 0.015, 0.320, 0.645]), np.array([0.70, 0.60, 0.90, 0.95])
    assert sample_size(weight, users, 0.01) in (641, 642)
    with pytest.raises(ValueError, match="between 0 and 1"):
        sample_size(weight, users, 0.0)


@pytest.mark.parametrize("size", [8, 90, 641, 5000])
def test_an_allocation_sums_up_and_gives_rare_classes_their_share(size: int) -> None:
    pixels = np.array([200_000, 150_000, 0, 3_200_000, 30])
    points = allocate(size, pixels)
    assert points.sum() == size and points[2] == 0 and (points <= pixels).all()
    assert (points[pixels > 0] >= min(size // 4, 30)).all()
    if size == 641:
        assert points.tolist()[4] == 30 and points[3] > 400


def test_an_allocation_never_asks_for_more_pixels_than_there_are() -> None:
    assert allocate(1000, np.array([3, 0, 40])).tolist() == [3, 0, 40]
    with pytest.raises(ValueError, match="two to each of 2"):
        allocate(3, np.array([5, 5]))


def test_ranks_are_drawn_without_repeats_and_reach_everywhere() -> None:
    points, pixels = np.array([50, 0, 10]), np.array([10**11, 7, 10])
    first, none, last = draw_ranks(points, pixels, 3)
    assert len(set(first.tolist())) == 50 and first.max() > 8 * 10**10 and first.min() < 2 * 10**10
    assert len(none) == 0 and last.tolist() == list(range(10))
    again = draw_ranks(points, pixels, 3)
    assert np.array_equal(first, again[0]) and not np.array_equal(first, draw_ranks(points, pixels, 4)[0])
