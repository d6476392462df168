"""Items become ours: bands, masks, encodings and pins, from real items of public catalogues."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pystac
import pytest

from engine.catalog import (
    SourceOptions,
    find_items,
    read_items,
    resolve,
    write_items,
)
from engine.errors import InputError
from tests.engine.made_catalog import (
    DATA,
    EVER,
    FIELD,
    FLANDERS,
    HERE,
    WORLD,
    YEAR,
    absolute_flanders,
    documents,
    earth_search,
    item,
    of_satellite,
)

pytestmark = HERE


# Flanders, the main job's own catalogue


@pytest.mark.parametrize(
    ("collection", "sensor", "bands", "mask_kind", "count"),
    [
        ("sentinel-2-l2a", "optical", {"blue", "green", "red", "nir", "swir1", "mask"}, "scl", 91),
        ("sentinel-1-grd", "radar", {"vv", "vh"}, None, 109),
        ("landsat-c1-l2-sr", "optical", {"blue", "green", "red", "nir", "swir1", "mask"}, "pixel_qa", 19),
        ("landsat-c2-l2-st", "thermal", {"lst", "mask"}, "qa_pixel", 38),
    ],
)
def test_every_collection_of_flanders_is_found_and_resolved(
    collection: str, sensor: str, bands: set[str], mask_kind: str | None, count: int
) -> None:
    found = find_items(SourceOptions(catalog=str(FLANDERS), collection=collection), sensor, FIELD, *YEAR)
    assert len(found.items) == count and not found.problems
    for pinned in found.items:
        assert set(pinned.assets) == bands and pinned.mask_kind == mask_kind
        assert all(Path(asset.href).is_file() and asset.identity for asset in pinned.assets.values())
        assert len(pinned.identity) == 64
    assert list(found.items) == sorted(found.items, key=lambda i: (i.datetime, i.id))
    assert f"{count} {collection} items 2018-" in "\n".join(found.audit)
    assert f"{count} in EPSG:32631" in found.audit[-1]


def test_the_cloud_limit_and_the_half_open_period_hold() -> None:
    source = SourceOptions(catalog=str(FLANDERS), collection="sentinel-2-l2a", max_cloud=90)
    found = find_items(source, "optical", FIELD, *YEAR)
    clouds = {d["id"]: d["properties"]["eo:cloud_cover"] for d in documents("flanders") if "S2_" in d["id"]}
    assert found.items and all(clouds[i.id] <= 90 for i in found.items)
    first = found.items[0].datetime
    assert find_items(source, "optical", FIELD, first, first + timedelta(seconds=1)).items == found.items[:1]
    with pytest.raises(InputError, match="nothing found"):
        find_items(source, "optical", FIELD, first - timedelta(seconds=1), first)


def test_temperature_keeps_the_scale_its_item_states() -> None:
    found = find_items(SourceOptions(catalog=str(FLANDERS), collection="landsat-c2-l2-st"), "thermal", FIELD, *YEAR)
    lst = found.items[0].assets["lst"]
    assert (lst.scale, lst.offset, lst.nodata) == (1.0, 0.0, 149.0)


def test_pinned_items_come_back_equal_and_are_written_alike() -> None:
    for collection, sensor in (("sentinel-2-l2a", "optical"), ("sentinel-1-grd", "radar")):
        found = find_items(SourceOptions(catalog=str(FLANDERS), collection=collection), sensor, FIELD, *YEAR)
        content = write_items(found.items)
        assert read_items(content) == found.items and write_items(read_items(content)) == content
    with pytest.raises(InputError, match="line 2"):
        read_items(content.split(b"\n")[0] + b"\n{}\n")


# Real items of public catalogues


@pytest.mark.parametrize(
    ("name", "collection", "sensor", "usable", "encoding"),
    [
        ("sentinel-2-l2a", "sentinel-2-l2a", "optical", 62, (1e-4, 0.0)),
        ("sentinel-2-c1-l2a", "sentinel-2-c1-l2a", "optical", 6, (1e-4, -0.1)),
        ("sentinel-s2-l2a-cogs", "sentinel-s2-l2a-cogs", "optical", 102, None),
        ("landsat-8-c2-l2", "landsat-8-c2-l2", "optical", 94, (2.75e-5, -0.2)),
        ("landsat-8-c2-l2", "landsat-8-c2-l2", "thermal", 63, (0.00341802, 149.0)),
        ("landsat-c2l2-sr", "landsat-c2l2-sr", "optical", 2, (2.75e-5, -0.2)),
        ("sentinel1-rtc-aws", "sentinel1-rtc-aws", "radar", 2, (1.0, 0.0)),
    ],
)
def test_real_items_of_public_catalogues_are_resolved(
    name: str, collection: str, sensor: str, usable: int, encoding: tuple[float, float] | None
) -> None:
    source = SourceOptions(catalog=str(DATA / "stac-items" / f"{name}.ndjson"), collection=collection)
    found = find_items(source, sensor, WORLD, *EVER)
    assert len(found.items) == usable
    encodings = {(a.scale, a.offset) for i in found.items for band, a in i.assets.items() if band != "mask"}
    assert encodings == ({encoding} if encoding else {(1e-4, 0.0), (1e-4, -0.1)})
    assert read_items(write_items(found.items)) == found.items


def test_published_checksums_become_identities_and_others_a_digest_of_the_item() -> None:
    with_sums = resolve(item("sentinel-2-c1-l2a"), earth_search(), "optical")
    assert with_sums.assets["blue"].identity.startswith("checksum:1220")
    without = resolve(item("sentinel-2-l2a"), earth_search(), "optical").assets["blue"].identity
    assert without.startswith("item:")
    signed = item("sentinel-2-l2a")
    for asset in signed.assets.values():
        asset.href += "?se=2030&sig=abc"
    pinned = resolve(signed, earth_search(sign="planetary-computer"), "optical").assets["blue"]
    assert pinned.identity == without and "sig=" not in pinned.href
    changed = resolve(item("sentinel-2-l2a", updated="2030-01-01"), earth_search(), "optical")
    assert changed.assets["blue"].identity != without


@pytest.mark.parametrize(
    ("changes", "stated", "offset"),
    [
        ({"earthsearch:boa_offset_applied": True}, -0.1, 0.0),
        ({"earthsearch:boa_offset_applied": False}, -0.1, -0.1),
        ({"earthsearch:boa_offset_applied": False}, None, -0.1),
        ({"earthsearch:boa_offset_applied": None}, -0.1, -0.1),
        ({"earthsearch:boa_offset_applied": None}, 0, 0.0),
        ({"earthsearch:boa_offset_applied": None}, None, -0.1),
        ({"earthsearch:boa_offset_applied": None, "s2:processing_baseline": "04.00"}, None, -0.1),
        ({"earthsearch:boa_offset_applied": None, "s2:processing_baseline": "03.01"}, None, 0.0),
        ({"earthsearch:boa_offset_applied": None, "s2:processing_baseline": "02.xx"}, None, 0.0),
        ({"earthsearch:boa_offset_applied": None, "s2:processing_baseline": None}, None, -0.1),
        ({"earthsearch:boa_offset_applied": None, "sentinel:boa_offset_applied": True}, None, 0.0),
    ],
)
def test_the_sentinel_2_offset_follows_the_items_own_metadata(
    changes: dict[str, Any], stated: float | None, offset: float
) -> None:
    scene = item("sentinel-2-l2a", "S2A_13TDE_20231008_0", **changes)
    for asset in scene.assets.values():
        for band in asset.extra_fields.get("raster:bands", ()):
            band.pop("offset", None)
            band.update({} if stated is None else {"offset": stated})
    assert {a.offset for b, a in resolve(scene, earth_search(), "optical").assets.items() if b != "mask"} == {offset}


def test_an_offset_that_cannot_be_told_or_cannot_be_is_refused() -> None:
    odd = next(d for d in documents("sentinel2") if d["id"] == "S2A_T34LBQ_20220401T090142_L2A")
    for asset in odd["assets"].values():
        asset["href"] = "https://example.org/B02.jp2"
    with pytest.raises(InputError, match=r"offset -0\.7.*0 or -0\.1"):
        resolve(pystac.Item.from_dict(odd), earth_search(), "optical")
    dumb = item("sentinel-s2-l2a-cogs", **{"sentinel:product_id": None})
    with pytest.raises(InputError, match="baseline None"):
        resolve(dumb, earth_search(), "optical")


def test_landsat_7_is_not_read_with_the_band_numbers_of_landsat_8() -> None:
    scene = of_satellite(item("landsat-8-c2-l2"), "LE07", "landsat-7")
    scene.properties["landsat:scene_id"] = "LE70440342016243LGN01"
    for asset in scene.assets.values():  # Landsat 8's words for its bands
        asset.extra_fields.pop("eo:bands", None)
    pinned = resolve(scene, earth_search(), "optical")
    assert pinned.assets["blue"].href.endswith("SR_B1.TIF") and pinned.assets["swir1"].href.endswith("SR_B5.TIF")


def test_modis_temperature_is_resolved_without_a_mask() -> None:
    scene = pystac.Item("MOD11A2.A2018001.h18v03.061", None, [3, 50, 4, 51], None, {
        "platform": "terra", "start_datetime": "2018-01-01T00:00:00Z", "end_datetime": "2018-01-08T23:59:59Z",
    })  # fmt: skip
    scene.add_asset("LST_Day_1km", pystac.Asset("https://example.org/LST_Day_1km.tif"))
    pinned = resolve(scene, SourceOptions(catalog="https://example.org", collection="modis-11A2-061"), "thermal")
    lst = pinned.assets["lst"]
    assert (lst.scale, lst.offset, lst.nodata, pinned.mask_kind) == (0.02, 0.0, 0.0, None)
    assert pinned.datetime == datetime(2018, 1, 1, tzinfo=UTC) and pinned.footprint["type"] == "Polygon"


def test_asset_names_can_be_overridden() -> None:
    scene = item("sentinel-2-l2a", "S2A_13TDE")
    scene.assets["b11"] = scene.assets.pop("swir16")
    pinned = resolve(scene, earth_search(assets={"swir1": "b11"}), "optical")
    assert pinned.assets["swir1"].href.endswith("B11.tif")


def test_stac_1_1_bands_are_read_as_raster_bands_are() -> None:
    scene = item("landsat-c2-l2", "LC08")
    for asset in scene.assets.values():
        bands = asset.extra_fields.pop("raster:bands", None)
        if bands:
            asset.extra_fields["bands"] = [{"nodata": 7, "raster:scale": 3e-5, "raster:offset": -0.3}]
    blue = resolve(scene, earth_search(), "optical").assets["blue"]
    assert (blue.scale, blue.offset, blue.nodata) == (3e-5, -0.3, 7.0)


@pytest.mark.parametrize(
    ("name", "start", "sensor", "words"),
    [
        ("sentinel1-grd", "S1A_IW", "radar", "RTC"),
        ("sentinel-1-grd", "", "radar", "RTC"),
        ("sentinel1-slc", "", "radar", "RTC"),
        ("sentinel-2-l1c", "", "optical", "Level-1"),
        ("landsat-c2-l1", "", "optical", "Level-1"),
        ("landsat-8-c2-l2", "LC08_L2SR", "thermal", r"no asset for lst \(ST_B10\)"),
    ],
)
def test_products_that_are_not_what_is_needed_are_refused_with_the_remedy(
    name: str, start: str, sensor: str, words: str
) -> None:
    scene = item(name, start)
    with pytest.raises(InputError, match=words) as caught:
        resolve(scene, earth_search(), sensor)
    assert scene.id in str(caught.value) and caught.value.remedy


def test_radar_in_db_is_refused_and_a_geocoded_grd_is_not() -> None:
    scene = next(d for d in absolute_flanders() if d["collection"] == "sentinel-1-grd")
    source = SourceOptions(catalog=str(FLANDERS), collection="sentinel-1-grd")
    assert resolve(pystac.Item.from_dict(scene), source, "radar").assets["vv"].nodata is None
    scene["assets"]["vh"]["raster:bands"][0]["unit"] = "dB"
    with pytest.raises(InputError, match=r"unit 'dB'.*linear power"):
        resolve(pystac.Item.from_dict(scene), source, "radar")


def test_backscatter_is_no_covariance_whatever_its_assets_are_called() -> None:
    scene = next(d for d in absolute_flanders() if d["collection"] == "sentinel-1-grd")
    source = SourceOptions(catalog=str(FLANDERS), collection="sentinel-1-grd")
    renamed = {"c11": "vv", "c22": "vh", "c12_real": "vv", "c12_imag": "vh"}
    for kind in ("GRD", "RTC", None):
        scene["properties"]["sar:product_type"] = kind
        for options in ({}, {"assets": renamed}):
            with pytest.raises(InputError, match=r"no phase, so no C12.*inputs\.radar"):
                resolve(pystac.Item.from_dict(scene), source.model_copy(update=options), "c2")
