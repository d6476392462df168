"""What a training is said to take: every family and what is added to it counts, and memory is near the measured."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from engine.bands import FEATURE_BANDS
from engine.models import Recipe
from engine.models.card import Family
from engine.training import TrainOptions
from jobs.training_costs import TrainingSize, size_of, training_bytes, training_seconds
from tests.servers.process import REPO_ROOT

RECIPE = Recipe(features=tuple(FEATURE_BANDS)[:13], steps=34)
SAMPLES = 12_000
MEASURED = f"""
from pathlib import Path
import numpy as np
from engine.models import Recipe
from engine.training import TrainOptions, fit
from engine.bands import FEATURE_BANDS
from engine.types import Samples

def samples(n):
    rng = np.random.default_rng(0)
    x = rng.random((n, 34, 13), dtype=np.float32)
    y, block, at = rng.integers(1, 3, n), rng.integers(0, 15, n), np.arange(n, dtype=np.int32)
    x += (0.2 * y)[:, None, None].astype(np.float32)
    return Samples(x, y, block, at, at)

def train(n):
    fit(samples(n), Recipe(features=tuple(FEATURE_BANDS)[:13], steps=34), {{{{1: "a", 2: "b"}}}}, options)
    # Not resource.ru_maxrss: a process inherits that from the one that starts it.
    told = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(told["VmHWM"].split()[0])

options = TrainOptions(family={{family!r}}, epochs=1, block_m=500, trees=20)
before = train(300)  # everything is imported
print(train({SAMPLES}) - before)
"""


@pytest.mark.parametrize("family", [family for family in get_args(Family) if family != "onnx"])
def test_every_family_takes_time_and_memory_that_grow_with_its_samples(family: Family) -> None:
    options = TrainOptions(family=family)
    few, many = (size_of(options, pixels, 8) for pixels in (1_000, 10_000))
    assert 0 < training_seconds(options, few, RECIPE, 100) < training_seconds(options, many, RECIPE, 100)
    row = 34 * 13 * 4
    assert training_bytes(options, few, RECIPE, 8) > few.held * row
    assert training_bytes(options, many, RECIPE, 8) > training_bytes(options, few, RECIPE, 8)


def test_virtual_labels_and_another_domain_are_counted_and_gain_trains_twelve_times() -> None:
    plain = size_of(TrainOptions(), 1e6, 8)
    virtual = size_of(TrainOptions(virtual={"share": 0.5}), 1e6, 8)
    adapting = size_of(TrainOptions(family="agrispec", adversarial={}), 1e6, 8)
    assert plain.trained == 80_000 and virtual.trained == 120_000 and adapting.trained == 160_000
    assert plain.held < adapting.held and virtual.held == plain.held + 120_000
    every, gain = (TrainOptions(virtual={"accept": accept}) for accept in ("all", "gain"))
    once = training_seconds(every, virtual, RECIPE, 100)
    assert training_seconds(gain, virtual, RECIPE, 100) == 12 * once


@pytest.mark.parametrize("family", ["cnn1d", "forest"])
def test_the_memory_that_a_training_is_said_to_take_is_near_what_it_takes(family: Family) -> None:
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURED.format(family=family)],
        cwd=REPO_ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    measured = int(told.stdout.split()[-1])
    options = TrainOptions(family=family, trees=20)
    said = training_bytes(options, TrainingSize(0.6 * SAMPLES, SAMPLES), RECIPE, 2)
    assert measured <= said <= 12 * measured, (measured, said)
