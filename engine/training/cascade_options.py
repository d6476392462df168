"""What a person may choose about the cascade; light, for the spec."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from engine.models.card import Variant
from engine.types import Options


class CascadeOptions(Options):
    """How forecast and classifier of CLEC train together. What the paper does not state is a choice of ours.

    With a fixed cut-off the steps forecast are those of the season after ``season.as_of``; without it there are none,
    and CLEC is its 1D-CNN alone. With cut-offs drawn at random one model serves every ``season.as_of`` from
    ``from_step`` on: each batch sees the season up to a step of its own and forecasts the rest.
    """

    cutoff: Literal["fixed", "random"] = "fixed"
    """``fixed``: one model for one date, trained with ``season.as_of`` (the paper). ``random``: one model for a range
    of dates, trained on a season that is over, without ``season.as_of``."""
    from_step: Annotated[int, Field(ge=4)] | None = None
    """For ``random``: the fewest leading steps that the model is to map from; the most are the whole season."""
    mask_channel: bool = False
    """For ``random``: the classifier is told which steps are forecast."""

    preset: Literal["paper", "plain", "no_attention", "no_gradnorm", "v2", "v3"] = "paper"
    """``paper``: one cascade, losses weighted by GradNorm. ``plain`` and ``no_attention``: the same with a simpler
    forecaster. ``no_gradnorm``: both losses weigh 1. ``v2``: forecaster and classifier train apart. ``v3``: as paper,
    but the epoch is chosen by the forecast's loss."""
    alpha: Annotated[float, Field(ge=0, le=3)] = 1.5
    """GradNorm: how strongly the loss that falls more slowly is favoured; 0.12 to 1.5 is usual."""
    weight_rate: Annotated[float, Field(gt=0, le=1)] = 0.025
    """GradNorm: learning rate of the weights."""
    baseline_steps: Annotated[int, Field(ge=1)] = 20
    """GradNorm: batches whose mean losses are the baselines."""
    update_every: Annotated[int, Field(ge=1)] = 1
    """GradNorm: batches from one move of the weights to the next."""
    norm_on: Literal["weights", "forecast"] = "weights"
    """GradNorm: gradients by the decoder's last weights, or by the forecast itself, which is cheaper."""

    @model_validator(mode="after")
    def _a_range_for_random_alone(self) -> CascadeOptions:
        if self.cutoff == "random" and self.from_step is None:
            raise ValueError(
                "cutoff: random without from_step; give the fewest steps to map from, such as from_step: 9"
            )
        if self.cutoff == "fixed" and self.from_step is not None:
            raise ValueError(f"from_step {self.from_step} with cutoff: fixed; from_step is that of cutoff: random")
        if self.cutoff == "fixed" and self.mask_channel:
            raise ValueError("mask_channel with cutoff: fixed, where the same steps are forecast always; take it out")
        return self

    @property
    def variant(self) -> Variant:
        """The forecaster that the preset asks for."""
        return self.preset if self.preset in ("plain", "no_attention") else "paper"

    @property
    def balanced(self) -> bool:
        """Whether GradNorm weighs the losses."""
        return self.preset not in ("no_gradnorm", "v2")
