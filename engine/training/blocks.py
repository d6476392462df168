"""Spatial blocks dealt to training, validation and test, and seasons and regions that are held for one of them.

Neighbouring pixels are alike, so pixels dealt at random would be tested on their own fields. Whole blocks are dealt
instead, three fifths to training and one each to validation and test, classes as evenly as blocks allow
(scikit-learn's StratifiedGroupKFold, tried with several seeds). Where validation or test is a season or a region, it
is that alone, and the blocks are dealt to the other parts.

Rotation changes the crop of a place, not its soil and its fields. So a block is dealt once for all seasons, and a
sample whose own part comes before that of its place (training, validation, test) is left out: nothing is learnt from,
and no epoch chosen on, a place that is held out, not even in another season. A season that is held out as a whole is
the exception: its samples may lie where other seasons are learnt from. That is what leaving a year out asks: how good
is the model on known ground in a year it never saw? A sample that both a season and a region hold is of the later part.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.types import digest

FOLDS = 5
ATTEMPTS = 10
NONE, TRAIN, VALIDATION, TEST = range(-1, 3)
"""Parts of the split as numbers, as ORIGIN holds them; what is of NONE is left out."""


@dataclass(frozen=True, slots=True)
class Split:
    """Which samples train, validate and test. train, validation, test: (n,) bool, disjoint; without seasons and regions
    that are held, together all True."""

    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    test: NDArray[np.bool_]
    blocks: tuple[int, int, int]
    """Number of blocks in each part."""
    seed: int
    """The seed of the best attempt."""
    sha256: str
    """Digest of which block lies in which part: equal for models trained and tested on the same ground."""
    places: NDArray[np.int64]
    """(b,) the blocks, in order."""
    of_place: NDArray[np.int8]
    """(b,) the part of each, whatever the season."""

    @property
    def parts(self) -> dict[str, NDArray[np.bool_]]:
        """The three parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def deal_blocks(
    y: NDArray[np.integer], block: NDArray[np.int64], seed: int, block_m: float, origin: NDArray[np.void] | None = None
) -> Split:
    """Deal blocks to the three parts; of ``ATTEMPTS`` seeds and all uses of their folds the best spread of classes.

    Best is: no class missing in training, then in test, then in validation, then the smallest deviation of a class'
    share in a part from its share in all samples that are dealt. Equal input gives an equal split.

    y: (n,) class indices. block: (n,) block numbers. block_m: side of a block, for the error. origin: (n,) ORIGIN, what
    seasons and regions are held for; None: nothing. Raises InputError where there are fewer than five blocks to deal,
    no deal gives every class to training, or a part is left without a block.
    """
    places, at = np.unique(block, return_inverse=True)
    by_season, by_region = held_for(origin, len(y))
    regional = np.zeros(len(places), np.int8)
    np.maximum.at(regional, at, by_region)
    free, held = to_deal(block, origin), np.maximum(by_season, by_region)
    asked = [part for part in (VALIDATION, TEST) if not (held == part).any()]
    dealt, number = np.zeros(len(places), np.int8), seed
    if asked:
        own, inverse = np.unique(at[free], return_inverse=True)
        number, dealt[own] = _best_deal(y[free], inverse, asked, seed, block_m)
    of_place = np.maximum(regional, dealt)
    part = np.where(free, dealt[at], held)
    part = np.where(part < of_place[at], NONE, part)
    train, validation, test = (part == which for which in (TRAIN, VALIDATION, TEST))
    blocks = (_count(block[train]), _count(block[validation]), _count(block[test]))
    _refuse_gaps(y, part, blocks, _remedy(block_m))
    ground = [places.tolist(), of_place.tolist()]
    whose = [] if origin is None else [np.unique(origin[["season", "region", "by_season", "by_region"]]).tolist()]
    return Split(train, validation, test, blocks, number, digest(ground + whose), places, of_place)


def held_for(origin: NDArray[np.void] | None, count: int) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """The part that each sample is held for by its season, and by its region, (n,) int8; 0 = by none."""
    if origin is None:
        return np.zeros(count, np.int8), np.zeros(count, np.int8)
    return origin["by_season"], origin["by_region"]


def to_deal(block: NDArray[np.int64], origin: NDArray[np.void] | None) -> NDArray[np.bool_]:
    """(n,) bool, True for a sample that no season holds, in a block that no held-out region cuts."""
    by_season, by_region = held_for(origin, len(block))
    return (by_season == TRAIN) & ~np.isin(block, block[by_region != TRAIN])


def _best_deal(
    y: NDArray[np.integer], block_index: NDArray[np.intp], asked: Sequence[int], seed: int, block_m: float
) -> tuple[int, NDArray[np.int64]]:
    """The seed and the part of each block, blocks dealt to training and to the parts ``asked`` for."""
    groups = int(block_index.max()) + 1 if len(y) else 0
    refuse_few_blocks(groups, block_m)
    counts = np.zeros((groups, int(y.max()) + 1), np.int64)
    np.add.at(counts, (block_index, y), 1)
    deals = [
        (_quality(counts, part, asked), number, uses, part)
        for number, folds in _attempts(y, block_index, seed)
        for uses in permutations(range(FOLDS), len(asked))  # which fold serves for what is free as well
        for part in [_parts(folds, uses, asked)]
    ]
    _, number, _, part = min(deals, key=lambda deal: deal[:-1])
    return number, part


def _refuse_gaps(y: NDArray[np.integer], part: NDArray[np.int8], blocks: tuple[int, int, int], remedy: str) -> None:
    missing = len(np.setdiff1d(y, y[part == TRAIN]))
    if missing or 0 in blocks:
        raise InputError(
            f"{blocks[0]}, {blocks[1]} and {blocks[2]} blocks in training, validation and test at best, {missing} "
            "classes missing in training",
            expected="every class in training, and a block or more for validation and test",
            place="labels",
            remedy=remedy,
        )


def tally(
    y: NDArray[np.integer], block: NDArray[np.int64]
) -> tuple[NDArray[np.integer], NDArray[np.int64], NDArray[np.int64]]:
    """Codes (k,) and blocks (g,) that occur, ascending, and how many samples of each code lie in each block, (k, g).

    y, block: (n,), the code and the block of each sample.
    """
    codes, kind = np.unique(y, return_inverse=True)
    blocks, place = np.unique(block, return_inverse=True)
    counts = np.bincount(kind * len(blocks) + place, minlength=len(codes) * len(blocks))
    return codes, blocks, counts.reshape(len(codes), len(blocks))


def refuse_few_blocks(blocks: int, block_m: float) -> None:
    """InputError where so many blocks of this side are too few to be dealt."""
    if blocks < FOLDS:
        raise InputError(
            f"labels in {blocks} spatial blocks",
            expected=f"{FOLDS} or more, to deal to training, validation and test",
            place="labels",
            remedy=_remedy(block_m),
        )


def _remedy(block_m: float) -> str:
    return f"smaller blocks (labels.block_m, now {block_m:g} m) or labels from a larger area"


def _count(block: NDArray[np.int64]) -> int:
    return len(np.unique(block))


def within_one_part(
    split: Split, block: NDArray[np.int64], near: NDArray[np.int64] | None, by_season: NDArray[np.int8]
) -> NDArray[np.bool_]:
    """(n,) bool, False for a sample near which there are labels of a block of another part.

    block: (n,) block of each sample. near: (n, m) blocks that its square, or its border, touches, 0 = none; None
    without either. by_season: (n,) the part its whole season is held for.
    """
    if near is None:
        return np.ones(len(block), np.bool_)
    at = np.searchsorted(split.places, near).clip(max=len(split.places) - 1)
    around = np.maximum(split.of_place[at], by_season[:, None])
    own = np.maximum(split.of_place[np.searchsorted(split.places, block)], by_season)
    foreign = (split.places[at] == near) & (around != own[:, None])
    return ~foreign.any(axis=1)


def off_held_out(split: Split, place: NDArray[np.int64], near: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    """(n,) bool, True for a pixel that neither lies in a block of validation or test nor touches one; blocks that were
    not dealt are free.

    place: (n,) block of each pixel. near: (n, s) blocks that its square, or its border, touches; None without either.
    """
    touched = place[:, None] if near is None else np.column_stack([place, near])
    return np.asarray(~np.isin(touched, split.places[split.of_place != TRAIN]).any(axis=1))


def _parts(folds: NDArray[np.int64], uses: Sequence[int], asked: Sequence[int]) -> NDArray[np.int64]:
    """The part of each block, from its fold: fold ``uses[i]`` is for part ``asked[i]``, the others are for training."""
    return np.select([folds == use for use in uses], list(asked), TRAIN)


def _attempts(y: NDArray[np.integer], block_index: NDArray[np.intp], seed: int) -> list[tuple[int, NDArray[np.int64]]]:
    """(seed, fold of each block) for every attempt."""
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second to import

    result = []
    for number in range(seed, seed + ATTEMPTS):
        folds = np.empty(int(block_index.max()) + 1, np.int64)
        dealer = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=number)
        with warnings.catch_warnings():
            # A class rarer than five samples is told by the caller, in our words.
            warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
            for fold, (_, held_out) in enumerate(dealer.split(np.zeros(len(y)), y, block_index)):
                folds[block_index[held_out]] = fold
        result.append((number, folds))
    return result


def _quality(counts: NDArray[np.int64], part: NDArray[np.int64], asked: Sequence[int]) -> tuple[tuple[int, ...], float]:
    """(classes missing in train, in test, in validation; largest deviation of a class' share): smaller is better. Parts
    not ``asked`` for do not count.

    counts: (blocks, classes). part: (blocks,).
    """
    shares = counts.sum(axis=0) / counts.sum()
    missing, deviation = [], 0.0
    for which in (TRAIN, *sorted(asked, reverse=True)):
        found = counts[part == which].sum(axis=0)
        missing.append(int((found == 0).sum()))
        deviation = max(deviation, float(np.abs(found / max(found.sum(), 1) - shares).max()))
    return tuple(missing), deviation
