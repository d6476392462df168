"""Land of a kind the model never saw, told or not: ``python -m tests.bench.familiarity [--scale SCALE] [--set S]``.

Each class of a set is left out of training in turn. Blocks are dealt to five folds: one is the test, one validation, a
model of the other classes learns from three (Formosat's test is that given with it). Then it is asked whether the class
left out can be told from the test's known samples: the AUROC (0.5 is chance); the share told at five false alarms in a
hundred, the threshold from validation alone; and how many false alarms the test then really has. Means over the classes
left out. Beside what ships (``engine.training.familiar``) stand the classes' largest probability, energy and entropy;
the dissimilarity index of the area of applicability (Meyer and Pebesma 2021, Methods in Ecology and Evolution 12(9):
distance to the nearest training sample, features standardised, of a forest weighted by its importances); and distances
in the network's last hidden layer: of Mahalanobis, and to the fifth neighbour.

Sets: Formosat-2, MODIS in Mato Grosso, parcels in Corsica, Flanders (``tests.bench.real_sets``; absent ones are said),
and the made country, which is invented. ``quick`` looks at Mato Grosso by forest and TempCNN in two minutes of one
core; ``default`` at all by three kinds of model in about an hour.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.models import Classifier, normalise, open_model
from engine.models.card import Family
from engine.models.forest import ForestClassifier
from engine.models.scaling import probabilities
from engine.models.series import NetworkClassifier
from engine.samples import chosen
from engine.training import TrainOptions
from engine.training.familiar import reference
from tests.bench.measure import closing, context
from tests.bench.papers.made import made_season, recipe, season_of
from tests.bench.papers.squares import FLANDERS, flanders_job
from tests.bench.real_protocol import Candidate, folds, trained
from tests.bench.real_sets import DATA, Given, corsica, formosat, matogrosso

_FEATURES = ("blue", "green", "red", "nir", "swir1", "vv", "vh", "ndvi", "evi", "lswi")
_TEST, _VALIDATION = 0, 1
_LEAST, _MOST, _BLOCKS = 60, 150, 4
"""Samples of a class at least and at most, and blocks, in places that are mapped whole."""
_SQUARE_PX = 6
"""Side of the squares that the made country is dealt by: it has too few fields of each kind to deal these whole."""
FALSE_ALARMS = 0.05
PARTS = ("train", "validation", "test", "unknown")


class Scale(NamedTuple):
    """How much is done."""

    sets: tuple[str, ...]
    families: tuple[Family, ...]
    epochs: int


SCALES = {
    "quick": Scale(("matogrosso",), ("forest", "tempcnn"), 25),
    "default": Scale(("matogrosso", "formosat", "corsica", "flanders", "made"), ("forest", "tempcnn", "cnn1d"), 25),
}


@dataclass(frozen=True, slots=True)
class Trial:
    """A model that one class was left out of, and what it is asked about. x: by part (n, t, f) float32 scaled."""

    model: Classifier
    x: Mapping[str, NDArray[np.float32]]
    y: NDArray[np.int64]
    """Of the training part."""


class Told(NamedTuple):
    """How well a way tells the class left out."""

    auroc: float
    told: float
    false_alarms: float


Way = Callable[[Trial], tuple[NDArray, NDArray, NDArray]]
"""How strange validation, test and unknown samples are, (n,) each; the larger the stranger."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SCALES["default"].sets, help="one of the sets alone")
    parser.add_argument("--scale", choices=list(SCALES), default="default")
    parser.add_argument("--out", type=Path, default=Path("work/familiarity"), help="where cubes are built and kept")
    asked = parser.parse_args()
    context(f"Familiarity, --scale {asked.scale}")
    scale = SCALES[asked.scale]
    for name in (asked.set,) if asked.set else scale.sets:
        found = given_of(name, asked.out)
        if found is None:
            print(f"{name}: skipped, its data is not beside the repository")
        else:
            compare(name, *found, scale)
    closing()


def given_of(name: str, out: Path) -> tuple[Given, NDArray[np.int64]] | None:
    """A set and the fold of each sample; None where it is absent."""
    folder = {"matogrosso": "matogrosso-modis", "formosat": "formosat-series", "corsica": "corsica-parcels-2022"}
    if (name in folder and not (DATA / folder[name]).is_dir()) or (name == "flanders" and not FLANDERS.is_dir()):
        return None
    if name == "formosat":
        given, test = formosat()
        given = replace(  # every fifth of 149 steps: what 260 samples can teach
            given, samples=replace(given.samples, x=np.ascontiguousarray(given.samples.x[:, ::5])),
            recipe=given.recipe.model_copy(update={"steps": 30, "step_days": 10}),
        )  # fmt: skip
        fold = np.zeros(len(test), np.int64)
        fold[~test] = 1 + folds(given.samples.y[~test], given.samples.block[~test]) % 4
        return given, fold
    if name == "made":
        given = _mapped(name, out)
        at = given.samples
        return given, folds(at.y, (at.row // _SQUARE_PX).astype(np.int64) * 1000 + at.col // _SQUARE_PX)
    given = matogrosso()[0] if name == "matogrosso" else corsica() if name == "corsica" else _mapped(name, out)
    return given, folds(given.samples.y, given.samples.block)


def _mapped(name: str, out: Path) -> Given:
    """Pixels of a place that is mapped whole: of classes that have enough of them, at most so many of each."""
    blocks = _BLOCKS if name == "flanders" else 1
    season = season_of(flanders_job(out), 2018) if name == "flanders" else made_season(out, 2023, 96)
    own = recipe(_FEATURES, 34 if name == "flanders" else 36)
    samples = season.samples(own, TrainOptions(family="forest", block_m=80.0))
    names, rng = season.names(samples), np.random.default_rng(0)
    rows = {code: np.flatnonzero(samples.y == code) for code in names}
    enough = [c for c in names if len(rows[c]) >= _LEAST and len(np.unique(samples.block[rows[c]])) >= blocks]
    kept = np.sort(np.concatenate([rng.permutation(rows[code])[:_MOST] for code in enough]))
    some = chosen(samples, kept)
    y = np.array([enough.index(code) for code in some.y.tolist()], np.int32)
    return Given(replace(some, y=y), own, tuple(names[code] for code in enough))


def compare(name: str, given: Given, fold: NDArray[np.int64], scale: Scale) -> None:
    """Print, by kind of model, how well each way tells the classes left out."""
    print(f"{name}: {len(given.samples.y)} samples, {len(given.names)} classes, each left out once")
    for family in scale.families:
        rows: dict[str, list[Told]] = {}
        accuracy, left_out = [], []
        for code in range(len(given.names)):
            trial, right = tried(given, fold, code, TrainOptions(family=family, epochs=scale.epochs, batch=32))
            if trial is None:
                continue
            accuracy.append(right)
            left_out.append(given.names[code])
            for way, strangeness in ways(trial):
                rows.setdefault(way, []).append(judged(*strangeness))
        print(f"  {family}: right of the known {np.mean(accuracy):.2f}")
        print(f"    {'':<34}{'AUROC':>7}{'told':>7}{'false alarms':>14}")
        for way, told in rows.items():
            auroc, share, alarms = np.mean(told, axis=0)
            print(f"    {way:<34}{auroc:>7.3f}{share:>7.2f}{alarms:>14.2f}")
        each = (f"{what} {told.auroc:.2f}" for what, told in zip(left_out, rows["shipped"], strict=True))
        print(f"    shipped, AUROC by class left out: {'; '.join(each)}", flush=True)


def tried(
    given: Given, fold: NDArray[np.int64], code: int, options: TrainOptions
) -> tuple[Trial, float] | tuple[None, float]:
    """A model without this class, and its accuracy on the test's known samples; none where a fold lacks a class."""
    unknown = given.samples.y == code
    known, own = given.of(~unknown), fold[~unknown]
    y = np.where(known.samples.y > code, known.samples.y - 1, known.samples.y).astype(np.int32)
    known = Given(replace(known.samples, y=y), given.recipe, (*given.names[:code], *given.names[code + 1 :]))
    learn, stop = own > _VALIDATION, own == _VALIDATION
    candidate = Candidate(options.family, options)
    if len(np.unique(y[learn])) < len(known.names):
        return None, 0.0
    model = open_model(*trained(known, learn, stop if candidate.descends else np.zeros_like(stop), candidate))
    x = known.samples.x
    parts = dict(zip(PARTS, (x[learn], x[stop], x[own == _TEST], given.samples.x[unknown]), strict=True))
    scaled = {part: normalise(rows, model.card) for part, rows in parts.items()}
    right = float((model.logits(scaled["test"]).argmax(axis=1) == y[own == _TEST]).mean())
    return Trial(model, scaled, y[learn].astype(np.int64)), right


def judged(validation: NDArray, test: NDArray, unknown: NDArray) -> Told:
    """How well strangeness (n,) tells unknown samples from the test's."""
    from sklearn.metrics import roc_auc_score

    truth = np.repeat([0, 1], [len(test), len(unknown)])
    rank = min(len(validation), int(np.ceil((1 - FALSE_ALARMS) * (len(validation) + 1))))
    threshold = np.sort(validation)[rank - 1]
    auroc = float(roc_auc_score(truth, np.concatenate([test, unknown])))
    return Told(auroc, float((unknown > threshold).mean()), float((test > threshold).mean()))


def ways(trial: Trial) -> Iterator[tuple[str, tuple[NDArray, NDArray, NDArray]]]:
    """Every way to tell, by name, and what it says."""
    yield "shipped", _asked(trial, _shipped(trial))
    yield "largest probability", _asked(trial, lambda x: -probabilities(trial.model.logits(x), 1.0).max(axis=1))
    yield "energy", _asked(trial, lambda x: -_log_sum(trial.model.logits(x)))
    yield "entropy", _asked(trial, lambda x: _entropy(probabilities(trial.model.logits(x), 1.0)))
    yield "area of applicability", _asked(trial, _applicability(trial))
    yield "features, Mahalanobis", _asked(trial, _mahalanobis(trial, _flat))
    yield "features, fifth neighbour", _asked(trial, _neighbour(trial, _flat))
    if isinstance(trial.model, NetworkClassifier):
        hidden = hidden_of(trial.model)
        yield "hidden layer, Mahalanobis", _asked(trial, _mahalanobis(trial, hidden))
        yield "hidden layer, fifth neighbour", _asked(trial, _neighbour(trial, hidden))


def _asked(trial: Trial, strange: Callable[[NDArray], NDArray]) -> tuple[NDArray, NDArray, NDArray]:
    validation, test, unknown = (strange(trial.x[part]) for part in PARTS[1:])
    return validation, test, unknown


def _flat(x: NDArray) -> NDArray:
    return np.asarray(x.reshape(len(x), -1), np.float64)


def hidden_of(model: NetworkClassifier) -> Callable[[NDArray], NDArray]:
    """Scaled series -> what enters the network's last layer, (n, u)."""
    import torch

    *_, last = (layer for layer in model._network.modules() if isinstance(layer, torch.nn.Linear))

    def hidden(x: NDArray) -> NDArray:
        found: list[NDArray] = []
        handle = last.register_forward_pre_hook(lambda layer, given: found.append(given[0].numpy().copy()))
        model.logits(x)
        handle.remove()
        return found[0].astype(np.float64)

    return hidden


def _shipped(trial: Trial) -> Callable[[NDArray], NDArray]:
    made = reference(trial.x["train"], trial.y, trial.x["validation"])
    return made.distance


def _applicability(trial: Trial) -> Callable[[NDArray], NDArray]:
    from scipy.spatial.distance import cdist

    learnt, weight = _flat(trial.x["train"]), 1.0
    if isinstance(trial.model, ForestClassifier):
        weight = trial.model._forest.feature_importances_
    centre, spread = learnt.mean(axis=0), np.maximum(learnt.std(axis=0), 1e-6)
    near = (learnt - centre) / spread * weight
    return lambda x: cdist((_flat(x) - centre) / spread * weight, near).min(axis=1)


def _mahalanobis(trial: Trial, seen: Callable[[NDArray], NDArray], axes: int = 48) -> Callable[[NDArray], NDArray]:
    """To the nearest class, one shrunk covariance for all, along principal axes."""
    from sklearn.covariance import LedoitWolf
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    learnt = seen(trial.x["train"])
    along = make_pipeline(StandardScaler(), PCA(min(axes, *learnt.shape), svd_solver="full")).fit(learnt)
    z = along.transform(learnt)
    means = np.stack([z[trial.y == code].mean(axis=0) for code in np.unique(trial.y)])
    within = LedoitWolf(assume_centered=True).fit(z - means[np.unique(trial.y, return_inverse=True)[1]])

    def apart(x: NDArray) -> NDArray:
        rows = along.transform(seen(x))
        return np.stack([within.mahalanobis(rows - mean) for mean in means]).min(axis=0)

    return apart


def _neighbour(trial: Trial, seen: Callable[[NDArray], NDArray], k: int = 5) -> Callable[[NDArray], NDArray]:
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    learnt = seen(trial.x["train"])
    even = StandardScaler().fit(learnt)
    near: Any = NearestNeighbors(n_neighbors=k).fit(even.transform(learnt))
    return lambda x: near.kneighbors(even.transform(seen(x)))[0][:, -1]


def _log_sum(logits: NDArray) -> NDArray:
    top = logits.max(axis=1)
    return np.asarray(top + np.log(np.exp(logits - top[:, None]).sum(axis=1)))


def _entropy(p: NDArray) -> NDArray:
    return np.asarray(-(p * np.log(np.maximum(p, 1e-12))).sum(axis=1))


if __name__ == "__main__":
    main()
