"""``tests.bench.real_series`` on made data: what is chosen never sees the test, and dates are where they belong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from pyproj import CRS, Transformer

from engine.models import Recipe
from engine.training import TrainOptions
from engine.types import Samples
from tests.bench import real_series
from tests.bench.real_protocol import Candidate, Contest, contest, fitted, folds
from tests.bench.real_sets import Given, formosat, matogrosso

OURS = [
    Candidate("svm", TrainOptions(family="svm"), every=2),
    Candidate("cnn1d", TrainOptions(family="cnn1d", epochs=5, batch=16)),
]
FOREST = [Candidate("forest", TrainOptions(family="forest", trees=20), features=("nir",))]
SINUSOIDAL = CRS.from_proj4("+proj=sinu +R=6371007.181 +units=m")


def made(samples_per_block: int = 5) -> Given:
    """Three classes of noisy waves in 36 blocks, of eight steps and two features."""
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(36), samples_per_block)
    y = (block % 3).astype(np.int32)
    wave = np.sin(np.arange(8) + y[:, None])[:, :, None] + rng.normal(0, 0.7, (len(y), 8, 2))
    nowhere = np.zeros(len(y), np.int32)
    samples = Samples(wave.astype(np.float32), y, block.astype(np.int64), nowhere, nowhere)
    return Given(samples, Recipe(features=("nir", "red"), steps=8), ("first", "second", "third"))


def outcome(given: Given, test: np.ndarray) -> Contest:
    return contest(given, test, {"ours": OURS, "forest": FOREST}, seeds=2, turns=2)


def garbled(given: Given, test: np.ndarray) -> Given:
    """The same with labels of the test turned round."""
    return replace(given, samples=replace(given.samples, y=np.where(test, 2 - given.samples.y, given.samples.y)))


def test_garbage_labels_in_the_test_change_neither_the_choice_nor_the_models() -> None:
    given = made()
    test = given.samples.block % 6 < 2
    first, second = outcome(given, test), outcome(garbled(given, test), test)
    assert {name: s.macro_f1 for name, s in first.validation.items()} == {
        name: s.macro_f1 for name, s in second.validation.items()
    }
    for group, answer in first.answers.items():
        assert answer.chosen == second.answers[group].chosen
        assert answer.mapped.shape == (2, test.sum())
        assert np.array_equal(answer.mapped, second.answers[group].mapped)
    assert (first.answers["forest"].mapped == given.samples.y[test]).mean() > 0.5


def test_garbage_series_in_the_test_do_not_change_the_choice() -> None:
    given = made()
    test = given.samples.block % 6 < 2
    x = np.where(test[:, None, None], np.float32(1e6), given.samples.x)
    first, second = outcome(given, test), outcome(replace(given, samples=replace(given.samples, x=x)), test)
    assert {n: s.overall for n, s in first.validation.items()} == {n: s.overall for n, s in second.validation.items()}
    assert {g: a.chosen for g, a in first.answers.items()} == {g: a.chosen for g, a in second.answers.items()}


@pytest.mark.parametrize("candidate", [*OURS, *FOREST], ids=lambda one: one.name)
def test_a_model_knows_nothing_of_the_fold_it_is_asked_about(candidate: Candidate) -> None:
    given = made()
    fold = folds(given.samples.y, given.samples.block)
    asked, stop = fold == 0, fold == 1
    first = fitted(given, ~(asked | stop), stop, candidate)(given.samples.x)
    second = fitted(garbled(given, asked), ~(asked | stop), stop, candidate)(given.samples.x)
    assert np.array_equal(first, second)
    third = fitted(garbled(given, ~asked), ~(asked | stop), stop, candidate)(given.samples.x)
    assert not np.array_equal(first, third)


def test_folds_hold_whole_blocks_and_every_class_is_in_three() -> None:
    given = made()
    fold = folds(given.samples.y, given.samples.block)
    assert len(set(zip(given.samples.block, fold, strict=True))) == 36
    assert sorted(set(fold)) == [0, 1, 2, 3, 4]
    assert all(len(set(fold[given.samples.y == code])) >= 3 for code in range(3))


def test_a_class_in_two_blocks_is_refused() -> None:
    given = made()
    rare = given.of((given.samples.y != 2) | (given.samples.block < 6))
    with pytest.raises(ValueError, match="every class in 3 of 5 folds"):
        folds(rare.samples.y, rare.samples.block)


def test_a_tenth_of_each_class_is_drawn_rounded_up() -> None:
    y = np.repeat(np.arange(5), [68, 138, 79, 134, 184])
    taken = real_series.drawn(y, 0)
    assert np.bincount(y[taken]).tolist() == [7, 14, 8, 14, 19]
    assert not np.array_equal(taken, real_series.drawn(y, 1))


def test_who_knows_the_season_alone_says_its_commonest_class_elsewhere() -> None:
    y = np.array([0, 0, 1, 1, 1, 0] * 5, np.int32)
    year = np.array([1, 1, 1, 2, 2, 2] * 5)
    said = real_series.by_season(y, year, np.repeat(np.arange(5), 6))
    assert said.tolist() == [0, 0, 0, 1, 1, 1] * 5


def test_pixels_that_touch_the_test_border_on_it_and_are_not_learnt_from() -> None:
    given = made()
    row, nowhere = given.samples.block.astype(np.int32), np.zeros(len(given.samples.y), np.int32)
    given = replace(given, samples=replace(given.samples, row=row, col=nowhere))
    test = given.samples.block < 6
    border = real_series.bordering(given, test)
    assert set(given.samples.block[border].tolist()) == {6}
    first, second = (
        contest(given, test, {"ours": OURS[:1]}, 1, 1, left_out=border),
        contest(garbled(given, border), test, {"ours": OURS[:1]}, 1, 1, left_out=border),
    )
    assert np.array_equal(first.answers["ours"].mapped, second.answers["ours"].mapped)
    assert first.validation["svm"].macro_f1 == second.validation["svm"].macro_f1


def test_formosat_files_become_bands_indices_and_polygons(tmp_path: Path) -> None:
    (tmp_path / "class_map.txt").write_text("value,class,colour\n1,wheat,#ffff00\n2,water,#000096\n")
    (tmp_path / "train_dataset.csv").write_text("0,7,300,100,150,200,100,50\n")
    (tmp_path / "test_dataset.csv").write_text("1,9,30,90,60,30,90,60\n")
    given, test = formosat(tmp_path)
    assert given.names == ("wheat", "water") and test.tolist() == [False, True]
    assert given.samples.y.tolist() == [0, 1] and given.samples.block.tolist() == [7, 9]
    assert given.samples.x[0, 0] == pytest.approx([300, 100, 150, 0.5, 1.0])
    assert given.samples.x.shape == (2, given.recipe.steps, len(given.recipe.features))


def test_composites_of_modis_stand_at_the_day_they_were_acquired(tmp_path: Path) -> None:
    dates = [pd.Timestamp(year, 1, 1) + pd.Timedelta(days=16 * k) for year in (2010, 2011) for k in range(23)]
    doys = _made_modis(tmp_path, dates)
    given, year = matogrosso(tmp_path)
    assert (doys < 20).any() and year.tolist() == [2010, 2010]
    assert given.names == ("Cotton", "Forest") and given.samples.y.tolist() == [1, 0]
    assert given.samples.row.tolist() == [0, 7] and given.samples.col.tolist() == [1, 8]
    assert len(set(given.samples.block.tolist())) == 2
    # Values are days since 1 September, so that what is read at a step is its own day.
    inner = given.samples.x[:, 1:-1, 0]
    assert inner == pytest.approx(np.tile(12 + 16 * np.arange(1, 22), (2, 1)), abs=1e-3)


def test_nothing_acquired_after_the_cut_off_is_in_the_steps_before_it(tmp_path: Path) -> None:
    dates = [pd.Timestamp(year, 1, 1) + pd.Timedelta(days=16 * k) for year in (2010, 2011) for k in range(23)]
    _made_modis(tmp_path, dates)
    steps = 9
    first = matogrosso(tmp_path, steps)[0]
    cut = 12 + 16 * (steps - 1)
    for path in tmp_path.glob("*.tif"):
        if path.name != "doy.tif":
            with rasterio.open(path, "r+") as raster:
                values = raster.read()
                raster.write(np.where(values > cut, 7.0 * values, values))
    second = matogrosso(tmp_path, steps)[0]
    assert np.array_equal(first.samples.x, second.samples.x)
    assert first.samples.x.shape[1] == first.recipe.steps == steps and first.samples.later.shape[1] == 23 - steps
    assert not np.array_equal(first.samples.later, second.samples.later)
    assert not np.array_equal(matogrosso(tmp_path)[0].samples.x[:, :steps], second.samples.x)


def _made_modis(folder: Path, dates: list[pd.Timestamp]) -> np.ndarray:
    """A folder laid out as the set is: each value the day of its acquisition, counted from 1 September 2010."""
    rng = np.random.default_rng(1)
    delay = rng.integers(0, 12, (len(dates), 10, 12))
    first = np.array([(day - pd.Timestamp(2010, 9, 1)).days for day in dates])[:, None, None]
    since = (first + delay).astype(np.float64)
    since[25, 0, 1] = -1e300
    doy = (np.array([day.day_of_year for day in dates])[:, None, None] + delay - 1) % 365 + 1
    profile = {
        "driver": "GTiff", "dtype": "float64", "count": len(dates), "height": 10, "width": 12, "nodata": -1e300,
        "crs": SINUSOIDAL.to_wkt(), "transform": rasterio.Affine(231.6, 0, -6089550, 0, -231.6, -1332950),
    }  # fmt: skip
    for name in ("blue", "red", "nir", "mir", "ndvi", "evi", "doy"):
        with rasterio.open(folder / f"{name}.tif", "w", **profile) as raster:
            raster.write((doy if name == "doy" else since).astype(np.float64))
    to_degrees = Transformer.from_crs(SINUSOIDAL, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(*rasterio.transform.xy(profile["transform"], [0, 7], [1, 8]))
    rows = [f'{a},{b},"2010-09-01","2011-09-01","{c}"' for a, b, c in zip(lon, lat, ("Forest", "Cotton"), strict=True)]
    (folder / "samples.csv").write_text("\n".join(['"longitude","latitude","from","to","label"', *rows]) + "\n")
    (folder / "timeline").write_text("\n".join(f"{day:%Y-%m-%d}" for day in dates) + "\n")
    return doy


def test_the_command_says_what_it_skips_where_the_data_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(real_series, "DATA", tmp_path)
    monkeypatch.setattr("sys.argv", ["real_series"])
    real_series.main()
    said = capsys.readouterr().out
    assert "formosat: skipped" in said and "matogrosso: skipped" in said
