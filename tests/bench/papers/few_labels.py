"""A place with few labels, as who surveys some fields has them: pixels to learn from, to choose by, to judge on, and
unlabelled ones whose truth is known to the judge alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label as components

from engine.samples import Labels, chosen, joined
from engine.training import TrainOptions
from engine.training.legend import class_entries
from engine.training.parts import Part
from engine.training.prepare import Prepared, part_of, percentiles
from engine.types import Samples, Window
from tests.bench.papers.made import Season, recipe
from tests.bench.real_protocol import FOLDS, folds, split_by, whole_in

OPTICAL, RADAR = ("blue", "green", "red", "nir"), ("vv", "vh")
STEPS = (9, 12, 15, 18, 21, 24)
"""Ten-day steps of the year that are looked at, from 1 April to the end of August; 6 optical dates as in the paper."""


class Sizes(NamedTuple):
    """Pixels of each class, at most."""

    labelled: int
    per_field: int
    """Labelled pixels come from as many fields as it takes with so many of each."""
    validation: int
    test: int
    free: int
    """Unlabelled pixels in all, for every labelled one of the training part."""


@dataclass(frozen=True)
class Few:
    """The pixels of a place. samples: squares (n, t, f, s, s), y the class index; truth of the unlabelled ones too.

    rows: by part (train, validation, test, free), indices of the samples. None of free lies in a field with labels, in
    a block of validation or test, or reaches into a label there.
    """

    samples: Samples
    names: tuple[str, ...]
    rows: Mapping[str, NDArray[np.intp]]
    fields: int
    """Fields with labels in the training part."""

    def seen(self, features: tuple[str, ...], *, middle: bool = False) -> Few:
        """These features alone; of the middle pixel alone where so asked."""
        x = self.samples.x[:, :, [(*OPTICAL, *RADAR).index(name) for name in features]]
        x = x[..., x.shape[-2] // 2, x.shape[-1] // 2] if middle else x
        return replace(self, samples=replace(self.samples, x=np.ascontiguousarray(x)))

    def prepared(self, features: tuple[str, ...]) -> Prepared:
        """Ready for a training: the free pixels' truth is handed on to nothing. Scaled by the training part."""
        scaling = percentiles(self.samples, self.rows["train"], recipe(features, len(STEPS)))
        rows = {name: own for name, own in self.rows.items() if name != "free"}
        y = self.samples.y.astype(np.int64)
        parts: dict[str, Part] = {name: part_of(self.samples, own, y[own], scaling) for name, own in rows.items()}
        entries = class_entries(range(len(self.names)), dict(enumerate(self.names)))
        none = Part(parts["train"].x[:0], parts["train"].y[:0])
        return Prepared(entries, [], scaling, rows, parts, {}, self.rows["free"], none, ())


def few_labels(
    season: Season, codes: tuple[int, ...], options: TrainOptions, per_tile: int, sizes: Sizes, deals: int
) -> list[Few]:
    """The place of a season with few labels, in so many deals, up to five: a block is in the test of one at most.

    options: family, patch, block_m and seed, by which fields and pixels are drawn. per_tile: pixels of a tile at most.
    """
    samples = _collected(season, codes, options, per_tile)
    names = season.names(samples)
    y = np.searchsorted(np.array(sorted(codes)), samples.y).astype(np.int32)
    in_order = tuple(names[code] for code in sorted(codes))
    field = _fields(season, samples, options)
    known = replace(samples, y=y)
    return [dealt(known, in_order, field, sizes, turn=turn, seed=options.seed) for turn in range(deals)]


def dealt(
    samples: Samples, names: tuple[str, ...], field: NDArray[np.int64], sizes: Sizes, *, turn: int, seed: int
) -> Few:
    """Samples of known truth, y the class index, dealt out: one fifth of the blocks is the test, the next validation.

    field: (n,) number of the field each lies in.
    """
    y, block = samples.y, samples.block
    fold = folds(y, block)
    test, validation = fold == turn, fold == (turn + 1) % FOLDS
    parts = {"train": ~(test | validation), "validation": validation, "test": test}
    split = split_by(block, **parts)
    own = {name: np.flatnonzero(held & whole_in(split, block, samples.near)) for name, held in parts.items()}
    rng = np.random.default_rng([seed, turn])
    train = _of_few_fields(own["train"], y, field, sizes, rng)
    free = own["train"][~np.isin(field[own["train"]], field[train])]
    rows = {
        "train": train,
        "validation": _some_of_each(own["validation"], y, sizes.validation, rng),
        "test": _some_of_each(own["test"], y, sizes.test, rng),
        "free": np.sort(rng.permutation(free)[: sizes.free * len(train)]),
    }
    used = np.unique(np.concatenate(list(rows.values())))
    rows = {name: np.searchsorted(used, own) for name, own in rows.items()}
    return Few(chosen(samples, used), names, rows, len(np.unique(field[train])))


def _collected(season: Season, codes: tuple[int, ...], options: TrainOptions, per_tile: int) -> Samples:
    """Labelled squares at ``STEPS``, tile by tile, for those of a whole country do not fit into memory."""
    parts = []
    for number, tile in enumerate(season.plan.tiles):
        alone = replace(season, plan=replace(season.plan, tiles=(tile,)))
        found = alone.samples(recipe((*OPTICAL, *RADAR), max(STEPS) + 1), options, codes)
        rows = np.random.default_rng([options.seed, number]).permutation(len(found.y))[:per_tile]
        found = chosen(found, np.sort(rows))
        parts.append(replace(found, x=np.ascontiguousarray(found.x[:, list(STEPS)])))
    return joined(parts)


def _fields(season: Season, samples: Samples, options: TrainOptions) -> NDArray[np.int64]:
    """Number of the field (n,) of each sample: pixels of one crop that touch; two such neighbours count as one."""
    grid = season.plan.grid
    codes, _ = Labels(season.labels(options), grid, options.block_m).read(Window(0, grid.height, 0, grid.width))
    number = np.zeros(codes.shape, np.int64)
    for code in np.unique(codes):
        own, _ = components(codes == code)
        number[own > 0] = own[own > 0] + number.max()
    return number[samples.row, samples.col]


def _of_few_fields(
    rows: NDArray[np.intp], y: NDArray[np.integer], field: NDArray[np.int64], sizes: Sizes, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Of each class some pixels of each of some fields, in order."""
    taken = []
    for index in np.unique(y[rows]):
        own = rng.permutation(rows[y[rows] == index])
        fields = rng.permutation(np.unique(field[own]))
        of_field = [own[field[own] == one][: sizes.per_field] for one in fields]
        taken.append(np.concatenate(of_field)[: sizes.labelled])
    return np.sort(np.concatenate(taken))


def _some_of_each(
    rows: NDArray[np.intp], y: NDArray[np.integer], most: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    mixed = rng.permutation(rows)
    return np.sort(np.concatenate([mixed[y[mixed] == index][:most] for index in np.unique(y[mixed])]))
