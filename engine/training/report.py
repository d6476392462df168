"""The held-out accuracy of a model as plain JSON, NaN written as null."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.accuracy import calibration_error, confusion, score
from engine.models.card import ClassEntry


def accuracy_report(
    p: NDArray[np.float32], y: NDArray[np.int64], entries: tuple[ClassEntry, ...], *, raw: NDArray[np.float32]
) -> dict[str, Any]:
    """Agreement of predictions with held-out labels.

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


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)
