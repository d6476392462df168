"""How a raster is to be read: the one rule by which band, scale, offset, no data, unit and data type are decided.

The item says, else the file's own header says, else the product family's document says. Where two of them disagree
the reading tells so, and which won. For a raster that a person named, the options of the spec stand for the item.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from engine.claims import SILENT, Claim, fills_of, line_of
from engine.errors import InputError
from engine.types import Asset
from engine.units import check_unit, unit_word

CODES = "codes"
"""In place of a sensor: a raster of classes or bits, whose numbers are taken as they are."""
_SCENE_BAND = "name it in the item (eo:bands, or bands of STAC 1.1), or as inputs.*.assets: {blue: KEY#2}"
_OPTION_BAND = "say which with the option band: its number from 1, or its name in the file"
_FEW_ULPS = 4
"""A float's no data is written as text in many headers, and loses its last digits there."""


@dataclass(frozen=True, slots=True)
class Header:
    """What an open raster says of itself, band by band."""

    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    units: tuple[str | None, ...]
    names: tuple[str | None, ...]
    alpha: tuple[bool, ...]
    """True for a band of opacity, which is a mask of the others and no band to be read."""
    masked: tuple[bool, ...]
    """True where the file has a mask for the band, inside it or beside it (``.msk``)."""

    def claim(self, number: int) -> Claim:
        """What the file says of its band ``number``. GDAL's defaults, scale 1 and offset 0, say nothing."""
        i = number - 1
        scale, offset, nodata = self.scales[i], self.offsets[i], self.nodata[i]
        spoken = (scale, offset) != (1.0, 0.0)
        return Claim(
            scale=scale if spoken else None,
            offset=offset if offset != 0 else None,
            nodata="nan" if nodata is not None and math.isnan(nodata) else nodata,
            unit=self.units[i] or None,
            dtype=self.dtypes[i],
            name=self.names[i] or None,
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """How one band of one file is read."""

    band: int
    """Number from 1."""
    scale: float
    offset: float
    """physical = DN * scale + offset."""
    nodata: tuple[float, ...]
    """Numbers that stand for no data; NaN does in any case."""
    dtype: str
    masked: bool
    """Whether the file's own mask is to be read too."""
    infinite: bool = False
    """Whether infinity is a number to be looked at: it is no code, and told, but in a measurement it is no data."""
    opacity: int | None = None
    """Number of the alpha band, 0 where there is no data."""
    told: tuple[str, ...] = ()
    """Where item, header and document disagree, and which of them won: one sentence each."""


def read_header(source: DatasetReader, beside: bool = False) -> Header:
    """The header of an open raster; ``beside``: a mask lies beside it that GDAL was not let look for."""
    alpha = tuple(colour == ColorInterp.alpha for colour in source.colorinterp)
    return Header(
        dtypes=tuple(source.dtypes),
        nodata=tuple(source.nodatavals),
        scales=tuple(source.scales),
        offsets=tuple(source.offsets),
        units=tuple(source.units),
        names=tuple(source.descriptions),
        alpha=alpha,
        # What GDAL makes of an alpha band is a mask too, but not for every data type: that band is read itself.
        masked=tuple(
            beside or (MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags)
            for flags in source.mask_flag_enums
        ),
    )


@lru_cache(maxsize=4096)
def decide(header: Header, asset: Asset, sensor: str, band: str) -> Reading:
    """The reading of ``band`` of a file of ``sensor`` with this header. Pure.

    A quality layer (``mask``), like any raster of ``CODES``, is taken as it is. InputError, whose place is the caller's
    to say: several bands and none named, a complex or unknown data type, a unit that is refused, no scale that holds.
    """
    codes = sensor == CODES or band == "mask"
    item, family = asset.item, Claim(scale=1.0, offset=0.0) if codes else asset.family
    number = _number(header, item, _OPTION_BAND if sensor == CODES else _SCENE_BAND)
    file = header.claim(number)
    dtype = _checked_type(str(file.dtype))
    if not codes:
        check_unit(item.unit or file.unit, sensor)
    line = _line(item, file, family, codes)
    if sensor == "optical" and not codes and family.nodata is None:
        family = replace(family, nodata=0.0)  # the fill of every provider of reflectance
    counted = item.count is not None and item.count == len(header.dtypes)
    opaque = [i for i, alpha in enumerate(header.alpha, 1) if alpha and i != number and not counted]
    return Reading(
        band=number,
        scale=line[0] * asset.line[0],
        offset=line[1] * asset.line[0] + asset.line[1],
        nodata=fills_of(_possible(item, dtype), _possible(file, dtype), family),
        dtype=dtype,
        masked=header.masked[number - 1],
        infinite=codes,
        opacity=opaque[0] if opaque else None,
        told=tuple(_disagreements(header, item, file, SILENT if codes else family)),
    )


def filled(values: NDArray, nodata: tuple[float, ...], infinite: bool = False) -> NDArray[np.bool_]:
    """True where a pixel is NaN or holds one of ``nodata``, as its data type can hold it, or, unless ``infinite``, is
    infinite."""
    if values.dtype.kind == "f":
        gone = np.isnan(values) if infinite else ~np.isfinite(values)
        near = _FEW_ULPS * float(np.finfo(values.dtype).eps)
        for number in nodata:
            with np.errstate(over="ignore"):  # the smallest float32, a usual fill, has no neighbour below
                low, high = sorted(values.dtype.type(number * (1 + side)) for side in (-near, near))
            gone |= (values >= low) & (values <= high)
        return gone
    gone = np.zeros(values.shape, np.bool_)
    for number in nodata:
        if can_hold(values.dtype, number):
            gone |= values == values.dtype.type(int(number))
    return gone


def can_hold(dtype: np.dtype, number: float) -> bool:
    """Whether a pixel of this type can be ``number``."""
    if dtype.kind == "f":
        return True
    if dtype.kind == "b":
        return number in (0, 1)
    return math.isfinite(number) and number == int(number) and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max


def _possible(claim: Claim, dtype: str) -> Claim:
    """The claim, its no data left out where no pixel of this type can be it: then the next claim's counts."""
    held = claim.nodata is None or can_hold(np.dtype(dtype), float(claim.nodata))
    return claim if held else replace(claim, nodata=None)


def _number(header: Header, item: Claim, remedy: str) -> int:
    """Number of the band to read; InputError where it is not named and the file has several, or is not there."""
    count = len(header.dtypes)
    if item.band is None:
        data = [i for i in range(1, count + 1) if not header.alpha[i - 1]]
        if len(data) == 1:
            return data[0]
        raise InputError(
            f"{len(data)} bands in the file, and none is named: {_bands(header)}",
            expected="one band, or the name of one of them", remedy=remedy,
        )  # fmt: skip
    if isinstance(item.band, int):
        found = [item.band] if 1 <= item.band <= count else []
    else:
        wanted = item.band.casefold()
        found = [i for i, name in enumerate(header.names, 1) if (name or "").casefold() == wanted]
    if len(found) != 1:
        raise InputError(
            f"{'several bands' if found else 'no band'} {item.band!r} in the file", expected=_bands(header),
            remedy=remedy,
        )  # fmt: skip
    return found[0]


def _bands(header: Header) -> str:
    told = []
    for i, (name, dtype) in enumerate(zip(header.names, header.dtypes, strict=True)):
        words = " ".join(filter(None, [name, "alpha" if header.alpha[i] else None, dtype]))
        told.append(f"{i + 1} ({words})")
    return ", ".join(told)


def _checked_type(name: str) -> str:
    try:
        known = np.dtype(name).kind in "buif"
    except TypeError:
        known = False
    if not known:
        raise InputError(
            f"data type {name}", expected="whole or real numbers",
            remedy="write the intensity, or real and imaginary part apart, or leave it out",
        )  # fmt: skip
    return name


def _line(item: Claim, file: Claim, family: Claim, codes: bool) -> tuple[float, float]:
    """(scale, offset) of the band; InputError where none holds for it."""
    line = line_of([item, file, family])
    if codes and line != (1.0, 0.0):
        assert line is not None
        raise InputError(
            f"scale {line[0]:g} and offset {line[1]:g} in a raster of classes", expected="classes as they are",
            remedy="write the classes as whole numbers, without scale and offset (gdal_edit -scale 1 -offset 0)",
        )  # fmt: skip
    if line is None or (item.scale is None and file.scale is None and not _fits(family.dtype, file.dtype)):
        documented = f", and its product is documented as {family.dtype}" if line else ", nor is its product known"
        raise InputError(
            f"{file.dtype} without a scale: neither the item nor the file's header says one{documented}",
            expected="a scale in raster:bands or in the file (1 where the numbers are physical values already)",
            remedy="add it to the item, or to the file (gdal_edit -scale)",
        )
    if not (math.isfinite(line[0]) and math.isfinite(line[1]) and line[0] > 0):
        raise InputError(
            f"scale {line[0]:g}, offset {line[1]:g}", expected="finite numbers, the scale above 0",
            remedy="mend the item or the file's header (gdal_edit -scale -offset)",
        )  # fmt: skip
    return line


def _fits(documented: str | None, held: str | None) -> bool:
    """Whether a documented scale may hold for the type of the file: whole numbers as wide, or real numbers for real."""
    if documented is None or held is None:
        return True
    mine, theirs = np.dtype(held), np.dtype(documented)
    return (mine.kind == "f") == (theirs.kind == "f") and mine.itemsize >= min(theirs.itemsize, 2)


def _disagreements(header: Header, item: Claim, file: Claim, family: Claim) -> Iterator[str]:
    """One sentence for each thing of which two witnesses say different things."""
    for name in ("scale", "offset"):
        said = [(who, getattr(claim, name)) for who, claim in _witnesses(item, file, family)]
        said = [(who, value) for who, value in said if value is not None]
        if len({f"{value:.6g}" for _, value in said}) > 1:
            words = ", ".join(f"the {who} says {value:g}" for who, value in said)
            yield f"{name}: {words}; that of the {said[0][0]} is used"
    given = [(who, claim.nodata) for who, claim in _witnesses(item, file, family) if claim.nodata is not None]
    if len({str(_plain(value)) for _, value in given}) > 1:
        words = ", ".join(f"the {who} says {_plain(value)}" for who, value in given)
        both = item.nodata is not None and file.nodata is not None and item.nodata != file.nodata
        used = "what item or file call no data is none" if both else f"that of the {given[0][0]} is used"
        yield f"nodata: {words}; {used}"
    for number in dict.fromkeys(float(c.nodata) for c in (item, file) if c.nodata is not None):
        if not can_hold(np.dtype(str(file.dtype)), number):
            yield f"nodata {number:g} cannot occur in {file.dtype}"
    if item.dtype and file.dtype and item.dtype.lower() != file.dtype:
        yield f"data type: the item says {item.dtype}, the file holds {file.dtype}, which is read"
    if item.unit and file.unit and unit_word(item.unit) != unit_word(file.unit):
        yield f"unit: the item says {item.unit}, the file says {file.unit}; that of the item is used"
    called = [i for i, name in enumerate(header.names, 1) if item.name and (name or "").lower() == item.name.lower()]
    if isinstance(item.band, int) and called and item.band not in called:
        yield f"band: the item says {item.name} is {item.band}, the file says {called[0]}; that of the item is used"
    data = sum(not alpha for alpha in header.alpha)
    if item.count not in (None, data, len(header.alpha)):
        yield f"bands: the item says {item.count}, the file has {_bands(header)}"


def _witnesses(item: Claim, file: Claim, family: Claim) -> tuple[tuple[str, Claim], ...]:
    return ("item", item), ("file's header", file), ("product's document", family)


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
