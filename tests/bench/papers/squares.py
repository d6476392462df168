"""Labelled squares of pixels of the made country and of a real place in Flanders, dealt out by blocks.

They are collected once, as ``tilth train`` collects them, and kept in a file that the trainings read. All methods of a
table share the same pixels: those whose largest square reaches into no label of another part.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from engine.samples import chosen
from engine.training import TrainOptions
from engine.types import Samples, digest
from tests.bench.measure import ROOT
from tests.bench.papers.made import Season, made_season, recipe, season_of
from tests.bench.real_protocol import FOLDS, folds, split_by, whole_in
from tests.bench.real_sets import DATA, Given

FLANDERS = DATA / "flanders-2018"
_HELD = ("x", "y", "block", "row", "col", "near")


class Wanted(NamedTuple):
    """Which squares are taken of a place."""

    names: dict[int, str]
    """Codes of the classes and what to call them; samples hold the class's position in here."""
    features: tuple[str, ...]
    first: int
    """Ten-day steps of the year before the stretch of the season that is looked at."""
    steps: int
    patch: int
    """Side of the squares, odd."""
    block_m: float
    per_block: int
    """Squares of one class in one block at most, drawn at random."""


class Deal(NamedTuple):
    """Rows to learn from, to choose the epoch by, and to judge on, (n,) bool each."""

    learn: NDArray[np.bool_]
    stop: NDArray[np.bool_]
    test: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Squares:
    """``given``: x (n, t, f, s, s) float32 physical units. near: (n, m) blocks of labels each square touches, 0 = none.

    ``near`` stays that of the squares as collected where they are cut smaller, so that the rows stay the same.
    """

    given: Given
    near: NDArray[np.int64]

    def seen(self, features: tuple[str, ...], patch: int) -> Given:
        """What a method looks at: these features, of the middle ``patch`` pixels; of 1 pixel the series alone."""
        own, samples = self.given.recipe, self.given.samples
        edge = (samples.x.shape[-1] - patch) // 2
        if edge < 0 or patch % 2 == 0:
            raise ValueError(f"patch must be odd and {samples.x.shape[-1]} or less, got {patch}")
        middle = slice(edge, edge + patch) if patch > 1 else edge
        x = samples.x[:, :, [own.features.index(name) for name in features]][..., middle, middle]
        cut = replace(samples, x=np.ascontiguousarray(x), near=None)
        return Given(cut, own.model_copy(update={"features": features}), self.given.names)

    def deals(self, tests: int) -> list[Deal]:
        """The first so many of five deals, in which each block is once in the test."""
        samples = self.given.samples
        fold = folds(samples.y, samples.block)
        return [self._deal(fold == turn, fold == (turn + 1) % FOLDS) for turn in range(tests)]

    def _deal(self, test: NDArray[np.bool_], stop: NDArray[np.bool_]) -> Deal:
        block, learn = self.given.samples.block, ~(test | stop)
        parts = learn, stop, test
        whole = whole_in(split_by(block, *parts), block, self.near)
        return Deal(*(part & whole for part in parts))


def drawn(rows: NDArray[np.bool_], y: NDArray[np.integer], most: tuple[int, ...], seed: int) -> NDArray[np.bool_]:
    """Of ``rows`` (n,) at most ``most[i]`` of class i, at random; fewer are drawn from among those that more are."""
    order = np.random.default_rng(seed).permutation(len(rows))
    taken = np.zeros(len(rows), np.bool_)
    for index, count in enumerate(most):
        taken[order[(rows & (y == index))[order]][:count]] = True
    return taken


def of_made(out: Path, pixels: int, wanted: Wanted) -> Path:
    """The file of the squares of the made country's first season, collected where it is not there."""
    return _kept(out, f"made-{pixels}", wanted, lambda: made_season(out, 2023, pixels))


def of_flanders(out: Path, wanted: Wanted) -> Path:
    """The same of the job of ``jobs/examples/flanders.yaml``: real scenes, 640 m x 640 m."""
    return _kept(out, FLANDERS.name, wanted, lambda: season_of(flanders_job(out), 2018))


def opened(path: Path, wanted: Wanted) -> Squares:
    """The squares of a file that ``of_made`` or ``of_flanders`` named."""
    with np.load(path) as held:
        samples = Samples(**{name: held[name] for name in _HELD})
    assert samples.near is not None
    start = date(2001, 1, 1) + timedelta(days=10 * wanted.first)
    own = recipe(wanted.features, wanted.steps).model_copy(update={"season_start": f"{start:%m-%d}"})
    return Squares(Given(samples, own, tuple(wanted.names.values())), samples.near)


def thinned(samples: Samples, per_block: int, seed: int = 0) -> Samples:
    """At most so many samples of each class in each block, at random."""
    order = np.random.default_rng(seed).permutation(len(samples.y))
    _, place = np.unique(np.stack([samples.y.astype(np.int64), samples.block]), axis=1, return_inverse=True)
    groups = place[order]
    by_group = np.argsort(groups, kind="stable")
    rank = np.empty(len(order), np.int64)
    starts = np.searchsorted(groups[by_group], groups[by_group])
    rank[by_group] = np.arange(len(order)) - starts
    return chosen(samples, np.sort(order[rank < per_block]))


def _kept(out: Path, name: str, wanted: Wanted, season: Callable[[], Season]) -> Path:
    path = out / f"squares-{name}-{digest([list(wanted.names), *wanted[1:]])[:12]}.npz"
    if not path.is_file():
        print(f"  collecting squares of {wanted.patch} x {wanted.patch} pixels: {name}", flush=True)
        samples = _collected(season(), wanted)
        begun = path.with_suffix(".begun.npz")
        np.savez(begun, **{field: getattr(samples, field) for field in _HELD})
        os.replace(begun, path)
    return path


def _collected(season: Season, wanted: Wanted) -> Samples:
    """Squares of the stretch's steps; gaps are filled from the year up to its end, never from after it."""
    options = TrainOptions(family="convstar3d", patch=wanted.patch, block_m=wanted.block_m)
    codes = tuple(wanted.names)
    found = thinned(
        season.samples(recipe(wanted.features, wanted.first + wanted.steps), options, codes), wanted.per_block
    )
    y = np.array([codes.index(code) for code in found.y.tolist()], np.int32)
    return replace(found, x=np.ascontiguousarray(found.x[:, wanted.first :]), y=y)


def flanders_job(out: Path) -> Path:
    """The ready example with its scenes named from the root and its cube, model and map below ``out``."""
    place = out.absolute() / FLANDERS.name
    text = (ROOT / "jobs" / "examples" / "flanders.yaml").read_text()
    job = yaml.safe_load(text.replace("../shared/data", str(DATA.resolve())))
    for part, folder in (("cube", "cube.zarr"), ("model", "model"), ("output", "map")):
        job[part]["uri"] = str(place / folder)
    place.mkdir(parents=True, exist_ok=True)
    path = place / "job.yaml"
    path.write_text(yaml.safe_dump(job))
    return path
