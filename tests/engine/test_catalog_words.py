"""Words of catalogues: satellites, baselines, levels, units and masks are recognised in every spelling, or refused."""

from __future__ import annotations

import re
from typing import Any

import pystac
import pytest

from engine.catalog import SourceOptions, deduplicate, find_items, resolve
from engine.catalog.masks import MASK_KINDS
from engine.catalog.product import baseline, baselines, level, polarisations, radar_type
from engine.catalog.resolution import resolve_explained
from engine.catalog.satellite import platform, satellite, spelled
from engine.errors import InputError
from engine.plan import Inputs
from engine.units import unit_word
from tests.engine.made_catalog import DATA, EVER, HERE, WORLD, documents, write_ndjson

BANDS = ("blue", "green", "red", "nir", "swir16")
SQUARE = {"type": "Polygon", "coordinates": [[[3, 50], [4, 50], [4, 51], [3, 51], [3, 50]]]}
MASKED = {"assets": {"mask": "quality"}}


def made(name: str = "scene", collection: str | None = None, **properties: Any) -> pystac.Item:
    """A Sentinel-2 scene that states scale and offset, with a mask titled by nothing."""
    p = {"datetime": "2024-05-01T10:00:00Z", **{key.replace("__", ":"): value for key, value in properties.items()}}
    scene = pystac.Item.from_dict({
        "type": "Feature", "stac_version": "1.0.0", "id": name, "properties": p, "links": [], "assets": {},
        "bbox": [3, 50, 4, 51], "geometry": None, **({"collection": collection} if collection else {}),
    }, migrate=False)  # fmt: skip
    stated = {"raster:bands": [{"scale": 1e-4, "offset": -0.1, "nodata": 0}]}
    for band in BANDS:
        scene.add_asset(band, pystac.Asset(f"https://example.org/{band}.tif", extra_fields=stated))
    return scene


def masked(key: str = "quality", href: str = "quality.tif", title: str | None = None, **fields: Any) -> pystac.Item:
    """``made`` with a quality layer."""
    scene = made(platform="sentinel-2a")
    extra = {name.replace("__", ":"): value for name, value in fields.items()}
    scene.add_asset(key, pystac.Asset(f"https://example.org/{href}", title, extra_fields=extra))
    return scene


def source(**options: Any) -> SourceOptions:
    return SourceOptions(catalog="https://example.org/v1", collection="any", **options)


# Satellites


@pytest.mark.parametrize(
    ("name", "spellings"),
    [
        ("sentinel-2a", "Sentinel-2A SENTINEL-2A sentinel2a S2A S-2A SENTINEL_2A_MSI Sentinel2A"),
        ("sentinel-2b", "Sentinel-2B s2b SENTINEL2B_MSI"),
        ("sentinel-2", "SENTINEL-2 Sentinel2 S2 sentinel_2"),
        ("sentinel-1a", "S1A Sentinel-1A SENTINEL1A sentinel_1a_sar"),
        ("sentinel-1", "SENTINEL-1 S1 sentinel1"),
        ("landsat-8", "LANDSAT_8 Landsat8 L8 LC08 LC8 landsat-8 LANDSAT-8-OLI LO08"),
        ("landsat-9", "LANDSAT_9 LC09 L9"),
        ("landsat-7", "LE07 LANDSAT_7 landsat-7-etm+ L7"),
        ("landsat-5", "LT05 LANDSAT_5 Landsat5TM"),
        ("landsat", "landsat-oli LANDSAT Landsat-8/9"),
        ("terra", "Terra TERRA EOS-AM1 terra-modis"),
        ("aqua", "Aqua EOS_PM1"),
        ("", "planetscope GF-6 SPOT-7 L s 2a unknown kompsat-2 LX08"),
    ],
)
def test_a_satellite_is_the_same_in_every_spelling(name: str, spellings: str) -> None:
    for text in spellings.split():
        assert spelled(text) == name, text
    assert spelled("Sentinel 2B MSI") == "sentinel-2b" and spelled("Copernicus Sentinel-2A") == "sentinel-2a"


@pytest.mark.parametrize(
    ("item", "name", "by"),
    [
        (made(platform="SENTINEL-2", s2__product_uri="S2B_MSIL2A_20240501T1_N0510_R1_T31UFS_20240501T2"),
         "sentinel-2b", "name S2B_MSIL2A"),
        (made("S2B_31UFS_20240501_0_L2A"), "sentinel-2b", "name S2B_31UFS"),
        (made("x", constellation="Sentinel 2", sat__platform_international_designator="2015-028A"),
         "sentinel-2a", "sat:platform_international_designator"),
        (made(constellation="sentinel-2"), "sentinel-2", "constellation"),
        (made(eo__platform="LANDSAT_8"), "landsat-8", "eo:platform"),
        (made(platformShortName="SENTINEL-2", platformSerialIdentifier="A"), "sentinel-2a", "platformShortName"),
        (made(landsat__scene_id="LC80330322023281LGN00", platform="landsat-oli"), "landsat-8", "name LC8033"),
        (made("HLS.S30.T31UFS.2024122T105031.v2.0"), "sentinel-2", "name HLS.S30"),
        (made("HLS.L30.T31UFS.2024122T105031.v2.0", platform="landsat-9"), "landsat-9", "platform"),
        (made("urn:eop:VITO:TERRASCOPE_S2_TOC_V2:S2A_20240501T105619_31UFS_TOC_V210"), "sentinel-2a", "name urn"),
        (made(s2__tile="31UFS"), "sentinel-2", "properties s2:"),
        (made(instruments=["MSI"]), "sentinel-2", "instruments"),
        (made(collection="ga_s2am_ard_3"), "sentinel-2a", "collection"),
        (made(collection="sentinel-2-l2a"), "sentinel-2", "collection"),
        (made("MOD11A2.A2018001.h18v03.061", platform="terra,aqua"), "terra", "name MOD11A2"),
        (made("S1_field_7", platform="landsat-8"), "landsat-8", "platform"),
        (made("S2_field_7"), "sentinel-2", "name S2_field_7"),
        (made("LC1_x", platform="sentinel-2a"), "sentinel-2a", "platform"),
        (made("LE07_L2SP_044033_20210329"), "landsat-7", "name LE07"),
        (made(platform="Gaofen 6"), "gaofen-6", "platform"),
    ],
)  # fmt: skip
def test_the_better_witness_tells_the_satellite(item: pystac.Item, name: str, by: str) -> None:
    found = satellite(item)
    assert (found.name, platform(item)) == (name, name) and found.by.startswith(by) and not found.quarrels
    assert found.known == (name != "gaofen-6")


def test_an_item_that_names_two_kinds_of_satellite_is_refused_and_sisters_are_told() -> None:
    torn = masked(href="SCL.tif")
    torn.properties["landsat:scene_id"] = "LC80330322023281LGN00"
    with pytest.raises(InputError, match=r"name LC8.*landsat-8, but platform 'sentinel-2a' says sentinel-2a.*exclude"):
        resolve(torn, source(**MASKED), "optical")
    name = "S2B_MSIL2A_20240501T105031_N0510_R051_T31UFS_20240501T150000"
    assert satellite(made(platform="sentinel-2a", s2__product_uri=name)).against == (
        ("sentinel-2a", "platform 'sentinel-2a'"),
    )


def test_a_satellite_that_nothing_tells_lends_no_scale_and_the_known_are_named() -> None:
    for properties in ({}, {"platform": "constellr-1"}):
        scene = masked("scl", "SCL.tif")
        scene.properties = {"datetime": "2024-05-01T10:00:00Z", **properties}
        assert resolve(scene, source(), "optical").mask_kind == "scl"  # its encoding is stated
        for asset in scene.assets.values():
            asset.extra_fields = {}
        pinned, told = resolve_explained(scene, source(), "optical")
        assert pinned.assets["blue"].scale is None  # the file's own header may yet tell
        assert re.search(r"as its file's header says.*nothing stated.*sentinel-2a to 2d, landsat-4 to 9", told)


@HERE
@pytest.mark.parametrize("path", sorted((DATA / "stac-items").glob("*.ndjson")), ids=lambda path: path.stem)
def test_real_items_are_of_the_satellite_that_they_state(path: Any) -> None:
    for document in documents(path.stem):
        scene = pystac.Item.from_dict(document, migrate=False)
        found = satellite(scene)
        said = re.sub(r"[ _]", "-", str(document["properties"].get("platform") or scene.id).lower())
        assert found.known and not found.against and len(baselines(scene)) < 2
        assert found.name == said or said.startswith(("lc", "le", "s2"))


# Baselines, levels, radar, units


@pytest.mark.parametrize(
    ("stated", "number"),
    [("5.09", "05.09"), ("05.09", "05.09"), ("N0509", "05.09"), ("V05.09", "05.09"), ("N05.09", "05.09"),
     ("0509", "05.09"), (5.09, "05.09"), (5.1, "05.10"), ("5.1", "05.10"), (4, "04.00"), ("02.xx", "02.xx"),
     ("N9999", None), ("99.99", None), ("unknown", None), ("", None), (None, None)],
)  # fmt: skip
def test_a_baseline_is_the_same_in_every_spelling(stated: object, number: str | None) -> None:
    assert baseline(made(platform="S2A", s2__processing_baseline=stated)) == number


def test_a_baseline_is_read_off_names_where_it_is_not_stated() -> None:
    name = "S2B_MSIL2A_20240501T105031_N0510_R051_T31UFS_20240501T150000"
    assert baseline(made(name)) == baseline(made(s2__product_uri=f"{name}.SAFE")) == "05.10"
    assert baseline(made(s2__datatake_id="GS2A_20190101T000001_018417_N02.12")) == "02.12"
    assert baseline(made(processing__version="05.11")) == "05.11"
    assert baseline(made(processing__version="3.2.1")) is None and baseline(made(processing__version="2.1")) is None
    assert list(baselines(made(name, s2__processing_baseline="3.01"))) == ["03.01", "05.10"]


def test_a_scene_in_unfamiliar_spelling_keeps_its_offset_and_its_place_among_duplicates() -> None:
    twins = []
    for number, (said, version) in enumerate([("SENTINEL-2", "N0301"), ("S2A", "5.1"), ("Sentinel 2A MSI", "V05.10")]):
        scene = made(f"scene-{number}", platform=said, s2__processing_baseline=version, s2__mgrs_tile="31UFS",
                     s2__datatake_id="GS2A_20240501T105031_046269_N05.10")  # fmt: skip
        scene.add_asset("scl", pystac.Asset("https://example.org/SCL.tif"))
        for band in BANDS:
            scene.assets[band].extra_fields = {}
        scene.geometry = SQUARE
        offset = resolve(scene, source(), "optical").assets["blue"].offset
        assert offset == (0.0 if number == 0 else -0.1)
        twins.append(scene)
    kept, dropped = deduplicate(twins[1:])
    assert [scene.id for scene in kept] == ["scene-2"] and len(dropped) == 1


@pytest.mark.parametrize(
    ("properties", "number"),
    [({"s2__product_type": "S2MSI1C"}, 1), ({"product__type": "S2MSI2A"}, 2), ({"processing__level": "Level-2A"}, 2),
     ({"processing__level": "L1C"}, 1), ({"landsat__correction": "L1TP"}, 1), ({"landsat__correction": "l2sp"}, 2),
     ({"landsat__processing_level": "L2SR"}, 2), ({"processing__level": "LEVEL1C"}, 1), ({}, None),
     ({"s2__product_type": "S2MSI2A", "processing__level": "L1"}, 2), ({"processing__level": "ARD"}, None)],
)  # fmt: skip
def test_a_level_is_the_same_in_every_spelling(properties: dict[str, str], number: int | None) -> None:
    scene = made(platform="L8" if any(key.startswith("landsat") for key in properties) else "S2A", **properties)
    assert level(scene) == number
    if number == 1:
        with pytest.raises(InputError, match="Level-1"):
            resolve(scene, source(mask="none"), "optical")


def test_radar_products_and_polarisations_are_the_same_in_every_spelling() -> None:
    for text in ("GRD", "grd", "IW_GRDH_1S", "GRDH"):
        assert radar_type(made(sar__product_type=text)) == "GRD"
    assert (
        radar_type(made("S1A_IW_GRDH_1SDV_20240501T1_x")) == "GRD"
        and radar_type(made(sar__product_type="rtc")) == "RTC"
    )
    for told in (["VV", "VH"], ["vv", "vh"], "VV VH", "VV+VH", "VV&VH", "DV", "1SDV"):
        assert polarisations(made(sar__polarizations=told)) == {"VV", "VH"}, told
    assert polarisations(made(s1__product_identifier="S1A_IW_GRDH_1SSV_20240501T1_2")) == {"VV"}
    assert polarisations(made()) is None


@pytest.mark.parametrize(
    ("word", "spellings"),
    [("decibel", ("dB", "DB", "decibel", "Decibels", " decibels ", "sigma0 dB", "gamma0_db", "dB (10*log10)")),
     ("celsius", ("Degrees Celsius", "°C", "degC", "celsius", "degree_Celsius", "C")),
     ("kelvin", ("K", "kelvin", "Kelvins", "degrees Kelvin")),
     ("linear power", ("linear power", "Linear", "power", "gamma0")), ("", ("1", "", "unitless")),
     ("bit index", ("bit index",))],
)  # fmt: skip
def test_a_unit_is_the_same_in_every_spelling(word: str, spellings: tuple[str, ...]) -> None:
    assert {unit_word(text) for text in spellings} == {word}


@pytest.mark.parametrize("unit", ["dB", "Decibels", "decibel", "sigma0 dB"])
def test_radar_in_decibels_is_refused_in_every_spelling(unit: str) -> None:
    scene = made("S1A_made", sar__product_type="RTC")
    for band in ("VV", "VH"):
        extra = {"raster:bands": [{"unit": unit}]}
        scene.add_asset(band, pystac.Asset(f"https://example.org/{band}.tif", extra_fields=extra))
    with pytest.raises(InputError, match="linear power"):
        resolve(scene, source(), "radar")


def test_temperature_in_degrees_celsius_is_refused_in_every_spelling() -> None:
    for unit in ("Degrees Celsius", "degC", "°C", "celcius"):
        scene = made(platform="landsat-8")
        extra = {"raster:bands": [{"unit": unit, "scale": 0.1}]}
        scene.add_asset("lwir11", pystac.Asset("https://example.org/st.tif", extra_fields=extra))
        with pytest.raises(InputError, match="kelvin"):
            resolve(scene, source(mask="none"), "thermal")


# Masks

SCL_CLASSES = [{"value": v, "name": n} for v, n in ((0, "no_data"), (3, "cloud_shadows"), (4, "vegetation"),
               (8, "cloud_medium_probability"), (9, "cloud_high_probability"), (10, "thin_cirrus"))]  # fmt: skip
FMASK_CLASSES = [{"value": v, "description": n} for v, n in ((0, "Clear land"), (1, "Clear water"), (2, "Cloud shadow"),
                 (3, "Snow"), (4, "Cloud"), (255, "No observation"))]  # fmt: skip
DEA_CLASSES = [{"value": v, "name": n} for v, n in ((0, "nodata"), (1, "valid"), (2, "cloud"), (3, "shadow"),
               (4, "snow"), (5, "water"))]  # fmt: skip


def bits(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "offset": offset, "length": 1} for offset, name in enumerate(names) if name]


HLS_BITS = bits("cirrus", "cloud", "adjacent_to_cloud", "cloud_shadow", "snow", "water")
C2_BITS = bits("fill", "dilated_cloud", "cirrus", "cloud", "cloud_shadow", "snow", "clear", "water")
C1_BITS = bits("fill", "clear", "water", "cloud_shadow", "snow", "cloud")


@pytest.mark.parametrize(
    ("asset", "kind", "by"),
    [
        (masked(href="S2A_T31UFS_SCL_20m.tif"), "scl", "file name"),
        (masked(title="Scene classfication map (SCL)"), "scl", "title"),
        (masked(classification__classes=SCL_CLASSES), "scl", "classes"),
        (masked(raster__bands=[{"classification:classes": SCL_CLASSES}]), "scl", "classes"),
        (masked(href="LC08_QA_PIXEL.TIF", title="Pixel Quality Assessment Band"), "qa_pixel", "file name"),
        (masked(classification__bitfields=C2_BITS), "qa_pixel", "classes"),
        (masked(href="LC08_sr_pixel_qa.tif"), "pixel_qa", "file name"),
        (masked(classification__bitfields=C1_BITS), "pixel_qa", "classes"),
        (masked(href="fmask.tif", classification__classes=FMASK_CLASSES), "fmask", "classes"),
        (masked(href="fmask.tif", classification__classes=DEA_CLASSES), "dea_fmask", "classes"),
        (masked(href="oa_fmask.tif"), "dea_fmask", "file name"),
        (masked(href="fmask.tif", bands=[{"classification:bitfields": HLS_BITS}]), "hls_fmask", "classes"),
        (masked(href="MSK_CLDPRB_20m.tif", title="Cloud Probabilities"), "cloud_probability", "file name and title"),
    ],
)
def test_a_mask_is_recognised_by_what_the_item_says_of_it(asset: pystac.Item, kind: str, by: str) -> None:
    pinned, told = resolve_explained(asset, source(**MASKED), "optical")
    assert pinned.mask_kind == kind and f"mask quality is {kind}, by its {by}" in told


@pytest.mark.parametrize(
    ("asset", "words"),
    [
        (masked(), "of a kind that nothing tells"),
        (masked(href="fmask.tif"), "a Fmask, which several products number differently"),
        (masked(href="SCL.tif", title="Cloud probability"), "file name says scl, but whose title says cloud_prob"),
        (
            masked(classification__classes=[{"value": 0, "name": "clear"}, {"value": 1, "name": "cloud"}]),
            "0 clear, 1 cl",
        ),
        (masked(classification__bitfields=bits("ddv", "cloud", "cloud_shadow", "adjacent")), "bit 0 ddv, bit 1 cloud"),
        (masked(href="MSK_CLDPRB.tif", raster__bands=[{"data_type": "float32"}]), "a mask of float32"),
    ],
)
def test_a_mask_that_cannot_be_recognised_is_refused_with_the_kinds_known(asset: pystac.Item, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        resolve(asset, source(**MASKED), "optical")
    assert all(kind in caught.value.expected for kind in MASK_KINDS)
    assert "inputs.optical.mask: none" in caught.value.remedy and "item scene, asset quality" in str(caught.value)


def test_the_user_says_what_a_mask_is_and_a_doubt_is_told() -> None:
    pinned, told = resolve_explained(masked(href="fmask.tif"), source(mask="fmask", **MASKED), "optical")
    assert pinned.mask_kind == "fmask" and "as inputs.optical.mask says" in told and "though" not in told
    doubted = masked(classification__bitfields=HLS_BITS)
    pinned, told = resolve_explained(doubted, source(mask="qa_pixel", **MASKED), "optical")
    assert pinned.mask_kind == "qa_pixel" and "though it looks like hls_fmask" in told


def test_without_a_mask_scenes_are_taken_only_if_the_user_says_so_and_it_is_told() -> None:
    scene = made(platform="sentinel-2a")
    with pytest.raises(InputError, match=r"no asset for mask \(scl\).*inputs\.optical\.mask: none"):
        resolve(scene, source(), "optical")
    pinned, told = resolve_explained(scene, source(mask="none"), "optical")
    assert pinned.mask_kind is None and "mask" not in pinned.assets
    assert "without a mask, as asked: clouds are taken for land" in told
    with pytest.raises(ValueError, match="mask under radar"):
        Inputs.model_validate({"radar": {"catalog": "a.ndjson", "collection": "c", "mask": "none"}})


def test_hls_and_australian_products_are_read_by_their_own_numbers() -> None:
    for name, keys in (("S30", ("B02", "B03", "B04", "B8A", "B11")), ("L30", ("B02", "B03", "B04", "B05", "B06"))):
        scene = made(f"HLS.{name}.T31UFS.2024122T105031.v2.0")
        scene.assets = {}
        for key in (*keys, "B01", "B09", "B10", "Fmask"):
            scene.add_asset(key, pystac.Asset(f"https://example.org/{scene.id}.{key}.tif"))
        pinned = resolve(scene, source(), "optical")
        assert pinned.mask_kind == "hls_fmask" and pinned.assets["nir"].href.endswith(f"{keys[3]}.tif")
        assert {(a.scale, a.offset, a.nodata) for b, a in pinned.assets.items() if b != "mask"} == {
            (1e-4, 0.0, -9999.0)
        }
        assert resolve(scene, source(bandpass="oli"), "optical").assets == pinned.assets
    scene = made("8a1f", "ga_s2bm_ard_3", platform="sentinel-2b")
    scene.assets = {}
    for key in ("blue", "green", "red", "nir_1", "nir_2", "swir_2"):
        scene.add_asset(f"nbart_{key}", pystac.Asset(f"https://example.org/nbart_{key}.tif"))
    scene.add_asset("oa_fmask", pystac.Asset("https://example.org/oa_fmask.tif"))
    pinned = resolve(scene, source(), "optical")
    assert pinned.mask_kind == "dea_fmask" and pinned.assets["blue"].offset == 0.0


# What a product never had


@HERE
def test_scenes_without_surface_temperature_are_one_line_of_the_audit_and_no_problem() -> None:
    catalog = SourceOptions(catalog=str(DATA / "stac-items" / "landsat-8-c2-l2.ndjson"), collection="landsat-8-c2-l2")
    found = find_items(catalog, "thermal", WORLD, *EVER)
    assert len(found.items) == 63 and found.problems == ()
    (line,) = [line for line in found.audit if "made without it" in line]
    assert line.startswith("31 items were not used for thermal") and "LC08_L2SR" in line and "and 28 more" in line


def test_radar_of_one_polarisation_is_no_damage_and_a_lost_one_is(tmp_path: Any) -> None:
    lines = []
    for number, (told, keys) in enumerate(
        [(["VV", "VH"], ("vv", "vh")), (["VV"], ("vv",)), (None, ("vv",)), (["VV", "VH"], ("vv",))]
    ):
        scene = made(f"S1A_{number}", "sentinel-1-rtc", sar__product_type="RTC", sar__polarizations=told)
        scene.geometry = SQUARE
        scene.assets = {key: pystac.Asset(str(tmp_path / f"{number}-{key}.tif")) for key in keys}
        for asset in scene.assets.values():
            (tmp_path / asset.href).write_bytes(b"")
        lines.append(scene.to_dict(include_self_link=False))
    catalog = write_ndjson(tmp_path / "items.ndjson", lines).model_copy(update={"collection": "sentinel-1-rtc"})
    found = find_items(catalog, "radar", WORLD, *EVER)
    assert [item.id for item in found.items] == ["S1A_0"]
    assert len(found.problems) == 1 and "S1A_3" in found.problems[0] and "no asset for vh" in found.problems[0]
    assert any(line.startswith("2 items were not used for radar") for line in found.audit)
