"""Where to look: places in the area, the sources there, and the order in which their scenes are tried."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import shapely

from engine.catalog import is_shifted
from engine.plan import Plan
from engine.types import Item, Window

PLACES = 4
"""Windows looked at, in tiles spread over the area."""
SIDE_M, LEAST_PX, MOST_PX = 960, 24, 96
"""Side of a window: some fields, and a block or four of each scene's file."""


@dataclass(frozen=True, slots=True)
class Source:
    """Scenes that are encoded alike, as far as the catalogue tells."""

    sensor: str
    collection: str
    platform: str
    baseline: str
    shifted: bool | None
    """Whether Sentinel-2's offset of 0.1 is to be taken off them; None for other products."""

    @property
    def place(self) -> str:
        """What it is called in messages."""
        words = (self.collection, self.platform, self.baseline and f"baseline {self.baseline}")
        return f"inputs.{self.sensor}: {', '.join(filter(None, words))}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A scene at a place."""

    item: Item
    number: int
    window: Window


def source_of(item: Item) -> Source:
    """The source an item belongs to; the satellites of one Sentinel mission are one."""
    mission = re.sub(r"^(sentinel-\d)[a-z]$", r"\1", item.platform)
    return Source(item.sensor, item.collection, mission, item.baseline, is_shifted(item))


def places(plan: Plan) -> list[tuple[int, Window]]:
    """(number of a tile, window about a point of the area in it), of tiles spread evenly over those that have items."""
    filled = np.flatnonzero(np.diff(plan.starts) > 0)
    chosen = dict.fromkeys(filled[(np.arange(PLACES) * 2 + 1) * len(filled) // (2 * PLACES)]) if len(filled) else {}
    return [(int(tile), _window(plan, int(tile))) for tile in chosen]


def candidates(plan: Plan) -> dict[Source, list[Candidate]]:
    """Each source's scenes at the places, dates far from each other first, places in turn."""
    queues: dict[Source, list[list[Candidate]]] = defaultdict(list)
    for number, series in enumerate(series_at(plan)):
        here: dict[Source, list[Candidate]] = defaultdict(list)
        for candidate in series:
            here[source_of(candidate.item)].append(candidate)
        for source, some in here.items():
            queues[source].append([some[i] for i in spread(len(some), offset=number)])
    return {
        source: [c for turn in zip_longest(*several) for c in turn if c is not None]
        for source, several in queues.items()
    }


def series_at(plan: Plan) -> list[list[Candidate]]:
    """For each place its scenes, earliest first."""
    found = []
    for number, (tile, window) in enumerate(places(plan)):
        links = plan.links[plan.starts[tile] : plan.starts[tile + 1]]
        found.append([Candidate(plan.items[i], number, window) for i in links])
    return found


def changes(series: Sequence[Sequence[Candidate]]) -> list[tuple[list[Candidate], list[Candidate]]]:
    """Where Sentinel-2's processing changes at a place: scenes before, latest first, and after, earliest first. Of
    each two kinds of processing the change with the shortest time between."""
    best: dict[frozenset, tuple[float, list[Candidate], list[Candidate]]] = {}
    for here in series:
        for collection in {c.item.collection for c in here if is_shifted(c.item) is not None}:
            mine = [c for c in here if c.item.collection == collection]
            for i in range(1, len(mine)):
                kinds = [(c.item.baseline, is_shifted(c.item)) for c in mine]
                pair, gap = frozenset(kinds[i - 1 : i + 1]), _days(mine[i - 1], mine[i])
                if len(pair) == 2 and (pair not in best or gap < best[pair][0]):
                    before = [c for c, kind in zip(mine[:i], kinds, strict=False) if kind == kinds[i - 1]][::-1]
                    after = [c for c, kind in zip(mine[i:], kinds[i:], strict=True) if kind == kinds[i]]
                    best[pair] = gap, before, after
    return [(before, after) for _, before, after in best.values()]


def spread(number: int, offset: int = 0) -> Iterator[int]:
    """0 to ``number`` - 1, each next one far from those before: halves, quarters, eighths."""
    seen: set[int] = set()
    parts = 1
    while len(seen) < number:
        for odd in range(1, 2 * parts, 2):
            i = (number * odd // (2 * parts) + offset) % number
            if i not in seen:
                seen.add(i)
                yield i
        parts *= 2


def _window(plan: Plan, tile: int) -> Window:
    grid, core = plan.grid, plan.tiles[tile].core
    left, bottom, right, top = grid.bounds(core)
    inside = shapely.box(left, bottom, right, top) & plan.area
    point = (
        inside.representative_point() if not inside.is_empty else shapely.Point((left + right) / 2, (top + bottom) / 2)
    )
    side = min(max(round(SIDE_M / grid.resolution), LEAST_PX), MOST_PX)
    row, col = (grid.top - point.y) / grid.resolution, (point.x - grid.left) / grid.resolution
    y0, x0 = _clipped(row, side, grid.height), _clipped(col, side, grid.width)
    return Window(y0, min(y0 + side, grid.height), x0, min(x0 + side, grid.width))


def _clipped(middle: float, side: int, whole: int) -> int:
    return max(0, min(int(middle) - side // 2, whole - side))


def _days(one: Candidate, other: Candidate) -> float:
    return abs((other.item.datetime - one.item.datetime).total_seconds()) / 86400
