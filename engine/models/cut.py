"""What a model that takes several cut-offs is at one of them: how sure, and how good.

Only what was found at a cut-off is that cut-off's own. Between two that it was calibrated at, the logarithm of the
temperature is interpolated by the number of known steps; beyond the first and the last it is that of the nearest. An
accuracy is never taken over from another cut-off: where none was tested, the tested ones on both sides are named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


def temperature_at(steps: int, calibrated: Sequence[tuple[int, float]]) -> float:
    """The temperature where so many steps are known.

    calibrated: (steps, temperature), one or more, in order of steps. Of a cut-off among them its own, to the bit.
    """
    known = dict(calibrated)
    if steps in known:
        return known[steps]
    at, logs = zip(*((n, np.log(temperature)) for n, temperature in calibrated), strict=True)
    return float(np.exp(np.interp(steps, at, logs)))


def training_at(
    steps: int,
    training: Mapping[str, Any],
    calibrated: Sequence[tuple[int, float]],
    *,
    whole: int,
    last_day: Callable[[int], str],
) -> dict[str, Any]:
    """A card's ``training`` where so many steps are known.

    Its accuracy is what was tested at this cut-off; else it holds no figure, but under ``tested`` the rows of the
    nearest tested cut-off before and after, or that of the whole season. Its calibration says whence the temperature
    is. whole: the steps of the card's recipe, which ``accuracy`` is of. last_day: of so many steps.
    """
    rows = sorted(training.get("cut_offs", ()), key=lambda row: int(row["steps"]))
    if not rows and training.get("accuracy"):
        rows = [{"steps": whole, "last_day": last_day(whole), **training["accuracy"]}]
    found = {row["steps"]: row for row in rows}
    known = dict(calibrated)
    near = _around(steps, sorted(known))
    whence = {"temperature_of_steps": {str(n): known[n] for n in near}} if near and steps not in known else {}
    if steps in found:
        row = found[steps]
        return {**training, "accuracy": row, "calibration": {**row.get("calibration", {}), **whence}}
    tested = [found[n] for n in _around(steps, sorted(found))]
    untested = {"steps": steps, "last_day": last_day(steps), "tested": tested} if tested else {}
    return {**training, "accuracy": untested, "calibration": whence}


def _around(steps: int, known: Sequence[int]) -> list[int]:
    """The nearest number before and the nearest after, as far as there are any."""
    return [*[n for n in known if n < steps][-1:], *[n for n in known if n > steps][:1]]
