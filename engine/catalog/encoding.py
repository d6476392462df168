"""What is said of an asset's numbers before its file is opened, by the item and by its family's document, in words."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pystac

from engine.catalog.bands import band_field
from engine.catalog.naming import Naming
from engine.catalog.product import BASELINE, MEND, baseline, baseline_words, family, flag, spelled_number
from engine.catalog.product import stated as said_of
from engine.catalog.satellite import KNOWN, platform
from engine.claims import Claim
from engine.errors import InputError
from engine.units import check_unit

S2_OFFSET = -0.1
"""BOA_ADD_OFFSET -1000 over the quantification value 10000, in products from baseline 04.00."""
S2_OFFSET_SINCE = 4.0


@dataclass(frozen=True, slots=True)
class Encoding:
    """What the item states and what its family documents, and why so."""

    item: Claim
    family: Claim
    why: str


def decide_encoding(
    item: pystac.Item, sensor: str, band: str, asset: pystac.Asset, naming: Naming | None, which: Claim
) -> Encoding:
    """What item and product family (``naming``, None where it is not known) say of one band, ``which`` of its asset.

    Which of them counts is decided when the file is opened: its header stands between the two. InputError: a unit that
    is refused, or numbers that are none.
    """
    place = f"item {item.id}, asset of {band}"
    stated = stated_numbers(asset, which, place)
    unit = stated.unit
    try:
        check_unit(unit, sensor)
    except InputError as error:
        raise InputError(error.value, expected=error.expected, place=place, remedy=error.remedy) from None
    document = Claim()
    if naming is not None:
        document = Claim(scale=naming.scale, offset=naming.offset, nodata=naming.nodata, dtype=naming.dtype)
    if platform(item).startswith("sentinel-2") and sensor == "optical" and not family(item):
        offset, why, by_item = sentinel2_offset(item, stated.offset, place)
        document = replace(document, scale=1e-4, offset=None if by_item else offset, dtype="uint16")
        return Encoding(replace(stated, offset=offset if by_item else None), document, why)
    if stated.scale is not None:
        return Encoding(stated, document, "stated by the item")
    if sensor in ("radar", "c2"):
        document = replace(document, scale=1.0, offset=0.0, dtype="float32")
        return Encoding(stated, document, f"unit {unit}" if unit else "no unit stated: taken as linear power")
    whose = repr(platform(item)) if platform(item) else "no platform stated, which"
    known = f"{naming.product} as documented" if naming else f"{whose} is none of those known, {KNOWN}"
    return Encoding(stated, document, f"nothing stated: {known}")


def stated_numbers(asset: pystac.Asset, which: Claim, place: str) -> Claim:
    """What the item states of one band of its asset; ``which``: its number, or its name where only the file knows."""
    bare = pystac.Asset(asset.href, extra_fields={}) if isinstance(which.band, str) else asset
    number = which.band if isinstance(which.band, int) else 1
    told = {name: band_field(bare, name, number) for name in ("scale", "offset", "nodata", "unit", "data_type")}
    return replace(
        which,
        scale=_number(told["scale"], "scale", place, "a finite number above 0", lambda n: math.isfinite(n) and n > 0),
        offset=_number(told["offset"], "offset", place, "a finite number", math.isfinite),
        nodata=_fill(told["nodata"], place),
        unit=_text(told["unit"], "unit", place),
        dtype=_text(told["data_type"], "data_type", place),
    )


def sentinel2_offset(item: pystac.Item, stated: float | None, place: str) -> tuple[float, str, bool]:
    """(offset, reason, whether the item itself says so) of a Sentinel-2 L2A band; ``stated`` is its raster:bands offset
    in reflectance, or None.

    In this order: (1) a provider who says ``boa_offset_applied: true`` has added it to the DNs, so it is 0, whatever
    raster:bands says (Earth Search v1 states -0.1 beside the flag); (2) the stated offset; (3) the baseline: -0.1 from
    04.00, else 0. Never the date: old scenes processed anew carry the offset too. Pixels are not read here, so a flag
    that is itself wrong is not noticed. InputError: an offset other than 0 and -0.1, a flag that is neither true nor
    false, or nothing to decide on.
    """
    version = baseline(item)
    number = _leading_number(version)
    applied = flag(item, place, "earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
    said = baseline_words(item)
    if applied:
        conflict = f", against raster:bands offset {stated:g}" if stated else ""
        return 0.0, f"{said}, boa_offset_applied{conflict}", True
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
        return stated, f"{said}, raster:bands offset {stated:g}{unusual}", True
    if number is None:
        raise InputError(
            f"processing baseline {said_of(item, *BASELINE)!r} and no raster:bands offset",
            expected="s2:processing_baseline, raster:bands or boa_offset_applied, to tell if DNs carry an offset",
            place=place,
            remedy="add one of them to the item, or use another catalogue",
        )
    return (S2_OFFSET if number >= S2_OFFSET_SINCE else 0.0), f"{said}, no offset in raster:bands", applied is False


def _fill(value: object, place: str) -> float | str | None:
    """The number that stands for no data; NaN and the infinities, which are never a measurement, in words."""
    number = _number(value, "nodata", place, 'a number, "nan", "inf" or "-inf"', lambda _: True)
    return number if number is None or math.isfinite(number) else str(number)


def _number(value: object, name: str, place: str, expected: str, fits: Callable[[float], bool]) -> float | None:
    """The number, as such or as text; None where nothing is stated. InputError: it is none, or does not fit."""
    if value in (None, ""):
        return None
    number = spelled_number(value)
    if number is None or not fits(number):
        raise InputError(f"{name} {value!r}"[:200], expected=expected, place=place, remedy=MEND)
    return number


def _text(value: object, name: str, place: str) -> str | None:
    """A word, or a number in place of one, such as unit 1; None where nothing is stated. InputError: something else."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{name} {value!r}"[:200], expected="text", place=place, remedy=MEND)
    return str(value)


def _leading_number(version: str | None) -> float | None:
    """4.0 for ``04.00``; 2.0 for ``02.xx``, whose minor version the catalogue has lost."""
    if not version:
        return None
    major, _, minor = version.partition(".")
    if not major.isdigit():
        return None
    return float(f"{int(major)}.{minor if minor.isdigit() else 0}")
