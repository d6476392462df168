"""What a person may choose about training; light, for the spec."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from engine.models.card import Family
from engine.training.cascade_options import CascadeOptions
from engine.types import Options


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
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    trees: Annotated[int, Field(ge=1)] = 200
    """Trees of a forest."""
    threads: Annotated[int, Field(ge=1)] = 1
    """Threads of the arithmetic. Sums depend on it, so it is an option and not the machine's number of cores. Two
    are 1.5 times as fast on idle cores, and 30 times slower on busy ones: OpenMP's threads spin for each other."""
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:[0-9]+)?)$")] = "cpu"
    """Torch device; on a GPU two trainings may differ in the last bits."""
