"""``tests.bench.papers.agrispec`` on tiny made series: what is judged on is learnt from in neither season."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.training import TrainOptions
from engine.training.prepare import prepare
from engine.types import Samples
from tests.bench.papers.agrispec import CROPS, FEATURES, SCALES, across, cells
from tests.bench.papers.cells import Book, fill
from tests.bench.papers.made import recipe
from tests.bench.papers.queue import interval, judged
from tests.bench.real_sets import CORSICA_LEAST, corsica

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


def test_parcels_of_corsica_are_read_in_physical_units_without_rare_classes(tmp_path: Path) -> None:
    months = pd.date_range("2021-09-01", periods=17, freq="MS")
    codes = ["1101060000"] * CORSICA_LEAST + ["1115000000"] * CORSICA_LEAST + ["1103010010"]
    rows = [(f"p{i:03d}", month, int(code), 9.0 + 0.2 * i) for i, code in enumerate(codes) for month in months]
    table = pd.DataFrame(rows, columns=["sample_id", "timestamp", "ewoc_code", "lon"]).assign(lat=42.0)
    for band, value in {"B02": 400, "B03": 500, "B04": 1000, "B08": 3000, "B11": 2000}.items():
        table[f"S2-L2A-{band}"] = value
    table["S1-SIGMA0-VV"], table["S1-SIGMA0-VH"] = 10**4, 10**3
    table.loc[table["timestamp"] == months[3], "S2-L2A-B08"] = 65535
    table.sample(frac=1, random_state=0).to_parquet(tmp_path / "some.geoparquet")
    groups = {"ewoc_code": ["11-01-06-000-0", "11-15-00-000-0", "11-03-01-001-0"]}
    labels = pd.DataFrame({**groups, "sampling_label": ["maize", "fallow", "vegetables"]})
    labels.to_csv(tmp_path / "ewoc_crop_type_class_mappings.csv", sep=";", index=False)
    given = corsica(tmp_path)
    assert given.names == ("fallow", "maize")
    assert np.bincount(given.samples.y).tolist() == [CORSICA_LEAST, CORSICA_LEAST]
    assert given.samples.y[0] == 1
    assert len(np.unique(given.samples.block)) > 10
    found = dict(zip(given.recipe.features, given.samples.x.transpose(2, 0, 1), strict=True))
    assert np.allclose(found["nir"], 0.3)
    assert np.allclose(found["vv"], 10 ** ((80 - 83) / 10))
    assert np.allclose(found["vh"], 10 ** ((60 - 83) / 10))
    assert np.allclose(found["ndvi"], 0.5)
    assert np.allclose(found["lswi"], 0.2)
