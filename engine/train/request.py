"""All that decides a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from engine.features import FEATURES_VERSION
from engine.ground import MaskOptions, mask_identity
from engine.ledger import Record
from engine.models import Domain, Recipe, model_digest
from engine.objects import absolute, file_digest
from engine.plan import Plan
from engine.samples import Coding, LabelOptions, Legend, coding_of
from engine.seasons import Season
from engine.store import CubeLayout
from engine.training import TrainOptions
from engine.training.fit import TRAINING_VERSION
from engine.types import digest
from engine.vectors import file_identity


@dataclass(frozen=True)
class TrainRequest:
    """All that decides a training. ``records``: the cube's, by tile."""

    plan: Plan
    layout: CubeLayout
    records: Mapping[str, Record]
    cube_uri: str
    labels: LabelOptions
    recipe: Recipe
    options: TrainOptions
    model_uri: str
    domain: Domain
    mask: MaskOptions | None = None
    """Where pixels for virtual labels, those to adapt to and those of parcels may lie; labelled ones count off it as
    well."""
    seasons: tuple[Season, ...] = ()
    """Those of ``labels.seasons``."""
    known: Legend | None = None
    """Classes of the model that the labels are to judge; None: they train one."""

    @cached_property
    def coding(self) -> Coding:
        """How the labels of all seasons become codes."""
        return coding_of(self.labels, self.known)

    @property
    def own(self) -> Season:
        """The job's own season, with labels or without."""
        return Season(0, self.cube_uri, self.layout, self.records, self.plan.tiles, self.plan.area, self.labels)

    @property
    def labelled(self) -> tuple[Season, ...]:
        """The seasons that have labels."""
        return (self.own, *self.seasons) if self.labels.uri else self.seasons

    @property
    def holds(self) -> bool:
        """Whether samples are told apart by season or region."""
        return bool(self.labels.seasons or self.labels.regions or self.labels.part != "any")

    @property
    def reach(self) -> int:
        """Pixels around a sample in which no labels of another part may lie."""
        return max(self.options.halo, math.ceil(self.labels.border_m / self.plan.grid.resolution))

    def key(self) -> str:
        """Digest of cubes, labels, recipe and options, and of the model to go on from."""
        read = (*self.labelled, *([self.own] if self.options.adversarial else []))
        cubes = [{tile: record.body.get("checksums") for tile, record in one.records.items()} for one in read]
        polygons = [*(s.labels.uri for s in self.labelled), self.labels.regions and self.labels.regions.uri]
        legend = self.labels.legend and file_digest(absolute(self.labels.legend))
        files = [*(uri and file_identity(uri) for uri in polygons), legend]
        start = self.options.start_from
        masked = self.options.virtual or self.options.adversarial or self.labels.per == "parcel"
        mask = [mask_identity(self.mask)] if masked else []
        return digest(
            [TRAINING_VERSION, FEATURES_VERSION, cubes, self.labels.model_dump(mode="json"), files,
             self.recipe.model_dump(mode="json"), self.options.decisive(),
             model_digest(absolute(start)) if start else None, *mask]
        )  # fmt: skip
