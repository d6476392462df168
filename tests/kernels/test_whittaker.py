"""Whittaker smoothing against a dense solve in float64, and the cut-off in time of both series kernels."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kernels.smooth import fill_linear, whittaker


def twin(values: np.ndarray, smoothing: float, weights: np.ndarray | None = None) -> np.ndarray:
    """One dense system a series."""
    steps = len(values)
    difference = np.diff(np.eye(steps), 2, axis=0)
    penalty = smoothing * difference.T @ difference
    out = np.full(values.shape, np.nan)
    for n in range(values.shape[1]):
        w = np.ones(steps) if weights is None else np.nan_to_num(np.maximum(weights[:, n], 0).astype(np.float64))
        w = np.where(np.isnan(values[:, n]), 0, w)
        if (w > 0).sum() >= 2:
            out[:, n] = np.linalg.solve(np.diag(w) + penalty, w * np.nan_to_num(values[:, n].astype(np.float64)))
    return out


def series(shape: tuple[int, int], gaps: float = 0.4, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(0.3, 0.2, shape).astype(np.float32)
    values[rng.random(shape) < gaps] = np.nan
    return values


def small_series():
    """Series of 1 to 12 steps, NaN and whole gaps among them."""
    values = st.just(np.nan) | st.floats(-1, 1, width=32)
    return st.tuples(st.integers(1, 12), st.integers(1, 5)).flatmap(lambda s: arrays(np.float32, s, elements=values))


@settings(max_examples=30, deadline=None)
@given(values=small_series(), smoothing=st.sampled_from([0.01, 1.0, 37.0, 1e4]), data=st.data())
def test_it_agrees_with_the_dense_solve(values, smoothing, data):
    weights = data.draw(
        st.none() | arrays(np.float32, values.shape, elements=st.sampled_from([0.0, -1.0, np.nan, 0.25, 0.5, 1.0, 3.0]))
    )
    got = whittaker(values, smoothing, weights=weights)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, twin(values, smoothing, weights), rtol=1e-6, atol=1e-7 + 1e-10 * smoothing)


@pytest.mark.parametrize("smoothing", [1.0, 1e2, 1e4, 1e6])
@pytest.mark.parametrize("shape", [(36, 517), (36, 256), (3, 300), (2, 5)])
def test_many_series_agree_with_the_dense_solve_also_where_float32_would_fail(shape, smoothing):
    values = series(shape)
    np.testing.assert_allclose(whittaker(values, smoothing), twin(values, smoothing), rtol=1e-6, atol=2e-7)


@pytest.mark.parametrize("smoothing", [0.1, 1e3, 1e6])
def test_straight_lines_come_back_exactly(smoothing):
    line = np.arange(36, dtype=np.float32)[:, None] * np.arange(-50, 50, dtype=np.float32) + 7
    values = line.copy()
    values[np.random.default_rng(2).random(line.shape) < 0.6] = np.nan
    np.testing.assert_allclose(whittaker(values, smoothing), line, rtol=2e-7, atol=1e-4)


def test_fewer_than_two_values_of_weight_give_nan_and_two_give_their_line():
    values = np.full((5, 4), np.nan, np.float32)
    values[2, 1] = values[1, 2] = values[1, 3] = 1
    values[3, 2:] = 2
    weights = np.ones_like(values)
    weights[3, 3] = 0
    got = whittaker(values, 10.0, weights=weights)
    assert np.isnan(got[:, [0, 1, 3]]).all()
    np.testing.assert_allclose(got[:, 2], [0.5, 1, 1.5, 2, 2.5], rtol=1e-6)


def test_equal_weights_of_one_change_nothing_and_heavier_values_pull_harder():
    values = series((20, 300))
    assert whittaker(values, 5.0).tobytes() == whittaker(values, 5.0, weights=np.ones_like(values)).tobytes()
    values, weights = series((20, 300), 0.0), np.ones((20, 300), np.float32)
    weights[7] = 100
    near, far = whittaker(values, 50.0, weights=weights), whittaker(values, 50.0)
    assert (abs(near[7] - values[7]) <= abs(far[7] - values[7]) + 1e-6).all()


@pytest.mark.parametrize("until", [0, 1, 2, 7, 20])
@pytest.mark.parametrize("kernel", [fill_linear, lambda v, **k: whittaker(v, 3.0, **k)])
def test_nothing_at_or_after_the_cut_off_changes_a_bit(kernel, until):
    values = series((20, 300))
    other = values.copy()
    other[until:] = series((20 - until, 300), 0.1, seed=9)
    got = kernel(values, until=until)
    assert got.shape == (until, 300)
    assert got.tobytes() == kernel(other, until=until).tobytes() == kernel(values[:until]).tobytes()
    out = np.empty((until, 300), np.float32)
    assert kernel(values, until=until, out=out) is out and out.tobytes() == got.tobytes()


def test_weights_after_the_cut_off_are_not_read_either():
    values, weights = series((9, 10), 0.0), np.ones((9, 10), np.float32)
    want = whittaker(values, 2.0, weights=weights, until=5)
    weights[5:] = np.nan
    assert whittaker(values, 2.0, weights=weights, until=5).tobytes() == want.tobytes()


def test_a_series_depends_on_itself_alone_to_the_bit_and_inputs_stay():
    values = series((17, 900), 0.6)
    values[:, 3] = np.nan
    values[4, 5] = np.inf
    kept, whole = values.copy(), whittaker(values, 20.0)
    for start, stop in ((0, 1), (5, 260), (255, 257), (300, 900)):
        part = whittaker(values[:, start:stop], 20.0)
        assert part.tobytes() == np.ascontiguousarray(whole[:, start:stop]).tobytes()
    assert np.array_equal(values, kept, equal_nan=True)
    with ThreadPoolExecutor(4) as pool:
        assert all(one.tobytes() == whole.tobytes() for one in pool.map(lambda _: whittaker(values, 20.0), range(8)))
    assert whittaker(np.empty((3, 0), np.float32), 1.0).shape == (3, 0)
    assert whittaker(np.empty((0, 3), np.float32), 1.0).shape == (0, 3)


def test_wrong_input_is_refused_with_what_was_expected():
    values = series((4, 6))
    for call in (
        lambda: whittaker(values.astype(np.float64), 1.0),
        lambda: whittaker(values[0], 1.0),
        lambda: whittaker(values, 0.0),
        lambda: whittaker(values, np.inf),
        lambda: whittaker(values, 1.0, weights=values[:3]),
        lambda: whittaker(values, 1.0, weights=values.astype(np.float64)),
        lambda: whittaker(values, 1.0, until=5),
        lambda: fill_linear(values, until=-1),
        lambda: whittaker(values, 1.0, out=np.empty((4, 5), np.float32)),
        lambda: whittaker(values, 1.0, out=values),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
