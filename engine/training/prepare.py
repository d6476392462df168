"""From labelled samples to what a training takes: classes that have enough of them, blocks dealt to training,
validation and test, the samples drawn of each part, percentiles from training alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models.card import MAX_CLASSES, Card, ClassEntry, Recipe, scale
from engine.training.blocks import Split, deal_blocks, off_held_out, tally, within_one_part
from engine.training.legend import class_entries
from engine.training.options import TrainOptions
from engine.training.parent import Parent, refuse_unlike
from engine.training.parts import Part, Scaling
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
    entries, left_out = choose_classes(_found(samples, options), classes, options, colours)
    if parent:
        refuse_unlike(parent.card, recipe, options, 0 if samples.later is None else samples.later.shape[1])
        entries = parent.classes(entries)
    used, y = class_indices(samples.y, entries)
    split, rows, torn = deal(samples, used, y, options)
    scaling = _scaling_of(parent.card) if parent else percentiles(samples, used[rows["train"]], recipe)
    parts = {name: part_of(samples, used[own], y[own], scaling) for name, own in rows.items()}
    dealt = {**_split_report(split, parts, entries), "reaching_into_another_part": torn}
    rows, free = {name: used[own] for name, own in rows.items()}, _unlabelled(samples, split, used, options)
    return Prepared(entries, left_out, scaling, rows, parts, dealt, free)


def deal(
    samples: Samples, used: NDArray[np.intp], y: NDArray[np.int64], options: TrainOptions
) -> tuple[Split, dict[str, NDArray[np.intp]], int]:
    """Blocks dealt to the three parts; by part the rows of ``used`` that are taken; how many reach into another part.

    used: (n,) indices of the samples. y: (n,) their class indices.
    """
    block, near = samples.block[used], None if samples.near is None else samples.near[used]
    split = deal_blocks(y, block, options.seed, options.block_m)
    whole = within_one_part(split, block, near)
    return split, _chosen(split, whole, y, options), int((~whole).sum())


def _unlabelled(samples: Samples, split: Split, used: NDArray[np.intp], options: TrainOptions) -> NDArray[np.intp]:
    """Samples without label, wholly seen, that neither lie in a block of validation or test nor touch one."""
    rows = np.flatnonzero(samples.y == 0) if options.virtual else np.zeros(0, np.intp)
    near = None if samples.near is None else samples.near[rows]
    rows = rows[off_held_out(split, samples.block[used], samples.block[rows], near)]
    return rows[[bool(np.isfinite(samples.x[row]).all()) for row in rows]] if len(rows) else rows


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


def _found(samples: Samples, options: TrainOptions) -> dict[int, tuple[int, int]]:
    """Samples and blocks of each code, of the labelled ones alone."""
    labelled = samples.y != 0 if options.virtual else np.ones(len(samples.y), np.bool_)
    codes, _, counts = tally(samples.y[labelled], samples.block[labelled])
    return {int(code): (int(row.sum()), int((row > 0).sum())) for code, row in zip(codes, counts, strict=True)}


def choose_classes(
    found: Mapping[int, tuple[int, int]], classes: Mapping[int, str], options: TrainOptions, colours: Mapping[int, str]
) -> tuple[tuple[ClassEntry, ...], list[dict[str, Any]]]:
    """Entries of the classes with enough samples in blocks enough, and what was left out with its reason.

    found: code -> (samples, blocks that these lie in). A class of one block could be trained or judged, never both.
    Raises InputError where fewer than two classes are left.
    """
    kept, left_out = [], []
    for code in sorted(found.keys() | classes.keys()):
        count, blocks = found.get(code, (0, 0))
        reason = ""
        if code not in classes:
            reason = "not in the legend"
        elif count < options.min_samples:
            reason = f"fewer than min_samples = {options.min_samples} samples"
        elif blocks < 2:
            reason = (
                f"all in one block of {options.block_m:g} m, so it could be trained or judged, never both; a smaller "
                "labels.block_m may part it"
            )
        if reason:
            left_out.append({"code": code, "name": classes.get(code), "samples": count, "reason": reason})
        else:
            kept.append(code)
    if not 2 <= len(kept) <= MAX_CLASSES:
        told = {code: count for code, (count, _) in sorted(found.items())}
        raise InputError(
            f"{len(kept)} classes of the legend with {options.min_samples} samples or more in two blocks or more "
            f"(samples by code: {told})",
            expected=f"2 to {MAX_CLASSES}",
            place="labels",
            remedy="a smaller min_samples or block_m, more labels, or a legend that names the codes found",
        )
    return class_entries(kept, classes, colours), left_out


def class_indices(y: NDArray[np.int32], entries: tuple[ClassEntry, ...]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Which samples are of these classes, and the class index of each of those."""
    codes = np.array([entry.code for entry in entries])
    order = codes.argsort()
    used = np.flatnonzero(np.isin(y, codes))
    return used, order[np.searchsorted(codes, y[used], sorter=order)].astype(np.int64)


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
