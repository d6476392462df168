"""The card: what a model needs (recipe, scaling) and gives (classes), apart from its weights.

Import freely: no torch and no scikit-learn behind it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from engine.bands import FEATURE_BANDS, FEATURE_UNITS, SENSOR_BANDS
from engine.errors import InputError
from engine.models.cut import temperature_at, training_at
from engine.types import MAX_HALO, Options

MAX_CLASSES = 255
"""Class indices are uint8 and 255 means no data."""

Family = Literal[
    "tempcnn", "cnn1d", "dcm", "transformer", "agrispec", "clec", "forest", "svm", "onnx",
    "convstar3d", "convstar", "hybridsn", "cnn3d", "twobranch",
]  # fmt: skip

PATCHES: Mapping[str, int] = {"convstar3d": 11, "convstar": 11, "hybridsn": 11, "cnn3d": 11, "twobranch": 7}
"""Families that look at the pixels around the one they classify: the side of that square in the papers."""
Variant = Literal["paper", "plain", "no_attention"]
"""Forecasters of CLEC; see ``engine.models.clec``."""
Sampled = Literal["pixel", "parcel median", "parcel mean"]
"""What one sample of the training was: a pixel's series, or the median or mean of a parcel's pixels'."""


class Recipe(Options):
    """How a cube becomes model input: which features, on which time axis, gaps filled how."""

    features: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of ``FEATURE_BANDS``, in the order the model gets them."""
    steps: Annotated[int, Field(ge=1)]
    """Length of the time axis the model gets (T)."""
    step_days: Annotated[int, Field(ge=1)] = 10
    season_start: str = "01-01"
    """Month and day (MM-DD) the first step starts on, in whichever year is mapped."""
    fill: Literal["linear", "whittaker"] = "linear"
    """Gaps within a series are filled linearly in time, or the series is smoothed (Whittaker, second differences)."""
    smoothing: Annotated[float, Field(gt=0, le=1e10)] = 10.0
    """Whittaker's lambda: the larger, the smoother."""
    hold_ends: bool = True
    """The first and last valid values are held to the axis' ends."""

    @field_validator("features")
    @classmethod
    def _known_and_distinct(cls, features: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in features if name not in FEATURE_BANDS]
        if unknown:
            raise ValueError(f"unknown features {unknown}; known are {sorted(FEATURE_BANDS)}")
        if len(set(features)) != len(features):
            raise ValueError(f"features are named twice in {list(features)}")
        return features

    @field_validator("season_start")
    @classmethod
    def _a_day_of_every_year(cls, value: str) -> str:
        try:
            date.fromisoformat(f"2001-{value}")
        except ValueError:
            raise ValueError(f"season_start {value!r} is no MM-DD day that every year has") from None
        return value

    @property
    def layers(self) -> tuple[str, ...]:
        """The cube's layers its features are made from, among optical, radar and thermal."""
        bands = {band for name in self.features for band in FEATURE_BANDS[name]}
        return tuple(layer for layer, names in SENSOR_BANDS.items() if bands & set(names))

    @property
    def units(self) -> tuple[str, ...]:
        """The physical unit of each feature."""
        return tuple(FEATURE_UNITS[name] for name in self.features)

    def last_day(self, steps: int) -> str:
        """The last day (MM-DD, of a common year) of so many leading steps; a day earlier after 28 February of a leap
        year."""
        last = date.fromisoformat(f"2001-{self.season_start}") + timedelta(days=steps * self.step_days - 1)
        return f"{last:%m-%d}"


class ClassEntry(Options):
    """One crop of the map; its position in ``Card.classes`` is its class index."""

    code: Annotated[int, Field(ge=0, le=2**63 - 1)]
    """Code in the labels' legend."""
    name: Annotated[str, Field(min_length=1)]
    colour: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]


def _units_of(fields: dict[str, Any]) -> tuple[str, ...]:
    """Our units for the card's features; none where there is no recipe, which is told by itself."""
    return fields["recipe"].units if "recipe" in fields else ()


class Card(Options):
    """What a model needs and gives. Written exactly into ``model.json`` and read back equal."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_. -]+[A-Za-z0-9]$")]
    family: Family
    recipe: Recipe
    classes: Annotated[tuple[ClassEntry, ...], Field(min_length=2, max_length=MAX_CLASSES)]
    units: tuple[str, ...] = Field(default_factory=_units_of)
    """Per feature, the unit the model was trained in. It must be ours; a card without it is taken at its word."""
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    """Per feature, the values scaled to 0 and to 1: the training part's 1st and 99th percentile."""
    fill: tuple[float, ...]
    """Per feature, what stands for a missing series: the training part's median, physical units."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Logits are divided by it before the softmax (Guo et al. 2017)."""
    mode: Literal["pixel", "patch", "parcel"] = "pixel"
    """What gets one class: a pixel from its own series, a pixel from the patch around it, or a parcel's series."""
    halo: Annotated[int, Field(ge=0, le=MAX_HALO)] = 0
    """Pixels the model looks beyond the one it classifies; 0 but in mode patch."""
    sampled: Sampled = "pixel"
    """What the training's samples were; a model of parcels maps pixels as well."""
    gives: Literal["logits", "probabilities"] = "logits"
    """What the output of an ONNX model is; probabilities are turned into logits by the logarithm."""
    later_steps: Annotated[int, Field(ge=0)] = 0
    """Steps after the recipe's that a network of family clec predicts before it classifies."""
    variant: Variant = "paper"
    """The forecaster of family clec."""
    from_step: Annotated[int, Field(ge=1)] | None = None
    """For family clec trained with cut-offs drawn at random: the fewest leading steps that it takes. It takes any
    number from these to ``steps`` + ``later_steps``, and predicts the rest. None: the recipe's steps alone."""
    temperatures: tuple[tuple[int, Annotated[float, Field(gt=0)]], ...] = ()
    """With ``from_step``: (steps, temperature) at the cut-offs it was calibrated at, in order; ``temperature`` is that
    of ``steps``. What is known early is less sure, and by another factor; between them see ``engine.models.cut``."""
    mask_channel: bool = False
    """Whether its classifier is told which steps are predicted."""
    weights: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    """File name beside ``model.json``."""
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    weights_bytes: Annotated[int, Field(ge=1)]
    golden_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of ``golden.safetensors``, input and what this model made of it (``engine.models.golden``); None without."""
    familiarity_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of ``familiarity.safetensors``, by which land unlike the training's is told; None: it cannot be told."""
    parameters: Annotated[int, Field(ge=1)]
    """Trained numbers: weights of the network, nodes of the forest, or the SVM's support vectors and coefficients."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Provenance as JSON: split by blocks, counts, accuracy, key of data and options."""
    licence: Annotated[str, Field(min_length=1)] = "other"
    """SPDX identifier, or ``other``."""

    @property
    def titles(self) -> tuple[str, ...]:
        """The classes' names; where several share one, with the code that tells them apart."""
        names = [entry.name for entry in self.classes]
        return tuple(
            entry.name if names.count(entry.name) == 1 else f"{entry.name} ({entry.code})" for entry in self.classes
        )

    @property
    def patch(self) -> int:
        """Side of the square of pixels the model looks at, odd; the one it classifies is in its middle."""
        return 2 * self.halo + 1

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Steps and features of one row of model input; in mode patch its rows and columns as well."""
        series = (self.recipe.steps, len(self.recipe.features))
        return (*series, self.patch, self.patch) if self.mode == "patch" else series

    @property
    def takes(self) -> range:
        """The numbers of leading steps of a season that the model can map from."""
        steps, whole = self.recipe.steps, self.recipe.steps + self.later_steps
        return range(steps, steps + 1) if self.from_step is None else range(self.from_step, whole + 1)

    @property
    def cut_offs(self) -> tuple[str, ...]:
        """The last days (MM-DD, of a common year) that the model may have seen when it speaks, in order of ``takes``.

        After 28 February of a leap year they come a day earlier.
        """
        return tuple(map(self.recipe.last_day, self.takes))

    def cut(self, steps: int) -> Card:
        """The card of the same model where so many leading steps are known: it predicts the others.

        Its temperature, accuracy and calibration are those of this very cut-off, as ``engine.models.cut`` says; no
        other's accuracy is given as its own. Raises InputError for steps it does not take.
        """
        takes = self.takes
        if steps not in takes:
            raise InputError(
                f"{steps} steps, to {self.recipe.last_day(steps)}",
                expected=f"{takes[0]} to {takes[-1]}, to {self.cut_offs[0]} up to {self.cut_offs[-1]}",
                place=f"model {self.name}",
                remedy="another season.as_of, or another model",
            )
        if steps == self.recipe.steps:
            return self
        recipe = self.recipe.model_copy(update={"steps": steps})
        own: dict[str, Any] = {"recipe": recipe, "later_steps": takes[-1] - steps}
        if self.temperatures:
            own["temperature"] = temperature_at(steps, self.temperatures)
        own["training"] = training_at(
            steps, self.training, self.temperatures, whole=self.recipe.steps, last_day=self.recipe.last_day
        )
        return self.model_copy(update=own)

    @model_validator(mode="after")
    def _consistent(self) -> Card:
        for name in ("lower", "upper", "fill"):
            values = getattr(self, name)
            if len(values) != len(self.recipe.features) or not all(map(math.isfinite, values)):
                raise ValueError(f"{name} must hold one finite number per feature, got {values}")
        if any(low >= high for low, high in zip(self.lower, self.upper, strict=True)):
            raise ValueError(f"lower must be below upper, got {self.lower} and {self.upper}")
        if len({entry.code for entry in self.classes}) != len(self.classes):
            raise ValueError("two classes share one code")
        if (self.halo > 0) != (self.mode == "patch"):
            raise ValueError(f"mode {self.mode} with halo {self.halo}; a halo goes with mode patch, and with it alone")
        if self.later_steps and self.family != "clec":
            raise ValueError(f"later_steps {self.later_steps} with family {self.family}; clec alone predicts steps")
        return self

    @model_validator(mode="after")
    def _cut_off_within_the_season(self) -> Card:
        if self.from_step is None:
            if self.mask_channel:
                raise ValueError("mask_channel without from_step; it is for a clec that takes several cut-offs")
            return self
        if self.family != "clec":
            raise ValueError(f"from_step {self.from_step} with family {self.family}; clec alone predicts steps")
        if len(self.takes) < 2:
            raise ValueError(f"from_step {self.from_step} of {self.takes.stop - 1} steps leaves nothing to predict")
        return self

    @model_validator(mode="after")
    def _in_our_units(self) -> Card:
        if len(self.units) != len(self.recipe.features):
            raise ValueError(f"units must hold one unit per feature, got {self.units}")
        for name, unit, ours in zip(self.recipe.features, self.units, self.recipe.units, strict=True):
            if unit != ours:
                raise ValueError(f"{name} is in {unit!r}, but what Tilth gives is in {ours!r}; convert the model")
        return self
