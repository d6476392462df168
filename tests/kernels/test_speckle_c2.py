"""The refined Lee filter of covariance matrices: against its twin, and what keeps C2 a covariance matrix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.polarimetry import degree_and_angle
from kernels.speckle import refined_lee, refined_lee_c2
from kernels.speckle_windows import BLOCK_X, BLOCK_Y
from tests.kernels import radar_twins as twins
from tests.kernels.radar_scenes import c2_planes, quick

POLSARPRO = {"flavour": "polsarpro", "looks": 4}
both = pytest.mark.parametrize("options", [{}, POLSARPRO], ids=["snap", "polsarpro"])


def with_holes(c2: list[np.ndarray], share: float, seed: int) -> list[np.ndarray]:
    """Each element missing elsewhere."""
    rng = np.random.default_rng(seed)
    return [np.where(rng.random(part.shape) < share, np.float32(np.nan), part) for part in c2]


@both
@given(
    rows=st.integers(1, 14),
    columns=st.integers(1, 14),
    looks=st.sampled_from([1, 4, 50]),
    share=st.sampled_from([0.0, 0.01, 0.2, 1.0]),
    seed=st.integers(0, 2**31),
)
@quick
def test_any_small_matrix_agrees_with_its_twin_within_the_stated_error(options, rows, columns, looks, share, seed):
    c2 = with_holes(c2_planes((rows, columns), looks, seed), share, seed)
    missing = ~np.isfinite(sum(c2))
    largest = twins.window_largest(np.where(missing, np.nan, c2[0] + c2[1]))
    got, want = refined_lee_c2(*c2, **options), twins.refined_lee_c2(c2, options.get("looks"))
    for mine, right in zip(got, want, strict=True):
        assert np.array_equal(np.isnan(mine), missing)
        assert np.all(abs(mine - right)[~missing] <= 3e-7 * largest[~missing])


@both
@pytest.mark.parametrize("looks", [1, 4])
def test_the_matrix_stays_positive_semi_definite_and_m_at_most_one(options, looks):
    c2 = c2_planes((120, 140), looks, seed=2)
    c2[0][50, 60] = np.nan
    c11, c22, real, imag = refined_lee_c2(*c2, **options)
    determinant = c11.astype(float) * c22 - real.astype(float) ** 2 - imag.astype(float) ** 2
    valid = np.isfinite(c11)
    assert valid.sum() == valid.size - 1
    assert np.all(determinant[valid] >= -2e-7 * (c11 + c22)[valid] ** 2)
    assert np.nanmax(degree_and_angle(c11, c22, real, imag)[0]) <= 1 + 1e-6


@both
def test_a_constant_matrix_stays_itself_to_the_bit(options):
    c2 = [np.full((40, 70), v, np.float32) for v in (0.1, 0.0333333, 0.007, -0.012345)]
    c2[3][10, 20] = np.nan
    for got, part in zip(refined_lee_c2(*c2, **options), c2, strict=True):
        want = part.copy()
        want[10, 20] = np.nan
        assert np.array_equal(got, want, equal_nan=True)


@both
def test_a_pixel_depends_to_the_bit_only_on_its_window(options):
    c2 = with_holes(c2_planes((2 * BLOCK_Y + 9, 2 * BLOCK_X + 11), 4, seed=3), 0.002, seed=4)
    whole = refined_lee_c2(*c2, **options)
    rng = np.random.default_rng(5)
    for _ in range(10):
        y0, x0 = (int(rng.integers(0, n - 8)) for n in c2[0].shape)
        y1, x1 = (int(rng.integers(a + 7, n)) for a, n in zip((y0, x0), c2[0].shape, strict=True))
        crop = refined_lee_c2(*(part[y0:y1, x0:x1] for part in c2), **options)
        for a, b in zip(crop, whole, strict=True):
            assert a[3:-3, 3:-3].tobytes() == b[y0 + 3 : y1 - 3, x0 + 3 : x1 - 3].tobytes()


@both
def test_with_one_channel_alone_it_is_the_filter_of_one_band(options):
    c11 = c2_planes((60, 80), 4, seed=6)[0]
    nothing = np.zeros_like(c11)
    got = refined_lee_c2(c11, nothing, nothing, nothing, **options)
    assert np.array_equal(got[0], refined_lee(c11, **options))
    assert not any(part.any() for part in got[1:])


@both
def test_scaling_the_matrix_scales_the_result(options):
    c2 = c2_planes((40, 50), 4, seed=7)
    for a, b in zip(refined_lee_c2(*c2, **options), refined_lee_c2(*(8 * part for part in c2), **options), strict=True):
        assert np.array_equal(8 * a, b)


def test_a_stack_is_filtered_date_by_date_into_given_arrays():
    c2 = [np.stack([part, part[::-1]]) for part in c2_planes((30, 41), 4, seed=8)]
    out = tuple(np.empty_like(part) for part in c2)
    got = refined_lee_c2(*c2, out=out)
    assert all(a is b for a, b in zip(got, out, strict=True))
    for k in range(2):
        for a, b in zip(got, refined_lee_c2(*(part[k] for part in c2)), strict=True):
            assert a[k].tobytes() == b.tobytes()


def test_wrong_input_is_refused_with_what_was_expected():
    good = np.ones((9, 9), np.float32)
    outs = tuple(good.copy() for _ in range(4))
    for parts, options in (
        ((good, good, good, good[:5]), {}),
        ((good, good, good.astype(np.float64), good), {}),
        ((good[0],) * 4, {}),
        ((good,) * 4, {"looks": 3}),
        ((good,) * 4, {"out": (*outs[:3], good)}),
        ((good,) * 4, {"out": (*outs[:3], outs[0])}),
    ):
        with pytest.raises(ValueError, match="expected"):
            refined_lee_c2(*parts, **options)
