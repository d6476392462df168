"""Metrics against worked examples, hand counts and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, precision_score, recall_score

from engine.accuracy import calibration_error, confusion, estimate_areas, score

OLOFSSON = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
OLOFSSON_MAPPED_PX = np.array([200_000, 150_000, 3_200_000, 6_450_000])


def test_the_worked_example_of_olofsson_2014_is_reproduced() -> None:
    found = estimate_areas(OLOFSSON, OLOFSSON_MAPPED_PX)
    assert round(found.overall, 3) == 0.947
    assert round(1.96 * found.overall_se, 3) == 0.018
    assert round(found.area[0]) == 235_086
    assert found.area_interval[0] == pytest.approx(68_418, abs=2)
    assert found.users.round(2).tolist() == [0.88, 0.73, 0.93, 0.96]
    assert found.producers.round(2).tolist() == [0.75, 0.85, 0.93, 0.96]
    assert (1.96 * found.users_se).round(2).tolist() == [0.07, 0.10, 0.04, 0.02]
    assert (1.96 * found.producers_se).round(2).tolist() == [0.21, 0.25, 0.03, 0.02]
    assert found.area.sum() == pytest.approx(OLOFSSON_MAPPED_PX.sum())


def test_an_area_estimate_needs_two_samples_in_every_class_that_has_area() -> None:
    few = estimate_areas(np.array([[1, 0], [2, 5]]), np.array([10.0, 10.0]))
    assert np.isnan([few.overall_se, *few.area_se, few.users_se[0], few.users_between[0][0]]).all()
    assert few.area.sum() == 20.0 and few.users[0] == 1.0 and few.users_se[1] > 0, "the rest is known"
    none = estimate_areas(np.array([[0, 0], [2, 5]]), np.array([10.0, 10.0]))
    assert np.isnan([none.overall, *none.area, none.users[0]]).all() and none.users[1] == pytest.approx(5 / 7)
    assert estimate_areas(np.array([[0, 0], [1, 5]]), np.array([0.0, 10.0])).area.sum() == 10.0


def test_points_that_all_agree_are_no_proof_and_looking_at_every_pixel_is() -> None:
    matrix, area = np.array([[5, 0], [0, 8]]), np.array([30.0, 70.0])
    found = estimate_areas(matrix, area)
    assert found.overall == 1.0 and found.overall_se > 0.03 and (found.area_se > 3).all()
    assert found.users_between[0].tolist() == pytest.approx([0.025 ** (1 / 5), 0.025 ** (1 / 8)])
    assert found.users_between[1].tolist() == [1.0, 1.0]
    more = estimate_areas(100 * matrix, area)
    assert 0 < more.overall_se < found.overall_se / 20
    whole = estimate_areas(matrix, area, np.array([5, 8]))
    assert whole.overall_se == 0 and (whole.area_se == 0).all()
    mixed = estimate_areas(np.array([[4, 1, 0], [2, 6, 0], [0, 0, 9]]), np.array([30.0, 60.0, 10.0]))
    assert mixed.users_between[0][0] < 0.4 and mixed.users_between[1][0] > 0.99
    never = estimate_areas(np.array([[4, 1, 0], [2, 6, 0], [2, 1, 0]]), np.array([30.0, 60.0, 10.0]))
    assert never.area[2] == 0 and np.isnan(never.area_se[2]), "no point of a class is no proof that there is none"


def test_exact_intervals_hold_the_truth_at_least_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        right = rng.binomial(20, 0.9)
        low, high = estimate_areas(np.array([[right, 20 - right], [5, 5]]), np.array([1.0, 1.0])).users_between
        hits += bool(low[0] <= 0.9 <= high[0])
    assert hits >= 285


def test_scores_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    reference = rng.integers(0, 5, 400)
    mapped = np.where(rng.random(400) < 0.6, reference, rng.integers(0, 5, 400))
    found = score(confusion(mapped, reference, 5))
    assert found.overall == pytest.approx(accuracy_score(reference, mapped))
    assert found.kappa == pytest.approx(cohen_kappa_score(reference, mapped))
    assert found.macro_f1 == pytest.approx(f1_score(reference, mapped, average="macro"))
    np.testing.assert_allclose(found.users, precision_score(reference, mapped, average=None))
    np.testing.assert_allclose(found.producers, recall_score(reference, mapped, average=None))
    assert found.quantity + found.allocation == pytest.approx(1 - found.overall)


def test_users_accuracy_is_of_the_map_and_producers_of_the_reference() -> None:
    mapped, reference = np.array([0, 0, 0, 0, 1]), np.array([0, 1, 1, 1, 1])
    found = score(confusion(mapped, reference, 2))
    assert found.confusion.tolist() == [[1, 3], [0, 1]]
    assert found.users.tolist() == [0.25, 1.0]
    assert found.producers.tolist() == [1.0, 0.25]


def test_a_class_nobody_has_is_not_a_number_and_does_not_weigh_on_the_mean() -> None:
    found = score(confusion(np.array([0, 1, 0]), np.array([0, 1, 0]), 3))
    assert found.macro_f1 == 1.0
    assert np.isnan([found.users[2], found.producers[2], found.f1[2]]).all()


def test_an_empty_matrix_scores_nothing() -> None:
    found = score(np.zeros((2, 2), np.int64))
    assert np.isnan([found.overall, found.kappa, found.macro_f1]).all()


def test_labels_outside_the_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        confusion(np.array([0, 2]), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match="alike"):
        confusion(np.array([0]), np.array([0, 1]), 2)


def test_calibration_error_is_the_gap_between_confidence_and_hits() -> None:
    p = np.tile([0.8, 0.2], (100, 1))
    right_80 = np.repeat([0, 1], [80, 20])
    assert calibration_error(p, right_80, bins=1) == pytest.approx(0)
    assert calibration_error(p, np.zeros(100, int), bins=1) == pytest.approx(0.2)
    assert np.isnan(calibration_error(np.empty((0, 2)), np.empty(0, int)))
