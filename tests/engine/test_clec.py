"""CLEC: as large as published, its forecast as a person would write it; targets leak nothing into the input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from engine.errors import InputError
from engine.features import derive
from engine.ledger import Record
from engine.models import Card, Classifier, Recipe, open_model
from engine.models.card import Variant
from engine.models.clec import CLEC
from engine.models.cnn1d import CNN1D
from engine.models.series import Shape, build, parameter_count, to_bytes
from engine.objects import Objects
from engine.plan import Plan
from engine.samples import LabelOptions, joined
from engine.store import checksum, encode_layer, prepare
from engine.train import TrainRequest, collect, later_steps
from engine.training import TrainOptions, fit, training_key
from engine.types import Layer, Window
from tests.engine.made_models import (
    DOMAIN,
    MADE_CLASSES,
    MADE_RECIPE,
    made_card,
    made_pixels,
    made_samples,
    rows_that_stand_alone,
)
from tests.engine.made_scenes import made_axis, made_grid, write_raster

STEPS, FEATURES, CLASSES, LATER = 6, 3, 4, 5
VARIANTS: tuple[Variant, ...] = ("paper", "plain", "no_attention")


def made_network(variant: Variant = "paper", predicted: int = LATER) -> CLEC:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return CLEC(STEPS, FEATURES, CLASSES, predicted, variant=variant).eval()


def clec_card(weights: bytes, variant: Variant = "paper", predicted: int = LATER) -> Card:
    card = made_card(weights, STEPS, FEATURES, CLASSES, "clec")
    return card.model_copy(update={"later_steps": predicted, "variant": variant})


def made_classifier(variant: Variant) -> Classifier:
    weights = to_bytes(made_network(variant))
    return open_model(clec_card(weights, variant), weights)


@pytest.mark.parametrize(
    ("variant", "count"), [("paper", 2_381_999), ("plain", 2_041_007), ("no_attention", 1_647_535)]
)
@pytest.mark.parametrize("steps", [1, 19, 36])
def test_the_network_has_the_published_number_of_parameters_at_every_cut_off(
    variant: Variant, count: int, steps: int
) -> None:
    assert parameter_count(build("clec", Shape(steps, 13, 2, later_steps=37 - steps, variant=variant))) == count


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def lstm_step(weights: list[NDArray], x: NDArray, h: NDArray, c: NDArray) -> tuple[NDArray, NDArray]:
    """One step of an LSTM, gates in the order input, forget, cell, output."""
    w_x, w_h, b_x, b_h = weights
    i, f, g, o = np.split(x @ w_x.T + b_x + h @ w_h.T + b_h, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def slow_forecast(network: CLEC, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The forecast of preset paper for one series (t, f), by plain loops and with W_v before the sum."""
    w = {name: value.double().numpy() for name, value in network.forecaster.state_dict().items()}  # type: ignore[union-attr]
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    encoded = np.zeros((len(x), 512))
    for suffix, half, order in (("_l0", slice(256), 1), ("_l0_reverse", slice(256, 512), -1)):
        h = c = np.zeros(256)
        for t in range(len(x))[::order]:
            h, c = lstm_step([w[f"encoder.{name}{suffix}"] for name in names], x[t], h, c)
            encoded[t, half] = h
    lower = upper = (np.zeros(256), np.zeros(256))
    y, found = x[-1], []
    for _ in range(network.predicted):
        query = w["attention.query.weight"] @ upper[0]
        energy = [w["attention.score.weight"][0] @ np.tanh(query + w["attention.key.weight"] @ e) for e in encoded]
        weight = np.exp(energy) / np.exp(energy).sum()
        context = sum(a * (w["attention.value.weight"] @ e) for a, e in zip(weight, encoded, strict=True))
        lower = lstm_step([w[f"lower.{name}"] for name in names], np.concatenate([y, context]), *lower)
        upper = lstm_step([w[f"upper.{name}"] for name in names], lower[0], *upper)
        y = w["out.weight"] @ upper[0] + w["out.bias"]
        found.append(y)
    return np.array(found)


def test_the_forecast_is_what_plain_loops_give() -> None:
    network, x = made_network(), np.random.default_rng(1).random((3, STEPS, FEATURES), np.float32)
    with torch.no_grad():
        forecast = network.forecast(torch.from_numpy(x)).numpy()
    expected = [slow_forecast(network, series.astype(np.float64)) for series in x]
    np.testing.assert_allclose(forecast, expected, rtol=1e-4, atol=1e-6)
    assert np.ptp(forecast, axis=1).min() > 1e-4, "the decoder stands still"


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_logits_are_the_cnns_on_early_and_predicted_steps_and_reach_back_to_the_forecaster(
    variant: Variant,
) -> None:
    network, x = made_network(variant), torch.rand(7, STEPS, FEATURES)
    forecast, logits = network.both(x)
    assert forecast.shape == (7, LATER, FEATURES) and logits.shape == (7, CLASSES)
    torch.testing.assert_close(logits, network.classifier(torch.cat([x, forecast], 1)), rtol=0, atol=0)
    torch.testing.assert_close(network(x), logits, rtol=0, atol=0)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())


def test_without_steps_to_predict_it_is_the_1d_cnn_alone() -> None:
    network, alone = made_network(predicted=0), CNN1D(STEPS, FEATURES, CLASSES)
    assert parameter_count(network) == parameter_count(alone)
    alone.load_state_dict(network.classifier.state_dict())
    x = torch.rand(5, STEPS, FEATURES)
    torch.testing.assert_close(network(x), alone(x), rtol=0, atol=0)
    assert network.forecast(x).shape == (5, 0, FEATURES)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_row_depends_on_itself_alone_to_the_bit(variant: Variant) -> None:
    classifier, x = made_classifier(variant), made_pixels(128, STEPS, FEATURES)
    expected = rows_that_stand_alone(classifier, x)
    assert not np.allclose(expected, classifier.predict(x[:, ::-1]), atol=1e-6)


def test_a_card_of_other_later_steps_or_of_another_forecaster_does_not_open_the_weights() -> None:
    weights = to_bytes(made_network())
    for card in (clec_card(weights, predicted=LATER + 3), clec_card(weights, "plain"), clec_card(weights, predicted=0)):
        with pytest.raises(InputError, match="weights that are no clec of this card"):
            open_model(card, weights)
    with pytest.raises(ValidationError, match="clec alone predicts steps"):
        Card.model_validate({**made_card(weights).model_dump(), "later_steps": 3})
    with pytest.raises(InputError, match="3 steps"):
        CLEC(1, FEATURES, CLASSES, 2)


RECIPE = Recipe(features=("vv", "ndvi"), steps=STEPS)
GRID, LAST = made_grid(30, 30, 20), 7  # optical is not seen after step 7
SEASON = STEPS + LATER


def made_layers(shape: tuple[int, int], seed: int = 2) -> dict[str, Layer]:
    """Radar and optical of a whole season with gaps; one pixel has neither."""
    rng = np.random.default_rng(seed)
    radar = rng.gamma(4, 0.02, (SEASON, 2, *shape)).astype(np.float32)
    optical = rng.integers(1500, 6000, (SEASON, 5, *shape)).astype(np.uint16)
    missing = rng.random((SEASON, *shape)) < 0.3
    missing[:, 0, 0], missing[1, 1:] = True, False
    optical[np.broadcast_to(missing[:, None], optical.shape)] = 0
    optical[LAST + 1 :] = 0
    radar[:, :, 0, 0] = np.nan
    seen = (~missing).astype(np.uint8)
    return {"radar": Layer(radar, seen), "optical": Layer(optical, seen)}


def request_for(root: Path, layers: dict[str, Layer], recipe: Recipe = RECIPE, family: str = "clec") -> TrainRequest:
    """Everything a training asks for, on a real cube of these layers and a raster of two codes."""
    axes = dict.fromkeys(layers, made_axis(SEASON))
    cube = Objects(str(root / "cube.zarr"))
    layout, tiles, records = prepare(cube, GRID, axes), [], {}
    for row, col in np.ndindex(GRID.tile_rows, GRID.tile_cols):
        tile = GRID.tile(row, col)
        y0, y1, x0, x1 = tile.core
        sums = {}
        for name, layer in layers.items():
            part = Layer(layer.values[:, :, y0:y1, x0:x1], layer.count[:, y0:y1, x0:x1])
            for key, data in encode_layer(layout, tile, name, part).items():
                cube.put(key, data)
                sums[key] = checksum(data)
        tiles.append(tile)
        records[tile.id] = Record(tile.id, 1, "k", "written", body={"checksums": sums})
    codes = np.random.default_rng(0).integers(0, 3, (30, 30), dtype=np.uint8)
    labels = write_raster(root / "labels.tif", codes)
    left, bottom, right, top = GRID.bounds(Window(0, 30, 0, 30))
    plan = Plan(
        GRID, shapely.box(left, bottom, right, top), tuple(tiles), (), axes, (), (),
        np.zeros(len(tiles) + 1, np.int64), np.zeros(0, np.int32), "made",
    )  # fmt: skip
    options = TrainOptions(family=family, block_m=50)
    return TrainRequest(
        plan, layout, records, str(root / "cube.zarr"), LabelOptions(uri=str(labels)), recipe, options,
        str(root / "model"), DOMAIN,
    )  # fmt: skip


def test_what_is_sampled_before_the_cut_off_knows_nothing_of_after_it(tmp_path: Path) -> None:
    layers, other = made_layers((30, 30)), made_layers((30, 30), seed=9)
    for name, layer in layers.items():
        other[name].values[:STEPS], other[name].count[:STEPS] = layer.values[:STEPS], layer.count[:STEPS]
    first, second = (collect(request_for(tmp_path / str(i), made)) for i, made in enumerate((layers, other)))
    np.testing.assert_array_equal(first.x, second.x)
    assert first.later is not None and second.later is not None
    assert first.later.shape == (len(first.y), LATER, 2) and not np.array_equal(first.later, second.later)
    bare = collect(request_for(tmp_path / "bare", layers, family="cnn1d"))
    assert bare.later is None
    np.testing.assert_array_equal(bare.x, first.x)


@pytest.mark.parametrize("fill", ["linear", "whittaker"])
def test_later_steps_are_the_whole_seasons_series_and_unknown_after_the_last_observation(fill: str) -> None:
    layers, recipe = made_layers((20, 20)), RECIPE.model_copy(update={"fill": fill})
    rows, cols = (axis.ravel() for axis in np.mgrid[:20, :20])
    found = later_steps(layers, rows, cols, recipe)
    assert found.shape == (400, LATER, 2) and found.dtype == np.float32
    whole = derive(layers, recipe.model_copy(update={"steps": SEASON})).x[STEPS:].transpose(2, 3, 0, 1)
    for sample, (row, col) in enumerate(zip(rows, cols, strict=True)):
        seen = np.flatnonzero(layers["optical"].values[:, 3, row, col])
        known = np.arange(STEPS, SEASON) <= (seen[-1] if len(seen) else -1)
        np.testing.assert_array_equal(~np.isnan(found[sample, :, 1]), known)
        np.testing.assert_array_equal(found[sample, known, 1], whole[row, col, known, 1])
        np.testing.assert_array_equal(found[sample, :, 0], whole[row, col, :, 0])
    assert np.isnan(found[0]).all() and not np.isnan(found[1:, :, 0]).any()


def test_tables_are_joined_with_their_later_steps_and_the_key_covers_them() -> None:
    samples = made_samples(60)
    early = replace(samples, x=samples.x[:, :8], later=samples.x[:, 8:])
    both = joined([early, early])
    assert both.later is not None and both.later.shape == (120, 4, 2) and joined([samples, samples]).later is None
    recipe, options = MADE_RECIPE.model_copy(update={"steps": 8}), TrainOptions(family="clec")
    changed = replace(early, later=samples.x[:, 8:] + np.float32(1))
    keys = {training_key(made, recipe, MADE_CLASSES, options) for made in (early, changed, replace(early, later=None))}
    assert len(keys) == 3


@pytest.mark.parametrize("preset", ["paper", "no_attention", "v3"])
def test_the_cascade_is_fitted_as_any_family_is_and_two_fits_give_equal_bytes(preset: str) -> None:
    samples = made_samples(300)
    later = samples.x[:, 8:].copy()
    later[::7, -1] = np.nan
    samples, recipe = replace(samples, x=samples.x[:, :8], later=later), MADE_RECIPE.model_copy(update={"steps": 8})
    options = TrainOptions.model_validate(
        {
            "family": "clec",
            "epochs": 4,
            "block_m": 500,
            "batch": 32,
            "learning_rate": 3e-3,
            "cascade": {"preset": preset},
        }
    )
    losses: list[float] = []
    first, second = (
        fit(samples, recipe, MADE_CLASSES, options, lambda *told: losses.append(told[2])) for _ in range(2)
    )
    assert first.weights == second.weights and losses[:4] == losses[4:] and losses[3] < 0.6 * losses[0]
    assert first.card.later_steps == 4 and first.report["accuracy"]["kappa"] > 0.6
    bare = fit(replace(samples, later=None), recipe, MADE_CLASSES, options.model_copy(update={"epochs": 1}))
    assert bare.card.later_steps == 0
