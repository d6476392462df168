"""What can be found wrong with labels in seconds, before a worker starts: files, columns, legends, blocks, and the
cubes of other seasons. Only headers are opened, but for the survey."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from engine.errors import InputError, SpecError
from engine.map_values import refuse_wide
from engine.objects import absolute
from engine.parcel_samples import refuse_parcels
from engine.plan import Plan
from engine.samples import LabelOptions, Regions, coding_of, is_raster, read_legend
from engine.store import CubeLayout
from engine.survey import survey
from engine.training.blocks import FOLDS
from engine.types import Grid
from engine.vectors import Box
from jobs.headers import overlap, polygon_box, raster_box
from jobs.reach import about
from jobs.seasons import other_seasons
from jobs.spec import Spec


def check_labels(spec: Spec, grid: Grid) -> None:
    """InputError or SpecError for what is wrong with the labels of the job's own season, their legend and regions."""
    labels = spec.labels
    assert labels is not None
    refuse_parcels(labels, spec.train_options())
    _refuse_other_series(spec)
    _refuse_names_of_a_raster(labels)
    ground = _label_ground("labels.uri", labels, grid) if labels.uri else None
    if labels.legend is not None:
        with about(f"labels.legend = {labels.legend}"):
            _check_legend(labels.legend)
    if labels.regions is not None:
        with about(f"labels.regions.uri = {labels.regions.uri}"):
            Regions(labels.regions, grid)
    if ground and not labels.seasons:
        _check_blocks(spec, [ground], grid.resolution)


def check_other_seasons(spec: Spec, plan: Plan) -> None:
    """Whether the cubes and labels of other seasons are there and fit this job's own."""
    labels = spec.labels
    if labels is None or not labels.seasons:
        return
    grounds = [_label_ground("labels.uri", labels, plan.grid)] if labels.uri and labels.part == "any" else []
    for season in other_seasons(labels, CubeLayout(plan.grid, plan.axes, {}), spec.recipe()):
        ground = _label_ground(f"labels.seasons.{season.number - 1}.uri", season.labels, season.grid)
        grounds += [ground] if season.labels.part == "any" else []
    _check_blocks(spec, grounds, plan.grid.resolution)


def surveyed(spec: Spec, plan: Plan) -> Plan:
    """The plan, its audit told of labels that cannot be used. Several seasons are looked at together, in training."""
    labels = spec.labels
    if labels is None:
        return plan
    if labels.regions is not None:
        with about(f"labels.regions.uri = {labels.regions.uri}"):
            plan = replace(plan, audit=(*plan.audit, *Regions(labels.regions, plan.grid).told))
    if labels.uri is None or labels.seasons:
        return replace(plan, audit=(*plan.audit, *coding_of(labels).notes))
    check = partial(refuse_wide, place="labels, for output.codes: true") if spec.output.codes else None
    with about(f"labels.uri = {labels.uri}"):
        return replace(plan, audit=(*plan.audit, *survey(labels, spec.train_options(), plan, check)))


def _label_ground(key: str, labels: LabelOptions, grid: Grid) -> Box:
    """The part of the grid that the labels cover, as far as their header tells."""
    assert labels.uri is not None
    with about(f"{key} = {labels.uri}"):
        raster = is_raster(labels.uri)
        if raster and labels.column != LabelOptions.model_fields["column"].default:
            raise SpecError(
                f"{labels.column!r}, but the labels are a raster",
                place=f"{key.removesuffix('uri')}column",
                remedy="leave it out: it is for polygons",
            )
        if not raster and labels.band is not None:
            raise SpecError(
                f"{labels.band!r}, but the labels are polygons",
                place=f"{key.removesuffix('uri')}band",
                remedy="leave it out: it is for rasters",
            )
        box = raster_box(labels.uri, grid, labels.band) if raster else polygon_box(labels, grid)
        return overlap(box, grid)


def _refuse_names_of_a_raster(labels: LabelOptions) -> None:
    """SpecError for names under labels.ignore where all labels are rasters, which hold numbers."""
    names = [one for one in labels.ignore if isinstance(one, str)]
    if names and all(map(is_raster, labels.uris)):
        raise SpecError(
            repr(names[0]), expected="codes: a raster holds numbers", place="labels.ignore", remedy="give the code"
        )


def _check_legend(uri: str) -> None:
    """InputError for a legend that would fail only once the cube is built and the model trained."""
    legend = read_legend(absolute(uri))
    if len(legend.names) < 2:
        raise InputError(
            f"names {len(legend.names)} classes", expected="two or more with a code other than 0", remedy="add classes"
        )


def _check_blocks(spec: Spec, grounds: Sequence[Box], resolution: float) -> None:
    """SpecError where labels can lie in too few blocks to be dealt to training, validation and test, or where nothing
    of a block lies further from its edge than the border is wide."""
    assert spec.labels is not None
    side = spec.train_options().block_m
    if 2 * spec.labels.border_m >= side:
        raise SpecError(
            f"{spec.labels.border_m:g} m on every side of blocks of {side:g} m",
            expected="less than half of labels.block_m",
            place="labels.border_m",
            remedy="make it narrower, or blocks larger",
        )
    left, bottom, right, top = (
        pick(values) for pick, values in zip((min, min, max, max), zip(*grounds, strict=True), strict=True)
    )
    columns = math.ceil(right / side) - math.floor(left / side)
    rows = math.ceil(top / side) - math.floor(bottom / side)
    if columns * rows < FOLDS and not spec.labels.held >= {"validation", "test"}:
        fitting = max(math.sqrt((right - left) * (top - bottom)) / 6 // resolution, 1) * resolution
        given = spec.labels.block_m is not None
        raise SpecError(
            f"{side:g} m: the labelled {right - left:.0f} x {top - bottom:.0f} m lie in {columns * rows} blocks",
            expected=f"{FOLDS} blocks or more, to deal to training, validation and test",
            place="labels.block_m" if given else "labels.block_m (not given, so that of model.train holds)",
            remedy=f"use labels.block_m: {fitting:g}, or labels and an area that reach further",
        )


def _refuse_other_series(spec: Spec) -> None:
    """SpecError where parcels are to be mapped by another series than the model's samples are."""
    labels, parcels = spec.labels, spec.parcels
    if parcels is None or parcels.method != "series" or labels is None or labels.per != "parcel":
        return
    for name in ("statistic", "inward_px"):
        mine, theirs = getattr(labels, name), getattr(parcels, name)
        if mine != theirs:
            raise SpecError(
                f"{mine}, but parcels.{name} is {theirs}",
                expected="the same: a model is to map what it was trained on",
                place=f"labels.{name}",
                remedy=f"use labels.{name}: {theirs}",
            )
