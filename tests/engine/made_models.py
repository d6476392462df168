"""Small made cards, samples and models for the tests of models, prediction and training."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier

from engine.bands import FEATURE_BANDS
from engine.features import derive_series
from engine.models import Card, ClassEntry, Classifier, Domain, Recipe
from engine.models import forest as forests
from engine.models import series as networks
from engine.training import TrainOptions
from engine.training.parts import Part, Trained
from engine.training.support import separate
from engine.types import Samples

DOMAIN = Domain(
    geometry={"type": "Polygon", "coordinates": [[[3.0, 50.8], [3.1, 50.8], [3.1, 50.9], [3.0, 50.9], [3.0, 50.8]]]},
    start=datetime(2018, 1, 1, tzinfo=UTC),
    end=datetime(2018, 12, 1, tzinfo=UTC),
)


def made_card(weights: bytes, steps: int = 34, features: int = 13, classes: int = 9, family: str = "tempcnn") -> Card:
    """A card of made scaling for these weights."""
    return Card(
        name="made-model",
        family=family,
        recipe=Recipe(features=tuple(FEATURE_BANDS)[:features], steps=steps),
        classes=tuple(ClassEntry(code=10 * i + 10, name=f"crop {i}", colour=f"#0000{i:02x}") for i in range(classes)),
        lower=(0.1,) * features,
        upper=(0.9,) * features,
        fill=(0.3,) * features,
        temperature=1.5,
        weights="model.skops" if family == "forest" else "model.safetensors",
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        weights_bytes=len(weights),
        parameters=1,
        training={"key": "made"},
        licence="CC0-1.0",
    )


def made_network(steps: int = 34, features: int = 13, classes: int = 9) -> networks.TempCNN:
    """A TempCNN with random weights and batch statistics, as if trained."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = networks.TempCNN(steps, features, classes)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
    with torch.no_grad():  # so that every class wins somewhere
        network.eval().out.weight.mul_(20)
        network.out.bias.sub_(network(torch.linspace(0, 1, 200 * steps * features).view(200, steps, -1)).mean(0))
    return network


def made_forest(steps: int = 5, features: int = 3, classes: int = 4, jobs: int = 1) -> RandomForestClassifier:
    """A small forest fitted to made series."""
    rng = np.random.default_rng(5)
    y = np.arange(300) % classes
    x = rng.random((300, steps * features), dtype=np.float32) + 0.1 * y[:, None]
    return RandomForestClassifier(12, random_state=1, n_jobs=jobs).fit(x.astype(np.float32), y)


def made_tempcnn(steps: int = 34, features: int = 13, classes: int = 9) -> networks.NetworkClassifier:
    """A loaded TempCNN."""
    weights = networks.to_bytes(made_network(steps, features, classes))
    return networks.NetworkClassifier(made_card(weights, steps, features, classes), weights)


def made_forest_classifier() -> forests.ForestClassifier:
    """A loaded forest."""
    weights = forests.to_bytes(made_forest())
    return forests.ForestClassifier(made_card(weights, 5, 3, 4, "forest"), weights)


def made_svm(steps: int = 5, features: int = 3, classes: int = 4) -> tuple[Trained, Part]:
    """A small support vector machine and the series it was fitted to."""
    rng = np.random.default_rng(5)
    y = np.arange(300) % classes
    x = rng.random((300, steps, features), dtype=np.float32) + np.float32(0.1) * y[:, None, None].astype(np.float32)
    part = Part(x.astype(np.float32), y)
    return separate(part, TrainOptions(family="svm")), part


def made_pixels(n: int, steps: int = 34, features: int = 13, seed: int = 0) -> np.ndarray:
    """(n, t, f) float32 with a missing series here and there and values outside the card's scaling."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-0.2, 1.2, (n, steps, features)).astype(np.float32)
    x[rng.random(n) < 0.1, :, 0] = np.nan
    return x


def rows_that_stand_alone(classifier: Classifier, x: np.ndarray) -> np.ndarray:
    """The probabilities of ``x`` (128, t, f), asserted to be the same bits whatever a row's place, company and the
    number of threads, and to be had of one row and of none."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = classifier.predict(x)
        others = made_pixels(*x.shape, seed=1)
        others[3:20] = x[50:67]
        for threads in (1, 2):
            torch.set_num_threads(threads)
            order = np.random.default_rng(threads).permutation(len(x))
            np.testing.assert_array_equal(classifier.predict(x[order]), expected[order])
            np.testing.assert_array_equal(classifier.predict(others)[3:20], expected[50:67])
    finally:
        torch.set_num_threads(before)
    classes = len(classifier.card.classes)
    assert classifier.predict(x[:1]).shape == (1, classes) and classifier.predict(x[:0]).shape == (0, classes)
    return expected


def made_samples(n: int = 1200, steps: int = 12, classes: int = 3, blocks: int = 15, noise: float = 0.15) -> Samples:
    """Series of two features (ndvi, vv) with one peak each, its time told by the class; codes 10, 20, ..."""
    rng = np.random.default_rng(11)
    y, block = rng.integers(0, classes, n), rng.integers(0, blocks, n)
    time = np.linspace(0, 1, steps)
    peak = 0.3 + 0.5 * y / classes + rng.normal(0, 0.02, blocks)[block]
    curve = np.exp(-(((time - peak[:, None]) / 0.15) ** 2))
    x = np.stack([curve, 0.1 * curve], axis=2) + rng.normal(0, noise, (n, steps, 2)) * [1, 0.1]
    at = np.arange(n, dtype=np.int32)
    return Samples(x.astype(np.float32), (10 * y + 10).astype(np.int32), block.astype(np.int64), at, at)


def made_seasons(n: int = 300) -> Samples:
    """The samples of ``made_samples`` for ``SEASONS_RECIPE``, with what was observed: a third is missing, and of nir
    the last step."""
    samples = made_samples(n)
    observed = samples.x.copy()
    observed[np.random.default_rng(4).random(observed.shape) < 1 / 3] = np.nan
    observed[:, -1, 0] = np.nan
    return replace(samples, x=derive_series(observed, SEASONS_RECIPE), observed=observed)


SEASONS_RECIPE = Recipe(features=("nir", "vv"), steps=12)
MADE_RECIPE = Recipe(features=("ndvi", "vv"), steps=12)
MADE_CLASSES = {10: "early", 20: "middle", 30: "late"}
