"""Composites against slow twins that see all dates at once."""

import numpy as np
import pytest

from kernels import composite

GREEN, NIR = 1, 3


def empty(bands: int, rows: int, columns: int):
    best = np.full((rows, columns), -np.inf, np.float32)
    return best, np.zeros((bands, rows, columns), np.uint16), np.zeros((rows, columns), np.uint8)


def stream(dn: np.ndarray, valid: np.ndarray):
    state = empty(*dn.shape[1:])
    for one, mask in zip(dn, valid, strict=True):
        composite.max_gcvi_update(*state, one, mask, green=GREEN, nir=NIR)
    return state


def twin(dn: np.ndarray, valid: np.ndarray):
    """(t, b, y, x) at once; GCVI from whole numbers, where the scale cancels."""
    usable = valid & (dn != 0).all(1) & (dn[:, GREEN] > 1000)
    above, below = (dn[:, b].astype(np.float32) - np.float32(1000) for b in (NIR, GREEN))
    with np.errstate(all="ignore"):
        gcvi = np.where(usable, above / below - np.float32(1), -np.inf)
    winner = gcvi.argmax(0)  # the first of equal values
    picked = np.take_along_axis(dn, winner[None, None], 0)[0]
    return gcvi.max(0), np.where(usable.any(0), picked, 0), np.minimum(usable.sum(0), 255)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (67, 129)])
def test_the_composite_agrees_with_its_twin(shape):
    rng = np.random.default_rng(1)
    dn = rng.integers(500, 6000, (6, 5, *shape), dtype=np.uint16)
    dn[rng.random(dn.shape) < 0.05] = 0
    dn[4] = dn[2]  # ties
    dn[:, NIR, 0, 0] = 400  # negative near infrared
    valid = rng.random((6, *shape)) < 0.6
    for got, want in zip(stream(dn, valid), twin(dn, valid), strict=True):
        assert np.array_equal(got, want)


def test_of_equal_dates_the_earliest_stays():
    first = np.array([2000, 2000, 2000, 5000, 7], np.uint16).reshape(5, 1, 1)
    second = first.copy()
    second[4] = 9
    valid = np.ones((2, 1, 1), bool)
    assert stream(np.stack([first, second]), valid)[1][4, 0, 0] == 7
    assert stream(np.stack([second, first]), valid)[1][4, 0, 0] == 9


def test_dates_that_are_masked_incomplete_or_without_green_leave_no_trace():
    dn = np.full((3, 5, 1, 1), 3000, np.uint16)
    dn[0, 4] = 0
    dn[1, GREEN] = 1000
    best, values, count = stream(dn, np.array([True, True, False]).reshape(3, 1, 1))
    assert best == -np.inf and not values.any() and not count.any()


def test_the_count_stops_at_255():
    dn = np.full((300, 5, 1, 2), 3000, np.uint16)
    assert (stream(dn, np.ones((300, 1, 2), bool))[2] == 255).all()


def test_cutting_the_image_changes_no_bit():
    rng = np.random.default_rng(2)
    dn = rng.integers(0, 6000, (3, 5, 70, 90), dtype=np.uint16)
    valid = rng.random((3, 70, 90)) < 0.8
    whole = stream(dn, valid)
    part = stream(dn[..., 13:50, 7:81], valid[..., 13:50, 7:81])  # views, not contiguous
    for a, b in zip(whole, part, strict=True):
        assert np.ascontiguousarray(a[..., 13:50, 7:81]).tobytes() == b.tobytes()


def test_a_date_and_its_mask_are_unchanged():
    dn = np.random.default_rng(3).integers(0, 6000, (5, 8, 9), dtype=np.uint16)
    valid = np.ones((8, 9), bool)
    kept = dn.copy()
    composite.max_gcvi_update(*empty(5, 8, 9), dn, valid, green=GREEN, nir=NIR)
    assert np.array_equal(dn, kept) and valid.all()


def test_the_mean_skips_nan_and_agrees_with_its_twin():
    rng = np.random.default_rng(4)
    dates = rng.gamma(4, 0.05, (7, 2, 33, 18)).astype(np.float32)
    dates[rng.random(dates.shape) < 0.5] = np.nan
    dates[:, :, 0, 0] = np.nan
    total, number = np.zeros(dates.shape[1:]), np.zeros(dates.shape[1:], np.uint16)
    for date in dates:
        composite.mean_update(total, number, date)
    got = composite.mean_finish(total, number)
    present = ~np.isnan(dates)
    assert np.array_equal(number, present.sum(0))
    with np.errstate(invalid="ignore"):
        want = np.where(present, dates, 0).sum(0, dtype=np.float64) / present.sum(0)
    assert got.dtype == np.float32 and np.isnan(got[:, 0, 0]).all()
    out = np.empty(got.shape, np.float32)
    assert composite.mean_finish(total, number, out) is out and np.array_equal(out, got, equal_nan=True)
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_wrong_input_is_refused_with_what_was_expected():
    best, values, count = empty(5, 4, 6)
    dn, valid = np.ones((5, 4, 6), np.uint16), np.ones((4, 6), bool)
    for arrays, bands in (
        ((best, values, count, dn[0], valid), (GREEN, NIR)),
        ((best, values, count, dn.astype(np.int32), valid), (GREEN, NIR)),
        ((best, values, count, dn, valid[:3]), (GREEN, NIR)),
        ((best.astype(np.float64), values, count, dn, valid), (GREEN, NIR)),
        ((best, values[:4], count, dn, valid), (GREEN, NIR)),
        ((best[:, ::-1], values, count, dn, valid), (GREEN, NIR)),
        ((best, values, count, dn, valid), (GREEN, 5)),
        ((best, values, count, dn, valid), (-1, NIR)),
    ):
        with pytest.raises(ValueError, match=r"expected|must be"):
            composite.max_gcvi_update(*arrays, green=bands[0], nir=bands[1])
    with pytest.raises(ValueError, match="expected"):
        composite.mean_update(np.zeros((1, 2, 2)), np.zeros((1, 2, 2), np.uint16), np.zeros((1, 2, 3), np.float32))
    with pytest.raises(ValueError, match="expected"):
        composite.mean_finish(np.zeros((1, 2, 2)), np.zeros((1, 2, 2), np.int64))
