"""The held-out accuracy of a model as plain JSON, NaN written as null."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.accuracy import calibration_error, confusion, score
from engine.models.card import ClassEntry
from engine.training.unknown import Unknown


def accuracy_report(
    p: NDArray[np.float32],
    y: NDArray[np.int64],
    entries: tuple[ClassEntry, ...],
    unknown: Sequence[Unknown],
    *,
    raw: NDArray[np.float32],
) -> dict[str, Any]:
    """Agreement of predictions with all held-out labels: those of classes that the model does not know are errors. The
    figures of the classes that it knows are ``of_known_classes``.

    p: (n, k) calibrated probabilities. y: (n,) class indices, those of ``unknown`` after the k of ``entries``. raw:
    (n, k) before calibration. The labels are what a farmer declared or a map says, no probability sample: this is
    agreement with the reference, not an estimate for the area.
    """
    known = y < len(entries)
    found = _figures(p, y, entries, raw, len(entries) + len(unknown))
    matrix, strangers = found["confusion_rows_map_columns_reference"], int((~known).sum())
    return {
        **found,
        "unknown_samples": strangers,
        "unknown_share": _number(strangers / len(y) if len(y) else math.nan),
        "unknown_classes": [
            {
                "code": one.code,
                "name": one.name,
                "samples": one.samples,
                "called": {e.name: row[i] for e, row in zip(entries, matrix, strict=False) if row[i]},
            }
            for i, one in enumerate(unknown, len(entries))
        ],
        "of_known_classes": _figures(p[known], y[known], entries, raw[known], len(entries)),
    }


def _figures(
    p: NDArray[np.float32],
    y: NDArray[np.int64],
    entries: tuple[ClassEntry, ...],
    raw: NDArray[np.float32],
    classes: int,
) -> dict[str, Any]:
    """The figures of these samples. classes: k or more; those after ``entries`` have the probability 0."""
    scores = score(confusion(p.argmax(axis=1), y, classes))
    return {
        "samples": len(y),
        "overall_accuracy": _number(scores.overall),
        "kappa": _number(scores.kappa),
        "macro_f1": _number(scores.macro_f1),
        "quantity_disagreement": _number(scores.quantity),
        "allocation_disagreement": _number(scores.allocation),
        "expected_calibration_error": _number(calibration_error(p, y)),
        "expected_calibration_error_uncalibrated": _number(calibration_error(raw, y)),
        "confusion_rows_map_columns_reference": scores.confusion.tolist(),
        "classes": [
            {
                "code": entry.code,
                "name": entry.name,
                "samples": int(scores.confusion[:, i].sum()),
                "users_accuracy": _number(scores.users[i]),
                "producers_accuracy": _number(scores.producers[i]),
                "f1": _number(scores.f1[i]),
            }
            for i, entry in enumerate(entries)
        ],
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)
