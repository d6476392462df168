"""Which labelled pixels may judge a model: only those that it never saw.

The blocks are dealt again as the training dealt them, and what comes out must be what the card says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models import Card
from engine.samples import chosen
from engine.train import TrainRequest, collect
from engine.training.classes import class_indices
from engine.training.prepare import deal
from engine.training.unknown import Unknown, judged_with_test, numbered
from engine.types import Samples


@dataclass(frozen=True, slots=True)
class Judges:
    """Labelled pixels that a model is judged by. y: (n,) int64 indices into the card's classes, then into ``unknown``:
    whatever the model calls these is an error."""

    samples: Samples
    y: NDArray[np.int64]
    held_out: bool
    """Whether they are the test blocks of the model's own training; else all that labels give."""
    unknown: tuple[Unknown, ...] = ()
    """Classes of the labels that the model does not know."""
    seen: NDArray[np.int64] | None = None
    """Of parcels, the numbers of all labelled ones of the map's season that have data, whichever part they are of."""

    def columns(self, card: Card) -> list[Column]:
        """What the indices of ``y`` stand for."""
        known = [Column(entry.code, entry.name, entry.colour, True) for entry in card.classes]
        return [*known, *(Column(one.code, one.name, UNKNOWN_COLOUR, False) for one in self.unknown)]


@dataclass(frozen=True, slots=True)
class Column:
    """A class of the reference. known: whether the model knows it, so that the map may say it."""

    code: int | None
    name: str
    colour: str
    known: bool


UNKNOWN_COLOUR = "#9aa19d"


def judges(request: TrainRequest, card: Card, *, foreign: bool) -> Judges:
    """The labelled pixels that may judge the model of ``card``, those of classes that it does not know among them.

    Where dealing the labels' blocks gives the very parts that the card tells of, these are the training's labels, and
    what of its test part is of the job's own season is returned: a map is judged in its year. Other labels are returned
    whole if ``foreign`` says that they are meant to be others. Raises InputError where they are not, where no label is
    of a class the model knows, or where the whole test part is of other seasons.
    """
    samples = collect(replace(request, options=request.options.model_copy(update={"virtual": None})))
    codes = np.array([entry.code for entry in card.classes])
    known = np.isin(samples.y, codes)
    if not known.any():
        raise InputError(
            f"codes {np.unique(samples.y).tolist()[:10]}, none of which the model knows",
            expected=f"some of {sorted(codes.tolist())[:10]}",
            place=str(request.labels.uri),
            remedy="give labels in the codes of the model's own legend",
        )
    test = _test_part(samples, known, request, card)
    if test is None and not foreign:
        raise InputError(
            "these labels and this cube do not deal into the parts that the model's card tells of",
            expected="the labels and the cube that the model was trained from: else it is not known what it has seen",
            place=str(request.labels.uri),
            remedy="train anew (tilth submit), or name labels it never saw with --labels",
        )
    held_out, rows = test is not None, np.arange(len(known)) if test is None else test
    if held_out and samples.origin is not None:
        rows = rows[samples.origin["number"][rows] == 0]
    if not len(rows):
        raise InputError(
            "the training's test part is of other seasons than the map",
            expected="labels of the map's own season that the model never saw",
            place="labels",
            remedy="name some with --labels, or points to estimate from with --sample",
        )
    mine = slice(None) if samples.origin is None else samples.origin["number"] == 0
    seen = None if samples.parcel is None else samples.parcel[mine]
    samples = chosen(samples, rows)
    y, unknown = _indexed(request, samples, card)
    return Judges(samples, y, held_out, unknown, seen)


def _indexed(request: TrainRequest, samples: Samples, card: Card) -> tuple[NDArray[np.int64], tuple[Unknown, ...]]:
    """Class index of each sample, and what those beyond the card's classes are, by the legend's names."""
    used, known = class_indices(samples.y, card.classes)
    others = np.delete(np.arange(len(samples.y)), used)
    y = np.empty(len(samples.y), np.int64)
    y[used] = known
    codes = map(int, np.unique(samples.y[others]))
    names = {code: name for code in codes if (name := request.coding.name_of(code))}
    y[others], unknown = numbered(samples.y[others], len(card.classes), names)
    return y, unknown


def drawn(by: Judges, most: int, seed: int) -> Judges:
    """All of them, or ``most`` drawn at random, in order."""
    return kept(by, some(len(by.y), most, seed))


def kept(by: Judges, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Judges:
    """Some of them, by mask or by number."""
    return replace(by, samples=chosen(by.samples, rows), y=by.y[rows])


def some(count: int, most: int, seed: int) -> NDArray[np.intp]:
    """Row numbers in order: all, or ``most`` drawn at random."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def _test_part(
    samples: Samples, known: NDArray[np.bool_], request: TrainRequest, card: Card
) -> NDArray[np.intp] | None:
    """The rows of the test part as the training dealt it, with those of classes it did not train in the same
    proportion; None where the parts are not those of the card."""
    told = card.training.get("split")
    used, y = class_indices(samples.y, card.classes)
    try:
        split, rows, _ = deal(samples, used, y, request.options)
    except InputError:
        return None
    if not told or (told["seed"], told.get("sha256")) != (split.seed, split.sha256):
        return None
    found = {name: (blocks, len(rows[name])) for name, blocks in zip(split.parts, split.blocks, strict=True)}
    if any((told[n]["blocks"], told[n]["samples"]) != found[n] for n in found):
        return None
    others, test = np.flatnonzero(~known), used[rows["test"]]
    return np.sort(
        np.concatenate([test, judged_with_test(samples, others, split, request.options.seed, drawn=len(test))])
    )
