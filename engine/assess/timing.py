"""From when on in a season a crop can be told: earliest identifiable timing, from F1 over cut-off dates.

Kong et al. (2025, Remote Sensing 17, 1783) take the first date with F1 above 0.80. One lucky date is little to go by,
so two stricter readings stand beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.8


@dataclass(frozen=True, slots=True)
class Earliest:
    """Positions on the axis of cut-offs, None where it never comes to that."""

    first: int | None
    """The first cut-off with F1 at the threshold or above."""
    sustained: int | None
    """The first from which on F1 stays there up to the last cut-off."""
    confident: int | None
    """The first whose 95 % interval lies there as a whole."""


def earliest(f1: NDArray[np.float64], low: NDArray[np.float64], threshold: float = THRESHOLD) -> Earliest:
    """The three timings of one curve.

    f1: (d,) float64, F1 at each cut-off, in time order. low: (d,) float64, lower ends of its intervals. NaN (not
    defined) reaches no threshold.
    """
    reached = f1 >= threshold
    lasting = np.logical_and.accumulate(reached[::-1])[::-1]
    return Earliest(_first(reached), _first(lasting), _first(low >= threshold))


def cut_offs(steps: int, dates: int, first: int = 1) -> list[int]:
    """At most ``dates`` numbers of leading steps from ``first`` on, evenly spread, the last of them all ``steps``."""
    if not 1 <= first <= steps or dates < 1:
        raise ValueError(f"first, steps and dates must be 1 or more and in order, got {first}, {steps} and {dates}")
    beyond = steps - first + 1
    return sorted({first - 1 - (-beyond * (i + 1) // dates) for i in range(dates)})


def held(x: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """x (n, t, f) of a season cut off after t steps, with its last values held up to ``steps``."""
    return np.concatenate([x, np.repeat(x[:, -1:], steps - x.shape[1], axis=1)], axis=1)


def _first(true: NDArray[np.bool_]) -> int | None:
    return int(true.argmax()) if true.any() else None
