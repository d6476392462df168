"""What a person may choose about virtual labels; light, for the spec."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engine.types import Options

Criterion = Literal["calinski_harabasz", "paper"]

_DRAWN = 3
"""Unlabelled pixels drawn for every virtual label wanted: of a Gaussian class 44 % pass all four mean thresholds."""


class VirtualOptions(Options):
    """Unlabelled pixels that resemble the training part's labelled ones are trained on as well (Teimouri 2023)."""

    share: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Virtual labels at most, as a share of the training part's labelled pixels."""
    criterion: Criterion = "calinski_harabasz"
    """How the number of a class' sub-classes is chosen, 1 to 4; ``paper``: by the source's score, which picks 4."""
    threshold_scale: Annotated[float, Field(gt=0)] = 1.0
    """How far from a sub-class a pixel may lie, as a multiple of the mean over the sub-class' labelled pixels."""
    quantile: Annotated[float, Field(gt=0, le=1)] | None = None
    """This quantile of the labelled pixels' distances in place of their mean."""
    accept: Literal["all", "gain"] = "all"
    """``gain``: in ten subsets, each kept only where validation gains by it; trains the model twelve times."""

    def wanted(self, labelled: int) -> int:
        """Virtual labels at most, for so many labelled pixels."""
        return round(self.share * labelled)

    def drawn(self, labelled: int) -> int:
        """Unlabelled pixels to draw where so many labelled ones are."""
        return _DRAWN * self.wanted(labelled)
