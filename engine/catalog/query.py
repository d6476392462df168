"""Catalogue -> the items of one collection, area and period, whether a STAC API, a static catalogue or NDJSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import pystac
import pystac_client
import requests
import shapely
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from shapely.geometry.base import BaseGeometry

from engine.catalog.document import Document, footprint, sound, utc, when
from engine.catalog.links import (
    RETRY,
    TIMEOUT_S,
    Trust,
    absolute,
    check_link,
    guard,
    open_session,
    read_json,
    read_text,
)
from engine.catalog.source import SourceOptions
from engine.earth import boxes_of
from engine.errors import InfrastructureError, InputError, TilthError

NDJSON_SUFFIXES = (".ndjson", ".jsonl", ".geojsonl")
PAGE_ITEMS = 250
"""Items per page asked of an API: Earth Search advises so, and refuses pages of some megabytes."""
WALKERS = 16


@dataclass(frozen=True, slots=True)
class Funnel:
    """How many items were left after each filter, in the order applied: what tells the user which one emptied it."""

    counts: tuple[tuple[str, str], ...]

    def then(self, step: str, left: int) -> Funnel:
        """The funnel with one more filter."""
        return Funnel((*self.counts, (step, str(left))))

    def __str__(self) -> str:
        return ", ".join(f"{step}: {left}" for step, left in self.counts)


@dataclass(frozen=True, slots=True)
class Matches:
    """What a search found: items by (datetime, id), the way there, and documents that are no STAC items, or that tell
    neither time nor place."""

    items: list[pystac.Item]
    funnel: Funnel
    problems: tuple[str, ...]


def search(source: SourceOptions, sensor: str, area: BaseGeometry, start: datetime, end: datetime) -> list[pystac.Item]:
    """Items of the source's collection that intersect ``area`` (EPSG:4326) in ``start <= datetime < end`` (UTC).

    Sorted by (datetime, id), asset links absolute. The cloud limit is not applied here but after de-duplication, lest
    a clear old version of a scene be taken for its cloudy new one. An empty list where nothing matches.
    """
    return search_counted(source, sensor, area, start, end).items


def search_counted(source: SourceOptions, sensor: str, area: BaseGeometry, start: datetime, end: datetime) -> Matches:
    """``search``, with the number of items after each filter."""
    trust = Trust(source.catalog, source.allow_hosts)
    session = open_session(trust)
    start, end = utc(start), utc(end)
    documents, funnel = _documents(source, sensor, _Query(area, start, end), session, trust)
    documents = [d for d in documents if d.get("collection") == source.collection]
    funnel = funnel.then(f"of collection {source.collection}", len(documents))
    documents, problems = sound(documents)
    documents = [d for d in documents if start <= (when(d) or datetime.max.replace(tzinfo=UTC)) < end]
    funnel = funnel.then(f"from {start:%Y-%m-%d} to before {end:%Y-%m-%d}", len(documents))
    shapely.prepare(area)
    documents = [d for d in documents if shapely.intersects(area, footprint(d))]
    funnel = funnel.then("in the area", len(documents))
    documents.sort(key=lambda d: (str(when(d)), str(d.get("id"))))
    items = []
    for document in documents:
        try:
            if not isinstance(document["id"], str) or not document["id"]:
                raise TypeError(f"id {document['id']!r}")
            items.append(pystac.Item.from_dict(document, migrate=False, preserve_dict=False))
        except (pystac.STACError, KeyError, TypeError, ValueError, AttributeError) as error:
            problems.append(f"{document.get('id')}: no valid STAC item ({error!r})")
    return Matches(items, funnel, tuple(problems))


@dataclass(frozen=True, slots=True)
class _Query:
    area: BaseGeometry
    start: datetime
    end: datetime


def _documents(
    source: SourceOptions, sensor: str, query: _Query, session: requests.Session, trust: Trust
) -> tuple[list[Document], Funnel]:
    """Every item the catalogue offers for this query, links made absolute, and how many those were."""
    root = absolute(source.catalog, "")
    if root.split("?")[0].lower().endswith(NDJSON_SUFFIXES):
        found = list(_ndjson(root, session, trust))
        return found, Funnel((("items in the file", str(len(found))),))
    document = read_json(root, session, trust)
    if document.get("type") == "FeatureCollection":
        found = [_anchored(d, root) for d in document.get("features", ())]
        return found, Funnel((("items in the file", str(len(found))),))
    if document.get("type") not in ("Catalog", "Collection"):
        raise InputError(
            f"a document of type {document.get('type')!r}",
            expected="a STAC API, a catalog.json, or items in a file that ends with .ndjson",
            place=f"inputs.{sensor}.catalog = {source.catalog}",
        )
    if any(link.get("rel") == "search" for link in document.get("links", ())):
        return _from_api(source, sensor, query, trust)
    found = list(_walk(root, document, source.collection, lambda href: read_json(href, session, trust)))
    return found, Funnel((("items in the catalogue", str(len(found))),))


def _ndjson(href: str, session: requests.Session, trust: Trust) -> Iterator[Document]:
    for number, line in enumerate(read_text(href, session, trust).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except ValueError as error:
            raise InputError(f"not JSON: {error}", expected="one item a line", place=f"{href}:{number}") from error
        if not isinstance(document, dict) or document.get("type") != "Feature":
            raise InputError("no STAC item", expected="one item a line", place=f"{href}:{number}")
        yield _anchored(document, href)


def _walk(
    href: str, document: Document, collection: str, read: Callable[[str], Document], seen: frozenset[str] = frozenset()
) -> Iterator[Document]:
    """Items below a static catalogue, depth first; collections other than the wanted one give none of their own."""
    links = [(link.get("rel"), absolute(link["href"], href)) for link in document.get("links", ()) if "href" in link]
    seen = seen | {href}
    if document.get("type") == "Catalog" or document.get("id") == collection:
        with ThreadPoolExecutor(WALKERS) as pool:
            hrefs = [target for rel, target in links if rel == "item"]
            yield from map(_anchored, pool.map(read, hrefs), hrefs)
    for child in (target for rel, target in links if rel == "child" and target not in seen):
        yield from _walk(child, read(child), collection, read, seen)


def _from_api(source: SourceOptions, sensor: str, query: _Query, trust: Trust) -> tuple[list[Document], Funnel]:
    place = f"inputs.{sensor}.catalog = {source.catalog}"
    boxes = boxes_of(query.area)  # APIs differ in what they make of a box across the date line
    dates: dict[str, Any] = {"datetime": [query.start, query.end]}
    try:
        client = pystac_client.Client.open(source.catalog, stac_io=_GuardedIO(trust))
        pages = chain.from_iterable(
            client.search(collections=[source.collection], limit=PAGE_ITEMS, bbox=box, **dates).pages_as_dicts()
            for box in boxes
        )
        found = list(chain.from_iterable(page.get("features", ()) for page in pages))
        if len(boxes) > 1:  # an item that reaches into both is found twice
            found = list({document.get("id"): document for document in found}.values())
        steps = [] if found else _probe(client, source, place, {"bbox": boxes[0]}, dates)
    except APIError as error:
        raise _translated(error, place) from error
    except (pystac.STACError, NotImplementedError, KeyError, ValueError) as error:
        raise InputError(f"not a usable STAC API: {error}", expected="item search", place=place) from error
    steps.append(("items the API gave for collection, box and dates", str(len(found))))
    return [_anchored(document, source.catalog) for document in found], Funnel(tuple(steps))


def _probe(
    client: pystac_client.Client, source: SourceOptions, place: str, box: dict[str, Any], dates: dict[str, Any]
) -> list[tuple[str, str]]:
    """Which part of the query an API has nothing for; InputError where it has no such collection."""
    names = sorted(collection.id for collection in client.get_collections())
    if names and source.collection not in names:
        raise InputError(
            f"has no collection {source.collection!r}",
            expected=f"one of {', '.join(names[:30])}{', ...' if len(names) > 30 else ''}",
            place=place,
            remedy="set collection to one of these",
        )

    def some(**query: Any) -> str:
        pages = client.search(collections=[source.collection], max_items=1, **query).pages_as_dicts()
        return "some" if any(page.get("features") for page in pages) else "none"

    return [
        ("items in the collection", some()),
        ("in the box at any time", some(**box)),
        ("in these dates anywhere", some(**dates)),
    ]


class _GuardedIO(StacApiIO):
    """pystac-client's reader, which asks ``check_link`` first and never opens a local file."""

    def __init__(self, trust: Trust) -> None:
        super().__init__(max_retries=RETRY, timeout=TIMEOUT_S)
        guard(self.session, trust)
        self._trust = trust

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        href = source.absolute_href if isinstance(source, pystac.Link) else str(source)
        check_link(href, self._trust, place=self._trust.catalog)
        return super().read_text(source, *args, **kwargs)


def _translated(error: APIError, place: str) -> TilthError:
    """pystac-client turns every failure into an APIError; tell ours, the user's and the service's apart."""
    cause, status = error.__context__, getattr(error, "status_code", None)
    if isinstance(cause, TilthError):
        return cause
    if isinstance(cause, requests.Timeout) or status in RETRY.status_forcelist:
        return InfrastructureError(f"the API fails: {str(error)[:200]}", place=place, remedy="try again later")
    return InputError(
        f"the API refuses (HTTP {status}): {str(error)[:200]}",
        expected="an answer to a search by collection, bbox and datetime",
        place=place,
        remedy="check the address",
    )


def _anchored(document: Document, href: str) -> Document:
    """The item with absolute asset links: from its own absolute ``self`` link, else from where it was read."""
    links, assets = document.get("links") or [], document.get("assets") or {}
    if not isinstance(links, list) or not isinstance(assets, dict):
        return document  # no item, and refused as such
    own = (str(link.get("href", "")) for link in links if isinstance(link, dict) and link.get("rel") == "self")
    base = next((absolute(target, href) for target in own if "://" in target or target.startswith("/")), href)
    anchored = {
        key: {**asset, "href": absolute(asset["href"], base)}
        for key, asset in assets.items()
        if isinstance(asset, dict) and isinstance(asset.get("href"), str) and asset["href"]
    }
    return {**document, "assets": anchored}
