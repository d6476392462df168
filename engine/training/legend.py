"""Classes of a legend as entries of a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.colours import colours_of
from engine.models.card import ClassEntry


def class_entries(
    codes: Sequence[int], names: Mapping[int, str], colours: Mapping[int, str] | None = None
) -> tuple[ClassEntry, ...]:
    """Entries for ``codes`` in ascending order. Those without one of ``colours`` (#rrggbb by code) get a made one, by
    the codes of the whole legend (``names``), whichever of them are trained."""
    shown = colours_of(names, colours)
    return tuple(ClassEntry(code=code, name=names[code], colour=shown[code]) for code in sorted(codes))
