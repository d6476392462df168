"""The filter along time and the sliding mean it stands on, against slow twins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.boxcar import box_mean
from kernels.multitemporal import quegan_yu
from kernels.speckle import refined_lee
from tests.kernels import radar_twins as twins
from tests.kernels.radar_scenes import images, quick, speckled


@given(image=images(), window=st.sampled_from([1, 3, 5, 7]))
@quick
def test_the_sliding_mean_of_any_small_image_agrees_with_its_twin(image, window):
    got, want = box_mean(image, window), twins.box_mean(image, window)
    valid = np.isfinite(image)
    assert np.array_equal(np.isnan(got), ~valid)
    assert np.all(abs(got - want)[valid] <= 1e-7 * twins.window_largest(image, window)[valid])


def test_the_sliding_mean_depends_to_the_bit_only_on_its_window():
    image = speckled((50, 60), seed=1)
    image[20, 30] = np.nan
    assert box_mean(image[7:41, 11:50], 5)[2:-2, 2:-2].tobytes() == box_mean(image, 5)[9:39, 13:48].tobytes()


@pytest.mark.parametrize("local", ["mean", "refined_lee"])
@given(stack=images(sides=10, dates=4))
@quick
def test_any_small_stack_agrees_with_the_twin(local, stack):
    f = np.stack([twins.box_mean(date, 7) if local == "mean" else twins.refined_lee(date) for date in stack])
    got, want = quegan_yu(stack, local=local), twins.quegan_yu(stack, f)
    assert np.array_equal(np.isnan(got), ~np.isfinite(stack))
    np.testing.assert_allclose(got, want, rtol=3e-6, atol=1e-30)  # refined Lee's own error is relative to its window


def test_a_constant_stays_and_one_date_alone_comes_back():
    stack = np.full((3, 12, 14), 0.3333333, np.float32)
    stack[1, 4, 5] = np.nan
    np.testing.assert_allclose(quegan_yu(stack), stack, rtol=1.2e-7)
    alone = speckled((1, 20, 20), seed=2)
    np.testing.assert_allclose(quegan_yu(alone), alone, rtol=3e-7)


def test_scaling_a_date_scales_that_date_alone():
    stack = speckled((4, 20, 25), seed=3)
    louder = stack.copy()
    louder[2] *= 8
    want = quegan_yu(stack)
    want[2] *= 8
    assert np.array_equal(quegan_yu(louder), want)


def test_looks_rise_almost_with_the_number_of_dates_and_each_date_keeps_its_mean():
    stack = speckled((8, 128, 128), seed=4, looks=4) * np.linspace(1, 3, 8, dtype=np.float32)[:, None, None]
    got = quegan_yu(stack).astype(np.float64)
    for date, before in zip(got, stack, strict=True):
        assert date.mean() == pytest.approx(before.mean(), rel=0.01)
        assert date.mean() ** 2 / date.var() > 20  # from 4


def test_a_missing_date_is_left_out_of_the_mean_and_stays_missing():
    stack = speckled((3, 15, 15), seed=5)
    stack[1] = np.nan
    got = quegan_yu(stack)
    assert np.isnan(got[1]).all()
    assert np.array_equal(got[[0, 2]], quegan_yu(stack[[0, 2]]))


def test_given_arrays_are_written_and_the_local_filter_is_the_one_asked_for():
    stack = speckled((2, 30, 31), seed=6)
    out = np.empty_like(stack)
    assert quegan_yu(stack, out, local="refined_lee") is out
    f = np.stack([refined_lee(date) for date in stack])
    np.testing.assert_allclose(out, twins.quegan_yu(stack, f), rtol=3e-7)
    assert quegan_yu(np.empty((0, 4, 5), np.float32)).shape == (0, 4, 5)


def test_wrong_input_is_refused_with_what_was_expected():
    stack = np.ones((2, 9, 9), np.float32)
    for call in (
        lambda: quegan_yu(stack[0]),
        lambda: quegan_yu(stack, stack),
        lambda: quegan_yu(stack, window=4),
        lambda: quegan_yu(stack, local="median"),
        lambda: box_mean(stack),
        lambda: box_mean(stack[0], -1),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
