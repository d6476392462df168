"""Spatial blocks dealt to training, validation and test.

Neighbouring pixels are alike, so pixels dealt at random would be tested on their own fields. Whole blocks are dealt
instead, three fifths to training and one each to validation and test, classes as evenly as blocks allow
(scikit-learn's StratifiedGroupKFold, tried with several seeds).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.types import digest

FOLDS = 5
ATTEMPTS = 10
TRAIN, VALIDATION, TEST = range(3)


@dataclass(frozen=True, slots=True)
class Split:
    """Which samples train, validate and test. train, validation, test: (n,) bool, disjoint, together all True."""

    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    test: NDArray[np.bool_]
    blocks: tuple[int, int, int]
    """Number of blocks in each part."""
    seed: int
    """The seed of the best attempt."""
    sha256: str
    """Digest of which block lies in which part: equal for models trained and tested on the same ground."""

    @property
    def parts(self) -> dict[str, NDArray[np.bool_]]:
        """The three parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def deal_blocks(y: NDArray[np.integer], block: NDArray[np.int64], seed: int, block_m: float) -> Split:
    """Deal blocks to the three parts; of ``ATTEMPTS`` seeds and all uses of their folds the best spread of classes.

    Best is: no class missing in training, then in test, then in validation, then the smallest deviation of a class'
    share in a part from its share in all samples. Equal input gives an equal split.

    y: (n,) class indices. block: (n,) block numbers. block_m: side of a block, for the error. Raises InputError where
    there are fewer than five blocks or no deal gives every class to training.
    """
    groups, block_index = np.unique(block, return_inverse=True)
    refuse_few_blocks(len(groups), block_m)
    counts = np.zeros((len(groups), int(y.max()) + 1), np.int64)
    np.add.at(counts, (block_index, y), 1)
    deals = [
        (_quality(counts, part), number, validation, test, part)
        for number, folds in _attempts(y, block_index, seed)
        for validation, test in permutations(range(FOLDS), 2)  # which fold serves for what is free as well
        for part in [_parts(folds, validation, test)]
    ]
    quality, number, _, _, part = min(deals, key=lambda deal: deal[:-1])
    blocks = tuple(int((part == p).sum()) for p in (TRAIN, VALIDATION, TEST))
    if quality[0] or 0 in blocks:
        raise InputError(
            f"{len(groups)} blocks dealt {blocks} at best, {quality[0]} classes missing in training",
            expected="every class in training, and a block or more for validation and test",
            place="labels",
            remedy=_remedy(block_m),
        )
    sha256 = digest([groups.tolist(), part.tolist()])
    part = part[block_index]
    return Split(part == TRAIN, part == VALIDATION, part == TEST, (blocks[0], blocks[1], blocks[2]), number, sha256)


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


def within_one_part(split: Split, block: NDArray[np.int64], near: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    """(n,) bool, False for a sample whose square of pixels touches labels of a block dealt to another part.

    block: (n,) block of each sample. near: (n, m) blocks its square touches, 0 = none; None without squares.
    """
    if near is None:
        return np.ones(len(block), np.bool_)
    part = np.select(list(split.parts.values()), [TRAIN, VALIDATION, TEST])
    known, first = np.unique(block, return_index=True)
    place = np.searchsorted(known, near).clip(max=len(known) - 1)
    foreign = (known[place] == near) & (part[first][place] != part[:, None])
    return ~foreign.any(axis=1)


def off_held_out(
    split: Split, block: NDArray[np.int64], place: NDArray[np.int64], near: NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    """(n,) bool, True for a pixel that neither lies in a block dealt to validation or test nor touches one; blocks that
    were not dealt are free.

    block: (m,) block of each sample of the split. place: (n,) block of each pixel. near: (n, s) blocks its square
    touches; None without squares.
    """
    held = np.unique(block[~split.train])
    touched = place[:, None] if near is None else np.column_stack([place, near])
    return np.asarray(~np.isin(touched, held).any(axis=1))


def _parts(folds: NDArray[np.int64], validation: int, test: int) -> NDArray[np.int64]:
    """The part of each block, from its fold."""
    return np.where(folds == validation, VALIDATION, np.where(folds == test, TEST, TRAIN))


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


def _quality(counts: NDArray[np.int64], part: NDArray[np.int64]) -> tuple[int, int, int, float]:
    """(classes missing in train, in test, in validation, largest deviation of a class' share): smaller is better.

    counts: (blocks, classes). part: (blocks,).
    """
    shares = counts.sum(axis=0) / counts.sum()
    missing, deviation = [], 0.0
    for which in (TRAIN, TEST, VALIDATION):
        found = counts[part == which].sum(axis=0)
        missing.append(int((found == 0).sum()))
        deviation = max(deviation, float(np.abs(found / max(found.sum(), 1) - shares).max()))
    return missing[0], missing[1], missing[2], deviation
