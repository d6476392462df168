"""3D-ConvSTAR's tables (Liu et al. 2023): ``python -m tests.bench.papers.convstar [--scale SCALE]``.

Tables 1 and 2: 3D-ConvSTAR, its rivals and a random forest on backscatter, m-chi powers and both with optical bands.
Table 3: what is done for rare classes, where the commonest has nine times the training squares of the rarest. Patch
sizes: ``full`` alone. And pictures of where 3D-ConvSTAR looks. On the made country, and on the real scenes of
``flanders-2018`` where they lie beside the repository: Sentinel-1 GRD, which has no phase, so m-chi powers cannot be
had there. On real data each block is once in the test and all tests count together; of the made country one fifth of
the blocks is the test. Intervals: 95 %, blocks of the test resampled.

The networks are the engine's; inputs differ from the source's in that each feature has a channel of its own at all
ten-day steps (the source puts Sentinel-1 and -2 acquisitions into the same three channels by turns), and backscatter is
linear power. The source's own figures are not at hand. ``default`` takes half an hour of one core, ``full`` (squares
of 11, 26 steps, three random seeds) wants a GPU; what is computed is kept, and a killed run goes on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from engine.assess.bootstrap import block_matrices
from engine.models import Card
from engine.models.card import PATCHES, Family
from engine.models.hybridsn import LOST_PIXELS
from engine.models.package import open_model
from engine.models.scaling import normalise
from engine.models.series import open_network
from engine.training import TrainOptions
from tests.bench.papers.cells import Book, Cell, asked, fill, finished
from tests.bench.papers.convstar_tables import saliency_picture, show_claims, show_table
from tests.bench.papers.squares import FLANDERS, Deal, Wanted, drawn, of_flanders, of_made, opened
from tests.bench.real_protocol import Candidate, trained
from tests.bench.real_sets import Given

OPTICAL = ("red", "nir", "swir1")
INPUTS = {
    "backscatter": ("vv", "vh"),
    "m-chi": ("ps", "pd", "pv"),
    "optical": OPTICAL,
    "optical and backscatter": (*OPTICAL, "vv", "vh"),
    "optical and m-chi": (*OPTICAL, "ps", "pd", "pv"),
}
RIVALS: tuple[Family, ...] = ("tempcnn", "cnn3d", "hybridsn", "convstar")
OURS: Family = "convstar3d"
METHODS: tuple[Family, ...] = (OURS, *RIVALS, "forest")
IMBALANCES = ("none", "oversample", "balanced_loss", "mixup")
TIMES = 9
"""In Table 3, squares of the commonest class for one of the rarest; those between fall evenly in ratio."""
_SALIENT = 200
"""Squares of a test, at most, of which slopes are taken."""
_AT_ONCE = 64


class Place(NamedTuple):
    """Where the methods are tried."""

    title: str
    names: dict[int, str]
    """The rarest of Table 3 last."""
    inputs: tuple[str, ...]
    hard: str
    """The input of Table 3."""
    block_m: float
    tests: int
    """How many of the five fifths of the blocks are the test, by turns."""


class Scale(NamedTuple):
    """How much is done."""

    patch: int
    first: int
    """Ten-day steps of the year before those that are looked at."""
    steps: int
    squares: int
    """Of each class to learn from, at most."""
    stop: int
    """Of each class to choose the epoch by, at most."""
    judged: int
    """Of each class in a test, at most."""
    epochs: int
    patience: int
    batch: int
    seeds: int = 1
    pixels: int = 300
    """Side of the made country."""
    per_block: int = 12
    """Squares of one class in one block of the made country, at most."""
    patches: tuple[int, ...] = ()
    """Further sides of squares for 3D-ConvSTAR on the made country."""

    @property
    def largest(self) -> int:
        """Side of the squares that are collected: no pixel of a test is in a square that is learnt from."""
        return max(self.patch, LOST_PIXELS + 1, *self.patches)


SCALES = {
    "quick": Scale(5, 9, 13, squares=12, stop=6, judged=20, epochs=1, patience=1, batch=8),
    "default": Scale(5, 9, 13, squares=50, stop=25, judged=200, epochs=15, patience=8, batch=16),
    "full": Scale(
        11, 6, 26, squares=1000, stop=300, judged=1000, epochs=200, patience=15, batch=128, seeds=3, pixels=600,
        per_block=40, patches=(9, 15, 21),
    ),
}  # fmt: skip
MADE = Place(
    "made country", {1200: "maize", 1110: "winter wheat", 5100: "potatoes", 8100: "sugar beet"},
    ("backscatter", "m-chi", "optical and backscatter", "optical and m-chi"),
    "optical and m-chi", block_m=300.0, tests=1,
)  # fmt: skip
REAL = Place(
    "Flanders 2018", {1200: "maize", 9120: "grass"},
    ("backscatter", "optical", "optical and backscatter"), "backscatter", block_m=160.0, tests=5,
)  # fmt: skip


def main() -> None:
    told, began = asked(__doc__, "3D-ConvSTAR (Liu et al. 2023)"), time.monotonic()
    scale = SCALES[told.scale]
    places = [made_at(scale), *([REAL] if FLANDERS.is_dir() else [])]
    if not FLANDERS.is_dir():
        print(f"  {REAL.title}: skipped, ../shared/data/{FLANDERS.name} is not beside the repository")
    settings = {"scale": scale, "places": places, "device": device()}
    book = Book(told.out / "convstar.ndjson", settings)
    files = {place.title: _file(told.out, place, scale) for place in places}
    cells = [cell for place in reversed(places) for cell in cells_of(place, scale)]
    fill(book, cells, partial(compute, files=files, scale=scale), told.workers)
    for place in places:
        show(book, place, scale)
        saliency_picture(
            book, place.title, place.inputs, list(place.names.values()), told.out / f"convstar-{told.scale}"
        )
    finished(began)


def made_at(scale: Scale) -> Place:
    """The made country; where squares are large its blocks are as well, lest all squares reach into another part."""
    return MADE._replace(block_m=2 * MADE.block_m if scale.patches else MADE.block_m)


def cells_of(place: Place, scale: Scale) -> list[Cell]:
    """Every cell of a place's tables."""
    found = []
    for seed in range(scale.seeds):
        found += [Cell(f"{place.title}, Tables 1 and 2", m, i, seed) for m in METHODS for i in place.inputs]
        found += [Cell(f"{place.title}, Table 3", kind, place.hard, seed) for kind in IMBALANCES]
        if place.title == MADE.title:
            sides = sorted({scale.patch, *scale.patches}) if scale.patches else []
            found += [Cell(f"{place.title}, patches", f"{side}", place.hard, seed) for side in sides]
    return found


def compute(cell: Cell, files: Mapping[str, tuple[Path, Wanted]], scale: Scale) -> dict[str, Any]:
    """Train a cell's method on each deal and judge it: confusion ``matrices`` by block of all tests together, squares
    ``learnt`` of each class in each training, and of 3D-ConvSTAR the ``slopes`` that say where it looks."""
    title, what = cell.table.split(", ")
    path, wanted = files[title]
    squares = opened(path, wanted)
    family: Family = cell.row if what == "Tables 1 and 2" else OURS  # type: ignore[assignment]  # one of METHODS
    imbalance = cell.row if what == "Table 3" else "none"
    patch = int(cell.row) if what == "patches" else patch_of(family, scale)
    given = squares.seen(INPUTS[cell.column], patch)
    candidate = Candidate(family, options_for(family, patch, imbalance, scale))
    most = shares(len(given.names), scale, rare=what == "Table 3")
    tests = (MADE if title == MADE.title else REAL).tests
    return judged(given, squares.deals(tests), candidate, most, scale, cell.seed)


def judged(
    given: Given, deals: list[Deal], candidate: Candidate, most: tuple[tuple[int, ...], tuple[int, ...]], scale: Scale,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """What ``compute`` gives. most: of each class at most so many to learn from, and to choose the epoch by."""
    y, block, classes = given.samples.y, given.samples.block, len(given.names)
    mapped, asked_rows, slopes, learnt = [], [], [], []
    for deal in deals:
        learn, stop = (drawn(rows, y, cap, seed) for rows, cap in zip(deal[:2], most, strict=True))
        test = np.flatnonzero(drawn(deal.test, y, (scale.judged,) * classes, 0))
        card, weights = trained(given, learn, stop, candidate, seed)
        model = open_model(card, weights, candidate.options.device)
        x = given.samples.x[test]
        p = np.concatenate([model.predict(x[at : at + _AT_ONCE]) for at in range(0, len(x), _AT_ONCE)])
        mapped.append(p.argmax(axis=1))
        asked_rows.append(test)
        learnt.append([int((y[learn] == index).sum()) for index in range(classes)])
        if candidate.options.family == OURS:
            slopes.append(looks(card, weights, x, mapped[-1], candidate.options.device))
    rows, said = np.concatenate(asked_rows), np.concatenate(mapped)
    found = {"matrices": block_matrices(said, y[rows], block[rows], classes).tolist(), "learnt": learnt}
    return found | ({"slopes": np.mean(slopes, axis=0).tolist()} if slopes else {})


def looks(card: Card, weights: bytes, x: NDArray[np.float32], mapped: NDArray[np.integer], device: str) -> NDArray:
    """(k, s, s) float64: for the squares given each class, the mean absolute slope of its logit at every pixel, over
    steps, features and squares; 0 where a class was never given."""
    network, scaled = open_network(card, weights, device), normalise(x, card)
    found = np.zeros((len(card.classes), *x.shape[-2:]))
    for index in range(len(card.classes)):
        own = scaled[mapped == index][: _SALIENT // len(card.classes)]
        parts = [own[at : at + _AT_ONCE] for at in range(0, len(own), _AT_ONCE)]
        if parts:
            slopes = [network.sensitivity(part).mean(axis=(0, 1)) for part in parts]
            found[index] = np.average(slopes, axis=0, weights=[len(part) for part in parts])
    return found


def patch_of(family: Family, scale: Scale) -> int:
    """Side of a family's squares: 1 for those of single pixels; HybridSN takes no smaller than its kernels need."""
    if family not in PATCHES:
        return 1
    return max(scale.patch, LOST_PIXELS + 1) if family == "hybridsn" else scale.patch


def options_for(family: Family, patch: int, imbalance: str, scale: Scale) -> TrainOptions:
    """The same for all methods of a scale, but for what a family is."""
    return TrainOptions.model_validate(
        {
            "family": family, "patch": patch if patch > 1 else None, "imbalance": imbalance, "trees": 500,
            "epochs": scale.epochs, "patience": scale.patience, "batch": scale.batch,
            "device": "cpu" if family == "forest" else device(),
        }
    )  # fmt: skip


def device() -> str:
    """Where networks are trained."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def shares(classes: int, scale: Scale, *, rare: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Squares of each class at most, to learn from and to choose the epoch by; ``rare``: the first class has 9 times
    those of the last, half as many again as where all are alike."""
    if not rare:
        return (scale.squares,) * classes, (scale.stop,) * classes
    falls = TIMES ** -np.linspace(0, 1, classes)
    learn, stop = (tuple(max(1, round(1.5 * count * fall)) for fall in falls) for count in (scale.squares, scale.stop))
    return learn, stop


def show(book: Book, place: Place, scale: Scale) -> None:
    """A place's tables, and what they say where it is real."""
    real, names = place.title == REAL.title, list(place.names.values())
    kind = "real scenes, 640 m x 640 m" if real else f"made, {scale.pixels / 100:g} x {scale.pixels / 100:g} km"
    print(f"\n## {place.title} ({kind})\n")
    print(
        f"Classes {', '.join(names)}; at most {scale.squares} squares of each to learn from and {scale.stop} to choose "
        f"the epoch by, in Table 3 {' to '.join(str(part) for part in shares(len(names), scale, rare=True)[0])}; "
        f"blocks of {place.block_m:g} m, {place.tests} of 5 fifths of them the test; {scale.steps} ten-day steps; "
        f"squares of {scale.patch} pixels, HybridSN {patch_of('hybridsn', scale)}; at most {scale.epochs} epochs; "
        f"{scale.seeds} random seed(s). The paper's own figures are not at hand."
    )
    for given in place.inputs:
        show_table(book, f"{place.title}, Tables 1 and 2", METHODS, given, names)
    show_table(book, f"{place.title}, Table 3", IMBALANCES, place.hard, names)
    if scale.patches and not real:
        sides = [str(side) for side in sorted({scale.patch, *scale.patches})]
        show_table(book, f"{place.title}, patches", sides, place.hard, names)
    print()
    if not real or scale == SCALES["quick"]:
        print(f"{'Trainings are too short' if real else 'Made data'}: the code works; no claim is judged by this.")
    else:
        show_claims(book, place.title, place.inputs, place.hard, rivals=RIVALS, kinds=IMBALANCES)


def _file(out: Path, place: Place, scale: Scale) -> tuple[Path, Wanted]:
    features = tuple(dict.fromkeys(name for given in place.inputs for name in INPUTS[given]))
    wanted = Wanted(place.names, features, scale.first, scale.steps, scale.largest, place.block_m, scale.per_block)
    if place.title == REAL.title:
        wanted = wanted._replace(patch=max(scale.patch, LOST_PIXELS + 1), per_block=10**6)
        return of_flanders(out, wanted), wanted
    return of_made(out, scale.pixels, wanted), wanted


if __name__ == "__main__":
    main()
