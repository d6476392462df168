"""Scenes become composites: masked, despeckled, one value per step, each against a slow twin in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.bands import ASSET_BANDS, OPTICAL_BANDS
from engine.cube import CubeOptions, build_layer, items_by_step, step_keys
from engine.errors import TileError
from engine.read import SceneReader
from engine.steps import acquisition_axis
from engine.types import Asset, Item, Layer, Window
from kernels.polarimetry import m_chi
from kernels.speckle import refined_lee, refined_lee_c2
from tests.engine.made_scenes import made_axis, made_grid, made_item, write_raster, write_scene

OPTIONS = CubeOptions(uri="unused")
WINDOW = Window(0, 36, 0, 30)
GRID = made_grid(36, 30, 16)


def build(layer: str, items: Sequence[Item], options: CubeOptions = OPTIONS, window: Window = WINDOW) -> Layer:
    """One step's composite."""
    return build_layer(layer, {0: items}, window, SceneReader(GRID), options)[0]


def draw(seed: int, shape: tuple[int, int] = (36, 36)) -> dict[str, NDArray]:
    """Five bands of DN with a few missing pixels."""
    rng = np.random.default_rng(seed)
    bands = {band: rng.integers(200, 9000, shape, dtype=np.uint16) for band in OPTICAL_BANDS}
    bands["red"][rng.random(shape) < 0.05] = 0
    return bands


def sentinel2(folder: Path, day: int, offset: float = 0.0) -> tuple[Item, NDArray, NDArray]:
    """A scene of 10 m with an SCL of 20 m; its item, cube DN (5, y, x) and clear pixels as they should come out."""
    bands = draw(day)
    scl = np.random.default_rng(day + 99).choice(np.array([0, 3, 4, 5, 6, 7, 8, 9, 11], np.uint8), (18, 18))
    item = write_scene(
        folder / f"s2-{day}", "optical", bands | {"mask": scl}, day=day, name=f"s2-{day}", scale=1e-4, offset=offset,
        nodata=0.0, mask_kind="scl",
    )  # fmt: skip
    dn = np.stack([bands[b] for b in OPTICAL_BANDS]).astype(int)[:, :36, :30]
    encoded = np.where(dn == 0, 0, dn + (1000 if offset == 0 else 0))
    clear = np.isin(scl, (4, 5, 6, 7)).repeat(2, 0).repeat(2, 1)[:36, :30]
    return item, encoded, clear


def landsat(folder: Path, day: int) -> tuple[Item, NDArray, NDArray]:
    """A scene of 30 m with QA_PIXEL, Collection 2 scaling."""
    rng = np.random.default_rng(day)
    bands = {band: rng.integers(7000, 30_000, (12, 12), dtype=np.uint16) for band in OPTICAL_BANDS}
    qa = rng.choice(np.array([21824, 21952, 22280, 23888, 30048, 1], np.uint16), (12, 12))
    item = write_scene(
        folder / f"l8-{day}", "optical", bands | {"mask": qa}, 30.0, day=day, name=f"l8-{day}", scale=2.75e-5,
        offset=-0.2, nodata=0.0, mask_kind="qa_pixel",
    )  # fmt: skip
    dn = np.stack([bands[b] for b in OPTICAL_BANDS]).astype(float)
    encoded = np.clip(np.rint(dn * 0.275 - 1000), 1, 65535).astype(int)
    clear = (qa & 0b111111) == 0
    return item, *(a.repeat(3, -2).repeat(3, -1)[..., :36, :30] for a in (encoded, clear))  # type: ignore[return-value]


def twin(scenes: Sequence[tuple[Item, NDArray, NDArray]]) -> tuple[NDArray, NDArray]:
    """Max-GCVI composite and counts, pixel by pixel, earliest first."""
    values, count = np.zeros((5, 36, 30), int), np.zeros((36, 30), int)
    for y in range(36):
        for x in range(30):
            best = -np.inf
            for _, dn, clear in sorted(scenes, key=lambda scene: scene[0].datetime):
                v = dn[:, y, x]
                if not clear[y, x] or (v == 0).any() or v[1] <= 1000:
                    continue
                count[y, x] += 1
                gcvi = (v[3] - 1000) / (v[1] - 1000) - 1
                if np.float32(gcvi) > np.float32(best):
                    best, values[:, y, x] = gcvi, v
    return values, count


def test_sentinel_2_and_landsat_together_give_the_date_with_the_largest_gcvi(tmp_path: Path) -> None:
    scenes = [sentinel2(tmp_path, 1), landsat(tmp_path, 2), sentinel2(tmp_path, 3, -0.1), sentinel2(tmp_path, 6)]
    layer = build("optical", [scene[0] for scene in scenes])
    values, count = twin(scenes)
    np.testing.assert_array_equal(layer.values[0], values)
    np.testing.assert_array_equal(layer.count[0], count)
    assert layer.values.dtype == np.uint16 and 0 < (count == 0).sum() < count.size


@pytest.mark.parametrize("composite", ["median", "latest"])
def test_median_and_latest_take_every_clear_date(tmp_path: Path, composite: Literal["median", "latest"]) -> None:
    scenes = [sentinel2(tmp_path, 1), landsat(tmp_path, 2), sentinel2(tmp_path, 3, -0.1), sentinel2(tmp_path, 6)]
    layer = build("optical", [scene[0] for scene in scenes], CubeOptions(uri="unused", composite=composite))
    dn = np.stack([encoded for _, encoded, _ in scenes])
    usable = np.stack([clear for _, _, clear in scenes]) & (dn != 0).all(axis=1)
    np.testing.assert_array_equal(layer.count[0], usable.sum(axis=0))
    want = np.zeros(dn.shape[1:], int)
    for y, x in np.argwhere(usable.any(axis=0)):
        series = dn[usable[:, y, x], :, y, x]
        want[:, y, x] = series[-1] if composite == "latest" else np.floor(np.median(series, axis=0) + 0.5)
    np.testing.assert_array_equal(layer.values[0], want)


def test_a_step_without_a_clear_date_is_empty_whatever_the_composite(tmp_path: Path) -> None:
    cloud = write_scene(
        tmp_path / "cloud", "optical", draw(1) | {"mask": np.full((18, 18), 9, np.uint8)}, day=1, mask_kind="scl"
    )
    for items in ([], [cloud]):
        for composite in ("max_gcvi", "median", "latest"):
            layer = build("optical", items, CubeOptions(uri="unused", composite=composite))
            assert layer.values.shape == (1, 5, 36, 30) and not layer.values.any() and not layer.count.any()


def test_what_decides_a_pixel_is_in_the_key() -> None:
    plain = CubeOptions(uri="a").arithmetic
    assert CubeOptions(uri="b", threads=2).arithmetic == plain
    for other in ({"composite": "median"}, {"despeckle": "none"}, {"scl_drop": (0, 9)}):
        assert CubeOptions(uri="a", **other).arithmetic != plain


def test_of_equal_dates_the_earliest_stays(tmp_path: Path) -> None:
    first, second = draw(1), draw(2)
    for band in ("green", "nir", "red"):
        second[band] = first[band] = np.full((36, 36), 3000, np.uint16)
    items = [
        write_scene(tmp_path / str(day), "optical", bands, day=day, scale=1e-4)
        for day, bands in ((1, first), (2, second))
    ]
    layer = build("optical", items_by_step(made_axis(1), items[::-1])[0])
    np.testing.assert_array_equal(layer.values[0, 0], first["blue"][:36, :30] + 1000)


def test_a_scene_all_under_cloud_leaves_no_trace_and_its_bands_are_not_read(tmp_path: Path) -> None:
    item = write_scene(
        tmp_path, "optical", draw(1) | {"mask": np.full((18, 18), 9, np.uint8)}, mask_kind="scl", scale=1e-4
    )
    read = SceneReader(GRID)
    layer = build_layer("optical", {0: [item]}, WINDOW, read, OPTIONS)[0]
    assert not layer.values.any() and not layer.count.any() and read.reads == 1


def test_a_step_without_a_scene_is_no_data_in_every_layer() -> None:
    optical, radar, thermal = (build(name, []) for name in ("optical", "radar", "thermal"))
    assert not optical.values.any() and not thermal.values.any() and np.isnan(radar.values).all()
    assert not any(layer.count.any() for layer in (optical, radar, thermal))
    assert (optical.values.shape, radar.values.shape, thermal.values.shape) == (
        (1, 5, 36, 30), (1, 2, 36, 30), (1, 1, 36, 30),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "clear", "cloudy"),
    [
        ("scl", (4, 5, 6, 7), (0, 3, 8, 9, 10, 11)),
        ("fmask", (0, 1), (2, 3, 4, 255)),
        ("dea_fmask", (1, 5), (0, 2, 3, 4, 255)),
        ("hls_fmask", (0, 32, 64, 128, 224), (2, 4, 8, 16, 66, 255)),
        ("cloud_probability", (0, 1, 39), (40, 90, 100, 255)),
    ],
)
def test_each_kind_of_mask_keeps_what_is_clear_by_its_own_numbers(
    tmp_path: Path, kind: str, clear: tuple[int, ...], cloudy: tuple[int, ...]
) -> None:
    mask = np.random.default_rng(5).choice(np.array([*clear, *cloudy], np.uint8), (36, 36))
    bands = {band: np.full((36, 36), 3000, np.uint16) for band in OPTICAL_BANDS}
    item = write_scene(tmp_path, "optical", bands | {"mask": mask}, mask_kind=kind, scale=1e-4)
    layer = build("optical", [item])
    np.testing.assert_array_equal(layer.count[0], np.isin(mask, clear)[:36, :30])


@pytest.mark.parametrize(("kind", "cloud"), [("cloud_probability", 99), ("fmask", 4), ("hls_fmask", 2)])
def test_a_zero_that_means_clear_is_not_taken_for_no_data_though_the_file_says_so(
    tmp_path: Path, kind: str, cloud: int
) -> None:
    bands = {band: np.full((36, 36), 3000, np.uint16) for band in OPTICAL_BANDS}
    item = write_scene(tmp_path, "optical", bands, mask_kind=kind, scale=1e-4)
    path = write_raster(tmp_path / "mask.tif", np.where(np.eye(36, dtype=bool), cloud, 0).astype(np.uint8), nodata=0)
    item = replace(item, assets={**item.assets, "mask": Asset(str(path), "made:mask")})
    np.testing.assert_array_equal(build("optical", [item]).count[0], ~np.eye(36, dtype=bool)[:, :30])


def test_the_classes_to_drop_are_the_persons_choice(tmp_path: Path) -> None:
    item = write_scene(
        tmp_path, "optical", draw(3) | {"mask": np.full((18, 18), 7, np.uint8)}, mask_kind="scl", scale=1e-4
    )
    assert build("optical", [item]).count.any()
    assert not build("optical", [item], options=CubeOptions(uri="unused", scl_drop=(7,))).count.any()


def test_collection_1_is_masked_by_its_own_bits(tmp_path: Path) -> None:
    clear, water, cloud, shadow = 322, 324, 352, 328
    qa = np.array([[clear, water], [cloud, shadow]], np.uint16).repeat(6, 0).repeat(6, 1)
    bands = {band: np.full((12, 12), 3000 + i, np.uint16) for i, band in enumerate(OPTICAL_BANDS)}
    item = write_scene(tmp_path, "optical", bands | {"mask": qa}, 30.0, mask_kind="pixel_qa", scale=1e-4)
    count = build("optical", [item]).count[0]
    assert count[0, 0] == count[0, 20] == 1 and count[20, 0] == count[20, 20] == 0


def radar(folder: Path, day: int, pixel: float = 10.0) -> tuple[Item, dict[str, NDArray]]:
    rng = np.random.default_rng(day)
    side = int(600 / pixel)
    bands = {
        band: rng.gamma(4, mean / 4, (side, side)).astype(np.float32) for band, mean in (("vv", 0.1), ("vh", 0.02))
    }
    bands["vv"][rng.random((side, side)) < 0.02] = 0
    bands["vh"][rng.random((side, side)) < 0.02] = np.nan
    item = write_scene(folder / f"s1-{day}", "radar", bands, pixel, day=day, name=f"s1-{day}", nodata=float("nan"))
    return item, bands


@pytest.mark.parametrize("pixel", [10.0, 20.0])
def test_radar_is_filtered_in_its_own_pixels_and_averaged_in_linear_power(tmp_path: Path, pixel: float) -> None:
    scenes = [radar(tmp_path, day, pixel) for day in (1, 4, 7)]
    layer = build("radar", [item for item, _ in scenes])
    times = int(pixel // 10)
    for b, band in enumerate(("vv", "vh")):
        filtered = []
        for _, bands in scenes:
            power = np.where(bands[band] > 0, bands[band], np.nan).astype(np.float32)
            filtered.append(refined_lee(power).repeat(times, 0).repeat(times, 1)[:36, :30].astype(np.float64))
        present = ~np.isnan(filtered)
        mean = np.nansum(filtered, axis=0) / np.where(present.any(0), present.sum(0), np.nan)
        np.testing.assert_array_equal(layer.values[0, b], mean.astype(np.float32))
    assert layer.values.dtype == np.float32 and layer.count.max() == 3 and layer.count.min() < 3


def test_radar_without_despeckling_is_the_plain_mean(tmp_path: Path) -> None:
    item, bands = radar(tmp_path, 2)
    layer = build("radar", [item], options=CubeOptions(uri="unused", despeckle="none"))
    power = np.where(bands["vv"] > 0, bands["vv"], np.nan)[:36, :30]
    np.testing.assert_array_equal(layer.values[0, 0], power)


def test_decibels_are_refused_with_the_remedy(tmp_path: Path) -> None:
    bands = {band: np.full((60, 60), -12.5, np.float32) for band in ("vv", "vh")}
    item = write_scene(tmp_path, "radar", bands, name="s1-db")
    with pytest.raises(TileError, match=r"s1-db, asset vv: median -12\.5.*decibels.*RTC"):
        build("radar", [item])


def test_temperature_is_masked_averaged_and_kept_as_hundredths_of_a_kelvin(tmp_path: Path) -> None:
    scale, offset = 0.00341802, 149.0
    items, kelvin = [], []
    for day in (1, 9):
        rng = np.random.default_rng(day)
        dn = rng.integers(38_000, 45_000, (12, 12), dtype=np.uint16)
        dn[0, day % 5] = 0
        qa = rng.choice(np.array([21824, 22280], np.uint16), (12, 12))
        items.append(
            write_scene(
                tmp_path / str(day), "thermal", {"lst": dn, "mask": qa}, 30.0, day=day, scale=scale, offset=offset,
                nodata=0.0, mask_kind="qa_pixel",
            )
        )  # fmt: skip
        physical = dn.astype(np.float32) * np.float32(scale) + np.float32(offset)
        kelvin.append(np.where((dn == 0) | (qa != 21824), np.nan, physical))
    layer = build("thermal", items)
    seen = ~np.isnan(kelvin)
    mean = np.nansum(kelvin, axis=0) / np.maximum(seen.sum(0), 1)
    expected = np.where(seen.any(0), np.rint(mean * 100), 0).repeat(3, 0).repeat(3, 1)[:36, :30]
    np.testing.assert_array_equal(layer.values[0, 0], expected)
    np.testing.assert_array_equal(layer.count[0], seen.sum(0).repeat(3, 0).repeat(3, 1)[:36, :30])


def covariance(folder: Path, day: int, pixel: float = 20.0) -> tuple[Item, list[NDArray[np.float32]]]:
    """A scene of C2 from four looks of correlated noise; a corner without data."""
    rng = np.random.default_rng(day)
    shape = (int(600 // pixel) + 6,) * 2
    vv, vh = (rng.normal(size=(4, *shape)) + 1j * rng.normal(size=(4, *shape)) for _ in range(2))
    vh = 0.3 * vh + 0.2j * vv
    c12 = (vv * vh.conj()).mean(0)
    planes = [p.astype(np.float32) for p in ((abs(vv) ** 2).mean(0), (abs(vh) ** 2).mean(0), c12.real, c12.imag)]
    planes[0][:3, :2] = np.nan
    bands = dict(zip(ASSET_BANDS["c2"], planes, strict=True))
    item = write_scene(folder / f"c2-{day}", "c2", bands, pixel, day=day, name=f"c2-{day}", nodata=float("nan"))
    for plane in planes:
        plane[:3, :2] = np.nan
    return item, planes


@pytest.mark.parametrize("despeckle", ["refined_lee", "none"])
def test_covariances_are_filtered_by_one_weight_averaged_and_then_decomposed(tmp_path: Path, despeckle: Any) -> None:
    scenes = [covariance(tmp_path, day) for day in (1, 4)]
    layer = build("c2", [item for item, _ in scenes], options=CubeOptions(uri="unused", despeckle=despeckle))
    filtered = [refined_lee_c2(*planes) if despeckle == "refined_lee" else planes for _, planes in scenes]
    mean = np.mean([np.stack(planes).astype(np.float64) for planes in filtered], axis=0).astype(np.float32)
    expected = np.stack(m_chi(*(np.ascontiguousarray(plane) for plane in mean)))
    np.testing.assert_array_equal(layer.values[0], expected.repeat(2, 1).repeat(2, 2)[:, :36, :30])
    assert layer.values.dtype == np.float32 and set(np.unique(layer.count)) == {0, 2}
    power = (layer.values[0].astype(np.float64) ** 2).sum(0)
    span = (mean[0] + mean[1]).repeat(2, 0).repeat(2, 1)[:36, :30]
    np.testing.assert_allclose(power, span, rtol=1e-5)


def test_a_covariance_whose_elements_lie_on_different_pixels_is_refused(tmp_path: Path) -> None:
    item, _ = covariance(tmp_path, 1)
    other, _ = covariance(tmp_path / "fine", 1, 10.0)
    mixed = replace(item, assets={**item.assets, "c22": other.assets["c22"]})
    with pytest.raises(TileError, match=r"c2-1: the four elements.*different pixels.*one grid"):
        build("c2", [mixed])


def test_cut_into_odd_pieces_every_layer_is_equal_to_the_bit(tmp_path: Path) -> None:
    optical = [sentinel2(tmp_path, 1)[0], landsat(tmp_path, 2)[0]]
    power = [radar(tmp_path, 3)[0], radar(tmp_path, 5, 20.0)[0]]
    matrices = [covariance(tmp_path, 3)[0], covariance(tmp_path, 5, 10.0)[0]]
    for name, items in (("optical", optical), ("radar", power), ("c2", matrices)):
        whole = build(name, items)
        for y0, y1, x0, x1 in ((0, 7, 0, 30), (7, 36, 0, 11), (7, 36, 11, 12), (13, 14, 12, 30), (35, 36, 29, 30)):
            part = build(name, items, window=Window(y0, y1, x0, x1))
            np.testing.assert_array_equal(part.values, whole.values[..., y0:y1, x0:x1])
            np.testing.assert_array_equal(part.count, whole.count[..., y0:y1, x0:x1])


def test_threads_change_no_bit(tmp_path: Path) -> None:
    items = {step: [radar(tmp_path, 1 + step)[0]] for step in range(5)}
    one, four = (build_layer("radar", items, WINDOW, SceneReader(GRID), OPTIONS, threads=n) for n in (1, 4))
    assert list(one) == list(four) == list(range(5))
    for step in items:
        np.testing.assert_array_equal(one[step].values, four[step].values)


def test_single_acquisitions_are_a_layer_of_their_own(tmp_path: Path) -> None:
    scenes = [radar(tmp_path, day)[0] for day in (2, 8)]
    twin_pass = replace(radar(tmp_path, 20)[0], id="same-pass", datetime=scenes[1].datetime + timedelta(seconds=25))
    items = [*scenes, twin_pass]
    axis = acquisition_axis(items)
    assert [len(members) for members in items_by_step(axis, items)] == [1, 2]
    steps = dict(enumerate(items_by_step(axis, items)))
    layers = build_layer("radar_acquisitions", steps, WINDOW, SceneReader(GRID), OPTIONS)
    np.testing.assert_array_equal(layers[0].values, build("radar", [scenes[0]]).values)


def test_a_late_scene_changes_the_key_of_its_own_step_alone() -> None:
    axis = made_axis(4)
    items = [made_item({"vv": f"{day}.tif", "vh": "x"}, "radar", day) for day in (2, 5, 15, 35)]
    before = step_keys("radar", axis, items, "tile")
    late = made_item({"vv": "late.tif", "vh": "x"}, "radar", 17)
    after = step_keys("radar", axis, [late, *items], "tile")
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True, True]
    assert step_keys("radar", axis, items[::-1], "tile") == before
    assert len(set(before)) == 4, "an empty step has a key of its own too"
    again = replace(items[3], assets={**items[3].assets, "vh": replace(items[3].assets["vh"], identity="other bytes")})
    after = step_keys("radar", axis, [*items[:3], again], "tile")
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, True, False]
    assert not set(before) & set(step_keys("radar", axis, items, "another tile"))
    assert step_keys("radar", made_axis(6), items, "tile")[:4] == before, "a longer season keeps the steps it had"


def test_a_scene_belongs_to_the_step_whose_half_open_interval_holds_it() -> None:
    axis = made_axis(2)
    at_edge = replace(made_item({}, day=1), datetime=axis.ends[0])
    before_edge = replace(made_item({}, day=1, name="b"), datetime=axis.ends[0] - timedelta(microseconds=1))
    outside = replace(made_item({}, day=1, name="c"), datetime=axis.ends[1])
    assert items_by_step(axis, [at_edge, before_edge, outside]) == [[before_edge], [at_edge]]


def test_what_cannot_be_a_covariance_is_no_data_or_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    c11, c22 = rng.gamma(4, 0.1, (2, 36, 36)).astype(np.float32)
    c12 = 0.3 * np.sqrt(c11 * c22)
    plain = CubeOptions(uri="unused", despeckle="none")

    def scene(name: str, *planes: NDArray) -> Item:
        bands = dict(zip(ASSET_BANDS["c2"], planes, strict=True))
        return write_scene(tmp_path / name, "c2", bands, day=1, name=name)

    hole = c12.copy()
    hole[3, 4] = -9999
    layer = build("c2", [scene("hole", c11, c22, hole, c12)], plain)
    assert np.argwhere(layer.count[0] == 0).tolist() == [[3, 4]] and np.isnan(layer.values[0, :, 3, 4]).all()
    with pytest.raises(TileError, match=r"odd: \|C12\|\^2 is larger than C11 C22 in most pixels.*their scale"):
        build("c2", [scene("odd", c11, c22, c12, np.full_like(c12, 5))], plain)
    with pytest.raises(TileError, match="looks like decibels"):
        build("c2", [scene("db", -10 * c11, c22, c12, c12)], plain)


def test_power_that_is_infinite_is_no_data(tmp_path: Path) -> None:
    vv = np.ones((36, 36), np.float32)
    vv[5, 6] = np.inf
    item = write_scene(tmp_path / "inf", "radar", {"vv": vv, "vh": np.ones_like(vv)}, day=1)
    layer = build("radar", [item], CubeOptions(uri="unused", despeckle="none"))
    assert np.argwhere(layer.count[0] == 0).tolist() == [[5, 6]]


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.float64])
def test_whole_numbers_of_any_width_give_the_same_reflectance(tmp_path: Path, dtype: type) -> None:
    bands = draw(1)
    wide = {band: values.astype(dtype) for band, values in bands.items()}
    items = [
        write_scene(tmp_path / name, "optical", planes, day=1, name=name, scale=1e-4)
        for name, planes in (("short", bands), ("wide", wide))
    ]
    short, long = (build("optical", [item]) for item in items)
    np.testing.assert_array_equal(short.values, long.values)


def test_complex_numbers_are_refused_with_the_scene(tmp_path: Path) -> None:
    bands = {band: values.astype(np.complex64) for band, values in draw(1).items()}
    with pytest.raises(TileError, match=r"item phase, asset blue \(.*data type complex64.*real numbers"):
        build("optical", [write_scene(tmp_path / "phase", "optical", bands, day=1, name="phase", scale=1e-4)])
