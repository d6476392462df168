"""Classes of a legend as entries of a card, with colours far apart where a legend has none."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

from engine.models.card import ClassEntry

_GOLDEN = 0.6180339887498949
"""Steps of the golden ratio round the colour circle keep any number of hues apart."""
_TONES = ((0.75, 0.85), (0.55, 0.65), (0.90, 0.95))
"""(saturation, value), in turn, so that hues that do come close differ in tone."""


def class_entries(
    codes: Sequence[int], names: Mapping[int, str], colours: Mapping[int, str] | None = None
) -> tuple[ClassEntry, ...]:
    """Entries for ``codes`` in ascending order; ``colours`` (#rrggbb by code) win over made ones."""
    given = colours or {}
    return tuple(
        ClassEntry(code=code, name=names[code], colour=given.get(code, _colour(position)).lower())
        for position, code in enumerate(sorted(codes))
    )


def _colour(position: int) -> str:
    saturation, value = _TONES[position % len(_TONES)]
    channels = colorsys.hsv_to_rgb((0.12 + position * _GOLDEN) % 1.0, saturation, value)
    return "#" + "".join(f"{round(channel * 255):02x}" for channel in channels)
