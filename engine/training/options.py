"""What a person may choose about training; light, for the spec."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from engine.models.card import Family
from engine.training.cascade_options import CascadeOptions
from engine.types import Options

LEARNING_RATE = 1e-3
FINE_TUNING = 0.1
"""Share of the usual learning rate at which a model that is trained already is trained further."""


class TrainOptions(Options):
    """How a model is trained. Equal options and samples give equal bytes on one kind of processor."""

    family: Family = "tempcnn"
    cascade: CascadeOptions = CascadeOptions()
    """For family clec: how forecast and classifier train together."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_. -]+[A-Za-z0-9]$")] = "crop-map"
    """Name on the card."""
    licence: Annotated[str, Field(min_length=1)] = "other"
    """Licence on the card, an SPDX identifier or ``other``."""
    seed: Annotated[int, Field(ge=0)] = 0
    block_m: Annotated[float, Field(gt=0)] = 10_000.0
    """Side of the spatial blocks that are dealt whole to training, validation and test (3, 1 and 1 fifths)."""
    min_samples: Annotated[int, Field(ge=1)] = 30
    """Classes with fewer labelled pixels are left out."""
    max_samples_per_class: Annotated[int, Field(ge=1)] = 10_000
    """More training pixels of a class than this are drawn at random; validation and test keep theirs."""
    epochs: Annotated[int, Field(ge=1)] = 30
    patience: Annotated[int, Field(ge=1)] = 6
    """Epochs without a validation macro-F1 better by 0.001 after which training stops."""
    batch: Annotated[int, Field(ge=2)] = 128
    learning_rate: Annotated[float, Field(gt=0)] = LEARNING_RATE
    """Where not given, a tenth of the usual one with ``start_from``: what was learnt is to be kept."""
    start_from: Annotated[str, Field(min_length=1)] | None = None
    """Folder of a model to go on from: its weights, scaling and classes are taken over. Family, recipe and classes
    must be its own."""
    imbalance: Literal["none", "oversample", "balanced_loss", "mixup"] = "none"
    """What is done for rare classes: their samples are repeated (patches turned and mirrored), weigh more in the loss
    (N / (K n_k)), or all are mixed with samples drawn from the classes alike. Probabilities are then those of a land
    where all classes are as common. A forest knows ``balanced_loss`` alone."""
    trees: Annotated[int, Field(ge=1)] = 200
    """Trees of a forest."""
    threads: Annotated[int, Field(ge=1)] = 1
    """Threads of the arithmetic. Sums depend on it, so it is an option and not the machine's number of cores. Two
    are 1.5 times as fast on idle cores, and 30 times slower on busy ones: OpenMP's threads spin for each other."""
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:[0-9]+)?)$")] = "cpu"
    """Torch device; on a GPU two trainings may differ in the last bits."""

    def decisive(self) -> dict[str, Any]:
        """What of the options decides a model, as JSON: where the one to go on from lies does not, its digest does."""
        return self.model_dump(mode="json", exclude={"start_from"})

    @model_validator(mode="before")
    @classmethod
    def _slower_from_a_model(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("start_from") is not None and "learning_rate" not in data:
            return {**data, "learning_rate": FINE_TUNING * LEARNING_RATE}
        return data

    @model_validator(mode="after")
    def _a_forest_is_no_network(self) -> TrainOptions:
        if self.family == "forest" and self.imbalance not in ("none", "balanced_loss"):
            raise ValueError(f"imbalance {self.imbalance!r} is for networks; a forest takes none or balanced_loss")
        if self.family == "forest" and self.start_from is not None:
            raise ValueError("start_from is for networks; a forest is grown anew")
        return self
