"""What travels between the steps of a training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Progress = Callable[[int, int, float, float], None]
"""Called after every epoch with (epoch from 1, epochs at most, mean training loss, validation macro-F1)."""


@dataclass(frozen=True, slots=True)
class Part:
    """Samples of one part of the split. x: (n, t, f) float32 scaled to 0 to 1. y: (n,) int64 class indices."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    later: NDArray[np.float32] | None = None
    """(n, p, f) float32 scaled, NaN = not known: the steps a forecast is to learn."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """Per feature, what ``Card`` holds under the same names."""

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    fill: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Trained:
    """What a family's training gives."""

    weights: bytes
    parameters: int
    """Weights of the network, or nodes of the forest."""
    notes: dict[str, Any]
    """JSON-able remarks for the report, such as the best epoch."""
