"""``tilth assess`` and ``tilth sample``: how good a finished run's map is, and where to look to say so by design."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.accuracy import COUNTED
from engine.assess.design import SMALLEST, allocate, sample_size
from engine.errors import InputError
from engine.judge import estimate, judge, judge_against, judge_over_dates, judges, note_of_cover, on_the_map, plain
from engine.keys import map_digest
from engine.ledger import Ledger, Record
from engine.map_values import map_values
from engine.models import Card, load_model, model_digest, read_card
from engine.objects import Objects, absolute
from engine.plan import Plan
from engine.points import Strata, draw, read_points, write_points
from engine.samples import LabelOptions, Legend, is_raster
from engine.store import layout_of
from engine.train import TrainRequest, domain_of
from engine.training import TrainOptions
from engine.work import LEDGER, cube_ledger
from jobs.assessments import FOLDER, keep
from jobs.checks import checked_card
from jobs.control import resolve_run
from jobs.older import is_of, published, report_of
from jobs.pinned import pinned_plan
from jobs.seasons import other_seasons
from jobs.spec import Spec
from jobs.whose import model_told

ASSUMED_USERS = 0.8
"""User's accuracy taken for a class that nobody has measured."""
MOST_USERS = 0.95
"""Nor is a class expected to be better: without an error on a few test blocks it may still have some elsewhere."""


@dataclass(frozen=True)
class Finished:
    """A run whose map is published by the model that is there now."""

    spec: Spec
    plan: Plan
    card: Card
    digest: str
    mapped: dict[str, Record]

    @property
    def places(self) -> dict[str, str]:
        """Where the first product of each published tile lies."""
        name = f"{self.spec.output.products[0]}.tif"
        return {tile: f"{self.spec.output.uri}/{record.body['folder']}/{name}" for tile, record in self.mapped.items()}


def finished(run: str) -> Finished:
    """The run; InputError where it is not finished, or where its model was replaced since."""
    spec = resolve_run(run)
    output = Objects(spec.output.uri)
    report = report_of(output)
    if report is None or report.get("run") != spec.digest():
        raise InputError("the run is not finished", place=spec.output.uri, remedy=f"tilth resume {spec.output.uri}")
    digest = model_digest(spec.model.uri)
    if report["model"]["digest"] != digest:
        raise InputError(
            f"model {digest[:12]}",
            expected=f"{report['model']['digest'][:12]}, which made the map",
            place=spec.model.uri,
            remedy=f"map with the model that is there: tilth resume {spec.output.uri}",
        )
    plan = pinned_plan(spec)
    mapped = published(plan.tiles, Ledger(output.child(LEDGER)).load().latest)
    if not is_of(report, spec.digest(), mapped):
        raise InputError(
            f"report.json is of map {report['map'][:12]}",
            expected=f"{map_digest(mapped)[:12]}, the tiles as they are now",
            place=spec.output.uri,
            remedy=f"finish the map that was begun since: tilth resume {spec.output.uri}",
        )
    return Finished(spec, plan, checked_card(spec), digest, mapped)


def assess(
    run: str,
    labels: str | None = None,
    column: str | None = None,
    sample: str | None = None,
    *,
    design: str | None = None,
    against: str | None = None,
    out: str | None = None,
    dates: int = 8,
) -> tuple[dict[str, Any], str]:
    """Judge a finished run, and keep the numbers and the page beside earlier ones. Returns the facts and the folder.

    ``labels``, ``column``: other labels than the training's. ``sample``: points of ``tilth sample``, filled in;
    ``design``: the second file of these, where it does not lie beside them. ``against``: uri of another model, to be
    told apart from this one.
    """
    done = finished(run)
    facts: dict[str, Any] = {
        "tilth": version("tilth"),
        "name": done.spec.name,
        "run": done.spec.digest(),
        "map": map_digest(done.mapped),
        "season": [str(done.spec.season.start), str(done.spec.season.as_of or done.spec.season.end)],
        "steps": {"count": done.card.recipe.steps, "days": done.card.recipe.step_days},
        "model": model_told(done.spec, done.plan, done.card, done.mapped.values()),
    }
    if labels or (done.spec.labels and done.spec.labels.uri):
        facts |= _by_labels(done, request_of(done, labels, column), labels is not None, dates, against)
    elif sample is None:
        raise InputError(
            "the run has no labels of its own season",
            place="labels",
            remedy="name some with --labels, or a filled-in --sample",
        )
    facts["areas"] = _areas(done, sample, design)
    folder = Objects(out or f"{done.spec.output.uri}/{FOLDER}")
    keep(folder, facts)
    return facts, folder.uri


def draw_sample(run: str, out: str, *, size: int | None = None, error: float | None = None, seed: int = 0) -> Any:
    """Draw a stratified random sample from a finished run's map and write it to ``out``. Returns its design as JSON.

    ``size``: points in all; without it so many that overall accuracy has the standard error ``error``.
    """
    if (size is None) == (error is None):
        given = "neither" if size is None else "both"
        raise InputError(f"{given} given", expected="one of --size and --error", place="tilth sample")
    done = finished(run)
    strata = _strata(done)
    pixels = strata.pixels.sum(axis=0)
    expected, whence = _expected_users(done)
    try:
        wanted = size if size is not None else sample_size(pixels / pixels.sum(), expected, error or 0.0)
        points = allocate(wanted, pixels)
    except ValueError as problem:
        raise InputError(
            str(problem), place="--size or --error", remedy="a larger --size, or an --error between 0 and 1"
        ) from problem
    design = write_points(draw(strata, points, seed), absolute(out))
    return plain(
        {
            "out": absolute(out),
            "design": design,
            "map": strata.map,
            "points": int(points.sum()),
            "asked": wanted,
            "seed": seed,
            "smallest": SMALLEST,
            "expected_users_accuracies_from": whence,
            "km2_is": COUNTED,
            "strata": [
                {"code": code, "name": name, "km2": area, "points": int(count), "expected_users_accuracy": users}
                for code, name, area, count, users in zip(
                    strata.codes, strata.names, strata.area_km2.tolist(), points, expected.tolist(), strict=True
                )
            ],
        }
    )


def request_of(done: Finished, labels: str | None = None, column: str | None = None) -> TrainRequest:
    """What collects the labelled pixels as the model's training did, from the run's labels or from others."""
    spec, card = done.spec, done.card
    options = spec.labels or LabelOptions(uri=labels)
    if labels and labels != options.uri:  # judged alone, whatever the training's were held for
        options = options.model_copy(update={"uri": labels, "part": "any", "seasons": (), "regions": None})
    options = options.model_copy(update={"column": column} if column else {})
    if labels and is_raster(labels):
        options = options.model_copy(update={"per": "pixel"})
    trained = card.training.get("options")
    layout = layout_of(Objects(spec.cube.uri), done.plan.grid, done.plan.axes)
    return TrainRequest(
        plan=done.plan,
        layout=layout,
        records=Ledger(cube_ledger(spec.cube.uri)).load().latest,
        cube_uri=spec.cube.uri,
        labels=options,
        recipe=card.recipe,
        options=TrainOptions.model_validate(trained) if trained else spec.train_options(),
        model_uri=spec.model.uri,
        domain=domain_of(done.plan, spec.cube),
        mask=spec.mask,
        seasons=other_seasons(options, layout, card.recipe),
        known=_known(card),
    )


def _known(card: Card) -> Legend:
    """The model's classes as a legend: names in labels mean its codes."""
    names = {entry.code: entry.name for entry in card.classes}
    texts = {name: code for code, name in names.items() if list(names.values()).count(name) == 1}
    colours = {entry.code: entry.colour for entry in card.classes}
    return Legend(names, colours, texts, numbered=bool(card.training.get("codes_numbered")))


def _by_labels(done: Finished, request: TrainRequest, foreign: bool, dates: int, against: str | None) -> dict[str, Any]:
    by, cover = on_the_map(request, judges(request, done.card, foreign=foreign), done.places)
    if not len(by.y):
        raise InputError(
            f"of {cover.labelled} labelled {request.labels.per}s in the area, not one to judge by has data in the map",
            expected="labels where the map says something",
            place=str(request.labels.uri),
            remedy="check the mask and the season, or name other labels with --labels",
        )
    steps = done.card.recipe.steps
    classifier = load_model(done.spec.model.uri, steps=steps)
    told = {
        "uri": request.labels.uri,
        "per": request.labels.per,
        "held_out_blocks_of_the_training": by.held_out,
        "labelled": cover.labelled,
        "without_data": cover.without_data,
    }
    compared = {}
    if against:
        other = load_model(absolute(against), steps=steps if steps in read_card(absolute(against)).takes else None)
        name = {"uri": against, "name": other.card.name, "family": other.card.family}
        compared = {"against": name | judge_against(classifier, other, by)}
    timing = judge_over_dates(classifier, request, by, dates)
    found = judge(classifier, by)
    found["notes"] += note_of_cover(cover.labelled, cover.without_data, request.labels.per)
    return {"labels": told, **found, **compared, "timing": timing}


def _areas(done: Finished, sample: str | None, design: str | None) -> dict[str, Any]:
    """Mapped areas, and with a filled-in sample the estimated ones."""
    strata = _strata(done)
    found = estimate(read_points(absolute(sample), design and absolute(design)), strata, sample) if sample else None
    codes, names = (found.codes, found.names) if found else (strata.codes, strata.names)
    rows: list[dict[str, Any]] = [{"code": code, "name": name} for code, name in zip(codes, names, strict=True)]
    mapped = np.zeros(len(codes))
    mapped[: len(strata.codes)] = strata.area_km2
    for index, row in enumerate(rows):
        row |= {"mapped_km2": mapped[index], **(found.row(index) if found else {})}
    facts: dict[str, Any] = {"classes": rows, "mapped_km2": mapped.sum(), "mapped_km2_is": COUNTED}
    if found:
        facts["sample"] = {
            "uri": sample,
            "points": int(found.matrix.sum()),
            "without_reference": found.unfilled,
            "missing": found.missing,
            "drawn_from_this_map": found.checked,
            "overall_accuracy": found.overall,
            "confusion_rows_map_columns_reference": found.matrix,
            "notes": found.notes,
        }
    return dict(plain(facts))


def _strata(done: Finished) -> Strata:
    tiles = [tile for tile in done.plan.tiles if tile.id in done.mapped]
    records = [done.mapped[tile.id] for tile in tiles]
    count = len(done.card.classes)
    return Strata(
        grid=done.plan.grid,
        codes=tuple(entry.code for entry in done.card.classes),
        names=tuple(entry.name for entry in done.card.classes),
        tiles=tuple(tiles),
        places=tuple(f"{done.spec.output.uri}/{record.body['folder']}/class.tif" for record in records),
        pixels=np.array([[r.body["pixels"].get(str(i), 0) for i in range(count)] for r in records], np.int64),
        model=done.digest,
        values=map_values(done.card, done.spec.output.codes),
        map=map_digest(done.mapped),
    )


def _expected_users(done: Finished) -> tuple[NDArray[np.float64], str]:
    """User's accuracy to expect of each class, (k,), and whose it is: the training's test at the map's own cut-off, or
    the lower one of those tested before and after it; or a guess."""
    data = Objects(absolute(done.spec.model.uri)).find("training.json")
    if not data:
        return np.full(len(done.card.classes), ASSUMED_USERS), f"nowhere: {ASSUMED_USERS} is assumed"
    report, steps = json.loads(data), done.card.recipe.steps
    rows = report.get("cut_offs") or [{**report["accuracy"], "steps": steps}]
    near = [row for row in rows if row["steps"] == steps] or [
        *[row for row in rows if row["steps"] < steps][-1:], *[row for row in rows if row["steps"] > steps][:1]
    ]  # fmt: skip
    known: dict[int, list[float]] = {}
    for row in (each for at in near for each in at["classes"] if each["users_accuracy"] is not None):
        known.setdefault(row["code"], []).append(row["users_accuracy"])
    found = [min(known.get(entry.code, [ASSUMED_USERS])) for entry in done.card.classes]
    accuracy = model_told(done.spec, done.plan, done.card)["accuracy"]
    return np.minimum(np.array(found, np.float64), MOST_USERS), f"the training's test blocks: {accuracy['said']}"
