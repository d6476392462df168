"""How models meet on real labels: chosen on validation blocks of what is learnt from, asked once about the test.

The samples to learn from are dealt to five folds of whole blocks. A candidate is trained on three of them, its epoch
chosen on a fourth, and asked about the fifth, by turns; the candidate with the best macro-F1 on what it was so asked is
chosen. A forest or a support vector machine has no epochs to choose and learns from the fourth fold too. The chosen one
is then trained anew, a network again without the fold that chooses its epoch, and asked about the test samples. Their
labels are never handed to what chooses or trains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.accuracy import Scores, confusion, score
from engine.models import Card, Recipe, open_model
from engine.training import TrainOptions
from engine.training.blocks import TEST, VALIDATION, Split, within_one_part
from engine.training.fit import card_of
from engine.training.legend import class_entries
from engine.training.loop import descend
from engine.training.parts import Part, Trained
from engine.training.prepare import Prepared, part_of, percentiles
from engine.training.support import separate
from engine.training.trees import grow
from engine.types import Samples, digest
from tests.bench.real_sets import Given

Ask = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""Series (m, t, f) as given -> class indices (m,)."""

FOLDS = 5
_ATTEMPTS = 100
_HELD = 3
"""Folds that must hold a class, so that three folds without two others always do."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to make a model."""

    name: str
    options: TrainOptions
    every: int = 1
    """It takes each so many steps of the series."""
    features: tuple[str, ...] = ()
    """Features it takes; empty: all."""

    @property
    def descends(self) -> bool:
        """Whether it has epochs."""
        return self.options.family not in ("forest", "svm")

    def recipe(self, given: Recipe) -> Recipe:
        """What it takes of series of this recipe."""
        steps = len(range(0, given.steps, self.every))
        own = {"steps": steps, "step_days": given.step_days * self.every, "features": self.features or given.features}
        return given.model_copy(update=own)

    def seen(self, x: NDArray[np.float32], given: Recipe) -> NDArray[np.float32]:
        """That of x (n, t, f)."""
        features = [given.features.index(name) for name in self.recipe(given).features]
        return np.ascontiguousarray(x[:, :: self.every, features])

    def taken(self, samples: Samples, given: Recipe) -> Samples:
        """That of samples; with the steps to come where it forecasts them, which it does of whole series alone."""
        later = samples.later if self.options.family == "clec" else None
        assert later is None or (self.every == 1 and not self.features), f"{self.name} forecasts parts of a series"
        return replace(samples, x=self.seen(samples.x, given), later=later)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the candidate chosen from a group says of the test samples."""

    chosen: Candidate
    mapped: NDArray[np.int64]
    """(seeds, m) class indices."""


@dataclass(frozen=True, slots=True)
class Contest:
    """The outcome of one test: scores on validation by candidate, and the answer of each group."""

    validation: Mapping[str, Scores]
    answers: Mapping[str, Answer]


def contest(
    given: Given,
    test: NDArray[np.bool_],
    groups: Mapping[str, Sequence[Candidate]],
    seeds: int,
    turns: int = FOLDS,
    *,
    left_out: NDArray[np.bool_] | None = None,
) -> Contest:
    """Choose one candidate of each group on the samples outside ``test``, and ask it about those inside.

    test: (n,) bool. Candidates of one name are one. seeds: trainings of each chosen candidate. turns: how many of the
    folds are asked about in choosing. left_out: (n,) bool, samples outside the test that are not learnt from either.
    ValueError where blocks are too few for folds.
    """
    learn = given.of(~test if left_out is None else ~test & ~left_out)
    asked = given.samples.x[test]  # from here on labels of the test are out of reach
    fold = folds(learn.samples.y, learn.samples.block)
    distinct = {candidate.name: candidate for group in groups.values() for candidate in group}
    validation = {name: validated(learn, fold, candidate, turns) for name, candidate in distinct.items()}
    best = {
        group: max(candidates, key=lambda candidate: validation[candidate.name].macro_f1)
        for group, candidates in groups.items()
    }
    mapped = {
        one.name: np.stack([_finished(learn, fold, one, seed)(asked) for seed in range(seeds)])
        for one in {one.name: one for one in best.values()}.values()
    }
    return Contest(validation, {group: Answer(one, mapped[one.name]) for group, one in best.items()})


def folds(y: NDArray[np.integer], block: NDArray[np.int64]) -> NDArray[np.int64]:
    """The fold 0 to 4 of each sample: whole blocks, classes as evenly as blocks allow, every class in three or more.

    y: (n,) class indices. block: (n,) block numbers. Equal input gives equal folds. ValueError where no deal tried has
    every class in three folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    for seed in range(_ATTEMPTS):
        fold = np.empty(len(y), np.int64)
        dealer = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        for number, (_, held_out) in enumerate(dealer.split(np.zeros(len(y)), y, block)):
            fold[held_out] = number
        if all(len(np.unique(fold[y == code])) >= _HELD for code in np.unique(y)):
            return fold
    raise ValueError(f"no deal of {len(np.unique(block))} blocks has every class in {_HELD} of {FOLDS} folds")


def split_by(
    block: NDArray[np.int64], train: NDArray[np.bool_], validation: NDArray[np.bool_], test: NDArray[np.bool_]
) -> Split:
    """The split of samples whose blocks (n,) were dealt so; each block lies in one part."""
    places, at = np.unique(block, return_inverse=True)
    of_place = np.zeros(len(places), np.int8)
    of_place[at[validation]], of_place[at[test]] = VALIDATION, TEST
    train_blocks, validation_blocks, test_blocks = (len(np.unique(at[part])) for part in (train, validation, test))
    counts = train_blocks, validation_blocks, test_blocks
    return Split(train, validation, test, counts, 0, digest([places.tolist(), of_place.tolist()]), places, of_place)


def whole_in(split: Split, block: NDArray[np.int64], near: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    """(n,) bool, False for a sample whose square touches labels of another part."""
    return within_one_part(split, block, near, np.zeros(len(block), np.int8))


def validated(learn: Given, fold: NDArray[np.int64], candidate: Candidate, turns: int) -> Scores:
    """How good the candidate is on the folds it is asked about, all of them together."""
    mapped = np.full(len(fold), -1, np.int64)
    for turn in range(turns):
        asked, stop = fold == turn, fold == (turn + 1) % FOLDS
        mapped[asked] = fitted(learn, ~(asked | stop), stop, candidate)(learn.samples.x[asked])
    known = mapped >= 0
    return score(confusion(mapped[known], learn.samples.y[known], len(learn.names)))


def _finished(learn: Given, fold: NDArray[np.int64], candidate: Candidate, seed: int) -> Ask:
    """The chosen candidate, trained on all folds; of a network one fold chooses the epoch, with each seed another."""
    stop = fold == seed % FOLDS
    return fitted(learn, ~stop, stop, candidate, seed)


def fitted(given: Given, learn: NDArray[np.bool_], stop: NDArray[np.bool_], candidate: Candidate, seed: int = 0) -> Ask:
    """What ``trained`` gives, ready to be asked."""
    model = open_model(*trained(given, learn, stop, candidate, seed))
    return lambda asked: model.predict(candidate.seen(asked, given.recipe)).argmax(axis=1)


def trained(
    given: Given, learn: NDArray[np.bool_], stop: NDArray[np.bool_], candidate: Candidate, seed: int = 0
) -> tuple[Card, bytes]:
    """Card and weights of the candidate trained on the samples ``learn``, its epoch chosen on ``stop``; one without
    epochs is trained on both. Every class must be among what it is trained on."""
    recipe = candidate.recipe(given.recipe)
    options = candidate.options.model_copy(update={"seed": seed})
    samples = candidate.taken(given.samples, given.recipe)
    y = samples.y.astype(np.int64)
    rows = learn if candidate.descends else learn | stop
    scaling = percentiles(samples, np.flatnonzero(rows), recipe)
    train, validation = (part_of(samples, np.flatnonzero(own), y[own], scaling) for own in (rows, stop))
    made = _trained(train, validation, len(given.names), options)
    entries = class_entries(range(len(given.names)), dict(enumerate(given.names)))
    none = Part(train.x[:0], train.y[:0])
    ready = Prepared(entries, [], scaling, {}, {"train": train}, {}, np.zeros(0, np.intp), none, ())
    return card_of(ready, recipe, made, options), made.weights


def _trained(learn: Part, stop: Part, classes: int, options: TrainOptions) -> Trained:
    if options.family == "forest":
        return grow(learn, options)
    return separate(learn, options) if options.family == "svm" else descend(learn, stop, classes, options)
