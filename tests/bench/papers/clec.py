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
    RIVALS,
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


class Scale(NamedTuple):
    """How much is done. Cut-offs are numbers of steps seen."""

    sizes: Sizes
    made: tuple[int, ...]
    real: tuple[int, ...]
    made_variants: tuple[int, ...]
    """Cut-offs at which ablations and modes are tried too."""
    real_variants: tuple[int, ...]
    lengths: Mapping[int, tuple[int, ...]]
    """By cut-off on the made country, how many steps are forecast instead of all."""
    tasks: tuple[str, ...] = (ALL_CROPS,)
    seeds: int = 1

    def on_real(self) -> list[Cell]:
        """The cells of Mato Grosso, those that the claims need most first."""
        rivals = [(row, steps) for steps in self.real for row in ("CLEC", *RIVALS)]
        variants = [(row, steps) for steps in self.real_variants for row in (*ABLATIONS, *MODES)]
        return [Cell(REAL, row, str(steps), seed) for seed in range(self.seeds) for row, steps in (*rivals, *variants)]

    def on_made(self) -> list[Cell]:
        """The cells of the made country."""
        rivals = [(row, steps) for steps in self.made for row in ("CLEC", *RIVALS)]
        variants = [(row, steps) for steps in self.made_variants for row in (*ABLATIONS, *MODES)]
        lengths = [(f"CLEC, {p} steps", steps) for steps, shorter in self.lengths.items() for p in shorter]
        own = {task: (*rivals, *variants, *lengths) if task == ALL_CROPS else rivals for task in self.tasks}
        return [
            Cell(task, row, str(steps), seed)
            for seed in range(self.seeds)
            for task, rows in own.items()
            for row, steps in rows
        ]


_LONG = {16: (3, 6, 12), 22: (3, 6, 10)}
SCALES = {
    "quick": Scale(Sizes(300, 10, 1, 1, 16), (16,), (6,), (), (), {}),
    "default": Scale(Sizes(300, 30, 12, 12, 16), (10, 16, 22, 28), (4, 6, 8, 10), (16,), (6,), {16: (3, 6, 12)}),
    "full": Scale(
        Sizes(600, 600, 100, 20, 64),
        tuple(range(10, 38, 3)),
        (4, 6, 8, 10, 12, 14, 16, 18, 20, 23),
        (10, 16, 22, 28),
        (4, 6, 8, 10),
        _LONG,
        (ALL_CROPS, "Maize", "Winter wheat", "Sugar beet"),
        3,
    ),
}


def main() -> None:
    began, told = time.monotonic(), asked(__doc__, "CLEC (Kong et al. 2025)")
    scale = SCALES[told.scale]
    if told.scale == "full" and torch.cuda.is_available():
        scale = scale._replace(sizes=replace(scale.sizes, device="cuda"))
    settings = {**vars(scale.sizes), "training": TRAINING_VERSION}
    book = Book(told.out / "clec.ndjson", settings)
    on_real(scale, book, told)
    on_made(scale, book, told)
    finished(began)


def on_real(scale: Scale, book: Book, told: Namespace) -> None:
    """Mato Grosso, where it is at hand."""
    if not (DATA / "matogrosso-modis").is_dir():
        print("Mato Grosso: skipped, ../shared/data/matogrosso-modis is not beside the repository")
        return
    given = {steps: matogrosso(steps=steps)[0] for steps in scale.real}
    fill(book, scale.on_real(), OnReal(given, scale.sizes), told.workers)
    any_of = next(iter(given.values()))
    print(f"\n{REAL}: REAL. {len(any_of.samples.y)} samples, each block once the test. {scale.sizes.said}")
    real_report(book, REAL, any_of.names, _columns(scale.real), _columns(scale.real_variants), told.out)


def on_made(scale: Scale, book: Book, told: Namespace) -> None:
    """The made country: learnt from in the first season, asked about held-out blocks of both."""
    options = TrainOptions(family="clec", block_m=BLOCK_M)
    seasons = [made_season(told.out, year, scale.sizes.pixels) for year in YEARS]
    first, second = (
        seasons_of(
            {steps: season.samples(recipe(FEATURES, steps), options, CROPS) for steps in scale.made},
            5 * scale.sizes.per_class,
        )
        for season in seasons
    )
    names = {code: name for code, name in seasons[0].names(first[scale.made[0]]).items() if code in CROPS}
    fill(book, scale.on_made(), OnMade(first, second, names, scale.sizes), told.workers)
    print(f"\nThe made country: INVENTED, it shows that the code works. {scale.sizes.said}")
    columns = _columns(scale.made), _columns(scale.made_variants)
    lengths = {str(steps): [f"CLEC, {p} steps" for p in shorter] for steps, shorter in scale.lengths.items()}
    made_report(book, scale.tasks, tuple(names.values()), *columns, lengths, told.out)


def _columns(steps: Sequence[int]) -> tuple[str, ...]:
    return tuple(map(str, steps))


if __name__ == "__main__":
    main()
