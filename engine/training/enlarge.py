"""The training part enlarged by virtual labels. Scaling, sub-classes, components and thresholds know nothing but it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models.card import Recipe
from engine.models.scaling import scale
from engine.training.options import TrainOptions
from engine.training.parts import Part, Scaling
from engine.training.prepare import Prepared, part_of
from engine.training.subclasses import sub_classes
from engine.training.virtual import REJECTED, fit_views, learn_rules, vote
from engine.training.virtual_options import VirtualOptions
from engine.types import Samples

Judge = Callable[[Prepared], NDArray[np.bool_]]
"""Trains on a training part; tells which validation samples the model gets right, (n,) bool."""

SUBSETS = 10
_ROUNDING = 1e-9
"""One sample more gained is just one standard error: rounding shall not keep it."""


@dataclass(frozen=True, slots=True)
class Likes:
    """Unlabelled samples and what they were voted to be. rows: (n,) indices of the samples, in order. y: (n,) int64
    class indices. margin: (n,) float64."""

    rows: NDArray[np.intp]
    y: NDArray[np.int64]
    margin: NDArray[np.float64]


def enlarged(
    ready: Prepared, samples: Samples, recipe: Recipe, options: TrainOptions, judge: Judge
) -> tuple[Prepared, dict[str, Any]]:
    """``ready`` with virtual labels behind its training part, and what the report says of them; as it is where they
    were not asked for. Raises InputError where no sample could get one."""
    if options.virtual is None:
        return ready, {}
    if not len(ready.unlabelled):
        raise InputError(
            "not one unlabelled pixel, seen and outside the blocks of validation and test",
            expected="some, to give virtual labels to",
            place="model.train.virtual",
            remedy="labels that leave pixels of the area and mask free, smaller blocks, or no virtual labels",
        )
    found, groups = alike(ready, samples, recipe, options.virtual, options.seed)
    likes = _thinned(found, options.virtual.wanted(len(ready.rows["train"])), options.seed)
    told: dict[str, Any] = {"drawn": len(ready.unlabelled), "accepted": len(found.rows)}
    if options.virtual.accept == "gain":
        likes, told["subsets"] = gaining(ready, samples, likes, judge, options.seed)
    return grown(ready, samples, likes), {"virtual": {**told, **_told(ready, likes, groups)}}


def alike(
    ready: Prepared, samples: Samples, recipe: Recipe, options: VirtualOptions, seed: int
) -> tuple[Likes, list[int]]:
    """The unlabelled samples that vote for a class, and the number of each class' sub-classes."""
    train = ready.parts["train"]
    seen = _middle(train.x)
    views = fit_views(seen, recipe.features)
    blocks = views.of(seen)
    member = sub_classes(np.concatenate(blocks, axis=1), train.y, options.criterion, seed)
    rules = learn_rules(blocks, train.y, member, scale=options.threshold_scale, quantile=options.quantile)
    voted = vote(rules, views.of(_scaled(_middle(samples.x)[ready.unlabelled], ready.scaling)))
    kept = voted.label != REJECTED
    groups = [int((rules.label == label).sum()) for label in range(len(ready.entries))]
    return Likes(ready.unlabelled[kept], voted.label[kept], voted.margin[kept]), groups


def gaining(
    ready: Prepared, samples: Samples, likes: Likes, judge: Judge, seed: int
) -> tuple[Likes, list[dict[str, Any]]]:
    """Those of ten subsets by which validation gains, and the log of all (VTL*).

    Each is tried with the ones kept before it, from the same start and on the same budget. The source keeps it where
    accuracy rises, which with some hundred samples is chance as often as not; here the gain must exceed one standard
    error of the paired difference. Test samples have no say.
    """
    number, log = subsets(likes.y, seed), []
    taken = np.zeros(len(likes.y), np.bool_)
    before = judge(ready)
    for subset in range(SUBSETS):
        tried = taken | (number == subset)
        if not (number == subset).any():
            continue
        after = judge(grown(ready, samples, _some(likes, tried)))
        gain, error = paired_gain(before, after)
        kept = gain > error * (1 + _ROUNDING)
        if kept:
            taken, before = tried, after
        log.append(
            {"subset": subset, "samples": int((number == subset).sum()), "gain": round(gain, 6),
             "standard_error": round(error, 6), "kept": kept}
        )  # fmt: skip
    return _some(likes, taken), log


def subsets(y: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The subset (n,) int64, 0 to 9, of each sample: equal numbers, and of each class as equal as can be, at random."""
    order = np.lexsort((np.random.default_rng(seed).random(len(y)), y))
    number = np.empty(len(y), np.int64)
    number[order] = np.arange(len(y)) % SUBSETS
    return number


def paired_gain(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> tuple[float, float]:
    """By how much more of the same samples (n,) are right, and the standard error of it."""
    difference = after.astype(np.float64) - before
    return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference)))


def grown(ready: Prepared, samples: Samples, likes: Likes) -> Prepared:
    """``ready`` with these samples behind its training part."""
    own, more = ready.parts["train"], part_of(samples, likes.rows, likes.y, ready.scaling)
    later = None if own.later is None or more.later is None else np.concatenate([own.later, more.later])
    train = Part(np.concatenate([own.x, more.x]), np.concatenate([own.y, more.y]), later)
    rows = {**ready.rows, "train": np.concatenate([ready.rows["train"], likes.rows])}
    return replace(ready, rows=rows, parts={**ready.parts, "train": train})


def _thinned(likes: Likes, most: int, seed: int) -> Likes:
    if len(likes.rows) <= most:
        return likes
    return _some(likes, np.sort(np.random.default_rng(seed).choice(len(likes.rows), most, replace=False)))


def _some(likes: Likes, which: NDArray) -> Likes:
    return Likes(likes.rows[which], likes.y[which], likes.margin[which])


def _middle(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Series of the middle pixels of squares; series as they are."""
    return x[..., x.shape[-2] // 2, x.shape[-1] // 2] if x.ndim == 5 else x


def _scaled(x: NDArray[np.float32], scaling: Scaling) -> NDArray[np.float32]:
    return scale(x, scaling.lower, scaling.upper, scaling.fill)


def _told(ready: Prepared, likes: Likes, groups: list[int]) -> dict[str, Any]:
    """What the report says of the virtual labels that are trained on."""
    labelled, virtual = (np.bincount(y, minlength=len(ready.entries)) for y in (ready.parts["train"].y, likes.y))
    return {
        "trained_on": len(likes.rows),
        "mean_margin": round(float(likes.margin.mean()), 6) if len(likes.rows) else None,
        "classes": [
            {"code": entry.code, "name": entry.name, "sub_classes": m, "labelled": int(own), "virtual": int(more)}
            for entry, m, own, more in zip(ready.entries, groups, labelled, virtual, strict=True)
        ],
    }
