"""Accuracy with intervals, calibration, scores, profiles and what the model looks at, on pixels that it never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engine.accuracy import score
from engine.assess import reliability as sure
from engine.assess.attention import permutation_importance, profiles
from engine.assess.bootstrap import RESAMPLES, Intervals, block_matrices, difference, intervals, measures
from engine.errors import InputError
from engine.judge.choose import Column, Judges, kept, some
from engine.judge.notes import notes, notes_of_confidence
from engine.judge.plain import plain, ranged
from engine.models import Card, Classifier, normalise
from engine.models.scaling import probabilities
from engine.training.parts import portions

REVIEW_BELOW = 0.65
"""Confidence below which a person should look."""
HEADLINE = ("overall", "kappa", "macro_f1")
_MOST_LOOKED_INTO, _MOST_SQUARES = 1000, 64
"""Pixels for slopes and permutations, and squares of pixels."""
_PROFILED = ("ndvi", "lswi", "vv", "vh", "lst")
_MOST_PROFILED = 4


@runtime_checkable
class _Differentiable(Protocol):
    def sensitivity(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]: ...


def judge(classifier: Classifier, by: Judges, seed: int = 0) -> dict[str, Any]:
    """Accuracy with block-bootstrap intervals, calibration, scores, profiles and what the model looks at.

    Labels of classes that the model does not know are errors in all of it; what holds of the classes that it knows
    stands beside it.
    """
    card, columns = classifier.card, by.columns(classifier.card)
    known = by.y < len(card.classes)
    scaled = normalise(by.samples.x, card)
    logits = in_batches(classifier.logits, scaled)
    p, raw = probabilities(logits, card.temperature), probabilities(logits, 1.0)
    matrices = block_matrices(p.argmax(axis=1), by.y, by.samples.block, len(columns))
    between = intervals(matrices, seed=seed)
    calibration = _calibration(p, raw, by.y, card, len(columns))
    return plain(
        {
            "notes": [*notes(matrices, by, card, calibration), *notes_of_confidence(calibration)],
            "accuracy": _accuracy(matrices, between, columns),
            "of_known_classes": _of_known(matrices, len(card.classes), seed),
            "calibration": calibration,
            "scores": _scores(p, by.y),
            "profiles": _profiles(by, card),
            "attention": _attention(classifier, kept(by, known), scaled[known], seed) if known.any() else None,
        }
    )


def only_known(matrices: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Matrices (..., k, k) without the samples of classes that the model does not know."""
    return matrices[..., :classes, :classes]


def _of_known(matrices: NDArray[np.int64], classes: int, seed: int) -> dict[str, Any]:
    """The figures of the samples whose class the model knows, and how many of all these are."""
    inner = only_known(matrices, classes)
    inner = inner[inner.any(axis=(1, 2))]
    count, between = int(inner.sum()), intervals(inner, seed=seed) if len(inner) else None
    found = measures(inner.sum(axis=0))
    figures = {name: ranged(found, between or Intervals(found, found), name) for name in HEADLINE}
    return {"samples": count, "share": count / max(int(matrices.sum()), 1), **figures}


def judge_against(classifier: Classifier, other: Classifier, by: Judges, seed: int = 0) -> dict[str, Any]:
    """The first model minus another on the same pixels, with paired intervals: one without 0 tells them apart.

    Raises InputError where the other has another recipe or other classes, or where it may have seen these pixels.
    """
    card, second = classifier.card, other.card
    apart = {
        "recipe": card.recipe != second.recipe,
        "classes": [e.code for e in card.classes] != [e.code for e in second.classes],
        "split into blocks": by.held_out and card.training.get("split") != second.training.get("split"),
    }
    if any(apart.values()):
        raise InputError(
            f"a model that differs in its {' and its '.join(name for name, is_so in apart.items() if is_so)}",
            expected="a model trained from the same cube and labels with the same recipe",
            place=f"--against, model {second.name}",
            remedy="train it with the same spec: tilth train JOB --set model.train.family=forest --set model.uri=...",
        )
    count = len(by.columns(card))
    mine, theirs = (
        block_matrices(in_batches(each.predict, by.samples.x).argmax(axis=1), by.y, by.samples.block, count)
        for each in (classifier, other)
    )
    known = [only_known(each, len(card.classes)) for each in (mine, theirs)]
    return plain({**_differences(mine, theirs, seed), "of_known_classes": _differences(known[0], known[1], seed)})


def _differences(mine: NDArray[np.int64], theirs: NDArray[np.int64], seed: int) -> dict[str, Any]:
    first, its, between = measures(mine.sum(axis=0)), measures(theirs.sum(axis=0)), difference(mine, theirs, seed=seed)
    return {
        name: {
            "other": float(getattr(its, name)),
            "difference": float(getattr(first, name) - getattr(its, name)),
            "low": float(getattr(between.low, name)),
            "high": float(getattr(between.high, name)),
        }
        for name in HEADLINE
    }


def in_batches(predict: Callable[[NDArray[np.float32]], NDArray[np.float32]], x: NDArray[np.float32]) -> NDArray:
    """What ``predict`` gives of all rows, some at a time."""
    return np.concatenate([predict(part) for part in portions(x)])


def _accuracy(matrices: NDArray[np.int64], between: Intervals, columns: Sequence[Column]) -> dict[str, Any]:
    whole = matrices.sum(axis=0)
    found, scores = measures(whole), score(whole)
    in_blocks = (matrices.sum(axis=1) > 0).sum(axis=0)
    return {
        "samples": int(whole.sum()),
        "blocks": len(matrices),
        "resamples": RESAMPLES,
        **{name: ranged(found, between, name) for name in HEADLINE},
        "quantity_disagreement": scores.quantity,
        "allocation_disagreement": scores.allocation,
        "confusion_rows_map_columns_reference": whole,
        "classes": [
            {
                "code": column.code,
                "name": column.name,
                "colour": column.colour,
                "known_to_the_model": column.known,
                "samples": int(whole[:, k].sum()),
                "blocks": int(in_blocks[k]),
                "users_accuracy": ranged(found, between, "users", k),
                "producers_accuracy": ranged(found, between, "producers", k),
                "f1": ranged(found, between, "f1", k),
            }
            for k, column in enumerate(columns)
        ],
    }


def _calibration(
    p: NDArray[np.float32], raw: NDArray[np.float32], y: NDArray[np.int64], card: Card, columns: int
) -> dict[str, Any]:
    """Of all samples; a class that the model does not know has the probability 0."""
    wide, wide_raw = (np.pad(each, ((0, 0), (0, columns - each.shape[1]))) for each in (p, raw))
    bins, known = sure.reliability(wide, y), y < len(card.classes)
    share, accuracy = sure.kept(wide, y, REVIEW_BELOW)
    return {
        "temperature": card.temperature,
        **sure.summary(wide, y),
        "without_temperature": sure.summary(wide_raw, y),
        "of_known_classes": {
            **sure.summary(p[known], y[known]),
            "without_temperature": sure.summary(raw[known], y[known]),
        },
        "mean_confidence": {
            "known_classes": float(p[known].max(axis=1).mean()) if known.any() else np.nan,
            "unknown_classes": float(p[~known].max(axis=1).mean()) if not known.all() else np.nan,
        },
        "bins": {"confidence": bins.confidence, "accuracy": bins.accuracy, "samples": bins.samples},
        "confident": {"threshold": REVIEW_BELOW, "share": share, "accuracy": accuracy},
    }


def _scores(p: NDArray[np.float32], y: NDArray[np.int64]) -> dict[str, Any]:
    right, wrong = sure.score_histograms(p, y)
    return {"edges": np.linspace(0, 1, right.shape[1] + 1), "right": right, "wrong": wrong}


def _profiles(by: Judges, card: Card) -> dict[str, Any]:
    features = card.recipe.features
    shown = [name for name in _PROFILED if name in features] or list(features)
    shown = shown[:_MOST_PROFILED]
    columns = [features.index(name) for name in shown]
    x = by.samples.x
    x = x[..., x.shape[-1] // 2, x.shape[-1] // 2] if card.halo else x
    found = profiles(x[:, :, columns], by.y, len(by.columns(card)))
    low, middle, high = found.transpose(1, 0, 3, 2)
    units = [card.units[column] for column in columns]
    told = {"features": shown, "units": units, "low_percentile": 10, "high_percentile": 90}
    return {**told, "low": low, "median": middle, "high": high}


def _attention(classifier: Classifier, by: Judges, scaled: NDArray[np.float32], seed: int) -> dict[str, Any]:
    """Slopes of a network per step and feature, or what each feature's permutation costs a forest."""
    rows = some(len(by.y), _MOST_SQUARES if classifier.card.halo else _MOST_LOOKED_INTO, seed)
    told = {"features": list(classifier.card.recipe.features), "samples": len(rows)}
    if isinstance(classifier, _Differentiable):
        slopes = classifier.sensitivity(scaled[rows])
        return {**told, "kind": "gradient", "values": slopes.mean(axis=tuple(range(2, slopes.ndim)))}
    falls = permutation_importance(classifier.predict, by.samples.x[rows], by.y[rows], seed)
    return {**told, "kind": "permutation", "values": falls}
