"""Scenes that a catalogue holds twice: the newest processing of a datatake and tile stays."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pystac
import shapely

from engine.catalog import (
    deduplicate,
    find_items,
)
from tests.engine.made_catalog import (
    FIELD,
    HERE,
    absolute_flanders,
    copy_with,
    documents,
    item,
    write_ndjson,
)

pytestmark = HERE


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
