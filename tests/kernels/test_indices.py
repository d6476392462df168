"""Vegetation indices against their formulae in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from kernels import indices

U = 2.0**-24
LARGEST = float(np.finfo(np.float32).max)

FORMULAE = {
    "ndvi": (indices.ndvi, lambda n, r: ((n - r), (n + r), 0.0)),
    "lswi": (indices.lswi, lambda n, s: ((n - s), (n + s), 0.0)),
    "gcvi": (indices.gcvi, lambda n, g: (n, g, -1.0)),
    "rvi": (indices.rvi, lambda n, r: (n, r, 0.0)),
    "ndwi": (indices.ndwi, lambda g, n: ((g - n), (g + n), 0.0)),
    "evi": (indices.evi, lambda n, r, b: (2.5 * (n - r), n + 6 * r - 7.5 * b + 1, 0.0)),
    "lai": (indices.lai, lambda n, r, b: (2.5 * (n - r), n + 6 * r - 7.5 * b + 1, 0.0)),
}
THREE = ("evi", "lai")


def bands(name: str, shape: tuple[int, ...], seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.01, 0.6, shape).astype(np.float32) for _ in range(3 if name in THREE else 2)]


@pytest.mark.parametrize("name", FORMULAE)
@pytest.mark.parametrize("shape", [(), (1,), (0, 4), (3, 5, 7), (1000,)])
def test_an_index_agrees_with_its_formula(name, shape):
    kernel, formula = FORMULAE[name]
    inputs = bands(name, shape)
    above, below, plus = formula(*(band.astype(np.float64) for band in inputs))
    want = above / below + plus
    if name in THREE:
        want = np.where(below > 0, np.clip(want, -1, 1), np.nan)
    if name == "lai":
        want = 3.618 * want - 0.118
    got = kernel(*inputs)
    assert got.dtype == np.float32 and got.shape == shape
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", FORMULAE)
def test_missing_input_and_a_zero_denominator_give_nan(name):
    kernel, _ = FORMULAE[name]
    inputs = bands(name, (40,))
    for k, band in enumerate(inputs):
        band[k] = np.nan
    for band in inputs:
        band[10] = 0.0
    got = kernel(*inputs)
    assert np.isnan(got[: len(inputs)]).all()
    assert np.isnan(got[10]) or name in THREE
    assert not np.isnan(got[11:]).any() or name in THREE
    assert np.isnan(kernel(*(np.full((3,), np.nan, np.float32) for _ in inputs))).all()


def test_a_ratio_with_a_zero_denominator_is_never_infinite():
    one, zero = np.ones(3, np.float32), np.zeros(3, np.float32)
    for value in (indices.gcvi(one, zero), indices.rvi(one, zero), indices.ndvi(one, -one), indices.ndwi(one, -one)):
        assert np.isnan(value).all()


def test_evi_is_nan_where_its_denominator_vanishes_and_clipped_on_request():
    n, r, b = (np.array([v], np.float32) for v in (0.8, 0.2, 0.5))
    assert np.isnan(indices.evi(n, r, b)).all()
    vanishing = (np.array([v], np.float32) for v in (0.8, 0.2, 0.4))
    at_zero = indices.evi(*vanishing, clip=True)  # exactly 0 in decimals, within rounding of it in float32
    assert np.isnan(at_zero) or abs(at_zero) == 1
    near = np.array([0.35], np.float32)
    assert indices.evi(n, r, near) == 1.0
    assert indices.evi(n, r, near, clip=False) == pytest.approx(2.5 * 0.6 / (0.8 + 1.2 - 2.625 + 1), rel=1e-5)
    assert indices.evi(r, n, near) == pytest.approx(2.5 * -0.6 / (0.2 + 4.8 - 2.625 + 1), rel=1e-5)


@pytest.mark.parametrize("name", FORMULAE)
def test_a_given_out_is_filled_and_may_be_an_input(name):
    kernel, _ = FORMULAE[name]
    inputs = bands(name, (7, 9))
    want, kept = kernel(*inputs), [band.copy() for band in inputs]
    out = np.empty((7, 9), np.float32)
    assert kernel(*inputs, out=out) is out and np.array_equal(out, want, equal_nan=True)
    assert all(np.array_equal(a, b) for a, b in zip(inputs, kept, strict=True))
    assert np.array_equal(kernel(*inputs, out=inputs[0]), want, equal_nan=True)


@pytest.mark.parametrize("name", FORMULAE)
def test_views_that_are_not_contiguous_give_the_same_as_copies(name):
    kernel, _ = FORMULAE[name]
    views = [band[::-2, 1::3] for band in bands(name, (20, 31))]
    assert np.array_equal(kernel(*views), kernel(*(view.copy() for view in views)), equal_nan=True)


@pytest.mark.parametrize("name", FORMULAE)
def test_wrong_input_is_refused_with_what_was_expected(name):
    kernel, _ = FORMULAE[name]
    good = bands(name, (4, 5))
    with pytest.raises(ValueError, match="expected"):
        kernel(*good[:-1], good[-1][:3])
    with pytest.raises(ValueError, match="expected"):
        kernel(*good[:-1], good[-1].astype(np.float64))
    with pytest.raises(ValueError, match="expected"):
        kernel(*good, out=np.empty((4, 5), np.float64))
    with pytest.raises(ValueError, match="must be"):
        kernel(*good, out=np.empty((4, 10), np.float32)[:, ::2])


def planes(count: int):
    """Bands of one small shape, odd sizes, one pixel and one row among them, with NaN."""
    values = st.one_of(st.just(np.nan), st.floats(-0.125, 1.25, width=32), st.just(0.0))
    return array_shapes(min_dims=1, max_dims=3, max_side=7).flatmap(
        lambda shape: st.tuples(*[arrays(np.float32, shape, elements=values) for _ in range(count)])
    )


def bound(name: str, exact: list[np.ndarray], want: np.ndarray) -> np.ndarray:
    """The error that the docstrings allow."""
    if name == "gcvi":
        return 2 * U * (abs(exact[0] / exact[1]) + 1)
    if name == "rvi":
        return 2 * U * abs(want)
    if name not in THREE:
        return 4 * U * abs(want)
    n, r, b = exact
    evi = (want + 0.118) / 3.618 if name == "lai" else want
    error = U * (4 + 5 * (abs(n) + 6 * abs(r) + 7.5 * abs(b) + 1) / (n + 6 * r - 7.5 * b + 1)) * abs(evi)
    return 3.7 * error + 4 * U * (abs(want) + 0.2) if name == "lai" else error


@pytest.mark.parametrize("name", FORMULAE)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_an_index_errs_no_more_than_its_docstring_says(name, data):
    kernel, formula = FORMULAE[name]
    inputs = data.draw(planes(3 if name in THREE else 2))
    exact = [band.astype(np.float64) for band in inputs]
    with np.errstate(all="ignore"):
        above, below, plus = formula(*exact)
        want = np.where(below > 0 if name in THREE else below != 0, above / below + plus, np.nan)
        want = 3.618 * want - 0.118 if name == "lai" else want
        allowed = bound(name, exact, want) + 1e-44  # the smallest float32 steps
    got = kernel(*inputs, **({"clip": False} if name in THREE else {}))
    surely = abs(below) > 1e-5 if name in THREE else np.full(below.shape, True)  # else rounding decides the sign
    surely |= np.isnan(below)
    assert np.array_equal(np.isnan(got)[surely], np.isnan(want)[surely])
    shown = surely & ~np.isnan(want)
    got, want = (np.clip(values, -LARGEST, LARGEST) for values in (got.astype(np.float64), want))  # infinite beyond it
    assert (abs(got[shown] - want[shown]) <= allowed[shown]).all()


def test_a_quotient_beyond_the_range_of_float32_is_infinite():
    near_zero = np.array([1e-44, -1e-44], np.float32)
    for kernel in (indices.gcvi, indices.rvi):
        assert np.array_equal(kernel(np.ones(2, np.float32), near_zero), [np.inf, -np.inf])


def test_out_may_be_an_input_but_not_lie_across_one():
    block = np.random.default_rng(2).random(101, dtype=np.float32)
    red = np.random.default_rng(3).random(100, dtype=np.float32)
    want = indices.ndvi(block[:-1].copy(), red)
    for call in (
        lambda out: indices.ndvi(block[:-1], red, out),
        lambda out: indices.gcvi(block[:-1], red, out),
        lambda out: indices.evi(block[:-1], red, red, out=out),
    ):
        with pytest.raises(ValueError, match="part of an input"):
            call(block[1:])
    same = block[:-1].copy()
    np.testing.assert_array_equal(indices.ndvi(same, red, same), want)


def test_read_only_input_compiles_nothing_new():
    nir, red = (np.random.default_rng(k).random(9, dtype=np.float32) for k in (1, 2))
    want, before = indices.ndvi(nir, red), len(indices._difference.signatures)
    nir.flags.writeable = False
    np.testing.assert_array_equal(indices.ndvi(nir, red), want)
    assert len(indices._difference.signatures) == before
