"""Scaling to and from the cube's DN, and the masks of the quality layers, against slow twins."""

import numpy as np
import pytest

from kernels import scaling


def twin_codes(dn: np.ndarray, scale_e7: int, offset_e7: int) -> tuple[np.ndarray, np.ndarray]:
    """The cube DN in whole-number arithmetic, halves rounded down, and where they lie halfway (either is right)."""
    code, rest = np.divmod(dn.astype(np.int64) * scale_e7 + offset_e7 + 1_000_000, 1000)
    return np.clip(code + (rest > 500), 1, 65535), rest == 500


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
@pytest.mark.parametrize(("scale_e7", "offset_e7"), [(1000, 0), (1000, -1_000_000), (275, -2_000_000)])
def test_every_integer_dn_is_encoded_as_exact_arithmetic_says(dtype, scale_e7, offset_e7):
    info = np.iinfo(dtype)
    dn = np.arange(info.min, info.max + 1, dtype=dtype).reshape(256, 256)
    got = scaling.encode_reflectance(dn, float(f"{scale_e7}e-7"), float(f"{offset_e7}e-7"), 0.0)
    assert got.dtype == np.uint16 and got.shape == dn.shape
    want, halfway = twin_codes(dn, scale_e7, offset_e7)
    above = got.astype(np.int64) - want
    assert np.all((above == 0) | (halfway & (above == 1)) | (dn == 0))
    assert np.all(got[dn == 0] == 0)


def test_sentinel_2_dn_stay_or_move_by_1000():
    dn = np.array([[1, 500, 1000, 12000, 65000]], np.uint16)
    assert scaling.encode_reflectance(dn, 0.0001, -0.1, 0.0).tolist() == dn.tolist()
    assert scaling.encode_reflectance(dn, 0.0001, 0.0, 0.0).tolist() == [[1001, 1500, 2000, 13000, 65535]]


def test_float_input_loses_nan_infinity_and_nodata_but_keeps_zero():
    dn = np.array([np.nan, np.inf, -np.inf, -9999.0, 0.0, 0.25, -3.0, 100.0], np.float32)
    got = scaling.encode_reflectance(dn, 1.0, 0.0, -9999.0)
    assert got.tolist() == [0, 0, 0, 0, 1000, 3500, 1, 65535]


def test_integer_nodata_and_zero_are_no_data_even_when_nodata_is_unknown():
    dn = np.array([[0, 5, 65535]], np.uint16)
    assert scaling.encode_reflectance(dn, 0.0001, -0.1, 65535.0).tolist() == [[0, 5, 0]]
    assert scaling.encode_reflectance(dn, 0.0001, -0.1, None).tolist() == [[0, 5, 65535]]


def test_every_cube_dn_decodes_to_the_nearest_float32_and_back():
    dn = np.arange(65536, dtype=np.uint16)
    reflectance = scaling.decode_reflectance(dn)
    assert reflectance.dtype == np.float32 and np.isnan(reflectance[0])
    assert np.array_equal(reflectance[1:], ((dn[1:].astype(np.float64) - 1000) / 10000).astype(np.float32))
    assert np.array_equal(scaling.encode_reflectance(reflectance, 1.0, 0.0, None), dn)
    kelvin = scaling.decode_temperature(dn)
    assert np.isnan(kelvin[0]) and np.array_equal(kelvin[1:], (dn[1:] / 100.0).astype(np.float32))
    assert np.array_equal(scaling.encode_temperature(kelvin), dn)


def test_temperature_is_held_inside_the_code_range():
    kelvin = np.array([[np.nan, 0.0, 273.154, 700.0, -5.0]], np.float32)
    assert scaling.encode_temperature(kelvin).tolist() == [[0, 1, 27315, 65535, 1]]


def test_scene_classes_are_kept_as_the_list_says():
    scl = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(scaling.scl_valid(scl), ~np.isin(scl, [0, 1, 3, 8, 9, 10, 11]))
    assert np.array_equal(scaling.scl_valid(scl, drop=(0, 2, 7, 255)), ~np.isin(scl, [0, 2, 7, 255]))
    assert scaling.scl_valid(scl, drop=()).all()


def test_landsat_bits_drop_the_pixels_they_name():
    qa = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    bits = (qa[..., None] >> np.arange(6)) & 1
    assert np.array_equal(scaling.qa_pixel_valid(qa), ~bits.any(-1))
    assert np.array_equal(scaling.pixel_qa_valid(qa), ~bits[..., [0, 3, 4, 5]].any(-1))
    assert scaling.qa_pixel_valid(np.array([21824], np.uint16)).all()  # clear land as delivered
    assert scaling.pixel_qa_valid(np.array([322], np.uint16)).all()


def test_fmask_keeps_clear_land_and_water_alone():
    fmask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(scaling.fmask_valid(fmask), np.isin(fmask, [0, 1]))
    assert np.array_equal(scaling.fmask_valid(fmask, scaling.DEA_FMASK_KEEP), np.isin(fmask, [1, 5]))
    bits = (fmask[..., None] >> np.arange(5)) & 1
    assert np.array_equal(scaling.hls_fmask_valid(fmask), ~bits.any(-1))
    assert scaling.hls_fmask_valid(np.array([0, 32, 64, 224], np.uint8)).all()  # land, water, aerosol levels
    assert not scaling.hls_fmask_valid(np.array([1, 2, 4, 8, 16, 255], np.uint8)).any()


def test_a_probability_of_cloud_is_clear_below_its_limit_and_no_data_above_100():
    percent = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for below in (1, 40, 100):
        want = np.array([[int(value) < below for value in row] for row in percent])
        assert np.array_equal(scaling.cloud_probability_valid(percent, below), want)


def test_views_that_are_not_contiguous_give_the_same_as_copies():
    dn = np.random.default_rng(1).integers(0, 12000, (9, 14), dtype=np.uint16)
    view = dn[::2, ::-3]
    assert np.array_equal(scaling.decode_reflectance(view), scaling.decode_reflectance(view.copy()), equal_nan=True)
    encoded = scaling.encode_reflectance(view, 0.0001, 0.0, 0.0)
    assert np.array_equal(encoded, scaling.encode_reflectance(view.copy(), 0.0001, 0.0, 0.0))


def test_a_given_out_is_filled_and_one_that_does_not_fit_is_refused():
    dn = np.random.default_rng(1).integers(0, 12000, (9, 14), dtype=np.uint16)
    kelvin = scaling.decode_temperature(dn)
    calls = [
        (np.bool_, lambda **out: scaling.scl_valid((dn % 12).astype(np.uint8), **out)),
        (np.bool_, lambda **out: scaling.qa_pixel_valid(dn, **out)),
        (np.bool_, lambda **out: scaling.pixel_qa_valid(dn, **out)),
        (np.bool_, lambda **out: scaling.fmask_valid((dn % 6).astype(np.uint8), **out)),
        (np.bool_, lambda **out: scaling.hls_fmask_valid((dn % 256).astype(np.uint8), **out)),
        (np.bool_, lambda **out: scaling.cloud_probability_valid((dn % 101).astype(np.uint8), 40, **out)),
        (np.uint16, lambda **out: scaling.encode_reflectance(dn, 0.0001, 0.0, 0.0, **out)),
        (np.uint16, lambda **out: scaling.encode_temperature(kelvin, **out)),
        (np.float32, lambda **out: scaling.decode_reflectance(dn, **out)),
        (np.float32, lambda **out: scaling.decode_temperature(dn, **out)),
    ]
    for dtype, call in calls:
        out = np.empty((9, 14), dtype)
        assert call(out=out) is out and np.array_equal(out, call(), equal_nan=dtype == np.float32)
        for wrong in (np.empty((9, 13), dtype), np.empty((9, 14), np.int64)):
            with pytest.raises(ValueError, match="expected"):
                call(out=wrong)


def test_empty_and_single_pixels_pass():
    assert scaling.decode_reflectance(np.zeros((0, 3), np.uint16)).shape == (0, 3)
    assert scaling.encode_reflectance(np.array([[7]], np.uint16), 0.0001, -0.1, None).tolist() == [[7]]


@pytest.mark.parametrize(
    "call",
    [
        lambda: scaling.scl_valid(np.zeros((2, 2), np.uint16)),
        lambda: scaling.scl_valid(np.zeros((2, 2), np.uint8), drop=(256,)),
        lambda: scaling.qa_pixel_valid(np.zeros((2, 2), np.uint8)),
        lambda: scaling.pixel_qa_valid(np.zeros((2, 2), np.int32)),
        lambda: scaling.fmask_valid(np.zeros((2, 2), np.uint16)),
        lambda: scaling.hls_fmask_valid(np.zeros((2, 2), np.uint16)),
        lambda: scaling.cloud_probability_valid(np.zeros((2, 2), np.float32), 40),
        lambda: scaling.cloud_probability_valid(np.zeros((2, 2), np.uint8), 0),
        lambda: scaling.encode_reflectance(np.zeros((2, 2), np.float64), 1.0, 0.0, None),
        lambda: scaling.encode_reflectance(np.zeros((2, 2), np.uint16), np.nan, 0.0, None),
        lambda: scaling.encode_reflectance(np.zeros((2, 2), np.uint16), 0.0, 0.0, None),
        lambda: scaling.decode_reflectance(np.zeros((2, 2), np.float32)),
        lambda: scaling.encode_temperature(np.zeros((2, 2), np.float64)),
    ],
)
def test_wrong_input_is_refused_with_what_was_expected(call):
    with pytest.raises(ValueError, match="expected"):
        call()


def test_nodata_is_compared_as_the_bands_own_type_holds_it():
    for nodata in (-3.4028235e38, 0.2):
        got = scaling.encode_reflectance(np.array([nodata, 0.5], np.float32), 1.0, 0.0, nodata)
        assert got.tolist() == [0, 6000]
