"""m-chi against the formula with m and chi written out, and on states whose answer is known."""

import numpy as np
import pytest

from kernels.polarimetry import m_chi


def twin(c11, c22, c12):
    """Raney's form with its divisions, in float64, for m > 0."""
    s1, s2, s3, s4 = c11 + c22, c11 - c22, 2 * c12.real, -2 * c12.imag
    m = np.sqrt(s2**2 + s3**2 + s4**2) / s1
    sin2chi = -s4 / (m * s1)
    return np.sqrt(m * s1 * (1 - sin2chi) / 2), np.sqrt(m * s1 * (1 + sin2chi) / 2), np.sqrt(s1 * (1 - m))


def covariance(shape: tuple[int, ...], looks: int, seed: int = 1):
    """Sample covariance of ``looks`` correlated complex Gaussian pairs."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 2, looks, *shape))
    vv, vh = a[0] + 1j * a[1], 0.4 * (b[0] + 1j * b[1]) + 0.3j * (a[0] + 1j * a[1])
    return (abs(vv) ** 2).mean(0), (abs(vh) ** 2).mean(0), (vv * vh.conj()).mean(0)


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
