"""What a person may choose about the cascade; light, for the spec."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engine.models.card import Variant
from engine.types import Options


class CascadeOptions(Options):
    """How forecast and classifier of CLEC train together. What the paper does not state is a choice of ours.

    The steps forecast are those of the season after ``season.as_of``; without it there are none, and CLEC is its
    1D-CNN alone.
    """

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

    @property
    def variant(self) -> Variant:
        """The forecaster that the preset asks for."""
        return self.preset if self.preset in ("plain", "no_attention") else "paper"

    @property
    def balanced(self) -> bool:
        """Whether GradNorm weighs the losses."""
        return self.preset not in ("no_gradnorm", "v2")
