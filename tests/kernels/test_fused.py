"""Indices straight from DN against decoding first and deriving after, in float64."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from kernels import fused, indices, scaling

ALL = tuple(fused.INDEX_BANDS)
FORMULAE = {
    "ndvi": lambda n, r: (n - r, n + r, 0.0),
    "evi": lambda n, r, b: (2.5 * (n - r), n + 6 * r - 7.5 * b + 1, 0.0),
    "gcvi": lambda n, g: (n, g, -1.0),
    "lswi": lambda n, s: (n - s, n + s, 0.0),
    "rvi": lambda n, r: (n, r, 0.0),
    "ndwi": lambda g, n: (g - n, g + n, 0.0),
}


def draw(shape: tuple[int, ...], seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    bands = {name: rng.integers(1100, 7000, shape, dtype=np.uint16) for name in fused.BANDS}
    bands["blue"] //= 2
    bands["blue"] += 700
    return bands


def twin(name: str, bands: dict[str, np.ndarray], valid: np.ndarray | None, scale: float, offset: float, clip: bool):
    """The index and its denominator in float64."""
    if name == "lai":
        evi, below = twin("evi", bands, valid, scale, offset, clip)
        return 3.618 * evi - 0.118, below
    used = [bands[band] for band in fused.INDEX_BANDS[name]]
    with np.errstate(all="ignore"):
        above, below, plus = FORMULAE[name](*(np.where(dn == 0, np.nan, dn * scale + offset) for dn in used))
        tiny = abs(below) < 1e-9  # 0 in decimals
        want = np.where(tiny | ((below < 0) & (name == "evi")), np.nan, above / below + plus)
    if name == "evi" and clip:
        want = np.clip(want, -1, 1)
    return (want if valid is None else np.where(valid, want, np.nan)), below


def bands_and_mask():
    """Small DN with no data, reflectance 0 and all-missing pictures among them."""
    dn = st.one_of(st.sampled_from([0, 1, 1000, 65535]), st.integers(0, 12000))
    return array_shapes(min_dims=1, max_dims=3, max_side=7).flatmap(
        lambda shape: st.tuples(
            st.fixed_dictionaries({band: arrays(np.uint16, shape, elements=dn) for band in fused.BANDS}),
            st.none() | arrays(np.bool_, shape),
        )
    )


@settings(max_examples=30, deadline=None)
@given(drawn=bands_and_mask(), names=st.lists(st.sampled_from(ALL), min_size=1, max_size=6), clip=st.booleans())
def test_the_fused_indices_agree_with_their_twin(drawn, names, clip):
    bands, valid = drawn
    got = fused.indices_from_dn(names, bands, valid=valid, clip=clip)
    assert got.dtype == np.float32
    for name, layer in zip(names, got, strict=True):
        want, below = twin(name, bands, valid, 1e-4, -0.1, clip)
        surely = (abs(below) > 1e-5) | np.isnan(below) if name in ("evi", "lai") else np.full(below.shape, True)
        np.testing.assert_allclose(
            layer[surely], want[surely], rtol=1e-5 if name not in ("evi", "lai") else 1e-3, atol=4e-7, err_msg=name
        )


@pytest.mark.parametrize("shape", [(1,), (1, 33), (33, 1), (0, 5), (183, 181)])
@pytest.mark.parametrize(("scale", "offset"), [(1e-4, -0.1), (1e-4, 0.0), (2.75e-5, -0.2)])
def test_any_shape_and_scaling_agrees_with_the_twin(shape, scale, offset):
    bands = {name: (dn if offset > -0.2 else dn * np.uint16(4) + np.uint16(4000)) for name, dn in draw(shape).items()}
    valid = np.random.default_rng(3).random(shape) < 0.8
    got = fused.indices_from_dn(ALL, bands, scale=scale, offset=offset, valid=valid)
    for name, layer in zip(ALL, got, strict=True):
        want = twin(name, bands, valid, scale, offset, True)[0]
        np.testing.assert_allclose(layer, want, rtol=3e-5, atol=3e-6, err_msg=name)


def test_the_cubes_dn_give_what_decoding_and_deriving_give():
    bands = draw((37, 41))
    plain = {name: scaling.decode_reflectance(dn) for name, dn in bands.items()}
    got = fused.indices_from_dn(ALL, bands)
    for name, layer in zip(ALL, got, strict=True):
        want = getattr(indices, name)(*(plain[band] for band in fused.INDEX_BANDS[name]))
        np.testing.assert_allclose(layer, want, rtol=1e-5, atol=1e-6, err_msg=name)


def test_an_index_does_not_depend_on_its_neighbours_in_the_list_nor_on_where_the_image_is_cut():
    bands = draw((260, 270))  # more than two runs
    valid = np.random.default_rng(5).random((260, 270)) < 0.5
    whole = fused.indices_from_dn(ALL, bands, valid=valid)
    for k, name in enumerate(ALL):
        assert fused.indices_from_dn([name], bands, valid=valid)[0].tobytes() == whole[k].tobytes()
    part = {name: dn[11:200, 7:199] for name, dn in bands.items()}  # views, not contiguous
    assert np.array_equal(
        fused.indices_from_dn(ALL, part, valid=valid[11:200, 7:199]), whole[:, 11:200, 7:199], equal_nan=True
    )


def test_only_the_bands_that_are_needed_must_be_given_and_a_missing_pixel_hides_only_their_indices():
    bands = draw((4, 5))
    bands["swir1"][0, 0] = 0
    ndvi, lswi = fused.indices_from_dn(["ndvi", "lswi"], {b: bands[b] for b in ("nir", "red", "swir1")})
    assert np.isnan(lswi[0, 0]) and not np.isnan(ndvi).any() and not np.isnan(lswi.reshape(-1)[1:]).any()
    assert np.isnan(fused.indices_from_dn(ALL, {b: np.zeros((2, 3), np.uint16) for b in bands})).all()


def test_evi_is_nan_where_its_denominator_vanishes():
    bands = {"nir": 9000, "red": 3000, "blue": 5000}  # reflectance .8, .2, .4: exact in units of DN
    picture = {name: np.array([dn], np.uint16) for name, dn in bands.items()}
    assert np.isnan(fused.indices_from_dn(["evi"], picture)).all()
    picture["blue"] -= 1
    assert fused.indices_from_dn(["evi"], picture)[0, 0] == 1.0
    assert fused.indices_from_dn(["evi"], picture, clip=False)[0, 0] == pytest.approx(2.5 * 0.6 / 0.00075, rel=1e-4)


def test_masks_of_bytes_and_of_booleans_are_the_same_and_out_is_filled():
    bands = draw((9, 7))
    valid = np.random.default_rng(2).random((9, 7)) < 0.5
    out = np.empty((2, 9, 7), np.float32)
    kept = {name: dn.copy() for name, dn in bands.items()}
    assert fused.indices_from_dn(["evi", "rvi"], bands, valid=valid, out=out) is out
    again = fused.indices_from_dn(["evi", "rvi"], bands, valid=valid.astype(np.uint8) * 255)
    assert np.array_equal(out, again, equal_nan=True) and np.isnan(out[:, ~valid]).all()
    assert all(np.array_equal(bands[name], kept[name]) for name in bands)


def test_many_threads_give_what_one_gives():
    pictures = [draw((50, 60), seed) for seed in range(16)]
    alone = [fused.indices_from_dn(ALL, bands) for bands in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda bands: fused.indices_from_dn(ALL, bands), pictures))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(alone, together, strict=True))


def test_wrong_input_is_refused_with_what_was_expected():
    bands = draw((4, 5))
    room = np.zeros((1, 4, 5), np.float32)
    red = room.view(np.uint16).reshape(-1)[:20].reshape(4, 5)
    for call in (
        lambda: fused.indices_from_dn(["savi"], bands),
        lambda: fused.indices_from_dn([], bands),
        lambda: fused.indices_from_dn(["lswi"], {"nir": bands["nir"]}),
        lambda: fused.indices_from_dn(["ndvi"], bands | {"red": bands["red"][:3]}),
        lambda: fused.indices_from_dn(["ndvi"], bands | {"red": bands["red"].astype(np.int16)}),
        lambda: fused.indices_from_dn(["ndvi"], bands, scale=0.0),
        lambda: fused.indices_from_dn(["ndvi"], bands, offset=np.nan),
        lambda: fused.indices_from_dn(["ndvi"], bands, valid=np.ones((4, 4), bool)),
        lambda: fused.indices_from_dn(["ndvi"], bands, valid=np.ones((4, 5), np.float32)),
        lambda: fused.indices_from_dn(["ndvi"], bands, out=np.empty((2, 4, 5), np.float32)),
        lambda: fused.indices_from_dn(["ndvi"], bands | {"red": red}, out=room),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
