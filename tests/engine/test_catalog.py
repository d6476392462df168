"""Search, de-duplication, resolution and pinning: real items, a real STAC API, HTTP and S3 servers on loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pystac
import pytest
import shapely
from pydantic import ValidationError

from engine.catalog import (
    SourceOptions,
    deduplicate,
    find_items,
    identify,
    links,
    query,
    read_items,
    resolve,
    search,
    write_items,
)
from engine.catalog.links import Trust, absolute, check_link
from engine.errors import InfrastructureError, InputError
from engine.types import Asset
from tests.servers.process import free_port
from tests.servers.s3 import S3
from tests.servers.stac import read_items as stac_items
from tests.servers.stac import stac_api

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
FLANDERS = DATA / "flanders-2018" / "items.ndjson"
FIELD = shapely.box(3.0193, 50.8131, 3.0284, 50.8188)
WORLD = shapely.box(-180, -90, 180, 90)
YEAR = (datetime(2018, 1, 1), datetime(2018, 12, 1))
EVER = (datetime(1970, 1, 1), datetime(2040, 1, 1))

pytestmark = pytest.mark.skipif(not FLANDERS.is_file(), reason="the shared data are not here")


def documents(name: str) -> list[dict[str, Any]]:
    path = FLANDERS if name == "flanders" else DATA / "stac-items" / f"{name}.ndjson"
    return [json.loads(line) for line in path.read_text().splitlines()]


def item(name: str, start: str = "", **properties: Any) -> pystac.Item:
    """The first real item of a file whose id begins so, some of its properties changed (None removes one)."""
    document = next(d for d in documents(name) if d["id"].startswith(start))
    changed = {**document["properties"], **properties}
    document["properties"] = {key: value for key, value in changed.items() if value is not None or key == "datetime"}
    return pystac.Item.from_dict(document, migrate=False)


def earth_search(**options: Any) -> SourceOptions:
    return SourceOptions(catalog="https://earth-search.example/v1", collection="sentinel-2-l2a", **options)


def copy_with(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A deep copy with top-level fields or (``p_`` in front) properties changed."""
    copy = json.loads(json.dumps(document))
    for key, value in changes.items():
        if key.startswith("p_"):
            copy["properties"][key[2:].replace("__", ":")] = value
        else:
            copy[key] = value
    return copy


def write_ndjson(path: Path, items: list[dict[str, Any]]) -> SourceOptions:
    path.write_text("".join(json.dumps(document) + "\n" for document in items))
    return SourceOptions(catalog=str(path), collection="sentinel-2-l2a")


def absolute_flanders() -> list[dict[str, Any]]:
    """Flanders' items with absolute paths, so that they can be catalogued from elsewhere."""
    found = documents("flanders")
    for document in found:
        for asset in document["assets"].values():
            asset["href"] = str((FLANDERS.parent / asset["href"]).resolve())
    return found


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
    scene = item("landsat-8-c2-l2", platform="landsat-7")
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


# Duplicates


def test_split_scenes_of_real_catalogues_are_all_kept() -> None:
    for name in ("sentinel-s2-l2a-cogs", "sentinel-2-l2a", "landsat-8-c2-l2", "landsat-c2-l2"):
        items = [pystac.Item.from_dict(d) for d in documents(name)]
        assert deduplicate(items) == (items, ())
    # One of these lies to 99.98 per cent within the other, yet holds other lines of pixels.
    pieces = [item("sentinel-s2-l2a-cogs", f"S2B_1CDH_20190104_{n}_L2A") for n in (0, 1)]
    assert deduplicate(pieces) == (pieces, ())


def test_the_newest_baseline_of_a_datatake_and_tile_wins() -> None:
    old = documents("sentinel-2-l2a")[-1]
    assert old["properties"]["s2:processing_baseline"] == "02.12"
    new = copy_with(
        old, id="reprocessed", p_s2__processing_baseline="05.00",
        p_s2__datatake_id=old["properties"]["s2:datatake_id"].replace("N02.12", "N05.00"),
    )  # fmt: skip
    other_tile = copy_with(old, id="other-tile", p_s2__mgrs_tile="01ABC")
    other_take = copy_with(old, id="other-take", p_s2__datatake_id="GS2A_20190301T000001_018417_N02.12")
    items = [pystac.Item.from_dict(d) for d in (new, old, other_tile, other_take)]
    kept, dropped = deduplicate(items)
    assert [i.id for i in kept] == ["reprocessed", "other-tile", "other-take"]
    assert len(dropped) == 1 and old["id"] in dropped[0] and "05.00 kept, 02.12 dropped" in dropped[0]


def test_one_baseline_made_twice_is_kept_once_and_an_old_piece_not_made_anew_stays() -> None:
    old = documents("sentinel-2-l2a")[-1]
    remade = copy_with(old, id="remade", p_s2__generation_time="2031-01-01T00:00:00.0Z")
    kept, _ = deduplicate([pystac.Item.from_dict(d) for d in (old, remade)])
    assert [i.id for i in kept] == ["remade"]
    west, south, east, north = shapely.geometry.shape(old["geometry"]).bounds
    half = shapely.geometry.mapping(shapely.box(west, south, (west + east) / 2, north))
    partly = copy_with(old, id="half", geometry=half, p_s2__processing_baseline="05.00")
    kept, dropped = deduplicate([pystac.Item.from_dict(d) for d in (old, partly)])
    assert [i.id for i in kept] == [old["id"], "half"] and not dropped


def test_planetary_computer_pieces_are_told_apart_by_their_datastrip() -> None:
    first = documents("sentinel-2-l2a")[-1]
    strip = first["properties"]["s2:datastrip_id"]
    start = strip.split("_S")[-1][:15]
    second = copy_with(first, id="second", p_s2__datastrip_id=strip.replace(f"_S{start}", "_S20190101T001500"))
    items = [pystac.Item.from_dict(d) for d in (first, second)]
    assert deduplicate(items) == (items, ())


def test_the_same_id_twice_and_a_landsat_scene_made_anew_are_kept_once() -> None:
    scene = documents("landsat-c2-l2")[0]
    newer = copy_with(scene, p_updated="2031-01-01T00:00:00Z")
    real_time = copy_with(scene, id="real-time", **{"p_landsat__collection_category": "RT"})
    kept, dropped = deduplicate([pystac.Item.from_dict(d) for d in (scene, newer, real_time)])
    assert [i.properties.get("updated") for i in kept] == ["2031-01-01T00:00:00Z"]
    assert len(dropped) == 2


def test_a_cloudy_new_version_is_not_replaced_by_its_clear_old_one(tmp_path: Path) -> None:
    old = next(d for d in absolute_flanders() if d["collection"] == "sentinel-2-l2a")
    taken = {"p_s2__datatake_id": "GS2A_20170804T105031_011054_N02.05", "p_eo__cloud_cover": 5.0}
    old = copy_with(old, **taken)
    new = copy_with(old, id="new", p_s2__processing_baseline="05.00", p_eo__cloud_cover=95.0)
    clear = copy_with(old, id="clear", p_datetime="2017-09-01T10:00:00Z", p_s2__datatake_id="GS2A_20170901T100000_1")
    source = write_ndjson(tmp_path / "items.ndjson", [old, new, clear]).model_copy(update={"max_cloud": 90.0})
    found = find_items(source, "optical", FIELD, datetime(2017, 1, 1), datetime(2018, 1, 1))
    assert [i.id for i in found.items] == ["clear"]
    assert any("1 duplicates dropped" in line for line in found.audit)


# Catalogues of every kind


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    """A real STAC API over Flanders' items, their assets behind this machine's own http."""
    with stac_api(stac_items(FLANDERS, base="http://127.0.0.1:1/scenes")) as url:
        yield url


def test_a_real_api_gives_the_same_items_as_the_file(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "PAGE_ITEMS", 17)  # so that paging is used
    source = SourceOptions(catalog=api, collection="sentinel-2-l2a", max_cloud=60)
    from_api = find_items(source, "optical", FIELD, *YEAR)
    from_file = find_items(source.model_copy(update={"catalog": str(FLANDERS)}), "optical", FIELD, *YEAR)
    assert [i.id for i in from_api.items] == [i.id for i in from_file.items]
    assert all(a.identity.startswith("item:") for i in from_api.items for a in i.assets.values())
    assert find_items(source, "optical", FIELD, *YEAR) == from_api


def test_an_api_that_gives_nothing_says_which_part_of_the_question_emptied_it(api: str) -> None:
    source = SourceOptions(catalog=api, collection="sentinel-2-l2a", max_cloud=60)
    with pytest.raises(InputError) as caught:
        find_items(source, "optical", shapely.box(20, 40, 21, 41), *YEAR)
    text = str(caught.value)
    for words in (api, "sentinel-2-l2a", "[20.0, 40.0, 21.0, 41.0]", "2018-01-01", "at most 60 % cloud",
                  "items in the collection: some", "in the box at any time: none", "anywhere: some"):  # fmt: skip
        assert words in text
    with pytest.raises(InputError, match=r"in the box at any time: some.*in these dates anywhere: none"):
        find_items(source, "optical", FIELD, datetime(2030, 1, 1), datetime(2031, 1, 1))


def test_a_wrong_collection_of_an_api_is_answered_with_the_right_ones(api: str) -> None:
    with pytest.raises(InputError, match=r"no collection 'sentinel-2'.*sentinel-1-grd, sentinel-2-l2a"):
        find_items(SourceOptions(catalog=api, collection="sentinel-2"), "optical", FIELD, *YEAR)


def test_an_empty_file_search_counts_what_each_filter_left() -> None:
    source = SourceOptions(catalog=str(FLANDERS), collection="sentinel-2-l2a", max_cloud=0)
    with pytest.raises(InputError) as caught:
        find_items(source, "optical", FIELD, datetime(2017, 11, 1), datetime(2017, 11, 2))
    assert "items in the file: 358, of collection sentinel-2-l2a: 118, from 2017-11-01 to before 2017-11-02: 0" in str(
        caught.value
    )
    with pytest.raises(InputError, match="of collection sentinel-3: 0"):
        find_items(source.model_copy(update={"collection": "sentinel-3"}), "optical", FIELD, *YEAR)


def test_a_static_catalogue_is_walked(tmp_path: Path) -> None:
    root = pystac.Catalog("root", "test")
    extent = pystac.Extent(pystac.SpatialExtent([[-180, -90, 180, 90]]), pystac.TemporalExtent([[EVER[0], None]]))
    collections = {
        name: pystac.Collection(name, "test", extent)
        for name in ("sentinel-2-l2a", "sentinel-1-grd", "landsat-c2-l2-st")
    }
    for collection in collections.values():
        root.add_child(collection)
    for document in absolute_flanders():
        if document["collection"] in collections:
            document["links"] = []
            collections[document["collection"]].add_item(pystac.Item.from_dict(document))
    root.normalize_and_save(str(tmp_path), pystac.CatalogType.SELF_CONTAINED)
    source = SourceOptions(catalog=str(tmp_path / "catalog.json"), collection="landsat-c2-l2-st")
    found = find_items(source, "thermal", FIELD, *YEAR)
    direct = find_items(source.model_copy(update={"catalog": str(FLANDERS)}), "thermal", FIELD, *YEAR)
    assert found.items == direct.items
    assert "items in the catalogue: 55" in found.audit[0], "other collections were not read"


def test_one_bad_item_does_not_stop_the_others(tmp_path: Path) -> None:
    good, no_swir, gone, broken, no_id, remote_file = [
        d for d in absolute_flanders() if d["collection"] == "sentinel-2-l2a"
    ][:6]
    del no_swir["assets"]["swir16"]
    gone["assets"]["scl"]["href"] = "nowhere/scl.tif"
    broken["assets"]["blue"]["raster:bands"][0]["scale"] = "many"
    del no_id["id"]
    remote_file["assets"]["red"]["href"] = "http://example.org/red.tif"
    source = write_ndjson(tmp_path / "items.ndjson", [good, no_swir, gone, broken, no_id, remote_file])
    found = find_items(source, "optical", FIELD, datetime(2017, 1, 1), datetime(2018, 1, 1))
    assert [i.id for i in found.items] == [good["id"]]
    told = "\n".join(found.problems)
    assert f"{no_swir['id']}: no asset for swir1 (swir16)" in told
    assert f"{gone['id']}: not found: mask ({tmp_path}/nowhere/scl.tif)" in told
    assert f"{broken['id']}, asset of blue: scale 'many'" in told
    assert "http link without TLS" in told and "no valid STAC item" in told


# Servers that fail, and catalogues that lie


class Handler(BaseHTTPRequestHandler):
    """Serves the pages it is given; ``redirect:URL`` redirects and a number is a status."""

    def __init__(self, pages: dict[str, str | int], *args: Any) -> None:
        self.pages = pages
        super().__init__(*args)

    def do_GET(self) -> None:
        page = self.pages.get(self.path, 404)
        redirect = isinstance(page, str) and page.startswith("redirect:")
        self.send_response(302 if redirect else page if isinstance(page, int) else 200)
        if redirect:
            self.send_header("Location", str(page).removeprefix("redirect:"))
        body = page.encode() if isinstance(page, str) and not redirect else b""
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, str | int]], str]]:
    servers: list[ThreadingHTTPServer] = []

    def start(pages: dict[str, str | int]) -> str:
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, pages)))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("pages", "path", "words"),
    [
        ({}, "/catalog.json", "HTTP 404"),
        ({"/catalog.json": "<html>hello</html>"}, "/catalog.json", "not JSON"),
        ({"/catalog.json": "[]"}, "/catalog.json", "no JSON object"),
        ({"/catalog.json": '{"type": "Feature"}'}, "/catalog.json", "type 'Feature'"),
        ({"/items.ndjson": '{"type": "Feature"}\nnonsense\n'}, "/items.ndjson", "items.ndjson:2"),
        ({"/catalog.json": "redirect:http://example.org/catalog.json"}, "/catalog.json", "without TLS"),
        ({"/catalog.json": "redirect:file:///etc/hostname"}, "/catalog.json", "catalog.json"),
        (
            {"/catalog.json": '{"type": "Catalog", "links": [{"rel": "item", "href": "file:///etc/hostname"}]}'},
            "/catalog.json",
            "points at a local file",
        ),
        (
            {"/": '{"type": "Catalog", "id": "a", "stac_version": "1.0.0", "description": "", "conformsTo": '
             '["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"], '
             '"links": [{"rel": "search", "type": "application/geo+json", '
             '"method": "POST", "href": "http://example.org/search"}]}'},
            "/",
            "without TLS",
        ),
    ],
)  # fmt: skip
def test_a_remote_catalogue_that_is_none_or_lies_is_refused(
    serve: Callable[[dict[str, str | int]], str], pages: dict[str, str | int], path: str, words: str
) -> None:
    source = SourceOptions(catalog=serve(pages) + path, collection="sentinel-2-l2a")
    with pytest.raises(InputError, match=words):
        search(source, "optical", FIELD, *YEAR)


def test_a_remote_catalogue_may_not_name_local_files(serve: Callable[[dict[str, str | int]], str]) -> None:
    scene = next(d for d in absolute_flanders() if d["collection"] == "sentinel-2-l2a")
    for key, href in (("blue", "file:///etc/hostname"), ("red", "/etc/hostname")):
        lying = json.loads(json.dumps(scene))
        for asset in lying["assets"].values():
            asset["href"] = "data.tif"
        lying["assets"][key]["href"] = href
        source = SourceOptions(
            catalog=serve({"/items.ndjson": json.dumps(lying)}) + "/items.ndjson", collection="sentinel-2-l2a"
        )
        (found,) = search(source, "optical", FIELD, datetime(2017, 1, 1), datetime(2018, 1, 1))
        if key == "red":  # a path on the server, not on this machine
            assert resolve(found, source, "optical").assets["red"].href.startswith("http://127.0.0.1")
            continue
        with pytest.raises(InputError, match=r"asset blue: a remote catalogue points at a local file: /etc/hostname"):
            resolve(found, source, "optical")


def test_a_service_that_keeps_failing_is_the_services_fault(
    serve: Callable[[dict[str, str | int]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "RETRY", links.RETRY.new(total=1))
    source = SourceOptions(catalog=serve({"/catalog.json": 503}) + "/catalog.json", collection="a")
    with pytest.raises(InfrastructureError, match="HTTP 503"):
        search(source, "optical", FIELD, *YEAR)


def test_nobody_listening_is_told_in_seconds() -> None:
    began = time.perf_counter()
    with pytest.raises(InputError, match="cannot be reached"):
        search(SourceOptions(catalog=f"http://127.0.0.1:{free_port()}/", collection="a"), "optical", FIELD, *YEAR)
    with pytest.raises(InputError, match="no such file"):
        search(SourceOptions(catalog="nowhere/items.ndjson", collection="a"), "optical", FIELD, *YEAR)
    assert time.perf_counter() - began < 60, "not after minutes of retries"


@pytest.mark.parametrize(
    ("href", "catalog", "hosts", "words"),
    [
        ("https://a.example/x.tif", "https://stac.example", None, None),
        ("s3://bucket/x.tif", "https://stac.example", None, None),
        ("s3://bucket/x.tif", "s3://bucket/items.ndjson", None, None),
        ("/data/x.tif", "/data/items.ndjson", None, None),
        ("http://127.0.0.1:9/x.tif", "/data/items.ndjson", None, None),
        ("https://x.blob.core.windows.net/y", "https://stac.example", ("*.blob.core.windows.net",), None),
        ("https://stac.example/y", "https://stac.example", ("other.example",), None),
        ("https://a.example/x.tif", "https://stac.example", ("b.example",), "b.example"),
        ("s3://bucket/x.tif", "https://stac.example", ("b.example",), "link to bucket"),
        ("https://b.example@evil.example/x", "https://stac.example", ("b.example",), "evil.example"),
        ("http://a.example/x.tif", "https://stac.example", None, "without TLS"),
        ("http://127.0.0.1:9/x.tif", "https://stac.example", None, "points at this machine"),
        ("/data/x.tif", "s3://bucket/items.ndjson", None, "local file"),
        ("/data/x.tif", "http://127.0.0.1:9/", None, "local file"),
        ("ftp://a.example/x.tif", "https://stac.example", None, "scheme ftp"),
        ("/vsicurl/http://a.example/x.tif", "/data/items.ndjson", None, "virtual"),
        ("http://127.0.0.1\\@evil.example/x", "/data/items.ndjson", None, "backslash"),
    ],
)
def test_links_lead_only_where_they_may(
    href: str, catalog: str, hosts: tuple[str, ...] | None, words: str | None
) -> None:
    trust = Trust(catalog, hosts)
    if words is None:
        check_link(href, trust, "here")
        return
    with pytest.raises(InputError, match=words) as caught:
        check_link(href, trust, "here")
    assert caught.value.place == "here" and caught.value.remedy


def test_relative_links_are_seen_from_their_document() -> None:
    assert absolute("b/x.tif", "/data/items.ndjson") == "/data/b/x.tif"
    assert absolute("../x.tif", "/data/a/items.ndjson") == "/data/x.tif"
    assert absolute("b/x.tif", "https://host/a/items.ndjson") == "https://host/a/b/x.tif"
    assert absolute("../x.tif", "s3://bucket/a/items.ndjson") == "s3://bucket/x.tif"
    assert absolute("https://host/x.tif", "/data/items.ndjson") == "https://host/x.tif"
    assert absolute("file:///data/a%20b.tif", "https://host/") == "/data/a b.tif"


@pytest.mark.parametrize(
    "options",
    [
        {"catalog": "http://stac.example/v1"},
        {"catalog": ""},
        {"collection": ""},
        {"max_cloud": 101},
        {"max_cloud": -1},
        {"assets": {"swir16": "swir1"}},
        {"sign": "http://signer.example/token"},
        {"sign": "somebody"},
        {"clouds": 10},
    ],
)
def test_wrong_source_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SourceOptions(**{"catalog": "https://stac.example", "collection": "sentinel-2-l2a", **options})


# Object storage


def test_a_catalogue_and_its_scenes_in_a_bucket_are_identified_by_etag(
    s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.env().items():
        monkeypatch.setenv(name, value)
    client = s3.client()
    scenes = [d for d in documents("flanders") if d["collection"] == "landsat-c2-l2-st"][:3]
    for document in scenes:
        for asset in document["assets"].values():
            client.put_object(Bucket=bucket, Key=f"flanders/{asset['href']}", Body=document["id"].encode())
    content = "".join(json.dumps(document) + "\n" for document in scenes)
    client.put_object(Bucket=bucket, Key="flanders/items.ndjson", Body=content.encode())
    source = SourceOptions(catalog=f"s3://{bucket}/flanders/items.ndjson", collection="landsat-c2-l2-st")
    period = (datetime(2017, 1, 1), datetime(2019, 1, 1))
    found = find_items(source, "thermal", FIELD, *period)
    lst = found.items[0].assets["lst"]
    assert lst.href.startswith(f"s3://{bucket}/flanders/landsat-c2-l2-st/") and lst.identity.startswith("etag:")
    key = lst.href.removeprefix(f"s3://{bucket}/")
    client.put_object(Bucket=bucket, Key=key, Body=b"other bytes")
    again = find_items(source, "thermal", FIELD, *period)
    assert again.items[0].identity != found.items[0].identity and again.items[1:] == found.items[1:]
    client.delete_object(Bucket=bucket, Key=key)
    left = find_items(source, "thermal", FIELD, *period)
    assert left.items == found.items[1:] and f"not found: lst (s3://{bucket}/" in left.problems[0]
    with pytest.raises(InputError, match="no such file"):
        find_items(source.model_copy(update={"catalog": f"s3://{bucket}/none.ndjson"}), "thermal", FIELD, *period)


def test_published_checksums_are_trusted_without_looking() -> None:
    source = SourceOptions(catalog=str(FLANDERS), collection="landsat-c2-l2-st")
    scene = find_items(source, "thermal", FIELD, *YEAR).items[0]
    gone = {band: Asset("s3://no-such-bucket/none.tif", "checksum:1220ab") for band in scene.assets}
    pinned = replace(scene, assets=gone)
    assert identify([pinned]) == ((pinned,), ())


def test_five_thousand_items_are_resolved_and_identified() -> None:
    real = documents("sentinel-2-l2a")
    scenes = [pystac.Item.from_dict(document, migrate=False) for document in real]
    resolved = [resolve(scenes[n % len(scenes)], earth_search(), "optical") for n in range(5000)]
    assert len(identify(resolved)[0]) == 5000
