"""The pieces of ``tests.bench.papers.convstar`` on made squares: equal rows for all methods, parts that do not touch,
rare classes as asked for, and cells that are computed once."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from engine.models import Recipe
from engine.types import Samples
from tests.bench.papers import convstar
from tests.bench.papers.cells import Book, Cell, fill
from tests.bench.papers.convstar_tables import pooled, show_claims, told, verdict
from tests.bench.papers.squares import Squares, Wanted, drawn, opened, thinned
from tests.bench.real_sets import Given

SCALE = convstar.SCALES["quick"]._replace(squares=6, stop=3, judged=6, first=0)
NAMES = {1200: "maize", 9120: "grass"}
FEATURES = ("vv", "vh", "red", "nir", "swir1")


def samples_of(blocks: int = 30, side: int = 6, patch: int = 9, steps: int = 13) -> Samples:
    """Squares around pixels of two classes, which differ in level; blocks lie in a row."""
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(blocks), side)
    y = (block % 2).astype(np.int32)
    x = rng.normal(0, 0.3, (len(y), steps, len(FEATURES), patch, patch)) + y[:, None, None, None, None]
    next_to = np.where(np.arange(len(y)) % side == 0, block - 1, block)  # the first square reaches into the one before
    near = np.stack([block, np.maximum(next_to, 0)], axis=1)
    nowhere = np.zeros(len(y), np.int32)
    return Samples(x.astype(np.float32), y, block, nowhere, nowhere, near)


def squares_of() -> Squares:
    samples = samples_of()
    assert samples.near is not None
    return Squares(Given(samples, Recipe(features=FEATURES, steps=13), tuple(NAMES.values())), samples.near)


def test_no_square_reaches_into_another_part_and_each_block_is_once_in_the_test() -> None:
    squares = squares_of()
    block = squares.given.samples.block
    deals = squares.deals(5)
    tested = [set(block[deal.test]) for deal in deals]
    assert set.union(*tested) == set(range(30)) and sum(map(len, tested)) == 30
    for deal in deals:
        assert not (deal.learn & deal.stop).any() and not ((deal.learn | deal.stop) & deal.test).any()
        for part in deal:
            assert not set(squares.near[part].ravel()) & set(block[(deal.learn | deal.stop | deal.test) & ~part])


def test_all_methods_see_the_same_rows_in_the_middle_of_the_same_squares() -> None:
    squares = squares_of()
    whole, small, pixel = (squares.seen(("nir", "vv"), patch).samples for patch in (9, 5, 1))
    assert whole.x.shape[1:] == (13, 2, 9, 9) and pixel.x.shape == (180, 13, 2)
    assert np.array_equal(whole.x[..., 2:7, 2:7], small.x) and np.array_equal(small.x[..., 2, 2], pixel.x)
    assert np.array_equal(pixel.x[:, :, 0], squares.given.samples.x[:, :, 3, 4, 4])
    assert np.array_equal(whole.y, pixel.y)
    with pytest.raises(ValueError, match="odd and 9 or less, got 11"):
        squares.seen(("nir",), 11)


def test_the_rarest_class_of_table_3_has_a_ninth_of_the_commonest() -> None:
    scale = SCALE._replace(squares=60)
    assert convstar.shares(2, scale, rare=True)[0] == (90, 10)
    assert convstar.shares(4, scale, rare=True)[0] == (90, 43, 21, 10)
    y = np.arange(200) % 2
    rows = np.arange(200) < 150
    taken = drawn(rows, y, (90, 10), seed=0)
    assert np.bincount(y[taken]).tolist() == [75, 10] and not (taken & ~rows).any()
    assert np.array_equal(taken, drawn(rows, y, (90, 10), seed=0))
    assert not np.array_equal(taken, drawn(rows, y, (90, 10), seed=1))


def test_thinned_keeps_so_many_of_each_class_in_each_block() -> None:
    samples = samples_of()
    mixed = Samples(samples.x, (np.arange(180) % 3 == 0).astype(np.int32), *(
        getattr(samples, name) for name in ("block", "row", "col", "near")
    ))  # fmt: skip
    kept = thinned(mixed, 1)
    pairs = list(zip(kept.y.tolist(), kept.block.tolist(), strict=True))
    assert len(pairs) == len(set(pairs)) == 60


def test_what_is_opened_is_what_was_kept(tmp_path: Path) -> None:
    samples, wanted = samples_of(), Wanted(NAMES, FEATURES, 9, 13, 9, 160.0, 12)
    held = {name: getattr(samples, name) for name in ("x", "y", "block", "row", "col", "near")}
    np.savez(tmp_path / "squares.npz", **held)
    squares = opened(tmp_path / "squares.npz", wanted)
    assert np.array_equal(squares.given.samples.x, samples.x)
    assert squares.given.recipe.season_start == "04-01" and squares.given.names == ("maize", "grass")


def test_cells_are_computed_once_and_judged_on_the_same_squares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples, wanted = samples_of(), Wanted(NAMES, FEATURES, 0, 13, 9, 160.0, 12)
    held = {name: getattr(samples, name) for name in ("x", "y", "block", "row", "col", "near")}
    np.savez(tmp_path / "squares.npz", **held)
    files = {convstar.MADE.title: (tmp_path / "squares.npz", wanted)}
    compute = partial(convstar.compute, files=files, scale=SCALE)
    table, path = f"{convstar.MADE.title}, Tables 1 and 2", tmp_path / "book.ndjson"
    cells = [Cell(table, method, "optical") for method in ("forest", "convstar3d")]
    book = Book(path, {"scale": SCALE})
    for cell in cells:
        book.note(cell, {**compute(cell), "seconds": 0.0})
    forest, ours = (np.array(book[cell]["matrices"]) for cell in cells)
    assert forest.shape == ours.shape and np.array_equal(forest.sum(axis=1), ours.sum(axis=1))
    assert forest.sum(axis=0).trace() > 0.9 * forest.sum()
    assert np.array(book[cells[1]]["slopes"]).shape == (2, 5, 5) and "slopes" not in book[cells[0]]

    again = Book(path, {"scale": SCALE})
    assert all(cell in again for cell in cells)
    fill(again, cells, _refuse, workers=1)
    assert "2 of 2 cells are there already" in capsys.readouterr().out
    assert cells[0] not in Book(path, {"scale": SCALE._replace(epochs=2)})
    assert np.array_equal(pooled(again, table, "forest", "optical"), forest)
    assert pooled(again, table, "tempcnn", "optical") is None


def test_a_claim_is_borne_out_where_every_comparison_is_won() -> None:
    right = np.tile(np.diag([5, 5]), (12, 1, 1))
    wrong = np.tile(np.array([[2, 3], [3, 2]]), (12, 1, 1))
    assert told(right, wrong).endswith("WON") and told(wrong, right).endswith("LOST")
    assert told(right, right).endswith("no difference shown") and told(right, None) == "not computed"
    assert verdict([told(right, wrong)]).startswith("BORNE OUT")
    assert verdict([told(right, wrong), told(right, right)]).startswith("NOT BORNE OUT")
    assert verdict([told(right, wrong), told(right, None)]).startswith("CANNOT BE JUDGED")


def test_on_real_scenes_m_chi_is_said_to_be_beyond_judging(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = Book(tmp_path / "book.ndjson", {})
    show_claims(book, "Flanders 2018", ("backscatter",), "backscatter", rivals=("tempcnn",), kinds=("none", "mixup"))
    said = capsys.readouterr().out
    assert "CANNOT BE JUDGED. Scenes of GRD have no phase" in said and "not all computed" in said


def _refuse(cell: Cell) -> dict[str, float]:
    raise AssertionError(f"{cell} was computed again")
