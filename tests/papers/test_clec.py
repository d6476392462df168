"""``tests.bench.papers.clec`` on made data: cells are computed once, methods share a test, verdicts follow figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.models import Recipe
from engine.types import Samples
from tests.bench.papers.cells import Book, Cell, fill
from tests.bench.papers.clec import SCALES
from tests.bench.papers.clec_forecast import Forecast, draw, forecast_figures
from tests.bench.papers.clec_report import _claim, _earlier
from tests.bench.papers.clec_trials import ALL_CROPS, FEATURES, RIVALS, OnMade, OnReal, Sizes, seasons_of
from tests.bench.real_sets import Given

SIZES = Sizes(epochs=1, patience=1, batch=16, per_class=20)
STEPS, LATER = 5, 3
CODES = {7: "Maize", 8: "Oats", 9: "Rye"}


def made(features: int, seed: int = 0, codes: tuple[int, ...] = (0, 1, 2)) -> Samples:
    """Three classes of noisy waves in 36 blocks, five steps seen and three to come."""
    rng = np.random.default_rng(seed)
    block = np.repeat(np.arange(36), 5)
    wave = np.sin(np.arange(STEPS + LATER) + (block % 3)[:, None])[:, :, None]
    x = (wave + rng.normal(0, 0.3, (len(block), STEPS + LATER, features))).astype(np.float32)
    place = np.arange(len(block), dtype=np.int32)
    y = np.array(codes, np.int32)[block % 3]
    return Samples(x[:, :STEPS], y, block.astype(np.int64), place * 10, place * 20, later=x[:, STEPS:])


def on_real() -> OnReal:
    recipe = Recipe(features=("ndvi", "evi"), steps=STEPS)
    return OnReal({STEPS: Given(made(2), recipe, ("first", "second", "third"))}, SIZES)


def test_a_second_run_computes_nothing_anew_and_a_torn_line_is_computed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "book.ndjson"
    cells = [Cell("real", row, str(STEPS)) for row in ("SVM", "1D-CNN")]
    fill(Book(path, {}), cells, on_real(), workers=1)
    whole = path.read_text()
    fill(Book(path, {}), cells, on_real(), workers=1)
    assert path.read_text() == whole
    assert "2 of 2 cells are there already" in capsys.readouterr().out
    path.write_text(whole[:-20])
    book = Book(path, {})
    assert cells[0] in book and cells[1] not in book
    fill(book, cells, on_real(), workers=1)
    first, again = (Book(tmp_path / name, {}) for name in ("first.ndjson", "book.ndjson"))
    assert cells[1] in again and cells[1] not in first
    assert "1 of 2 cells are there already" in capsys.readouterr().out


def test_in_mato_grosso_every_sample_is_once_the_test_of_every_method() -> None:
    compute, samples = on_real(), made(2)
    found = {row: compute(Cell("real", row, str(STEPS))) for row in ("CLEC", "SVM", "CLEC, 0 steps")}
    for one in found.values():
        assert np.sum(one["blocks"]) == len(samples.y)
        assert np.array_equal(np.sum(one["blocks"], axis=1), np.sum(found["SVM"]["blocks"], axis=1))
    assert "RMSE ndvi" in found["CLEC"] and "RMSE ndvi" not in found["SVM"] and "RMSE lswi" not in found["CLEC"]
    assert len(found["CLEC"]["drawn"]["ndvi"]["made"][0]) == LATER
    assert "drawn" not in found["CLEC, 0 steps"]
    assert found["SVM"]["OA"] > 0.8


def test_on_the_made_country_methods_of_a_table_share_training_and_test_pixels() -> None:
    season, other = made(len(FEATURES), 0, tuple(CODES)), made(len(FEATURES), 1, tuple(CODES))
    compute = OnMade({STEPS: season}, {STEPS: other}, CODES, replace(SIZES, per_class=15))
    found = [compute(Cell(ALL_CROPS, row, str(STEPS))) for row in ("CLEC", "SVM")]
    assert [one["learnt from"] for one in found] == [45, 45] and found[0]["judged on"] == found[1]["judged on"]
    assert found[1]["OA"] > 0.8 and found[1]["OA, next season"] > 0.8
    assert found[0]["RMSE ndvi, mean season"] < found[0]["RMSE ndvi, last value held"] and "F1 Rye" in found[0]
    binary = compute(Cell("Oats", "SVM", str(STEPS)))
    assert {"F1 Oats", "F1 rest"} <= binary.keys() and "F1 Rye" not in binary


def test_all_cut_offs_have_the_same_pixels_at_most_so_many_of_a_class() -> None:
    whole = made(2)
    late = replace(whole, x=whole.later, later=None)
    few = Samples(*(getattr(whole, name)[3:] for name in ("x", "y", "block", "row", "col")))
    drawn = seasons_of({2: few, 3: late}, each=10)
    assert np.array_equal(drawn[2].row, drawn[3].row) and np.array_equal(drawn[2].y, drawn[3].y)
    assert np.bincount(drawn[2].y).tolist() == [10, 10, 10] and drawn[2].row.min() >= 30


def test_a_true_forecast_has_no_error_and_the_mean_of_what_came_explains_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0.5, 0.1, (40, LATER, 2)).astype(np.float32)
    unknown = truth.copy()
    unknown[:5, -1] = np.nan
    mean = np.full_like(truth, np.nanmean(unknown[:, :, 0]))
    found = forecast_figures([Forecast(truth, unknown, truth, truth + 0.3, mean)], ("ndvi", "nir"))
    assert found["RMSE ndvi"] == 0 and found["R2 ndvi"] == 1 and "RMSE nir" not in found
    assert found["RMSE ndvi, last value held"] == pytest.approx(0.3, abs=1e-6)
    assert found["R2 ndvi, mean season"] == pytest.approx(0, abs=1e-4)
    draw(found["drawn"], tmp_path / "drawn.png", "a title")
    assert (tmp_path / "drawn.png").read_bytes()[1:4] == b"PNG"


def noted(path: Path, right: Mapping[str, float]) -> Book:
    """A book of one cut-off: of 20 blocks of 10 samples, this share of each method is right."""
    book = Book(path, {})
    for row, share in right.items():
        hit = round(5 * share)
        blocks = np.tile([[hit, 5 - hit], [5 - hit, hit]], (20, 1, 1))
        f1 = {"macro-F1": share, "macro-F1 low": share}
        book.note(Cell("real", row, "4"), {"blocks": blocks.tolist(), **f1})
    return book


@pytest.mark.parametrize(("clec", "said"), [(1.0, ": borne out"), (0.8, "NOT borne out"), (0.6, "NOT borne out")])
def test_a_claim_is_borne_out_where_clec_wins_every_comparison(tmp_path: Path, clec: float, said: str) -> None:
    book = noted(tmp_path / "book", {**dict.fromkeys(RIVALS, 0.6), "RF": 0.8, "CLEC": clec})
    assert said in _claim(book, "real", "It wins", tuple(RIVALS), ("4",))
    assert said in _claim(book, "real", "It beats the forest", ("RF",), ("4",))


def test_a_claim_with_missing_cells_is_not_judged(tmp_path: Path) -> None:
    book = noted(tmp_path / "book", {"CLEC": 1.0, "RF": 0.6})
    assert "cannot be judged" in _claim(book, "real", "It wins", tuple(RIVALS), ("4",))
    assert "cannot be judged" in _earlier(book, "real", ("4",))


def test_earlier_means_before_every_rival(tmp_path: Path) -> None:
    rivals = dict.fromkeys(RIVALS, 0.6)
    assert ": borne out" in _earlier(noted(tmp_path / "one", {"CLEC": 1.0, **rivals}), "real", ("4",))
    assert "NOT borne out" in _earlier(noted(tmp_path / "two", {"CLEC": 1.0, **rivals, "RF": 1.0}), "real", ("4",))


def test_every_scale_has_the_cells_its_tables_ask_for_once() -> None:
    assert {cell.row for cell in SCALES["quick"].on_real()} == {"CLEC", *RIVALS}
    assert len(SCALES["default"].on_real()) == 4 * 6 + 5 and len(SCALES["default"].on_made()) == 4 * 6 + 5 + 3
    for scale in SCALES.values():
        cells = [*scale.on_real(), *scale.on_made()]
        assert len(set(cells)) == len(cells)
        assert {*scale.made_variants, *scale.made_lengths} <= set(scale.made)
        assert {*scale.real_variants, *scale.real_lengths} <= set(scale.real)
