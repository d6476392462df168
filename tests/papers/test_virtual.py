"""``tests.bench.papers.virtual`` on tiny made squares: who knows the truth, and what is learnt from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.training import TrainOptions
from engine.types import Samples
from tests.bench.papers.cells import Book, Cell
from tests.bench.papers.few_labels import OPTICAL, RADAR, STEPS, Few, Sizes, dealt
from tests.bench.papers.virtual import METHODS, SCALES, TABLES, accuracies, cells, method, with_virtual

SIZES = Sizes(labelled=12, per_field=4, validation=8, test=10, free=3)
FOREST = TrainOptions(family="forest", trees=20, block_m=100.0)
NETWORK = TrainOptions(family="twobranch", patch=3, epochs=1, batch=16, block_m=100.0)
FIELD_PX = 9


def fields() -> tuple[Samples, np.ndarray]:
    """Two crops on 100 fields in 25 blocks, squares of 3 x 3 pixels; blocks touch the next one at every ninth pixel."""
    rng = np.random.default_rng(0)
    field = np.repeat(np.arange(100), FIELD_PX)
    y = (rng.permutation(100) % 2)[field].astype(np.int32)
    block = (field // 4 + 1).astype(np.int64)
    wave = np.sin(np.arange(len(STEPS)) + 1.5 * y[:, None])[:, :, None, None, None]
    x = wave + rng.normal(0, 0.3, (len(y), len(STEPS), len(OPTICAL) + len(RADAR), 3, 3))
    at_edge = np.arange(len(y)) % (4 * FIELD_PX) == 0
    near = np.where(at_edge, np.maximum(block - 1, 1), block)[:, None]
    place = np.arange(len(y), dtype=np.int32)
    return Samples(x.astype(np.float32), y, block, place, place, near), field


@pytest.fixture(scope="module")
def few() -> Few:
    samples, field = fields()
    return dealt(samples, ("maize", "grass"), field, SIZES, turn=0, seed=0)


def test_unlabelled_pixels_lie_apart_from_labelled_fields_and_from_what_is_judged(few: Few) -> None:
    field = few.samples.row // FIELD_PX
    free, train = few.rows["free"], few.rows["train"]
    held = few.samples.block[np.concatenate([few.rows["validation"], few.rows["test"]])]
    assert not np.isin(field[free], field[train]).any()
    assert few.fields == len(np.unique(field[train]))
    for rows in (free, train):
        assert not np.isin(few.samples.block[rows], held).any()
        assert not np.isin(few.samples.near[rows], held).any()
    assert np.bincount(few.samples.y[train]).tolist() == [12, 12]
    assert len(free) == 3 * 24


def test_the_truth_of_unlabelled_pixels_decides_nothing_but_how_many_virtual_labels_are_right(few: Few) -> None:
    y = few.samples.y.copy()
    y[few.rows["free"]] = 1 - y[few.rows["free"]]
    first = method([few], OPTICAL, "RTL+VTL", FOREST)
    garbled = method([replace(few, samples=replace(few.samples, y=y))], OPTICAL, "RTL+VTL", FOREST)
    assert first["matrices"] == garbled["matrices"]
    assert first["trained on"] == garbled["trained on"] > 0
    assert first["right"] == pytest.approx(1 - garbled["right"], abs=1e-6)
    assert first["right"] > 0.5


def test_virtual_labels_alone_leave_the_labelled_pixels_out(few: Few) -> None:
    own = few.seen(RADAR, middle=True)
    ready = own.prepared(RADAR)
    both, told = with_virtual(ready, own, RADAR, FOREST, gain=False, alone=False)
    only, _ = with_virtual(ready, own, RADAR, FOREST, gain=False, alone=True)
    assert len(both.parts["train"].y) == len(ready.rows["train"]) + told["trained on"]
    assert np.array_equal(only.parts["train"].x, both.parts["train"].x[len(ready.rows["train"]) :])


def test_the_network_and_its_subsets_by_gain_are_judged_on_the_same_pixels(few: Few) -> None:
    plain = method([few], RADAR, "RTL", NETWORK)
    gained = method([few], RADAR, "RTL+VTL*", NETWORK)
    one, two = np.array(plain["matrices"]), np.array(gained["matrices"])
    assert np.array_equal(one.sum(axis=1), two.sum(axis=1))
    assert 0 <= gained["subsets kept"] <= 10
    assert gained["trained on"] <= gained["voted for"]


def test_producer_s_accuracy_is_of_the_reference_and_user_s_of_the_map() -> None:
    mapped, y = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    found = accuracies(mapped, y, np.zeros(4, np.int64), ("maize", "grass"))
    assert (found["PA maize"], found["UA maize"]) == (1.0, pytest.approx(2 / 3, abs=1e-6))
    assert (found["PA grass"], found["UA grass"]) == (0.5, 1.0)


def test_the_cells_of_a_scale_are_all_methods_of_all_tables_and_are_found_again(tmp_path) -> None:
    wanted = cells(SCALES["quick"], ("made",))
    assert {(cell.row, cell.column) for cell in wanted} == {(m, t) for m in METHODS for t in TABLES}
    settings = {"scale": SCALES["quick"]._asdict()}
    Book(tmp_path / "cells.jsonl", settings).note(wanted[0], {"kappa": 0.5})
    assert wanted[0] in Book(tmp_path / "cells.jsonl", settings)
    assert Cell("made", "RTL", "radar", 7) not in Book(tmp_path / "cells.jsonl", settings)
