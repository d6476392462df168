"""What is looked at, and what is found: the nouns that the rules share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

NAMED = 3
"""Scenes named in a sentence; the others are counted."""
LEAST_PIXELS, LEAST_SHARE = 30, 0.01
"""Of an image so many pixels and such a share are to be seen before they tell anything of the whole: what clouds,
shadows and the border of a swath leave over has numbers of its own."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What one scene shows of one place.

    bands: (b, y, x) float32, physical units, in the order of the sensor's ``ASSET_BANDS``, NaN = no data. clear: (y, x)
    bool, what its quality layer keeps. mask: (y, x), that layer's own numbers; None where the item has none.
    """

    scene: str
    place: int
    when: datetime
    bands: NDArray[np.float32]
    clear: NDArray[np.bool_]
    mask: NDArray | None = None

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(y, x), True where it is clear and every band has a value."""
        return np.isfinite(self.bands).all(axis=0) & self.clear

    def pixels(self) -> NDArray[np.float32]:
        """(b, n) float32: the pixels seen."""
        return self.bands[:, self.seen]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with the numbers: what was seen, in which scenes, what was expected, and what to do about it."""

    seen: str
    expected: str
    remedy: str
    certain: bool = True
    """Whether no scene of land can look so; else it is a doubt, to be told and no more."""
    scenes: tuple[str, ...] = ()


def enough(number: int, of: int) -> bool:
    """Whether ``number`` pixels seen, ``of`` an image's, tell what the image holds."""
    return number >= max(LEAST_PIXELS, LEAST_SHARE * of)


def named(scenes: Sequence[str]) -> str:
    """The first scenes by name and the number of the others."""
    several = tuple(dict.fromkeys(scenes))
    more = f" and {len(several) - NAMED} more" if len(several) > NAMED else ""
    return ", ".join(several[:NAMED]) + more
