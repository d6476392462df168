"""Temperatures that no land has: degrees Celsius, and numbers that were not scaled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.plausible.finding import Finding, Sight, enough

COLDEST_K, HOTTEST_K = 220.0, 345.0
"""Land where crops grow lies between: 344 K is the hottest year's maximum that MODIS saw in deserts (Mildrexler et al.
2011), below 220 K are polar plateaus in their night and the tops of clouds."""
IMPOSSIBLE_BELOW_K, IMPOSSIBLE_ABOVE_K = 180.0, 365.0
"""Beyond what has been seen of any land from space: 175 K in Antarctica (Scambos et al. 2018), 354 K in the Lut desert
(Zhao et al. 2021). Degrees Celsius are below 60; Landsat's DN 30,000 to 50,000, and 100 to 170 without their offset."""
FEW = 0.05

_EXPECTED = f"surface temperature in kelvin, {COLDEST_K:g} to {HOTTEST_K:g} on land"
_REMEDY = "state scale and offset (raster:bands) that give kelvin, or use such a product"


def kelvin_fault(values: NDArray[np.float32]) -> Finding | None:
    """What shows in one image's clear pixels that they are no temperatures in kelvin; None where nothing does, or where
    too few of the image's are clear to tell.

    values: any shape, float32, NaN where cloudy or without data.
    """
    finite = np.isfinite(values)
    wrong = finite & ~((values >= IMPOSSIBLE_BELOW_K) & (values <= IMPOSSIBLE_ABOVE_K))
    number = int(np.count_nonzero(finite))
    if not enough(number, values.size) or 2 * np.count_nonzero(wrong) <= number:
        return None
    median = float(np.median(values[finite]))
    what = "degrees Celsius" if -60 <= median <= 80 else "numbers without their scale and offset"
    return Finding(f"median {median:.4g}, so it looks like {what}", _EXPECTED, _REMEDY)


def kelvin_findings(sights: Sequence[Sight]) -> list[Finding]:
    """What several sights of one source show together."""
    pooled = np.concatenate([sight.pixels().ravel() for sight in sights] or [np.zeros(0, np.float32)])
    if pooled.size == 0:
        return []
    share = float(np.mean((pooled < COLDEST_K) | (pooled > HOTTEST_K)))
    if share <= FEW:
        return []
    scenes = [s.scene for s in sights if s.pixels().size and not COLDEST_K <= np.median(s.pixels()) <= HOTTEST_K]
    seen = f"{share:.0%} of clear pixels below {COLDEST_K:g} or above {HOTTEST_K:g} K, median {np.median(pooled):.4g}"
    return [Finding(seen, _EXPECTED, _REMEDY, share > 0.5, tuple(scenes))]
