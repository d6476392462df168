"""From labelled samples to what a training takes: classes that have enough of them, blocks dealt to training,
validation and test, the samples drawn of each part, percentiles from training alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models.card import Card, ClassEntry, Recipe
from engine.models.scaling import scale
from engine.training.blocks import (
    TEST,
    VALIDATION,
    Split,
    deal_blocks,
    held_for,
    off_held_out,
    tally,
    to_deal,
    within_one_part,
)
from engine.training.classes import choose_classes, class_indices
from engine.training.early import refuse_unobserved, seasons_of
from engine.training.options import TrainOptions
from engine.training.parent import Parent, refuse_unlike
from engine.training.parts import Part, Scaling
from engine.training.unknown import Unknown, judged_with_test, numbered
from engine.types import Samples


@dataclass(frozen=True, slots=True)
class Prepared:
    """Samples made ready. rows: by part, indices of the samples. parts: by part, what these are, scaled."""

    entries: tuple[ClassEntry, ...]
    left_out: list[dict[str, Any]]
    """Classes that are not trained, each with the reason."""
    scaling: Scaling
    rows: Mapping[str, NDArray[np.intp]]
    parts: Mapping[str, Part]
    dealt: dict[str, Any]
    """What the report says of the split."""
    unlabelled: NDArray[np.intp]
    """Indices of the samples without label that may be trained on; none but for virtual labels."""
    strangers: Part
    """Labelled samples of classes that are not trained, judged with the test part; ``y`` counts on from ``entries``."""
    unknown: tuple[Unknown, ...]
    """What these classes are, in the order of their indices."""


def prepare(
    samples: Samples,
    recipe: Recipe,
    classes: Mapping[int, str],
    options: TrainOptions,
    colours: Mapping[int, str],
    *,
    parent: Parent | None = None,
) -> Prepared:
    """Samples ready for training, the same for equal arguments. Raises InputError as ``engine.training.fit`` says."""
    _check_shapes(samples, recipe)
    refuse_unobserved(samples, recipe, options)
    held = samples.origin is not None and bool((samples.origin["by_season"] | samples.origin["by_region"]).any())
    entries, left_out = choose_classes(
        _to_train_on(samples, options), classes, options, colours, fewest_blocks=1 if held else 2
    )
    if parent:
        refuse_unlike(parent.card, recipe, options, 0 if samples.later is None else samples.later.shape[1])
        entries = parent.classes(entries)
    used, y = class_indices(samples.y, entries)
    split, rows, torn = deal(samples, used, y, options)
    scaling = _scaling_of(parent.card) if parent else percentiles(samples, used[rows["train"]], recipe)
    parts = {name: part_of(samples, used[own], y[own], scaling) for name, own in rows.items()}
    others, codes, unknown = _strangers(samples, entries, classes, split, len(rows["test"]), options)
    strangers = part_of(samples, others, codes, scaling)
    if options.cascade.from_step is not None:
        first = options.cascade.from_step
        parts = {
            n: replace(p, seasons=seasons_of(samples, used[rows[n]], recipe, scaling, first)) for n, p in parts.items()
        }
        strangers = replace(strangers, seasons=seasons_of(samples, others, recipe, scaling, first))
    dealt = {**_split_report(split, parts, entries), "reaching_into_another_part": torn}
    if samples.origin is not None:
        dealt |= _origin_report(split, samples.origin[used], rows)
    rows, free = {name: used[own] for name, own in rows.items()}, _unlabelled(samples, split, options)
    return Prepared(entries, left_out, scaling, rows, parts, dealt, free, strangers, unknown)


def _strangers(
    samples: Samples,
    entries: tuple[ClassEntry, ...],
    classes: Mapping[int, str],
    split: Split,
    drawn: int,
    options: TrainOptions,
) -> tuple[NDArray[np.intp], NDArray[np.int64], tuple[Unknown, ...]]:
    """Labelled samples of classes that are not trained, which are judged with the test part: their numbers, their class
    indices, and what these are."""
    others = ~np.isin(samples.y, [entry.code for entry in entries])
    others &= (samples.y != 0) if options.virtual else True
    rows = judged_with_test(samples, np.flatnonzero(others), split, options.seed, drawn=drawn)
    return rows, *numbered(samples.y[rows], len(entries), classes)


def deal(
    samples: Samples, used: NDArray[np.intp], y: NDArray[np.int64], options: TrainOptions
) -> tuple[Split, dict[str, NDArray[np.intp]], int]:
    """Blocks dealt to the three parts; by part the rows of ``used`` that are taken; how many reach into another part.

    used: (n,) indices of the samples. y: (n,) their class indices.
    """
    block, near = samples.block[used], None if samples.near is None else samples.near[used]
    origin = None if samples.origin is None else samples.origin[used]
    _refuse_lost_holds(samples, origin)
    split = deal_blocks(y, block, options.seed, options.block_m, origin)
    whole = within_one_part(split, block, near, held_for(origin, len(y))[0])
    dealt = split.train | split.validation | split.test
    _refuse_all_border(split, whole)
    return split, _chosen(split, whole, y, options), int((dealt & ~whole).sum())


def _refuse_lost_holds(samples: Samples, used: NDArray[np.void] | None) -> None:
    """InputError where a season or region is held for a part, but none of its samples is of a class to be trained:
    blocks would be dealt in its place."""
    if samples.origin is None or used is None:
        return
    for column, part in product(("by_season", "by_region"), (VALIDATION, TEST)):
        if (samples.origin[column] == part).any() and not (used[column] == part).any():
            raise InputError(
                f"the {column[3:]} held for {'validation' if part == VALIDATION else 'test'} has no sample of a class "
                "that is trained",
                expected="classes that the seasons and regions to be learnt from have as well",
                place="labels",
                remedy="hold another one, or lower labels.min_samples",
            )


def _refuse_all_border(split: Split, whole: NDArray[np.bool_]) -> None:
    empty = [name for name, mask in split.parts.items() if not (mask & whole).any()]
    if empty:
        raise InputError(
            f"all samples of {' and '.join(empty)} are near labels of another part",
            expected="some that are not",
            place="labels",
            remedy="larger blocks (labels.block_m), a narrower labels.border_m, or a smaller model.train.patch",
        )


def _unlabelled(samples: Samples, split: Split, options: TrainOptions) -> NDArray[np.intp]:
    """Samples without label, wholly seen, that neither lie in a block of validation or test nor touch one, nor in a
    region that is held."""
    rows = (
        np.flatnonzero((samples.y == 0) & to_deal(samples.block, samples.origin))
        if options.virtual
        else np.zeros(0, np.intp)
    )
    near = None if samples.near is None else samples.near[rows]
    rows = rows[off_held_out(split, samples.block[rows], near)]
    return rows[[bool(np.isfinite(samples.x[row]).all()) for row in rows]] if len(rows) else rows


def _to_train_on(samples: Samples, options: TrainOptions) -> dict[int, tuple[int, int]]:
    """Samples of each code, and blocks that these lie in, of those that may come to be trained on."""
    free = to_deal(samples.block, samples.origin) & ((samples.y != 0) if options.virtual else True)
    codes, _, counts = tally(samples.y[free], samples.block[free])
    return {int(code): (int(row.sum()), int((row > 0).sum())) for code, row in zip(codes, counts, strict=True)}


def _check_shapes(samples: Samples, recipe: Recipe) -> None:
    expected = (len(samples.y), recipe.steps, len(recipe.features))
    later = expected if samples.later is None else samples.later.shape
    wrong = samples.x.shape[:3] != expected or samples.block.shape != samples.y.shape or later[::2] != expected[::2]
    if wrong or len(samples.y) == 0:
        raise InputError(
            f"samples x {samples.x.shape}, y {samples.y.shape}, block {samples.block.shape}",
            expected=f"one or more samples of {recipe.steps} steps and {len(recipe.features)} features",
            place="labels",
            remedy="check that labels overlap the area and that the season covers the recipe's steps",
        )


def _chosen(
    split: Split, whole: NDArray[np.bool_], y: NDArray[np.int64], options: TrainOptions
) -> dict[str, NDArray[np.intp]]:
    """Rows of the samples that are used, by part, in order, drawn at random by the seed where there are more than
    asked for."""
    rows = {name: np.flatnonzero(mask & whole) for name, mask in split.parts.items()}
    rng = np.random.default_rng(options.seed + 1)
    for name in ("validation", "test"):
        if len(rows[name]) > options.most_judged:
            rows[name] = np.sort(rng.choice(rows[name], options.most_judged, replace=False))
    return rows | {"train": _at_most(rows["train"], y, options)}


def _at_most(rows: NDArray[np.intp], y: NDArray[np.int64], options: TrainOptions) -> NDArray[np.intp]:
    """``rows`` in order, with at most ``options.per_class`` of each class, drawn at random by the seed."""
    rng = np.random.default_rng(options.seed)
    kept = []
    for code in np.unique(y[rows]):
        own = rows[y[rows] == code]
        if len(own) > options.per_class:
            own = rng.choice(own, options.per_class, replace=False)
        kept.append(own)
    return np.sort(np.concatenate(kept))


def part_of(samples: Samples, rows: NDArray[np.intp], y: NDArray[np.int64], scaling: Scaling) -> Part:
    """The samples of these rows, scaled; later steps stay NaN where they are not known."""
    bounds = scaling.lower, scaling.upper, scaling.fill
    x, later = scale(samples.x[rows], *bounds), None
    if samples.later is not None:
        later = scale(samples.later[rows], *bounds)
        np.copyto(later, np.nan, where=np.isnan(samples.later[rows]))
    return Part(x, y, later)


def percentiles(samples: Samples, rows: NDArray[np.intp], recipe: Recipe) -> Scaling:
    """1st and 99th percentile and median of each feature over the training part, its later steps with it: scaled by
    the early ones alone, a forecast of the summer would be cut off at the height of spring. Of squares, their middle.
    """
    x = samples.x[rows]
    x = x[..., x.shape[-1] // 2, x.shape[-1] // 2] if x.ndim == 5 else x
    x = x if samples.later is None else np.concatenate([x, samples.later[rows]], axis=1)
    unseen = [name for i, name in enumerate(recipe.features) if np.isnan(x[:, :, i]).all()]
    if unseen:
        raise InputError(
            f"features {unseen} without a single value in the training blocks",
            place="labels",
            remedy="check that the inputs cover the labels, or leave these features out of the recipe",
        )
    columns = x.reshape(-1, x.shape[2])
    lower, fill, upper = (tuple(map(float, row)) for row in np.nanpercentile(columns, [1, 50, 99], axis=0))
    # A feature that never changes says nothing; any width will do, and 0 would divide by zero.
    upper = tuple(high if high > low else low + 1.0 for low, high in zip(lower, upper, strict=True))
    return Scaling(lower, upper, fill)


def _scaling_of(card: Card) -> Scaling:
    return Scaling(card.lower, card.upper, card.fill)


def _split_report(split: Split, parts: Mapping[str, Part], entries: tuple[ClassEntry, ...]) -> dict[str, Any]:
    """Blocks and samples per part, and the classes that a part lacks."""
    rows: dict[str, Any] = {"seed": split.seed, "sha256": split.sha256}
    for (name, part), blocks in zip(parts.items(), split.blocks, strict=True):
        counts = np.bincount(part.y, minlength=len(entries))
        rows[name] = {
            "blocks": blocks,
            "samples": len(part.y),
            "lacks": [entry.name for entry, count in zip(entries, counts, strict=True) if count == 0],
        }
    return rows


def _origin_report(split: Split, origin: NDArray[np.void], rows: Mapping[str, NDArray[np.intp]]) -> dict[str, Any]:
    """Samples of each season, and of each held-out region, by part; how many were left out since their place is held
    for a later part than they."""

    def counted(key: str) -> list[dict[str, Any]]:
        names = [str(name) for name in np.unique(origin[key]) if str(name)]
        of = {part: origin[key][own] for part, own in rows.items()}
        return [{key: name, **{part: int((held == name).sum()) for part, held in of.items()}} for name in names]

    undealt = int((~(split.train | split.validation | split.test)).sum())
    return {"seasons": counted("season"), "regions": counted("region"), "left_out_at_held_places": undealt}
