"""Composites of all dates at hand against slow twins, and against the same composite made date by date."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kernels import composite, stacked

GREEN, NIR = 1, 2


def stacks():
    """Few dates, three bands, small pictures; no data, full scale and reflectance 0 among the DN."""
    dn = st.sampled_from([0, 900, 1000, 1001, 1500, 2000, 2001, 5000, 65535])
    sizes = st.tuples(st.integers(0, 9), st.integers(1, 4), st.integers(1, 5))
    return sizes.flatmap(
        lambda size: st.tuples(
            arrays(np.uint16, (size[0], 3, *size[1:]), elements=dn), arrays(np.bool_, (size[0], *size[1:]))
        )
    )


def usable(dn: np.ndarray, valid: np.ndarray) -> np.ndarray:
    return valid & (dn != 0).all(1)


def twin_latest(dn, valid):
    out, use = np.zeros(dn.shape[1:], np.uint16), usable(dn, valid)
    for date in range(len(dn)):
        out[:, use[date]] = dn[date][:, use[date]]
    return out, np.minimum(use.sum(0), 255)


def twin_median(dn, valid):
    out, use = np.zeros(dn.shape[1:], np.uint16), usable(dn, valid)
    for y, x in np.ndindex(dn.shape[2:]):
        if use[:, y, x].any():
            out[:, y, x] = np.floor(np.median(dn[use[:, y, x], :, y, x].astype(np.float64), axis=0) + 0.5)
    return out, np.minimum(use.sum(0), 255)


def date_by_date(dn, valid):
    shape = dn.shape[2:]
    state = np.full(shape, -np.inf, np.float32), np.zeros(dn.shape[1:], np.uint16), np.zeros(shape, np.uint8)
    for one, mask in zip(dn, valid, strict=True):
        composite.max_gcvi_update(*state, one, mask, green=GREEN, nir=NIR)
    return state[1:]


def max_gcvi(dn, valid, out=None):
    return stacked.max_gcvi(dn, valid, green=GREEN, nir=NIR, out=out)


KERNELS = {
    "max_gcvi": (max_gcvi, date_by_date),
    "latest": (stacked.latest_valid, twin_latest),
    "median": (stacked.median, twin_median),
}


@pytest.mark.parametrize("name", KERNELS)
@settings(max_examples=30, deadline=None)
@given(drawn=stacks())
def test_a_composite_agrees_with_its_twin(name, drawn):
    kernel, twin = KERNELS[name]
    for got, want in zip(kernel(*drawn), twin(*drawn), strict=True):
        assert np.array_equal(got, want)


def made(dates: int = 6, bands: int = 4, shape: tuple[int, int] = (95, 97), seed: int = 1):
    rng = np.random.default_rng(seed)
    dn = rng.integers(500, 6000, (dates, bands, *shape), dtype=np.uint16)
    dn[rng.random(dn.shape) < 0.05] = 0
    return dn, rng.random((dates, *shape)) < 0.6


@pytest.mark.parametrize("name", KERNELS)
def test_images_longer_than_a_run_agree_and_cutting_changes_no_bit(name):
    kernel, twin = KERNELS[name]
    dn, valid = made()
    whole = kernel(dn, valid)
    for got, want in zip(whole, twin(dn, valid), strict=True):
        assert np.array_equal(got, want)
    part = kernel(dn[..., 9:80, 5:60], valid[..., 9:80, 5:60])  # views, not contiguous
    for got, want in zip(part, whole, strict=True):
        assert np.array_equal(got, want[..., 9:80, 5:60])


@pytest.mark.parametrize("name", KERNELS)
def test_inputs_stay_and_out_is_filled_whatever_was_in_it(name):
    kernel, _ = KERNELS[name]
    dn, valid = made(shape=(8, 9))
    kept = dn.copy(), valid.copy()
    out = np.full((4, 8, 9), 7, np.uint16), np.full((8, 9), 7, np.uint8)
    values, count = kernel(dn, valid, out=out)
    assert values is out[0] and count is out[1]
    assert all(np.array_equal(a, b) for a, b in zip(out, kernel(dn, valid), strict=True))
    assert np.array_equal(dn, kept[0]) and np.array_equal(valid, kept[1])


@pytest.mark.parametrize("name", KERNELS)
def test_the_count_stops_at_255_and_nothing_usable_gives_zeros(name):
    kernel, _ = KERNELS[name]
    dn = np.full((300, 3, 1, 2), 3000, np.uint16)
    values, count = kernel(dn, np.ones((300, 1, 2), bool))
    assert (count == 255).all() and (values == 3000).all()
    values, count = kernel(dn, np.zeros((300, 1, 2), bool))
    assert not values.any() and not count.any()
    assert kernel(dn[..., :0], np.ones((300, 1, 0), bool))[0].shape == (3, 1, 0)


@pytest.mark.parametrize("length", range(18))
def test_the_sorting_network_sorts_every_pattern_of_zeros_and_ones(length):
    """Then it sorts everything (Knuth's zero-one principle)."""
    patterns = (np.arange(1 << length)[:, None] >> np.arange(length)) & 1 if length < 12 else None
    if patterns is None:
        patterns = np.random.default_rng(length).integers(0, 2, (4000, length))
    columns = patterns.T.copy()
    for a, b in stacked._sorting_network(length):
        columns[a], columns[b] = np.minimum(columns[a], columns[b]), np.maximum(columns[a], columns[b])
    assert (np.diff(columns, axis=0) >= 0).all()


def test_wrong_input_is_refused_with_what_was_expected():
    dn, valid = made(shape=(4, 5))
    room = np.empty((4, 4, 5), np.uint16)
    for kernel, _ in KERNELS.values():
        for arguments, out in (
            ((dn[0], valid), None),
            ((dn.astype(np.int32), valid), None),
            ((dn, valid[:3]), None),
            ((dn, valid.astype(np.uint8)), None),
            ((dn, valid), (room, np.empty((4, 4), np.uint8))),
            ((dn, valid), (dn[0], np.empty((4, 5), np.uint8))),
        ):
            with pytest.raises(ValueError, match="expected"):
                kernel(*arguments, out=out)
    with pytest.raises(ValueError, match="expected"):
        stacked.max_gcvi(dn, valid, green=4, nir=1)
