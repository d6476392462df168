"""Tasseled cap against a matrix product in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from kernels.tasseled_cap import CAPS, tasseled_cap


@pytest.mark.parametrize("sensor", CAPS)
def test_the_rows_are_orthonormal_to_their_published_digits(sensor):
    rows = np.array(CAPS[sensor].rows)
    np.testing.assert_allclose(rows @ rows.T, np.eye(3), atol=3e-4)


@pytest.mark.parametrize("sensor", CAPS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_it_agrees_with_its_twin_within_the_stated_error(sensor, data):
    rows = np.array(CAPS[sensor].rows)
    shape = data.draw(array_shapes(min_dims=1, max_dims=3, max_side=7))
    values = st.just(np.nan) | st.floats(-0.125, 1.25, width=32)
    bands = data.draw(arrays(np.float32, (rows.shape[1], *shape), elements=values))
    got = tasseled_cap(list(bands), sensor)
    want = np.tensordot(rows, bands.astype(np.float64), 1)
    allowed = 2.0**-24 * (len(bands) + 1) * np.tensordot(abs(rows), abs(bands.astype(np.float64)), 1) + 1e-44
    assert got.dtype == np.float32 and got.shape == (3, *shape)
    assert np.array_equal(np.isnan(got), np.isnan(want)) and np.isnan(got[:, np.isnan(bands).any(0)]).all()
    shown = ~np.isnan(want)
    assert (abs(got - want)[shown] <= allowed[shown]).all()


def test_bare_vegetated_and_wet_ground_lie_where_their_names_say():
    soil = 0.12, 0.16, 0.22, 0.28, 0.36, 0.30
    leaf = 0.03, 0.06, 0.03, 0.45, 0.18, 0.08
    water = 0.06, 0.05, 0.03, 0.02, 0.01, 0.01
    pixels = np.array([soil, leaf, water], np.float32).T
    brightness, greenness, wetness = tasseled_cap(list(pixels), "sentinel-2")
    assert brightness[0] > brightness[2] and greenness.argmax() == 1 and wetness.argmax() == 2


@pytest.mark.parametrize("sensor", CAPS)
def test_an_image_of_several_runs_is_the_same_cut_or_whole_and_into_out(sensor):
    bands = list(np.random.default_rng(1).random((len(CAPS[sensor].bands), 130, 150), dtype=np.float32))
    out = np.empty((3, 130, 150), np.float32)
    assert tasseled_cap(bands, sensor, out) is out
    part = tasseled_cap([band[5:100, 3:140] for band in bands], sensor)
    assert part.tobytes() == np.ascontiguousarray(out[:, 5:100, 3:140]).tobytes()
    assert tasseled_cap([band[:0] for band in bands], sensor).shape == (3, 0, 150)


def test_wrong_input_is_refused_with_what_was_expected():
    bands = list(np.zeros((6, 3, 4), np.float32))
    for call in (
        lambda: tasseled_cap(bands, "sentinel-3"),
        lambda: tasseled_cap(bands, "landsat-8"),
        lambda: tasseled_cap([*bands[:5], bands[5].astype(np.float64)], "sentinel-2"),
        lambda: tasseled_cap([*bands[:5], bands[5][:2]], "sentinel-2"),
        lambda: tasseled_cap(bands, "sentinel-2", np.empty((2, 3, 4), np.float32)),
        lambda: tasseled_cap([*bands[:5], (room := np.empty((3, 3, 4), np.float32))[0]], "sentinel-2", room),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
