"""Odd types and values in an item: understood where they are plain, else refused by name; never a traceback."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest

from engine.catalog import SourceOptions, find_items, read_items, write_items
from engine.catalog.product import baseline, spelled_number
from engine.catalog.resolution import resolve_explained
from engine.claims import Claim, line_of
from engine.errors import InputError, TilthError
from engine.header import Header, decide, filled
from engine.types import Asset
from tests.engine.made_catalog import EVER, WORLD

NAME = "S2A_MSIL2A_20240501T105031_N0510_R051_T31UFS_20240501T150000"
BANDS = ("blue", "green", "red", "nir", "swir16")
SOURCE = SourceOptions(catalog="https://example.org/v1", collection="made")
CLASSES = [{"value": v, "name": n} for v, n in ((3, "cloud_shadows"), (8, "cloud_medium"), (9, "cloud_high"))]


def document(folder: Path | str = "https://example.org", name: str = NAME, **properties: Any) -> dict[str, Any]:
    """A Sentinel-2 scene of all that decides something; ``properties`` are changed, ``__`` for a colon."""
    band = {"scale": 1e-4, "offset": -0.1, "nodata": 0, "unit": "1", "data_type": "uint16"}
    assets = {key: {"href": f"{folder}/{key}.tif", "title": key, "raster:bands": [dict(band)],
                    "eo:bands": [{"name": key, "common_name": key}]} for key in BANDS}  # fmt: skip
    assets["scl"] = {
        "href": f"{folder}/scl.tif",
        "title": "SCL",
        "classification:classes": [dict(entry) for entry in CLASSES],
    }
    stated = {
        "datetime": "2024-05-01T10:50:31Z", "platform": "sentinel-2a", "instruments": ["msi"], "eo:cloud_cover": 10,
        "s2:processing_baseline": "05.10", "processing:level": "L2A", "s2:mgrs_tile": "31UFS", "proj:epsg": 32631,
        "earthsearch:boa_offset_applied": False, "s2:datatake_id": "GS2A_20240501T105031_046269_N05.10",
        "updated": "2024-05-02T00:00:00Z",
    }  # fmt: skip
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "made", "links": [], "assets": assets,
        "bbox": [3, 50, 4, 51], "properties": stated | {k.replace("__", ":"): v for k, v in properties.items()},
        "geometry": {"type": "Polygon", "coordinates": [[[3, 50], [4, 50], [4, 51], [3, 51], [3, 50]]]},
    }  # fmt: skip


def stating(**facts: Any) -> pystac.Item:
    """A scene whose blue band states these facts in raster:bands."""
    scene = pystac.Item.from_dict(document(), migrate=False)
    scene.assets["blue"].extra_fields["raster:bands"] = [facts]
    return scene


def without_offset(name: str = "scene", **properties: Any) -> pystac.Item:
    """A scene of whose offset raster:bands says nothing."""
    scene = pystac.Item.from_dict(document(name=name, **properties), migrate=False)
    for asset in scene.assets.values():
        asset.extra_fields.pop("raster:bands", None)
    return scene


@pytest.mark.parametrize("said", [True, "true", "True", " TRUE ", 1, 1.0, "1", "yes"])
def test_a_flag_of_the_offset_is_understood_in_every_spelling(said: object) -> None:
    for key in ("earthsearch__boa_offset_applied", "sentinel__boa_offset_applied"):
        scene = without_offset(**{"earthsearch__boa_offset_applied": None, key: said})
        pinned, told = resolve_explained(scene, SOURCE, "optical")
        assert pinned.assets["blue"].offset == 0.0 and "boa_offset_applied" in told


@pytest.mark.parametrize("said", [False, "false", "FALSE", 0, "0", "no", None, ""])
def test_a_flag_that_says_no_leaves_the_baseline_to_decide(said: object) -> None:
    scene = without_offset(earthsearch__boa_offset_applied=said)
    assert resolve_explained(scene, SOURCE, "optical")[0].assets["blue"].offset == -0.1


@pytest.mark.parametrize("said", ["maybe", 2, -1, [True], {"value": True}, math.nan])
def test_a_flag_that_is_neither_yes_nor_no_is_refused(said: object) -> None:
    with pytest.raises(InputError, match="earthsearch:boa_offset_applied") as caught:
        resolve_explained(without_offset(earthsearch__boa_offset_applied=said), SOURCE, "optical")
    error = caught.value
    assert repr(said) in error.value and error.expected == "true or false"
    assert "item scene" in error.place and "blue" in error.place and "exclude" in error.remedy


def test_two_flags_that_contradict_each_other_are_refused() -> None:
    scene = without_offset(earthsearch__boa_offset_applied="true", sentinel__boa_offset_applied=0)
    with pytest.raises(InputError, match="earthsearch:boa_offset_applied 'true' and sentinel:boa_offset_applied 0"):
        resolve_explained(scene, SOURCE, "optical")


def test_witnesses_of_the_baseline_that_contradict_each_other_are_told() -> None:
    scene = without_offset(NAME.replace("N0510", "N0500"), s2__processing_baseline="02.07", s2__datatake_id=None)
    pinned, told = resolve_explained(scene, SOURCE, "optical")
    assert pinned.assets["blue"].offset == 0.0
    assert "baseline 02.07 by s2:processing_baseline, against 05.00 by its name" in told
    pinned, told = resolve_explained(without_offset(NAME, s2__processing_baseline="5.10.1"), SOURCE, "optical")
    assert "baseline 05.10 by its name, against '5.10.1', which is none" in told and pinned.baseline == "05.10"
    assert "against" not in resolve_explained(without_offset(NAME), SOURCE, "optical")[1]
    with pytest.raises(InputError, match=r"processing baseline '5\.10\.1' and no raster:bands offset"):
        resolve_explained(
            without_offset("x", s2__processing_baseline="5.10.1", s2__datatake_id=None), SOURCE, "optical"
        )


@pytest.mark.parametrize("said", [2024, "2024", 20.23, "N9999", 99, [5.09], True, -5, "17"])
def test_what_can_be_no_baseline_is_none(said: object) -> None:
    assert baseline(without_offset(s2__processing_baseline=said, s2__datatake_id=None)) is None


@pytest.mark.parametrize(
    ("facts", "value", "expected"),
    [
        *(({"scale": said}, f"scale {said!r}", "a finite number above 0")
          for said in (0, -1e-4, "0", "0,0001", "1_0", math.nan, "nan", math.inf, True, [1e-4], {"x": 1}, 10**400)),
        *(({"scale": 1e-4, "offset": said}, f"offset {said!r}", "a finite number")
          for said in ("none", math.nan, "-inf", [0], False, {})),
        *(({"nodata": said}, f"nodata {said!r}", "a number") for said in ("fill", [0], [], {}, True, "0 255")),
        *(({"unit": said}, f"unit {said!r}", "text") for said in (["dB"], {"unit": "dB"}, True)),
        ({"data_type": ["uint16"]}, "data_type ['uint16']", "text"),
    ],
)  # fmt: skip
def test_a_fact_of_a_band_that_is_none_is_refused_with_item_asset_and_remedy(
    facts: dict[str, Any], value: str, expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        resolve_explained(stating(**facts), SOURCE, "optical")
    error = caught.value
    assert error.value == value[:200] and error.expected.startswith(expected)
    assert error.place == f"item {NAME}, asset of blue" and "mend the item's metadata" in error.remedy


def test_numbers_as_text_are_numbers() -> None:
    pinned = resolve_explained(stating(scale="0.0001", offset=" -1e-1", nodata="65535"), SOURCE, "optical")[0]
    assert pinned.assets["blue"].item == Claim(1e-4, -0.1, 65535.0, count=1)
    assert [spelled_number(v) for v in ("1e3", ".5", "1.", "+2", "inf", "1_0", "", "0x1", "٣", None, True)] == [
        1000.0, 0.5, 1.0, 2.0, math.inf, None, None, None, None, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("said", ["nan", "NaN", "inf", "-inf", "Infinity", math.nan, math.inf, -math.inf])
def test_no_data_that_is_no_finite_number_is_no_data_and_can_be_pinned(said: object) -> None:
    pinned = resolve_explained(stating(nodata=said, scale=1, offset=0, data_type="float32"), SOURCE, "optical")[0]
    assert read_items(write_items([pinned])) == (pinned,)
    asset = pinned.assets["blue"]
    reading = decide(header("float32"), asset, "optical", "blue")
    pixels = np.array([np.nan, np.inf, -np.inf, 0.0, 0.3], np.float32)
    assert filled(pixels, reading.nodata, reading.infinite).tolist() == [True, True, True, False, False]


def header(dtype: str, **changes: Any) -> Header:
    one: dict[str, Any] = {"nodata": (None,), "scales": (1.0,), "offsets": (0.0,)}
    return Header((dtype,), **(one | changes), units=(None,), names=(None,), alpha=(False,), masked=(False,))


@pytest.mark.parametrize("said", ["nan", "-inf", -9999, 0.5])
def test_no_data_that_its_type_cannot_hold_leaves_the_next_witness_to_say(said: object) -> None:
    pinned = resolve_explained(stating(nodata=said), SOURCE, "optical")[0]
    reading = decide(header("uint16"), pinned.assets["blue"], "optical", "blue")
    assert reading.nodata == (0.0,) and any("cannot occur in uint16" in line for line in reading.told)
    reading = decide(header("uint16", nodata=(65535.0,)), pinned.assets["blue"], "optical", "blue")
    assert reading.nodata == (65535.0,)


@pytest.mark.parametrize("scale", [0.0, -1e-4, math.nan, math.inf])
def test_a_header_whose_scale_is_none_is_refused(scale: float) -> None:
    asset = Asset("/scene/blue.tif", "1", family=Claim(scale=1e-4, offset=0.0))
    with pytest.raises(InputError, match="scale above 0"):
        decide(header("uint16", scales=(scale,)), asset, "optical", "blue")
    with pytest.raises(InputError):
        decide(header("uint8", scales=(scale,)), asset, "optical", "mask")
    assert line_of([Claim(scale=0.0), Claim(scale=1e-4, offset=1.0)]) == (0.0, 0.0)


@pytest.mark.parametrize("key", ["raster:bands", "bands", "eo:bands"])
@pytest.mark.parametrize("said", [{"scale": 1e-4}, ["a"], [None], [[]], "B02", 3, True, [{}, 1]])
def test_bands_that_are_no_list_of_objects_are_refused(key: str, said: object) -> None:
    for asset in ("blue", "scl"):
        scene = pystac.Item.from_dict(document(), migrate=False)
        scene.assets[asset].extra_fields[key] = said
        with pytest.raises(InputError) as caught:
            resolve_explained(scene, SOURCE, "optical")
        error = caught.value
        assert error.value == f"{key} {said!r}" and error.expected.startswith("a list of objects")
        assert error.place == f"item {NAME}, asset {asset}" and "exclude" in error.remedy


def test_bands_that_are_null_say_nothing() -> None:
    scene = pystac.Item.from_dict(document(), migrate=False)
    scene.assets["blue"].extra_fields |= {"raster:bands": None, "bands": None, "eo:bands": []}
    assert resolve_explained(scene, SOURCE, "optical")[0].assets["blue"].item.scale is None


def test_cloud_cover_is_understood_as_text_and_what_is_none_is_told(tmp_path: Path) -> None:
    said = ["60", 60.0, "5", None, math.nan, -1, "cloudy", 350]
    scenes = [document(tmp_path, f"scene-{i}", eo__cloud_cover=cloud, s2__mgrs_tile=f"3{i}UFS", s2__datatake_id=None)
              for i, cloud in enumerate(said)]  # fmt: skip
    found = find_items(written(tmp_path, scenes, max_cloud=50), "optical", WORLD, *EVER)
    assert [item.id for item in found.items] == [f"scene-{i}" for i in range(2, 8)]
    assert any("5 items state no cloud cover that is from 0 to 100 per cent (nan, -1, 'cloudy')" in a
               for a in found.audit)  # fmt: skip


def test_documents_that_tell_no_time_or_place_are_named(tmp_path: Path) -> None:
    broken = [document(tmp_path, "timeless", datetime="May"), {**document(tmp_path, "nowhere"), "geometry": "here"}]
    broken[1]["bbox"] = None
    broken += [{**document(tmp_path, "bare"), "properties": "none"}, {**document(tmp_path, "torn"), "assets": ["a"]}]
    found = find_items(written(tmp_path, [*broken, document(tmp_path)]), "optical", WORLD, *EVER)
    assert [item.id for item in found.items] == [NAME]
    for name, value in (("timeless", "'May'"), ("nowhere", "'here'"), ("bare", "'none'"), ("torn", "['a']")):
        assert sum(line.startswith(f"{name}: no valid STAC item") and value in line for line in found.problems) == 1


def written(folder: Path, scenes: list[dict[str, Any]], **options: Any) -> SourceOptions:
    """Scenes in a file, with empty rasters beside it."""
    for key in (*BANDS, "scl"):
        (folder / f"{key}.tif").write_bytes(b"")
    path = folder / "items.ndjson"
    path.write_text("".join(json.dumps(scene) + "\n" for scene in scenes))
    return SourceOptions(catalog=str(path), collection="made", **options)


def places(value: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every field of a document; of a list to its first entry."""
    entries = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, inner in entries:
        if way != ("assets",) or key in ("blue", "scl"):
            yield (*way, key)
            yield from places(inner, (*way, key))


ODD = ("", "x", -1, 10**400, True, math.nan, math.inf, [1], [None], ["x"], [{}], {"a": 1}, [[1]], None)


@pytest.mark.parametrize("way", sorted(places(document()), key=str), ids=lambda way: ".".join(map(str, way)))
def test_no_field_of_an_item_is_too_odd(way: tuple[str | int, ...], tmp_path: Path) -> None:
    good = document(tmp_path, "S2B_other", platform="sentinel-2b", s2__datatake_id=None, s2__mgrs_tile="31UGS")
    for value in ODD:
        changed: Any = document(tmp_path)
        inner = changed
        for key in way[:-1]:
            inner = inner[key]
        inner[way[-1]] = value
        try:
            found = find_items(written(tmp_path, [changed, good], max_cloud=50), "optical", WORLD, *EVER)
        except TilthError:
            continue  # no document of a catalogue at all, such as a Feature of another type
        used = len(found.items) == 2
        assert used or len(found.problems) == 1 or way == ("collection",), (way, value)
