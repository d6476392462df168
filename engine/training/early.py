"""Seasons that are over, and what was known of them at each cut-off: a forecast's input and its target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models.card import Recipe
from engine.models.scaling import scale
from engine.training.options import TrainOptions
from engine.training.parts import Scaling
from engine.types import Samples

_JUDGED = 4
"""Cut-offs at which a model that takes many is judged after every epoch, the first and the last of them included."""


@dataclass(frozen=True, slots=True)
class Seasons:
    """Whole seasons of some samples, from ``first`` known steps on."""

    observed: NDArray[np.float32]
    """(n, t, b) float32, physical units, gaps not filled, as ``Samples.observed``."""
    followed: NDArray[np.float32]
    """(n, t, f) float32 scaled, NaN = not known: what a forecast is to learn."""
    recipe: Recipe
    scaling: Scaling
    first: int

    def early(self, until: int, rows: NDArray[np.integer] | slice = slice(None)) -> NDArray[np.float32]:
        """What ``season.as_of`` at the end of step ``until`` leaves of these samples: (n, until, f) float32 scaled.

        Gaps are filled from the steps before the cut-off alone, as ``engine.features.derive`` fills them for a map;
        later ones are not looked at. A sample not seen until then is the features' stand-ins.
        """
        from engine.features import derive_series  # brings Numba along

        recipe = self.recipe.model_copy(update={"steps": until})
        x = derive_series(self.observed[rows, :until], recipe)
        return scale(x, self.scaling.lower, self.scaling.upper, self.scaling.fill)

    def later(self, until: int) -> NDArray[np.float32]:
        """What followed: (n, t - until, f) float32 scaled, NaN = not known."""
        return self.followed[:, until:]

    @property
    def judged_at(self) -> list[int]:
        """Cut-offs, in steps, by which an epoch is chosen: spread evenly, the whole season last."""
        return sorted({round(step) for step in np.linspace(self.first, self.recipe.steps, _JUDGED).tolist()})

    @property
    def tested_at(self) -> range:
        """Cut-offs, in steps, at which the finished model is calibrated and tested: all that it takes."""
        return range(self.first, self.recipe.steps + 1)


def whole_season(observed: NDArray[np.float32], recipe: Recipe) -> NDArray[np.float32]:
    """What really happened, (n, t, f) float32, physical units, for all t steps observed.

    observed: (n, t, b) float32 as ``Samples.observed``. Gaps are filled as the recipe says, from the whole season,
    since these are targets and no input. But no value is held beyond a band's last observation, nor smoothed there: it
    would teach that seasons end flat. There it is NaN, as it is where a band was never seen.
    """
    from engine.features import derive_series  # brings Numba along

    season = {"steps": observed.shape[1], "hold_ends": False}
    x = derive_series(observed, recipe.model_copy(update=season))
    if recipe.fill != "linear":
        known = derive_series(observed, recipe.model_copy(update={**season, "fill": "linear"}))
        np.copyto(x, np.nan, where=np.isnan(known))
    return x


def seasons_of(samples: Samples, rows: NDArray[np.intp], recipe: Recipe, scaling: Scaling, first: int) -> Seasons:
    """What was known of these samples at each cut-off, and what followed."""
    assert samples.observed is not None
    observed = samples.observed[rows]
    followed = whole_season(observed, recipe)
    known = ~np.isnan(followed)
    followed = scale(followed, scaling.lower, scaling.upper, scaling.fill)
    return Seasons(observed, np.where(known, followed, np.float32(np.nan)), recipe, scaling, first)


def refuse_unobserved(samples: Samples, recipe: Recipe, options: TrainOptions) -> None:
    """InputError where cut-offs are to be drawn and the samples do not say what was observed, or end before them."""
    first = options.cascade.from_step
    if first is None:
        return
    from engine.features import bands_needed  # brings Numba along

    expected = (len(samples.y), recipe.steps, len(bands_needed(recipe.features)))
    if samples.observed is None or samples.observed.shape != expected:
        raise InputError(
            f"samples with observed {None if samples.observed is None else samples.observed.shape}",
            expected=f"{expected}: samples, steps and bands, gaps not filled",
            place="model.train.cascade.cutoff: random",
            remedy="take them from engine.features.unfilled, or use cutoff: fixed",
        )
    if first >= recipe.steps:
        raise InputError(
            f"{first} of {recipe.steps} steps, which leave nothing to forecast",
            expected=f"4 to {recipe.steps - 1}",
            place="model.train.cascade.from_step",
            remedy="fewer steps, or a longer season",
        )
