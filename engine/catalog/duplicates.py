"""One scene once: several catalogue items of one acquisition -> the newest processing, split scenes kept whole.

The rule, read off real items of Earth Search, the Planetary Computer and USGS:

1. Items with one id are one item; the last updated is taken.
2. Sentinel-2 items of one product level, satellite, datatake and MGRS tile form a group. The datatake comes from
   ``s2:datatake_id`` or the product name (which starts with it), the tile from ``s2:mgrs_tile``, ``grid:code``,
   ``mgrs:*``, ``sentinel:*`` or the product name.
3. Within a group and one processing baseline, items whose sensing start (of the datastrip, else of the item) differs
   by more than a second are pieces of a scene that the ground segment cut in two: all are kept, whatever sequence
   number ``_0_`` or ``_1_`` their id ends with. Their footprints do not decide, since they may overlap or lie in one
   another (S2B_1CDH_20190104: one piece lies to 99.98 per cent in the other, and holds other lines of pixels).
   Items of equal sensing start are the same piece twice: the newest wins.
4. An item of an older baseline goes if newer ones cover nine tenths of its footprint, else it is a piece that was not
   processed anew, and stays. A kept duplicate costs one read; a dropped piece would lose its pixels.
5. Landsat: of items of one scene and level, tier 1 or 2 wins over real time, then the newest processing.
6. Sentinel-1: product names that differ in their last four digits only are one product; the newest wins.

Newest: the higher processing baseline, then the later generation, ``updated``, ``created``, then the larger id.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime

import pystac
import shapely

from engine.catalog.product import baseline, level, product_name, stated
from engine.catalog.satellite import platform
from engine.earth import shape_of

COVERED = 0.9
"""Share of an older item's footprint that newer ones must cover: footprints of one piece differ by some per cent."""
SAME_SENSING_S = 1.0
S2_NAME = re.compile(r"^(S2[A-D])_MSIL\d[A-C]_(?P<taken>\d{8}T\d{6})_.*T(?P<tile>\d{2}[A-Z]{3})_(?P<made>\d{8}T\d{6})")
S1_NAME = re.compile(r"^(S1[A-D]_.+_\d{6}_[0-9A-F]{6})_[0-9A-F]{4}(.*)$")


def deduplicate(items: Sequence[pystac.Item]) -> tuple[list[pystac.Item], tuple[str, ...]]:
    """(items kept, in their order; one sentence for each item dropped), by the rule at the head of this file."""
    dropped: dict[int, str] = {}
    _drop_same(items, range(len(items)), lambda i: items[i].id, dropped, "the same id twice")
    left = [i for i in range(len(items)) if i not in dropped]
    _drop_same(items, left, lambda i: _landsat_scene(items[i]) or i, dropped, "the same Landsat scene as")
    _drop_same(items, left, lambda i: _radar_product(items[i]) or i, dropped, "the same Sentinel-1 product as")
    groups = defaultdict(list)
    for i in left:
        groups[_acquisition(items[i]) or i].append(i)
    for group in groups.values():
        if len(group) > 1:
            _drop_old(items, group, dropped)
    kept = [item for i, item in enumerate(items) if i not in dropped]
    return kept, tuple(dropped[i] for i in sorted(dropped))


def _drop_same(
    items: Sequence[pystac.Item],
    indices: Sequence[int],
    key: Callable[[int], Hashable],
    dropped: dict[int, str],
    why: str,
) -> None:
    """Of items with one key keep the newest."""
    best: dict[Hashable, int] = {}
    for i in indices:
        other = best.setdefault(key(i), i)
        if other == i:
            continue
        loser, winner = (other, i) if _newness(items[i]) > _newness(items[other]) else (i, other)
        best[key(i)] = winner
        same = items[loser].id == items[winner].id
        dropped[loser] = f"{items[loser].id}: {why}" + ("" if same else f" {items[winner].id}; the newer is kept")


def _drop_old(items: Sequence[pystac.Item], group: Sequence[int], dropped: dict[int, str]) -> None:
    """Rules 3 and 4 within one datatake and tile."""
    kept: list[int] = []
    for i in sorted(group, key=lambda i: _newness(items[i]), reverse=True):
        winner = next((k for k in kept if _same_piece(items[i], items[k])), None)
        newer = [k for k in kept if baseline(items[k]) != baseline(items[i])]
        if winner is None and newer and _covered(items[i], [items[k] for k in newer]):
            winner = newer[0]
        if winner is None:
            kept.append(i)
            continue
        old, new = (baseline(items[j]) or "unknown" for j in (i, winner))
        dropped[i] = f"{items[i].id}: same datatake and tile as {items[winner].id}; baseline {new} kept, {old} dropped"


def _same_piece(item: pystac.Item, other: pystac.Item) -> bool:
    """One baseline, and one sensing start to the second."""
    if baseline(item) != baseline(other):
        return False
    strips = [_strip_start(item), _strip_start(other)]
    if all(strips):
        starts = [datetime.strptime(str(s), "%Y%m%dT%H%M%S") for s in strips]
    else:
        starts = [start for i in (item, other) if (start := i.datetime)]
    return len(starts) == 2 and abs((starts[0] - starts[1]).total_seconds()) <= SAME_SENSING_S


def _strip_start(item: pystac.Item) -> str | None:
    found = re.search(r"_S(\d{8}T\d{6})_N", str(item.properties.get("s2:datastrip_id", "")))
    return found[1] if found else None


def _covered(item: pystac.Item, newer: Sequence[pystac.Item]) -> bool:
    outlines = [i.geometry for i in (item, *newer) if i.geometry]
    if len(outlines) <= len(newer):
        return False
    own, *others = map(shape_of, outlines)
    return bool(own.intersection(shapely.union_all(others)).area >= COVERED * own.area)


def _acquisition(item: pystac.Item) -> tuple[str, ...] | None:
    """(level, satellite, datatake, tile) of a Sentinel-2 item; None for others, or where one of them is not known."""
    if not platform(item).startswith("sentinel-2"):
        return None
    p, name = item.properties, S2_NAME.match(product_name(item))
    taken = re.search(r"\d{8}T\d{6}", str(p.get("s2:datatake_id", "")))
    moment = taken[0] if taken else name["taken"] if name else item.datetime.isoformat() if item.datetime else ""
    parts = (str(level(item) or ""), platform(item), moment, _mgrs_tile(item) or (name["tile"] if name else ""))
    return parts if moment and parts[3] else None


def _mgrs_tile(item: pystac.Item) -> str:
    p = item.properties
    if p.get("s2:mgrs_tile"):
        return str(p["s2:mgrs_tile"]).zfill(5)
    if str(p.get("grid:code", "")).startswith("MGRS-"):
        return str(p["grid:code"])[5:].zfill(5)
    for zone, band, square in (
        ("mgrs:utm_zone", "mgrs:latitude_band", "mgrs:grid_square"),
        ("sentinel:utm_zone", "sentinel:latitude_band", "sentinel:grid_square"),
    ):
        if all(key in p for key in (zone, band, square)):
            return f"{p[zone]}{p[band]}{p[square]}".zfill(5)
    return ""


def _landsat_scene(item: pystac.Item) -> tuple[str, str] | None:
    """(scene without its ground station version, level): LC80330322023281, L2SP."""
    scene = item.properties.get("landsat:scene_id")
    correction = stated(item, "landsat:correction", "landsat:processing_level")
    return ("landsat", f"{str(scene)[:16]} {str(correction or '').upper()}") if scene else None


def _radar_product(item: pystac.Item) -> tuple[str, str] | None:
    found = S1_NAME.match(item.id)
    return (found[1], found[2]) if found else None


def _newness(item: pystac.Item) -> tuple:
    """Sorts older before newer."""
    p, name = item.properties, S2_NAME.match(product_name(item))
    made = p.get("s2:generation_time") or (name["made"] if name else "") or p.get("landsat:product_generated", "")
    stamps = [re.sub(r"[-:]", "", str(text or ""))[:15] for text in (made, p.get("updated"), p.get("created"))]
    settled = p.get("landsat:collection_category") != "RT"
    return (settled, baseline(item) or "", *stamps, item.id)
