"""Which labelled pixels may judge a model: only those that it never saw.

The blocks are dealt again as the training dealt them, and what comes out must be what the card says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models import Card
from engine.samples import chosen
from engine.train import TrainRequest, collect
from engine.training.prepare import deal
from engine.types import Samples


@dataclass(frozen=True, slots=True)
class Judges:
    """Labelled pixels that a model is judged by. y: (n,) int64 indices into the card's classes."""

    samples: Samples
    y: NDArray[np.int64]
    held_out: bool
    """Whether they are the test blocks of the model's own training; else all that labels give."""
    left_out: tuple[dict[str, Any], ...]
    """Codes that the model does not know, with their numbers of pixels."""


def judges(request: TrainRequest, card: Card, *, foreign: bool) -> Judges:
    """The labelled pixels that may judge the model of ``card``.

    Where dealing the labels' blocks gives the very parts that the card tells of, these are the training's labels, and
    what of its test part is of the job's own season is returned: a map is judged in its year. Other labels are returned
    whole if ``foreign`` says that they are meant to be others. Raises InputError where they are not, where no label is
    of a class the model knows, or where the whole test part is of other seasons.
    """
    samples = collect(replace(request, options=request.options.model_copy(update={"virtual": None})))
    codes = np.array([entry.code for entry in card.classes])
    order = np.argsort(codes)
    known = np.isin(samples.y, codes)
    unknown, counts = np.unique(samples.y[~known], return_counts=True)
    left_out = tuple(
        {"code": int(c), "name": request.coding.name_of(int(c)), "samples": int(n)}
        for c, n in zip(unknown, counts, strict=True)
    )
    if not known.any():
        raise InputError(
            f"codes {unknown.tolist()[:10]}, none of which the model knows",
            expected=f"some of {sorted(codes.tolist())[:10]}",
            place=str(request.labels.uri),
            remedy="give labels in the codes of the model's own legend",
        )
    samples = chosen(samples, known)
    y = order[np.searchsorted(codes, samples.y, sorter=order)].astype(np.int64)
    test = _test_part(samples, y, request, card)
    if test is None and not foreign:
        raise InputError(
            "these labels and this cube do not deal into the parts that the model's card tells of",
            expected="the labels and the cube that the model was trained from: else it is not known what it has seen",
            place=str(request.labels.uri),
            remedy="train anew (tilth submit), or name labels it never saw with --labels",
        )
    if test is None:
        return Judges(samples, y, False, left_out)
    if samples.origin is not None:
        test = test[samples.origin["number"][test] == 0]
    if not len(test):
        raise InputError(
            "the training's test part is of other seasons than the map",
            expected="labels of the map's own season that the model never saw",
            place="labels",
            remedy="name some with --labels, or points to estimate from with --sample",
        )
    return Judges(chosen(samples, test), y[test], True, left_out)


def drawn(by: Judges, most: int, seed: int) -> Judges:
    """All of them, or ``most`` drawn at random, in order."""
    rows = some(len(by.y), most, seed)
    return Judges(chosen(by.samples, rows), by.y[rows], by.held_out, by.left_out)


def some(count: int, most: int, seed: int) -> NDArray[np.intp]:
    """Row numbers in order: all, or ``most`` drawn at random."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def _test_part(samples: Samples, y: NDArray[np.int64], request: TrainRequest, card: Card) -> NDArray[np.intp] | None:
    """The rows of the test part as the training dealt it; None where the parts are not those of the card."""
    told = card.training.get("split")
    try:
        split, rows, _ = deal(samples, np.arange(len(y)), y, request.options)
    except InputError:
        return None
    if not told or (told["seed"], told.get("sha256")) != (split.seed, split.sha256):
        return None
    found = {name: (blocks, len(rows[name])) for name, blocks in zip(split.parts, split.blocks, strict=True)}
    return rows["test"] if all((told[n]["blocks"], told[n]["samples"]) == found[n] for n in found) else None
