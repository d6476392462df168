"""``tests.bench.papers.agrispec`` on tiny made series: what is judged on is learnt from in neither season."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.training import TrainOptions
from engine.training.prepare import prepare
from engine.types import Samples
from tests.bench.papers.agrispec import CROPS, FEATURES, SCALES, across, cells
from tests.bench.papers.cells import Book, fill
from tests.bench.papers.made import recipe
from tests.bench.papers.queue import interval, judged

NAMES = {CROPS[0]: "wheat", CROPS[1]: "maize"}
OPTIONS = TrainOptions(family="agrispec", epochs=2, batch=16, min_samples=5, trees=5)


def season(shift: float, seed: int) -> Samples:
    """Two crops of noisy waves in 20 blocks, 37 steps; the same places in every season."""
    rng = np.random.default_rng(seed)
    block = np.repeat(np.arange(20), 6).astype(np.int64)
    y = rng.integers(0, 2, len(block))
    wave = np.sin(np.arange(37) / 6 + 1.5 * y[:, None] + shift)[:, :, None] + rng.normal(0, 0.3, (len(y), 37, 9))
    place = np.arange(len(y), dtype=np.int32)
    assert wave.shape[2] == len(FEATURES)
    return Samples(wave.astype(np.float32), np.array(CROPS[:2], np.int32)[y], block, place, place)


def test_the_other_season_s_test_places_change_nothing_that_is_learnt() -> None:
    own, other = season(0, 1), season(0.4, 2)
    first = across(own, other, NAMES, OPTIONS, adapts=True)
    tested = np.isin(other.block, blocks_judged(own))
    garbled = replace(other, x=np.where(tested[:, None, None], 9.0, other.x).astype(np.float32))
    second = across(own, garbled, NAMES, OPTIONS, adapts=True)
    assert first["own season: ECE, uncalibrated"] == second["own season: ECE, uncalibrated"]
    assert first["domain head"] == second["domain head"]
    assert first["other season: ECE, uncalibrated"] != second["other season: ECE, uncalibrated"]


def test_labels_of_the_other_season_change_no_model_but_its_unlabelled_series_do() -> None:
    own, other = season(0, 1), season(0.4, 2)
    first = across(own, other, NAMES, OPTIONS, adapts=True)
    relabelled = across(own, replace(other, y=other.y[::-1].copy()), NAMES, OPTIONS, adapts=True)
    assert first["own season: ECE, uncalibrated"] == relabelled["own season: ECE, uncalibrated"]
    moved = across(own, replace(other, x=other.x + 0.5), NAMES, OPTIONS, adapts=True)
    assert first["own season: ECE, uncalibrated"] != moved["own season: ECE, uncalibrated"]


def test_methods_are_judged_on_the_same_samples() -> None:
    own, other = season(0, 1), season(0.4, 2)
    network = across(own, other, NAMES, OPTIONS, adapts=True)
    forest = across(own, other, NAMES, OPTIONS.model_copy(update={"family": "forest"}), adapts=False)
    for name in ("own season: matrices", "other season: matrices"):
        one, two = np.array(network[name]), np.array(forest[name])
        assert np.array_equal(one.sum(axis=1), two.sum(axis=1))
        assert one.sum() > 0
    assert 0 <= network["probe"] <= 1
    assert "domain head" not in forest


def test_coverage_and_selective_accuracy_are_of_what_is_sure_enough() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]], np.float32))
    found = judged(logits, 1.0, np.array([0, 1, 1, 1]), np.arange(4), ("first", "second"))
    assert found["coverage at 0.65"] == 0.75
    assert found["selective accuracy at 0.65"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["classes"]["first"] == [1, pytest.approx(2 / 3, abs=1e-6), 0.5, pytest.approx(1 / 3, abs=1e-6)]
    assert found["least PA"] == pytest.approx(1 / 3, abs=1e-6)
    cooler = judged(logits, 4.0, np.array([0, 1, 1, 1]), np.arange(4), ("first", "second"))
    assert cooler["overall accuracy"] == found["overall accuracy"]
    assert cooler["coverage at 0.65"] == 0.0
    assert cooler["selective accuracy at 0.65"] is None
    assert interval(found["matrices"], found["matrices"]) == "+0.000 [+0.000, +0.000]"


def test_a_second_run_computes_nothing_and_a_torn_line_is_computed_again(tmp_path: Path) -> None:
    path, settings, wanted = tmp_path / "cells.jsonl", {"scale": 1}, cells(SCALES["quick"], real=True)
    book = Book(path, settings)
    for number, cell in enumerate(wanted):
        book.note(cell, {"ECE": number / 100})
    fill(Book(path, settings), wanted, _refuse, workers=1)
    path.write_bytes(path.read_bytes()[:-10])
    left = [cell for cell in wanted if cell not in Book(path, settings)]
    assert left == wanted[-1:]
    assert not any(cell in Book(path, {"scale": 2}) for cell in wanted)


def _refuse(cell: object) -> dict[str, float]:
    raise AssertionError(f"{cell} was there")


def blocks_judged(own: Samples) -> np.ndarray:
    """The blocks of the test."""
    rows = prepare(own, recipe(FEATURES), NAMES, OPTIONS, {}).rows["test"]
    return np.unique(own.block[rows])
