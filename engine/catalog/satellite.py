"""Which satellite an item is of, from all that the item says of it, in whatever spelling."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pystac

from engine.catalog.product import collection_words, product_names, stated

KNOWN = "sentinel-1a to 1d, sentinel-2a to 2d, landsat-4 to 9, terra, aqua"
"""The satellites whose products are known, in words."""

_SENTINEL = re.compile(r"(?:COPERNICUS|ESA)?S(?:ENTINEL)?0?([1-6])([A-E])?(?:MSI|CSAR|SAR|OLCI|SLSTR)*")
_LANDSAT = re.compile(r"(?:NASA|USGS)?L(?:ANDSAT|[COTEM])?0?([1-9])(?:OLI|TIRS|ETM|TM|MSS)*")
_MODIS = {
    "TERRA": "terra", "EOSTERRA": "terra", "EOSAM1": "terra", "AM1": "terra", "TERRAMODIS": "terra",
    "MODISTERRA": "terra", "AQUA": "aqua", "EOSAQUA": "aqua", "EOSPM1": "aqua", "PM1": "aqua", "AQUAMODIS": "aqua",
    "MODISAQUA": "aqua", "MODIS": "modis", "TERRAAQUA": "modis", "AQUATERRA": "modis",
}  # fmt: skip
_FAMILY = re.compile(r"(?:COPERNICUS|ESA|NASA|USGS)?(SENTINEL0?[1-6]|LANDSAT)")
_NAMES = (
    (re.compile(r"(?:^|[:/])S([1-6])([A-E])_"), "sentinel-{}{}"),
    (re.compile(r"(?:^|[:/])L[COTEM](?:0(?=\d_)|(?=\d{14}))([1-9])()"), "landsat-{}{}"),
    (re.compile(r"(?:^|[:/])HLS\.S30\.()()"), "sentinel-2{}{}"),
    (re.compile(r"(?:^|[:/])HLS\.L30\.()()"), "landsat{}{}"),
    (re.compile(r"(?:^|[:/])MOD\d\d()()"), "terra{}{}"),
    (re.compile(r"(?:^|[:/])MYD\d\d()()"), "aqua{}{}"),
)
"""How names of products and scenes begin: S2A_MSIL2A_, LC08_L2SP_, LC80330322023281LGN00, HLS.S30., MOD11A2."""
_DESIGNATORS = {
    "2014016A": "sentinel-1a", "2016025A": "sentinel-1b", "2015028A": "sentinel-2a", "2017013A": "sentinel-2b",
    "1984021A": "landsat-5", "1999020A": "landsat-7", "2013008A": "landsat-8", "2021088A": "landsat-9",
    "1999068A": "terra", "2002022A": "aqua",
}  # fmt: skip
"""International designators (COSPAR) of launches."""
_PREFIXES = {"s1:": "sentinel-1", "s2:": "sentinel-2", "landsat:": "landsat"}
_INSTRUMENTS = {"msi": "sentinel-2", "oli": "landsat", "etm": "landsat", "etm+": "landsat", "c-sar": "sentinel-1"}
_COLLECTIONS = (
    (re.compile(r"sentinel-?([12])(?!\d)"), "sentinel-{}"),
    (re.compile(r"(?:^|-)ga-s2([abc])m-"), "sentinel-2{}"),
    (re.compile(r"(?:^|-)(?:s2)-()(?:l2a|msi)"), "sentinel-2{}"),
    (re.compile(r"(?:^|-)ga-ls([5789])[ce]-"), "landsat-{}"),
    (re.compile(r"landsat-?([4-9])(?!\d)"), "landsat-{}"),
    (re.compile(r"landsat()"), "landsat{}"),
)


@dataclass(frozen=True, slots=True)
class Satellite:
    """name: as ``platform`` gives it. by: what told it. against: what else was said, each with who said it."""

    name: str
    by: str
    against: tuple[tuple[str, str], ...] = ()

    @property
    def known(self) -> bool:
        """Whether it is one whose products are known."""
        return self.name.startswith(("sentinel-", "landsat", "terra", "aqua", "modis"))

    @property
    def quarrels(self) -> tuple[tuple[str, str], ...]:
        """Those of ``against`` that name another kind of satellite, not only a sister."""
        return tuple((name, by) for name, by in self.against if not _alike(_kind(name), _kind(self.name)))


def platform(item: pystac.Item) -> str:
    """Satellite as far as the item tells it, such as ``sentinel-2a``, ``landsat-8``, ``sentinel-2``, ``landsat``; the
    stated word in lower case with hyphens where it is none that is known; empty where nothing tells."""
    return satellite(item).name


def satellite(item: pystac.Item) -> Satellite:
    """What the item's properties and names say together.

    The most precise counts, of two that contradict each other the product's name, then the international designator,
    then ``platform``, ``eo:platform``, ``constellation``. Ids such as S2_1, instruments and the collection's name are
    asked last, and only where nothing else tells.
    """
    heard = [(name, by) for name, by in _strong(item) if name]
    heard = heard or [(name, by) for name, by in _weak(item) if name]
    if not heard:
        text = str(stated(item, "platform", "eo:platform", "constellation") or "")
        return Satellite(re.sub(r"[ _]", "-", text.strip().lower()), "platform")
    best = heard[0]
    for other in heard[1:]:
        best = other if other[0] != best[0] and other[0].startswith(best[0]) else best
    return Satellite(*best, tuple(other for other in heard if not _alike(other[0], best[0])))


def spelled(text: str) -> str:
    """``sentinel-2a`` for ``Sentinel-2A``, ``S2A``, ``SENTINEL_2A_MSI``; ``landsat-8`` for ``L8``, ``LC08``,
    ``LANDSAT_8``; the family where only that is told; empty for a word that is not known."""
    bare = re.sub(r"[^A-Z0-9]", "", text.upper())
    if found := _SENTINEL.fullmatch(bare):
        return f"sentinel-{found[1]}{(found[2] or '').lower()}"
    if found := _LANDSAT.fullmatch(bare):
        return f"landsat-{found[1]}"
    if bare in _MODIS:
        return _MODIS[bare]
    found = _FAMILY.match(bare)
    return "" if not found else "landsat" if found[1] == "LANDSAT" else f"sentinel-{found[1][-1]}"


def _strong(item: pystac.Item) -> Iterator[tuple[str, str]]:
    p = item.properties
    for name in product_names(item):
        yield _of_name(name), f"name {name}"
    designator = re.sub(r"[^0-9A-Z]", "", str(p.get("sat:platform_international_designator") or "").upper())
    yield _DESIGNATORS.get(designator, ""), "sat:platform_international_designator"
    short = f"{p.get('platformShortName') or ''}{p.get('platformSerialIdentifier') or ''}"
    for key, text in (
        ("platform", p.get("platform")), ("eo:platform", p.get("eo:platform")), ("platformShortName", short),
        ("constellation", p.get("constellation") or p.get("eo:constellation")),
    ):  # fmt: skip
        yield spelled(str(text or "")), f"{key} {text!r}"
    for prefix, name in _PREFIXES.items():
        yield (name if any(key.startswith(prefix) and p[key] is not None for key in p) else ""), f"properties {prefix}*"


def _weak(item: pystac.Item) -> Iterator[tuple[str, str]]:
    short = re.match(r"S([12])_", item.id)
    yield (f"sentinel-{short[1]}" if short else ""), f"name {item.id}"
    named = item.properties.get("instruments") or item.properties.get("eo:instrument") or ()
    for instrument in named if isinstance(named, list | tuple) else [named]:
        yield _INSTRUMENTS.get(str(instrument).strip().lower(), ""), f"instruments {instrument}"
    words = collection_words(item)
    for pattern, name in _COLLECTIONS:
        if found := pattern.search(words):
            yield name.format(*found.groups()), f"collection {words}"


def _of_name(text: str) -> str:
    for pattern, name in _NAMES:
        if found := pattern.search(text):
            return name.format(*(group or "" for group in found.groups())).lower()
    return ""


def _kind(name: str) -> str:
    """``sentinel-2`` of ``sentinel-2a``; ``landsat-8``."""
    return name[:-1] if name.startswith("sentinel-") and name[-1].isalpha() else name


def _alike(one: str, other: str) -> bool:
    """Whether one is the other, or its family."""
    carriers = {"terra", "aqua", "modis"}
    same = "modis" in (one, other) and {one, other} <= carriers
    return same or one.startswith(other) or other.startswith(one)
