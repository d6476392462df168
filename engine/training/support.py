"""Fitting a support vector machine."""

from __future__ import annotations

import numpy as np
from sklearn.svm import SVC

from engine.models.svm import standardised, to_bytes
from engine.training.options import TrainOptions
from engine.training.parts import Part, Trained

PENALTY = 3.0
"""C of Kong et al. 2025 (Remote Sensing 17, 1783); they do not state gamma, here 1 / (inputs x variance)."""
CACHE_MB = 500


def separate(train: Part, options: TrainOptions) -> Trained:
    """A support vector machine with radial kernel on the flattened, standardised series of ``train``.

    Time and memory grow with the square of the samples: ``options.per_class`` holds their number down. An input that
    never changes keeps its values, less their mean.
    """
    columns = train.x.reshape(len(train.x), -1).astype(np.float64)
    mean, scale = columns.mean(axis=0), columns.std(axis=0)
    scale[scale < 1e-9] = 1.0
    rows = standardised(train.x, mean, scale)
    weight = "balanced" if options.imbalance == "balanced_loss" else None
    fitted = SVC(C=PENALTY, kernel="rbf", gamma="scale", cache_size=CACHE_MB, class_weight=weight).fit(rows, train.y)
    # For two classes scikit-learn turns the signs round, so that above 0 is the second.
    sign = -1.0 if len(fitted.classes_) == 2 else 1.0
    arrays = {
        "mean": mean,
        "scale": scale,
        "gamma": np.array([fitted._gamma]),
        "vectors": fitted.support_vectors_.astype(np.float32),
        "counts": fitted.n_support_.astype(np.int64),
        "coefficients": sign * fitted.dual_coef_,
        "intercepts": sign * fitted.intercept_,
    }
    count = sum(arrays[name].size for name in ("vectors", "coefficients", "intercepts"))
    return Trained(to_bytes(arrays), count, {"support_vectors": len(arrays["vectors"]), "of": len(rows)})
