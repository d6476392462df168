"""Looking: a scene at a place, its quality layer first, and the bands where there is something to see."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.bands import ASSET_BANDS
from engine.cube import CubeOptions, Reader, clear
from engine.errors import InfrastructureError, TilthError
from engine.look.sample import Candidate
from engine.plausible import Finding, Sight, mask_fault

SIGHTS, TRIES, AT_ONCE = 6, 24, 6
"""Clear sights wanted of a source, scenes tried for them, and how many at a time."""
CLEAR = 0.3
"""Share of a window that is to be clear for its bands to be read."""

Key = tuple[str, str, int]


@dataclass
class Eyes:
    """Reads sights, each once. ``glances`` hold the first band alone, also of clouds; ``faults`` what is wrong with a
    quality layer, ``unread`` what could not be read."""

    read: Reader
    options: CubeOptions
    seen: dict[Key, Sight | None] = field(default_factory=dict)
    glances: dict[Key, Sight] = field(default_factory=dict)
    faults: dict[Key, Finding] = field(default_factory=dict)
    unread: dict[Key, TilthError] = field(default_factory=dict)

    def look(self, wanted: Sequence[Candidate], sights: int = SIGHTS, tries: int = TRIES) -> list[Sight]:
        """The first so many clear sights among the candidates, in their order."""
        found: list[Sight] = []
        for start in range(0, min(tries, len(wanted)), AT_ONCE):
            batch = wanted[start : min(start + AT_ONCE, tries)]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                found += [sight for sight in pool.map(self._sight, batch) if sight is not None]
            failed = (self.unread.get(key(candidate)) for candidate in batch)
            if len(found) >= sights or any(isinstance(error, InfrastructureError) for error in failed):
                break  # the next would wait as long for the same store
        return found[:sights]

    def glances_of(self, some: Sequence[Candidate]) -> list[Sight]:
        """What was seen of these, clear or not."""
        return [self.glances[key(c)] for c in some if key(c) in self.glances]

    def _sight(self, candidate: Candidate) -> Sight | None:
        name = key(candidate)
        if name not in self.seen and name not in self.unread:
            try:
                self.seen[name] = self._read(candidate)
            except TilthError as error:
                self.unread[name] = error
        return self.seen.get(name)

    def _read(self, candidate: Candidate) -> Sight | None:
        item, window = candidate.item, candidate.window
        mask = self.read(item, "mask", window) if item.mask_kind else None
        bands = ASSET_BANDS[item.sensor]
        first = self._band(candidate, bands[0])
        if first is None or (item.mask_kind and mask is None):
            return None
        raw, kept = None, np.ones(first.shape, np.bool_)
        if mask is not None and item.mask_kind:
            raw = mask.on_grid(mask.known(0), 0)
            if fault := mask_fault(item.mask_kind, raw):
                self.faults[key(candidate)] = fault
                return None
            seen = clear(item, window, lambda *_: mask, self.options)
            kept = seen if seen is not None else ~kept
        self.glances[key(candidate)] = Sight(item.id, candidate.number, item.datetime, first[None], kept, raw)
        if np.mean(kept & np.isfinite(first)) < CLEAR:
            return None
        planes = [first, *(self._band(candidate, band) for band in bands[1:])]
        if any(plane is None for plane in planes):
            return None
        return Sight(item.id, candidate.number, item.datetime, np.stack(planes), kept, raw)  # type: ignore[arg-type]

    def _band(self, candidate: Candidate, band: str) -> NDArray[np.float32] | None:
        patch = self.read(candidate.item, band, candidate.window)
        return None if patch is None else patch.on_grid(patch.physical(), np.nan)


def key(candidate: Candidate) -> Key:
    """One scene at one place."""
    return candidate.item.collection, candidate.item.id, candidate.number
