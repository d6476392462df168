"""Teimouri et al. 2023 (PFG) on our data: virtual labels and the two-branch 3D-CNN, tables 2 to 4.

``python -m tests.bench.papers.virtual [--scale SCALE]``. RTL: the labelled pixels alone. VTL: the virtual labels alone.
RTL+VTL: both. RTL+VTL*: of ten subsets of the virtual labels those by which validation gains by more than one standard
error. Optical, radar, and both; squares of 7 x 7 pixels, six dates. Few pixels of few fields are labelled; the others
are drawn from as unlabelled, their truth kept for the judge, who counts how many virtual labels are right. Blocks are
dealt to training, validation and test; no unlabelled pixel is of a field with labels, of a block of validation or test,
or near enough to see a label there. All methods share pixels, start and epochs (an epoch of more pixels has more
batches); a forest on the middle pixels' series stands beside.

Made country: it shows that the code works. Flanders: two crops of real scenes on 640 m x 640 m.

PA is producer's accuracy (of a crop, what is found), UA user's (of what is mapped so, what is right). What the paper
calls user's accuracy is producer's: its 49 values are multiples of 0.2 % (of 500 test pixels a class), and their mean
is the overall accuracy.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.accuracy import confusion, score
from engine.assess.bootstrap import block_matrices, difference
from engine.models import Classifier, open_model
from engine.training import TrainOptions
from engine.training.enlarge import enlarged
from engine.training.fit import card_of
from engine.training.loop import descend
from engine.training.parts import Part, portions
from engine.training.prepare import Prepared
from engine.training.trees import grow
from engine.training.virtual_options import VirtualOptions
from tests.bench.measure import ROOT
from tests.bench.papers.cells import Book, Cell, asked, columns, fill, finished
from tests.bench.papers.few_labels import OPTICAL, RADAR, STEPS, Few, Sizes, few_labels
from tests.bench.papers.made import BLOCK_M, YEARS, made_season, recipe, season_of
from tests.bench.real_protocol import FOLDS
from tests.bench.real_sets import DATA

PAPER = "1,050 labelled (150 a class), as many virtual, 490 to validate, 3,500 to test; some 30 % rejected for VTL*"
"""Sizes that the paper states; the accuracies of its tables are not at hand."""
CROPS = (1110, 1200, 1510, 1520, 4350, 5100, 8100, 9120)
REAL_CROPS = (1200, 9120)
REAL_BLOCK_M = 160.0
"""A sixteenth of the place: squares of 70 m would leave next to nothing of blocks of 80 m."""
TABLES = {"optical": OPTICAL, "radar": RADAR, "fusion": (*OPTICAL, *RADAR)}
METHODS = ("RTL", "VTL", "RTL+VTL", "RTL+VTL*", "forest, RTL", "forest, RTL+VTL")
FIGURES = ("overall accuracy", "kappa", "macro-F1", "epochs")
LABELS = ("labelled", "drawn", "voted for", "trained on", "right", "subsets kept")
TITLES = {
    "made": "MADE COUNTRY (invented; it shows that the code works)",
    "flanders": "FLANDERS (real scenes, declared crops, 640 m x 640 m)",
}
PAIRS = (
    ("VTL", "RTL"),
    ("RTL+VTL", "RTL"),
    ("RTL+VTL*", "RTL"),
    ("RTL+VTL*", "RTL+VTL"),
    ("forest, RTL+VTL", "forest, RTL"),
    ("forest, RTL", "RTL"),
)
CLAIMS = {
    "Virtual labels beside few labelled pixels make a better map": ("RTL+VTL", "RTL"),
    "Chosen by subset they make a better one still": ("RTL+VTL*", "RTL+VTL"),
}
PATCH = 7


class Scale(NamedTuple):
    """How much is done."""

    country_px: int
    per_tile: int
    sizes: Sizes
    real: Sizes
    deals: int
    """Of the made country; in Flanders each block is once in the test."""
    epochs: int
    seeds: int


SCALES = {
    "quick": Scale(300, 600, Sizes(12, 6, 6, 20, 3), Sizes(12, 12, 6, 20, 3), 1, 2, 1),
    "default": Scale(300, 2500, Sizes(40, 10, 20, 100, 3), Sizes(40, 40, 20, 100, 3), 1, 40, 1),
    "full": Scale(600, 2500, Sizes(150, 15, 70, 500, 3), Sizes(150, 150, 70, 500, 3), 5, 1000, 3),
}


def main() -> None:
    told, began = asked(__doc__, "Virtual labels: Teimouri et al. 2023"), time.monotonic()
    scale, place = SCALES[told.scale], told.out / "virtual"
    book = Book(place / "cells.jsonl", {"scale": scale._asdict(), "version": 1})
    places = ("made", "flanders") if (DATA / "flanders-2018").is_dir() else ("made",)
    few = {(place, seed): FOUND[place](told.out, scale, seed) for place in places for seed in range(scale.seeds)}
    fill(book, cells(scale, places), partial(computed, few=few, epochs=scale.epochs), told.workers)
    for name in places:
        show(book, name, few[name, 0], scale)
    if len(places) == 1:
        print("\nFLANDERS: skipped, ../shared/data/flanders-2018 is not beside the repository")
    print(f"\nThe paper: {PAPER}. The accuracies of its tables are not at hand.")
    for claim, pair in CLAIMS.items():
        print(f"  {verdict(book, claim, *pair)}")
    print("  Flanders is two crops of one place and year, few fields: it says nothing of seven crops or another place.")
    finished(began)


def _made(out: Path, scale: Scale, seed: int) -> list[Few]:
    options = TrainOptions(family="twobranch", patch=PATCH, block_m=BLOCK_M, seed=seed)
    season = made_season(out, YEARS[0], scale.country_px)
    return few_labels(season, CROPS, options, scale.per_tile, scale.sizes, scale.deals)


def _flanders(out: Path, scale: Scale, seed: int) -> list[Few]:
    options = TrainOptions(family="twobranch", patch=PATCH, block_m=REAL_BLOCK_M, seed=seed)
    season = season_of(ROOT / "jobs" / "examples" / "flanders.yaml", 2018)
    return few_labels(season, REAL_CROPS, options, scale.per_tile, scale.real, FOLDS)


FOUND = {"made": _made, "flanders": _flanders}


def cells(scale: Scale, places: Sequence[str]) -> list[Cell]:
    """All cells of this scale, the cheap ones first."""
    order = sorted(METHODS, key="RTL+VTL*".__eq__)
    seeds = range(scale.seeds)
    return [Cell(place, m, table, seed) for m in order for seed in seeds for place in places for table in TABLES]


def computed(cell: Cell, few: Mapping[tuple[str, int], Sequence[Few]], epochs: int) -> dict[str, Any]:
    """A cell's figures, all deals together."""
    if cell.row.startswith("forest"):
        options = TrainOptions(family="forest", trees=500, seed=cell.seed)
    else:
        options = TrainOptions(family="twobranch", patch=PATCH, epochs=epochs, patience=10, batch=16, seed=cell.seed)
    return method(few[cell.table, cell.seed], TABLES[cell.column], cell.row.removeprefix("forest, "), options)


def method(deals: Sequence[Few], features: tuple[str, ...], name: str, options: TrainOptions) -> dict[str, Any]:
    """One of RTL, VTL, RTL+VTL, RTL+VTL*: trained in each deal and asked about its test once.

    No accuracies where a deal gives nothing to learn from.
    """
    counts: Counter[str] = Counter()
    answers = []
    for few in deals:
        own = few.seen(features, middle=options.family == "forest")
        ready = own.prepared(features)
        counts["labelled"] += len(ready.rows["train"])
        if name != "RTL":
            ready, told = with_virtual(ready, own, features, options, gain=name == "RTL+VTL*", alone=name == "VTL")
            counts.update(told)
        if len(ready.parts["train"].y):
            model, notes = trained(ready, options, features)
            counts["epochs"] += notes.get("epochs", 0)
            test = ready.parts["test"]
            answers.append((said(model, test.x), test.y, own.samples.block[ready.rows["test"]]))
    figures: dict[str, Any] = dict(counts)
    if counts["trained on"]:
        figures["right"] = round(counts["right"] / counts["trained on"], 6)
    if len(answers) < len(deals):
        return figures
    mapped, y, block = (np.concatenate(part) for part in zip(*answers, strict=True))
    return {**figures, **accuracies(mapped, y, block, deals[0].names)}


def with_virtual(
    ready: Prepared, few: Few, features: tuple[str, ...], options: TrainOptions, *, gain: bool, alone: bool
) -> tuple[Prepared, dict[str, int]]:
    """``ready`` with virtual labels, or with these ``alone``, and how many there are and are right."""
    wanted = options.model_copy(update={"virtual": VirtualOptions(accept="gain" if gain else "all")})
    taken, labelled = recipe(features, len(STEPS)), len(ready.rows["train"])
    hidden = few.samples.y.copy()
    hidden[ready.unlabelled] = -1

    def right(tried: Prepared) -> NDArray[np.bool_]:
        validation = tried.parts["validation"]
        return said(trained(tried, options, features)[0], validation.x) == validation.y

    grown, report = enlarged(ready, replace(few.samples, y=hidden), taken, wanted, right)
    told, rows = report["virtual"], grown.rows["train"][labelled:]
    train = grown.parts["train"]
    figures = {
        "drawn": told["drawn"],
        "voted for": told["accepted"],
        "trained on": len(rows),
        "right": int((few.samples.y[rows] == train.y[labelled:]).sum()),
        "subsets kept": sum(one["kept"] for one in told.get("subsets", [])),
    }
    if alone:
        grown = replace(grown, parts={**grown.parts, "train": Part(train.x[labelled:], train.y[labelled:])})
    return grown, figures


def trained(ready: Prepared, options: TrainOptions, features: tuple[str, ...]) -> tuple[Classifier, dict[str, Any]]:
    """The model of these parts, and its remarks."""
    train, validation, classes = ready.parts["train"], ready.parts["validation"], len(ready.entries)
    made = grow(train, options) if options.family == "forest" else descend(train, validation, classes, options)
    card = card_of(ready, recipe(features, len(STEPS)), made, options)
    return open_model(card, made.weights), made.notes


def said(model: Classifier, scaled: NDArray[np.float32]) -> NDArray[np.int64]:
    """The class index of each row of scaled input."""
    return np.concatenate([model.logits(part) for part in portions(scaled)]).argmax(axis=1)


def accuracies(
    mapped: NDArray[np.int64], y: NDArray[np.int64], block: NDArray[np.int64], names: Sequence[str]
) -> dict[str, Any]:
    """Accuracies of the test as JSON; ``matrices``: the blocks' confusion matrices, rows map, columns reference."""
    scores = score(confusion(mapped, y, len(names)))
    known = {"overall accuracy": scores.overall, "kappa": scores.kappa, "macro-F1": scores.macro_f1}
    known |= {f"PA {name}": value for name, value in zip(names, scores.producers, strict=True)}
    known |= {f"UA {name}": value for name, value in zip(names, scores.users, strict=True)}
    figures = {name: None if np.isnan(value) else round(float(value), 6) for name, value in known.items()}
    return {**figures, "matrices": block_matrices(mapped, y, block, len(names)).tolist()}


def show(book: Book, place: str, deals: Sequence[Few], scale: Scale) -> None:
    """The tables of a place."""
    names = deals[0].names
    blocks = len(np.unique(np.concatenate([few.samples.block[few.rows["test"]] for few in deals])))
    print(f"\n{TITLES[place]}: {len(names)} crops, {len(STEPS)} dates, at most {scale.epochs} epochs,")
    print(f"  {scale.seeds} seed(s), {len(deals)} deal(s), {blocks} blocks judged. Pixels:")
    for few in deals:
        sizes = ", ".join(f"{len(own)} {name}" for name, own in few.rows.items())
        print(f"    {sizes}; the labels are of {few.fields} fields")
    for table in TABLES:
        print(f"\n{columns(book, place, METHODS, table, FIGURES)}")
        for kind in ("PA", "UA"):
            told = columns(book, place, METHODS, table, [f"{kind} {name}" for name in names])
            print(f"\n{kind}:\n{told.replace(f'{kind} ', '')}")
        print(f"\nVirtual labels:\n{columns(book, place, METHODS, table, LABELS)}\n")
        compare(book, place, table)


def compare(book: Book, place: str, table: str) -> None:
    """Differences of overall accuracy with their intervals over blocks, seed 0."""
    for method, other in PAIRS:
        if (found := less(book, place, table, method, other)) is not None:
            by, low, high = found
            print(f"  {table}, {method} less {other}: {by:+.3f} [{low:+.3f}, {high:+.3f}], {said_of(low, high)}")


def less(book: Book, place: str, table: str, method: str, other: str) -> tuple[float, float, float] | None:
    """Overall accuracy of a method less another's, and the ends of its interval; None where a cell is empty."""
    pair = [Cell(place, method, table), Cell(place, other, table)]
    if not all(cell in book and "matrices" in book[cell] for cell in pair):
        return None
    own, base = (np.array(book[cell]["matrices"]) for cell in pair)
    ends = difference(own, base)
    by = score(own.sum(axis=0)).overall - score(base.sum(axis=0)).overall
    return by, float(ends.low.overall), float(ends.high.overall)


def said_of(low: float, high: float) -> str:
    """What an interval of a difference says."""
    return "no difference shown" if low <= 0 <= high else "gained" if low > 0 else "LOST"


def verdict(book: Book, claim: str, method: str, other: str) -> str:
    """What the real data says of a claim of the paper: borne out where the method gains in all three tables."""
    found = {table: less(book, "flanders", table, method, other) for table in TABLES}
    told = {table: "not run" if one is None else said_of(*one[1:]) for table, one in found.items()}
    cannot = "not run" in told.values()
    outcome = "cannot be judged" if cannot else "borne out" if set(told.values()) == {"gained"} else "NOT borne out"
    return f"{claim}: {outcome} on real data ({', '.join(f'{table}: {what}' for table, what in told.items())})"


if __name__ == "__main__":
    main()
