"""Linear gap filling against numpy.interp, one series at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from kernels.smooth import fill_linear


def twin(values: np.ndarray, hold_ends: bool) -> np.ndarray:
    steps = np.arange(len(values))
    out = np.full(values.shape, np.nan, np.float32)
    for n in range(values.shape[1]):
        valid = ~np.isnan(values[:, n])
        if valid.any():
            end = None if hold_ends else np.nan
            out[:, n] = np.interp(steps, steps[valid], values[valid, n].astype(np.float64), left=end, right=end)
    return out


def series(shape: tuple[int, int], gaps: float, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(0.3, 0.2, shape).astype(np.float32)
    values[rng.random(shape) < gaps] = np.nan
    return values


@pytest.mark.parametrize("hold_ends", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (36, 257), (5, 4099)])
@pytest.mark.parametrize("gaps", [0.0, 0.4, 0.95, 1.0])
def test_filling_agrees_with_its_twin(shape, gaps, hold_ends):
    values = series(shape, gaps)
    got = fill_linear(values, hold_ends)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, twin(values, hold_ends), rtol=1e-5, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    values=arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.just(np.nan) | st.floats(-2, 2, width=32),
    ),
    hold_ends=st.booleans(),
)
def test_filling_errs_no_more_than_its_docstring_says(values, hold_ends):
    got, want = fill_linear(values, hold_ends), twin(values, hold_ends)
    assert np.array_equal(np.isnan(got), np.isnan(want))
    shown = ~np.isnan(want)
    assert (abs(got[shown] - want[shown]) <= 2.0**-22 * 4 + 1e-44).all()


def test_valid_values_are_kept_to_the_bit():
    values = series((20, 300), 0.5)
    valid = ~np.isnan(values)
    assert np.array_equal(fill_linear(values)[valid], values[valid])


def test_straight_lines_are_restored_exactly():
    line = np.arange(36, dtype=np.float32)[:, None] * np.arange(-50, 50, dtype=np.float32) + 7
    values = line.copy()
    values[1:-1][np.random.default_rng(2).random((34, 100)) < 0.8] = np.nan
    assert np.array_equal(fill_linear(values), line)


def test_ends_are_held_or_left_and_an_empty_series_stays_empty():
    values = np.array([[np.nan, np.nan], [2, np.nan], [np.nan, np.nan], [4, np.nan], [np.nan, np.nan]], np.float32)
    assert np.array_equal(fill_linear(values)[:, 0], [2, 2, 3, 4, 4])
    assert np.array_equal(fill_linear(values, hold_ends=False)[:, 0], [np.nan, 2, 3, 4, np.nan], equal_nan=True)
    assert np.isnan(fill_linear(values)[:, 1]).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_series_depends_on_itself_alone_to_the_bit(seed):
    rng = np.random.default_rng(seed)
    values = series((17, 5000), 0.6, seed)
    whole = fill_linear(values)
    for _ in range(8):
        start, stop = sorted(int(n) for n in rng.integers(0, 5001, 2))
        part = fill_linear(values[:, start:stop])
        assert part.tobytes() == np.ascontiguousarray(whole[:, start:stop]).tobytes()
    alone = fill_linear(np.where(np.arange(5000) == 777, values, np.float32(np.nan)))
    assert np.array_equal(alone[:, 777], whole[:, 777], equal_nan=True)


def test_views_and_a_given_out_are_handled_and_the_input_is_unchanged():
    values = series((9, 40), 0.5)
    kept = values.copy()
    out = np.empty((5, 20), np.float32)
    assert fill_linear(values[::2, ::-2], out=out) is out
    assert np.array_equal(out, fill_linear(values[::2, ::-2].copy()), equal_nan=True)
    assert np.array_equal(values, kept, equal_nan=True)
    assert fill_linear(np.empty((3, 0), np.float32)).shape == (3, 0)
    assert fill_linear(np.empty((0, 3), np.float32)).shape == (0, 3)


def test_wrong_input_is_refused_with_what_was_expected():
    values = series((4, 6), 0.5)
    for call in (
        lambda: fill_linear(values.astype(np.float64)),
        lambda: fill_linear(values[0]),
        lambda: fill_linear(values, out=np.empty((4, 5), np.float32)),
        lambda: fill_linear(values, out=values),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
