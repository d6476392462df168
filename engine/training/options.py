"""What a person may choose about training; light, for the spec."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from engine.models.card import PATCHES, Family
from engine.training.adversarial_options import AdversarialOptions
from engine.training.cascade_options import CascadeOptions
from engine.training.virtual_options import VirtualOptions
from engine.types import MAX_HALO, Options

_JUDGED, _JUDGED_SQUARES = 20_000, 2_000

LEARNING_RATE = 1e-3
FINE_TUNING = 0.1
"""Share of the usual learning rate at which a model that is trained already is trained further."""


class TrainOptions(Options):
    """How a model is trained. Equal options and samples give equal bytes on one kind of processor."""

    family: Family = "tempcnn"
    """Kind of model: networks and trees of series, or networks of the squares around pixels (convstar3d,
    convstar, hybridsn, cnn3d, twobranch)."""
    cascade: CascadeOptions = CascadeOptions()
    """For family clec: how forecast and classifier train together."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_. -]+[A-Za-z0-9]$")] = "crop-map"
    """Name on the card."""
    licence: Annotated[str, Field(min_length=1)] = "other"
    """Licence on the card, an SPDX identifier or ``other``."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of all that is drawn at random."""
    block_m: Annotated[float, Field(gt=0)] = 10_000.0
    """Side of the spatial blocks that are dealt whole to training, validation and test (3, 1 and 1 fifths)."""
    min_samples: Annotated[int, Field(ge=1)] = 30
    """Classes with fewer samples, labelled pixels or parcels, are left out."""
    max_samples_per_class: Annotated[int, Field(ge=1)] = 10_000
    """More training pixels of a class than this are drawn at random."""
    max_judged: Annotated[int, Field(ge=1)] | None = None
    """More pixels than this are drawn at random for validation, and for test; None: 20,000, of squares 2,000."""
    svm_samples_per_class: Annotated[int, Field(ge=1)] = 2_000
    """The same cap for an SVM, whose time grows with the square of the samples; the smaller of the two holds."""
    epochs: Annotated[int, Field(ge=1)] = 30
    """Passes over the training part at most."""
    patience: Annotated[int, Field(ge=1)] = 6
    """Epochs without a validation macro-F1 better by 0.001 after which training stops."""
    batch: Annotated[int, Field(ge=2)] = 128
    """Samples of one step of a network's training."""
    learning_rate: Annotated[float, Field(gt=0)] = LEARNING_RATE
    """Where not given, a tenth of the usual one with ``start_from``: what was learnt is to be kept."""
    start_from: Annotated[str, Field(min_length=1)] | None = None
    """Folder of a model to go on from: its weights, scaling and classes are taken over. Family, recipe and classes
    must be its own."""
    imbalance: Literal["none", "oversample", "balanced_loss", "mixup"] = "none"
    """What is done for rare classes: their samples are repeated (patches turned and mirrored), weigh more in the loss
    (N / (K n_k)), or all are mixed with samples drawn from the classes alike. Probabilities are then those of a land
    where all classes are as common. A forest and an SVM know ``balanced_loss`` alone."""
    virtual: VirtualOptions | None = None
    """Train on unlabelled pixels as well that resemble labelled ones; any family. None: on labelled ones alone."""
    adversarial: AdversarialOptions | None = None
    """For family agrispec: learn from other seasons' labels what cannot tell them from this one. None: do not adapt."""
    trees: Annotated[int, Field(ge=1)] = 200
    """Trees of a forest."""
    patch: Annotated[int, Field(ge=3, le=2 * MAX_HALO + 1)] | None = None
    """Side in pixels, odd, of the square that a family with patches looks at; None: that of its paper."""
    threads: Annotated[int, Field(ge=1)] = 1
    """Threads of the arithmetic. Sums depend on it, so it is an option and not the machine's number of cores. Two
    are 1.5 times as fast on idle cores, and 30 times slower on busy ones: OpenMP's threads spin for each other."""
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:[0-9]+)?)$")] = "cpu"
    """Torch device; on a GPU two trainings may differ in the last bits."""

    @field_validator("family")
    @classmethod
    def _can_be_trained(cls, family: Family) -> Family:
        if family == "onnx":
            raise ValueError(
                "onnx is no family to train; bring such a model with: tilth model add FILE MODEL --card CARD"
            )
        return family

    @model_validator(mode="before")
    @classmethod
    def _slower_from_a_model(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("start_from") is not None and "learning_rate" not in data:
            return {**data, "learning_rate": FINE_TUNING * LEARNING_RATE}
        return data

    @model_validator(mode="after")
    def _patch_is_odd_and_looked_at(self) -> TrainOptions:
        if self.patch is not None and self.family not in PATCHES:
            raise ValueError(f"patch {self.patch} with family {self.family}, which looks at single pixels; take it out")
        if self.patch is not None and self.patch % 2 == 0:
            raise ValueError(f"patch {self.patch} has no middle pixel; use {self.patch - 1} or {self.patch + 1}")
        return self

    @model_validator(mode="after")
    def _forest_and_svm_are_no_networks(self) -> TrainOptions:
        if self.family in ("forest", "svm") and self.imbalance not in ("none", "balanced_loss"):
            raise ValueError(
                f"imbalance {self.imbalance!r} is for networks; a {self.family} takes none or balanced_loss"
            )
        if self.family in ("forest", "svm") and self.start_from is not None:
            raise ValueError(f"start_from is for networks; a {self.family} is made anew")
        return self

    @model_validator(mode="after")
    def _a_cascade_has_its_own_loss(self) -> TrainOptions:
        if self.family == "clec" and self.imbalance in ("balanced_loss", "mixup"):
            raise ValueError(f"imbalance {self.imbalance!r} with clec, whose loss is its own; use oversample or none")
        return self

    @model_validator(mode="after")
    def _a_random_cut_off_is_clecs(self) -> TrainOptions:
        if self.cascade.cutoff == "random" and self.family != "clec":
            raise ValueError(
                f"cascade.cutoff: random with family {self.family}; clec alone forecasts the season's rest"
            )
        if self.cascade.cutoff == "random" and self.virtual is not None:
            raise ValueError("virtual with cascade.cutoff: random; use cutoff: fixed, or leave virtual out")
        return self

    @model_validator(mode="after")
    def _agrispec_alone_adapts(self) -> TrainOptions:
        if self.adversarial is not None and (self.family != "agrispec" or self.imbalance == "mixup"):
            raise ValueError(
                f"adversarial with family {self.family} and imbalance {self.imbalance}; it is for agrispec, and for "
                "another imbalance than mixup"
            )
        return self

    def decisive(self) -> dict[str, Any]:
        """What of the options decides a model, as JSON: where the one to go on from lies does not, its digest does."""
        return self.model_dump(mode="json", exclude={"start_from"})

    @property
    def forecasts(self) -> bool:
        """Whether the steps after the cut-off are targets: of CLEC with a fixed one."""
        return self.family == "clec" and self.cascade.from_step is None

    @property
    def most_judged(self) -> int:
        """Samples of validation, and of test."""
        return self.max_judged or (_JUDGED_SQUARES if self.halo else _JUDGED)

    @property
    def halo(self) -> int:
        """Pixels the family looks beyond the one it classifies."""
        return (self.patch or PATCHES[self.family]) // 2 if self.family in PATCHES else 0

    @property
    def per_class(self) -> int:
        """Training pixels of one class at most."""
        cap = self.max_samples_per_class
        return min(cap, self.svm_samples_per_class) if self.family == "svm" else cap
