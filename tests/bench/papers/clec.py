"""The tables of CLEC again (Kong et al. 2025, Remote Sensing 17, 1783): ``python -m tests.bench.papers.clec``.

CLEC against its rivals over cut-off dates (Tables 3 to 5), its ablations (6 to 8), how far it forecasts (9), its cost
(10), its forecast against what came (Fig. 10, with a picture) and its modes (Fig. 11). On the made country, which shows
that the code works and no more, and on real series of Mato Grosso, on which the paper's claims are judged. The paper's
accuracies are not at hand, its numbers of parameters are.

Options are the same for all networks (epochs, patience, batch; Adam at 1e-3, but DCM at 5e-4, as it was published, and
the Transformer at 1e-4). ``no attention`` is without W_v and with simpler recurrent layers too. Training without SSIM
is no option of the engine and stays untried. Default: 45 minutes of one core. ``--scale full`` is three seeds, ten
cut-offs and three crops against the rest as well: for a GPU, which it takes where there is one, or a long night.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from engine.training import TrainOptions
from engine.training.fit import TRAINING_VERSION
from tests.bench.papers.cells import Book, Cell, asked, fill, finished
from tests.bench.papers.clec_report import made_report, real_report
from tests.bench.papers.clec_trials import (
    ABLATIONS,
    ALL_CROPS,
    FEATURES,
    MODES,
    OnMade,
    OnReal,
    Sizes,
    seasons_of,
)
from tests.bench.papers.made import BLOCK_M, YEARS, made_season, recipe
from tests.bench.real_sets import DATA, matogrosso

CROPS = (1110, 1200, 1510, 1520, 4350, 5100, 8100, 9120)
"""Of the made country, grass among them."""
REAL = "Mato Grosso"
_QUICK_FIRST = ("RF", "SVM", "1D-CNN", "CLEC", "DCM", "Transformer")
"""A run that is killed early has then something to compare."""


class Scale(NamedTuple):
    """How much is done. Cut-offs are numbers of steps seen."""

    made_sizes: Sizes
    real_sizes: Sizes
    made: tuple[int, ...]
    real: tuple[int, ...]
    made_variants: tuple[int, ...]
    """Cut-offs at which ablations and modes are tried too."""
    real_variants: tuple[int, ...]
    made_lengths: Mapping[int, tuple[int, ...]]
    """By cut-off, how many steps are forecast instead of all."""
    real_lengths: Mapping[int, tuple[int, ...]]
    tasks: tuple[str, ...] = (ALL_CROPS,)
    seeds: int = 1

    def on_real(self) -> list[Cell]:
        """The cells of Mato Grosso."""
        rivals = [(row, steps) for row in _QUICK_FIRST for steps in self.real]
        variants = [(row, steps) for steps in self.real_variants for row in (*ABLATIONS, *MODES)]
        rows = (*rivals, *variants, *_shorter(self.real_lengths))
        return [Cell(REAL, row, str(steps), seed) for seed in range(self.seeds) for row, steps in rows]

    def on_made(self) -> list[Cell]:
        """The cells of the made country."""
        rivals = [(row, steps) for row in _QUICK_FIRST for steps in self.made]
        variants = [(row, steps) for steps in self.made_variants for row in (*ABLATIONS, *MODES)]
        more = (*rivals, *variants, *_shorter(self.made_lengths))
        own = {task: more if task == ALL_CROPS else rivals for task in self.tasks}
        return [
            Cell(task, row, str(steps), seed)
            for seed in range(self.seeds)
            for task, rows in own.items()
            for row, steps in rows
        ]


def _shorter(lengths: Mapping[int, tuple[int, ...]]) -> list[tuple[str, int]]:
    return [(f"CLEC, {few} steps", steps) for steps, shorter in lengths.items() for few in shorter]


SCALES = {
    "quick": Scale(Sizes(1, 1, 16, per_class=10), Sizes(1, 1, 16), (16,), (6,), (), (), {}, {}),
    "default": Scale(
        Sizes(8, 8, 16, per_class=20),
        Sizes(16, 8, 16),
        (10, 16, 22, 28),
        (4, 6, 8, 10),
        (16,),
        (6,),
        {16: (3, 6, 12)},
        {},
    ),
    "full": Scale(
        Sizes(100, 20, 64, per_class=300, pixels=600),
        Sizes(200, 20, 16),
        tuple(range(10, 38, 3)),
        (4, 6, 8, 10, 12, 14, 16, 18, 20, 23),
        (10, 16, 22, 28),
        (4, 6, 8, 10),
        {16: (3, 6, 12), 22: (3, 6, 10)},
        {4: (3, 6, 12), 8: (3, 6, 10)},
        (ALL_CROPS, "Maize", "Winter wheat", "Sugar beet"),
        3,
    ),
}


def main() -> None:
    began, told = time.monotonic(), asked(__doc__, "CLEC (Kong et al. 2025)")
    scale = SCALES[told.scale]
    if told.scale == "full" and torch.cuda.is_available():
        made, real = (replace(sizes, device="cuda") for sizes in (scale.made_sizes, scale.real_sizes))
        scale = scale._replace(made_sizes=made, real_sizes=real)
    on_real(scale, told)
    on_made(scale, told)
    finished(began)


def on_real(scale: Scale, told: Namespace) -> None:
    """Mato Grosso, where it is at hand."""
    if not (DATA / "matogrosso-modis").is_dir():
        print("Mato Grosso: skipped, ../shared/data/matogrosso-modis is not beside the repository")
        return
    given = {steps: matogrosso(steps=steps)[0] for steps in scale.real}
    book = _book(told, scale.real_sizes)
    fill(book, scale.on_real(), OnReal(given, scale.real_sizes), told.workers)
    any_of = next(iter(given.values()))
    print(f"\n{REAL}: REAL. {len(any_of.samples.y)} samples, each block once the test. {scale.real_sizes.said}")
    columns = _columns(scale.real), _columns(scale.real_variants)
    real_report(book, REAL, any_of.names, *columns, _rows(scale.real_lengths), told.out)


def on_made(scale: Scale, told: Namespace) -> None:
    """The made country: learnt from in the first season, asked about held-out blocks of both."""
    options, sizes = TrainOptions(family="clec", block_m=BLOCK_M), scale.made_sizes
    seasons = [made_season(told.out, year, sizes.pixels) for year in YEARS]
    first, second = (
        seasons_of(
            {steps: season.samples(recipe(FEATURES, steps), options, CROPS) for steps in scale.made},
            5 * sizes.per_class,
        )
        for season in seasons
    )
    names = {code: name for code, name in seasons[0].names(first[scale.made[0]]).items() if code in CROPS}
    book = _book(told, sizes)
    fill(book, scale.on_made(), OnMade(first, second, names, sizes), told.workers)
    print(f"\nThe made country: INVENTED, it shows that the code works. {sizes.said}")
    columns = _columns(scale.made), _columns(scale.made_variants)
    made_report(book, scale.tasks, tuple(names.values()), *columns, _rows(scale.made_lengths), told.out)


def _book(told: Namespace, sizes: Sizes) -> Book:
    return Book(told.out / "clec.ndjson", {**vars(sizes), "training": TRAINING_VERSION})


def _rows(lengths: Mapping[int, tuple[int, ...]]) -> dict[str, list[str]]:
    """By column, the rows of shorter forecasts."""
    return {str(steps): [row for row, at in _shorter(lengths) if at == steps] for steps in lengths}


def _columns(steps: Sequence[int]) -> tuple[str, ...]:
    return tuple(map(str, steps))


if __name__ == "__main__":
    main()
