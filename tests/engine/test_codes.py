"""Codes of labels: never rounded, wrapped or guessed; names in their place; legends as people have them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely

from engine.errors import InputError
from engine.ground import Ground, MaskOptions
from engine.samples import LabelOptions, Labels, coding_of, read_legend
from engine.samples.codes import column_codes, raster_codes
from engine.types import Window
from tests.engine.made_scenes import CRS, made_grid

GRID = made_grid(40, 40, 20)
WHOLE = Window(0, 40, 0, 40)
HCAT = 3301060600


def polygons(path: Path, values: list[object], column: str = "crop_code") -> str:
    """Squares of 10 x 10 pixels side by side, one for each value."""
    left, _, _, top = GRID.bounds(WHOLE)
    step = 10 * GRID.resolution
    boxes = [
        shapely.box(left + step * (i % 4), top - step * (i // 4 + 1), left + step * (i % 4 + 1), top - step * (i // 4))
        for i in range(len(values))
    ]
    frame = gpd.GeoDataFrame({column: values}, geometry=boxes, crs=CRS)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_file(path)
    return str(path)


def codes_at(options: LabelOptions) -> list[int]:
    """The code of each square of ``polygons``, read as training reads it."""
    codes, _ = Labels(options, GRID, 100.0).read(WHOLE)
    return [int(codes[10 * (i // 4) + 5, 10 * (i % 4) + 5]) for i in range(16)]


@pytest.mark.parametrize("suffix", [".parquet", ".gpkg", ".geojson"])
@pytest.mark.parametrize("values", [[HCAT, 7], [float(HCAT), 7.0], [str(HCAT), "7"]])
def test_codes_of_ten_digits_are_read_from_polygons_as_they_are(tmp_path: Path, suffix: str, values: list) -> None:
    uri = polygons(tmp_path / f"labels{suffix}", values)
    assert codes_at(LabelOptions(uri=uri))[:3] == [HCAT, 7, 0]


@pytest.mark.parametrize("dtype", ["int64", "uint32", "float64", "uint64"])
def test_codes_of_ten_digits_are_read_from_rasters_as_they_are(tmp_path: Path, dtype: str) -> None:
    values = np.full((40, 40), HCAT, dtype)
    values[:, 20:] = 0
    profile = {"driver": "GTiff", "count": 1, "height": 40, "width": 40, "dtype": dtype, "crs": CRS}
    path = tmp_path / "codes.tif"
    with rasterio.open(path, "w", **profile, transform=rasterio.Affine(*GRID.transform(WHOLE))) as file:
        file.write(values, 1)
    codes, _ = Labels(LabelOptions(uri=str(path)), GRID, 100.0).read(WHOLE)
    assert codes.dtype == np.int64
    np.testing.assert_array_equal(codes, values.astype(np.int64))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([1, -9999], np.int32), "a pixel holds -9999.*nodata"),
        (np.array([1, 2**63], np.uint64), "a pixel holds 9223372036854775808.*9223372036854775807"),
        (np.array([1, 2.0**24], np.float32), "16777216 as float32.*2 .. 24"),
        (np.array([1, 2.0**53], np.float64), "9007199254740992 as float64.*2 .. 53"),
        (np.array([1, -3.4e38], np.float32), "as float32"),
        (np.array([1, 0.25], np.float64), "a pixel holds 0.25"),
        (np.array([1, 2j], np.complex64), "complex64"),
    ],
)
def test_pixels_that_are_no_codes_are_refused(values: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words) as told:
        raster_codes(values, (0,), "codes.tif")
    assert told.value.place == "codes.tif" and told.value.remedy


def test_values_to_ignore_are_no_codes_and_need_not_fit_the_raster() -> None:
    ignore = (0, -9999, 255, 10**12, "bare")
    assert raster_codes(np.array([1, 255, 0], np.uint8), ignore, "").tolist() == [1, 0, 0]
    assert raster_codes(np.array([1, -9999, np.nan], np.float32), ignore, "").tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1, -1], "-1 in row 1"),
        ([1.0, 2.5], "2.5 in row 1"),
        ([1.0, np.inf], "inf in row 1"),
        ([1.0, 2.0**53], "in row 1"),
        ([Decimal(1), Decimal("1.5")], "1.5 in row 1"),
        ([1, 2**64], "in row 1"),
        ([True, False], "boolean"),
        (list(pd.to_datetime(["2024-01-01"])), "datetime"),
        ([1, "wheat"], "mixed"),
    ],
)
def test_columns_that_hold_no_codes_are_refused(values: list, words: str) -> None:
    with pytest.raises(InputError, match=words) as told:
        column_codes(pd.Series(values), "crop_code", "labels.parquet")
    assert told.value.place == "labels.parquet" and told.value.remedy


def test_columns_of_decimals_and_large_integers_are_codes() -> None:
    assert column_codes(pd.Series([Decimal(HCAT)]), "c", "").tolist() == [HCAT]
    assert column_codes(pd.Series([2**63 - 1]), "c", "").tolist() == [2**63 - 1]


@pytest.mark.parametrize(
    "data",
    [
        b"code,name\n3301060600,NA\n2,null\n3,None\n4,nan\n5,N/A\n",
        b"\xef\xbb\xbfcode;name\r\n3301060600;NA\r\n2;null\r\n3;None\r\n4;nan\r\n5;N/A\r\n",
        "Name\tCode\nNA\t3301060600\nnull\t2\nNone\t3\nnan\t4\nN/A\t5\n".encode("utf-16"),
    ],
)
def test_names_that_look_like_nothing_are_names_whatever_the_separator(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "legend.csv"
    path.write_bytes(data)
    assert read_legend(str(path)).names == {HCAT: "NA", 2: "null", 3: "None", 4: "nan", 5: "N/A"}


def test_a_legend_that_is_no_utf8_is_refused_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "legend.csv"
    path.write_bytes("code,name\n1,blé\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"line 2 is no UTF-8: byte 0xe9.*iconv"):
        read_legend(str(path))


def test_names_that_two_codes_share_are_told(tmp_path: Path) -> None:
    path = tmp_path / "legend.csv"
    path.write_text("code,name\n1,wheat\n2,wheat\n3,rye\n")
    assert read_legend(str(path)).notes == (
        "legend: several codes share the name 'wheat'; maps and tables tell them by code",
    )


def test_names_without_a_legend_are_numbered_in_their_order(tmp_path: Path) -> None:
    uri = polygons(tmp_path / "l.parquet", ["wheat", "NA", "blé", "wheat ", "", None], "crop_name")
    options = LabelOptions(uri=uri, column="crop_name")
    coding = coding_of(options)
    assert coding.legend and coding.legend.names == {1: "NA", 2: "blé", 3: "wheat"}
    assert codes_at(options)[:7] == [3, 1, 2, 3, 0, 0, 0]
    assert coding.notes == (
        "labels: classes are named by text and numbered in the order of their names: 1 NA, 2 blé, 3 wheat",
    )


def test_names_are_found_in_the_legend_by_name_or_text_code_and_others_are_told(tmp_path: Path) -> None:
    uri = polygons(tmp_path / "l.gpkg", ["wheat", "rye", "Wheat", "3301060600"], "crop_name")
    legend = tmp_path / "legend.csv"
    legend.write_text(f"code,name\n{HCAT},maize\n12,wheat\n")
    options = LabelOptions(uri=uri, column="crop_name", legend=str(legend))
    assert codes_at(options)[:4] == [12, -2, -1, HCAT]
    coding = coding_of(options)
    assert [coding.told(code) for code in (-2, -1, 12)] == ["'rye'", "'Wheat'", "12"]
    assert "labels: numbers stand among the names, such as '3301060600'; they are taken as names" in coding.notes

    legend.write_text("code,name\nWW,winter wheat\nSM,maize\n")
    uri = polygons(tmp_path / "t.gpkg", ["WW", "SM", "maize"], "crop")
    options = LabelOptions(uri=uri, column="crop", legend=str(legend))
    assert codes_at(options)[:3] == [2, 1, 1]
    with pytest.raises(InputError, match=r"holds numbers.*text codes of the legend"):
        codes_at(options.model_copy(update={"uri": polygons(tmp_path / "n.gpkg", [1, 2], "crop")}))


def test_codes_with_leading_zeros_are_told_and_refused_where_two_would_be_one(tmp_path: Path) -> None:
    options = LabelOptions(uri=polygons(tmp_path / "l.gpkg", ["0123", "1200"]))
    coding = coding_of(options)
    assert codes_at(options)[:2] == [123, 1200]
    assert coding.notes == ("labels: codes with leading zeros are read as numbers: '0123' as 123",)
    assert coding.legend_for(np.array([123, 1200])).names == {123: "class 0123", 1200: "class 1200"}
    with pytest.raises(InputError, match="'0123' and '123' are both the number 123"):
        coding_of(LabelOptions(uri=polygons(tmp_path / "two.gpkg", ["0123", "123"])))
    with pytest.raises(InputError, match=r"holds '1\.5'"):
        coding_of(LabelOptions(uri=polygons(tmp_path / "half.gpkg", ["1.5", "2"])))


def test_names_mean_the_same_code_in_every_season_and_to_a_model_that_is_judged(tmp_path: Path) -> None:
    own = polygons(tmp_path / "own.gpkg", ["maize", "wheat"], "crop")
    other = polygons(tmp_path / "other.gpkg", ["barley", "wheat"], "crop")
    options = LabelOptions(uri=own, column="crop", seasons=({"cube": "c", "uri": other},))
    coding = coding_of(options)
    assert coding.texts == {"barley": 1, "maize": 2, "wheat": 3, "": 0, "0": 0}
    judged = coding_of(LabelOptions(uri=other, column="crop"), coding.legend)
    assert judged.texts["wheat"] == 3 and judged.texts["barley"] == 1
    known = coding_of(LabelOptions(uri=own, column="crop")).legend
    judged = coding_of(LabelOptions(uri=other, column="crop"), known)
    assert judged.texts["wheat"] == 2 and judged.name_of(judged.texts["barley"]) == "barley"
    assert judged.texts["barley"] < 0
    numbers = LabelOptions(uri=polygons(tmp_path / "n.gpkg", [1, 2], "crop"), column="crop")
    with pytest.raises(InputError, match="holds numbers"):
        Labels(numbers, GRID, 100.0, coding_of(numbers, known))


@pytest.mark.parametrize("dtype", ["uint32", "int64", "float64", "float32"])
def test_a_mask_keeps_values_of_ten_digits_or_is_refused_where_its_type_cannot_tell_them(
    tmp_path: Path, dtype: str
) -> None:
    values = np.full((40, 40), HCAT + 1, dtype)
    values[:10] = HCAT
    profile = {"driver": "GTiff", "count": 1, "height": 40, "width": 40, "dtype": dtype, "crs": CRS}
    path = tmp_path / "mask.tif"
    with rasterio.open(path, "w", **profile, transform=rasterio.Affine(*GRID.transform(WHOLE))) as file:
        file.write(values, 1)
    ground = Ground(GRID, shapely.box(*GRID.bounds(WHOLE)), MaskOptions(uri=str(path), keep=(HCAT,)))
    if dtype == "float32":
        with pytest.raises(InputError, match=r"mask.keep has 3301060600.*float32.*2 \*\* 24"):
            ground.inside(WHOLE)
    else:
        np.testing.assert_array_equal(ground.inside(WHOLE), values == HCAT)
