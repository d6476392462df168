"""Likeness by four measures and the votes of the sensors, against slow twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.training.virtual import Rules, distances, fit_views, learn_rules, vote


def slow_distances(x: list[float], m: list[float]) -> list[float]:
    """The formulae of ``distances``, number by number."""

    def cosine(a: list[float], b: list[float]) -> float:
        length = math.sqrt(sum(v * v for v in a)) * math.sqrt(sum(v * v for v in b))
        return max(-1.0, min(1.0, sum(v * w for v, w in zip(a, b, strict=True)) / length)) if length > 1e-12 else 0.0

    def centred(a: list[float]) -> list[float]:
        return [v - sum(a) / len(a) for v in a]

    r = cosine(centred(x), centred(m))
    ed = math.sqrt(sum((v - w) ** 2 for v, w in zip(x, m, strict=True)) / len(x))
    return [math.acos(cosine(x, m)), 1 - r, ed, math.sqrt(ed**2 + (1 - r**2) ** 2)]


def slow_vote(rules: Rules, series: list[NDArray]) -> tuple[int, list[int], float]:
    """The vote on one series, (d,) of each sensor."""
    votes = [0] * rules.classes
    for x, centres, limits in zip(series, rules.centres, rules.thresholds, strict=True):
        far = [slow_distances(list(x), list(centre)) for centre in centres]
        passed = [s for s, own in enumerate(far) if all(v <= t for v, t in zip(own, limits[s], strict=True))]
        for measure in range(4):
            if passed:
                votes[rules.label[min(passed, key=lambda s: far[s][measure])]] += 1
    ranked = sorted(votes, reverse=True)
    label = votes.index(ranked[0]) if ranked[0] > ranked[1] else -1
    return label, votes, (ranked[0] - ranked[1]) / (4 * len(series))


def made_views(n: int, seed: int) -> tuple[list[NDArray[np.float64]], NDArray[np.int64], NDArray[np.int64]]:
    """Two sensors' series, of five sub-classes that overlap; their classes and sub-classes."""
    member = np.arange(n) % 5
    centres = np.random.default_rng(1).random((5, 13))
    x = centres[member] + 0.18 * np.random.default_rng(seed).standard_normal((n, 13))
    return [x[:, :6], x[:, 6:]], np.array([0, 0, 1, 2, 2])[member], member


def test_distances_agree_with_a_slow_twin_for_zeros_and_constants_too() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.random((40, 7)), np.zeros((1, 7)), np.full((1, 7), 0.4)])
    for centre in (rng.random(7), np.zeros(7), np.full(7, 0.4), x[0]):
        slow = [slow_distances(list(row), list(centre)) for row in x]
        np.testing.assert_allclose(distances(x, centre), slow, rtol=1e-9, atol=1e-7)
    assert distances(x[:1], x[0]) == pytest.approx(0, abs=1e-7)
    assert distances(np.ones((2, 1)), np.ones(1))[:, 1].tolist() == [1, 1]


@pytest.mark.parametrize(("scale", "quantile"), [(1.0, None), (1.3, None), (1.0, 0.9)])
def test_thresholds_are_the_members_mean_distance_or_a_quantile_of_it(scale: float, quantile: float | None) -> None:
    views, y, member = made_views(200, 3)
    rules = learn_rules(views, y, member, scale=scale, quantile=quantile)
    assert rules.label.tolist() == [0, 0, 1, 2, 2] and rules.classes == 3
    for view, centres, thresholds in zip(views, rules.centres, rules.thresholds, strict=True):
        for unit in range(5):
            own = view[member == unit]
            np.testing.assert_allclose(centres[unit], own.sum(axis=0) / len(own))
            far = np.array([slow_distances(list(row), list(centres[unit])) for row in own])
            expected = far.sum(axis=0) / len(own) if quantile is None else np.quantile(far, quantile, axis=0)
            np.testing.assert_allclose(thresholds[unit], scale * expected)


def test_votes_labels_and_margins_agree_with_a_slow_twin() -> None:
    views, y, member = made_views(200, 3)
    rules = learn_rules(views, y, member, scale=1.6)
    others, truth, _ = made_views(300, 8)
    found = vote(rules, others)
    slow = [slow_vote(rules, [view[i] for view in others]) for i in range(300)]
    np.testing.assert_array_equal(found.label, [row[0] for row in slow])
    np.testing.assert_array_equal(found.votes, [row[1] for row in slow])
    np.testing.assert_allclose(found.margin, [row[2] for row in slow])
    taken = found.label >= 0
    assert 30 < taken.sum() < 290, "all or none were taken: nothing was tested"
    assert ((found.votes > 0).sum(axis=1) > 1).any(), "no two classes ever competed"
    assert (found.label[taken] == truth[taken]).mean() > 0.8


def test_a_tie_and_a_series_without_votes_are_rejected() -> None:
    centre = np.array([[0.1, 0.5, 0.9], [0.9, 0.5, 0.1]])
    rules = Rules(np.array([0, 1]), 2, (centre, centre), (np.full((2, 4), 0.2), np.full((2, 4), 0.2)))
    views = [centre[[0, 0, 1]], np.stack([centre[0], centre[1], [0.5, 0.0, 0.5]])]
    found = vote(rules, views)
    assert found.votes.tolist() == [[8, 0], [4, 4], [0, 4]]
    assert found.label.tolist() == [0, -1, 1] and found.margin.tolist() == [1.0, 0.0, 0.5]
    nothing = vote(rules, [np.full((1, 3), 0.5), np.full((1, 3), 0.5)])
    assert nothing.label.tolist() == [-1] and nothing.margin.tolist() == [0.0]
    assert vote(rules, [view[:0] for view in views]).label.shape == (0,)


def test_bands_that_go_against_each_other_do_not_cancel_out() -> None:
    green = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    series = fit_views(np.stack([green, 1 - 0.9 * green], axis=2), ("nir", "red"))
    seen = series.of(np.stack([green, 1 - 0.9 * green], axis=2))[0]
    for step in range(3):
        assert abs(np.corrcoef(seen[:, step], green[:, step])[0, 1]) > 0.999


def test_optical_features_are_seen_as_one_component_a_step_and_radar_as_it_is() -> None:
    x = np.random.default_rng(5).random((60, 4, 5), dtype=np.float32)
    views = fit_views(x, ("vv", "red", "ndvi", "lst", "vh"))
    assert views.sensors == ("optical", "radar", "thermal")
    optical, radar, thermal = views.of(x)
    np.testing.assert_array_equal(radar, x[:, :, [0, 4]].reshape(60, 8))
    np.testing.assert_array_equal(thermal, x[:, :, 3])
    for step in range(4):
        own = x[:, step, [1, 2]].astype(np.float64)
        right = np.linalg.svd(own - own.mean(axis=0))[2][0]
        score = own @ (right * np.sign(right.sum()))
        np.testing.assert_allclose(optical[:, step], (score - score.min()) / np.ptp(score), atol=1e-9)
    assert [view.shape for view in fit_views(x[..., :1], ("vh",)).of(x[:3, :, :1])] == [(3, 4)]
    constant = fit_views(np.zeros((3, 4, 1), np.float32), ("ndvi",)).of(np.zeros((3, 4, 1), np.float32))
    assert not constant[0].any()
