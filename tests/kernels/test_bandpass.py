"""Band-pass adjustment to OLI: published lines, and one surface seen by three sensors in one composite."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from kernels import bandpass, composite, scaling

BANDS = ("blue", "green", "red", "nir08", "swir1")
LINES = [(sensor, band) for sensor, lines in bandpass.TO_OLI.items() for band in lines]


@settings(max_examples=30, deadline=None)
@given(
    values=arrays(
        np.float32,
        array_shapes(min_dims=1, max_dims=3, max_side=7),
        elements=st.just(np.nan) | st.floats(-0.25, 1.5, width=32),
    ),
    line=st.sampled_from(LINES),
)
def test_it_agrees_with_its_twin_within_the_stated_error(values, line):
    slope, offset = bandpass.line_to_oli(*line)
    got, want = bandpass.to_oli(values, *line), slope * values.astype(np.float64) + offset
    assert got.dtype == np.float32 and np.array_equal(np.isnan(got), np.isnan(values))
    shown = ~np.isnan(values)
    assert (abs(got - want)[shown] <= 2.0**-22 * (abs(values) + abs(offset))[shown] + 1e-44).all()


@pytest.mark.parametrize("line", LINES)
def test_every_line_is_near_the_identity_over_reflectance(line):
    """A mistyped digit or a swapped pair would stand out: the sensors see nearly the same."""
    reflectance = np.array([0.05, 0.3], np.float32)
    assert (abs(bandpass.to_oli(reflectance, *line) - reflectance) < (0.05 if line[0] == "landsat-7" else 0.02)).all()


def test_the_reference_is_left_as_it_is_and_out_may_be_the_input():
    values = np.random.default_rng(1).random((6, 7), dtype=np.float32)
    assert np.array_equal(bandpass.to_oli(values, "landsat-8", "red"), values)
    want = bandpass.to_oli(values, "sentinel-2a", "red")
    assert np.array_equal(bandpass.to_oli(values[:, ::-1], "sentinel-2a", "red"), want[:, ::-1])
    assert bandpass.to_oli(values, "sentinel-2a", "red", out=values) is values and np.array_equal(values, want)


@pytest.mark.parametrize("line", LINES)
def test_scaling_with_the_line_in_it_encodes_what_adjusting_after_decoding_would(line):
    dn = np.arange(1, 12000, 7, dtype=np.uint16)[None]
    straight = scaling.encode_reflectance(dn, *bandpass.scaling_to_oli(*line, 1e-4, -0.1), 0.0)
    slope, offset = bandpass.line_to_oli(*line)
    want = np.clip((slope * (dn * 1e-4 - 0.1) + offset + 0.1) * 1e4, 1, 65535)
    assert (abs(straight - want) <= 0.5 + 1e-6).all()


def test_landsat_7_and_8_and_sentinel_2_of_one_surface_agree_in_one_composite():
    """OLI reflectance is made, turned back into what each sensor would deliver, and composited in three orders."""
    surface = np.random.default_rng(2).uniform(0.05, 0.5, (5, 9, 11))
    delivered = {"landsat-7": (2.75e-5, -0.2), "landsat-8": (2.75e-5, -0.2), "sentinel-2b": (1e-4, -0.1)}
    seen, plain = {}, {}
    for sensor, (scale, offset) in delivered.items():
        planes = []
        for band, oli in zip(BANDS, surface, strict=True):
            slope, shift = bandpass.line_to_oli(sensor, band)
            dn = np.rint(((oli - shift) / slope - offset) / scale).astype(np.uint16)
            adjusted = bandpass.scaling_to_oli(sensor, band, scale, offset)
            planes.append(scaling.encode_reflectance(dn, *adjusted, 0.0))
        seen[sensor] = np.stack(planes)
        plain[sensor] = scaling.encode_reflectance(dn, scale, offset, 0.0)
    expected = np.rint((surface + 0.1) * 1e4)
    for dn in seen.values():
        assert abs(dn - expected).max() <= 1
    assert abs(plain["landsat-7"] - expected[4]).max() > 50  # without the line they would not agree
    for first in seen:
        state = np.full((9, 11), -np.inf, np.float32), np.zeros((5, 9, 11), np.uint16), np.zeros((9, 11), np.uint8)
        for sensor in (first, *(other for other in seen if other != first)):
            composite.max_gcvi_update(*state, seen[sensor], np.ones((9, 11), bool), green=1, nir=3)
        assert abs(state[1] - expected).max() <= 1 and (state[2] == 3).all()


def test_what_is_not_published_is_refused_with_what_is_held():
    values = np.zeros((2, 2), np.float32)
    for call in (
        lambda: bandpass.to_oli(values, "sentinel-2c", "red"),
        lambda: bandpass.to_oli(values, "sentinel-2a", "nir"),
        lambda: bandpass.to_oli(values, "landsat-7", "coastal"),
        lambda: bandpass.to_oli(values.astype(np.float64), "landsat-7", "red"),
        lambda: bandpass.to_oli(values, "landsat-7", "red", np.empty((2, 3), np.float32)),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
