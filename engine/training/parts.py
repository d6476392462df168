"""What travels between the steps of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.training.checkpoint import Checkpoint

if TYPE_CHECKING:
    from engine.training.early import Seasons

Progress = Callable[[int, int, float, float], None]
"""Called after every epoch with (epoch from 1, epochs at most, mean training loss, validation macro-F1)."""


_SERIES, _SQUARES = 1024, 64
"""Rows of one forward pass when a network is judged."""


@dataclass(frozen=True, slots=True)
class Part:
    """Samples of one part of the split. x: (n, t, f) or (n, t, f, s, s) float32 scaled to 0 to 1. y: (n,) int64 class
    indices."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    later: NDArray[np.float32] | None = None
    """(n, p, f) float32 scaled, NaN = not known: the steps a forecast is to learn."""
    seasons: Seasons | None = None
    """For cut-offs drawn at random: what was known of the samples at each. ``x`` is then the whole season."""

    def judged(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
        """What a model is judged on, as ``x`` and ``later``: itself, or its seasons at some cut-offs, the last of them
        the whole."""
        if self.seasons is None:
            yield self.x, self.later
        else:
            yield from ((self.seasons.early(until), self.seasons.later(until)) for until in self.seasons.judged_at)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a network's training calls on its way, beside ``Progress``; none of it changes the outcome."""

    batch: Callable[[int, float], None] | None = None
    """Called after every batch with (epoch from 1, share of it done); may raise a TilthError to end the training."""
    resumed: Callable[[int], None] | None = None
    """Called once, with the number of epochs done, where a training goes on from its checkpoint."""
    checkpoint: Checkpoint | None = None


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
    """As on the card."""
    notes: dict[str, Any]
    """JSON-able remarks for the report, such as the best epoch."""


def portions(x: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """``x`` (n, t, f) or (n, t, f, s, s) in portions of rows that a network judges at once."""
    rows = _SERIES if x.ndim == 3 else _SQUARES
    return (x[start : start + rows] for start in range(0, len(x), rows))
