"""What a raster's own header says counts: the item says, else the file, else the product's document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from engine.bands import OPTICAL_BANDS
from engine.claims import SILENT, Claim, fills_of, line_of
from engine.cube import CubeOptions, build_layer
from engine.errors import InputError, TileError
from engine.ground import Ground, MaskOptions, doubts_of_mask
from engine.header import CODES, Header, decide, filled, read_header
from engine.rasters import Rasters
from engine.read import SceneReader, read_patch
from engine.samples import LabelOptions
from engine.samples.labels import Labels
from engine.types import Asset, Item, Layer, Window
from tests.engine.made_scenes import CRS, LEFT, TOP, made_grid, made_item

GRID = made_grid(20, 20, 20)
WHOLE = Window(0, 20, 0, 20)
PLAIN = CubeOptions(uri="unused", despeckle="none")
RADAR = Claim(scale=1.0, offset=0.0, dtype="float32")
S2 = Claim(scale=1e-4, offset=-0.1, nodata=0.0, dtype="uint16")


def write(path: Path, *planes: NDArray, mask: NDArray | None = None, beside: bool = False, **header: Any) -> Path:
    """A GeoTIFF of these bands; ``mask``: (y, x) bool, inside the file or ``beside`` it; ``header``: of the file."""
    later = {"scales", "offsets", "units", "descriptions", "colorinterp"} & set(header)
    told = {name: header.pop(name) for name in sorted(later)}
    form = {"driver": "GTiff", "count": len(planes), "dtype": planes[0].dtype, "crs": CRS, "photometric": "MINISBLACK"}
    height, width = planes[0].shape
    place = {"height": height, "width": width, "transform": rasterio.Affine(10, 0, LEFT, 0, -10, TOP)}
    env = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=not beside)
    with env, rasterio.open(path, "w", **form, **place, **header) as file:
        for number, plane in enumerate(planes, 1):
            file.write(plane, number)
        for name, values in told.items():
            setattr(file, name, values)
        if mask is not None:
            file.write_mask(mask)
    assert Path(f"{path}.msk").exists() == (mask is not None and beside)
    return path


def radar(folder: Path, plane: NDArray, item: Claim = SILENT, **header: Any) -> Item:
    """A scene whose two bands are the same plane, and of which only the file tells the encoding, unless ``item``."""
    folder.mkdir(parents=True, exist_ok=True)
    made = made_item({band: write(folder / f"{band}.tif", plane, **header) for band in ("vv", "vh")}, "radar")
    return replace(made, assets={k: replace(a, item=item, family=RADAR) for k, a in made.assets.items()})


def build(item: Item, read: SceneReader | None = None) -> Layer:
    return build_layer(item.sensor, {0: [item]}, WHOLE, read or SceneReader(GRID), PLAIN)[0]


def power(seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0.01, 0.4, (20, 20)).astype(np.float32)


HOLE = np.zeros((20, 20), np.bool_)
HOLE[3:9, 4:11] = True


@pytest.mark.parametrize("fill", [9999.0, -9999.0, -3.4028234663852886e38, np.nan, 0.25])
def test_fill_that_the_file_alone_knows_is_not_averaged(tmp_path: Path, fill: float) -> None:
    plane = np.where(HOLE, np.float32(fill), power())
    layer = build(radar(tmp_path, plane, nodata=fill))
    np.testing.assert_array_equal(layer.count[0] == 0, HOLE)
    np.testing.assert_array_equal(layer.values[0, 0][~HOLE], power()[~HOLE])


@pytest.mark.parametrize("beside", [False, True])
def test_a_mask_inside_the_file_or_beside_it_counts(tmp_path: Path, beside: bool) -> None:
    layer = build(radar(tmp_path, power(), mask=~HOLE, beside=beside))
    np.testing.assert_array_equal(layer.count[0] == 0, HOLE)
    np.testing.assert_array_equal(np.isnan(layer.values[0, 0]), HOLE)


def test_fill_is_gone_before_speckle_is_filtered(tmp_path: Path) -> None:
    plane = np.where(HOLE, np.float32(9999), power())
    item = radar(tmp_path, plane, nodata=9999)
    layer = build_layer("radar", {0: [item]}, WHOLE, SceneReader(GRID), CubeOptions(uri="unused"))[0]
    assert np.nanmax(layer.values) < 0.5


def test_the_scale_of_the_file_counts_where_the_item_is_silent(tmp_path: Path) -> None:
    dn = np.round(power() * 1e4).astype(np.int16)
    layer = build(radar(tmp_path / "scaled", dn, scales=(1e-4,)))
    np.testing.assert_allclose(layer.values[0, 0], power(), atol=6e-5)
    with pytest.raises(TileError, match=r"int16 without a scale.*documented as float32.*gdal_edit -scale"):
        build(radar(tmp_path / "bare", dn))


def test_what_the_item_states_wins_and_the_difference_is_told_once_with_its_count(tmp_path: Path) -> None:
    dn = np.round(power() * 1e4).astype(np.int16)
    read = SceneReader(GRID)
    layer = build(radar(tmp_path, dn, item=Claim(scale=1e-4, nodata=0.0), scales=(1e-3,), nodata=-9999), read)
    np.testing.assert_allclose(layer.values[0, 0], power(), atol=6e-5)
    told = read.take_told()
    scale = "scale: the item says 0.0001, the file's header says 0.001, the product's document says 1"
    assert any(scale in sentence and "that of the item is used" in sentence for sentence in told)
    assert any("nodata: the item says 0, the file's header says -9999" in sentence for sentence in told)
    assert set(told.values()) == {1} and read.take_told() == {}


def test_no_data_of_item_and_of_file_are_both_no_data(tmp_path: Path) -> None:
    plane = power()
    plane[0, 0], plane[0, 1] = 0.125, 0.25
    layer = build(radar(tmp_path, plane, item=Claim(nodata=0.125), nodata=0.25))
    assert np.argwhere(layer.count[0] == 0).tolist() == [[0, 0], [0, 1]]


def test_a_unit_in_the_file_is_refused_where_the_item_is_silent(tmp_path: Path) -> None:
    with pytest.raises(TileError, match=r"asset vv .*unit 'dB'.*linear power.*RTC|unit 'dB'.*linear power"):
        build(radar(tmp_path, power(), units=("dB",)))


@pytest.mark.parametrize("dtype", ["complex64", "complex_int16"])
def test_complex_numbers_are_refused(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "slc.tif"
    place = {"height": 20, "width": 20, "crs": CRS, "transform": rasterio.Affine(10, 0, LEFT, 0, -10, TOP)}
    with rasterio.open(path, "w", driver="GTiff", count=1, dtype=dtype, **place):
        pass
    with pytest.raises(TileError, match=f"data type {dtype}"):
        build(made_item({"vv": path, "vh": path}, "radar"))


def five(path: Path) -> tuple[Path, dict[str, NDArray]]:
    """Five bands in one file, in an order that is not ours."""
    rng = np.random.default_rng(5)
    planes = {band: rng.integers(1100, 5000, (20, 20), dtype=np.uint16) for band in reversed(OPTICAL_BANDS)}
    return write(path, *planes.values(), descriptions=tuple(planes)), planes


@pytest.mark.parametrize("by", ["number", "name"])
def test_each_of_five_bands_in_one_file_is_its_own(tmp_path: Path, by: str) -> None:
    path, planes = five(tmp_path / "all.tif")
    made = made_item(dict.fromkeys(OPTICAL_BANDS, path))
    named: Mapping[str, int | str] = {band: i if by == "number" else band.upper() for i, band in enumerate(planes, 1)}
    bands = {k: replace(a, item=Claim(scale=1e-4, offset=-0.1, band=named[k])) for k, a in made.assets.items()}
    layer = build(replace(made, assets=bands))
    for position, band in enumerate(OPTICAL_BANDS):
        np.testing.assert_array_equal(layer.values[0, position], planes[band])


def test_several_bands_of_which_none_is_named_are_refused_with_their_names(tmp_path: Path) -> None:
    path, _ = five(tmp_path / "all.tif")
    with pytest.raises(TileError, match=r"5 bands in the file.*1 \(swir1 uint16\), 2 \(nir uint16\).*KEY#2"):
        build(made_item(dict.fromkeys(OPTICAL_BANDS, path), scale=1e-4))


def test_scale_and_offset_are_those_of_the_band(tmp_path: Path) -> None:
    planes = [np.full((20, 20), value, np.int16) for value in (1000, 2000)]
    path = write(tmp_path / "two.tif", *planes, scales=(1e-4, 1e-3), offsets=(0.0, 0.5))
    with rasterio.open(path) as source:
        header = read_header(source)
    readings = [decide(header, Asset(str(path), "", Claim(band=band), RADAR), "radar", "vv") for band in (1, 2)]
    assert [(r.band, r.scale, r.offset) for r in readings] == [(1, 1e-4, 0.0), (2, 1e-3, 0.5)]


def test_an_alpha_band_is_a_mask_and_no_band(tmp_path: Path) -> None:
    opaque = np.where(HOLE, 0, 255).astype(np.float32)
    colours = (ColorInterp.gray, ColorInterp.alpha)
    path = write(tmp_path / "alpha.tif", power(), opaque, colorinterp=colours)
    layer = build(made_item({"vv": path, "vh": path}, "radar"))
    np.testing.assert_array_equal(layer.count[0] == 0, HOLE)


def test_a_float_raster_is_not_scaled_by_what_is_documented_for_whole_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "float.tif", power())
    made = made_item(dict.fromkeys(OPTICAL_BANDS, path))
    silent = {k: replace(a, item=SILENT, family=S2) for k, a in made.assets.items()}
    with pytest.raises(TileError, match=r"float32 without a scale.*documented as uint16"):
        build(replace(made, assets=silent))
    stated = {k: replace(a, item=Claim(scale=1.0), family=S2) for k, a in made.assets.items()}
    layer = build(replace(made, assets=stated))
    np.testing.assert_allclose(layer.values[0, 0] * 1e-4 - 0.1, power(), atol=6e-5)


def seen(folder: Path, scl: NDArray, **header: Any) -> Layer:
    """An optical scene under this scene classification."""
    planes = {band: np.full((20, 20), 3000, np.uint16) for band in OPTICAL_BANDS}
    assets = {band: write(folder / f"{band}.tif", plane) for band, plane in planes.items()}
    made = made_item({**assets, "mask": write(folder / "scl.tif", scl, **header)}, scale=1e-4, mask_kind="scl")
    return build(made)


@pytest.mark.parametrize(("dtype", "fill"), [("uint8", 255), ("int16", -9999), ("float32", -9999)])
def test_no_data_of_a_quality_layer_is_not_clear(tmp_path: Path, dtype: str, fill: float) -> None:
    layer = seen(tmp_path, np.where(HOLE, fill, 4).astype(dtype), nodata=fill)
    np.testing.assert_array_equal(layer.count[0] == 0, HOLE)


def test_a_quality_layers_own_mask_counts_and_numbers_it_cannot_hold_are_refused(tmp_path: Path) -> None:
    np.testing.assert_array_equal(seen(tmp_path, np.full((20, 20), 4, np.uint8), mask=~HOLE).count[0] == 0, HOLE)
    with pytest.raises(TileError, match=r"quality layer holds 260.*whole numbers from 0 to 255"):
        seen(tmp_path, np.where(HOLE, 260, 4).astype(np.int16))


# Masks and labels that a person named


def kept(options: MaskOptions) -> NDArray[np.bool_]:
    area = shapely.box(LEFT, TOP - 200, LEFT + 200, TOP)
    return Ground(GRID, area, options).inside(WHOLE)


CROPS = np.where(HOLE, 255, np.arange(400).reshape(20, 20) % 2).astype(np.uint8)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "int64"])
@pytest.mark.parametrize("keep", [None, (1,)])
def test_no_data_of_a_cropland_mask_is_not_mapped(tmp_path: Path, dtype: str, keep: tuple[int, ...] | None) -> None:
    path = write(tmp_path / "crops.tif", CROPS.astype(dtype), nodata=255)
    np.testing.assert_array_equal(kept(MaskOptions(uri=str(path), keep=keep)), CROPS == 1)


def test_a_cropland_mask_with_nan_keeps_none_of_it(tmp_path: Path) -> None:
    path = write(tmp_path / "crops.tif", np.where(HOLE, np.nan, CROPS).astype(np.float32))
    np.testing.assert_array_equal(kept(MaskOptions(uri=str(path))), CROPS == 1)


def test_a_fill_that_no_header_knows_is_refused_where_it_can_be_no_class(tmp_path: Path) -> None:
    fill = np.where(HOLE, np.finfo(np.float32).min, CROPS % 2).astype(np.float32)
    for nodata in (None, -3.4e38):  # as text that has lost its digits gives it
        path = write(tmp_path / f"crops{nodata}.tif", fill, nodata=nodata)
        with pytest.raises(InputError, match=r"the mask holds -3\.40282347e") as told:
            kept(MaskOptions(uri=str(path)))
        assert "gdal_edit" in told.value.remedy


@pytest.mark.parametrize(
    ("values", "doubt"), [((0, 1, 255), "255"), ((0, 1, 2), ""), ((0, 255, 255), ""), ((0, 1, 254), "254")]
)
def test_a_usual_fill_beside_other_classes_is_told_as_doubtful(
    tmp_path: Path, values: tuple[int, int, int], doubt: str
) -> None:
    off, on, odd = values
    path = write(tmp_path / "crops.tif", np.where(HOLE, odd, np.where(CROPS == 0, off, on)).astype(np.uint8))
    told = doubts_of_mask(MaskOptions(uri=str(path)), GRID, [WHOLE])
    assert len(told) == bool(doubt) and all(f"holds {doubt}," in line and "mask.keep" in line for line in told)
    assert doubts_of_mask(MaskOptions(uri=str(path), keep=(1,)), GRID, [WHOLE]) == []


@pytest.mark.parametrize("beside", [False, True])
def test_a_cropland_masks_own_mask_counts(tmp_path: Path, beside: bool) -> None:
    path = write(tmp_path / "crops.tif", CROPS, mask=~HOLE, beside=beside)
    np.testing.assert_array_equal(kept(MaskOptions(uri=str(path))), CROPS == 1)


def test_a_mask_of_several_bands_is_refused_unless_one_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "crops.tif", np.zeros_like(CROPS), CROPS, descriptions=("water", "crops"), nodata=255)
    with pytest.raises(InputError, match=r"2 bands in the file.*2 \(crops uint8\).*option band") as error:
        kept(MaskOptions(uri=str(path)))
    assert error.value.place == str(path)
    for band in (2, "crops"):
        np.testing.assert_array_equal(kept(MaskOptions(uri=str(path), band=band)), CROPS == 1)


CODED = np.random.default_rng(2).integers(1, 4, (20, 20))


@pytest.mark.parametrize(
    ("dtype", "fill"), [("uint8", 255), ("int16", -9999), ("float32", -3.4028234663852886e38), ("float32", -9999)]
)
def test_no_data_of_a_label_raster_is_no_class(tmp_path: Path, dtype: str, fill: float) -> None:
    path = write(tmp_path / "labels.tif", np.where(HOLE, fill, CODED).astype(dtype), nodata=fill)
    codes, _ = Labels(LabelOptions(uri=str(path)), GRID, 100.0).read(WHOLE)
    np.testing.assert_array_equal(codes, np.where(HOLE, 0, CODED))


def test_labels_in_a_band_that_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.tif", np.zeros((20, 20), np.int16), CODED.astype(np.int16))
    codes, _ = Labels(LabelOptions(uri=str(path), band=2), GRID, 100.0).read(WHOLE)
    np.testing.assert_array_equal(codes, CODED)
    with pytest.raises(InputError, match="2 bands in the file"):
        Labels(LabelOptions(uri=str(path)), GRID, 100.0).read(WHOLE)


def test_codes_are_not_scaled(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.tif", CODED.astype(np.int16), scales=(0.1,))
    with pytest.raises(InputError, match=r"scale 0\.1 and offset 0 in a raster of classes"):
        Labels(LabelOptions(uri=str(path)), GRID, 100.0).read(WHOLE)


def test_a_palette_is_codes(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.tif", CODED.astype(np.uint8))
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {1: (255, 0, 0, 255), 2: (0, 255, 0, 255), 3: (0, 0, 255, 255)})
    codes, _ = Labels(LabelOptions(uri=str(path)), GRID, 100.0).read(WHOLE)
    np.testing.assert_array_equal(codes, CODED)


# The rule itself


def test_an_offset_belongs_to_its_scale() -> None:
    document = Claim(scale=2.75e-5, offset=-0.2)
    assert line_of([SILENT, SILENT, document]) == (2.75e-5, -0.2)
    assert line_of([Claim(scale=2.75e-5), SILENT, document]) == (2.75e-5, -0.2)
    assert line_of([Claim(scale=1e-4), SILENT, document]) == (1e-4, 0.0)
    assert line_of([Claim(offset=-0.1), Claim(scale=1e-4), document]) == (1e-4, -0.1)
    assert line_of([SILENT, Claim(scale=1e-4, offset=0.3), document]) == (1e-4, 0.3)
    assert line_of([SILENT, SILENT]) is None


def test_the_document_names_no_data_only_where_item_and_file_are_silent() -> None:
    document = Claim(nodata=0.0)
    assert fills_of(SILENT, SILENT, document) == (0.0,)
    assert fills_of(Claim(nodata="nan"), SILENT, document) == ()
    assert fills_of(Claim(nodata=7.0), Claim(nodata=7.0), document) == (7.0,)


@pytest.mark.parametrize("impossible", [-9999.0, "nan", 0.5])
def test_no_data_that_cannot_occur_does_not_silence_the_document(impossible: float | str) -> None:
    header = Header(("uint16",), (None,), (1.0,), (0.0,), (None,), (None,), (False,), (False,))
    documented = Claim(scale=1e-4, offset=-0.1, nodata=0.0)
    asset = replace(made_item({"red": "a.tif"}).assets["red"], item=Claim(nodata=impossible), family=documented)
    reading = decide(header, asset, "optical", "red")
    assert reading.nodata == (0.0,)


def test_a_float_fill_is_known_though_text_has_lost_its_last_digits() -> None:
    values = np.array([-3.40282306074e38, -3.4e38, 1.0, 0.0], np.float32)
    assert filled(values, (-3.4028234663852886e38,)).tolist() == [True, False, False, False]
    assert filled(values, (-3.4e38, 0.0)).tolist() == [False, True, False, True]
    assert not filled(np.array([0, 255, 241], np.uint8), (-9999.0, -1.0, 0.5, np.inf)).any()


def test_a_raster_is_read_anew_when_the_mask_beside_it_comes(tmp_path: Path) -> None:
    path, rasters = write(tmp_path / "crops.tif", CROPS), Rasters()
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE"):
        with rasters.use(str(path)) as raster:
            assert raster.header.masked == (False,)
        write(path, CROPS, mask=~HOLE, beside=True)
        with rasters.use(str(path)) as raster:
            assert raster.header.masked == (True,)


def test_a_header_says_nothing_by_gdals_defaults(tmp_path: Path) -> None:
    path = write(tmp_path / "plain.tif", CROPS)
    with rasterio.open(path) as source:
        header = read_header(source)
    assert header.claim(1) == Claim(dtype="uint8")
    reading = decide(header, Asset(str(path), ""), CODES, "")
    assert (reading.scale, reading.offset, reading.nodata, reading.told) == (1.0, 0.0, (), ())
    patch = read_patch(str(path), GRID, WHOLE)
    assert patch is not None and patch.valid.all()


def test_infinity_is_no_measurement_and_no_code_unless_the_header_calls_it_no_data(tmp_path: Path) -> None:
    layer = build(radar(tmp_path / "radar", np.where(HOLE, np.float32(np.inf), power())))
    np.testing.assert_array_equal(layer.count[0] == 0, HOLE)
    holed = np.where(HOLE, -np.inf, CODED).astype(np.float32)
    bare, told = (write(tmp_path / f"{nodata}.tif", holed, nodata=nodata) for nodata in (None, -np.inf))
    with pytest.raises(InputError, match="a pixel holds -inf"):
        Labels(LabelOptions(uri=str(bare)), GRID, 100.0).read(WHOLE)
    codes, _ = Labels(LabelOptions(uri=str(told)), GRID, 100.0).read(WHOLE)
    np.testing.assert_array_equal(codes, np.where(HOLE, 0, CODED))
    np.testing.assert_array_equal(kept(MaskOptions(uri=str(bare))), ~HOLE)
