"""What an item says of its product, under the several names and spellings that catalogues give to one fact."""

from __future__ import annotations

import math
import re
from numbers import Real
from typing import Any

import pystac

from engine.errors import InputError

MEND = "mend the item's metadata, or leave the item out (exclude)"
"""The remedy where an item says what cannot be."""
BASELINES_END = 10
"""ESA's baselines are far below; N9999 is what Sen2Cor writes where a user ran it, 2024 is a year: neither is one."""
BASELINE = ("s2:processing_baseline", "sentinel:processing_baseline", "processing:baseline")
_YES_NO = {"true": True, "yes": True, "1": True, "1.0": True, "false": False, "no": False, "0": False, "0.0": False}
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan)", re.ASCII)
_POLARISATIONS = {"SV": "VV", "SH": "HH", "DV": "VV VH", "DH": "HH HV"}
"""Sentinel-1's own words for what it sends and receives."""


def stated(item: pystac.Item, *names: str) -> Any:
    """The first of these properties that the item states; None where it states none."""
    return next((item.properties[name] for name in names if item.properties.get(name) not in (None, "")), None)


def flag(item: pystac.Item, place: str, *names: str) -> bool | None:
    """Yes or no as these properties say it, in any spelling; None where they are silent. InputError: neither yes nor
    no, or both."""
    told = {name: value for name in names if (value := item.properties.get(name)) not in (None, "")}
    read = {name: _YES_NO.get(str(value).strip().lower()) for name, value in told.items()}
    if None in read.values() or len(set(read.values())) > 1:
        said = " and ".join(f"{name} {value!r}" for name, value in told.items())
        raise InputError(said, expected="true or false", place=place, remedy=MEND)
    return next(iter(read.values()), None)


def spelled_number(value: object) -> float | None:
    """A number as such or as text, infinity and NaN among them; None for what is none, such as true or a list."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value.strip().lower()) else None
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def product_name(item: pystac.Item) -> str:
    """ESA's product name as far as the item gives it, else its id."""
    return next(iter(product_names(item)), "")


def product_names(item: pystac.Item) -> tuple[str, ...]:
    """All names that the item gives its product, the producer's own first, its id last."""
    p = item.properties
    several = p.get("sentinel:product_ids")
    found = (
        p.get("s2:product_uri"), p.get("sentinel:product_id"), p.get("s1:product_identifier"),
        several[0] if isinstance(several, list) and several else None,
        p.get("landsat:product_id"), p.get("landsat:scene_id"), item.id,
    )  # fmt: skip
    return tuple(dict.fromkeys(str(name) for name in found if name))


def collection_words(item: pystac.Item) -> str:
    """The collection's id (and Open Data Cube's product) in lower case with hyphens."""
    text = f"{item.collection_id or ''} {item.properties.get('odc:product') or ''}"
    return re.sub(r"[ _]+", "-", text.strip().lower())


def family(item: pystac.Item) -> str:
    """``hls`` for NASA's Harmonized Landsat Sentinel-2, ``dea`` for Digital Earth Australia's analysis-ready data: they
    have their own atmospheric correction and masks, and no offset; empty for others."""
    words = collection_words(item)
    if item.id.startswith("HLS.") or re.search(r"(?:^|-)hls", words):
        return "hls"
    return "dea" if re.search(r"(?:^|-)ga-(?:s2|ls)", words) or "nbart_red" in item.assets else ""


def baseline(item: pystac.Item) -> str | None:
    """Sentinel-2 processing baseline such as ``05.09``: as stated, in any spelling, else from the product's name
    (``_N0509_``), its datatake or its datastrip; None where nothing tells."""
    found = baselines(item)
    return next(iter(found), None)


def baselines(item: pystac.Item) -> dict[str, str]:
    """Every baseline that the item tells, with what tells it, the best witness first."""
    told: dict[str, str] = {}
    for name in (*BASELINE, "processing:version"):
        value = item.properties.get(name)
        number = spelled_baseline(value, strict=name == "processing:version")
        if number:
            told.setdefault(number, f"{name} {value}")
    for text in (*product_names(item), *(str(stated(item, k) or "") for k in ("s2:datatake_id", "s2:datastrip_id"))):
        found = re.search(r"_(N\d{2}\.?\d{2})(?:_|\.|$)", text)
        number = spelled_baseline(found[1]) if found else None
        if number:
            told.setdefault(number, f"the name {text}")
    return told


def baseline_words(item: pystac.Item) -> str:
    """The baseline that is taken, and whatever the item says against it, in words that scenes of one kind share."""
    number, *others = [(number, _witness(by)) for number, by in baselines(item).items()] or [("unknown", "")]
    against = ", ".join(f"{other} by {by}" for other, by in others)
    strange = stated(item, *BASELINE)
    if strange is not None and spelled_baseline(strange) is None:
        against = ", ".join(filter(None, [against, f"{strange!r}, which is none"]))
    return f"baseline {number[0]}" + (f"{' by ' if number[1] else ''}{number[1]}, against {against}" if against else "")


def _witness(by: str) -> str:
    return "its name" if by.startswith("the name ") else by.split()[0]


def spelled_baseline(value: object, strict: bool = False) -> str | None:
    """``05.09`` for ``5.09``, ``N0509``, ``V05.09``; ``05.10`` for the number 5.1; None for what is none.

    A minor number that the catalogue has lost stays as it is written: ``02.xx``. ``strict``: two digits, a point, two
    digits, nothing else.
    """
    text = str(value if value is not None else "").strip()
    if strict:
        return text if re.fullmatch(r"0[0-9]\.\d\d", text) else None
    found = re.fullmatch(r"[NnVv]?(\d{1,2})[._](\d{1,2}|[xX]{1,2})", text) or re.fullmatch(
        r"[NnVv]?(\d{1,2})(\d{2})", text
    )
    if not found:
        whole = re.fullmatch(r"[NnVv]?(\d{1,2})", text)
        return f"{int(whole[1]):02d}.00" if whole and int(whole[1]) < BASELINES_END else None
    minor = found[2] if not found[2].isdigit() else found[2].ljust(2, "0")
    return None if int(found[1]) >= BASELINES_END else f"{int(found[1]):02d}.{minor.lower()}"


def level(item: pystac.Item) -> int | None:
    """Processing level, 1 or 2, of an optical or thermal product; None where nothing tells.

    Asked in this order: the product's type, Landsat's correction, the product's name, ``processing:level``.
    """
    kinds = ("s2:product_type", "sentinel:product_type", "product:type", "landsat:correction",
             "landsat:processing_level")  # fmt: skip
    texts = [str(stated(item, kind) or "") for kind in kinds]
    texts += [found[0] for name in product_names(item) if (found := re.search(r"MSIL[12][AC]|_L[12][A-Z]{2}_", name))]
    for text in (*texts, str(stated(item, "processing:level") or "")):
        bare = re.sub(r"[^A-Z0-9]", "", text.upper())
        if found := re.match(r"(?:S2)?(?:MSI)?(?:LEVEL|L)?([12])(?!\d)", bare):
            return int(found[1])
    return None


def radar_type(item: pystac.Item) -> str:
    """``SLC``, ``GRD``, ``RTC`` or the word itself in upper case; GRD by the product's name where nothing is stated."""
    text = str(stated(item, "sar:product_type", "product:type") or "").upper()
    if not text and "RTC" not in item.id.upper():
        text = "GRD" if "_GRD" in product_name(item).upper() else ""
    return next((word for word in ("RTC", "SLC", "GRD") if word in text), text)


def polarisations(item: pystac.Item) -> frozenset[str] | None:
    """What the radar received, such as {VV, VH}, stated in any spelling or from the product's name; None: not told."""
    told = stated(item, "sar:polarizations", "sar:polarisations", "polarisationChannels", "s1:polarization")
    text = " ".join(map(str, told)) if isinstance(told, list | tuple) else str(told or "")
    names = " ".join(product_names(item))
    short = re.search(r"(?:^|[\s_])(?:1S)?([SD][VH])(?:[\s_]|$)", text.upper()) or re.search(r"_1S([SD][VH])_", names)
    found = re.findall(r"(?<![A-Z])(VV|VH|HH|HV)(?![A-Z])", text.upper()) or re.findall(r"VV|VH|HH|HV", text.upper())
    found = found or (_POLARISATIONS[short[1]].split() if short else [])
    return frozenset(found) or None


def crs_code(item: pystac.Item, asset: pystac.Asset) -> str | None:
    """Authority code the item or asset states, such as ``EPSG:32631``; None where there is none."""
    for fields in (asset.extra_fields, item.properties):
        if fields.get("proj:code"):
            return str(fields["proj:code"])
        if fields.get("proj:epsg"):
            return f"EPSG:{fields['proj:epsg']}"
    return None
