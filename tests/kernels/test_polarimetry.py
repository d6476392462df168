"""m-chi against the formula with m and chi written out, and on states whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.polarimetry import cross_ratio, cross_ratio_db, degree_and_angle, m_chi, stokes
from tests.kernels.radar_scenes import c2_planes, covariance, images, quick
from tests.kernels.radar_twins import m_chi as twin


def run(c11, c22, c12):
    parts = (c11, c22, np.real(c12), np.imag(c12))
    return m_chi(*(np.asarray(part, np.float32) for part in parts))


@pytest.mark.parametrize("shape", [(), (1, 1), (3, 7), (61, 83)])
def test_the_form_without_division_agrees_with_the_one_with_it(shape):
    c2 = covariance(shape, looks=9)
    for got, want in zip(run(*c2), twin(*c2), strict=True):
        assert got.dtype == np.float32 and got.shape == shape
        assert np.all(abs(got - want) <= 2e-6 * np.sqrt(c2[0] + c2[1]))


def test_circular_states_put_all_power_in_one_component():
    vv, vh = np.array([1, 1, 1]), np.array([1j, -1j, 1])
    ps, pd, pv = run(abs(vv) ** 2, abs(vh) ** 2, vv * vh.conj())
    root2 = np.sqrt(2)
    np.testing.assert_allclose(ps, [root2, 0, 1], atol=1e-6)
    np.testing.assert_allclose(pd, [0, root2, 1], atol=1e-6)
    np.testing.assert_allclose(pv, [0, 0, 0], atol=1e-6)


def test_without_correlation_the_smaller_channel_is_volume():
    c11, c22 = np.random.default_rng(2).gamma(2, 0.1, (2, 50))
    ps, pd, pv = run(c11, c22, np.zeros(50))
    np.testing.assert_allclose(pv, np.sqrt(2 * np.minimum(c11, c22)), rtol=1e-4)
    np.testing.assert_allclose(ps, np.sqrt(abs(c11 - c22) / 2), rtol=1e-5)
    np.testing.assert_allclose(pd, ps)


def test_the_squares_add_up_to_the_total_power():
    c11, c22, c12 = covariance((40, 50), looks=5, seed=3)
    parts = run(c11, c22, c12)
    np.testing.assert_allclose(sum(part.astype(np.float64) ** 2 for part in parts), c11 + c22, rtol=1e-6)


def test_rank_one_and_unpolarised_pixels_give_no_nan():
    for looks, c2 in ((1, covariance((64, 64), 1)), (0, (np.ones(5), np.ones(5), np.zeros(5))), (0, np.zeros((3, 5)))):
        parts = run(*c2)
        assert not np.isnan(parts).any()
        if looks == 1:
            assert np.all(parts[2] <= 2e-3 * np.sqrt(c2[0] + c2[1]))


def test_conjugating_the_correlation_swaps_surface_and_double_bounce():
    c11, c22, c12 = covariance((9, 9), looks=6, seed=4)
    ps, pd, pv = run(c11, c22, c12)
    swapped = run(c11, c22, c12.conj())
    assert np.array_equal(swapped[0], pd) and np.array_equal(swapped[1], ps) and np.array_equal(swapped[2], pv)


def test_a_missing_element_gives_nan_in_all_that_needs_it_and_nowhere_else():
    c2 = [np.full(9, v, np.float32) for v in (1.0, 0.5, 0.1, 0.2)]
    for k, part in enumerate(c2):
        part[k] = np.nan
    got = np.array(m_chi(*c2))
    assert np.isnan(got[:, :4]).all() and not np.isnan(got[:, 4:]).any()


def test_views_a_given_out_and_any_cut_give_the_same_bits():
    c11, c22, c12 = covariance((70, 80), looks=4, seed=5)
    c2 = [np.asarray(a, np.float32) for a in (c11, c22, c12.real, c12.imag)]
    whole = m_chi(*c2)
    out = tuple(np.empty((20, 35), np.float32) for _ in range(3))
    part = m_chi(*(a[11:51:2, ::-1][:, :35] for a in c2), out=out)
    for a, b, target in zip(whole, part, out, strict=True):
        assert b is target and np.array_equal(a[11:51:2, ::-1][:, :35], b)


@given(seed=st.integers(0, 2**31), looks=st.integers(1, 30), rows=st.integers(1, 9), columns=st.integers(1, 9))
@quick
def test_the_powers_of_any_matrix_are_within_the_stated_error_of_the_twin(seed, looks, rows, columns):
    c2 = [part.astype(np.float64) for part in c2_planes((rows, columns), looks, seed)]
    want = twin(c2[0], c2[1], c2[2] + 1j * c2[3])
    for got, right in zip(m_chi(*(part.astype(np.float32) for part in c2)), want, strict=True):
        assert np.all(abs(got.astype(float) ** 2 - np.nan_to_num(right) ** 2) <= 5e-7 * (c2[0] + c2[1]))


def test_stokes_parameters_are_what_the_convention_says():
    c11, c22, real, imag = c2_planes((7, 8), looks=3, seed=6)
    out = tuple(np.empty((7, 8), np.float32) for _ in range(4))
    got = stokes(c11, c22, real, imag, out=out)
    for part, target, right in zip(got, out, (c11 + c22, c11 - c22, 2 * real, -2 * imag), strict=True):
        assert part is target and np.array_equal(part, right)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (31, 17)])
def test_degree_and_angle_agree_with_their_formulae(shape):
    c11, c22, real, imag = (part.astype(np.float64) for part in c2_planes(shape, looks=5, seed=7))
    p = np.sqrt((c11 - c22) ** 2 + 4 * real**2 + 4 * imag**2)
    m, chi = degree_and_angle(*(part.astype(np.float32) for part in (c11, c22, real, imag)))
    np.testing.assert_allclose(m, p / (c11 + c22), rtol=1e-7)
    np.testing.assert_allclose(chi, np.arcsin(2 * imag / p) / 2, rtol=1e-6, atol=1e-7)


def test_degree_and_angle_of_pure_unpolarised_empty_and_missing_pixels():
    values = [[1, 1, 1, 1, 0, np.nan], [1, 1, 1, 1, 0, 1], [0, 0, 1, 0, 0, 0], [-1, 1, 0, 0, 0, 0]]
    m, chi = degree_and_angle(*(np.array(part, np.float32) for part in values))
    np.testing.assert_array_equal(m, [1, 1, 1, 0, np.nan, np.nan])
    np.testing.assert_allclose(chi, [-np.pi / 4, np.pi / 4, 0, 0, 0, np.nan], rtol=1e-7)


def test_surface_and_double_bounce_follow_from_degree_and_angle():
    c2 = c2_planes((20, 20), looks=9, seed=8)
    (m, chi), (ps, pd, pv), s1 = degree_and_angle(*c2), m_chi(*c2), c2[0] + c2[1]
    np.testing.assert_allclose(ps**2, m * s1 * (1 - np.sin(2 * chi)) / 2, rtol=1e-4)
    np.testing.assert_allclose(pd**2, m * s1 * (1 + np.sin(2 * chi)) / 2, rtol=1e-4)
    np.testing.assert_allclose(pv**2, s1 * (1 - m), rtol=1e-4)


@given(vv=images(), seed=st.integers(0, 2**31))
@quick
def test_cross_ratios_of_any_image_agree_with_their_formulae(vv, seed):
    vh = np.random.default_rng(seed).permuted(vv, axis=None).reshape(vv.shape) * np.float32(0.2)
    with np.errstate(all="ignore"):
        want = np.where(vv != 0, vh / vv, np.float32(np.nan))
        finite = (vv > 0) & (vh > 0) & np.isfinite(vv) & np.isfinite(vh)
        db = np.where(finite, 10 * np.log10(vh.astype(float) / vv), np.nan)
    assert np.array_equal(cross_ratio(vv, vh), want, equal_nan=True)
    np.testing.assert_allclose(cross_ratio_db(vv, vh), db, rtol=5e-7, atol=1e-6)


def test_cross_ratio_in_decibels_is_the_difference_of_decibels_and_out_may_be_an_input():
    vv, vh = np.float32([[0.1, 0.2]]), np.float32([[0.01, 0.05]])
    np.testing.assert_allclose(cross_ratio_db(vv, vh), 10 * np.log10(vh) - 10 * np.log10(vv), rtol=1e-5)
    assert cross_ratio(vv, vh, out=vv) is vv
    np.testing.assert_allclose(vv, [[0.1, 0.25]], rtol=1e-6)


def test_wrong_input_is_refused_with_what_was_expected():
    good = np.ones((3, 4), np.float32)
    for parts, out in (
        ((good, good, good, good[:2]), None),
        ((good, good.astype(np.float64), good, good), None),
        ((good, good, good, good), (good, good.copy(), good.copy())),
        ((good, good, good, good), (np.empty((3, 4), np.float32),) * 3),
    ):
        with pytest.raises(ValueError, match="expected"):
            m_chi(*parts, out=out)
    for call in (
        lambda: stokes(good, good, good, good[:2]),
        lambda: stokes(good, good, good, good, out=(good, good, good)),
        lambda: degree_and_angle(good, good, good, good.astype(np.float64)),
        lambda: cross_ratio(good, good[:2]),
        lambda: cross_ratio_db(good.astype(np.float64), good),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
