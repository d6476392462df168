"""From SLC to C2 and m-chi, against slow twins and the kernels they fuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.polarimetry import m_chi
from kernels.slc import c2_boxcar, c2_multilook, m_chi_from_slc
from tests.kernels import radar_twins as twins
from tests.kernels.radar_scenes import gaussian_pair, quick


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Small VV and VH of any shape, some, many or all missing, not at the same places."""
    shape, seed = (draw(st.integers(1, 15)), draw(st.integers(1, 15))), draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    share = draw(st.sampled_from([0.0, 0.03, 0.4, 1.0]))
    vv, vh = (part.astype(np.complex64) for part in gaussian_pair(shape, seed))
    for part in (vv, vh):
        part[rng.random(shape) < share] = draw(st.sampled_from([np.nan, complex(1, np.nan), np.inf]))
    return vv, vh


@given(pair=pairs(), looks=st.tuples(st.integers(1, 4), st.integers(1, 5)))
@quick
def test_multilook_of_any_small_image_agrees_with_its_twin(pair, looks):
    want = twins.c2_multilook(*pair, looks)
    for mine, right in zip(c2_multilook(*pair, looks), want, strict=True):
        assert np.array_equal(np.isnan(mine), np.isnan(right)) and mine.shape == right.shape
        assert np.all(abs(mine - right) <= 1e-7 * (want[0] + want[1]), where=np.isfinite(right))


@given(pair=pairs(), window=st.sampled_from([1, 3, 5]))
@quick
def test_the_sliding_window_of_any_small_image_agrees_with_its_twin(pair, window):
    want = [twins.box_mean(part, window) for part in twins.products(*pair)]
    for mine, right in zip(c2_boxcar(*pair, window), want, strict=True):
        assert np.array_equal(np.isnan(mine), np.isnan(right))
        assert np.all(abs(mine - right) <= 2e-6 * (want[0] + want[1]), where=np.isfinite(right))


@given(pair=pairs(), window=st.sampled_from([1, 3, 5]))
@quick
def test_the_fused_decomposition_is_that_of_the_sliding_c2_bit_by_bit(pair, window):
    apart = m_chi(*c2_boxcar(*pair, window))
    for mine, right in zip(m_chi_from_slc(*pair, window), apart, strict=True):
        assert np.array_equal(mine, right, equal_nan=True)


def test_the_fused_decomposition_agrees_with_the_twin():
    vv, vh = (part.astype(np.complex64) for part in gaussian_pair((40, 37), seed=2))
    c11, c22, real, imag = (twins.box_mean(part, 5) for part in twins.products(vv, vh))
    for mine, right in zip(m_chi_from_slc(vv, vh), twins.m_chi(c11, c22, real + 1j * imag), strict=True):
        assert np.all(abs(mine.astype(float) ** 2 - right**2) <= 3e-6 * (c11 + c22))


def test_wide_images_in_strips_depend_to_the_bit_only_on_their_window():
    vv, vh = (part.astype(np.complex64) for part in gaussian_pair((23, 1300), seed=3))
    vv[9, 500:520] = np.nan
    whole = c2_boxcar(vv, vh, 5)
    for cut in (slice(3, 900), slice(461, 1299), slice(505, 540)):
        part = c2_boxcar(vv[4:, cut], vh[4:, cut], 5)
        for a, b in zip(part, whole, strict=True):
            assert a[2:, 2:-2].tobytes() == b[6:, cut][:, 2:-2].tobytes()


def test_one_look_is_fully_polarised():
    vv, vh = (part.astype(np.complex64) for part in gaussian_pair((30, 30), seed=4))
    ps, pd, pv = m_chi_from_slc(vv, vh, 1)
    power = abs(vv) ** 2 + abs(vh) ** 2
    assert np.all(pv**2 <= 1e-6 * power)
    np.testing.assert_allclose(ps**2 + pd**2 + pv**2, power, rtol=1e-6)


def test_circular_waves_fall_into_one_component():
    vv = np.ones((9, 9), np.complex64)
    ps, pd, pv = m_chi_from_slc(vv, (1j * vv).astype(np.complex64))
    np.testing.assert_allclose(ps, np.sqrt(2), rtol=1e-6)
    assert not pd.any() and not pv.any()


def test_looks_that_do_not_divide_the_image_drop_what_is_left_over():
    vv = np.ones((7, 9), np.complex64)
    out = tuple(np.empty((2, 2), np.float32) for _ in range(4))
    got = c2_multilook(vv, vv, (3, 4), out=out)
    assert all(a is b for a, b in zip(got, out, strict=True)) and (got[0] == 1).all()
    assert c2_multilook(vv[:2], vv[:2], (3, 4))[0].shape == (0, 2)


def test_detected_products_and_other_wrong_input_are_refused_with_what_was_expected():
    good, image = np.ones((9, 9), np.complex64), np.ones((9, 9), np.float32)
    with pytest.raises(ValueError, match="SLC or a C2 product, not GRD"):
        m_chi_from_slc(image, image)
    for call in (
        lambda: c2_boxcar(good, good[:5]),
        lambda: c2_boxcar(good, good, 4),
        lambda: c2_boxcar(good, good, 131),
        lambda: c2_multilook(good, good, (0, 3)),
        lambda: m_chi_from_slc(good, good, out=(image, image, image.copy())),
        lambda: c2_boxcar(good, good, out=(image, image.copy(), image.copy())),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
