"""The spec: one YAML, the sum of every stage's options. Its digest names the run."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import fsspec
import psutil
import yaml
from pydantic import Field, ValidationError, model_validator

from engine.bands import FEATURE_BANDS, SENSOR_BANDS, sensor_of
from engine.cube import CubeOptions
from engine.errors import SpecError
from engine.grid import AreaOptions, GridOptions
from engine.ground import MaskOptions
from engine.models import Recipe
from engine.output import OutputOptions
from engine.parcels import ParcelOptions
from engine.plan import Inputs
from engine.samples import LabelOptions
from engine.steps import SeasonOptions, regular_axis, usable_steps
from engine.training import TrainOptions
from engine.types import Options, digest
from jobs.compute import BudgetOptions, ComputeOptions
from jobs.wording import sentence

_WORKER_BYTES = 2_000_000_000


class ModelOptions(Options):
    """Which model maps. With ``labels`` it is trained when it is not there or no longer fits them."""

    uri: Annotated[str, Field(min_length=1)]
    """Folder of the model, to be read, or to be written where labels are given."""
    features: tuple[str, ...] | None = None
    """For training: None takes every feature the inputs can give."""
    fill: Literal["linear", "whittaker"] = "linear"
    """For training: gaps in a series are filled linearly in time, or the series is smoothed (Whittaker)."""
    smoothing: Annotated[float, Field(gt=0, le=1e10)] | None = None
    """Whittaker's lambda; None: 10."""
    train: TrainOptions = TrainOptions()
    """How a model is trained, where labels are given."""

    @model_validator(mode="after")
    def _smoothing_is_whittakers(self) -> ModelOptions:
        if self.smoothing is not None and self.fill != "whittaker":
            raise ValueError(
                f"smoothing {self.smoothing:g} with fill: {self.fill}; smoothing is that of fill: whittaker"
            )
        return self


class Spec(Options):
    """One job."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
    """Name of the job and of what it publishes: lower case letters, digits, - and _."""
    area: AreaOptions
    """What to map."""
    season: SeasonOptions
    """When: the days that are mapped."""
    grid: GridOptions
    """The lattice of pixels, and its tiles."""
    inputs: Inputs
    """Where scenes come from; one sensor at least."""
    cube: CubeOptions
    """The cube that scenes are composited into."""
    labels: LabelOptions | None = None
    """What grew where, to train a model on; None: the model is there already."""
    mask: MaskOptions | None = None
    """Where to compute, such as cropland; None: in the whole area."""
    parcels: ParcelOptions | None = None
    """Parcels to be given a crop each; None: pixels alone are mapped."""
    model: ModelOptions
    """The model that maps."""
    output: OutputOptions
    """Where the map is published, and as what."""
    compute: ComputeOptions = ComputeOptions()
    """Where tiles are worked on; left out: on this machine."""
    budget: BudgetOptions = BudgetOptions()
    """Where the run stops by itself; left out: nowhere."""

    @model_validator(mode="after")
    def _hangs_together(self) -> Spec:
        given = self.inputs.sources()
        if not given:
            raise ValueError(f"inputs names no sensor; give at least one of {', '.join(SENSOR_BANDS)}")
        for layer in self.cube.layers or ():
            if sensor_of(layer) not in given:
                raise ValueError(f"cube.layers has {layer}, but inputs.{sensor_of(layer)} is not given; add it")
        self._refuse_features_without_inputs(set(given))
        if self.labels is not None:
            self._refuse_cut_offs_of_another_season()
        self._refuse_other_seasons_misused()
        places = {"cube.uri": self.cube.uri, "model.uri": self.model.uri, "output.uri": self.output.uri}
        for name, uri in places.items():
            if not uri:
                raise ValueError(f"{name} is empty; give a folder or s3://bucket/prefix")
            twin = next((other for other, value in places.items() if value == uri and other != name), None)
            if twin:
                raise ValueError(f"{name} and {twin} are both {uri}; give each a place of its own")
        return self

    def _refuse_cut_offs_of_another_season(self) -> None:
        first, steps = self.model.train.cascade.from_step, self.steps()
        if first is not None and self.season.as_of is not None:
            raise ValueError(
                f"season.as_of {self.season.as_of} with labels and model.train.cascade.cutoff: random, which trains on "
                "a season that is over; take season.as_of out to train, or labels to map with the finished model"
            )
        if first is not None and first >= steps:
            raise ValueError(
                f"model.train.cascade.from_step {first} leaves nothing to forecast of a season of {steps} steps; use "
                f"less than {steps}, or shorter steps"
            )

    def _refuse_other_seasons_misused(self) -> None:
        labels = self.labels
        if labels and self.cube.uri in (season.cube for season in labels.seasons):
            raise ValueError(f"labels.seasons names cube.uri itself, {self.cube.uri}; its labels are labels.uri")
        if self.model.train.adversarial is None:
            return
        if labels is None or not labels.seasons:
            raise ValueError("model.train.adversarial without labels.seasons; name other seasons to learn from")
        if labels.uri is not None and labels.part != "test":
            raise ValueError(
                f"model.train.adversarial with labels.uri and labels.part {labels.part}; it is for a season not to "
                "be learnt from: take labels.uri out, or set labels.part: test to judge by it"
            )

    def _refuse_features_without_inputs(self, given: set[str]) -> None:
        named = self.model.features
        twice = next((name for name in named or () if (named or ()).count(name) > 1), None)
        if twice or named == ():
            what = f"names {twice} twice" if twice else "is empty"
            raise ValueError(f"model.features {what}; name each once, or leave the key out for all the inputs can give")
        for feature in named or ():
            if feature not in FEATURE_BANDS:
                near = difflib.get_close_matches(feature, FEATURE_BANDS, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ValueError(f"model.features has {feature!r}{hint}; known are {', '.join(FEATURE_BANDS)}")
            lacking = {s for s, bands in SENSOR_BANDS.items() if set(FEATURE_BANDS[feature]) & set(bands)} - given
            if lacking == {"c2"} and "radar" in given:
                raise ValueError(
                    f"model.features has {feature} (m-chi), but inputs.radar is backscatter, which has no phase; "
                    "m-chi needs inputs.c2: covariances made from SLC (assets c11, c22, c12_real, c12_imag)"
                )
            if lacking:
                raise ValueError(f"model.features has {feature}, which needs inputs.{lacking.pop()}; add it")

    def recipe(self) -> Recipe:
        """The recipe a model trained by this spec has."""
        given = self.inputs.sources()
        bands = {band for sensor in given for band in SENSOR_BANDS[sensor]}
        features = self.model.features or tuple(f for f in FEATURE_BANDS if set(FEATURE_BANDS[f]) <= bands)
        start = self.season.start
        return Recipe(
            features=features,
            steps=usable_steps(self.season),
            step_days=self.season.step_days,
            season_start=f"{start.month:02d}-{start.day:02d}",
            fill=self.model.fill,
            smoothing=self.model.smoothing or 10.0,
        )

    def train_options(self) -> TrainOptions:
        """Training options, with what ``labels`` says of blocks and samples."""
        labels = self.labels.model_dump(include={"block_m", "min_samples"}, exclude_none=True) if self.labels else {}
        return self.model.train.model_copy(update=labels)

    def most_workers(self) -> int:
        """The most workers at once: as given, else one per core of this machine, or 4 on a cluster."""
        compute = self.compute
        if compute.in_process:
            return 1
        return compute.workers.max or (4 if compute.address else len(os.sched_getaffinity(0)))

    def byte_budget(self) -> int:
        """Bytes in flight: as given, half of this machine's free memory, or 2 GB per worker of a cluster."""
        if self.compute.bytes_in_flight is not None:
            return self.compute.bytes_in_flight
        if self.compute.address:
            return _WORKER_BYTES * self.most_workers()
        return int(psutil.virtual_memory().available // 2)

    def digest(self) -> str:
        """Names the run: all of the spec but where and at what price it is computed."""
        return digest(self.model_dump(mode="json", exclude={"compute", "budget"}))

    def steps(self) -> int:
        """Steps of the whole season."""
        return len(regular_axis(self.season))


_KINDS = {"list": "a list", "str": "plain text", "NoneType": "nothing"}


def load_spec(path: str, changes: Sequence[str] = ()) -> Spec:
    """The spec in a YAML file (path or fsspec URL), with ``key.sub=value`` changes; SpecError says what is wrong."""
    try:
        with fsspec.open(path, "rt", encoding="utf-8") as file:
            data = _read_yaml(file.read(), path)
    except FileNotFoundError:
        raise SpecError("no such file", place=path, remedy="write one with: tilth init job.yaml") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SpecError(f"cannot be read: {error}", expected="a YAML file", place=path) from error
    if not isinstance(data, dict):
        held = _KINDS.get(type(data).__name__, repr(data))
        raise SpecError(f"holds {held}", expected="keys with values", place=path, remedy="write one with: tilth init")
    for change in changes:
        apply_change(data, change)
    return parse_spec(data, path)


def parse_spec(data: dict[str, Any], place: str = "spec") -> Spec:
    """A validated spec; SpecError lists everything that is wrong, each with place and remedy."""
    try:
        return Spec.model_validate(data)
    except ValidationError as error:
        problems = [sentence(problem, Spec) for problem in error.errors()]
    raise SpecError(
        f"{len(problems)} thing(s) wrong\n  - " + "\n  - ".join(problems),
        place=place,
        remedy="every key is explained by tilth init and tilth schema",
    )


def schema() -> str:
    """JSON Schema of the spec."""
    return json.dumps(Spec.model_json_schema(), indent=2)


def apply_change(data: dict[str, Any], change: str) -> None:
    """Set ``key.sub=value`` in a spec's data, value read as YAML."""
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise SpecError(f"{change!r}", expected="key=value, such as grid.tile_px=256", place="--set")
    *above, last = key.split(".")
    for part in above:
        inner = data.setdefault(part, {})
        if not isinstance(inner, dict):
            raise SpecError(f"{part!r} holds a value, not keys", place=f"--set {change}", remedy="name a key below it")
        data = inner
    try:
        data[last] = _read_yaml(text, "--set")
    except yaml.YAMLError as error:
        raise SpecError(
            f"{text!r} cannot be read: {error}",
            expected="a YAML value",
            place=f"--set {key}",
            remedy="mend or quote it",
        ) from error


def _read_yaml(text: str, name: str) -> Any:
    """The document's data; errors name line and column in ``name``."""
    loader = _Loader(text)
    loader.name = name
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """Dates stay text, so that a wrong one is told with its key; a key given twice is refused."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own way to say it)
        first: [(tag, form) for tag, form in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                "in the mapping", node.start_mark, f"the key {twice!r} is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def example(name: str) -> str:
    """Text of a ready example that ships with Tilth."""
    return (Path(__file__).parent / "examples" / f"{name}.yaml").read_text()
