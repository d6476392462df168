"""Pixels taken out of a block and rescaled, against what NumPy says in several passes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.pixels import gather, rescale, softmax

SIZES = st.integers(1, 40)


def made(seed: int, *shape: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 2, shape).astype(np.float32)
    values[rng.random(shape) < 0.2] = np.nan
    return values


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**16), SIZES, SIZES, st.integers(0, 300))
def test_gathered_are_the_columns_asked_for_bit_by_bit(seed: int, k: int, p: int, n: int) -> None:
    planes, at = made(seed, k, p), np.random.default_rng(seed).integers(0, p, n)
    got = gather(planes, at)
    assert got.shape == (n, k) and got.flags.c_contiguous
    assert got.tobytes() == np.ascontiguousarray(planes[:, at].T).tobytes()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**16), SIZES, st.integers(1, 14), st.sampled_from([1, 2, 9, 49]))
def test_rescaled_is_what_numpy_says_in_several_passes(seed: int, m: int, f: int, r: int) -> None:
    rng, values = np.random.default_rng(seed), made(seed, m, f, r)
    lower, factor, stand_in = (rng.random(f, np.float32) for _ in range(3))
    want = np.clip((values - lower[:, None]) * factor[:, None], 0, 1)
    want = np.where(np.isnan(values), stand_in[:, None], want)
    assert np.array_equal(rescale(values, lower, factor, stand_in), want)
    assert rescale(values, lower, factor, stand_in, out=values) is values
    assert np.array_equal(values, want)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**16), SIZES, st.integers(1, 20), st.floats(0.05, 20))
def test_softmax_is_what_numpy_says_in_float64(seed: int, n: int, k: int, temperature: float) -> None:
    logits = np.random.default_rng(seed).normal(0, 20, (n, k)).astype(np.float32)
    scaled = logits.astype(np.float64) / temperature
    odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    got = softmax(logits, temperature)
    np.testing.assert_allclose(got, odds / odds.sum(axis=1, keepdims=True), rtol=1e-7, atol=1e-12)
    assert np.array_equal(softmax(logits[::-1], temperature), got[::-1])
    assert softmax(logits, temperature, out=logits) is logits and np.array_equal(logits, got)


def test_softmax_of_infinite_and_missing_logits() -> None:
    logits = np.array([[0, -np.inf], [1000, 999], [np.nan, 1]], np.float32)
    got = softmax(logits, 1.0)
    assert got[0].tolist() == [1, 0] and np.isnan(got[2]).all()
    assert got[1].sum() == pytest.approx(1) and got[1, 1] == pytest.approx(1 / (1 + np.e))
    assert softmax(np.empty((0, 3), np.float32), 1.0).shape == (0, 3)
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="expected above 0"):
            softmax(logits, wrong)


def test_infinities_are_held_and_a_missing_value_gets_the_stand_in() -> None:
    values = np.array([np.inf, -np.inf, np.nan, 0.25], np.float32).reshape(4, 1, 1)
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    assert rescale(values, zero, one, np.array([0.5], np.float32)).ravel().tolist() == [1, 0, 0.5, 0.25]


def test_another_dtype_shape_place_or_a_shared_out_is_refused() -> None:
    planes, at, one = np.ones((3, 5), np.float32), np.arange(5), np.ones(3, np.float32)
    with pytest.raises(ValueError, match="float64, expected float32"):
        gather(planes.astype(np.float64), at)
    for wrong in (-1, 5):
        with pytest.raises(ValueError, match="expected 0 to 4"):
            gather(planes, np.array([0, wrong]))
    with pytest.raises(ValueError, match="shares memory"):
        gather(planes, np.array([0, 1, 2]), out=planes.reshape(-1)[:9].reshape(3, 3))
    with pytest.raises(ValueError, match="factor has shape"):
        rescale(planes[:, :, None].reshape(5, 3, 1), one, one[:2], one)
