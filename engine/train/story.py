"""Cubes and labels -> a model, written where the spec says. Nothing is trained that is trained already."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import shapely
from pyproj import Transformer

from engine.cube import CubeOptions
from engine.earth import geojson, split_at_date_line
from engine.errors import InputError
from engine.models import Domain, Folder, model_digest, read_card, read_model, write_model
from engine.objects import Objects, absolute
from engine.parcel_samples import sampled
from engine.plan import Plan
from engine.samples import Fields, Legend
from engine.train.collect import collected
from engine.train.request import TrainRequest
from engine.train.target import target_of
from engine.training import Checkpoint, Hooks, Parent, Progress, fit, refuse_unlike
from engine.types import Samples

_MISSION = re.compile(r"(S[1-3]|L[A-Z]\d\d)[A-D]?_")
"""How the names of Sentinel and Landsat scenes begin."""


def is_trained(request: TrainRequest) -> bool:
    """True where the model there was trained from just this."""
    try:
        return bool(read_card(request.model_uri).training.get("inputs") == request.key())
    except InputError:
        return False


def train(request: TrainRequest, progress: Progress | None = None, hooks: Hooks | None = None) -> dict[str, Any]:
    """Sample, fit, write the model. Returns the report, which lies beside the model as ``training.json``.

    A checkpoint lies there as well until the model is written; ``hooks`` need not bring one.
    """
    hooks = hooks or Hooks()
    checkpoint = hooks.checkpoint or Checkpoint(Folder(absolute(request.model_uri)))
    hooks = replace(hooks, checkpoint=checkpoint)
    parent = parent_of(request)
    samples, fields = collected(request)
    legend = request.coding.legend_for(samples.y)
    _refuse_empty(request, samples, legend)
    fitted = fit(
        samples, request.recipe, legend.names, request.options, progress, colours=legend.colours, hooks=hooks,
        parent=parent, target=target_of(request),
    )  # fmt: skip
    split = {**fitted.report["split"], "fields": _fields_told(fields, request.options.block_m)}
    more = {"split": split, "inputs": request.key(), "codes_numbered": legend.numbered}
    training = {**fitted.card.training, **more}
    card = fitted.card.model_copy(update={"training": training, "sampled": sampled(request.labels)})
    for row in fitted.report["left_out"]:
        row["name"] = row["name"] or request.coding.name_of(row["code"])
    report = {**fitted.report, "split": split, **({"seasons": _told(request)} if request.holds else {})}
    Objects(absolute(request.model_uri)).put(
        "training.json", (json.dumps(report, indent=2, sort_keys=True) + "\n").encode()
    )
    write_model(card, fitted.weights, request.model_uri, _learnt_from(request), fitted.golden, fitted.familiarity)
    checkpoint.clear()
    return report


def parent_of(request: TrainRequest) -> Parent | None:
    """The model to go on from, if any; InputError, before a sample is read, where it is unlike."""
    if request.options.start_from is None:
        return None
    uri = absolute(request.options.start_from)
    card, weights = read_model(uri)
    refuse_unlike(card, request.recipe, request.options)
    return Parent(card, weights, model_digest(uri))


def _refuse_empty(request: TrainRequest, samples: Samples, legend: Legend) -> None:
    """InputError for a season or a held-out region without a sample whose code the legend names."""
    if samples.origin is None:
        return
    origin, named = samples.origin, np.isin(samples.y, list(legend.names))
    for season in request.labelled:
        codes = samples.y[origin["number"] == season.number]
        if not named[origin["number"] == season.number].any():
            raise InputError(
                f"codes {np.unique(codes).tolist()[:10]} in the season from {season.name} on",
                expected=f"some of {sorted(legend.names)[:10]}, which the legend names",
                place=str(season.labels.uri),
                remedy="give all seasons the codes of one legend, or check the column",
            )
    regions = request.labels.regions
    for name in (*regions.validation, *regions.test) if regions else ():
        if name not in origin["region"][named]:
            raise InputError(
                f"not one labelled {request.labels.per} lies in region {name!r}",
                expected="some, to hold out",
                place=regions.uri if regions else "",
                remedy="name another region under labels.regions, or take it out",
            )


def _told(request: TrainRequest) -> list[dict[str, Any]]:
    """What the report says of each labelled season."""
    return [
        {"season": s.name, "cube": s.cube_uri, "labels": s.labels.uri, "part": s.labels.part, "tiles": len(s.tiles)}
        for s in request.labelled
    ]


def _fields_told(fields: Sequence[Fields], block_m: float) -> dict[str, Any]:
    """What the split says of the labels' fields: that of the one season, or of each with all that was found."""
    told = [each.told(block_m) for each in fields]
    if len(told) == 1:
        return told[0]
    said = {name: list(dict.fromkeys(line for each in told for line in each[name])) for name in ("optimistic", "notes")}
    return {"seasons": told, **said}


def domain_of(plan: Plan, cube: CubeOptions) -> Domain:
    """Where, when and from what a job of this plan maps: what a model's own domain is compared with."""
    axis = plan.axes[next(iter(plan.axes))]
    return Domain(
        geometry=outline(plan.grid.crs, plan.area),
        start=axis.starts[0],
        end=axis.ends[-1],
        crs=plan.grid.crs,
        resolution=plan.grid.resolution,
        sources=_sources(plan),
        processing={"despeckle": cube.despeckle, "composite": cube.composite, "scl_drop": list(cube.scl_drop)},
    )


def outline(crs: str, area: shapely.Geometry) -> dict[str, Any]:
    """The area as GeoJSON geometry in longitude and latitude, rounded to a metre or so."""
    back = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    lonlat = shapely.transform(area, lambda xy: np.column_stack(back.transform(xy[:, 0], xy[:, 1])))
    return geojson(shapely.set_precision(split_at_date_line(lonlat), 1e-6))


def _learnt_from(request: TrainRequest) -> Domain:
    """The domain of the seasons that are learnt from; one that only validates or tests is none of them."""
    learnt = [season for season in request.labelled if season.labels.part == "any"]
    if [season.number for season in learnt] == [0]:
        return request.domain
    axes = [next(iter(season.layout.axes.values())) for season in learnt]
    area = shapely.union_all([season.area for season in learnt])
    return request.domain.model_copy(
        update={
            "geometry": outline(request.plan.grid.crs, area),
            "start": min(axis.starts[0] for axis in axes),
            "end": max(axis.ends[-1] for axis in axes),
            "seasons": tuple(sorted(season.name for season in learnt)),
        }
    )


def _sources(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Sensor -> collections of the plan's scenes and the satellites that their names begin with."""
    found: dict[str, set[str]] = {}
    for item in plan.items:
        mission = _MISSION.match(item.id)
        found.setdefault(item.sensor, set()).update([item.collection, *([mission[1]] if mission else [])])
    return {sensor: tuple(sorted(names)) for sensor, names in sorted(found.items())}
