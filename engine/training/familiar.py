"""What a model's training looked like, kept for telling land that is unlike it (``engine.models.familiarity``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.models.familiarity import FALSE_ALARMS, Reference, levels_of, middle, to_bytes
from engine.training.parts import Part

AXES = 32
"""Principal axes at most: with 16 four sets are told a little worse, by an AUROC of 0.904 for 0.912 in the mean."""
MOST_LEARNT = 2_000
"""Training samples that all is learnt from, spread evenly over classes."""
TREES = 50
_PARTS = ("train", "validation", "test")
_FLAT = 1e-4
"""A scaled feature that varies less is left as it is, not divided by its deviation."""


def familiarity_of(parts: Mapping[str, Part]) -> tuple[bytes, dict[str, Any]]:
    """``familiarity.safetensors`` of a training, and what its report says: how many samples of known classes the test
    holds that would be told unfamiliar, which validation promises to be ``FALSE_ALARMS`` percent.

    A model that takes several cut-offs gets a reference for each that it is judged at; the report is of the last.
    """
    train, validation = parts["train"], parts["validation"]
    found: dict[int, Reference] = {}
    for (x, _), (known, _), (test, _) in zip(*(parts[name].judged() for name in _PARTS), strict=True):
        made = found[x.shape[1]] = reference(middle(x), train.y, middle(known))
        told = made.graded(made.distance(middle(test)))
    return to_bytes(found), {
        "validation_samples": len(validation.y),
        "told_below": FALSE_ALARMS,
        "tells": bool(np.isfinite(made.levels[FALSE_ALARMS - 1])),
        "told_of_known_test_samples": round(float((told < FALSE_ALARMS).mean()), 6),
    }


def reference(x: NDArray[np.float32], y: NDArray[np.int64], known: NDArray[np.float32]) -> Reference:
    """The reference of scaled training series x (n, t, f) with their classes y (n,), and validation's (m, t, f).

    The same for equal arguments on one kind of processor.
    """
    some = _evenly(y, MOST_LEARNT)
    rows, of = np.asarray(x[some].reshape(len(some), -1), np.float64), np.unique(y[some], return_inverse=True)[1]
    centre, spread = rows.mean(axis=0), rows.std(axis=0)
    spread[spread < _FLAT] = 1.0
    weight = _importances(rows, of) / spread
    along = _principal((rows - centre) * weight)
    z = ((rows - centre) * weight) @ along
    means = np.stack([z[of == code].mean(axis=0) for code in range(of.max() + 1)])
    whiten = _whitening(z - means[of])
    made = Reference(
        x.shape[1],
        centre.astype(np.float32),
        np.ascontiguousarray(weight[:, None] * along @ whiten, np.float32),
        np.ascontiguousarray((means @ whiten).T, np.float32),
        np.zeros(0, np.float32),
    )
    return replace(made, levels=levels_of(made.distance(known)))


def _evenly(y: NDArray[np.int64], most: int) -> NDArray[np.intp]:
    """Rows of about ``most`` samples at most, in order: of each class as many, spread evenly over its own, or all."""
    codes, counts = np.unique(y, return_counts=True)
    each = np.minimum(counts, max(1, most // len(codes)))
    own = [np.flatnonzero(y == code) for code in codes]
    spread = [rows[np.linspace(0, len(rows) - 1, n).round().astype(np.intp)] for rows, n in zip(own, each, strict=True)]
    return np.sort(np.concatenate(spread))


def _importances(rows: NDArray[np.float64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much each of d columns tells of the classes, (d,), 1 in the mean: what a small forest splits by, whatever the
    model's family."""
    from sklearn.ensemble import RandomForestClassifier  # takes a second to import

    forest = RandomForestClassifier(TREES, min_samples_leaf=2, random_state=0).fit(rows.astype(np.float32), y)
    found = np.asarray(forest.feature_importances_, np.float64)
    return found / found.mean() if found.any() else np.ones_like(found)


def _principal(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(d, r), the principal axes of centred rows (n, d), ``AXES`` of them at most."""
    values, axes = np.linalg.eigh(rows.T @ rows / len(rows))
    most = int(max(1, min(AXES, len(rows) - 1, (values > values[-1] * 1e-6).sum())))
    return np.asarray(axes[:, ::-1][:, :most])


def _whitening(within: NDArray[np.float64]) -> NDArray[np.float64]:
    """(r, r), what makes the shrunk covariance of rows (n, r), of mean 0 within each class, the unit's."""
    from sklearn.covariance import ledoit_wolf  # takes a while to import

    covariance, _ = ledoit_wolf(within, assume_centered=True)
    values, axes = np.linalg.eigh(covariance)
    return np.asarray(axes / np.sqrt(np.maximum(values, max(values[-1], 1e-9) * 1e-6)))
