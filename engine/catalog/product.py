"""What an item says of its product, under the several names that catalogues give to one fact."""

from __future__ import annotations

import re
from typing import Any

import pystac

SATELLITES = {"S1": "sentinel-1", "S2": "sentinel-2", "LC": "landsat-", "LE": "landsat-", "LT": "landsat-"}


def platform(item: pystac.Item) -> str:
    """Satellite in lower case with hyphens, such as ``sentinel-2a``, ``landsat-8``; read off the id where the item
    does not say; empty where neither tells."""
    text = str(item.properties.get("platform") or item.properties.get("constellation") or "")
    if not text:
        text = next((name for start, name in SATELLITES.items() if item.id.startswith(start)), "")
        text = f"landsat-{int(item.id[2:4])}" if text == "landsat-" and item.id[2:4].isdigit() else text
    return re.sub(r"[ _]", "-", text.lower())


def product_name(item: pystac.Item) -> str:
    """ESA's product name as far as the item gives it, else its id."""
    p = item.properties
    return str(p.get("s2:product_uri") or p.get("sentinel:product_id") or item.id)


def baseline(item: pystac.Item) -> str | None:
    """Sentinel-2 processing baseline such as ``05.09``, stated or from the product name (``_N0509_``)."""
    p = item.properties
    stated = p.get("s2:processing_baseline") or p.get("sentinel:processing_baseline") or p.get("processing:version")
    if stated:
        return str(stated)
    found = re.search(r"_N(\d{2})(\d{2})(?:_|$)", product_name(item))
    return f"{found[1]}.{found[2]}" if found else None


def band_field(asset: pystac.Asset, name: str) -> Any:
    """A raster fact of a one-band asset: STAC 1.0 ``raster:bands``, STAC 1.1 ``bands``, or on the asset itself."""
    fields = asset.extra_fields
    for band in (*(fields.get("raster:bands") or ())[:1], *(fields.get("bands") or ())[:1], fields):
        for key in (f"raster:{name}", name):
            if isinstance(band, dict) and band.get(key) is not None:
                return band[key]
    return None


def crs_code(item: pystac.Item, asset: pystac.Asset) -> str | None:
    """Authority code the item or asset states, such as ``EPSG:32631``; None where there is none."""
    for fields in (asset.extra_fields, item.properties):
        if fields.get("proj:code"):
            return str(fields["proj:code"])
        if fields.get("proj:epsg"):
            return f"EPSG:{fields['proj:epsg']}"
    return None
