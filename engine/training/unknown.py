"""Labelled samples of classes that a model does not know: whatever it calls them is an error, and is counted as one.

They are not dealt, for nothing is learnt from them. They are judged where the test part is judged, in the same
proportion, so that the accuracy speaks of the labelled land as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.training.blocks import TEST, TRAIN, Split, held_for
from engine.types import Samples

MOST_NAMED = 30
"""Classes that stand for themselves in a matrix; of a thousand codes each block's matrix would be a million numbers."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A class of the labels that the model does not know, or all of them together that are too many to be named."""

    code: int | None
    """None: several codes."""
    name: str
    samples: int


def numbered(
    y: NDArray[np.integer], first: int, names: Mapping[int, str]
) -> tuple[NDArray[np.int64], tuple[Unknown, ...]]:
    """Class index of each sample, from ``first`` on, and what each of these indices is, the most frequent first.

    y: (n,) codes. Beyond ``MOST_NAMED`` classes the rarest share the last index.
    """
    codes, at, counts = np.unique(y, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    place = np.empty(len(codes), np.int64)
    place[order] = np.arange(len(codes)).clip(max=MOST_NAMED)
    rows = [
        Unknown(int(codes[i]), names.get(int(codes[i]), f"code {codes[i]}"), int(counts[i])) for i in order[:MOST_NAMED]
    ]
    if len(codes) > MOST_NAMED:
        rest = order[MOST_NAMED:]
        rows.append(Unknown(None, f"{len(rest)} other codes", int(counts[rest].sum())))
    return first + place[at], tuple(rows)


def judged_with_test(
    samples: Samples, others: NDArray[np.intp], split: Split, seed: int, *, drawn: int
) -> NDArray[np.intp]:
    """Which of the labelled samples ``others``, of classes that were not dealt, are judged with the test part: numbers
    of samples, in order.

    Those of its blocks, season or region, outside the border of other parts. A block without any class that was dealt
    belongs to no part: of its samples as large a share is drawn as test blocks have of all blocks. Where the test part
    was thinned, to ``drawn`` samples, they are thinned alike.
    """
    block, whole = samples.block[others], held_for(samples.origin, len(samples.y))
    by_season, held = whole[0][others], np.maximum(*whole)[others]
    at = np.searchsorted(split.places, block).clip(max=len(split.places) - 1)
    dealt = split.places[at] == block
    rng = np.random.default_rng([seed, 2])
    if (np.maximum(*whole) == TEST).any():
        test = held == TEST
    else:
        test = dealt & (held == TRAIN) & (split.of_place[at] == TEST)
        free = np.flatnonzero(~dealt & (held == TRAIN))
        share = split.blocks[TEST] / max(sum(split.blocks), 1)
        test[rng.choice(free, round(share * len(free)), replace=False)] = True
    found = others[test & ~_at_another_part(split, None if samples.near is None else samples.near[others], by_season)]
    known = max(int(split.test.sum()), 1)
    if drawn < known:
        found = np.sort(rng.choice(found, round(len(found) * drawn / known), replace=False))
    return found


def _at_another_part(
    split: Split, near: NDArray[np.int64] | None, by_season: NDArray[np.int8]
) -> NDArray[np.bool_] | np.bool_:
    """(n,) bool, True for a sample of the test part near which there are labels of a block of another."""
    if near is None:
        return np.bool_(False)
    at = np.searchsorted(split.places, near).clip(max=len(split.places) - 1)
    around = np.maximum(split.of_place[at], by_season[:, None])
    return np.asarray(((split.places[at] == near) & (around != TEST)).any(axis=1))
