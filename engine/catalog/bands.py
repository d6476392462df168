"""Which band of an asset is meant, and what the item states of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pystac

from engine.catalog.product import MEND
from engine.claims import Claim
from engine.errors import InputError

_COMMON = {"nir": ("nir", "nir08"), "swir1": ("swir16", "swir1")}
"""Our band -> its common names, the likelier first; other bands are called as we call them."""
_COLOURS = frozenset(
    {"coastal", "blue", "green", "red", "rededge", "rededge071", "rededge075", "rededge078", "nir", "nir08", "nir09",
     "swir16", "swir22", "pan", "lwir", "lwir11", "lwir12"}
)  # fmt: skip
"""Common names of STAC's eo extension: an asset of one of them is none of another."""
_LISTS = ("raster:bands", "eo:bands", "bands")
"""STAC 1.0 in two extensions, STAC 1.1; each lists an asset's bands in the order of its file."""


def split_key(text: str, keys: Collection[str]) -> tuple[str, int | str | None]:
    """(asset key, band or None) of ``KEY``, ``KEY#2`` or ``KEY#B02``; a key of the item that holds ``#`` is a key."""
    key, mark, band = text.rpartition("#")
    if not mark or text in keys:
        return text, None
    return key, int(band) if band.isdigit() else band


def stated_band(asset: pystac.Asset, band: int | str | None, names: Collection[str], place: str) -> Claim:
    """The band's number and name, as far as the item lists its bands.

    ``band``: as the user named it; None: looked for by ``names`` (common names and names, the likelier first) where
    there are several. InputError where several are listed and none is meant, or where the list is none.
    """
    _check_lists(asset, place)
    count = max((len(asset.extra_fields.get(name) or ()) for name in _LISTS), default=0) or None
    called = [_names(asset, index) for index in range(count or 0)]
    if isinstance(band, int):
        known = called[band - 1] if count and 1 <= band <= count else ()
        return Claim(band=band, name=next(iter(known), None), count=count)
    if band is None and (count or 1) == 1:
        _refuse_other_colour(asset, names, place)
        return Claim(count=count)
    for name in (band,) if band is not None else names:
        found = [index for index, known in enumerate(called) if name.casefold() in (k.casefold() for k in known)]
        if len(found) == 1:
            return Claim(band=found[0] + 1, name=called[found[0]][0], count=count)
    if band is not None:
        return Claim(band=band, name=band, count=count)  # the file itself may call one of its bands so
    told = ", ".join(f"{i} ({', '.join(dict.fromkeys(known)) or 'no name'})" for i, known in enumerate(called, 1))
    raise InputError(
        f"{count} bands in one asset: {told}",
        expected=f"one of them called {' or '.join(dict.fromkeys(names))}",
        place=place,
        remedy="say which under inputs.*.assets, as in {blue: KEY#2}, by its number or name",
    )


def _refuse_other_colour(asset: pystac.Asset, names: Collection[str], place: str) -> None:
    """InputError where an asset's only band is called another colour than the one that it is taken for."""
    common = {name.casefold() for name in _common(asset, 0)} & _COLOURS
    if common and not common & {name.casefold() for name in names} and {n.casefold() for n in names} & _COLOURS:
        raise InputError(
            f"the item calls its band {', '.join(sorted(common))}",
            expected=f"{' or '.join(dict.fromkeys(names))}",
            place=place,
            remedy="name the right asset under inputs.*.assets, or mend the item",
        )


def band_names(ours: str, key: str) -> tuple[str, ...]:
    """What a catalogue may call our band, the likelier first."""
    return (*_COMMON.get(ours, (ours,)), key)


def band_field(asset: pystac.Asset, name: str, number: int = 1) -> Any:
    """A raster fact of band ``number``: STAC 1.0 ``raster:bands``, STAC 1.1 ``bands``, or on the asset itself."""
    for band in (*(_entry(asset, key, number) for key in ("raster:bands", "bands")), asset.extra_fields):
        for key in (f"raster:{name}", name):
            if band.get(key) is not None:
                return band[key]
    return None


def _check_lists(asset: pystac.Asset, place: str) -> None:
    """InputError for a list of bands that is no list of objects: what it says would be passed over, or be another
    band's."""
    for key in _LISTS:
        listed = asset.extra_fields.get(key)
        odd = [] if listed is None else [listed] if not isinstance(listed, list | tuple) else listed
        for value in odd:
            if not isinstance(listed, list | tuple) or not isinstance(value, Mapping):
                raise InputError(
                    f"{key} {listed!r}"[:200],
                    expected="a list of objects, one for each band of the file",
                    place=place,
                    remedy=MEND,
                )


def _entry(asset: pystac.Asset, key: str, number: int) -> Mapping[str, Any]:
    listed = asset.extra_fields.get(key) or ()
    return listed[number - 1] if 0 < number <= len(listed) else {}


def _common(asset: pystac.Asset, index: int) -> list[str]:
    """The common names of a band."""
    entries = [_entry(asset, key, index + 1) for key in _LISTS]
    return [str(e[key]) for e in entries for key in ("common_name", "eo:common_name") if e.get(key)]


def _names(asset: pystac.Asset, index: int) -> tuple[str, ...]:
    """All names of a band, its common names first."""
    entries = [_entry(asset, key, index + 1) for key in _LISTS]
    return tuple(dict.fromkeys(_common(asset, index) + [str(e["name"]) for e in entries if e.get("name")]))
