"""What is said of one band's numbers, by the item, by the file's own header, by the product family's document; and
which of them counts. Light: no rasterio behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """What one witness says of one band; None: it is silent."""

    scale: float | None = None
    offset: float | None = None
    """physical = DN * scale + offset."""
    nodata: float | str | None = None
    """The number that stands for no data; ``"nan"``, ``"inf"`` or ``"-inf"`` for those that JSON does not know."""
    unit: str | None = None
    dtype: str | None = None
    band: int | str | None = None
    """Number from 1, or the band's name in the file."""
    name: str | None = None
    """What the item calls the band of that number."""
    count: int | None = None
    """Bands that the file has."""


SILENT = Claim()


def line_of(claims: Sequence[Claim]) -> tuple[float, float] | None:
    """(scale, offset) by the first claim that says each; None where none says a scale.

    An offset belongs to its scale: what a later claim says of it counts only beside the same scale. Where a scale comes
    without any offset it is 0, as GDAL and STAC have it.
    """
    for place, claim in enumerate(claims):
        if claim.scale is None:
            continue
        fitting = [c for c in claims[place + 1 :] if c.scale is None or _alike(c.scale, claim.scale)]
        offsets = [c.offset for c in (*claims[: place + 1], *fitting) if c.offset is not None]
        return claim.scale, (offsets[0] if offsets else 0.0)
    return None


def _alike(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-6 * abs(other)


def fills_of(item: Claim, file: Claim, family: Claim) -> tuple[float, ...]:
    """Numbers that stand for no data: the item's and the file's own, both where they differ, since a pixel that either
    calls no data is no observation; else the family's. NaN is no data without being named."""
    said = [claim.nodata for claim in (item, file) if claim.nodata is not None]
    said = said or ([family.nodata] if family.nodata is not None else [])
    return tuple(dict.fromkeys(float(value) for value in said if value != "nan"))
