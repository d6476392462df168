"""One catalogue item -> one pinned item: our band names, links, encodings, mask and identities."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pystac
import shapely

from engine.catalog.encoding import Encoding, decide_encoding
from engine.catalog.links import Trust, check_link, without_query
from engine.catalog.naming import MASK_KINDS, NAMINGS, Naming
from engine.catalog.product import crs_code, platform, product_name
from engine.catalog.source import SourceOptions
from engine.errors import InputError
from engine.types import ASSET_BANDS, Asset, Item, digest
from kernels.bandpass import scaling_to_oli

_BAND_8A = {"nir": "nir08", "B08": "B8A"}
"""Sentinel-2's near infrared, broad -> narrow, as catalogues name them."""

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
    _check_level(item, sensor)
    if sensor == "c2":
        _check_phase(item, source)
    naming, keys = _choose_assets(item, source, sensor)
    trust = Trust(source.catalog, source.allow_hosts)
    document = _document_digest(item)
    assets, encodings = {}, {}
    for band, key in keys.items():
        asset = item.assets[key]
        check_link(asset.href, trust, place=f"item {item.id}, asset {key}")
        ours = key == naming.bands.get(band) or platform(item).startswith(naming.platforms)
        encoding = Encoding(1.0, 0.0, None, "")
        if band != "mask":
            encoding = decide_encoding(item, sensor, band, asset, naming if ours else None)
            encoding = _as_oli(item, band, encoding) if source.bandpass else encoding
            encodings[band] = encoding
        assets[band] = Asset(
            href=_unsigned(asset.href) if source.sign else asset.href,
            identity=_identity(asset, key, document),
            scale=encoding.scale,
            offset=encoding.offset,
            nodata=encoding.nodata,
        )
    pinned = Item(
        id=item.id,
        collection=item.collection_id or source.collection,
        sensor=sensor,
        datetime=_moment(item),
        footprint=_footprint(item),
        assets=assets,
        mask_kind=_mask_kind(naming, keys.get("mask")),
        sign=source.sign,
    )
    return pinned, _words(encodings)


def _choose_assets(item: pystac.Item, source: SourceOptions, sensor: str) -> tuple[Naming, dict[str, str]]:
    """The naming that misses fewest assets, and our band name -> asset key, ``mask`` last."""
    best: tuple[list[str], Naming, dict[str, str]] | None = None
    satellite, overrides = platform(item), source.assets or {}
    for naming in NAMINGS[sensor]:
        if satellite.startswith("landsat") and not satellite.startswith(naming.platforms):
            continue  # SR_B2 is blue on Landsat 8 and green on Landsat 7: the key alone does not tell
        keys = {band: overrides.get(band, naming.bands[band]) for band in ASSET_BANDS[sensor]}
        if source.bandpass and "nir" not in overrides:
            keys["nir"] = _BAND_8A.get(keys["nir"], keys["nir"])  # the line is that of the narrow near infrared
        if source.bandpass and keys["nir"] in _BAND_8A and satellite.startswith("sentinel-2"):
            raise _no_line(item, f"its nir is {keys['nir']}, band 8, for which no line is published")
        mask = overrides.get("mask", naming.mask)
        keys.update({"mask": mask} if mask else {})
        missing = [f"{band} ({key})" for band, key in keys.items() if key not in item.assets]
        if best is None or len(missing) < len(best[0]):
            best = missing, naming, keys
    assert best is not None
    missing, naming, keys = best
    if source.bandpass and any(name.startswith("nir ") for name in missing):
        raise _no_line(item, f"the item has no {keys['nir']}, the near infrared whose line is published")
    if missing:
        raise InputError(
            f"no asset for {', '.join(missing)}",
            expected=f"the assets of {naming.product}; the item has {', '.join(sorted(item.assets)[:20])}",
            place=f"item {item.id}",
            remedy=f"name them in inputs.{sensor}.assets, as in {{{missing[0].split()[0]}: THEIR_KEY}}",
        )
    return naming, keys


def _as_oli(item: pystac.Item, band: str, encoding: Encoding) -> Encoding:
    """The encoding that takes DN straight to what OLI would have seen; InputError where no line is published."""
    try:
        line = scaling_to_oli(platform(item), "nir08" if band == "nir" else band, encoding.scale, encoding.offset)
    except ValueError as error:
        raise _no_line(item, str(error)) from None
    return replace(encoding, scale=line[0], offset=line[1], why=f"{encoding.why}, then as OLI sees it")


def _no_line(item: pystac.Item, why: str) -> InputError:
    return InputError(
        f"bandpass: oli, but {why}",
        expected="a platform and bands whose band-pass lines are published",
        place=f"item {item.id}",
        remedy="leave inputs.optical.bandpass out, or the item (exclude)",
    )


def _check_level(item: pystac.Item, sensor: str) -> None:
    """Refuse products that may carry the right asset names but not the right pixels."""
    p, satellite, place = item.properties, platform(item), f"item {item.id}"
    level_1 = str(p.get("landsat:correction", "")).startswith("L1") if satellite.startswith("landsat") else False
    if level_1 or (satellite.startswith("sentinel-2") and "MSIL1C" in product_name(item)):
        raise InputError(
            "a Level-1 product, top of atmosphere",
            expected="Level-2: surface reflectance or surface temperature",
            place=place,
            remedy="use a Level-2 collection, such as sentinel-2-l2a or landsat-c2-l2",
        )
    if sensor not in ("radar", "c2") or p.get("sar:product_type") not in ("GRD", "SLC"):
        return
    fields = [p, *(asset.extra_fields for asset in item.assets.values())]
    codes = {crs_code(item, asset) for asset in item.assets.values()}
    # Raw GRD items often state EPSG:4326 with a transform made from their bounding box: it is none of the pixels'.
    placed = any(f.get("proj:transform") for f in fields) and bool(codes - {None, "EPSG:4326"})
    if p["sar:product_type"] == "SLC" or not placed:
        wanted, remedy = _PLACED[sensor]
        raise InputError(
            f"{p['sar:product_type']} in radar geometry (placed by ground control points only)",
            expected=f"terrain-corrected {wanted} with a projected CRS and a geotransform",
            place=place,
            remedy=remedy,
        )


def _check_phase(item: pystac.Item, source: SourceOptions) -> None:
    """Refuse backscatter where covariances are asked for, also under other names."""
    kind = item.properties.get("sar:product_type")
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


def _mask_kind(naming: Naming, key: str | None) -> str | None:
    if key is None:
        return None
    return key.lower() if key.lower() in MASK_KINDS else naming.mask_kind


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
    if item.geometry:
        return item.geometry
    if not item.bbox:
        raise InputError("neither geometry nor bbox", expected="one of them", place=f"item {item.id}")
    half = len(item.bbox) // 2
    box = shapely.box(item.bbox[0], item.bbox[1], item.bbox[half], item.bbox[half + 1])
    return dict(json.loads(shapely.to_geojson(box)))


def _words(encodings: Mapping[str, Encoding]) -> str:
    """One sentence for all bands that are encoded alike."""
    groups: dict[Encoding, list[str]] = {}
    for band, encoding in encodings.items():
        groups.setdefault(encoding, []).append(band)
    return "; ".join(f"{', '.join(bands)} = {_formula(encoding)}" for encoding, bands in groups.items())


def _formula(encoding: Encoding) -> str:
    sign = "-" if encoding.offset < 0 else "+"
    nodata = "NaN" if encoding.nodata is None else f"{encoding.nodata:g}"
    return f"DN * {encoding.scale:g} {sign} {abs(encoding.offset):g}, nodata {nodata} ({encoding.why})"
