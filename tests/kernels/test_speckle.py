"""The refined Lee filter of one band against a slow twin, and the laws it keeps, in both flavours."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given

from kernels.speckle import refined_lee
from kernels.speckle_windows import BLOCK_X, BLOCK_Y
from tests.kernels.radar_scenes import images, quick, speckled
from tests.kernels.radar_twins import AREAS, HALVES, snap_noise, window_largest
from tests.kernels.radar_twins import refined_lee as twin

POLSARPRO = {"flavour": "polsarpro", "looks": 4.4}
both = pytest.mark.parametrize("options", [{}, POLSARPRO], ids=["snap", "polsarpro"])


@both
@given(image=images())
@quick
def test_any_small_image_agrees_with_its_twin_within_the_stated_error(options, image):
    got, want = refined_lee(image, **options), twin(image, options.get("looks"))
    assert np.array_equal(np.isnan(got), ~np.isfinite(image))
    valid = np.isfinite(image)
    assert np.all(abs(got - want)[valid] <= 3e-7 * window_largest(image)[valid])


@both
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 5), (7, 7), (33, 71)])
def test_the_filter_agrees_with_its_twin_at_every_size(options, shape):
    image = speckled(shape, seed=1)
    np.testing.assert_allclose(refined_lee(image, **options), twin(image, options.get("looks")), rtol=1e-6)


@pytest.mark.parametrize("share", [0.002, 0.05, 0.4, 0.9, 1.0])
@both
def test_the_filter_agrees_with_its_twin_around_missing_pixels(options, share):
    rng = np.random.default_rng(2)
    image = speckled((40, 75), seed=3)
    image[rng.random(image.shape) < share] = np.nan
    image[5, 5] = np.inf
    got = refined_lee(image, **options)
    np.testing.assert_allclose(got, twin(image, options.get("looks")), rtol=1e-6)
    assert np.array_equal(np.isnan(got), ~np.isfinite(image))


@both
def test_whole_numbers_with_many_ties_agree_with_the_twin(options):
    image = np.random.default_rng(4).integers(1, 4, (30, 40)).astype(np.float32)
    np.testing.assert_allclose(refined_lee(image, **options), twin(image, options.get("looks")), rtol=1e-6)


@both
@pytest.mark.parametrize("seed", range(6))
def test_a_pixel_depends_to_the_bit_only_on_its_window(options, seed):
    rng = np.random.default_rng(seed)
    image = speckled((3 * BLOCK_Y + 7, 2 * BLOCK_X + 11), seed)
    image[rng.random(image.shape) < (0.0, 0.003, 0.05)[seed % 3]] = np.nan
    whole = refined_lee(image, **options)
    for _ in range(12):
        y0, x0 = (int(rng.integers(0, n - 8)) for n in image.shape)
        y1, x1 = int(rng.integers(y0 + 7, image.shape[0])), int(rng.integers(x0 + 7, image.shape[1]))
        crop = refined_lee(image[y0:y1, x0:x1], **options)
        inner = crop[3:-3, 3:-3]
        assert inner.tobytes() == whole[y0 + 3 : y1 - 3, x0 + 3 : x1 - 3].tobytes()


def test_neighbours_outside_the_window_do_not_matter_whatever_they_are():
    image = speckled((50, 90), seed=5)
    before = refined_lee(image)[20, 70]
    outside = np.ones(image.shape, bool)
    outside[17:24, 67:74] = False
    for value in (np.nan, 0.0, 1e9):
        assert refined_lee(np.where(outside, np.float32(value), image))[20, 70] == before


@both
@pytest.mark.parametrize("value", [0.0, 1e-7, 0.1, 0.3333333, 12345.678])
def test_a_constant_stays_itself_to_the_bit_at_borders_and_holes(options, value):
    image = np.full((40, 70), value, np.float32)
    assert np.array_equal(refined_lee(image, **options), image)
    image[10:13, 20] = np.nan
    assert np.array_equal(refined_lee(image, **options), image, equal_nan=True)


@both
def test_scaling_the_input_scales_the_output(options):
    image = speckled((60, 50), seed=6)
    plain = refined_lee(image, **options)
    assert np.array_equal(refined_lee(image * np.float32(0.25), **options), plain * np.float32(0.25))
    np.testing.assert_allclose(refined_lee(image * np.float32(0.013), **options), plain * 0.013, rtol=1e-5)


@both
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_eight_rotations_and_flips_commute(options, turns, mirrored):
    def turn(a):
        return np.rot90(a[:, ::-1] if mirrored else a, turns)

    image = speckled((45, 61), seed=7)
    np.testing.assert_allclose(refined_lee(turn(image), **options), turn(refined_lee(image, **options)), rtol=1e-5)


@pytest.mark.parametrize("direction", range(8))
def test_a_step_edge_of_each_orientation_picks_its_mask(direction):
    mask = HALVES[direction]
    edge_pixel = [(3, 6), (0, 6), (0, 3), (0, 0), (3, 0), (6, 0), (6, 3), (6, 6)][direction]
    rng = np.random.default_rng(direction)
    window = np.where(mask, 10.0, 1.0) + rng.random((7, 7)) * 0.01
    window[edge_pixel] += 3.0  # lifts this direction's outer mean alone: a clean edge ties with its diagonals
    window = window.astype(np.float32)
    inside = window.astype(np.float64)[mask]
    noise = snap_noise([window[y : y + 3, x : x + 3].astype(np.float64) for y, x in AREAS])
    mean, variance = inside.mean(), inside.var(ddof=1)
    weight = max(0.0, (variance - mean**2 * noise) / (1 + noise)) / variance
    assert refined_lee(window)[3, 3] == pytest.approx(mean + weight * (window[3, 3] - mean), rel=1e-5)


@pytest.mark.parametrize("direction", range(8))
def test_in_polsarpro_a_step_edge_of_each_orientation_picks_its_darker_side(direction):
    rng = np.random.default_rng(direction)
    window = np.where(HALVES[direction], 1.0, 10.0) + rng.random((7, 7)) * 0.01
    window = window.astype(np.float32)
    inside = window.astype(np.float64)[HALVES[direction]]
    mean, variance = inside.mean(), inside.var()
    weight = max(0.0, (variance - mean**2 / 4.4) / (1 + 1 / 4.4)) / variance
    assert refined_lee(window, **POLSARPRO)[3, 3] == pytest.approx(mean + weight * (window[3, 3] - mean), rel=1e-5)


def test_a_step_edge_stays_sharp():
    image = np.where(np.arange(64) < 32, 1.0, 20.0) * speckled((64, 64), seed=8, looks=16)
    got = refined_lee(image.astype(np.float32))[8:-8]
    assert got[:, 30].mean() == pytest.approx(1.0, rel=0.1)
    assert got[:, 33].mean() == pytest.approx(20.0, rel=0.1)


def test_a_ring_of_nodata_leaves_its_inside_alone():
    image = speckled((21, 21), seed=9)
    image[5:16, 5:16][[0, -1], :] = np.nan
    image[5:16, 5:16][:, [0, -1]] = np.nan
    got = refined_lee(image)
    np.testing.assert_allclose(got, twin(image), rtol=1e-6)
    island = np.full((9, 9), np.nan, np.float32)
    island[4, 4] = 0.7
    assert refined_lee(island)[4, 4] == np.float32(0.7)


@pytest.mark.parametrize(("looks", "bias"), [(1, 0.03), (4, 0.01), (9, 0.01)])
def test_in_snap_looks_rise_and_the_mean_stays(looks, bias):
    image = speckled((256, 256), seed=10, looks=looks)
    got = refined_lee(image).astype(np.float64)
    assert got.mean() == pytest.approx(image.mean(), rel=bias)
    assert got.mean() ** 2 / got.var() > 4.5 * looks


@pytest.mark.parametrize(("looks", "bias"), [(1, -0.13), (4.4, -0.06), (9, -0.04)])
def test_in_polsarpro_looks_rise_and_the_mean_falls_by_its_known_bias(looks, bias):
    image = speckled((256, 256), seed=13, looks=looks)
    got = refined_lee(image, flavour="polsarpro", looks=looks).astype(np.float64)
    assert got.mean() / image.mean() - 1 == pytest.approx(bias, abs=0.015)
    assert got.mean() ** 2 / got.var() > 4.5 * looks


@both
def test_a_stack_is_filtered_date_by_date_into_a_given_out(options):
    stack = speckled((3, 40, 30), seed=14)
    stack[1, 5:9, 3] = np.nan
    out = np.empty_like(stack)
    assert refined_lee(stack, out, **options) is out
    for date, got in zip(stack, out, strict=True):
        assert got.tobytes() == refined_lee(date, **options).tobytes()
    assert refined_lee(np.empty((0, 3, 4), np.float32), **options).shape == (0, 3, 4)


def test_many_threads_give_the_same_bits():
    stack = speckled((8, 90, 80), seed=15)
    stack[2, 50, 50] = np.nan
    want = refined_lee(stack)
    with ThreadPoolExecutor(4) as pool:
        for date, got in zip(want, pool.map(refined_lee, stack), strict=True):
            assert got.tobytes() == date.tobytes()


def test_views_and_a_given_out_are_handled_and_the_input_is_unchanged():
    image = speckled((80, 90), seed=11)
    kept = image.copy()
    out = np.empty((40, 30), np.float32)
    assert refined_lee(image[::2, ::-3], out) is out
    assert np.array_equal(out, refined_lee(image[::2, ::-3].copy()))
    assert np.array_equal(image, kept)
    assert refined_lee(np.empty((0, 5), np.float32)).shape == (0, 5)


def test_wrong_input_is_refused_with_what_was_expected():
    image = speckled((9, 9), seed=12)
    for call in (
        lambda: refined_lee(image.astype(np.float64)),
        lambda: refined_lee(image[0]),
        lambda: refined_lee(image, np.empty((9, 8), np.float32)),
        lambda: refined_lee(image, np.empty((9, 18), np.float32)[:, ::2]),
        lambda: refined_lee(image, image),
        lambda: refined_lee(image, looks=4),
        lambda: refined_lee(image, flavour="polsarpro"),
        lambda: refined_lee(image, flavour="polsarpro", looks=0),
        lambda: refined_lee(image, flavour="lee"),
    ):
        with pytest.raises(ValueError, match=r"expected|must be"):
            call()
