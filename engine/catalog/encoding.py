"""How an asset's numbers become physical values, decided on the item's own metadata, with the reason in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pystac

from engine.catalog.naming import Naming
from engine.catalog.product import band_field, baseline, family, unit_word
from engine.catalog.satellite import KNOWN, platform
from engine.errors import InputError

S2_OFFSET = -0.1
"""BOA_ADD_OFFSET -1000 over the quantification value 10000, in products from baseline 04.00."""
S2_OFFSET_SINCE = 4.0
REFUSED_UNITS = {
    "radar": (("decibel", "amplitude"), "linear power", "choose a product in linear power, such as sentinel-1-rtc"),
    "c2": (("decibel", "amplitude"), "linear power", "choose covariances in linear power"),
    "thermal": (("celsius", "fahrenheit"), "kelvin", "choose a product in kelvin"),
    "optical": (("watt", "radiance"), "surface reflectance", "choose a Level-2 (surface reflectance) collection"),
}
"""Sensor -> words as ``unit_word`` gives them, what is wanted, and the way there."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """physical = DN * scale + offset, with the DN that stands for no data, and why so."""

    scale: float
    offset: float
    nodata: float | None
    why: str


def decide_encoding(item: pystac.Item, sensor: str, band: str, asset: pystac.Asset, naming: Naming | None) -> Encoding:
    """The encoding of one band: what the asset states, else what its product family documents (``naming``, None where
    the family is not known).

    A nodata of NaN comes back as None: in float rasters NaN needs no declaration. InputError: a wrong unit, several
    bands in one asset, or no scale anywhere.
    """
    place = f"item {item.id}, asset of {band}"
    _check_unit(str(band_field(asset, "unit") or ""), sensor, place)
    if len(asset.extra_fields.get("raster:bands") or ()) > 1:
        raise InputError(
            f"{len(asset.extra_fields['raster:bands'])} bands in one asset", expected="one band a file", place=place
        )
    nodata = _number(band_field(asset, "nodata"), "nodata", place)
    if nodata is None and naming is not None and band_field(asset, "nodata") is None:
        nodata = naming.nodata
    scale = _number(band_field(asset, "scale"), "scale", place)
    offset = _number(band_field(asset, "offset"), "offset", place)
    if platform(item).startswith("sentinel-2") and sensor == "optical" and not family(item):
        offset, why = sentinel2_offset(item, offset, place)
        return Encoding(scale or 1e-4, offset, nodata, why)
    if scale is not None:
        return Encoding(scale, offset or 0.0, nodata, "stated by the item")
    if sensor in ("radar", "c2"):
        unit = band_field(asset, "unit")
        return Encoding(1.0, 0.0, nodata, f"unit {unit}" if unit else "no unit stated: taken as linear power")
    if naming is None:
        raise InputError(
            f"no scale stated, and {platform(item) or 'no platform stated'!r} is none whose products are known",
            expected=f"raster:bands with scale and offset, or a platform that is known: {KNOWN}",
            place=place,
            remedy="add one of them to the item",
        )
    return Encoding(naming.scale, naming.offset, nodata, f"nothing stated: {naming.product} as documented")


def sentinel2_offset(item: pystac.Item, stated: float | None, place: str) -> tuple[float, str]:
    """(offset, reason) of a Sentinel-2 L2A band; ``stated`` is its raster:bands offset in reflectance, or None.

    In this order: (1) a provider who says ``boa_offset_applied: true`` has added it to the DNs, so it is 0, whatever
    raster:bands says (Earth Search v1 states -0.1 beside the flag); (2) the stated offset; (3) the baseline: -0.1 from
    04.00, else 0. Never the date: old scenes processed anew carry the offset too. Pixels are not read here, so a flag
    that is itself wrong is not noticed. InputError: an offset other than 0 and -0.1, or nothing to decide on.
    """
    version = baseline(item)
    number = _leading_number(version)
    p = item.properties
    flag = p.get("earthsearch:boa_offset_applied", p.get("sentinel:boa_offset_applied"))
    said = f"baseline {version or 'unknown'}"
    if flag is True:
        conflict = f", against raster:bands offset {stated:g}" if stated else ""
        return 0.0, f"{said}, boa_offset_applied{conflict}"
    if stated is not None:
        if min(abs(stated), abs(stated - S2_OFFSET)) > 1e-9:
            raise InputError(
                f"raster:bands offset {stated:g}",
                expected="0 or -0.1, the only ones Sentinel-2 L2A is published with",
                place=place,
                remedy="mend the item's metadata, or leave the item out",
            )
        usual = S2_OFFSET if number is not None and number >= S2_OFFSET_SINCE else 0.0
        unusual = f" (unusual: ESA's products of it have {usual:g})" if number is not None and stated != usual else ""
        return stated, f"{said}, raster:bands offset {stated:g}{unusual}"
    if number is None:
        raise InputError(
            f"processing baseline {version!r} and no raster:bands offset",
            expected="s2:processing_baseline, raster:bands or boa_offset_applied, to tell if DNs carry an offset",
            place=place,
            remedy="add one of them to the item, or use another catalogue",
        )
    return (S2_OFFSET if number >= S2_OFFSET_SINCE else 0.0), f"{said}, no offset in raster:bands"


def _check_unit(unit: str, sensor: str, place: str) -> None:
    refused, expected, remedy = REFUSED_UNITS[sensor]
    found = unit_word(unit)
    if found in refused or (sensor == "optical" and any(word in found for word in refused)):
        raise InputError(f"unit {unit!r}", expected=expected, place=place, remedy=remedy)


def _number(value: object, name: str, place: str) -> float | None:
    """A finite number, or None for absent, NaN and ``"nan"``."""
    if value is None:
        return None
    try:
        number = float(str(value))
    except ValueError as error:
        raise InputError(f"{name} {value!r}", expected="a number", place=place, remedy="mend the item") from error
    if math.isinf(number):
        raise InputError(f"{name} {value!r}", expected="a finite number", place=place, remedy="mend the item")
    return None if math.isnan(number) else number


def _leading_number(version: str | None) -> float | None:
    """4.0 for ``04.00``; 2.0 for ``02.xx``, whose minor version the catalogue has lost."""
    if not version:
        return None
    major, _, minor = version.partition(".")
    if not major.isdigit():
        return None
    return float(f"{int(major)}.{minor if minor.isdigit() else 0}")
