"""A look at the pixels of some scenes before work starts: can they be what the catalogue says?

Of every source (collection, platform, baseline) some clear scenes spread over the season are read at some places of the
area. What no land can look like is refused, what is doubtful told. Where the spec says so, pixels of Sentinel-2 decide
whether an offset is to be taken off.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from engine.catalog import is_shifted, with_offset
from engine.cube import CubeOptions, Reader
from engine.errors import TilthError
from engine.look.judge import findings, of_jump, of_offset, of_verified, refusal, sentence
from engine.look.sample import Candidate, Source, candidates, changes, series_at, source_of
from engine.look.sights import TRIES, Eyes, key
from engine.plan import Plan
from engine.plausible import Finding, Misplaced, Sight, jump, misplaced
from engine.types import Item

_SOURCES = 8
"""Sources looked at side by side."""
_EACH_SIDE, _TRIES = 2, 8
"""Clear scenes wanted before and after a change of processing, and scenes tried for them."""


@dataclass(frozen=True)
class Looked:
    """The items, their offsets decided; what was seen, in sentences; what could not be read; and of sources of which
    nothing could be read, the name and the first error."""

    items: tuple[Item, ...]
    told: tuple[str, ...]
    unread: tuple[TilthError, ...]
    blind: tuple[tuple[str, TilthError], ...]


def look(plan: Plan, read: Reader, options: CubeOptions, verify: Collection[str] = ()) -> Looked:
    """Look at the plan's scenes. ``verify``: collections of which the pixels decide whether an offset is taken off.

    Raises InputError for what is certainly wrong, naming the scenes, what was seen, what was expected and the remedy.
    """
    return _Look(plan, Eyes(read, options), frozenset(verify)).whole()


@dataclass
class _Look:
    plan: Plan
    eyes: Eyes
    verify: frozenset[str]
    wrong: list[tuple[str, Finding]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    blind: list[tuple[str, TilthError]] = field(default_factory=list)
    turned: set[tuple[str, str]] = field(default_factory=set)
    """(collection, id) of items whose offset the pixels have decided against the catalogue."""

    def whole(self) -> Looked:
        tried = candidates(self.plan)
        with ThreadPoolExecutor(_SOURCES) as pool:
            sights = dict(zip(tried, pool.map(self.eyes.look, tried.values()), strict=True))
        for source, some in sights.items():
            self._judge(source, tried[source], some)
        self._judge_changes()
        if self.wrong:
            raise refusal(self.wrong)
        unread = tuple(self.eyes.unread.values())
        scenes = {sight.scene for some in sights.values() for sight in some}
        self.told.insert(0, f"pixels of {len(scenes)} scenes of {len(sights)} sources were looked at")
        if unread:
            self.told.append(f"{len(unread)} could not be looked at, the first: {unread[0]}")
        items = [self._decided(item) for item in self.plan.items]
        return Looked(tuple(items), tuple(self.told), unread, tuple(self.blind))

    def _judge(self, source: Source, tried: Sequence[Candidate], sights: list[Sight]) -> None:
        faults = [(c.item.id, fault) for c in tried if (fault := self.eyes.faults.get(key(c)))]
        if faults:
            first = faults[0][1]
            self._found(source, [replace(first, scenes=tuple(name for name, _ in faults))])
            return
        failed = [error for c in tried if (error := self.eyes.unread.get(key(c)))]
        if failed and not any(key(c) in self.eyes.seen for c in tried):
            self.blind.append((source.place, failed[0]))
            return
        kind = tried[0].item.mask_kind
        if not sights:
            self.told.append(f"{source.place}: no clear scene among {min(len(tried), TRIES)} looked at")
        found = findings(source, kind, sights, self.eyes.glances_of(tried))
        if source.sensor == "optical" and not any(finding.certain for finding in found):
            if source.shifted is not None and source.collection in self.verify:
                sights = self._verified(source, tried, sights)
                found = findings(source, kind, sights, self.eyes.glances_of(tried))
            found = [*(f for each in misplaced(sights) for f in of_offset(each, source)), *found]
        self._found(source, found)

    def _verified(self, source: Source, tried: Sequence[Candidate], sights: list[Sight]) -> list[Sight]:
        """The sights with the offset that their pixels tell; the items that the catalogue is wrong about are noted."""
        here = _wrongly(source, sights)
        if here is None:
            return sights
        scenes = {item.id for item in self.plan.items if source_of(item) == source}
        of = len(scenes)
        if here.right:  # the catalogue is right about some of them, so each is asked
            sights = self.eyes.look(tried, len(tried), len(tried))
            here = _wrongly(source, sights) or here
            scenes = set(here.scenes)
        self.turned |= {(source.collection, scene) for scene in scenes}
        self.told.append(of_verified(source, here, len(scenes), of))
        return [self._corrected(sight, source) for sight in sights]

    def _corrected(self, sight: Sight, source: Source) -> Sight:
        if (source.collection, sight.scene) not in self.turned:
            return sight
        return replace(sight, bands=sight.bands + (0.1 if source.shifted else -0.1))

    def _judge_changes(self) -> None:
        for before, after in changes(series_at(self.plan)):
            sources = source_of(before[0].item), source_of(after[0].item)
            sides = [
                [self._corrected(sight, source) for sight in self.eyes.look(side, _EACH_SIDE, _TRIES)]
                for side, source in zip((before, after), sources, strict=True)
            ]
            found = jump(*sides)
            if found:
                kinds = " to ".join(
                    f"baseline {s.baseline or 'unknown'} with offset {-0.1 if s.shifted else 0:g}" for s in sources
                )
                self._found(sources[1], [of_jump(found, sides[0], sides[1], kinds)])

    def _found(self, source: Source, several: Sequence[Finding]) -> None:
        sure = [(source.place, finding) for finding in several if finding.certain]
        self.wrong += sure
        if not sure:
            self.told += [sentence(source.place, finding) for finding in several]

    def _decided(self, item: Item) -> Item:
        if (item.collection, item.id) not in self.turned:
            return item
        return with_offset(item, not is_shifted(item))


def _wrongly(source: Source, sights: Sequence[Sight]) -> Misplaced | None:
    """The scenes of a source that another offset than the items' would put right, where that is certain."""
    wrong = "dark" if source.shifted else "bright"
    return next((each for each in misplaced(sights) if each.level == wrong and each.scenes), None)
