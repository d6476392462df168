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
    p: NDArray[np.float32], y: NDArray[np.int64], entries: tuple[ClassEntry, ...], *, raw: NDArray[np.float32]
) -> dict[str, Any]:
    """Agreement of predictions with held-out labels of classes that the model knows.

    p: (n, k) calibrated probabilities. y: (n,) class indices. raw: (n, k) before calibration. The labels are what a
    farmer declared or a map says, no probability sample: this is agreement with the reference, not an estimate for the
    area.
    """
    scores = score(confusion(p.argmax(axis=1), y, len(entries)))
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


def everything_report(
    mapped: NDArray[np.integer], y: NDArray[np.int64], entries: tuple[ClassEntry, ...], unknown: Sequence[Unknown]
) -> dict[str, Any]:
    """Agreement over all labelled samples of the test part: those of classes that the model does not know are errors.

    mapped: (n,) class indices. y: (n,) class indices, those of ``unknown`` after those of ``entries``.
    """
    scores = score(confusion(mapped, y, len(entries) + len(unknown)))
    strangers = int((y >= len(entries)).sum())
    return {
        "samples": len(y),
        "unknown_samples": strangers,
        "unknown_share": _number(strangers / len(y) if len(y) else math.nan),
        "overall_accuracy": _number(scores.overall),
        "kappa": _number(scores.kappa),
        "macro_f1": _number(scores.macro_f1),
        "classes": [
            {"code": entry.code, "name": entry.name, "users_accuracy": _number(scores.users[i])}
            for i, entry in enumerate(entries)
        ],
        "unknown_classes": [
            {
                "code": one.code,
                "name": one.name,
                "samples": one.samples,
                "called": {e.name: int(n) for e, n in zip(entries, scores.confusion[:, i], strict=False) if n},
            }
            for i, one in enumerate(unknown, len(entries))
        ],
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)
