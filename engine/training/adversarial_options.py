"""What a person may choose about adversarial training; light, for the spec."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.types import Options


class AdversarialOptions(Options):
    """The network is adapted to the job's own season, which has no labels to be learnt from (Ganin et al. 2016)."""

    series: Annotated[int, Field(ge=2, le=1_000_000)] = 10_000
    """Pixels of this season, inside area and mask, that are drawn to be adapted to; their labels are never looked at.
    """
