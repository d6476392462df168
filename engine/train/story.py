"""Cubes and labels -> a model, written where the spec says. Nothing is trained that is trained already."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import shapely
from pyproj import Transformer

from engine.earth import geojson, split_at_date_line
from engine.errors import InputError
from engine.models import Folder, model_digest, read_card, read_model, write_model
from engine.objects import Objects, absolute
from engine.parcel_samples import sampled
from engine.plan import Plan
from engine.samples import Legend
from engine.train.collect import collect
from engine.train.request import TrainRequest
from engine.train.target import target_of
from engine.training import Checkpoint, Hooks, Parent, Progress, fit, refuse_unlike
from engine.types import Samples


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
    samples = collect(request)
    legend = request.coding.legend_for(samples.y)
    _refuse_empty(request, samples, legend)
    fitted = fit(
        samples, request.recipe, legend.names, request.options, progress, colours=legend.colours, hooks=hooks,
        parent=parent, target=target_of(request),
    )  # fmt: skip
    training = {**fitted.card.training, "inputs": request.key(), "codes_numbered": legend.numbered}
    card = fitted.card.model_copy(update={"training": training, "sampled": sampled(request.labels)})
    for row in fitted.report["left_out"]:
        row["name"] = row["name"] or request.coding.name_of(row["code"])
    report = {**fitted.report, **({"seasons": _told(request)} if request.holds else {})}
    Objects(absolute(request.model_uri)).put(
        "training.json", (json.dumps(report, indent=2, sort_keys=True) + "\n").encode()
    )
    write_model(card, fitted.weights, request.model_uri, request.domain, fitted.golden)
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


def outline(plan: Plan) -> dict[str, Any]:
    """The area as GeoJSON geometry in longitude and latitude, rounded to a metre or so."""
    back = Transformer.from_crs(plan.grid.crs, "EPSG:4326", always_xy=True)
    lonlat = shapely.transform(plan.area, lambda xy: np.column_stack(back.transform(xy[:, 0], xy[:, 1])))
    return geojson(shapely.set_precision(split_at_date_line(lonlat), 1e-6))
