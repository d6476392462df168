"""How fast every family maps, through the engine and bare: ``python -m tests.bench.networks``.

A block of made features is mapped by ``engine.predict.classify_at``, as a worker does it (cut, scale, pad, classify,
calibrate), and beside it, in turns, the same network in a bare torch loop over input that lies ready, scaled, in
batches of the same size. Printed: pixels a second on one core, and what share of the bare loop's speed the engine
reaches. HybridSN is measured as it maps (swept over blocks), and as patches. Weights are random: they do not matter to
speed, but a forest's and an SVM's would, so these two are not here.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable

import numpy as np
import torch

from engine.bands import FEATURE_BANDS
from engine.models import Card, ClassEntry, Recipe
from engine.models.card import PATCHES
from engine.models.scaling import normalise
from engine.models.series import NETWORKS, PATCH_NETWORKS, NetworkClassifier, Shape, build, open_network, to_bytes
from engine.predict import Sweeps, classify_at, cut, suggest_micro_batch
from engine.types import FeatureBlock
from tests.bench.measure import closing, context

Loop = Callable[[int], int]
"""Does that many pixels or a few more; says how many."""
SIZES = {family: (34, 13) for family in NETWORKS} | {family: (26, 3) for family in PATCH_NETWORKS}
"""Steps and features: those of the papers."""
LATER = {"clec": 18}
SECONDS = 4.0
"""So long is one turn, about, by the first call's speed."""


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="turns of each, of which the best counts")
    parser.add_argument("--families", nargs="*", default=list(SIZES), help="only these")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    context("Networks, one core")
    print(f"{'family':<24}{'input':>16}{'batch':>7}{'engine px/s':>13}{'bare px/s':>12}{'share':>8}")
    for family in arguments.families:
        measure(family, arguments.runs)
    closing()


def measure(family: str, runs: int) -> None:
    """A line for the family, and for one that sweeps a second one of its patches."""
    card, weights = made(family)
    classifier = open_network(card, weights)
    batch = suggest_micro_batch(card, 1 << 30)
    features = made_block(card, 64)
    rows, cols = (index.ravel() for index in np.indices((64, 64)))
    bare = bare_loop(classifier, features, batch)
    line(family, card, batch, (engine_loop(classifier, features, (rows, cols), batch), bare), runs)
    if family == "hybridsn":
        patches = NetworkClassifier(card, weights)
        line(f"{family}, as patches", card, batch, (engine_loop(patches, features, (rows, cols), batch), bare), runs)


def line(name: str, card: Card, batch: int, loops: tuple[Loop, Loop], runs: int) -> None:
    """Both loops, the engine's and the bare one, in turns; the best of each."""
    best = [0.0, 0.0]
    amounts = [amount(loop, batch) for loop in loops]
    for _ in range(runs):
        for which, loop in enumerate(loops):
            began = time.perf_counter()
            done = loop(amounts[which])
            best[which] = max(best[which], done / (time.perf_counter() - began))
    size = " x ".join(map(str, card.input_shape))
    print(f"{name:<24}{size:>16}{batch:>7}{best[0]:>13,.0f}{best[1]:>12,.0f}{best[0] / best[1]:>8.2f}", flush=True)


def amount(loop: Loop, batch: int) -> int:
    """Pixels that take about ``SECONDS``, whole batches."""
    loop(batch)
    began = time.perf_counter()
    done = loop(batch)
    rate = done / (time.perf_counter() - began)
    return int(max(1, round(rate * SECONDS / batch))) * batch


def engine_loop(
    classifier: NetworkClassifier, features: FeatureBlock, at: tuple[np.ndarray, np.ndarray], batch: int
) -> Loop:
    """Maps the block's pixels over and over, or as many of them as are asked for where the network does not sweep."""

    def loop(pixels: int) -> int:
        some = len(at[0]) if isinstance(classifier, Sweeps) else min(len(at[0]), pixels)
        rows, cols = (index[:some] for index in at)
        for _ in range(0, pixels, some):
            classify_at(classifier, features, rows, cols, batch)
        return -(-pixels // some) * some

    return loop


def bare_loop(classifier: NetworkClassifier, features: FeatureBlock, batch: int) -> Loop:
    """The network alone on batches that lie ready."""
    card, index = classifier.card, np.arange(batch)
    ready = torch.from_numpy(normalise(cut(features, index // 64, index % 64, card.halo), card))
    network = classifier._network  # what nobody but a benchmark should do

    def loop(pixels: int) -> int:
        with torch.inference_mode():
            for _ in range(0, pixels, batch):
                network(ready)
        return -(-pixels // batch) * batch

    return loop


def made(family: str) -> tuple[Card, bytes]:
    """A card and random weights."""
    steps, features = SIZES[family]
    later, halo = LATER.get(family, 0), PATCHES.get(family, 1) // 2
    steps = 19 if family == "clec" else steps
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = to_bytes(build(family, Shape(steps, features, 6, 2 * halo + 1, later)))
    card = Card.model_validate(
        {
            "name": "made", "family": family, "mode": "patch" if halo else "pixel", "halo": halo, "later_steps": later,
            "recipe": Recipe(features=tuple(FEATURE_BANDS)[:features], steps=steps),
            "classes": tuple(ClassEntry(code=i + 1, name=f"crop {i}", colour="#000000") for i in range(6)),
            "lower": (0.0,) * features, "upper": (1.0,) * features, "fill": (0.5,) * features,
            "weights": "model.safetensors", "weights_sha256": hashlib.sha256(weights).hexdigest(),
            "weights_bytes": len(weights), "parameters": 1,
        }
    )  # fmt: skip
    return card, weights


def made_block(card: Card, side: int) -> FeatureBlock:
    """Features of ``side`` x ``side`` pixels with the model's halo."""
    recipe, px = card.recipe, side + 2 * card.halo
    x = np.random.default_rng(1).random((recipe.steps, len(recipe.features), px, px), dtype=np.float32)
    return FeatureBlock(x, np.ones((px, px), np.bool_))


if __name__ == "__main__":
    main()
