"""Labelled samples in, a model with its card and its accuracy out.

In order: choose the classes that have enough samples, deal blocks to training, validation and test, take percentiles
from training alone, give virtual labels where asked for, train, calibrate on validation where that helps, score on
test. What was left out is said in the report.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models.card import Card, Recipe
from engine.models.familiarity import reference_of
from engine.models.golden import golden_bytes, golden_rows, with_golden
from engine.models.package import open_model
from engine.models.scaling import probabilities, scale
from engine.training.calibrate import calibrate
from engine.training.enlarge import enlarged
from engine.training.familiar import familiarity_of
from engine.training.options import TrainOptions
from engine.training.parent import Parent
from engine.training.parts import Hooks, Part, Progress, Trained, portions
from engine.training.prepare import Prepared, prepare
from engine.training.report import accuracy_report
from engine.types import Samples, digest

TRAINING_VERSION = "training-3"
"""Raised whenever the arithmetic of training changes."""

_MOST_BETWEEN = 5_000
"""Samples of validation, and of test, at a cut-off that no epoch is judged at: a forecast of a long season has thirty
of them, and a network does some hundred samples a second."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model: what ``engine.models.write_model`` writes, and a JSON-able report for people."""

    card: Card
    weights: bytes
    golden: bytes
    """What the model made of some validation samples (``engine.models.golden``)."""
    familiarity: bytes
    """By what it tells land that is unlike the training's (``engine.models.familiarity``)."""
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
    columns = (samples.x, samples.y, samples.block, samples.near, samples.later, samples.observed, samples.origin)
    for array in (*columns, target):
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
    random = options.cascade.from_step is not None
    later, observed = samples.later if options.family == "clec" and not random else None, samples.observed
    samples = replace(samples, later=later, observed=observed if random else None)
    if target is not None:
        _check_target(target, samples, options)
    ready = prepare(samples, recipe, classes, options, colours or {}, parent=parent)
    key = training_key(samples, recipe, classes, options, colours, parent=parent, target=target)
    start, scaling = parent.weights if parent else None, ready.scaling
    unlabelled = None if target is None else scale(target, scaling.lower, scaling.upper, scaling.fill)
    train = partial(_train, options=options, key=key, start=start, target=unlabelled)
    ready, virtual = enlarged(ready, samples, recipe, options, partial(_right, train, recipe, options, hooks))
    trained = train(ready, progress=progress, hooks=hooks)
    block = samples.block[ready.rows["validation"]]
    card, accuracy = _judged(card_of(ready, recipe, trained, options), trained.weights, ready, block)
    notes = {**trained.notes, **({"parent": parent.digest} if parent else {}), **virtual, "left_out": ready.left_out}
    report = {**notes, "split": ready.dealt, **accuracy}
    card = card.model_copy(update={"training": {**card.training, **_provenance(report), "key": key}})
    familiarity, told = familiarity_of(ready.parts)
    report["familiarity"] = told
    sha256 = hashlib.sha256(familiarity).hexdigest()
    card = card.model_copy(update={"training": {**card.training, "familiarity": told}, "familiarity_sha256": sha256})
    golden = _golden(card, trained.weights, familiarity, samples, ready.rows["validation"])
    return Fitted(with_golden(card, golden), trained.weights, golden, familiarity, report)


def _judged(card: Card, weights: bytes, ready: Prepared, block: NDArray[np.int64]) -> tuple[Card, dict[str, Any]]:
    """The card calibrated on validation, and how good the model then is on test: one that takes several cut-offs at
    each of them, so that a map of any day has a temperature and an accuracy of its own; the whole season last.

    block: of the validation samples. Where cut-offs are many, those that no epoch was judged at are looked at on
    ``_MOST_BETWEEN`` samples of each part.
    """
    validation, test = ready.parts["validation"], ready.parts["test"]
    cut_offs: Sequence[int | None] = [None] if test.seasons is None else test.seasons.tested_at
    found, temperatures = [], []
    for steps in cut_offs:
        known, rows = _known(validation, steps)
        calibration = calibrate(_logits(card, weights, known), validation.y[rows], block[rows])
        temperatures.append(calibration.temperature)
        logits, y = _of_test(card, weights, ready, steps)
        p, raw = (probabilities(logits, t) for t in (calibration.temperature, 1.0))
        at = {} if steps is None else {"steps": steps, "last_day": card.recipe.last_day(steps)}
        report = accuracy_report(p, y, ready.entries, ready.unknown, raw=raw)
        found.append({**at, **report, "calibration": calibration.told()})
    own: dict[str, Any] = {"temperature": temperatures[-1]}
    if test.seasons is None:
        return card.model_copy(update=own), {"accuracy": found[-1]}
    own["temperatures"] = tuple(zip(test.seasons.tested_at, temperatures, strict=True))
    return card.model_copy(update=own), {"accuracy": found[-1], "cut_offs": found}


def _of_test(
    card: Card, weights: bytes, ready: Prepared, steps: int | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits (n, k) and class indices (n,) of the test part, and after it of the samples of classes that the model does
    not know; where the part is looked at on some samples, on as large a share of these."""
    test, strangers = ready.parts["test"], ready.strangers
    x, rows = _known(test, steps)
    logits, y = _logits(card, weights, x), test.y[rows]
    if not len(strangers.y):
        return logits, y
    x, others = _known(strangers, steps, max(1, round(len(strangers.y) * len(rows) / len(test.y))))
    return np.concatenate([logits, _logits(card, weights, x)]), np.concatenate([y, strangers.y[others]])


def _known(part: Part, steps: int | None, most: int = _MOST_BETWEEN) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """What was known of a part's samples after so many steps, None: all; and which samples these are."""
    rows = np.arange(len(part.y))
    if steps is None or part.seasons is None:
        return part.x, rows
    if steps not in part.seasons.judged_at and len(rows) > most:
        rows = np.linspace(0, len(rows) - 1, most).round().astype(np.intp)
    return part.seasons.early(steps, rows), rows


def _golden(card: Card, weights: bytes, familiarity: bytes, samples: Samples, rows: NDArray[np.intp]) -> bytes:
    """The golden pair of some of these samples, at the first cut-off that the model takes."""
    early, x = card.cut(card.takes[0]), samples.x[rows]
    if samples.observed is not None:
        from engine.features import derive_series  # brings Numba along

        x = derive_series(samples.observed[rows], early.recipe)
    return golden_bytes(open_model(early, weights), golden_rows(x), reference_of(familiarity, early, "training"))


def _logits(card: Card, weights: bytes, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of scaled input by the very code that will map, from the very bytes that will be written."""
    classifier = open_model(card.cut(x.shape[1]), weights)
    return np.concatenate([classifier.logits(part) for part in portions(x)])


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


def _train(
    ready: Prepared,
    *,
    options: TrainOptions,
    progress: Progress | None = None,
    key: str,
    hooks: Hooks | None,
    start: bytes | None,
    target: NDArray[np.float32] | None,
) -> Trained:
    if options.family == "forest":
        from engine.training.trees import grow  # scikit-learn takes a second to import

        return grow(ready.parts["train"], options)
    if options.family == "svm":
        from engine.training.support import separate

        return separate(ready.parts["train"], options)
    from engine.training.loop import descend  # torch takes two

    train, validation, classes = ready.parts["train"], ready.parts["validation"], len(ready.entries)
    return descend(train, validation, classes, options, progress, key=key, hooks=hooks, start=start, target=target)


def _right(
    train: Callable[..., Trained], recipe: Recipe, options: TrainOptions, hooks: Hooks | None, ready: Prepared
) -> NDArray[np.bool_]:
    """Which validation samples a model trained on this training part gets right. It leaves no checkpoint."""
    trained = train(ready, hooks=hooks and replace(hooks, checkpoint=None))
    validation = ready.parts["validation"]
    logits = _logits(card_of(ready, recipe, trained, options), trained.weights, validation.x)
    return np.asarray(logits.argmax(axis=1) == validation.y)


def _provenance(report: Mapping[str, Any]) -> dict[str, Any]:
    """What of the report goes into the card: the split and the headline accuracies."""
    names = (
        "steps", "last_day", "samples", "unknown_share", "overall_accuracy", "kappa", "macro_f1",
        "expected_calibration_error", "calibration",
    )  # fmt: skip

    def headline(accuracy: Mapping[str, Any]) -> dict[str, Any]:
        known = accuracy["of_known_classes"]
        found, inner = ({name: each[name] for name in names if name in each} for each in (accuracy, known))
        return found | {"of_known_classes": inner}

    return {
        **{name: report[name] for name in ("parent",) if name in report},
        "split": report["split"],
        "accuracy": headline(report["accuracy"]),
        "calibration": report["accuracy"]["calibration"],
        **({"cut_offs": [headline(row) for row in report["cut_offs"]]} if "cut_offs" in report else {}),
        "left_out": [row["code"] for row in report["left_out"]],
    }


def card_of(ready: Prepared, recipe: Recipe, trained: Trained, options: TrainOptions) -> Card:
    """The card of a model before it is calibrated and judged."""
    scaling, later = ready.scaling, ready.parts["train"].later
    return Card(
        name=options.name,
        family=options.family,
        recipe=recipe,
        classes=ready.entries,
        lower=scaling.lower,
        upper=scaling.upper,
        fill=scaling.fill,
        mode="patch" if options.halo else "pixel",
        halo=options.halo,
        weights="model.skops" if options.family == "forest" else "model.safetensors",
        weights_sha256=hashlib.sha256(trained.weights).hexdigest(),
        weights_bytes=len(trained.weights),
        later_steps=0 if later is None else later.shape[1],
        variant=options.cascade.variant,
        from_step=options.cascade.from_step,
        mask_channel=options.cascade.mask_channel,
        parameters=trained.parameters,
        training={"version": TRAINING_VERSION, "options": options.decisive()},
        licence=options.licence,
    )
