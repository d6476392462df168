"""CLEC with cut-offs drawn at random: what it is shown is what was known, and one model serves a range of dates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from engine.bands import SENSOR_BANDS
from engine.errors import InputError
from engine.features import bands_needed, derive, derive_series, unfilled
from engine.models import Card, Recipe, load_model, open_model, read_card, write_model
from engine.models.clec import CLEC
from engine.models.contract import examine
from engine.models.series import Shape, build, parameter_count
from engine.predict import cut
from engine.train import collect
from engine.training import Fitted, Hooks, Parent, TrainOptions, fit, training_key
from engine.training.cascade import Cascade
from engine.training.cascade_options import CascadeOptions
from engine.training.early import Seasons, whole_season
from engine.training.parts import Scaling
from engine.types import Layer
from tests.engine.killed_training import RANDOM, train_random
from tests.engine.made_models import (
    DOMAIN,
    MADE_CLASSES,
    SEASONS_RECIPE,
    made_card,
    made_seasons,
    rows_that_stand_alone,
)
from tests.engine.test_clec import SEASON, made_layers, request_for

FIRST = 4
RECIPES = [
    Recipe(features=("vv", "ndvi", "evi", "nir", "gcvi"), steps=SEASON, fill=fill) for fill in ("linear", "whittaker")
]
OPTIONS = CascadeOptions(cutoff="random", from_step=FIRST)


def garbage_after(layers: dict[str, Layer], until: int) -> dict[str, Layer]:
    """The season with other observations after so many steps: none of them missing, all of them absurd."""
    found = {}
    for name, layer in layers.items():
        values, count = layer.values.copy(), layer.count.copy()
        values[until:], count[until:] = 60000 if values.dtype == np.uint16 else -7.5, 9
        found[name] = Layer(values, count)
    return found


def all_pixels(layers: dict[str, Layer], recipe: Recipe) -> NDArray[np.float32]:
    """(n, t, b), what was observed of every pixel."""
    found = unfilled(layers, recipe.features)
    return np.ascontiguousarray(found.reshape(*found.shape[:2], -1).transpose(2, 0, 1))


def made_season(layers: dict[str, Layer], recipe: Recipe) -> Seasons:
    observed, count = all_pixels(layers, recipe), len(recipe.features)
    scaling = Scaling((-0.2,) * count, (0.9,) * count, (0.3,) * count)
    return Seasons(observed, whole_season(observed, recipe), recipe, scaling, FIRST)


@pytest.mark.parametrize("recipe", RECIPES, ids=["linear", "whittaker"])
def test_what_a_cut_off_leaves_is_what_a_map_would_be_made_from_to_the_bit(recipe: Recipe) -> None:
    layers = made_layers((9, 7))
    observed = all_pixels(layers, recipe)
    assert bands_needed(recipe.features) == ("blue", "green", "red", "nir", "vv") and np.isnan(observed).any()
    assert set(bands_needed(recipe.features)) <= {band for own in SENSOR_BANDS.values() for band in own}
    for until in range(1, SEASON + 1):
        season = recipe.model_copy(update={"steps": until})
        mapped = derive({n: Layer(v.values[:until], v.count[:until]) for n, v in layers.items()}, season).x
        expected = mapped.reshape(until, len(recipe.features), -1).transpose(2, 0, 1)
        np.testing.assert_array_equal(derive_series(observed, season), expected)
        np.testing.assert_array_equal(derive_series(observed[20:23], season), expected[20:23])


@pytest.mark.parametrize("recipe", RECIPES, ids=["linear", "whittaker"])
def test_garbage_after_a_cut_off_reaches_neither_its_input_nor_its_logits(recipe: Recipe) -> None:
    layers = made_layers((9, 7))
    network = CLEC(SEASON, len(recipe.features), 3, any_cut_off=True, mask_channel=True).eval()
    clean = made_season(layers, recipe)
    for until in range(FIRST, SEASON):
        other = made_season(garbage_after(layers, until), recipe)
        early = clean.early(until)
        np.testing.assert_array_equal(early, other.early(until))
        assert early.shape == (63, until, len(recipe.features)) and not np.isnan(early).any()
        with torch.no_grad():
            assert torch.equal(*(network(torch.from_numpy(season.early(until))) for season in (clean, other)))
        assert not np.array_equal(clean.later(until), other.later(until), equal_nan=True)
        assert not np.array_equal(clean.early(until + 1), other.early(until + 1)), "one step later it would show"


def test_samples_of_a_cube_hold_what_was_observed_and_no_later_steps(tmp_path: Path) -> None:
    layers, recipe = made_layers((30, 30)), RECIPES[0]
    request = request_for(tmp_path, layers, recipe)
    samples = collect(replace(request, options=TrainOptions(family="clec", block_m=50, cascade=OPTIONS)))
    assert samples.later is None and samples.observed is not None
    np.testing.assert_array_equal(samples.observed, all_pixels(layers, recipe)[samples.row * 30 + samples.col])
    np.testing.assert_array_equal(samples.x, cut(derive(layers, recipe), samples.row, samples.col))
    np.testing.assert_array_equal(samples.x, derive_series(samples.observed, recipe))


def test_a_batch_is_cut_off_as_a_whole_anywhere_in_the_range_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = RECIPES[0]
    season = made_season(made_layers((9, 7)), recipe)
    drawn: list[int] = []
    original = Seasons.early
    monkeypatch.setattr(Seasons, "early", lambda self, until, rows: drawn.append(until) or original(self, until, rows))

    def losses() -> list[float]:
        torch.manual_seed(3)
        network = CLEC(SEASON, len(recipe.features), 3, any_cut_off=True, variant="no_attention")
        cascade = Cascade(OPTIONS, season.followed, seasons=season)
        unseen, rows = torch.full((8, SEASON, len(recipe.features)), torch.nan), torch.arange(20, 28)
        return [cascade.loss(network, unseen, torch.arange(8) % 3, rows).item() for _ in range(60)]

    first = losses()
    assert first == losses() and np.isfinite(first).all()
    assert drawn[:60] == drawn[60:] and set(drawn) == set(range(FIRST, SEASON + 1))


@pytest.mark.parametrize("mask", [False, True])
def test_one_network_is_at_every_cut_off_the_network_made_for_it(mask: bool) -> None:
    network = CLEC(SEASON, 3, 4, any_cut_off=True, mask_channel=mask).eval()
    for until in range(1, SEASON + 1):
        alike = CLEC(until, 3, 4, SEASON - until, any_cut_off=True, mask_channel=mask).eval()
        alike.load_state_dict(network.state_dict())
        x = torch.rand(5, until, 3)
        forecast, logits = network.both(x)
        assert forecast.shape == (5, SEASON - until, 3) and torch.equal(logits, alike(x))
        bit = (torch.arange(SEASON) >= until).float().expand(5, -1)[..., None]
        series = torch.cat([x, forecast], 1)
        assert torch.equal(logits, network.classifier(torch.cat([series, bit], 2) if mask else series))
    sizes = [parameter_count(build("clec", Shape(37, 13, 2, any_cut_off=True, mask_channel=m))) for m in (False, True)]
    assert sizes == [2_381_999, 2_381_999 + 128 * 3]


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return train_random(Hooks())


def test_a_model_of_many_cut_offs_is_fitted_judged_at_each_and_written(fitted: Fitted, tmp_path: Path) -> None:
    card, report = fitted.card, fitted.report
    assert (card.from_step, card.mask_channel, card.later_steps, card.recipe.steps) == (5, True, 0, 12)
    assert list(card.takes) == list(range(5, 13)) and card.cut_offs[0] == "02-19" and card.cut_offs[-1] == "04-30"
    assert [(row["steps"], row["last_day"]) for row in report["cut_offs"]] == list(
        zip(card.takes, card.cut_offs, strict=True)
    )
    kappa = [row["kappa"] for row in report["cut_offs"]]
    assert report["accuracy"] == report["cut_offs"][-1] and kappa[-1] > 0.6 and kappa[-1] > kappa[0]
    write_model(card, fitted.weights, str(tmp_path), DOMAIN, fitted.golden, fitted.familiarity)
    assert read_card(str(tmp_path)) == card and load_model(str(tmp_path), steps=7).card == card.cut(7)
    clauses = {clause.name: clause for clause in examine(str(tmp_path))}
    assert all(clause.kept for clause in clauses.values()) and "bit" in clauses["golden pair"].found
    with pytest.raises(InputError, match=r"4 steps, to 02-09; expected: 5 to 12, to 02-19 up to 04-30"):
        load_model(str(tmp_path), steps=4)


def test_temperature_and_accuracy_at_a_cut_off_are_its_own(fitted: Fitted) -> None:
    card = fitted.card
    rows = {row["steps"]: row for row in fitted.report["cut_offs"]}
    assert [steps for steps, _ in card.temperatures] == list(card.takes)
    for steps in range(5, 12):
        at = card.cut(steps)
        assert (at.recipe.steps, at.later_steps) == (steps, 12 - steps) and (steps, at.temperature) in card.temperatures
        for name in ("steps", "kappa", "overall_accuracy", "samples"):
            assert at.training["accuracy"][name] == rows[steps][name]
        assert at.training["calibration"]["temperature"] == at.temperature
        assert at.takes == card.takes and at.cut(12).training["accuracy"] == card.training["accuracy"]
    x = made_seasons().x[:128, :9]
    assert rows_that_stand_alone(open_model(card.cut(9), fitted.weights), x).shape == (128, 3)


@pytest.mark.parametrize("tested", [(5, 7, 10, 12), (5, 12), (7, 10)])
def test_between_tested_cut_offs_the_temperature_is_interpolated_and_no_figure_is_taken_over(
    fitted: Fitted, tested: tuple[int, ...]
) -> None:
    chosen = [row for row in fitted.card.training["cut_offs"] if row["steps"] in tested]
    temperatures = tuple((steps, 1.0 + 0.25 * steps) for steps in tested)
    card = fitted.card.model_copy(
        update={"training": {**fitted.card.training, "cut_offs": chosen}, "temperatures": temperatures}
    )
    for steps in range(5, 12):
        at, before, after = card.cut(steps), [n for n in tested if n < steps], [n for n in tested if n > steps]
        accuracy = at.training["accuracy"]
        if steps in tested:
            assert accuracy["steps"] == steps and "kappa" in accuracy and at.temperature == dict(temperatures)[steps]
            continue
        assert accuracy["last_day"] == card.recipe.last_day(steps) and "kappa" not in accuracy
        neighbours = [*before[-1:], *after[:1]]
        assert [row["steps"] for row in accuracy["tested"]] == neighbours
        known = [dict(temperatures)[n] for n in neighbours]
        if len(known) == 2:
            share = (steps - neighbours[0]) / (neighbours[1] - neighbours[0])
            assert at.temperature == pytest.approx(known[0] ** (1 - share) * known[1] ** share)
        else:
            assert at.temperature == pytest.approx(known[0]), "beyond the ends: the end's"
        told = at.training["calibration"]["temperature_of_steps"]
        assert told == {str(n): dict(temperatures)[n] for n in neighbours}


def test_a_model_tested_on_the_whole_season_alone_lends_its_figure_to_no_cut_off(fitted: Fitted) -> None:
    accuracy = {"kappa": 0.9, "overall_accuracy": 0.95, "samples": 10}
    card = fitted.card.model_copy(update={"training": {"accuracy": accuracy}, "temperatures": ()})
    at = card.cut(8)
    assert "kappa" not in at.training["accuracy"] and at.temperature == card.temperature
    assert at.training["accuracy"]["tested"] == [{"steps": 12, "last_day": "04-30", **accuracy}]
    assert card.cut(12).training["accuracy"] == accuracy
    assert card.model_copy(update={"training": {}}).cut(8).training["accuracy"] == {}


def test_what_was_observed_decides_the_key_and_must_be_there() -> None:
    samples = made_seasons()
    assert samples.observed is not None
    other = replace(samples, observed=samples.observed + np.float32(1))
    keys = {training_key(made, SEASONS_RECIPE, MADE_CLASSES, RANDOM) for made in (samples, other)}
    assert len(keys) == 2
    with pytest.raises(InputError, match="gaps not filled"):
        fit(replace(samples, observed=None), SEASONS_RECIPE, MADE_CLASSES, RANDOM)
    with pytest.raises(InputError, match="12 of 12 steps, which leave nothing to forecast"):
        late = RANDOM.model_copy(update={"cascade": CascadeOptions(cutoff="random", from_step=12)})
        fit(samples, SEASONS_RECIPE, MADE_CLASSES, late)


def test_the_forecast_may_choose_the_epoch_and_a_model_of_many_cut_offs_be_gone_on_from() -> None:
    cascade = {"cutoff": "random", "from_step": 5, "preset": "v3"}
    options = TrainOptions.model_validate({**RANDOM.model_dump(), "epochs": 2, "cascade": cascade})
    samples = made_seasons(150)
    found = fit(samples, SEASONS_RECIPE, MADE_CLASSES, options)
    assert 0 < found.report["validation_macro_f1"] < 1
    again = fit(samples, SEASONS_RECIPE, MADE_CLASSES, options)
    assert found.weights == again.weights and found.card == again.card
    parent = Parent(found.card, found.weights, "d" * 64)
    further = fit(samples, SEASONS_RECIPE, MADE_CLASSES, options, parent=parent)
    assert further.card.from_step == 5 and further.weights != found.weights
    with pytest.raises(InputError, match="from_step of the model to begin from: 5"):
        later = options.model_copy(update={"cascade": CascadeOptions(cutoff="random", from_step=6)})
        fit(samples, SEASONS_RECIPE, MADE_CLASSES, later, parent=parent)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"family": "cnn1d", "from_step": 5}, "clec alone predicts"),
        ({"family": "clec", "from_step": 8}, "leaves nothing to predict"),
        ({"family": "clec", "mask_channel": True}, "without from_step"),
    ],
)
def test_a_card_of_a_range_that_is_none_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Card.model_validate({**made_card(b"x", steps=8).model_dump(exclude={"units"}), **fields})
