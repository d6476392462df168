"""One catalogue item -> one pinned item: our band names, links, encodings, mask and identities."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pystac

from engine.catalog.bands import band_names, split_key, stated_band
from engine.catalog.choice import choose_assets, no_line
from engine.catalog.document import footprint
from engine.catalog.encoding import Encoding, decide_encoding, stated_numbers
from engine.catalog.links import Trust, check_link, without_query
from engine.catalog.masks import MASK_KINDS, recognise_mask
from engine.catalog.naming import NAMINGS, Naming
from engine.catalog.product import baseline, crs_code, family, level, radar_type
from engine.catalog.satellite import platform, satellite
from engine.catalog.source import SourceOptions
from engine.claims import SILENT
from engine.earth import geojson
from engine.errors import InputError
from engine.types import Asset, Item, digest
from kernels.bandpass import line_to_oli

_PLACED = {
    "radar": ("backscatter", "use an RTC (terrain corrected) collection, such as sentinel-1-rtc"),
    "c2": ("covariances", "multilook SLC to C2 and correct it for terrain first; RTC and GRD will not do: no phase"),
}
"""Radar sensor -> what must lie on the ground, and the way there."""

SIGNATURE_MARKS = ("sig=", "X-Amz-Signature=", "Signature=")
"""Query keys that only a signed link has: Azure, S3, CloudFront."""


def resolve(item: pystac.Item, source: SourceOptions, sensor: str) -> Item:
    """The item as the engine knows it, without any network or pixel access.

    Identities: the published checksum, else a digest of the item's own document (``identify`` then puts size and
    mtime, or ETag, in place of the latter). InputError naming item and asset: a missing asset, a link that is not
    allowed, a wrong unit, an offset that cannot be told, radar without a geotransform, Level-1 Landsat, no time.
    """
    return resolve_explained(item, source, sensor)[0]


def resolve_explained(item: pystac.Item, source: SourceOptions, sensor: str) -> tuple[Item, str]:
    """``resolve``, with the encodings decided and why, in words, for the input audit."""
    _check_satellite(item)
    _check_level(item, sensor)
    if sensor == "c2":
        _check_phase(item, source)
    naming, keys = choose_assets(item, source, sensor)
    trust = Trust(source.catalog, source.allow_hosts)
    document = _document_digest(item)
    assets, encodings = {}, {}
    for band, text in keys.items():
        key, named = split_key(text, item.assets)
        asset, place = item.assets[key], f"item {item.id}, asset {key}"
        check_link(asset.href, trust, place=place)
        ours = platform(item).startswith(naming.platforms)
        which = stated_band(asset, named, _names(naming, band, source), place)
        if band == "mask":
            encoding = Encoding(stated_numbers(asset, which, place), SILENT, "")
        else:
            encoding = encodings[band] = decide_encoding(item, sensor, band, asset, naming if ours else None, which)
        assets[band] = Asset(
            href=_unsigned(asset.href) if source.sign else asset.href,
            identity=_identity(asset, key, document),
            item=encoding.item,
            family=encoding.family,
            line=_to_oli(item, band) if source.bandpass and band != "mask" else (1.0, 0.0),
        )
    kind, why = (None, "")
    if "mask" in keys:
        key, named = split_key(keys["mask"], item.assets)
        kind, why = recognise_mask(item, sensor, key, source.mask, str(assets["mask"].item.name or named or ""))
        why = f"; mask {keys['mask']} is {kind}, {why}"
    elif sensor in ("optical", "thermal"):
        why = "; without a mask" + (", as asked: clouds are taken for land" if source.mask == "none" else "")
    pinned = Item(
        id=item.id,
        collection=item.collection_id or source.collection,
        sensor=sensor,
        datetime=_moment(item),
        footprint=_footprint(item),
        assets=assets,
        mask_kind=kind,
        sign=source.sign,
        spare=source.damaged == "leave_out",
        platform=platform(item),
        baseline=(baseline(item) or "") if platform(item).startswith("sentinel-2") else "",
    )
    return pinned, _words(encodings, assets) + why


def _names(naming: Naming, band: str, source: SourceOptions) -> tuple[str, ...]:
    """What a band of several in one asset may be called."""
    if band == "mask":
        return tuple(dict.fromkeys([naming.mask or "mask", *MASK_KINDS]))
    names = band_names(band, naming.bands[band])
    return ("nir08", *names) if source.bandpass and band == "nir" else names


def _to_oli(item: pystac.Item, band: str) -> tuple[float, float]:
    """The line that takes reflectance to what OLI would have seen; InputError where none is published."""
    if family(item) == "hls":
        return 1.0, 0.0  # NASA has taken both onto OLI's lines
    try:
        return line_to_oli(platform(item), "nir08" if band == "nir" else band)
    except ValueError as error:
        raise no_line(item, str(error)) from None


def _check_satellite(item: pystac.Item) -> None:
    """Refuse an item that names two kinds of satellite: which band and which encoding it has hangs on that."""
    found = satellite(item)
    for name, by in found.quarrels[:1]:
        raise InputError(
            f"{found.by} says {found.name}, but {by} says {name}",
            expected="one satellite",
            place=f"item {item.id}",
            remedy="mend the item's metadata, or leave it out (exclude)",
        )


def _check_level(item: pystac.Item, sensor: str) -> None:
    """Refuse products that may carry the right asset names but not the right pixels."""
    p, place = item.properties, f"item {item.id}"
    if sensor in ("optical", "thermal") and level(item) == 1:
        raise InputError(
            "a Level-1 product, top of atmosphere",
            expected="Level-2: surface reflectance or surface temperature",
            place=place,
            remedy="use a Level-2 collection, such as sentinel-2-l2a or landsat-c2-l2",
        )
    if sensor not in ("radar", "c2") or radar_type(item) not in ("GRD", "SLC"):
        return
    fields = [p, *(asset.extra_fields for asset in item.assets.values())]
    codes = {crs_code(item, asset) for asset in item.assets.values()}
    # Raw GRD items often state EPSG:4326 with a transform made from their bounding box: it is none of the pixels'.
    placed = any(f.get("proj:transform") for f in fields) and bool(codes - {None, "EPSG:4326"})
    if radar_type(item) == "SLC" or not placed:
        wanted, remedy = _PLACED[sensor]
        raise InputError(
            f"{radar_type(item)} in radar geometry (placed by ground control points only)",
            expected=f"terrain-corrected {wanted} with a projected CRS and a geotransform",
            place=place,
            remedy=remedy,
        )


def _check_phase(item: pystac.Item, source: SourceOptions) -> None:
    """Refuse backscatter where covariances are asked for, also under other names."""
    kind = radar_type(item)
    backscatter = {key for naming in NAMINGS["radar"] for key in naming.bands.values()}
    named = set((source.assets or {}).values())
    covariance = any(set(naming.bands.values()) <= set(item.assets) for naming in NAMINGS["c2"])
    detected = kind in ("GRD", "RTC") or bool(named & backscatter)
    if not (detected or (not named and not covariance and backscatter & set(item.assets))):
        return
    raise InputError(
        f"{kind or 'backscatter'}, which is detected: it has no phase, so no C12 and no m-chi",
        expected="covariances made from SLC: assets c11, c22, c12_real, c12_imag",
        place=f"item {item.id}",
        remedy="multilook SLC to C2 first, or use these items under inputs.radar",
    )


def _identity(asset: pystac.Asset, key: str, document: str) -> str:
    checksum = asset.extra_fields.get("file:checksum")
    return f"checksum:{checksum}" if checksum else f"item:{document}:{key}"


def _document_digest(item: pystac.Item) -> str:
    """Digest of what the catalogue says of the item; signatures on its links do not change it."""
    assets = {key: [without_query(a.href), a.extra_fields] for key, a in item.assets.items()}
    return digest(json.dumps([item.id, item.properties, assets], sort_keys=True, default=str))


def _unsigned(href: str) -> str:
    """The link without an old signature, where a service signs it anew."""
    signed = any(part.startswith(SIGNATURE_MARKS) for part in urlsplit(href).query.split("&"))
    return without_query(href) if signed else href


def _moment(item: pystac.Item) -> datetime:
    moment = item.datetime or item.common_metadata.start_datetime
    if moment is None:
        raise InputError("no datetime", expected="datetime or start_datetime", place=f"item {item.id}")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _footprint(item: pystac.Item) -> dict[str, Any]:
    """The item's geometry, else its box, as GeoJSON, cut at the date line."""
    shape = footprint({"geometry": item.geometry, "bbox": item.bbox})
    if shape.is_empty:
        raise InputError("neither geometry nor bbox", expected="one of them", place=f"item {item.id}")
    return geojson(shape)


def _words(encodings: Mapping[str, Encoding], assets: Mapping[str, Asset]) -> str:
    """One sentence for all bands that are encoded alike."""
    groups: dict[str, list[str]] = {}
    for band, encoding in encodings.items():
        groups.setdefault(_formula(encoding, assets[band]), []).append(band)
    return "; ".join(f"{', '.join(bands)} = {formula}" for formula, bands in groups.items())


def _formula(encoding: Encoding, asset: Asset) -> str:
    nodata = "NaN" if asset.nodata is None else f"{asset.nodata:g}"
    if asset.scale is None:
        return f"as its file's header says, nodata {nodata} ({encoding.why})"
    sign = "-" if asset.offset < 0 else "+"
    seen = ", then as OLI sees it" if asset.line != (1.0, 0.0) else ""
    unless = "" if encoding.item.scale is not None else "; a scale in the file's header counts instead"
    words = f"{encoding.why}{seen}{unless}"
    return f"DN * {asset.scale:g} {sign} {abs(asset.offset):g}, nodata {nodata} ({words})"
