"""Parcel sums, class counts and medians against pixel-by-pixel twins; parts of a raster give the whole, to the bit."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from kernels import zonal
from kernels.zonal_median import gathered, joined, medians, parcel_medians

PARCELS = 4


def rasters(values: st.SearchStrategy = st.just(np.nan) | st.floats(-16, 16, width=32)):  # noqa: B008  (stateless)
    """Labels of none to four parcels, and two bands with NaN; one pixel and one row among them."""
    return array_shapes(min_dims=2, max_dims=2, max_side=9).flatmap(
        lambda shape: st.tuples(
            arrays(np.int32, shape, elements=st.integers(0, PARCELS)),
            arrays(np.float32, (2, *shape), elements=values),
        )
    )


def made(shape: tuple[int, int] = (140, 151), bands: int = 3, seed: int = 1):
    """Parcels of 13 x 17 pixels with paths between, and a few missing values."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    labels = (y // 13 * (shape[1] // 17 + 1) + x // 17 + 1).astype(np.int32)
    labels[(y % 13 == 0) | (x % 17 == 0)] = 0
    values = rng.normal(0.3, 0.1, (bands, *shape)).astype(np.float32)
    values[rng.random(values.shape) < 0.03] = np.nan
    values[:, labels == 5] = np.nan
    return labels, values, int(labels.max())


def split(labels: np.ndarray, values: np.ndarray, rows: int, columns: int):
    """Tiles of a raster, not contiguous."""
    for y in range(0, labels.shape[0], rows):
        for x in range(0, labels.shape[1], columns):
            yield labels[y : y + rows, x : x + columns], values[..., y : y + rows, x : x + columns]


def twin(labels: np.ndarray, values: np.ndarray, parcels: int, reduce) -> np.ndarray:
    out = np.full((len(values), parcels), np.nan)
    for band, parcel in np.ndindex(out.shape):
        seen = values[band][labels == parcel + 1].astype(np.float64)
        seen = seen[~np.isnan(seen)]
        if seen.size:
            out[band, parcel] = reduce(seen)
    return out


@settings(max_examples=30, deadline=None)
@given(drawn=rasters())
def test_mean_and_std_agree_with_their_twin_within_the_stated_error(drawn):
    labels, values = drawn
    sums = zonal.parcel_sums(labels, values, PARCELS)
    assert np.array_equal(sums.pixels, np.nan_to_num(twin(labels, values, PARCELS, np.size)).astype(int))
    mean, std = zonal.mean_std(sums)
    np.testing.assert_allclose(mean, twin(labels, values, PARCELS, np.mean), rtol=0, atol=16 * 2.0**-38 + 1e-14)
    np.testing.assert_allclose(std**2, twin(labels, values, PARCELS, np.var), rtol=1e-12, atol=256 * 2.0**-36)


@settings(max_examples=30, deadline=None)
@given(drawn=rasters(), cut=st.tuples(st.integers(0, 9), st.integers(0, 9)), seed=st.randoms())
def test_parts_in_any_order_add_up_to_the_whole_to_the_bit(drawn, cut, seed):
    labels, values = drawn
    parts = [
        zonal.parcel_sums(labels[rows, columns], values[:, rows, columns], PARCELS)
        for rows in (slice(0, cut[0]), slice(cut[0], None))
        for columns in (slice(0, cut[1]), slice(cut[1], None))
    ]
    seed.shuffle(parts)
    whole, sums = zonal.parcel_sums(labels, values, PARCELS), zonal.merged(*parts)
    for one, other in zip(whole[:3], sums[:3], strict=True):
        assert one.tobytes() == other.tobytes()
    for one, other in zip(zonal.mean_std(whole), zonal.mean_std(sums), strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_raster_of_many_runs_and_all_its_tiles_give_the_same_bits():
    labels, values, parcels = made()
    whole = zonal.parcel_sums(labels, values, parcels, bound=1.0)
    for rows, columns in ((7, 151), (50, 40), (140, 1)):
        tiles = [zonal.parcel_sums(*tile, parcels, bound=1.0) for tile in split(labels, values, rows, columns)]
        assert all(np.array_equal(a, b) for a, b in zip(whole[:3], zonal.merged(*tiles)[:3], strict=True))
    mean, std = zonal.mean_std(whole)
    np.testing.assert_allclose(mean, twin(labels, values, parcels, np.mean), atol=4e-12)
    np.testing.assert_allclose(std, twin(labels, values, parcels, np.std), atol=1e-9)
    assert np.isnan(mean[:, 4]).all() and np.isnan(std[:, 4]).all() and not whole.total[:, 4].any()


def test_kelvin_keep_their_spread_under_a_bound_of_their_own():
    labels = np.ones((40, 50), np.int32)
    kelvin = np.random.default_rng(4).normal(300, 0.1, (1, 40, 50)).astype(np.float32)
    _, std = zonal.mean_std(zonal.parcel_sums(labels, kelvin, 1, bound=512.0))
    np.testing.assert_allclose(std, kelvin.astype(np.float64).std(), rtol=1e-4)


def test_values_outside_every_parcel_do_not_matter_and_beyond_the_bound_are_refused():
    labels, values, parcels = made((20, 20))
    values[:, labels == 0] = np.inf
    zonal.parcel_sums(labels, values, parcels, bound=2.0)
    for wrong in (2.5, np.inf, -np.inf):
        values[0, 3, 3] = wrong
        with pytest.raises(ValueError, match="1 values lie beyond 2, expected"):
            zonal.parcel_sums(labels, values, parcels, bound=1.5)


def test_sums_that_may_have_overflowed_are_refused():
    count = np.array([[zonal.MOST_PIXELS + 1]])
    with pytest.raises(ValueError, match="expected up to"):
        zonal.mean_std(zonal.Sums(count, count, count, 1.0))


def test_out_is_filled_anew_and_inputs_stay():
    labels, values, parcels = made((30, 31))
    kept = labels.copy(), values.copy()
    want = zonal.parcel_sums(labels, values, parcels)
    out = zonal.Sums(*(np.full((3, parcels), 7) for _ in range(3)), 16.0)
    got = zonal.parcel_sums(labels, values, parcels, out=out)
    assert all(a is b and np.array_equal(a, c) for a, b, c in zip(out[:3], got[:3], want[:3], strict=True))
    pair = np.empty((3, parcels)), np.empty((3, parcels))
    mean, std = zonal.mean_std(want, pair)
    assert mean is pair[0] and std is pair[1]
    assert np.array_equal(np.stack(pair), np.stack(zonal.mean_std(want)), equal_nan=True)
    room = np.empty((3, parcels), np.float32)
    assert parcel_medians(labels, values, parcels, room) is room
    assert np.array_equal(labels, kept[0]) and np.array_equal(values, kept[1], equal_nan=True)


@settings(max_examples=30, deadline=None)
@given(drawn=rasters(), kinds=st.integers(4, 256))
def test_class_counts_agree_with_their_twin_and_parts_add_up(drawn, kinds):
    labels, _ = drawn
    classes = (labels[::-1] % 4).astype(np.uint8)
    want = np.zeros((PARCELS, kinds), int)
    np.add.at(want, (labels[labels > 0] - 1, classes[labels > 0]), 1)
    got = zonal.class_counts(labels, classes, PARCELS, kinds=kinds, out=np.full((PARCELS, kinds), 5))
    assert np.array_equal(got, want)
    parts = [
        zonal.class_counts(labels[rows], classes[rows], PARCELS, kinds=kinds) for rows in (slice(3), slice(3, None))
    ]
    assert np.array_equal(sum(parts), want)


@settings(max_examples=40, deadline=None)
@given(drawn=rasters(st.sampled_from([np.nan, -np.inf, np.inf, -1.0, -0.0, 0.0, 1e-42, 3.0]) | st.floats(width=32)))
def test_medians_agree_with_their_twin(drawn):
    labels, values = drawn
    with np.errstate(invalid="ignore", over="ignore"):
        want = twin(labels, values, PARCELS, np.median).astype(np.float32)
    assert np.array_equal(parcel_medians(labels, values, PARCELS), want, equal_nan=True)


@pytest.mark.parametrize("draw", ["normal", "signed", "equal", "steps", "wild", "two"])
@pytest.mark.parametrize("number", [23, 24, 25, 26, 999, 1000])
def test_medians_of_many_values_are_exact_however_they_lie(draw, number):
    rng = np.random.default_rng(number)
    values = {
        "normal": rng.normal(0.3, 0.05, (1, 1, number)),
        "signed": rng.normal(0, 1, (1, 1, number)),
        "equal": np.full((1, 1, number), 0.25),
        "steps": rng.integers(0, 9, (1, 1, number)) / 8,
        "wild": np.exp(rng.uniform(-80, 80, (1, 1, number))) * rng.choice([-1, 1], (1, 1, number)),
        "two": np.where(np.arange(number) % 2, 3e38, -3e38)[None, None],
    }[draw].astype(np.float32)
    got = parcel_medians(np.ones((1, number), np.int32), values, 1)
    assert got[0, 0] == np.float32(np.median(values.astype(np.float64)))


def test_a_parcel_cut_by_tile_edges_gets_the_median_of_the_whole():
    labels, values, parcels = made()
    want = parcel_medians(labels, values, parcels)
    np.testing.assert_array_equal(want, twin(labels, values, parcels, np.median).astype(np.float32))
    for band, row in zip(values, want, strict=True):
        parts = [gathered(*tile, parcels) for tile in split(labels, band, 33, 47)]
        assert medians(joined(*parts)).tobytes() == row.tobytes()
    assert np.isnan(want[:, 4]).all()


def test_many_threads_give_what_one_gives():
    labels, values, parcels = made()
    want = zonal.parcel_sums(labels, values, parcels), parcel_medians(labels, values, parcels)
    with ThreadPoolExecutor(4) as pool:
        sums = list(pool.map(lambda _: zonal.parcel_sums(labels, values, parcels), range(6)))
        middles = list(pool.map(lambda _: parcel_medians(labels, values, parcels), range(6)))
    assert all(np.array_equal(a.total, want[0].total) for a in sums)
    assert all(a.tobytes() == want[1].tobytes() for a in middles)


def test_nothing_at_all_is_nothing():
    labels, values = np.zeros((0, 4), np.int32), np.zeros((2, 0, 4), np.float32)
    assert not zonal.parcel_sums(labels, values, 3).pixels.any() and np.isnan(parcel_medians(labels, values, 3)).all()
    assert zonal.parcel_sums(np.zeros((3, 4), np.int32), np.zeros((2, 3, 4), np.float32), 0).pixels.shape == (2, 0)
    assert not zonal.class_counts(labels, labels.astype(np.uint8), 3).any()


def test_wrong_input_is_refused_with_what_was_expected():
    labels, values, parcels = made((20, 20))
    sums, classes = zonal.parcel_sums(labels, values, parcels), labels.astype(np.uint8)
    for call in (
        lambda: zonal.parcel_sums(labels.astype(np.int64), values, parcels),
        lambda: zonal.parcel_sums(labels[:5], values, parcels),
        lambda: zonal.parcel_sums(labels, values[0], parcels),
        lambda: zonal.parcel_sums(labels, values, parcels - 1),
        lambda: zonal.parcel_sums(labels, values, -1),
        lambda: zonal.parcel_sums(-labels, values, parcels),
        lambda: zonal.parcel_sums(labels, values.astype(np.float64), parcels),
        lambda: zonal.parcel_sums(labels, values, parcels, bound=0.0),
        lambda: zonal.parcel_sums(labels, values, parcels, bound=1.0, out=sums),
        lambda: zonal.merged(),
        lambda: zonal.merged(sums, zonal.parcel_sums(labels, values, parcels, bound=1.0)),
        lambda: zonal.class_counts(labels, classes, parcels, kinds=2),
        lambda: zonal.class_counts(labels, classes, parcels, kinds=257),
        lambda: zonal.class_counts(labels, labels, parcels),
        lambda: gathered(labels, values[0], parcels - 1),
        lambda: joined(),
        lambda: joined(gathered(labels, values[0], parcels), gathered(labels, values[0], parcels + 1)),
        lambda: parcel_medians(labels, values[0], parcels),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
