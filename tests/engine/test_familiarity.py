"""Land unlike the training's is told, alike in every tiling; models that cannot tell it are refused or do without."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rasterio.io import MemoryFile
from safetensors.numpy import load, save

from engine.errors import InputError
from engine.models import Card, Recipe, read_card, write_model
from engine.models.contract import examine
from engine.models.familiarity import FAMILIARITY_NAME, Reference, levels_of, reference_of, to_bytes
from engine.models.package import copy_model, load_reference
from engine.output import (
    NODATA,
    OutputOptions,
    cog_files,
    stac_collection,
    stac_item,
    told_unfamiliar,
    without,
)
from engine.predict import familiarity_at
from engine.training import Fitted, TrainOptions, fit
from engine.training.familiar import familiarity_of, reference
from engine.training.parts import Part
from engine.types import ClassMap, FeatureBlock, Grid, Samples
from tests.engine.made_models import DOMAIN, MADE_CLASSES, MADE_RECIPE, made_card, made_samples

FOREST = TrainOptions(family="forest", trees=10, block_m=100.0, min_samples=10)
SAMPLES = made_samples(noise=0.05)


def without_code(code: int, samples: Samples = SAMPLES) -> Fitted:
    """A forest that never saw this code."""
    return fit(samples, MADE_RECIPE, {c: name for c, name in MADE_CLASSES.items() if c != code}, FOREST)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return without_code(30)


@pytest.fixture(scope="module")
def told(fitted: Fitted) -> Reference:
    return reference_of(fitted.familiarity, fitted.card, "here")


def written(fitted: Fitted, folder: Path) -> str:
    write_model(fitted.card, fitted.weights, str(folder), DOMAIN, fitted.golden, fitted.familiarity)
    return str(folder)


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """How often an unknown sample is less familiar than a known one, equals counted half."""
    gap = known.astype(float)[:, None] - unknown.astype(float)
    return float((gap > 0).mean() + (gap == 0).mean() / 2)


@pytest.mark.parametrize("seed", range(6))
def test_a_class_left_out_is_told_from_those_that_were_learnt(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 900)
    time = np.linspace(0, 1, 12)
    curve = np.exp(-(((time - (0.25 + 0.25 * y + rng.normal(0, 0.03, len(y)))[:, None]) / 0.12) ** 2))
    x = np.clip(curve[:, :, None] + rng.normal(0, 0.08, (len(y), 12, 2)), 0, 1).astype(np.float32)
    for code in range(3):
        known, part = np.flatnonzero(y != code), rng.integers(0, 3, (y != code).sum())
        learnt, judged, test = (x[known[part == which]] for which in range(3))
        found = reference(learnt, y[known[part == 0]], judged)
        of_known, of_unknown = (found.graded(found.distance(rows)) for rows in (test, x[y == code]))
        assert auroc(of_known, of_unknown) > 0.9
        assert (of_unknown < 5).mean() > 0.5, "the share of the unknown that is told"
        assert (of_known < 5).mean() < 0.15, "five false alarms in a hundred, as far as 200 samples tell"


def test_familiarity_is_the_percentage_of_known_land_that_lies_as_far_out_or_further() -> None:
    apart = np.arange(1, 100, dtype=np.float32)
    nothing = np.zeros((1, 1), np.float32)
    grades = Reference(1, nothing[0], nothing, nothing, levels_of(apart)).graded
    assert grades(np.array([0, 1, 50, 99, 99.5, np.inf], np.float32)).tolist() == [100, 100, 51, 2, 1, 1]
    assert (grades(apart) < 5).mean() <= 0.05
    few, enough = (levels_of(np.ones(n, np.float32)) for n in (19, 20))
    assert np.isinf(few[4]) and enough[4] == 1, "of fewer than twenty not one lies beyond, whatever it is"


def test_a_pixels_familiarity_depends_on_nothing_but_its_series(fitted: Fitted, told: Reference) -> None:
    rng, size = np.random.default_rng(2), (30, 40)
    x = np.ascontiguousarray(SAMPLES.x[: size[0] * size[1]].reshape(*size, 12, 2).transpose(2, 3, 0, 1))
    x[:, 0, 3:5] = np.nan
    rows, cols = np.nonzero(rng.random(size) < 0.7)
    whole = familiarity_at(told, fitted.card, FeatureBlock(x, np.ones(size, np.bool_)), rows, cols)
    assert len(np.unique(whole)) > 20 and whole.max() <= 100
    for dy, dx in ((0, 17), (11, 0), (29, 39)):
        kept = (rows >= dy) & (cols >= dx)
        moved = FeatureBlock(np.ascontiguousarray(x[:, :, dy:, dx:]), np.ones((30 - dy, 40 - dx), np.bool_))
        again = familiarity_at(told, fitted.card, moved, rows[kept] - dy, cols[kept] - dx)
        np.testing.assert_array_equal(again, whole[kept])
    assert familiarity_at(told, fitted.card, FeatureBlock(x, np.ones(size, np.bool_)), rows[:0], cols[:0]).shape == (0,)


def test_of_a_model_that_looks_around_the_middle_pixel_is_told(fitted: Fitted, told: Reference) -> None:
    card = fitted.card.model_copy(update={"mode": "patch", "halo": 2})
    x = np.random.default_rng(1).random((12, 2, 9, 8), np.float32)
    rows, cols = np.nonzero(np.ones((5, 4), np.bool_))
    found = familiarity_at(told, card, FeatureBlock(x, np.ones((9, 8), np.bool_)), rows, cols)
    alone = told.familiarity(x[:, :, 2:7, 2:6].reshape(12, 2, -1).transpose(2, 0, 1), fitted.card)
    np.testing.assert_array_equal(found, alone)
    squares = np.lib.stride_tricks.sliding_window_view(x, (5, 5), axis=(2, 3))[:, :, rows, cols].transpose(
        2, 0, 1, 3, 4
    )
    np.testing.assert_array_equal(told.familiarity(squares, card), alone)


def test_a_package_holds_it_and_one_without_still_maps(fitted: Fitted, tmp_path: Path) -> None:
    uri = written(fitted, tmp_path / "one")
    copy_model(uri, str(tmp_path / "two"))
    for place in (uri, str(tmp_path / "two")):
        found = load_reference(place)
        assert found is not None and found.levels.shape == (100,)
    clause = next(clause for clause in examine(uri) if clause.name == "familiarity")
    assert clause.kept is True, clause.found
    old = fitted.card.model_copy(update={"familiarity_sha256": None})
    write_model(old, fitted.weights, uri, DOMAIN, fitted.golden)
    assert load_reference(uri) is None and not (tmp_path / "one" / FAMILIARITY_NAME).exists()
    assert [clause.kept for clause in examine(uri) if clause.name == "familiarity"] == [None]


def test_a_changed_file_is_refused_and_one_that_says_otherwise_breaks_the_contract(
    fitted: Fitted, tmp_path: Path
) -> None:
    uri = written(fitted, tmp_path)
    other = without_code(10).familiarity
    (tmp_path / FAMILIARITY_NAME).write_bytes(other)
    with pytest.raises(InputError, match="SHA-256"):
        load_reference(uri)
    card = fitted.card.model_copy(update={"familiarity_sha256": hashlib.sha256(other).hexdigest()})
    write_model(card, fitted.weights, uri, DOMAIN, fitted.golden, other)
    assert [clause.name for clause in examine(uri) if clause.kept is False] == ["familiarity"]
    with pytest.raises(InputError, match="SHA-256"):
        write_model(card, fitted.weights, uri, DOMAIN, fitted.golden, fitted.familiarity)
    assert read_card(uri) == card


@pytest.mark.parametrize("wrong", ["no file", "another card", "a name lacks", "levels rise", "not finite"])
def test_bytes_that_are_no_reference_of_the_card_are_refused(wrong: str, fitted: Fitted) -> None:
    data, card = fitted.familiarity, fitted.card
    arrays = {name: array.copy() for name, array in load(data).items()}
    if wrong == "another card":
        card = card.model_copy(update={"recipe": Recipe(features=("ndvi", "vv", "vh"), steps=12)})
    elif wrong == "a name lacks":
        del arrays["12/axes"]
    elif wrong == "levels rise":
        arrays["12/levels"] = arrays["12/levels"][::-1].copy()
    elif wrong == "not finite":
        arrays["12/axes"][0, 0] = np.nan
    data = b"junk" if wrong == "no file" else save(arrays)
    with pytest.raises(InputError, match=r"no reference of this card's training.*train the model anew"):
        reference_of(data, card, "here")


def test_of_several_cut_offs_the_last_that_knows_no_more_is_taken(fitted: Fitted, told: Reference) -> None:
    def cut(steps: int) -> Card:
        return fitted.card.model_copy(update={"recipe": fitted.card.recipe.model_copy(update={"steps": steps})})

    rows = np.random.default_rng(0).random((60, 12, 2), np.float32)
    early = reference(rows[:, :7], np.arange(60) % 2, rows[:, :7])
    both = to_bytes({12: told, 7: early})
    assert [reference_of(both, cut(steps), "here").steps for steps in (7, 9, 11, 12)] == [7, 7, 7, 12]
    nine = reference_of(both, cut(9), "here")
    np.testing.assert_array_equal(nine.distance(rows[:, :9]), early.distance(rows[:, :7]))


def test_the_training_says_how_many_known_samples_it_would_tell(fitted: Fitted) -> None:
    said = fitted.report["familiarity"]
    assert said["tells"] is True and 0 <= said["told_of_known_test_samples"] < 0.5
    assert fitted.card.training["familiarity"] == said
    assert without_code(30).familiarity == fitted.familiarity, "equal trainings give equal bytes"
    few = Part(np.random.default_rng(0).random((19, 12, 2), np.float32), np.zeros(19, np.int64))
    assert familiarity_of({"train": few, "validation": few, "test": few})[1]["tells"] is False


def test_features_that_never_change_and_classes_of_one_sample_do_no_harm() -> None:
    x = np.zeros((40, 4, 3), np.float32)
    x[:, :, 0] = np.random.default_rng(0).random((40, 4))
    found = reference(x, np.array([0, 1] + [2] * 38), x)
    assert np.isfinite(found.distance(x)).all() and found.points.shape[1] == 3
    constant = reference(np.ones_like(x), np.zeros(40, np.int64), np.ones_like(x))
    assert np.isfinite(constant.distance(x)).all()


def test_the_layer_is_a_cog_beside_the_others_and_in_item_and_collection() -> None:
    grid = Grid("EPSG:32631", 10.0, 500_000.0, 5_600_000.0, 20, 30, 32)
    tile, rng = grid.tile(0, 0), np.random.default_rng(0)
    planes = [rng.integers(0, most, (20, 30), np.uint8) for most in (3, 101, 101)]
    classes = ClassMap(planes[0], planes[1], 600, planes[2])
    card = made_card(b"x")
    files = cog_files(grid, tile, card, classes, OutputOptions(uri="unused"))
    assert list(files) == ["class.tif", "confidence.tif", "familiarity.tif"]
    with MemoryFile(files["familiarity.tif"], ext=".tif") as memory, memory.open() as file:
        np.testing.assert_array_equal(file.read(1), planes[2])
        assert file.nodata == NODATA and file.descriptions == ("familiarity",)
    facts = {"name": "made", "start": "2018-01-01T00:00:00Z", "end": "2018-12-01T00:00:00Z", "version": "1",
             "model": "ab", "geometry": DOMAIN.geometry, "bbox": [3.0, 50.8, 3.1, 50.9]}  # fmt: skip
    asset = stac_item(grid, tile, card, files, facts)["assets"]["familiarity"]
    assert asset["unit"] == "%" and asset["nodata"] == NODATA and "unfamiliar" in asset["title"]
    for mosaics, told in ((["class.gti.gpkg", "familiarity.gti.gpkg"], True), (["class.gti.gpkg"], False)):
        assert ("familiarity" in stac_collection(card, [], mosaics, facts)["item_assets"]) is told
    assert list(cog_files(grid, tile, card, replace(classes, familiarity=None), OutputOptions(uri="unused"))) == [
        "class.tif", "confidence.tif",
    ]  # fmt: skip


def test_unfamiliar_pixels_are_no_data_where_they_are_masked() -> None:
    index = np.array([[0, 1], [2, NODATA]], np.uint8)
    familiarity = np.array([[4, 5], [0, NODATA]], np.uint8)
    classes = ClassMap(index, np.array([[90, 80], [70, NODATA]], np.uint8), 4, familiarity)
    unfamiliar = told_unfamiliar(classes, 5)
    assert unfamiliar.tolist() == [[True, False], [True, False]]
    masked = without(classes, unfamiliar)
    assert masked.class_index.tolist() == [[NODATA, 1], [NODATA, NODATA]]
    assert masked.confidence.tolist() == [[NODATA, 80], [NODATA, NODATA]]
    assert masked.familiarity is not None and masked.familiarity.tolist() == familiarity.tolist()
    assert not told_unfamiliar(replace(classes, familiarity=None), 5).any()
    assert OutputOptions(uri="a").tells and OutputOptions(uri="a", products=("class",), unfamiliar="mask").tells
    assert not OutputOptions(uri="a", products=("class",)).tells
