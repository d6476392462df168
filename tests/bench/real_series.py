"""One model against random forest on real series: ``python -m tests.bench.real_series [--set S] [--scale SCALE]``.

Formosat-2, 13 classes: learns from the training polygons given, judged on the test polygons given. MODIS in Mato
Grosso, five classes: by blocks of 1.4 km, each block once the test (nested: choosing sees the other blocks alone), less
the pixels that touch the test. With these, two fifths of the test would lie beside a pixel of their class and season
that was learnt from: as many as with a tenth drawn at random. Then by the protocol of the published 0.958 (Maus et al.
2019, Journal of Statistical Software 88(5): time-weighted dynamic time warping; by its script a tenth of each class,
drawn at random, to learn from and the rest to judge on), which is optimistic: pixels of one field are on both sides.
How a model is chosen: ``real_protocol``; what the series are: ``real_sets``.

The rival is a forest of 500 trees, its input chosen as ours is. Intervals: 95 %, blocks of the test resampled
(polygons; blocks of 1.4 km), all seeds together; differences are paired by block. Where the data is absent that is said
and nothing is done. ``default`` takes ten minutes of one core, ``full`` (all families, 100 draws) a long night.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.accuracy import confusion
from engine.assess.bootstrap import block_matrices, difference, intervals, measures
from engine.models.card import Family
from engine.training import TrainOptions
from tests.bench.measure import closing, context
from tests.bench.real_protocol import FOLDS, Candidate, Contest, contest, folds
from tests.bench.real_sets import DATA, Given, formosat, matogrosso

PUBLISHED = 0.958
"""Overall accuracy of time-weighted dynamic time warping in Mato Grosso, as it came to us; the paper's script has two
accuracies by the same draw, of the validation samples and of the maps weighted by area, and we do not know of which."""
NOTED = 0.712
"""Overall accuracy of a random forest on the Formosat polygons, as it came to us with the data."""
DRAWN = 0.1


class Scale(NamedTuple):
    """How much is done."""

    families: tuple[Family, ...]
    """Candidates beside the forest on Formosat."""
    nested: tuple[Family, ...]
    """The same in Mato Grosso, where the choice is made anew for each of five tests and for each draw."""
    turns: int
    """On Formosat: of the five folds, how many are asked about in choosing."""
    nested_turns: int
    seeds: int
    draws: int


BANDS = ("nir", "red", "green")
BY_STEP: tuple[Family, ...] = ("svm", "cnn1d", "tempcnn")
EVERY_FAMILY: tuple[Family, ...] = (*BY_STEP, "agrispec", "dcm", "transformer")
SCALES = {
    "quick": Scale(("svm", "cnn1d"), ("svm", "cnn1d"), 1, 1, 1, 2),
    "default": Scale((*BY_STEP, "agrispec"), BY_STEP, FOLDS, 2, 3, 5),
    "full": Scale(EVERY_FAMILY, EVERY_FAMILY, FOLDS, FOLDS, 3, 100),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=["formosat", "matogrosso"], help="one of the sets alone")
    parser.add_argument("--scale", choices=list(SCALES), default="default")
    asked = parser.parse_args()
    context(f"Real series, --scale {asked.scale}")
    print(f"  scikit-learn {version('scikit-learn')}")
    for name, run, folder in (
        ("formosat", on_formosat, DATA / "formosat-series"),
        ("matogrosso", on_matogrosso, DATA / "matogrosso-modis"),
    ):
        if asked.set in (None, name):
            if folder.is_dir():
                run(SCALES[asked.scale])
            else:
                print(f"{name}: skipped, ../shared/data/{folder.name} is not beside the repository")
    closing()


def on_formosat(scale: Scale) -> None:
    """The polygons given: learnt from the one half, judged on the other."""
    given, test = formosat()
    forests = [_forest("forest"), _forest("forest, 5th steps", every=5), _forest("forest, bands", features=BANDS)]
    # 149 steps of a recurrent network take too long for what 260 samples can teach it
    convolutions = [family for family in scale.families if family in BY_STEP]
    ours = [*_candidates(convolutions), *_candidates(scale.families, ", 5th steps", 5)]
    ours += [_mixed(one) for one in ours if one.options.family == "tempcnn"]
    groups = {**_groups(ours, forests), "forest as noted": [forests[-1]]}
    outcome = contest(given, test, groups, scale.seeds, scale.turns)
    print(f"Formosat-2: {(~test).sum()} samples to learn from, {test.sum()} to judge on")
    _show_choice([outcome])
    _show(given.of(test), {group: answer.mapped for group, answer in outcome.answers.items()})
    print(f"  Forest, as it came with the data: {NOTED}")


def on_matogrosso(scale: Scale) -> None:
    """By blocks, each once the test; and by draws of samples, as the published figure was."""
    given, year = matogrosso()
    bands = given.recipe.features[:4]
    groups = _groups(_candidates(scale.nested), [_forest("forest"), _forest("forest, bands", features=bands)])
    fold = folds(given.samples.y, given.samples.block)
    tests = [fold == turn for turn in range(FOLDS)]
    borders = [bordering(given, test) for test in tests]
    outcomes = [
        contest(given, test, groups, scale.seeds, scale.nested_turns, left_out=border)
        for test, border in zip(tests, borders, strict=True)
    ]
    print(f"Mato Grosso: {len(fold)} samples, each block once the test; left out as bordering on it "
          f"{', '.join(str(border.sum()) for border in borders)}")  # fmt: skip
    _show_choice(outcomes)
    mapped = {group: np.empty((scale.seeds, len(fold)), np.int64) for group in groups}
    for turn, outcome in enumerate(outcomes):
        for group, answer in outcome.answers.items():
            mapped[group][:, fold == turn] = answer.mapped
    _show(given, {**mapped, "season alone": by_season(given.samples.y, year, fold)[None]})
    as_published(given, groups, scale)


def as_published(given: Given, groups: Mapping[str, Sequence[Candidate]], scale: Scale) -> None:
    """A tenth of each class drawn at random to learn from, the rest to judge on, again and again."""
    alone = replace(given, samples=replace(given.samples, block=np.arange(len(given.samples.y))))
    found: dict[str, list[float]] = {group: [] for group in groups}
    for draw in range(scale.draws):
        test = ~drawn(given.samples.y, draw)
        for group, answer in contest(alone, test, groups, 1, scale.nested_turns).answers.items():
            found[group].append(float((answer.mapped[0] == given.samples.y[test]).mean()))
    print(f"Mato Grosso, a tenth drawn at random, {scale.draws} draws. RANDOM SPLIT: OPTIMISTIC. Overall accuracy:")
    for group, accuracies in found.items():
        print(f"  {group:<18}{np.mean(accuracies):.3f} ± {np.std(accuracies):.3f} (sd over draws)")
    print(f"  {'published':<18}{PUBLISHED}, time-weighted dynamic time warping")


def drawn(y: NDArray[np.integer], seed: int) -> NDArray[np.bool_]:
    """A tenth of each class, rounded up, (n,) bool."""
    rng = np.random.default_rng(seed)
    taken = np.zeros(len(y), np.bool_)
    for code in np.unique(y):
        own = np.flatnonzero(y == code)
        taken[rng.choice(own, int(np.ceil(DRAWN * len(own))), replace=False)] = True
    return taken


def by_season(y: NDArray[np.int32], year: NDArray[np.integer], fold: NDArray[np.int64]) -> NDArray[np.int64]:
    """What one would say who knows a sample's season alone: its commonest class in the other folds. (n,) indices."""
    said = np.empty(len(y), np.int64)
    for turn in range(FOLDS):
        for season in np.unique(year):
            learnt = y[(fold != turn) & (year == season)]
            said[(fold == turn) & (year == season)] = np.bincount(learnt).argmax()
    return said


def bordering(given: Given, test: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The samples outside the test that share a corner or more with a pixel inside, of whatever season, (n,) bool."""
    place = np.stack([given.samples.row, given.samples.col], axis=1)
    apart = np.abs(place[:, None] - place[test]).max(axis=2)
    return ~test & (apart.min(axis=1) <= 1)


def _groups(ours: list[Candidate], forests: list[Candidate]) -> dict[str, list[Candidate]]:
    return {"ours": ours, "best network": [one for one in ours if one.descends], "forest": forests}


def _forest(name: str, every: int = 1, features: tuple[str, ...] = ()) -> Candidate:
    return Candidate(name, TrainOptions(family="forest", trees=500), every, features)


def _candidates(families: Sequence[Family], suffix: str = "", every: int = 1) -> list[Candidate]:
    """One per family."""
    options = [TrainOptions(family=family, epochs=60, patience=20, batch=32) for family in families]
    return [Candidate(one.family + suffix, one, every) for one in options]


def _mixed(one: Candidate) -> Candidate:
    return replace(one, name=f"{one.name}, mix-up", options=one.options.model_copy(update={"imbalance": "mixup"}))


def _show_choice(contests: Sequence[Contest]) -> None:
    """Accuracies on validation blocks, mean over the tests, and what was chosen in each."""
    print("  Validation blocks: overall, macro-F1")
    for name in contests[0].validation:
        scores = [one.validation[name] for one in contests]
        overall, f1 = (float(np.mean([getattr(s, what) for s in scores])) for what in ("overall", "macro_f1"))
        print(f"    {name:<28}{overall:.3f}  {f1:.3f}")
    for group in contests[0].answers:
        print(f"  Chosen, {group}: {'; '.join(one.answers[group].chosen.name for one in contests)}")


def _show(test: Given, mapped: Mapping[str, NDArray[np.int64]]) -> None:
    """Accuracies of each group on the test with their intervals, the differences to the forest, and F1 by class."""
    y, block, classes = test.samples.y, test.samples.block, len(test.names)
    pooled = {
        group: block_matrices(one.ravel(), np.tile(y, len(one)), np.tile(block, len(one)), classes)
        for group, one in mapped.items()
    }
    all_of = {group: measures(matrices.sum(axis=0)) for group, matrices in pooled.items()}
    print(f"  Test, {len(np.unique(block))} blocks: mean ± sd over seeds [95 % over blocks]")
    for group, one in mapped.items():
        seeds, ends = [measures(confusion(row, y, classes)) for row in one], intervals(pooled[group])
        for what in ("overall", "macro_f1"):
            found = [float(getattr(seed, what)) for seed in seeds]
            low, high = float(getattr(ends.low, what)), float(getattr(ends.high, what))
            print(f"    {group:<18}{what:<10}{np.mean(found):.3f} ± {np.std(found):.3f} [{low:.3f}, {high:.3f}]")
    for group in ("ours", "best network"):
        ends = difference(pooled[group], pooled["forest"])
        for what in ("overall", "macro_f1"):
            less = float(getattr(all_of[group], what) - getattr(all_of["forest"], what))
            low, high = float(getattr(ends.low, what)), float(getattr(ends.high, what))
            print(f"    {group} less forest, {what}: {less:+.3f} [{low:+.3f}, {high:+.3f}], {_verdict(low, high)}")
    by_class = zip(test.names, *(all_of[group].f1 for group in ("ours", "best network", "forest")), strict=True)
    print("  F1 of ours, best network, forest: " + "; ".join(f"{n} {a:.2f} {b:.2f} {c:.2f}" for n, a, b, c in by_class))


def _verdict(low: float, high: float) -> str:
    if low <= 0 <= high:
        return "no difference shown"
    return "WON" if low > 0 else "LOST"


if __name__ == "__main__":
    main()
