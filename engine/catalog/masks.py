"""Which kind of quality layer an item's mask is: said by the user, else told by its classes, else by its names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pystac

from engine.catalog.bands import band_field
from engine.catalog.product import family, spelled_number
from engine.errors import InputError

MASK_KINDS: Mapping[str, str] = {
    "scl": "Sentinel-2's scene classification",
    "qa_pixel": "Landsat Collection 2's bits",
    "pixel_qa": "Landsat Collection 1's bits",
    "fmask": "Fmask 4's classes: 0 land, 1 water, 2 shadow, 3 snow, 4 cloud",
    "hls_fmask": "the bits of HLS version 2",
    "dea_fmask": "Digital Earth Australia's classes: 1 clear, 2 cloud, 3 shadow, 4 snow, 5 water",
    "cloud_probability": "percent, no shadows",
}
"""The kinds that are known, each with what its numbers are."""

_NAMES = (
    ("scl", re.compile(r"(?<![a-z])scl(?![a-z])|scene.?classif?i?cation")),
    ("qa_pixel", re.compile(r"qa.?pixel")),
    ("pixel_qa", re.compile(r"pixel.?qa")),
    ("dea_fmask", re.compile(r"oa.fmask")),
    ("fmask?", re.compile(r"fmask")),
    ("cloud_probability", re.compile(r"cloud.{0,3}prob|cld.?prb|(?<![a-z])cld(?![a-z])|s2cloudless.{0,3}prob")),
)
_OF_FAMILY = {"hls": "hls_fmask", "dea": "dea_fmask"}
"""Several tools call what they write a Fmask, and number it differently: the product says which it is."""


def recognise_mask(item: pystac.Item, sensor: str, key: str, said: str | None, band: str = "") -> tuple[str, str]:
    """(kind, by what it is recognised) of the item's asset ``key``; ``said``: the user's own word for it, which
    counts; ``band``: the name of its band, where the asset has several.

    InputError where nothing tells, where names tell different kinds, or where it holds fractions, with the kinds known.
    """
    asset = item.assets[key]
    by_classes, classes = _by_classes(asset)
    names = list(_by_names(item, key, asset, band))
    kinds = {kind for kind, _ in names}
    if said:
        told = {by_classes, *kinds} - {"", "fmask?", said}
        against = f", though it looks like {' or '.join(sorted(told))}" if told else ""
        return said, f"as inputs.{sensor}.mask says{against}"
    place = f"item {item.id}, asset {key}"
    if str(band_field(asset, "data_type") or "").lower().startswith("float"):
        raise _unknown(f"a mask of {band_field(asset, 'data_type')}", place, sensor)
    if classes and not by_classes:
        raise _unknown(f"a mask with the classes {classes}", place, sensor)
    if by_classes:
        others = [f"its {witness} says {kind}" for kind, witness in names if kind not in (by_classes, "fmask?")]
        return by_classes, "by its classes" + (f", though {' and '.join(others)}" if others else "")
    if not kinds:
        raise _unknown(f"a mask of a kind that nothing tells ({_title(asset)})", place, sensor)
    if len(kinds) > 1:
        raise _unknown("a mask whose " + ", but whose ".join(f"{w} says {k}" for k, w in names), place, sensor)
    if kinds == {"fmask?"}:
        raise _unknown("a Fmask, which several products number differently", place, sensor)
    return names[0][0], "by its " + " and ".join(dict.fromkeys(witness for _, witness in names))


def _by_names(item: pystac.Item, key: str, asset: pystac.Asset, band: str) -> Iterator[tuple[str, str]]:
    """(kind, witness) of the asset's key, its file's name and its title, as far as they tell."""
    file = asset.href.split("?")[0].rstrip("/").rsplit("/", 1)[-1]
    for witness, text in (("key", key), ("file name", file), ("title", str(asset.title or "")), ("band", band)):
        found = next((kind for kind, pattern in _NAMES if pattern.search(text.lower())), "")
        if found:
            yield (_OF_FAMILY.get(family(item), found) if found == "fmask?" else found), witness


def _by_classes(asset: pystac.Asset) -> tuple[str, str]:
    """(kind, the classes in words) as the classification extension states them; ('', '') where it is silent."""
    bits = {_word(field): _whole(field.get("offset")) for field in _listed(asset, "classification:bitfields")}
    if bits:
        of_cloud, of_shadow = bits.get("cloud"), bits.get("cloud_shadow", bits.get("shadow"))
        known: dict[Any, str] = {(3, 4): "qa_pixel", (3, None): "qa_pixel", (5, 3): "pixel_qa", (1, 3): "hls_fmask"}
        return known.get((of_cloud, of_shadow), ""), ", ".join(f"bit {bit} {name}" for name, bit in bits.items())
    listed = _listed(asset, "classification:classes")
    values = {number: _word(entry) for entry in listed if (number := _whole(entry.get("value"))) is not None}
    if any(_whole(entry.get("value")) is None for entry in listed):
        return "", ", ".join(f"{entry.get('value')!r} {_word(entry)}" for entry in listed)[:400]
    shadow = {v for v, name in values.items() if "shadow" in name and "cast" not in name}
    cloud = {v for v, name in values.items() if "cloud" in name} - shadow
    shown = ", ".join(f"{value} {name}" for value, name in sorted(values.items()))
    if {8, 9} <= cloud and 3 in shadow:
        return "scl", shown
    return {(4, 2): "fmask", (2, 3): "dea_fmask"}.get(_only(cloud, shadow), ""), shown


def _listed(asset: pystac.Asset, name: str) -> list[dict[str, Any]]:
    found = band_field(asset, name)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _whole(value: object) -> int | None:
    """A whole number, as such or as text; None for what is none."""
    number = spelled_number(value)
    return int(number) if number is not None and number.is_integer() else None


def _word(entry: Mapping[str, Any]) -> str:
    text = entry.get("name") or entry.get("title") or entry.get("description") or ""
    return re.sub(r"[^a-z0-9]+", "_", str(text).lower())


def _only(cloud: set[int], shadow: set[int]) -> tuple[int, int]:
    return (min(cloud), min(shadow)) if len(cloud) == len(shadow) == 1 else (-1, -1)


def _title(asset: pystac.Asset) -> str:
    return f"titled {asset.title!r}" if asset.title else "it has no title"


def _unknown(value: str, place: str, sensor: str) -> InputError:
    kinds = "; ".join(f"{kind} ({what})" for kind, what in MASK_KINDS.items())
    return InputError(
        value,
        expected=f"one of these kinds, recognisable by classes, key, file name or title: {kinds}",
        place=place,
        remedy=f"say which it is, as in inputs.{sensor}.mask: scl; name another asset as inputs.{sensor}.assets: "
        f"{{mask: KEY}}; or map without: inputs.{sensor}.mask: none",
    )
