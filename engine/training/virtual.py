"""Which unlabelled series resemble a crop so closely that they may stand in for labelled ones.

Teimouri et al. 2023 (PFG): every sub-class of labelled samples has a centre and, for four measures of likeness, a
threshold. A series that passes all four thresholds of some sub-class gets one vote by each measure, for the class of
the sub-class that is nearest by it. Each sensor votes on its own; the majority decides. SAM and correlation are taken
as distances here, and principal components are not centred: the angle between centred scores of arbitrary sign says
nothing. Arrays in, arrays out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.bands import FEATURE_BANDS, SENSOR_BANDS

MEASURES = 4
"""Votes of one sensor."""
_AT_ONCE = 4096
"""Series that vote at once, to bound memory."""
_TINY = 1e-12
REJECTED = -1


@dataclass(frozen=True, slots=True)
class Views:
    """What each sensor shows of a series: optical features as one value a step, the others as they are.

    loadings: (t, f) float64 of the optical features' first principal component at each step, empty without optical.
    lower, width: (t,) float64, which bring it to 0 to 1 on the samples it was fitted to.
    """

    sensors: tuple[str, ...]
    columns: tuple[tuple[int, ...], ...]
    """Of each sensor, its features' places in the recipe."""
    loadings: NDArray[np.float64]
    lower: NDArray[np.float64]
    width: NDArray[np.float64]

    def of(self, x: NDArray[np.float32]) -> list[NDArray[np.float64]]:
        """(n, d) float64 of each sensor; x: (n, t, f) float32 scaled to 0 to 1, no NaN."""
        seen = []
        for sensor, columns in zip(self.sensors, self.columns, strict=True):
            own = x[:, :, list(columns)].astype(np.float64)
            if sensor == "optical":
                own = (np.einsum("ntf,tf->nt", own, self.loadings) - self.lower) / self.width
            seen.append(own.reshape(len(x), -1))
        return seen


@dataclass(frozen=True, slots=True)
class Rules:
    """Sub-classes as they are looked for. label: (s,) int64, the class of each."""

    label: NDArray[np.int64]
    classes: int
    centres: tuple[NDArray[np.float64], ...]
    """Of each sensor, (s, d)."""
    thresholds: tuple[NDArray[np.float64], ...]
    """Of each sensor, (s, 4): the farthest that a series may lie from the centre, by measure."""


@dataclass(frozen=True, slots=True)
class Voted:
    """What series were voted to be. label: (n,) int64 class index, -1 = rejected. votes: (n, k) int64, by class.
    margin: (n,) float64, 0 to 1: the lead of the first class over the second, as a share of all votes there are."""

    label: NDArray[np.int64]
    votes: NDArray[np.int64]
    margin: NDArray[np.float64]


def fit_views(x: NDArray[np.float32], features: Sequence[str]) -> Views:
    """Views of series like these. x: (n, t, f) float32 scaled to 0 to 1, no NaN. features: f names of the recipe.

    Loadings are those of the covariance, their sign such that their sum is not negative: about the origin instead of
    the mean, bands that go against each other (red and near infrared) would cancel out. What is projected is not
    centred.
    """
    groups = {
        sensor: tuple(i for i, name in enumerate(features) if set(FEATURE_BANDS[name]) & set(bands))
        for sensor, bands in SENSOR_BANDS.items()
    }
    groups = {sensor: columns for sensor, columns in groups.items() if columns}
    optical = x[:, :, list(groups.get("optical", ()))].astype(np.float64)
    if not optical.shape[2]:
        none = np.zeros(0)
        return Views(tuple(groups), tuple(groups.values()), none.reshape(0, 0), none, none)
    about_mean = optical - optical.mean(axis=0)
    covariance = np.einsum("ntf,ntg->tfg", about_mean, about_mean)
    loadings = np.linalg.eigh(covariance)[1][:, :, -1]  # eigenvalues come in ascending order
    loadings *= np.where(loadings.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    scores = np.einsum("ntf,tf->nt", optical, loadings)
    lower, width = scores.min(axis=0), np.ptp(scores, axis=0)
    return Views(tuple(groups), tuple(groups.values()), loadings, lower, np.where(width > _TINY, width, 1.0))


def distances(x: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 4) float64, how unlike a centre (d,) series (n, d) are by four measures, 0 = alike.

    SAM ``arccos(x.m / |x| |m|)``; ``1 - r`` with Pearson's r; ED ``sqrt(mean((x - m)^2))``; SSV ``sqrt(ED^2 +
    (1 - r^2)^2)``. A series of zeros is at right angles to all, one that never changes correlates with none (r = 0).
    """
    sam = np.arccos(_cosine(x, centre))
    r = _cosine(x - x.mean(axis=1, keepdims=True), centre - centre.mean())
    ed = np.sqrt(((x - centre) ** 2).mean(axis=1))
    return np.stack([sam, 1 - r, ed, np.sqrt(ed**2 + (1 - r**2) ** 2)], axis=1)


def learn_rules(
    views: Sequence[NDArray[np.float64]],
    y: NDArray[np.int64],
    member: NDArray[np.int64],
    *,
    scale: float = 1.0,
    quantile: float | None = None,
) -> Rules:
    """Centres and thresholds of the labelled samples' sub-classes.

    views: of each sensor, (n, d) float64. y: (n,) class indices. member: (n,) sub-classes 0 to s - 1, each of one
    class. A threshold is the mean, or a quantile, of the members' distances to their centre (Eq. 4), times ``scale``.
    """
    of = [np.flatnonzero(member == unit) for unit in range(int(member.max()) + 1)]
    centres = tuple(np.array([view[own].mean(axis=0) for own in of]) for view in views)

    def threshold(found: NDArray[np.float64]) -> NDArray[np.float64]:
        return scale * (found.mean(axis=0) if quantile is None else np.quantile(found, quantile, axis=0))

    thresholds = tuple(
        np.array([threshold(distances(view[own], centre)) for own, centre in zip(of, held, strict=True)])
        for view, held in zip(views, centres, strict=True)
    )
    return Rules(y[[own[0] for own in of]], int(y.max()) + 1, centres, thresholds)


def vote(rules: Rules, views: Sequence[NDArray[np.float64]]) -> Voted:
    """What class each series is of, by the votes of all sensors; views: of each sensor, (n, d) float64.

    A sensor by which no sub-class' four thresholds are passed has no vote. Rejected is a series without votes, and one
    for which two classes have equally many.
    """
    parts = [_ballot(rules, portion) for portion in _portions(views)]
    votes = np.concatenate([np.zeros((0, rules.classes), np.int64), *parts])
    ranked = np.sort(np.concatenate([votes, np.zeros((len(votes), 1), np.int64)], axis=1), axis=1)
    lead = ranked[:, -1] - ranked[:, -2]
    return Voted(np.where(lead > 0, votes.argmax(axis=1), REJECTED), votes, lead / (MEASURES * len(views)))


def _portions(views: Sequence[NDArray[np.float64]]) -> Iterator[list[NDArray[np.float64]]]:
    return ([view[start : start + _AT_ONCE] for view in views] for start in range(0, len(views[0]), _AT_ONCE))


def _ballot(rules: Rules, views: Sequence[NDArray[np.float64]]) -> NDArray[np.int64]:
    """Votes (n, k) of a portion."""
    votes = np.zeros((len(views[0]), rules.classes), np.int64)
    for view, centres, thresholds in zip(views, rules.centres, rules.thresholds, strict=True):
        far = np.stack([distances(view, centre) for centre in centres])
        passed = (far <= thresholds[:, None]).all(axis=2)
        far[~passed] = np.inf
        rows = np.flatnonzero(passed.any(axis=0))
        for nearest in rules.label[far.argmin(axis=0)[rows]].T:
            votes[rows, nearest] += 1
    return votes


def _cosine(x: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) float64 in -1 to 1, 0 where either has no length."""
    length = np.linalg.norm(x, axis=1) * np.linalg.norm(centre)
    return np.where(length > _TINY, (x @ centre) / np.maximum(length, _TINY), 0.0).clip(-1, 1)
