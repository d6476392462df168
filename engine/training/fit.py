"""Labelled samples in, a model with its card and its accuracy out.

In order: choose the classes that have enough samples, deal blocks to training, validation and test, take percentiles
from training alone, train, calibrate on validation, score on test. What was left out is said in the report.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models.card import MAX_CLASSES, Card, ClassEntry, Recipe, probabilities, scale
from engine.models.golden import golden_bytes, golden_rows, with_golden
from engine.models.package import open_model
from engine.training.blocks import Split, deal_blocks, within_one_part
from engine.training.calibrate import fit_temperature
from engine.training.legend import class_entries
from engine.training.options import TrainOptions
from engine.training.parent import Parent, refuse_unlike
from engine.training.parts import Hooks, Part, Progress, Scaling, Trained, portions
from engine.training.report import accuracy_report
from engine.types import Samples, digest

TRAINING_VERSION = "training-2"
"""Raised whenever the arithmetic of training changes."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model: what ``engine.models.write_model`` writes, and a JSON-able report for people."""

    card: Card
    weights: bytes
    golden: bytes
    """What the model made of some validation samples (``engine.models.golden``)."""
    report: dict[str, Any]


def training_key(
    samples: Samples,
    recipe: Recipe,
    classes: Mapping[int, str],
    options: TrainOptions,
    colours: Mapping[int, str] | None = None,
    *,
    parent: Parent | None = None,
    target: NDArray[np.float32] | None = None,
) -> str:
    """Digest of all that decides a training's outcome; it is in the card as ``training["key"]``."""
    data = hashlib.sha256()
    for array in (samples.x, samples.y, samples.block, *(() if target is None else (target,))):
        data.update(np.ascontiguousarray(array).tobytes())
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
    target: NDArray[np.float32] | None = None,
) -> Fitted:
    """Train, calibrate and test a model on labelled pixels. Equal arguments give equal bytes on one kind of CPU.

    classes: name of each legend code to be mapped; samples of other codes are not used. colours: #rrggbb by code.
    progress: told after every epoch of a network. hooks: what else it calls, its checkpoint among them; a forest calls
    nothing. parent: the model to go on from, which gives weights, scaling and classes. target: (m, t, f) float32,
    units as ``samples.x``, unlabelled series of a season to adapt an agrispec to. Raises InputError where samples do
    not fit the recipe or the parent, where fewer than two classes are left, where there are too few blocks, or where
    a feature was never seen in training.
    """
    _check_shapes(samples, recipe)
    if target is not None:
        _check_target(target, samples, options)
    entries, left_out = _choose_classes(samples.y, classes, options, colours or {})
    if parent:
        refuse_unlike(parent.card, recipe, options)
        entries = parent.classes(entries)
    used, y = _class_indices(samples.y, entries)
    split = deal_blocks(y, samples.block[used], options.seed, options.block_m)
    whole = within_one_part(split, samples.block[used], None if samples.near is None else samples.near[used])
    chosen = _chosen(split, whole, y, options)
    scaling = _scaling_of(parent.card) if parent else _scaling(samples.x[used[chosen["train"]]], recipe)
    parts = {
        name: Part(scale(samples.x[used[rows]], scaling.lower, scaling.upper, scaling.fill), y[rows])
        for name, rows in chosen.items()
    }
    key = training_key(samples, recipe, classes, options, colours, parent=parent, target=target)
    start = parent.weights if parent else None
    unlabelled = None if target is None else scale(target, scaling.lower, scaling.upper, scaling.fill)
    trained = _train(parts, len(entries), options, progress, key=key, hooks=hooks, start=start, target=unlabelled)
    card = _card(entries, recipe, scaling, trained, options)
    temperature = fit_temperature(_logits(card, trained.weights, parts["validation"].x), parts["validation"].y)
    p = probabilities(_logits(card, trained.weights, parts["test"].x), temperature)
    accuracy = accuracy_report(p, parts["test"].y, entries)
    notes = {**trained.notes, **({"parent": parent.digest} if parent else {}), "left_out": left_out}
    dealt = {**_split_report(split, parts, entries), "reaching_into_another_part": int((~whole).sum())}
    report = {**notes, "split": dealt, "accuracy": accuracy}
    provenance = {**card.training, **_provenance(report), "key": key}
    card = card.model_copy(update={"temperature": temperature, "training": provenance})
    golden = golden_bytes(open_model(card, trained.weights), golden_rows(samples.x[used[chosen["validation"]]]))
    return Fitted(with_golden(card, golden), trained.weights, golden, report)


def _logits(card: Card, weights: bytes, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of scaled input by the very code that will map, from the very bytes that will be written."""
    classifier = open_model(card, weights)
    return np.concatenate([classifier.logits(part) for part in portions(x)])


def _check_shapes(samples: Samples, recipe: Recipe) -> None:
    expected = (len(samples.y), recipe.steps, len(recipe.features))
    if samples.x.shape[:3] != expected or samples.block.shape != samples.y.shape or len(samples.y) == 0:
        raise InputError(
            f"samples x {samples.x.shape}, y {samples.y.shape}, block {samples.block.shape}",
            expected=f"one or more samples of {recipe.steps} steps and {len(recipe.features)} features",
            place="labels",
            remedy="check that labels overlap the area and that the season covers the recipe's steps",
        )


def _check_target(target: NDArray[np.float32], samples: Samples, options: TrainOptions) -> None:
    if options.family != "agrispec" or options.imbalance == "mixup":
        raise InputError(
            f"family {options.family} with imbalance {options.imbalance} for a target season",
            expected="agrispec, and another imbalance than mixup",
            place="model.train",
            remedy="train agrispec, or leave the target out",
        )
    if len(target) < 2 or target.shape[1:] != samples.x.shape[1:]:
        raise InputError(
            f"target series {target.shape}",
            expected=f"two or more of {samples.x.shape[1]} steps and {samples.x.shape[2]} features",
            place="model.train",
            remedy="derive them with the training's own recipe",
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


def _scaling(x: NDArray[np.float32], recipe: Recipe) -> Scaling:
    """1st and 99th percentile and median of each feature over the training part, (n, t, f) or (n, t, f, s, s) with NaN
    for missing; of squares, their middle."""
    if x.ndim == 5:
        x = x[..., x.shape[-1] // 2, x.shape[-1] // 2]
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
    start: bytes | None,
    target: NDArray[np.float32] | None,
) -> Trained:
    if options.family == "forest":
        from engine.training.trees import grow  # scikit-learn takes a second to import

        return grow(parts["train"], options)
    if options.family == "svm":
        from engine.training.support import separate

        return separate(parts["train"], options)
    from engine.training.loop import descend  # torch takes two

    train, validation = parts["train"], parts["validation"]
    return descend(train, validation, classes, options, progress, key=key, hooks=hooks, start=start, target=target)


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
) -> Card:
    return Card(
        name=options.name,
        family=options.family,
        recipe=recipe,
        classes=entries,
        lower=scaling.lower,
        upper=scaling.upper,
        fill=scaling.fill,
        mode="patch" if options.halo else "pixel",
        halo=options.halo,
        weights="model.skops" if options.family == "forest" else "model.safetensors",
        weights_sha256=hashlib.sha256(trained.weights).hexdigest(),
        weights_bytes=len(trained.weights),
        parameters=trained.parameters,
        training={"version": TRAINING_VERSION, "options": options.decisive()},
        licence=options.licence,
    )
