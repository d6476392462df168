"""Catalogues of every kind: a real STAC API, static catalogues, files, and object storage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pystac
import pytest
import shapely

from engine.catalog import (
    SourceOptions,
    find_items,
    identify,
    query,
    resolve,
)
from engine.errors import InputError
from engine.types import Asset
from tests.engine.made_catalog import (
    EVER,
    FIELD,
    FLANDERS,
    HERE,
    YEAR,
    absolute_flanders,
    documents,
    earth_search,
    write_ndjson,
)
from tests.servers.s3 import S3
from tests.servers.stac import read_items as stac_items
from tests.servers.stac import stac_api

pytestmark = HERE


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
