"""Reflectance that no land has: numbers not scaled, and an offset taken off twice or not at all.

An offset adds the same to every band, so the differences between bands tell what a pixel is, whatever the offset, and
dense vegetation and water tell the offset: they are dark in blue and red whatever the season, the soil and the sun.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.bands import ASSET_BANDS
from engine.plausible.finding import LEAST_PIXELS, Finding, Sight, enough

Level = Literal["right", "bright", "dark", "unknown"]
"""Whether reflectance stands where it should, about 0.1 too high, too low, or nothing tells."""

BLUE, GREEN, RED, NIR, SWIR = range(len(ASSET_BANDS["optical"]))
DENSE = 0.3
"""Near infrared minus red of dense vegetation. Even where a third of the pixel is bright sand, red stays below 0.12."""
SPREAD = 0.1
"""Brightest minus darkest band of water is less; of snow, 0.4 to 0.9."""
FLOOR_BRIGHT, FLOOR_RIGHT, FLOOR_DARK = 0.095, 0.08, -0.025
"""Blue and red of dense vegetation: 5th percentiles of 0.004 to 0.05 in 13 clear dates of Flanders (0.09 in thin
cloud), medians of 0.03 to 0.06. 0.1 more or less than that lies far beyond these bounds."""
WATER_BRIGHT, WATER_DARK = 0.085, -0.04
"""Near and shortwave infrared of water is 0 to 0.05, somewhat more in sun glint."""
OFFSET = (0.06, 0.14)
"""A jump of 0.1 in every band, give or take what fields change in a few days."""
ALIKE = 0.05
"""How far the jumps of single bands may lie apart: growth, harvest, rain and haze move the bands unlike each other."""
FEW, MANY = 0.05, 0.2
UNSCALED, SNOW = 1.5, 1.2
"""Sun-facing snow reaches 1.1 in some pixels, and clouds 1.4; numbers that were not scaled are hundreds."""
NEGATIVE = -0.02
"""Overcorrected water and shadow reach somewhat below 0."""
NOTHING, LITTLE = 0.01, 0.05
"""Deep clear water still has 0.02 in blue, and of a scene with any land something is brighter than 0.05."""

_EXPECTED = "reflectance of 0 to 1"
_SCALE = "mend scale and offset (raster:bands) in the catalogue, or leave the scenes out (inputs.optical.exclude)"


def reflectance_fault(values: NDArray[np.float32]) -> Finding | None:
    """What shows in the clear pixels of one image that they are no reflectance; None where nothing does, or where too
    few of the image's are clear to tell.

    values: (b, n) or (b, y, x) float32 in the order of the optical ``ASSET_BANDS``, NaN where cloudy or without data.
    """
    clear = np.isfinite(values).all(axis=0)
    number = int(np.count_nonzero(clear))
    if not enough(number, clear.size):
        return None
    brightest, darkest = values[:, clear].max(axis=0), np.maximum(values[BLUE, clear], values[RED, clear])
    if 2 * np.count_nonzero(brightest > 2 * UNSCALED) > number:
        return Finding(f"median of the brightest band {np.median(brightest):.4g}", _EXPECTED, _SCALE)
    if 2 * np.count_nonzero(darkest < 2 * NEGATIVE) > number:
        return Finding(f"median of blue and red {np.median(darkest):.3f}", _EXPECTED, _SCALE)
    return None


def range_findings(sights: Sequence[Sight]) -> list[Finding]:
    """Values outside of what reflectance can be, over all sights of one source."""
    pooled = np.concatenate([sight.pixels() for sight in sights] or [np.zeros((5, 0), np.float32)], axis=1)
    if pooled.shape[1] < LEAST_PIXELS:
        return []
    brightest, darkest = pooled.max(axis=0), pooled.min(axis=0)
    above, snow, below = (float(np.mean(x)) for x in (brightest > UNSCALED, brightest > SNOW, darkest < NEGATIVE))
    top = float(np.percentile(brightest, 99))
    where = tuple(s.scene for s in sights if s.seen.any() and _share_outside(s.pixels()) > FEW)
    median = ", ".join(f"{v:.4g}" for v in np.median(pooled, axis=1))
    told = f"medians of {', '.join(ASSET_BANDS['optical'])} {median}"
    if above > MANY:
        seen = f"{above:.0%} of clear pixels above {UNSCALED:g}, {told}"
        return [Finding(seen, _EXPECTED, _SCALE, scenes=where)]
    if top < LITTLE:
        seen = f"99 % of clear pixels below {top:.2g} in every band, {told}"
        everywhere = tuple(s.scene for s in sights)
        return [Finding(seen, f"{_EXPECTED}, and 0.05 to 0.5 on land", _SCALE, top < NOTHING, everywhere)]
    if snow > FEW or below > FEW:
        seen = f"{snow:.0%} of clear pixels above {SNOW:g}, {below:.0%} below {NEGATIVE:g}, {told}"
        return [Finding(seen, _EXPECTED, _SCALE, certain=False, scenes=where)]
    return []


def _share_outside(values: NDArray[np.float32]) -> float:
    return float(np.mean((values.max(axis=0) > SNOW) | (values.min(axis=0) < NEGATIVE)))


def floor(values: NDArray[np.float32]) -> tuple[Level, float]:
    """(where the dark of one image stands, its reflectance), from dense vegetation, else from water.

    values: (5, n) float32, clear pixels, none missing. ``unknown`` and NaN where there is neither.
    """
    dense = values[NIR] - values[RED] > DENSE
    if np.count_nonzero(dense) >= LEAST_PIXELS:
        of_dense = values[[BLUE, RED]][:, dense]
        low, middle = (float(np.percentile(of_dense, p, axis=1).mean()) for p in (5, 50))
        if middle < FLOOR_DARK:
            return "dark", middle
        if low > FLOOR_BRIGHT and np.percentile(values.min(axis=0), 1) > 0.7 * FLOOR_BRIGHT:
            return "bright", low
        return ("right" if -FLOOR_RIGHT / 4 < low < FLOOR_RIGHT else "unknown"), low
    infrared = values[[NIR, SWIR]].mean(axis=0)
    water = (np.ptp(values, axis=0) < SPREAD) & (values[GREEN] > values[NIR] + 0.01) & (values[RED] > infrared - 0.01)
    if np.count_nonzero(water) < LEAST_PIXELS:
        return "unknown", float("nan")
    level = float(np.median(infrared[water]))
    if level < WATER_DARK:
        return "dark", level
    if level > WATER_BRIGHT:
        return "bright", level
    return ("right" if abs(level) < 0.06 else "unknown"), level


def floors(sights: Sequence[Sight]) -> dict[str, tuple[Level, float]]:
    """``floor`` of every scene that tells: of its sights the darkest counts, since haze only brightens."""
    told: dict[str, tuple[Level, float]] = {}
    for sight in sights:
        level, value = floor(sight.pixels())
        if level != "unknown" and (sight.scene not in told or value < told[sight.scene][1]):
            told[sight.scene] = level, value
    return told


@dataclass(frozen=True, slots=True)
class Misplaced:
    """Scenes whose reflectance stands about 0.1 too high or too low, each with that of its dark pixels.

    doubtful: scenes that look too bright and may be hazy. right: scenes that stand where they should.
    """

    level: Level
    scenes: Mapping[str, float]
    doubtful: Mapping[str, float]
    right: tuple[str, ...]


def misplaced(sights: Sequence[Sight]) -> list[Misplaced]:
    """Which scenes of one source stand too high or too low.

    Nothing makes a scene darker than it is, so one that stands too low is certain. Haze makes it brighter: too high is
    certain where two scenes and more are and none stands right, or where a scene differs from one that stands right, at
    the same place and nearest in time, by the same 0.1 in every band.
    """
    told = floors(sights)
    of: dict[Level, dict[str, float]] = {
        level: {scene: value for scene, (found, value) in told.items() if found == level}
        for level in ("right", "bright", "dark")
    }
    bright, right = of["bright"], tuple(of["right"])
    sure = bright if len(bright) > 1 and not right else {s: v for s, v in bright.items() if _differs(s, right, sights)}
    doubtful = {scene: value for scene, value in bright.items() if scene not in sure}
    found = [Misplaced("dark", of["dark"], {}, right), Misplaced("bright", sure, doubtful, right)]
    return [each for each in found if each.scenes or each.doubtful]


def _differs(scene: str, right: Sequence[str], sights: Sequence[Sight]) -> bool:
    for sight in (s for s in sights if s.scene == scene):
        near = sorted(
            (s for s in sights if s.place == sight.place and s.scene in right), key=lambda s: abs(s.when - sight.when)
        )
        changes = [change for other in near if (change := shift(other, sight)) is not None]
        if changes and is_offset(changes[0]):
            return True
    return False


def shift(before: Sight, after: Sight) -> NDArray[np.float32] | None:
    """(5,) float32, the median change of every band on the pixels both see; None where they are too few, or differ in
    shape."""
    if before.bands.shape != after.bands.shape:
        return None
    both = before.seen & after.seen
    if np.count_nonzero(both) < LEAST_PIXELS:
        return None
    change: NDArray[np.float32] = np.median(after.bands[:, both] - before.bands[:, both], axis=1).astype(np.float32)
    return change


def is_offset(change: NDArray[np.float32]) -> bool:
    """Whether a change is the same 0.1 in every band, up or down, as nothing that grows or melts can be."""
    size = np.abs(change)
    return bool((np.sign(change) == np.sign(change[0])).all() and size.min() > OFFSET[0] and size.max() < OFFSET[1]
                and np.ptp(change) < ALIKE)  # fmt: skip


def jump(before: Sequence[Sight], after: Sequence[Sight]) -> tuple[float, bool] | None:
    """(median jump over all bands and pairs, whether all pairs of two and more scenes agree) between sights of the same
    places before and after a change of processing; None where most pairs show none."""
    changes = [
        (change, one.scene, other.scene)
        for one in before for other in after
        if one.place == other.place and (change := shift(one, other)) is not None
    ]  # fmt: skip
    jumps = [found for found in changes if is_offset(found[0])]
    if 2 * len(jumps) <= len(changes) or not jumps:
        return None
    several = len({one for _, one, _ in jumps}) > 1 and len({other for _, _, other in jumps}) > 1
    size = float(np.median(np.concatenate([change for change, _, _ in jumps])))
    return size, several and len(jumps) == len(changes)
