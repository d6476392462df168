"""Temperature scaling (Guo et al. 2017, On Calibration of Modern Neural Networks): one number, fitted on validation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.models.card import probabilities

TEMPERATURES = (0.05, 20.0)
"""The least and the largest that are looked at."""
_TINY = 1e-7


def fit_temperature(logits: NDArray[np.float32], y: NDArray[np.int64]) -> float:
    """The temperature with the least negative log-likelihood of ``y``, between 0.05 and 20.

    logits: (n, k) float32. y: (n,) class indices. It changes no winner, only how sure it is.
    """
    from scipy.optimize import minimize_scalar  # takes a while to import

    rows = np.arange(len(y))

    def loss(log_temperature: float) -> float:
        p = probabilities(logits, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(p[rows, y], _TINY).astype(np.float64)).mean())

    best = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x))
