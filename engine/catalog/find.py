"""The catalogue's front door: everything one sensor has for an area and a period, resolved, with its audit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import pystac
from shapely.geometry.base import BaseGeometry

from engine.catalog.choice import NeverHad
from engine.catalog.duplicates import deduplicate
from engine.catalog.identity import identify
from engine.catalog.product import baselines, crs_code, spelled_number
from engine.catalog.query import Funnel, search_counted
from engine.catalog.resolution import resolve_explained
from engine.catalog.satellite import Satellite, satellite
from engine.catalog.source import SourceOptions
from engine.earth import lonlat_box
from engine.errors import InputError
from engine.types import Item

EXAMPLES = 3
"""Cases named in full in an audit line; the others are counted."""


@dataclass(frozen=True, slots=True)
class Found:
    """Items ready for the plan, in time order; what had to be left out; and what was decided, in sentences."""

    items: tuple[Item, ...]
    problems: tuple[str, ...]
    audit: tuple[str, ...]


def find_items(source: SourceOptions, sensor: str, area: BaseGeometry, start: datetime, end: datetime) -> Found:
    """Search, drop duplicates and clouds, resolve, identify.

    area: polygon in EPSG:4326; ``start <= datetime < end``, UTC. An item that cannot be used does not stop the others:
    it is named in ``problems``, unless its product is made without what is asked: then it is counted in the audit.
    InputError where nothing is left, with the count after each filter.
    """
    matches = search_counted(source, sensor, area, start, end)
    wanted = [item for item in matches.items if item.id not in source.exclude]
    funnel = matches.funnel.then("not excluded", len(wanted)) if source.exclude else matches.funnel
    unique, dropped = deduplicate(wanted)
    funnel = funnel.then("after duplicates", len(unique))
    clear, audit = _clear(unique, source.max_cloud)
    if source.max_cloud is not None:
        funnel = funnel.then(f"with at most {source.max_cloud:g} % cloud", len(clear))
    resolved, reasons, unusable, bare = _resolve_all(clear, source, sensor)
    items, lost = identify(resolved)
    problems = (*matches.problems, *unusable, *lost)
    if not items:
        where = f"bbox {[round(v, 4) for v in lonlat_box(area)]}, {start:%Y-%m-%d} to before {end:%Y-%m-%d}"
        raise _nothing(source, sensor, where, funnel.then("usable", 0), (*problems, *map(str, bare)))
    usable = {item.id for item in items}
    explained = [pair for pair in zip(resolved, reasons, strict=True) if pair[0].id in usable]
    audit = [
        f"{sensor}: {source.collection} of {source.catalog}: {funnel.then('usable', len(items))}",
        *_encodings(source.collection, explained),
        *_without(sensor, bare),
        *_duplicates(dropped),
        *audit,
        *_satellites([item for item in clear if item.id in usable]),
        *_crs([item for item in clear if item.id in usable]),
    ]
    return Found(items, problems, tuple(audit))


def _clear(items: Sequence[pystac.Item], max_cloud: float | None) -> tuple[list[pystac.Item], list[str]]:
    """Items with at most so much cloud; those that do not say, or say what is no per cent, are kept, and the audit says
    so."""
    if max_cloud is None:
        return list(items), []
    stated = [item.properties.get("eo:cloud_cover") for item in items]
    read = [spelled_number(cloud) for cloud in stated]
    clouds = [cloud if cloud is not None and 0 <= cloud <= 100 else None for cloud in read]
    clear = [item for item, cloud in zip(items, clouds, strict=True) if cloud is None or cloud <= max_cloud]
    silent = clouds.count(None)
    odd = [f"{said!r}"[:40] for said, cloud in zip(stated, clouds, strict=True) if cloud is None and said is not None]
    such = f" that is from 0 to 100 per cent ({', '.join(dict.fromkeys(odd[:EXAMPLES]))})" if odd else ""
    return clear, [f"{silent} items state no cloud cover{such} and were kept"] if silent else []


def _resolve_all(
    items: Sequence[pystac.Item], source: SourceOptions, sensor: str
) -> tuple[list[Item], list[str], list[str], list[NeverHad]]:
    """(resolved, why each is read so, problems, items whose product is made without what is asked)."""
    resolved: list[Item] = []
    reasons: list[str] = []
    problems: list[str] = []
    bare: list[NeverHad] = []
    for item in items:
        try:
            pinned, reason = resolve_explained(item, source, sensor)
        except NeverHad as error:
            bare.append(error)
            continue
        except InputError as error:
            problems.append(str(error))
            continue
        resolved.append(pinned)
        reasons.append(reason)
    return resolved, reasons, problems, bare


def _encodings(collection: str, explained: Iterable[tuple[Item, str]]) -> list[str]:
    groups: dict[str, list[datetime]] = defaultdict(list)
    for item, reason in explained:
        groups[reason].append(item.datetime)
    return [
        f"{len(dates)} {collection} items {min(dates):%Y-%m-%d}..{max(dates):%Y-%m-%d}: {reason}"
        for reason, dates in sorted(groups.items(), key=lambda group: min(group[1]))
    ]


def _without(sensor: str, bare: Sequence[NeverHad]) -> list[str]:
    """One line for all items whose products never had what is asked: no damage, nothing to mend."""
    if not bare:
        return []
    named = "; ".join(f"{error.place}: {error.value}" for error in bare[:EXAMPLES])
    more = f"; and {len(bare) - EXAMPLES} more" if len(bare) > EXAMPLES else ""
    return [f"{len(bare)} items were not used for {sensor}, since their products are made without it: {named}{more}"]


def _satellites(items: Sequence[pystac.Item]) -> list[str]:
    """Which satellites the scenes are of and by what each was recognised; where items contradict themselves in this or
    in their baseline."""
    groups: dict[tuple[str, str], list[Satellite]] = defaultdict(list)
    for found in map(satellite, items):
        groups[found.name or "of a satellite that nothing tells", found.by.split()[0]].append(found)
    told = [f"{len(group)} {name} (by {by})" for (name, by), group in sorted(groups.items())]
    sisters = [f"{one.by}: {one.name}, against {', '.join(by for _, by in one.against)}"
               for group in groups.values() for one in group if one.against]  # fmt: skip
    told_twice = [list(by.values()) for by in map(baselines, items) if len(by) > 1]
    versions = [f"{by[0]}, against {', '.join(by[1:])}; the first is taken" for by in told_twice]
    doubts = [
        f"{len(cases)} items contradict themselves about their {what}, such as {cases[0]}"
        for what, cases in (("satellite", sisters), ("processing baseline", versions))
        if cases
    ]
    return [f"scenes by satellite: {', '.join(told)}", *doubts] if told else []


def _duplicates(dropped: Sequence[str]) -> list[str]:
    if not dropped:
        return []
    more = f"; and {len(dropped) - EXAMPLES} more" if len(dropped) > EXAMPLES else ""
    return [f"{len(dropped)} duplicates dropped, newest processing kept: {'; '.join(dropped[:EXAMPLES])}{more}"]


def _crs(items: Sequence[pystac.Item]) -> list[str]:
    """Which CRSs the scenes are in; the plan knows the grid's, to which each is resampled."""
    codes = Counter(crs_code(item, next(iter(item.assets.values()))) or "a CRS not stated" for item in items)
    told = ", ".join(f"{count} in {code}" for code, count in sorted(codes.items()))
    return [f"scenes by CRS: {told}"] if codes else []


def _nothing(source: SourceOptions, sensor: str, where: str, funnel: Funnel, problems: Sequence[str]) -> InputError:
    cloud = "any cloud" if source.max_cloud is None else f"at most {source.max_cloud:g} % cloud"
    first = f"; first problem: {problems[0]}" if problems else ""
    return InputError(
        f"nothing found in {source.catalog}, collection {source.collection}, {where}, {cloud}; {funnel}{first}",
        expected="at least one item",
        place=f"inputs.{sensor}",
        remedy="mend that problem"
        if problems
        else "look for the first 0: change the collection's name, the season, the area or max_cloud there",
    )
