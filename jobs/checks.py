"""What can be found wrong in seconds, before a worker starts: places that cannot be written, files and models that do
not fit.

Only headers are opened. Each error names the spec's key, the value there, what was expected and the remedy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import permutations
from pathlib import PurePosixPath
from typing import Any

from engine.environment import refuse_broken
from engine.errors import InputError, SpecError
from engine.grid import make_grid, read_area
from engine.map_values import map_values
from engine.models import Card, Recipe, read_card
from engine.models.card import Family
from engine.objects import Objects, absolute
from engine.plan import Plan, refuse_too_large
from engine.steps import usable_steps
from engine.store import refuse_other_cube
from engine.training import refuse_unlike
from jobs.cluster import is_remote
from jobs.familiar import refuse_untold
from jobs.headers import overlap, parcel_box, raster_box
from jobs.label_checks import check_labels, check_other_seasons, surveyed
from jobs.look import looked, with_doubts_of_mask
from jobs.parcels import with_register
from jobs.pinned import fresh_plan
from jobs.reach import about, check_address, check_s3, probe, within
from jobs.spec import Spec

STORE_S = 10.0
"""A store gets this long for its handful of requests; its own retries would go on for two minutes."""


def check_places(spec: Spec, *, stores: bool = True) -> None:
    """SpecError or InputError for the first thing wrong with what the spec names, catalogues and model card apart; with
    ``stores`` it is tried whether output, cube and model can be written."""
    refuse_broken("this machine")
    check_s3(_strings(spec.model_dump(mode="json")))
    _check_season(spec)
    _check_apart(spec)
    _check_addresses(spec)
    with about(f"area.file = {spec.area.file}" if spec.area.file else "area.bbox"):
        area = read_area(spec.area)
    grid = make_grid(area, spec.grid)
    if spec.mask is not None:
        with about(f"mask.uri = {spec.mask.uri}"):
            overlap(raster_box(spec.mask.uri, grid, spec.mask.band, spec.mask.keep or ()), grid)
    if spec.labels is not None:
        check_labels(spec, grid)
    if spec.parcels is not None:
        with about(f"parcels.uri = {spec.parcels.uri}"):
            overlap(parcel_box(spec.parcels, grid), grid)
    if stores:
        _check_stores(spec)


def checked_plan(spec: Spec, last: str = "map", *, look: bool) -> Plan:
    """The plan, with what can be wrong with it found out before any worker starts; with ``look`` in its pixels too."""
    plan = fresh_plan(spec)
    refuse_other_cube(Objects(spec.cube.uri), plan.grid, plan.axes)
    if spec.labels:
        _check_parent(spec)
        if last != "cube":
            _refuse_foreign_model(spec)
            _check_network(spec)
        check_other_seasons(spec, plan)
        plan = surveyed(spec, plan)
    plan = with_doubts_of_mask(spec, plan)
    recipe, family, halo = model_needs(spec, last)
    if spec.parcels is not None and halo:
        raise SpecError(
            f"{family} looks at the squares around pixels",
            expected="a model of series: a parcel is judged by its own pixels' series",
            place="parcels",
            remedy="leave parcels out, or use another family",
        )
    if last != "cube":
        _refuse_absent_layers(recipe, plan, spec)
        if spec.labels is None:
            refuse_untold(spec, checked_card(spec))
        plan = with_register(spec, plan)
    refuse_too_large(
        plan, spec.byte_budget(), spec.cube.threads, features=len(recipe.features), steps=recipe.steps, halo=halo
    )
    return looked(spec, plan, look)


def model_needs(spec: Spec, last: str = "map") -> tuple[Recipe, Family, int]:
    """Recipe, family and halo of the model that will map: its card's, or those of the one to be trained. Where the
    cube is all that is asked for (``last``), no model need be there."""
    if spec.labels or last == "cube":
        return spec.recipe(), spec.model.train.family, spec.model.train.halo
    card = checked_card(spec)
    return card.recipe, card.family, card.halo


def checked_card(spec: Spec) -> Card:
    """The model's card, cut to the season's steps where it takes several numbers of them; InputError where the spec's
    inputs or season cannot give what it needs."""
    card = read_card(spec.model.uri)
    recipe, mine = card.recipe, spec.recipe()
    lacking = set(recipe.layers) - set(spec.inputs.sources())
    if lacking:
        raise InputError(
            f"the model needs {', '.join(recipe.features)}",
            expected=f"inputs.{', inputs.'.join(sorted(lacking))}",
            place=spec.model.uri,
            remedy="add the input, or use a model without it",
        )
    _refuse_contradictions(card, spec)
    map_values(card, spec.output.codes)
    for name in ("step_days", "season_start", *(["steps"] if card.from_step is None else [])):
        if getattr(recipe, name) != getattr(mine, name):
            raise InputError(
                f"the model was made for {name} {getattr(recipe, name)}",
                expected=f"{getattr(mine, name)}, as the season gives",
                place=spec.model.uri,
                remedy="give season.start, end, step_days and season.as_of as the model was trained for, or labels and "
                "another model.uri, and one is trained for this season",
            )
    return card if card.from_step is None else _cut(card, spec)


def _refuse_contradictions(card: Card, spec: Spec) -> None:
    """SpecError where the spec says of a brought model what its card does not."""
    named, features = spec.model.features, card.recipe.features
    if spec.labels is None and named is not None and set(named) != set(features):
        raise SpecError(
            ", ".join(named),
            expected=f"{', '.join(features)}, as the model {spec.model.uri} was trained with",
            place="model.features",
            remedy="leave the key out: a model that is brought says what it needs",
        )
    if spec.parcels and spec.parcels.method == "series":
        given = f"parcel {spec.parcels.statistic}"
        if card.sampled not in ("pixel", given):
            raise SpecError(
                f"{spec.parcels.statistic}, but the model was trained on each {card.sampled}",
                expected=card.sampled.removeprefix("parcel "),
                place="parcels.statistic",
                remedy="use that, or another model",
            )


def _cut(card: Card, spec: Spec) -> Card:
    """The card at the season's steps; SpecError for a cut-off outside the model's range."""
    steps = usable_steps(spec.season)
    if steps not in card.takes:
        first, last = card.takes[0], card.takes[-1]
        raise SpecError(
            f"{spec.season.as_of or 'not given'}, which leaves {steps} of the season's {spec.steps()} steps",
            expected=f"{first} to {last} steps, to {card.cut_offs[0]} up to {card.cut_offs[-1]}, as the model "
            f"{spec.model.uri} takes",
            place="season.as_of",
            remedy="a day within that range, or a model of another from_step",
        )
    return card.cut(steps)


def _refuse_absent_layers(recipe: Recipe, plan: Plan, spec: Spec) -> None:
    """SpecError where the cube is not to hold what the model's features are made of."""
    lacking = sorted(set(recipe.layers) - set(plan.axes))
    if lacking:
        raise SpecError(
            f"{', '.join(plan.axes)}, but the model's features {', '.join(recipe.features)} need {', '.join(lacking)}",
            expected=f"{', '.join(recipe.layers)} among them",
            place="cube.layers",
            remedy=f"add {', '.join(lacking)}, or {'name' if spec.labels else 'use a model of'} features without",
        )


def _check_parent(spec: Spec) -> None:
    """Whether the model to go on from, if any, is there and is of this training's features and family."""
    options = spec.train_options()
    if options.start_from is None:
        return
    if _path(options.start_from) == _path(spec.model.uri):
        raise SpecError(
            f"{options.start_from!r} is model.uri itself, which is to be written",
            expected="another model",
            place="model.train.start_from",
            remedy="give the fine-tuned model a model.uri of its own",
        )
    with about(f"model.train.start_from = {options.start_from}"):
        refuse_unlike(read_card(absolute(options.start_from)), spec.recipe(), options)


def _refuse_foreign_model(spec: Spec) -> None:
    """SpecError where training would write over a model that no job trained."""
    try:
        card = read_card(spec.model.uri)
    except InputError:
        return
    if "inputs" not in card.training:
        raise SpecError(
            f"{spec.model.uri} holds {card.name}, a model that was brought, and labels are given to train another",
            expected="a place of its own for the model to be trained, or no labels",
            place="model.uri",
            remedy="map with it as it is (tilth predict), or give another model.uri",
        )


def _check_network(spec: Spec) -> None:
    """InputError where the family's network cannot be built for the season's steps."""
    options, recipe = spec.train_options(), spec.recipe()
    if options.family in ("forest", "svm"):
        return
    import torch  # takes two seconds

    from engine.models.series import Shape, build

    later = spec.steps() - recipe.steps if options.family == "clec" else 0
    with torch.device("meta"):  # sizes alone, no weights
        build(options.family, Shape(recipe.steps, len(recipe.features), 2, 2 * options.halo + 1, later))


def _check_season(spec: Spec) -> None:
    today = datetime.now(UTC).date()
    if spec.season.start > today:
        raise SpecError(
            f"{spec.season.start} lies in the future",
            expected=f"a day not after {today}",
            place="season.start",
            remedy="map a season that has begun: nothing has been observed of this one",
        )
    if spec.labels is not None and spec.model.train.cascade.cutoff == "random" and spec.season.end > today:
        raise SpecError(
            f"{spec.season.end} has not come",
            expected=f"a day not after {today}: model.train.cascade.cutoff: random trains on a season that is over",
            place="season.end",
            remedy="train on an earlier season; then map this one with that model, season.as_of and no labels",
        )


def _check_apart(spec: Spec) -> None:
    """Output, cube and model lie beside each other: each is listed, pruned and copied as a whole."""
    places = {"output.uri": spec.output.uri, "cube.uri": spec.cube.uri, "model.uri": spec.model.uri}
    for inner, outer in permutations(places, 2):
        if _path(places[inner]).is_relative_to(_path(places[outer])):
            raise SpecError(
                f"{places[inner]!r} lies in {outer} = {places[outer]!r}",
                expected="places beside each other",
                place=inner,
                remedy=f"give {inner} a folder of its own, such as {absolute(places[outer])}-{inner.split('.')[0]}",
            )


def _strings(value: Any) -> Iterator[str]:
    """Every text in a spec's data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _strings(inner)


def _path(uri: str) -> PurePosixPath:
    """A URI as a path that can be compared: ``.`` and ``..`` resolved, the scheme as the first part."""
    scheme, mark, rest = absolute(uri).rpartition("://")
    return PurePosixPath(f"/{scheme}{mark.replace('://', ':')}", os.path.normpath(f"/{rest}").lstrip("/"))


def _check_addresses(spec: Spec) -> None:
    compute = spec.compute
    remote = is_remote(spec)
    if compute.address not in (None, "auto"):
        check_address(
            compute.address or "", "compute.address", ("http", "https", ""), "http://head:8265, head:6379 or auto"
        )
    if compute.dask_address is not None:
        # Once the job is handed over, the cluster's own names count, which this machine need not know.
        check_address(
            compute.dask_address, "compute.dask_address", ("tcp", "tls", ""), "tcp://scheduler:8786", connect=not remote
        )


def _check_stores(spec: Spec) -> None:
    """Whether output, cube and, where one is to be trained, model can be written."""
    places = {"output.uri": spec.output.uri, "cube.uri": spec.cube.uri}
    if spec.labels is not None:
        places["model.uri"] = spec.model.uri
    within(STORE_S, ", ".join(places), [partial(_check_store, key, uri) for key, uri in places.items()])


def _check_store(key: str, uri: str) -> None:
    with about(f"{key} = {uri}"):
        probe(Objects(uri))
