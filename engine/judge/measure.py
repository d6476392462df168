"""Accuracy with intervals, calibration, scores, profiles and what the model looks at, on pixels that it never saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engine.accuracy import score
from engine.assess import reliability as sure
from engine.assess.attention import permutation_importance, profiles
from engine.assess.bootstrap import LEAST_BLOCKS, RESAMPLES, Intervals, block_matrices, difference, intervals, measures
from engine.errors import InputError
from engine.judge.choose import Judges, some
from engine.judge.plain import plain, ranged
from engine.models import Card, Classifier, normalise
from engine.models.card import probabilities
from engine.training.calibrate import at_an_end
from engine.training.parts import portions

REVIEW_BELOW = 0.65
"""Confidence below which a person should look."""
FEW_BLOCKS = 10
_MOST_LOOKED_INTO, _MOST_SQUARES = 1000, 64
"""Pixels for slopes and permutations, and squares of pixels."""
_PROFILED = ("ndvi", "lswi", "vv", "vh", "lst")
_MOST_PROFILED = 4


@runtime_checkable
class _Differentiable(Protocol):
    def sensitivity(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]: ...


def judge(classifier: Classifier, by: Judges, seed: int = 0) -> dict[str, Any]:
    """Accuracy with block-bootstrap intervals, calibration, scores, profiles and what the model looks at."""
    card, names = classifier.card, [entry.name for entry in classifier.card.classes]
    scaled = normalise(by.samples.x, card)
    logits = in_batches(classifier.logits, scaled)
    p = probabilities(logits, card.temperature)
    matrices = block_matrices(p.argmax(axis=1), by.y, by.samples.block, len(names))
    between = intervals(matrices, seed=seed)
    calibration = _calibration(p, probabilities(logits, 1.0), by.y, card)
    return plain(
        {
            "notes": [*_notes(matrices, names, by), *_note_of_confidence(calibration)],
            "accuracy": _accuracy(matrices, between, card),
            "calibration": calibration,
            "scores": _scores(p, by.y),
            "profiles": _profiles(by, card),
            "attention": _attention(classifier, by, scaled, seed),
        }
    )


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
    mine, theirs = (
        block_matrices(in_batches(each.predict, by.samples.x).argmax(axis=1), by.y, by.samples.block, len(card.classes))
        for each in (classifier, other)
    )
    first, its, between = measures(mine.sum(axis=0)), measures(theirs.sum(axis=0)), difference(mine, theirs, seed=seed)
    return plain(
        {
            name: {
                "other": float(getattr(its, name)),
                "difference": float(getattr(first, name) - getattr(its, name)),
                "low": float(getattr(between.low, name)),
                "high": float(getattr(between.high, name)),
            }
            for name in ("overall", "kappa", "macro_f1")
        }
    )


def in_batches(predict: Callable[[NDArray[np.float32]], NDArray[np.float32]], x: NDArray[np.float32]) -> NDArray:
    """What ``predict`` gives of all rows, some at a time."""
    return np.concatenate([predict(part) for part in portions(x)])


def _accuracy(matrices: NDArray[np.int64], between: Intervals, card: Card) -> dict[str, Any]:
    whole = matrices.sum(axis=0)
    found, scores = measures(whole), score(whole)
    in_blocks = (matrices.sum(axis=1) > 0).sum(axis=0)
    return {
        "samples": int(whole.sum()),
        "blocks": len(matrices),
        "resamples": RESAMPLES,
        **{name: ranged(found, between, name) for name in ("overall", "kappa", "macro_f1")},
        "quantity_disagreement": scores.quantity,
        "allocation_disagreement": scores.allocation,
        "confusion_rows_map_columns_reference": whole,
        "classes": [
            {
                "code": entry.code,
                "name": entry.name,
                "colour": entry.colour,
                "samples": int(whole[:, k].sum()),
                "blocks": int(in_blocks[k]),
                "users_accuracy": ranged(found, between, "users", k),
                "producers_accuracy": ranged(found, between, "producers", k),
                "f1": ranged(found, between, "f1", k),
            }
            for k, entry in enumerate(card.classes)
        ],
    }


def _calibration(p: NDArray[np.float32], raw: NDArray[np.float32], y: NDArray[np.int64], card: Card) -> dict[str, Any]:
    bins = sure.reliability(p, y)
    share, accuracy = sure.kept(p, y, REVIEW_BELOW)
    return {
        "temperature": card.temperature,
        **sure.summary(p, y),
        "without_temperature": sure.summary(raw, y),
        "bins": {"confidence": bins.confidence, "accuracy": bins.accuracy, "samples": bins.samples},
        "confident": {"threshold": REVIEW_BELOW, "share": share, "accuracy": accuracy},
    }


def _note_of_confidence(calibration: Mapping[str, Any]) -> Iterator[str]:
    if at_an_end(calibration["temperature"]):
        yield (
            f"The temperature, {calibration['temperature']:.3g}, lies at the end of what is looked at: the blocks it "
            "was fitted on do not tell how sure the model may be."
        )
    after, before = (which["expected_calibration_error"] for which in (calibration, calibration["without_temperature"]))
    if after > before:
        yield (
            f"The calibrated confidence is further off here than the model's own (calibration error {after:.3f}, was "
            f"{before:.3f}): the blocks it was calibrated on were few, or unlike these."
        )


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
    low, middle, high = profiles(x[:, :, columns], by.y, len(card.classes)).transpose(1, 0, 3, 2)
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


def _notes(matrices: NDArray[np.int64], names: Sequence[str], by: Judges) -> Iterator[str]:
    """What a reader of the numbers should know, in sentences."""
    yield (
        "Labels are what was declared or mapped, no probability sample: these numbers are agreement with the labels, "
        "not estimates for the area."
    )
    if not by.held_out:
        yield "All labelled samples judge: where the model was trained on some of them, the numbers are too good."
    if len(matrices) < LEAST_BLOCKS:
        yield f"All samples lie in {len(matrices)} block{'s' * (len(matrices) != 1)}: no interval is defined."
    elif len(matrices) < FEW_BLOCKS:
        yield f"Only {len(matrices)} blocks: intervals from so few are rough, and rather too narrow."
    in_blocks = (matrices.sum(axis=1) > 0).sum(axis=0)
    few = f"In fewer than {LEAST_BLOCKS} blocks, so intervals are not defined"
    for blocks, said in (((0,), "Not one sample to judge by"), (range(1, LEAST_BLOCKS), few)):
        if found := [name for name, count in zip(names, in_blocks.tolist(), strict=True) if count in blocks]:
            yield f"{said}: {', '.join(found)}."
    if by.left_out:
        told = ", ".join(f"{row['name'] or row['code']} ({row['samples']} samples)" for row in by.left_out)
        yield f"Left out, since the model does not know these codes: {told}."
