"""Which of an item's assets are the bands we need: by the naming of its product that fits best."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pystac

from engine.bands import ASSET_BANDS
from engine.catalog.bands import split_key
from engine.catalog.naming import NAMINGS, Naming
from engine.catalog.product import family, polarisations, product_names
from engine.catalog.satellite import platform
from engine.catalog.source import SourceOptions
from engine.errors import InputError

_BAND_8A = {"nir": "nir08", "B08": "B8A", "B08_10m": "B8A_20m", "nbart_nir_1": "nbart_nir_2"}
"""Sentinel-2's near infrared, broad -> narrow, as catalogues name them."""


class NeverHad(InputError):
    """The item's product is made without what is asked of it: nothing is damaged, and nothing can be mended."""


def choose_assets(item: pystac.Item, source: SourceOptions, sensor: str) -> tuple[Naming, dict[str, str]]:
    """The naming that misses fewest assets (of equals that which spells them as the item does), and our band name
    -> asset key, ``mask`` last."""
    best: tuple[tuple[int, int], list[str], Naming, dict[str, str]] | None = None
    overrides = source.assets or {}
    for naming in _namings(item, sensor):
        keys = {band: overrides.get(band, naming.bands[band]) for band in ASSET_BANDS[sensor]}
        if source.bandpass and "nir" not in overrides:
            keys["nir"] = _BAND_8A.get(keys["nir"], keys["nir"])  # the line is that of the narrow near infrared
        if source.bandpass and keys["nir"] in _BAND_8A and platform(item).startswith("sentinel-2"):
            raise no_line(item, f"its nir is {keys['nir']}, band 8, for which no line is published")
        mask = overrides.get("mask", naming.mask)
        keys.update({"mask": mask} if mask and source.mask != "none" else {})
        keys = {band: _spelled(key, item) for band, key in keys.items()}
        missing = [f"{band} ({key})" for band, key in keys.items() if split_key(key, item.assets)[0] not in item.assets]
        strange = len(set(keys.values()) - {*naming.bands.values(), naming.mask, *overrides.values()})
        if best is None or (len(missing), strange) < best[0]:
            best = (len(missing), strange), missing, naming, keys
    if best is None:
        raise InputError(
            f"its satellite is {platform(item)}",
            expected=f"one that {sensor} products are known of: {_satellites(sensor)}",
            place=f"item {item.id}",
            remedy="use another collection, or mend the item's platform",
        )
    _, missing, naming, keys = best
    _refuse_missing(item, source, sensor, naming, missing)
    return naming, keys


def _namings(item: pystac.Item, sensor: str) -> list[Naming]:
    """Those that may hold for the item: of its family, its satellite where the keys alone do not tell (SR_B2 is blue on
    Landsat 8 and green on Landsat 7), and its Landsat collection."""
    satellite, number = platform(item), _landsat_collection(item)
    return [
        naming
        for naming in NAMINGS[sensor]
        if naming.family == family(item)
        and (satellite.startswith(naming.platforms) or not satellite.startswith("landsat"))
        and not (number and "Collection" in naming.product and f"Collection {number}" not in naming.product)
    ]


def _landsat_collection(item: pystac.Item) -> str:
    """``1`` or ``2``, stated or from the product's name; empty where nothing tells."""
    told = re.sub(r"^0+|\.0*$", "", str(item.properties.get("landsat:collection_number") or ""))
    named = [found[1] for name in product_names(item) if (found := re.search(r"_0([12])_(?:T1|T2|RT)", name))]
    return told or next(iter(named), "")


def _spelled(key: str, item: pystac.Item) -> str:
    """The key as the item writes it, in capitals or small letters, where only one of its keys is that word."""
    alike = [other for other in item.assets if other.lower() == key.lower()]
    return alike[0] if key not in item.assets and len(alike) == 1 else key


def _satellites(sensor: str) -> str:
    return ", ".join(sorted({start for naming in NAMINGS[sensor] for start in naming.platforms}))


def _refuse_missing(
    item: pystac.Item, source: SourceOptions, sensor: str, naming: Naming, missing: Sequence[str]
) -> None:
    """InputError where an asset is missing; NeverHad where the product is made without it."""
    if source.bandpass and any(name.startswith("nir ") for name in missing):
        narrow = _BAND_8A.get(naming.bands["nir"], naming.bands["nir"])
        raise no_line(item, f"the item has no {narrow}, the near infrared whose line is published")
    if not missing:
        return
    bands = [name.split()[0] for name in missing]
    without = f"; or map without: inputs.{sensor}.mask: none" if "mask" in bands else ""
    error = NeverHad if _never_had(item, sensor, bands) else InputError
    raise error(
        f"no asset for {', '.join(missing)}",
        expected=f"the assets of {naming.product}; the item has {', '.join(sorted(item.assets)[:20])}",
        place=f"item {item.id}",
        remedy=f"name them in inputs.{sensor}.assets, as in {{{bands[0]}: THEIR_KEY}}{without}",
    )


def _never_had(item: pystac.Item, sensor: str, missing: Sequence[str]) -> bool:
    """Whether the product is made without these bands: Landsat without surface temperature, radar of one polarisation.

    A radar item that names the polarisation among those it received, and lacks its asset, has lost it.
    """
    if sensor == "thermal":
        return set(ASSET_BANDS["thermal"]) <= set(missing)
    received = polarisations(item)
    return sensor == "radar" and (received is None or not {band.upper() for band in missing} <= received)


def no_line(item: pystac.Item, why: str) -> InputError:
    return InputError(
        f"bandpass: oli, but {why}",
        expected="a platform and bands whose band-pass lines are published",
        place=f"item {item.id}",
        remedy="leave inputs.optical.bandpass out, or the item (exclude)",
    )
