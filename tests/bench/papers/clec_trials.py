"""The trainings behind the tables of CLEC: which methods there are, and what one of them scores at one cut-off date.

On the made country by ``engine.training.fit`` itself: blocks of fields dealt to training, validation and test, the same
for all methods and cut-offs of a table. In Mato Grosso each block is once the test, by the protocol of
``tests.bench.real_protocol``, less what borders on the test; nothing is chosen there but the epoch, by a fold that is
learnt from by forest and support vectors.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.assess.bootstrap import block_matrices, intervals, measures
from engine.models import Card, open_model
from engine.models.card import Family
from engine.samples import chosen
from engine.training import TrainOptions, fit
from engine.training.cascade_options import CascadeOptions
from engine.training.prepare import class_indices, prepare
from engine.types import Samples
from tests.bench.papers.cells import Cell
from tests.bench.papers.clec_forecast import forecast_figures, forecast_of, mean_season
from tests.bench.papers.made import BLOCK_M, recipe
from tests.bench.real_protocol import FOLDS, Candidate, folds, trained
from tests.bench.real_series import bordering
from tests.bench.real_sets import Given

FEATURES = (
    "blue", "green", "red", "nir", "swir1", "vv", "vh", "lst", "ndvi", "evi", "gcvi", "lswi", "rvi",
)  # fmt: skip
ALL_CROPS = "all crops"
REST = "rest"


@dataclass(frozen=True)
class Method:
    """One row of a table."""

    family: Family
    preset: str = "paper"
    predicted: int | None = None
    """Steps forecast; None: to the season's end."""
    learning_rate: float = 1e-3

    def of(self, samples: Samples) -> Samples:
        """The samples with no more steps to come than it forecasts."""
        return replace(samples, later=None if samples.later is None else samples.later[:, : self.predicted])


RIVALS: Mapping[str, Method] = {
    "RF": Method("forest"),
    "SVM": Method("svm"),
    "DCM": Method("dcm", learning_rate=5e-4),
    # At 1e-3 it learns nothing in Mato Grosso: macro-F1 0.06 on a validation fold after 8 epochs, 0.96 at 1e-4.
    "Transformer": Method("transformer", learning_rate=1e-4),
    "1D-CNN": Method("cnn1d"),
}
ABLATIONS = {"no attention": Method("clec", "no_attention"), "no GradNorm": Method("clec", "no_gradnorm")}
MODES = {"plain": Method("clec", "plain"), "v2": Method("clec", "v2"), "v3": Method("clec", "v3")}
METHODS: Mapping[str, Method] = {"CLEC": Method("clec"), **RIVALS, **ABLATIONS, **MODES}


@dataclass(frozen=True)
class Sizes:
    """How much is learnt, and for how long: the same for all methods."""

    epochs: int
    patience: int
    batch: int
    per_class: int = 10_000
    """Pixels of a crop that training takes of the made country at most; about as many again are judged on."""
    pixels: int = 300
    """A side of the made country."""
    device: str = "cpu"

    @property
    def said(self) -> str:
        """For people."""
        return f"Networks: {self.epochs} epochs at most, patience {self.patience}, batch {self.batch}."

    def options(self, method: Method, seed: int) -> TrainOptions:
        return TrainOptions(
            family=method.family, cascade=CascadeOptions(preset=method.preset), seed=seed, block_m=BLOCK_M,
            max_samples_per_class=self.per_class, max_judged=8 * self.per_class, trees=500, epochs=self.epochs,
            patience=self.patience, batch=self.batch, learning_rate=method.learning_rate, device=self.device,
        )  # fmt: skip


def method_of(row: str) -> Method:
    """The method of a row; ``CLEC, N steps`` forecasts N."""
    if row in METHODS:
        return METHODS[row]
    return Method("clec", predicted=int(row.removeprefix("CLEC, ").removesuffix(" steps")))


@dataclass(frozen=True)
class OnMade:
    """What a cell of the made country scores. first, second: by cut-off, samples of the season that is learnt from and
    of the next one; the same pixels at all cut-offs. names: by code."""

    first: Mapping[int, Samples]
    second: Mapping[int, Samples]
    names: Mapping[int, str]
    sizes: Sizes

    def __call__(self, cell: Cell) -> dict[str, Any]:
        method, steps = method_of(cell.row), int(cell.column)
        names = self.names if cell.table == ALL_CROPS else {1: cell.table, 2: REST}
        first, second = (_as_asked(season[steps], self.names, cell.table) for season in (self.first, self.second))
        samples, own = method.of(first), recipe(FEATURES, steps)
        options = self.sizes.options(method, cell.seed)
        ready = prepare(replace(samples, later=None), own, names, options, {})
        test = ready.rows["test"]
        began = _now(self.sizes.device)
        fitted = fit(samples, own, names, options)
        trained_in = _now(self.sizes.device) - began
        elsewhere = np.isin(second.block, samples.block[test])
        found = {
            "parameters": fitted.card.parameters,
            "s per epoch": trained_in / fitted.report.get("epochs", 1),
            "learnt from": len(ready.rows["train"]),
            "judged on": len(test),
            **_asked(fitted.card, fitted.weights, chosen(first, test), self.sizes.device),
        }
        other = _asked(fitted.card, fitted.weights, chosen(second, elsewhere), self.sizes.device)
        found |= {f"{name}, next season": other[name] for name in ("OA", "kappa", "macro-F1")}
        if fitted.card.later_steps:
            mean = mean_season(samples.later[ready.rows["train"]])
            found |= forecast_figures([forecast_of(fitted.card, fitted.weights, chosen(samples, test), mean)], FEATURES)
        return found


@dataclass(frozen=True)
class OnReal:
    """What a cell of Mato Grosso scores, each block once the test. given: by cut-off."""

    given: Mapping[int, Given]
    sizes: Sizes

    def __call__(self, cell: Cell) -> dict[str, Any]:
        method, whole = method_of(cell.row), self.given[int(cell.column)]
        given = replace(whole, samples=method.of(whole.samples))
        candidate = Candidate(cell.row, self.sizes.options(method, cell.seed))
        fold = folds(given.samples.y, given.samples.block)
        mapped, forecasts = np.empty(len(fold), np.int64), []
        card = None
        for turn in range(FOLDS):
            test = fold == turn
            learn = given.of(~(test | bordering(given, test)))
            own = folds(learn.samples.y, learn.samples.block) == cell.seed % FOLDS
            card, weights = trained(learn, ~own, own, candidate, cell.seed)
            mapped[test] = open_model(card, weights).predict(given.samples.x[test]).argmax(axis=1)
            if card.later_steps:
                mean = mean_season(learn.samples.later)
                forecasts.append(forecast_of(card, weights, chosen(given.samples, test), mean))
        assert card is not None
        matrices = block_matrices(mapped, given.samples.y, given.samples.block, len(given.names))
        found = {"parameters": card.parameters, **figures(matrices, given.names), "blocks": matrices.tolist()}
        return found | (forecast_figures(forecasts, given.recipe.features) if forecasts else {})


def figures(matrices: NDArray[np.int64], names: Sequence[str]) -> dict[str, float | None]:
    """Accuracies of all blocks together, and the lower ends of 95 % intervals over blocks. matrices: (b, k, k)."""
    found, low = measures(matrices.sum(axis=0)), intervals(matrices).low
    values = {"OA": found.overall, "kappa": found.kappa, "macro-F1": found.macro_f1, "macro-F1 low": low.macro_f1}
    for k, name in enumerate(names):
        values |= {f"F1 {name}": found.f1[k], f"F1 {name} low": low.f1[k]}
    return {name: None if np.isnan(value) else float(value) for name, value in values.items()}


def seasons_of(samples: Mapping[int, Samples], each: int, seed: int = 0) -> dict[int, Samples]:
    """By cut-off the same pixels, at most so many of each code: of those that are there at the first one."""
    first = samples[min(samples)]
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(first.y == code))[:each] for code in np.unique(first.y)]
    place = _places(chosen(first, np.sort(np.concatenate(rows))))
    return {steps: chosen(one, np.isin(_places(one), place)) for steps, one in samples.items()}


def _asked(card: Card, weights: bytes, samples: Samples, device: str) -> dict[str, Any]:
    """The model's accuracies on these samples and how many it does in a second."""
    model = open_model(card, weights)
    used, y = class_indices(samples.y, card.classes)
    began = _now(device)
    mapped = model.predict(samples.x[used]).argmax(axis=1)
    speed = len(used) / (_now(device) - began)
    matrices = block_matrices(mapped, y, samples.block[used], len(card.classes))
    return {"pixels per s": speed, **figures(matrices, [entry.name for entry in card.classes])}


def _as_asked(samples: Samples, names: Mapping[int, str], task: str) -> Samples:
    """Samples with the task's codes: all crops', or 1 for one of them and 2 for the rest."""
    if task == ALL_CROPS:
        return samples
    (crop,) = (code for code, name in names.items() if name == task)
    return replace(samples, y=np.where(samples.y == crop, 1, 2).astype(np.int32))


def _now(device: str) -> float:
    """Processor seconds, which others' work does not lengthen; on a GPU the clock's."""
    return time.process_time() if device == "cpu" else time.perf_counter()


def _places(samples: Samples) -> NDArray[np.int64]:
    return samples.row.astype(np.int64) << 32 | samples.col
