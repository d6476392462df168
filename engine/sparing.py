"""One cube layer of one tile, built without the scenes that cannot be read, where the spec lets it be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.cube import CubeOptions, Reader, build_layer
from engine.errors import TileError
from engine.read import Patch
from engine.types import Item, Layer, Window


@dataclass
class Sparing:
    """A reader to which a scene that may be spared (``inputs.*.damaged: leave_out``) is not there once one of its files
    is missing or damaged. What else fails, the store before all, fails as ever."""

    read: Reader
    broken: dict[str, str] = field(default_factory=dict)
    """Id of each scene that could not be read -> the reason."""
    met: bool = False
    """Whether any scene had a pixel here that is neither no data nor 0, the fill of what was not taken."""

    def __call__(self, item: Item, band: str, window: Window, margin: int = 0) -> Patch | None:
        try:
            patch = self.read(item, band, window, margin)
        except TileError as error:
            if not item.spare:
                raise
            self.broken.setdefault(item.id, str(error))
            return None
        self.met = self.met or (patch is not None and bool(patch.known().any()))
        return patch


def build_sparing(
    layer: str, steps: Mapping[int, Sequence[Item]], window: Window, read: Sparing, options: CubeOptions
) -> dict[int, Layer]:
    """``build_layer``, with no trace of the scenes in ``read.broken``: the steps that they belong to are built again
    without them, all their bands, so that no half scene is used.

    Raises TileError where of two scenes or more not one can be read: then it is no scene that is broken.
    """
    built, known = build_layer(layer, steps, window, read, options), 0
    while len(read.broken) > known:
        known = len(read.broken)
        again = {
            number: [item for item in items if item.id not in read.broken]
            for number, items in steps.items()
            if any(item.id in read.broken for item in items)
        }
        built |= build_layer(layer, again, window, read, options)
    asked = {item.id for items in steps.values() for item in items}
    if len(asked) > 1 and asked == set(read.broken):
        raise TileError(
            f"not one of {len(asked)} {layer} scenes can be read; the first: {next(iter(read.broken.values()))}",
            expected="damage to some of them at most, since they may be left out (damaged: leave_out)",
            remedy="look whether the scenes are where the catalogue says, then tiles --retry and resume",
        )
    return built
