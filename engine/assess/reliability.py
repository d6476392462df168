"""Whether probabilities mean what they say: reliability diagram, calibration errors, scores, what a threshold keeps.

Everywhere p: (n, k) float32 calibrated probabilities, rows sum to 1; reference: (n,) class indices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.accuracy import calibration_error

BINS = 15
_TINY = 1e-7
"""No probability is taken as smaller: one certain miss would make the mean likelihood infinite."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """One point of the reliability diagram per bin; (bins,) each, lowest confidence first."""

    confidence: NDArray[np.float64]
    """Mean confidence of the bin's samples."""
    accuracy: NDArray[np.float64]
    """Share of them that are right."""
    samples: NDArray[np.int64]


def reliability(p: NDArray[np.floating], reference: NDArray[np.integer], bins: int = BINS) -> Reliability:
    """Confidence of the winning class against its accuracy in bins of equal mass; at most ``bins``, none empty."""
    confidence, right = _winner(p, reference)
    parts = [part for part in np.array_split(np.argsort(confidence, kind="stable"), bins) if len(part)]
    return Reliability(
        np.array([confidence[part].mean() for part in parts]),
        np.array([right[part].mean() for part in parts]),
        np.array([len(part) for part in parts], np.int64),
    )


def classwise_error(p: NDArray[np.floating], reference: NDArray[np.integer], bins: int = BINS) -> float:
    """Mean over classes of each class' own calibration error (Nixon et al. 2019): every probability counts, not only
    the winner's. Bins of equal mass; 0 to 1, NaN without samples."""
    if len(p) == 0:
        return float("nan")
    errors = []
    for index in range(p.shape[1]):
        own, is_it = p[:, index].astype(np.float64), reference == index
        parts = np.array_split(np.argsort(own, kind="stable"), bins)
        errors.append(sum(abs(own[part].sum() - is_it[part].sum()) for part in parts) / len(p))
    return float(np.mean(errors))


def brier(p: NDArray[np.floating], reference: NDArray[np.integer]) -> float:
    """Mean squared distance of the probabilities from the truth, 0 to 2 (Brier 1950); NaN without samples."""
    if len(p) == 0:
        return float("nan")
    truth = np.zeros(p.shape)
    truth[np.arange(len(p)), reference] = 1
    return float(((p - truth) ** 2).sum(axis=1).mean())


def negative_log_likelihood(p: NDArray[np.floating], reference: NDArray[np.integer]) -> float:
    """Mean of -log of the true class' probability, in nats; NaN without samples."""
    if len(p) == 0:
        return float("nan")
    own = p[np.arange(len(p)), reference].astype(np.float64)
    return float(-np.log(np.maximum(own, _TINY)).mean())


def score_histograms(
    p: NDArray[np.floating], reference: NDArray[np.integer], bins: int = 20
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distribution of the winner's score, per class that wins: how sure the model is where it is right, and where not.

    Returns right and wrong, (k, bins) int64 each: counts in equal bins from 0 to 1, the last with 1 in it.
    """
    confidence, right = _winner(p, reference)
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    flat = p.argmax(axis=1) * bins + place
    size = p.shape[1] * bins
    hits, misses = (np.bincount(flat[rows], minlength=size).reshape(-1, bins) for rows in (right, ~right))
    return hits, misses


def kept(p: NDArray[np.floating], reference: NDArray[np.integer], threshold: float) -> tuple[float, float]:
    """(share of the samples at least ``threshold`` sure, accuracy of those); NaN where there are none."""
    confidence, right = _winner(p, reference)
    sure = confidence >= threshold
    return (
        float(sure.mean()) if len(sure) else float("nan"),
        float(right[sure].mean()) if sure.any() else float("nan"),
    )


def summary(p: NDArray[np.floating], reference: NDArray[np.integer]) -> dict[str, float]:
    """The errors of these probabilities by name."""
    return {
        "expected_calibration_error": calibration_error(p, reference, BINS),
        "classwise_calibration_error": classwise_error(p, reference),
        "brier": brier(p, reference),
        "negative_log_likelihood": negative_log_likelihood(p, reference),
    }


def _winner(p: NDArray[np.floating], reference: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The winning class' probability and whether it is right, (n,) each."""
    return p.max(axis=1).astype(np.float64), p.argmax(axis=1) == reference
