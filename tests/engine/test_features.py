"""Cube to model input: nothing after the cut-off leaks in, gaps are filled, no data stays no data."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.bands import FEATURE_BANDS, SENSOR_BANDS
from engine.features import derive, layers_needed
from engine.models import Recipe
from engine.types import FeatureBlock, Layer
from kernels.fused import INDEX_BANDS
from kernels.scaling import decode_reflectance
from kernels.smooth import whittaker

SHAPE = (9, 11)
ALL = tuple(FEATURE_BANDS)


def made_block(steps: int = 12, seed: int = 3, gaps: float = 0.4) -> dict[str, Layer]:
    """Every layer with gaps; a few pixels never seen by optical, a few by radar."""
    rng = np.random.default_rng(seed)
    block = {}
    for name, bands in SENSOR_BANDS.items():
        missing = rng.random((steps, *SHAPE)) < gaps
        missing[:, 0, {"optical": 0, "radar": 1, "thermal": 2, "c2": 3}[name]] = True
        shape = (steps, len(bands), *SHAPE)
        if name in ("radar", "c2"):
            values: NDArray = rng.gamma(4, 0.02, shape).astype(np.float32)
            values[np.broadcast_to(missing[:, None], shape)] = np.nan
        else:
            values = rng.integers(1500, 2500 if name == "optical" else 30_000, shape).astype(np.uint16)
            values[np.broadcast_to(missing[:, None], shape)] = 0
        block[name] = Layer(values, (~missing).astype(np.uint8))
    return block


def physical(block: dict[str, Layer], band: str) -> NDArray[np.float64]:
    """(t, y, x) of one band as a person would decode it, NaN where missing."""
    name = next(layer for layer, bands in SENSOR_BANDS.items() if band in bands)
    dn = block[name].values[:, SENSOR_BANDS[name].index(band)].astype(np.float64)
    if name == "optical":
        return np.where(dn == 0, np.nan, dn * 1e-4 - 0.1)
    return np.where(dn == 0, np.nan, dn * 0.01) if name == "thermal" else dn


def filled(series: NDArray[np.float64]) -> NDArray[np.float64]:
    """One pixel's gaps filled by np.interp, ends held."""
    known = np.flatnonzero(~np.isnan(series))
    if not len(known):
        return series
    return np.interp(np.arange(len(series)), known, series[known])


FORMULA = {
    "ndvi": lambda b: (b["nir"] - b["red"]) / (b["nir"] + b["red"]),
    "evi": lambda b: 2.5 * (b["nir"] - b["red"]) / (b["nir"] + 6 * b["red"] - 7.5 * b["blue"] + 1),
    "gcvi": lambda b: b["nir"] / b["green"] - 1,
    "lswi": lambda b: (b["nir"] - b["swir1"]) / (b["nir"] + b["swir1"]),
    "rvi": lambda b: b["nir"] / b["red"],
}


def test_every_feature_is_its_formula_on_the_filled_bands() -> None:
    block, steps = made_block(), 12
    out = derive(block, Recipe(features=ALL, steps=steps))
    assert out.x.shape == (steps, len(ALL), *SHAPE) and out.x.dtype == np.float32
    bands = {
        band: np.apply_along_axis(filled, 0, physical(block, band)) for names in SENSOR_BANDS.values() for band in names
    }
    for index, name in enumerate(ALL):
        expected = FORMULA[name](bands) if name in FORMULA else bands[name]
        np.testing.assert_allclose(out.x[:, index], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 4, 11])
def test_nothing_after_the_cut_off_changes_a_bit(steps: int) -> None:
    block, recipe = made_block(), Recipe(features=ALL, steps=steps)
    before = derive(block, recipe)
    other = made_block(seed=8)
    later = {
        name: Layer(
            np.concatenate([layer.values[:steps], other[name].values[steps:]]),
            np.concatenate([layer.count[:steps], other[name].count[steps:] + np.uint8(7)]),
        )
        for name, layer in block.items()
    }
    shorter = {name: Layer(layer.values[:steps], layer.count[:steps]) for name, layer in block.items()}
    for changed in (later, shorter):
        after = derive(changed, recipe)
        np.testing.assert_array_equal(after.x, before.x)
        np.testing.assert_array_equal(after.valid, before.valid)


def test_a_change_before_the_cut_off_does_show() -> None:
    block, recipe = made_block(gaps=0.0), Recipe(features=("red",), steps=6)
    before = derive(block, recipe).x
    block["optical"].values[3, SENSOR_BANDS["optical"].index("red")] += 1
    assert (derive(block, recipe).x[3] != before[3]).any()


def test_a_pixel_never_seen_is_missing_in_its_own_bands_alone_and_valid_goes_by_optical() -> None:
    out = derive(made_block(), Recipe(features=("red", "ndvi", "vv", "lst"), steps=12))
    red, ndvi, vv, lst = (out.x[:, i, 0] for i in range(4))
    assert np.isnan(red[:, 0]).all() and np.isnan(ndvi[:, 0]).all() and not np.isnan(vv[:, 0]).any()
    assert np.isnan(vv[:, 1]).all() and np.isnan(lst[:, 2]).all() and not np.isnan(red[:, 1:]).any()
    assert not out.valid[0, 0] and out.valid[0, 1] and out.valid[0, 2] and out.valid[1:].all()


def test_without_optical_every_layer_must_have_seen_a_pixel() -> None:
    out = derive(made_block(), Recipe(features=("vv", "lst"), steps=12))
    assert out.valid[0, 0] and not out.valid[0, 1] and not out.valid[0, 2] and out.valid[1:].all()


def test_a_pixel_first_seen_after_the_cut_off_is_not_valid() -> None:
    block = made_block(gaps=0.0)
    block["optical"].count[:5, 4, 4] = 0
    block["optical"].values[:5, :, 4, 4] = 0
    assert not derive(block, Recipe(features=("red",), steps=5)).valid[4, 4]
    assert derive(block, Recipe(features=("red",), steps=6)).valid[4, 4]


def test_ends_are_held_or_left_as_the_recipe_says() -> None:
    block = made_block(gaps=0.0)
    block["thermal"].values[:2] = 0
    block["thermal"].values[10:] = 0
    held, left = (
        derive(block, Recipe(features=("lst",), steps=12, hold_ends=hold)).x[:, 0, 5, 5] for hold in (True, False)
    )
    assert held[0] == held[1] == held[2] and held[11] == held[9]
    assert np.isnan(left[[0, 1, 10, 11]]).all() and not np.isnan(left[2:10]).any()


def test_features_come_in_the_recipes_order_and_rows_do_not_depend_on_each_other() -> None:
    block = made_block()
    there, back = (derive(block, Recipe(features=order, steps=12)) for order in (ALL, ALL[::-1]))
    np.testing.assert_array_equal(there.x, back.x[:, ::-1])
    strip = {name: Layer(layer.values[..., 3:5, :], layer.count[..., 3:5, :]) for name, layer in block.items()}
    part: FeatureBlock = derive(strip, Recipe(features=ALL, steps=12))
    np.testing.assert_array_equal(part.x, there.x[:, :, 3:5])
    np.testing.assert_array_equal(part.valid, there.valid[3:5])


def test_the_input_is_left_alone() -> None:
    block = made_block()
    before = {name: (layer.values.copy(), layer.count.copy()) for name, layer in block.items()}
    derive(block, Recipe(features=ALL, steps=7))
    for name, (values, count) in before.items():
        np.testing.assert_array_equal(block[name].values, values)
        np.testing.assert_array_equal(block[name].count, count)


def test_a_recipe_asks_only_for_the_layers_behind_its_features() -> None:
    assert layers_needed(("vv",)) == ("radar",)
    assert layers_needed(("lst", "ndvi")) == ("optical", "thermal")
    assert layers_needed(("pv", "vv")) == ("radar", "c2")
    assert layers_needed(ALL) == ("optical", "radar", "thermal", "c2")
    for features in (("vv",), ("lst", "ndvi"), ALL):
        assert Recipe(features=features, steps=3).layers == layers_needed(features)


def test_series_are_smoothed_up_to_the_cut_off_and_one_observation_is_held() -> None:
    block = made_block()
    for layer in block.values():
        layer.values[:, :, 0, 0] = 0 if layer.values.dtype == np.uint16 else np.nan
        layer.values[3, :, 0, 0] = 2000
    recipe = Recipe(features=("red", "vv"), steps=8, fill="whittaker", smoothing=5.0)
    got = derive(block, recipe).x
    later = {name: Layer(layer.values.copy(), layer.count) for name, layer in block.items()}
    for layer in later.values():
        layer.values[8:] = 7
    np.testing.assert_array_equal(derive(later, recipe).x, got)
    red = decode_reflectance(block["optical"].values[:8, SENSOR_BANDS["optical"].index("red")])
    want = whittaker(red.reshape(8, -1), 5.0).reshape(red.shape)
    many = (~np.isnan(red)).sum(axis=0) >= 2
    np.testing.assert_array_equal(got[:, 0, many], want[:, many])
    np.testing.assert_allclose(got[:, 0, 0, 0], 0.1, rtol=1e-6)


def test_the_kernels_and_the_features_make_an_index_of_the_same_bands():
    for name, bands in INDEX_BANDS.items():
        assert FEATURE_BANDS.get(name, bands) == bands
    assert {"ndvi", "evi", "gcvi", "lswi", "rvi"} <= set(INDEX_BANDS) & set(FEATURE_BANDS)
