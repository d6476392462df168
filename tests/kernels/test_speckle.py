"""The refined Lee filter against a slow twin, and the laws it keeps."""

import numpy as np
import pytest

from kernels.speckle import refined_lee
from kernels.speckle_windows import BLOCK_X, BLOCK_Y

Y, X = np.mgrid[0:7, 0:7]
HALVES = [X >= 3, X >= Y, Y <= 3, X + Y <= 6, X <= 3, X <= Y, Y >= 3, X + Y >= 6]
AREAS = [(y, x) for y in (0, 2, 4) for x in (0, 2, 4)]


def twin(image: np.ndarray) -> np.ndarray:
    """The definition pixel by pixel, in float64."""
    padded = np.pad(image.astype(np.float64), 3, constant_values=np.nan)
    out = np.full(image.shape, np.nan)
    for y, x in np.ndindex(*image.shape):
        window = padded[y : y + 7, x : x + 7]
        if np.isfinite(window[3, 3]):
            out[y, x] = twin_pixel(window)
    return out.astype(np.float32)


def twin_pixel(window: np.ndarray) -> float:
    areas = [window[y : y + 3, x : x + 3] for y, x in AREAS]
    cv = sorted(a.var(ddof=1) / a.mean() ** 2 if a.mean() else 0.0 for a in areas if np.isfinite(a).all())
    noise = np.mean(cv[:5]) if cv else 0.0
    valid = np.isfinite(window)
    chosen = window[HALVES[twin_half(areas)]] if valid.all() else window[valid]
    mean, variance = chosen.mean(), chosen.var(ddof=1) if chosen.size > 1 else 0.0
    if variance == 0:
        return mean
    weight = max(0.0, (variance - mean**2 * noise) / (1 + noise)) / variance
    return mean + weight * (window[3, 3] - mean)


def twin_half(areas: list[np.ndarray]) -> int:
    m = np.array([a.sum() for a in areas]).reshape(3, 3)  # sums, so that ties of equal areas are exact
    pairs = [(m[1, 2], m[1, 0]), (m[0, 2], m[2, 0]), (m[0, 1], m[2, 1]), (m[0, 0], m[2, 2])]
    edge = int(np.argmax([abs(a - b) for a, b in pairs]))
    near, far = (abs(v - m[1, 1]) for v in pairs[edge])
    if near == far:
        return (0, 5, 6, 7)[edge]
    return edge if near < far else edge + 4


def speckled(shape: tuple[int, int], seed: int, looks: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).gamma(looks, 1 / looks, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 5), (7, 7), (33, 71)])
def test_the_filter_agrees_with_its_twin_at_every_size(shape):
    image = speckled(shape, seed=1)
    np.testing.assert_allclose(refined_lee(image), twin(image), rtol=1e-6)


@pytest.mark.parametrize("share", [0.002, 0.05, 0.4, 0.9, 1.0])
def test_the_filter_agrees_with_its_twin_around_missing_pixels(share):
    rng = np.random.default_rng(2)
    image = speckled((40, 75), seed=3)
    image[rng.random(image.shape) < share] = np.nan
    image[5, 5] = np.inf
    got = refined_lee(image)
    np.testing.assert_allclose(got, twin(image), rtol=1e-6)
    assert np.array_equal(np.isnan(got), ~np.isfinite(image))


def test_whole_numbers_with_many_ties_agree_with_the_twin():
    image = np.random.default_rng(4).integers(1, 4, (30, 40)).astype(np.float32)
    np.testing.assert_allclose(refined_lee(image), twin(image), rtol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_a_pixel_depends_to_the_bit_only_on_its_window(seed):
    rng = np.random.default_rng(seed)
    image = speckled((3 * BLOCK_Y + 7, 2 * BLOCK_X + 11), seed)
    image[rng.random(image.shape) < (0.0, 0.003, 0.05)[seed % 3]] = np.nan
    whole = refined_lee(image)
    for _ in range(12):
        y0, x0 = (int(rng.integers(0, n - 8)) for n in image.shape)
        y1, x1 = int(rng.integers(y0 + 7, image.shape[0])), int(rng.integers(x0 + 7, image.shape[1]))
        crop = refined_lee(image[y0:y1, x0:x1])
        inner = crop[3:-3, 3:-3]
        assert inner.tobytes() == whole[y0 + 3 : y1 - 3, x0 + 3 : x1 - 3].tobytes()


def test_neighbours_outside_the_window_do_not_matter_whatever_they_are():
    image = speckled((50, 90), seed=5)
    before = refined_lee(image)[20, 70]
    outside = np.ones(image.shape, bool)
    outside[17:24, 67:74] = False
    for value in (np.nan, 0.0, 1e9):
        assert refined_lee(np.where(outside, np.float32(value), image))[20, 70] == before


@pytest.mark.parametrize("value", [0.0, 1e-7, 0.1, 0.3333333, 12345.678])
def test_a_constant_stays_itself_to_the_bit_at_borders_and_holes(value):
    image = np.full((40, 70), value, np.float32)
    assert np.array_equal(refined_lee(image), image)
    image[10:13, 20] = np.nan
    assert np.array_equal(refined_lee(image), image, equal_nan=True)


def test_scaling_the_input_scales_the_output():
    image = speckled((60, 50), seed=6)
    assert np.array_equal(refined_lee(image * np.float32(0.25)), refined_lee(image) * np.float32(0.25))
    np.testing.assert_allclose(refined_lee(image * np.float32(0.013)), refined_lee(image) * 0.013, rtol=1e-5)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_eight_rotations_and_flips_commute(turns, mirrored):
    def turn(a):
        return np.rot90(a[:, ::-1] if mirrored else a, turns)

    image = speckled((45, 61), seed=7)
    np.testing.assert_allclose(refined_lee(turn(image)), turn(refined_lee(image)), rtol=1e-5)


@pytest.mark.parametrize("direction", range(8))
def test_a_step_edge_of_each_orientation_picks_its_mask(direction):
    mask = HALVES[direction]
    edge_pixel = [(3, 6), (0, 6), (0, 3), (0, 0), (3, 0), (6, 0), (6, 3), (6, 6)][direction]
    rng = np.random.default_rng(direction)
    window = np.where(mask, 10.0, 1.0) + rng.random((7, 7)) * 0.01
    window[edge_pixel] += 3.0  # lifts this direction's outer mean alone: a clean edge ties with its diagonals
    window = window.astype(np.float32)
    inside = window.astype(np.float64)[mask]
    cv = sorted(
        window[y : y + 3, x : x + 3].astype(np.float64).var(ddof=1) / window[y : y + 3, x : x + 3].mean() ** 2
        for y, x in AREAS
    )
    noise, mean, variance = np.mean(cv[:5]), inside.mean(), inside.var(ddof=1)
    weight = max(0.0, (variance - mean**2 * noise) / (1 + noise)) / variance
    assert refined_lee(window)[3, 3] == pytest.approx(mean + weight * (window[3, 3] - mean), rel=1e-5)


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


def test_looks_rise_and_the_mean_stays_within_one_percent():
    image = speckled((512, 512), seed=10, looks=4)
    got = refined_lee(image).astype(np.float64)
    assert got.mean() == pytest.approx(image.mean(), rel=0.01)
    assert got.mean() ** 2 / got.var() > 20  # from 4


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
    ):
        with pytest.raises(ValueError, match=r"expected|must be"):
            call()
