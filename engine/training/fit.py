"""Labelled samples in, a model with its card and its accuracy out.

In order: choose the classes that have enough samples, deal blocks to training, validation and test, take percentiles
from training alone, train, calibrate on validation, score on test. What was left out is said in the report.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models.card import MAX_CLASSES, Card, ClassEntry, Recipe, probabilities, scale
from engine.models.package import open_model
from engine.training.blocks import Split, deal_blocks
from engine.training.calibrate import fit_temperature
from engine.training.legend import class_entries
from engine.training.options import TrainOptions
from engine.training.parent import Parent, refuse_unlike
from engine.training.parts import Hooks, Part, Progress, Scaling, Trained
from engine.training.report import accuracy_report
from engine.types import Samples, digest

TRAINING_VERSION = "training-1"
"""Raised whenever the arithmetic of training changes."""

_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model: what ``engine.models.write_model`` writes, and a JSON-able report for people."""

    card: Card
    weights: bytes
    report: dict[str, Any]


def training_key(
    samples: Samples,
    recipe: Recipe,
    classes: Mapping[int, str],
    options: TrainOptions,
    colours: Mapping[int, str] | None = None,
    *,
    parent: Parent | None = None,
) -> str:
    """Digest of all that decides a training's outcome; it is in the card as ``training["key"]``."""
    data = hashlib.sha256()
    for array in (samples.x, samples.y, samples.block, samples.later):
        data.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    legend = [[code, classes[code], (colours or {}).get(code)] for code in sorted(classes)]
    settings = [TRAINING_VERSION, options.decisive(), recipe.model_dump(mode="json"), legend]
    return digest([data.hexdigest(), list(samples.x.shape), settings, parent.digest if parent else None])


def fit(
    samples: Samples,
    recipe: Recipe,
    classes: Mapping[int, str],
    options: TrainOptions,
    progress: Progress | None = None,
    *,
    colours: Mapping[int, str] | None = None,
    hooks: Hooks | None = None,
    parent: Parent | None = None,
) -> Fitted:
    """Train, calibrate and test a model on labelled pixels. Equal arguments give equal bytes on one kind of CPU.

    classes: name of each legend code to be mapped; samples of other codes are not used. colours: #rrggbb by code.
    progress: told after every epoch of a network. hooks: what else it calls, its checkpoint among them; a forest calls
    nothing. parent: the model to go on from, which gives weights, scaling and classes. Raises InputError where samples
    do not fit the recipe or the parent, where fewer than two classes are left, where there are too few blocks, or
    where a feature was never seen in training.
    """
    samples = samples if options.family == "clec" else replace(samples, later=None)
    _check_shapes(samples, recipe)
    entries, left_out = _choose_classes(samples.y, classes, options, colours or {})
    if parent:
        refuse_unlike(parent.card, recipe, options.family)
        entries = parent.classes(entries)
    used, y = _class_indices(samples.y, entries)
    split = deal_blocks(y, samples.block[used], options.seed, options.block_m)
    chosen = {name: np.flatnonzero(mask) for name, mask in split.parts.items()}
    chosen["train"] = _at_most(chosen["train"], y, options)
    scaling = _scaling_of(parent.card) if parent else _scaling(samples, used[chosen["train"]], recipe)
    parts = {name: _part(samples, used[rows], y[rows], scaling) for name, rows in chosen.items()}
    key = training_key(samples, recipe, classes, options, colours, parent=parent)
    trained = _train(parts, len(entries), options, progress, key=key, hooks=hooks, parent=parent)
    card = _card(entries, recipe, scaling, trained, options, later=parts["train"].later)
    temperature = fit_temperature(_logits(card, trained.weights, parts["validation"].x), parts["validation"].y)
    p = probabilities(_logits(card, trained.weights, parts["test"].x), temperature)
    accuracy = accuracy_report(p, parts["test"].y, entries)
    notes = {**trained.notes, **({"parent": parent.digest} if parent else {}), "left_out": left_out}
    report = {**notes, "split": _split_report(split, parts, entries), "accuracy": accuracy}
    provenance = {**card.training, **_provenance(report), "key": key}
    return Fitted(card.model_copy(update={"temperature": temperature, "training": provenance}), trained.weights, report)


def _logits(card: Card, weights: bytes, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of scaled input by the very code that will map, from the very bytes that will be written."""
    classifier = open_model(card, weights)
    parts = [classifier.logits(x[i : i + _BATCH]) for i in range(0, len(x), _BATCH)]
    return np.concatenate(parts)


def _check_shapes(samples: Samples, recipe: Recipe) -> None:
    expected = (len(samples.y), recipe.steps, len(recipe.features))
    later = expected if samples.later is None else samples.later.shape
    wrong = samples.x.shape != expected or samples.block.shape != samples.y.shape or later[::2] != expected[::2]
    if wrong or len(samples.y) == 0:
        raise InputError(
            f"samples x {samples.x.shape}, y {samples.y.shape}, block {samples.block.shape}",
            expected=f"one or more samples of {recipe.steps} steps and {len(recipe.features)} features",
            place="labels",
            remedy="check that labels overlap the area and that the season covers the recipe's steps",
        )


def _choose_classes(
    y: NDArray[np.int32], classes: Mapping[int, str], options: TrainOptions, colours: Mapping[int, str]
) -> tuple[tuple[ClassEntry, ...], list[dict[str, Any]]]:
    """Entries of the classes with enough samples, and what was left out with its reason."""
    codes, counts = np.unique(y, return_counts=True)
    found = {int(code): int(count) for code, count in zip(codes, counts, strict=True)}
    kept, left_out = [], []
    for code in sorted(found.keys() | classes.keys()):
        count = found.get(code, 0)
        if code not in classes:
            left_out.append({"code": code, "name": None, "samples": count, "reason": "not in the legend"})
        elif count < options.min_samples:
            reason = f"fewer than min_samples = {options.min_samples} samples"
            left_out.append({"code": code, "name": classes[code], "samples": count, "reason": reason})
        else:
            kept.append(code)
    if not 2 <= len(kept) <= MAX_CLASSES:
        raise InputError(
            f"{len(kept)} classes with {options.min_samples} samples or more (found {found})",
            expected=f"2 to {MAX_CLASSES}",
            place="labels",
            remedy="a smaller min_samples, more labels, or a legend that names the codes found",
        )
    return class_entries(kept, classes, colours), left_out


def _class_indices(y: NDArray[np.int32], entries: tuple[ClassEntry, ...]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Which samples are of these classes, and the class index of each of those."""
    codes = np.array([entry.code for entry in entries])
    order = codes.argsort()
    used = np.flatnonzero(np.isin(y, codes))
    return used, order[np.searchsorted(codes, y[used], sorter=order)].astype(np.int64)


def _at_most(rows: NDArray[np.intp], y: NDArray[np.int64], options: TrainOptions) -> NDArray[np.intp]:
    """``rows`` in order, with at most ``max_samples_per_class`` of each class, drawn at random by the seed."""
    rng = np.random.default_rng(options.seed)
    kept = []
    for code in np.unique(y[rows]):
        own = rows[y[rows] == code]
        if len(own) > options.max_samples_per_class:
            own = rng.choice(own, options.max_samples_per_class, replace=False)
        kept.append(own)
    return np.sort(np.concatenate(kept))


def _part(samples: Samples, rows: NDArray[np.intp], y: NDArray[np.int64], scaling: Scaling) -> Part:
    """The samples of these rows, scaled; later steps stay NaN where they are not known."""
    bounds = scaling.lower, scaling.upper, scaling.fill
    x, later = scale(samples.x[rows], *bounds), None
    if samples.later is not None:
        later = scale(samples.later[rows], *bounds)
        np.copyto(later, np.nan, where=np.isnan(samples.later[rows]))
    return Part(x, y, later)


def _scaling(samples: Samples, rows: NDArray[np.intp], recipe: Recipe) -> Scaling:
    """1st and 99th percentile and median of each feature over the training part, its later steps with it: scaled by
    the early ones alone, a forecast of the summer would be cut off at the height of spring."""
    x = samples.x[rows] if samples.later is None else np.concatenate([samples.x[rows], samples.later[rows]], axis=1)
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


def _train(
    parts: Mapping[str, Part],
    classes: int,
    options: TrainOptions,
    progress: Progress | None,
    *,
    key: str,
    hooks: Hooks | None,
    parent: Parent | None,
) -> Trained:
    if options.family == "forest":
        from engine.training.trees import grow  # scikit-learn takes a second to import

        return grow(parts["train"], options)
    from engine.training.loop import descend  # torch takes two

    train, validation, start = parts["train"], parts["validation"], parent.weights if parent else None
    return descend(train, validation, classes, options, progress, key=key, hooks=hooks, start=start)


def _split_report(split: Split, parts: Mapping[str, Part], entries: tuple[ClassEntry, ...]) -> dict[str, Any]:
    """Blocks and samples per part, and the classes that a part lacks."""
    rows: dict[str, Any] = {"seed": split.seed}
    for (name, part), blocks in zip(parts.items(), split.blocks, strict=True):
        counts = np.bincount(part.y, minlength=len(entries))
        rows[name] = {
            "blocks": blocks,
            "samples": len(part.y),
            "lacks": [entry.name for entry, count in zip(entries, counts, strict=True) if count == 0],
        }
    return rows


def _provenance(report: Mapping[str, Any]) -> dict[str, Any]:
    """What of the report goes into the card: the split and the headline accuracies."""
    headline = ("samples", "overall_accuracy", "kappa", "macro_f1", "expected_calibration_error")
    return {
        **{name: report[name] for name in ("parent",) if name in report},
        "split": report["split"],
        "accuracy": {name: report["accuracy"][name] for name in headline},
        "left_out": [row["code"] for row in report["left_out"]],
    }


def _card(
    entries: tuple[ClassEntry, ...],
    recipe: Recipe,
    scaling: Scaling,
    trained: Trained,
    options: TrainOptions,
    *,
    later: NDArray[np.float32] | None,
) -> Card:
    return Card(
        name=options.name,
        family=options.family,
        recipe=recipe,
        classes=entries,
        lower=scaling.lower,
        upper=scaling.upper,
        fill=scaling.fill,
        weights="model.skops" if options.family == "forest" else "model.safetensors",
        weights_sha256=hashlib.sha256(trained.weights).hexdigest(),
        weights_bytes=len(trained.weights),
        later_steps=0 if later is None else later.shape[1],
        variant=options.cascade.variant,
        parameters=trained.parameters,
        training={"version": TRAINING_VERSION, "options": options.decisive()},
        licence=options.licence,
    )
