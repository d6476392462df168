"""Temperature scaling (Guo et al. 2017, On Calibration of Modern Neural Networks): one number, fitted on validation,
and applied only where it does not harm there.

On the samples it was fitted on a temperature cannot lose log-likelihood. So it is judged on blocks that it was not
fitted on: the blocks of validation are dealt into up to five groups, each is given the temperature of the others, and
both the log-loss and the expected calibration error over all of validation must not be worse than those of the model's
own confidence. Where they are, or where the temperature lies at an end of what is looked at, the model's own confidence
stands: temperature 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.accuracy import calibration_error
from engine.models.scaling import probabilities

TEMPERATURES = (0.05, 20.0)
"""The least and the largest that are looked at."""
_NEAR = 1.01
"""A temperature within so much of an end is at it."""
_GROUPS = 5
"""Groups of blocks at most, each of which is judged by the temperature of the others."""
_TINY = 1e-7


@dataclass(frozen=True, slots=True)
class Calibration:
    """A temperature, and why it is not applied where it is not."""

    temperature: float
    """The one that is applied; 1 where calibration does not help."""
    fitted: float
    """The one fitted on all of validation."""
    groups: int
    """Groups of blocks that were left out in turn; 1: validation is one block, and the temperature is judged on it."""
    log_loss: tuple[float, float]
    """Of validation: by the model's own confidence, and by the temperatures of other blocks."""
    error: tuple[float, float]
    """The expected calibration error, likewise."""
    refused: str
    """Why the fitted temperature is not applied, in words; empty where it is."""

    def told(self) -> dict[str, Any]:
        """As JSON, for the report and the card."""
        own, fitted = (
            {"log_loss": round(loss, 6), "expected_calibration_error": round(error, 6)}
            for loss, error in zip(self.log_loss, self.error, strict=True)
        )
        return {
            "temperature": self.temperature,
            "fitted": self.fitted,
            "applied": not self.refused,
            **({"refused": self.refused} if self.refused else {}),
            "groups_of_validation_blocks": self.groups,
            "uncalibrated": own,
            "fitted_on_other_blocks": fitted,
        }


def calibrate(logits: NDArray[np.float32], y: NDArray[np.int64], block: NDArray[np.int64]) -> Calibration:
    """The temperature of these validation samples, 1 where it harms.

    logits: (n, k) float32. y: (n,) class indices. block: (n,) the block of each, one or more. Equal input gives an
    equal result.
    """
    fitted, group = fit_temperature(logits, y), _groups(block)
    count = int(group.max()) + 1
    raw, p = probabilities(logits, 1.0), probabilities(logits, fitted)
    if count > 1:
        p = np.empty_like(raw)
        for own in range(count):
            mine = group == own
            p[mine] = probabilities(logits[mine], fit_temperature(logits[~mine], y[~mine]))
    loss, error = (_log_loss(raw, y), _log_loss(p, y)), (calibration_error(raw, y), calibration_error(p, y))
    refused = _why_not(fitted, loss, error)
    return Calibration(1.0 if refused else fitted, fitted, count, loss, error, refused)


def at_an_end(temperature: float) -> bool:
    """Whether a temperature lies at an end of what is looked at: nothing says how sure to be."""
    return not TEMPERATURES[0] * _NEAR < temperature < TEMPERATURES[1] / _NEAR


def fit_temperature(logits: NDArray[np.float32], y: NDArray[np.int64]) -> float:
    """The temperature with the least negative log-likelihood of ``y``, between 0.05 and 20.

    logits: (n, k) float32. y: (n,) class indices. It changes no winner, only how sure it is.
    """
    from scipy.optimize import minimize_scalar  # takes a while to import

    def loss(log_temperature: float) -> float:
        return _log_loss(probabilities(logits, float(np.exp(log_temperature))), y)

    best = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x))


def _log_loss(p: NDArray[np.float32], y: NDArray[np.int64]) -> float:
    return float(-np.log(np.maximum(p[np.arange(len(y)), y], _TINY).astype(np.float64)).mean())


def _why_not(fitted: float, loss: tuple[float, float], error: tuple[float, float]) -> str:
    """What speaks against the fitted temperature; empty where nothing does."""
    if at_an_end(fitted):
        return f"the temperature that fits validation best, {fitted:.3g}, lies at the end of what is looked at"
    found = [
        f"{name} {after:.4f}, was {before:.4f}"
        for name, (before, after) in (("log-loss", loss), ("calibration error", error))
        if after > before
    ]
    return f"on validation blocks that it was not fitted on it harms: {' and '.join(found)}" if found else ""


def _groups(block: NDArray[np.int64]) -> NDArray[np.intp]:
    """(n,) the group of each sample: blocks from the largest down, each to the group that holds the fewest samples."""
    blocks, at, sizes = np.unique(block, return_inverse=True, return_counts=True)
    held = np.zeros(min(_GROUPS, len(blocks)), np.int64)
    of_block = np.zeros(len(blocks), np.intp)
    for index in np.argsort(-sizes, kind="stable"):
        of_block[index] = held.argmin()
        held[of_block[index]] += sizes[index]
    return of_block[at]
