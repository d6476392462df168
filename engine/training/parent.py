"""The model that a fine-tuned one begins as: it must be made of the same features and classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import InputError
from engine.models.card import Card, ClassEntry, Recipe
from engine.training.options import TrainOptions

_REMEDY = "train without --from (model.train.start_from), or begin from a model that is alike"


@dataclass(frozen=True, slots=True)
class Parent:
    """A written model: its card, its weights file and ``engine.models.model_digest``."""

    card: Card
    weights: bytes
    digest: str

    def classes(self, entries: Sequence[ClassEntry]) -> tuple[ClassEntry, ...]:
        """The parent's own entries, in its order; InputError where ``entries`` are of other codes or names."""
        theirs = {entry.code: entry.name for entry in self.card.classes}
        mine = {entry.code: entry.name for entry in entries}
        for code in sorted(theirs.keys() | mine.keys()):
            if theirs.get(code) != mine.get(code):
                raise InputError(
                    f"classes differ first in code {code}: the model to begin from has {theirs.get(code, 'none such')}",
                    expected=f"{mine.get(code, 'none such')}, as the labels with enough samples give",
                    place=f"model {self.card.name}",
                    remedy=f"mend the legend, lower labels.min_samples, or {_REMEDY}",
                )
        return self.card.classes


def refuse_unlike(card: Card, recipe: Recipe, options: TrainOptions, later_steps: int | None = None) -> None:
    """InputError that names the first thing in which the parent's card is unlike what is to be trained.

    later_steps: that are to be predicted, where this is known already.
    """
    pairs: dict[str, tuple[object, object]] = {"family": (card.family, options.family)}
    pairs["patch"] = (card.patch, 2 * options.halo + 1)
    if later_steps is not None:
        pairs["number of steps after the cut-off"] = (card.later_steps, later_steps)
    if options.family == "clec":
        for name in ("variant", "from_step", "mask_channel"):
            pairs[name] = (getattr(card, name), getattr(options.cascade, name))
    pairs |= {name: (getattr(card.recipe, name), getattr(recipe, name)) for name in Recipe.model_fields}
    for name, (theirs, mine) in pairs.items():
        if theirs != mine:
            raise InputError(
                f"{name} of the model to begin from: {_told(theirs)}",
                expected=f"{_told(mine)}, as this training's",
                place=f"model {card.name}",
                remedy=_REMEDY,
            )


def _told(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
