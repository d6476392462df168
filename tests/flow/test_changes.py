"""A changed spec, scene, model or mask under the same output: only what it touches is computed anew."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import rasterio

from jobs.demo import Country
from tests.flow.archive import Archive, Place
from tests.flow.conftest import area_file, inputs
from tests.flow.flow import Job, anew, assert_same_published

CORNER = Place(6, 16, 6, 16)
"""Part of the first tile of 42 pixels; scenes count as a tile's own from 30 pixels away."""
FIRST = "r0000c0000"


def test_the_same_spec_again_computes_nothing_and_leaves_the_same_bytes(finished: Job, tmp_path: Path) -> None:
    job = finished.copied_to(tmp_path)
    written = {path: path.stat().st_mtime_ns for path in Path(job.map, "tiles").rglob("*") if path.is_file()}
    told = job.submit()
    assert "cube: nothing to do" in told.err and "map: nothing to do" in told.err
    assert "model: already trained" in told.err
    assert_same_published(finished, job)
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_changed_scene_is_computed_anew_where_it_lies_and_in_its_own_step_only(
    finished: Job, archive: Archive, tmp_path: Path
) -> None:
    scene = archive.of("sentinel-2-l2a")[3]
    archive.add(scene, "partial", day="2024-05-20", place=CORNER)
    archive.save()
    job = finished.at(tmp_path / "run").with_({"inputs": inputs(str(archive.catalog))})
    job.predict()
    before, old = {stage: job.records(stage) for stage in ("cube", "map")}, job.published()

    archive.change("partial", lambda dn: np.where(dn > 20, dn + dn // 4, dn), "blue", "green", "red", "nir", "swir16")
    archive.save()
    job.predict()

    after, new = {stage: job.records(stage) for stage in ("cube", "map")}, job.published()
    assert anew(before["cube"], after["cube"]) == {FIRST}
    assert after["cube"][FIRST].body["computed"] == 1, "one step of one layer"
    assert anew(before["map"], after["map"]) == {FIRST}
    assert not set(old) & {key for key in new if FIRST in key}, "none of the old files is left"
    others = {key: data for key, data in old.items() if key.startswith("tiles/") and FIRST not in key}
    assert others and others.items() <= new.items()
    collection = json.loads(new["collection.json"])
    items = {link["href"].removeprefix("./") for link in collection["links"] if link["rel"] == "item"}
    assert items == {key for key in new if key.endswith("item.json")}


def test_a_scene_added_later_is_the_same_as_one_that_was_there_from_the_start(
    finished: Job, archive: Archive, tmp_path: Path
) -> None:
    job = finished.at(tmp_path / "run").with_({"inputs": inputs(str(archive.catalog))})
    job.predict()
    before = job.records("cube")
    archive.add(archive.of("sentinel-1-rtc")[2], "late", day="2024-06-09")
    archive.save()
    job.predict()
    after = job.records("cube")
    assert len(anew(before, after)) == len(after)
    assert {record.body["computed"] for record in after.values()} == {1}
    at_once = job.at(tmp_path / "at-once")
    at_once.predict()
    assert_same_published(job, at_once)


def test_a_new_model_maps_every_tile_again_and_builds_no_cube_tile(finished: Job, tmp_path: Path) -> None:
    job = finished.copied_to(tmp_path).with_({"model.uri": f"{tmp_path}/model", "model.train.seed": 1})
    cube, old, old_map = job.records("cube"), job.published(), job.records("map")
    told = job.submit()
    assert "cube: nothing to do" in told.err
    assert anew(cube, job.records("cube")) == set()
    assert anew(old_map, job.records("map")) == set(old_map)
    assert not {key for key in old if key.startswith("tiles/")} & set(job.published())


def test_a_later_end_of_season_lengthens_the_cube_and_keeps_the_steps_it_has(
    finished: Job, country: Country, tmp_path: Path
) -> None:
    job = finished.copied_to(tmp_path)
    before = job.cube_arrays()
    season = finished.spec["season"]
    end = date.fromisoformat(season["end"]) + timedelta(days=60)
    longer = job.with_({"season.end": str(end), "season.as_of": str(date.fromisoformat(season["end"]) - timedelta(1))})
    longer.predict()
    after = longer.cube_arrays()
    layers = ("optical", "radar", "thermal")
    for name in layers:
        for array in (name, f"{name}_count"):
            assert len(after[array]) == len(before[array]) + 2 == 10
            np.testing.assert_array_equal(after[array][:8], before[array])
    assert {record.body["computed"] for record in longer.records("cube").values()} == {2 * len(layers)}
    assert after["radar_count"][8:].any(), "something was seen in the new steps"
    for product in ("class", "confidence"):
        np.testing.assert_array_equal(longer.product(product), finished.product(product))


def test_a_product_no_longer_asked_for_is_gone_with_its_mosaic(finished: Job, tmp_path: Path) -> None:
    job = finished.copied_to(tmp_path).with_({"output.products": ["class"]})
    job.predict()
    assert not [key for key in job.published() if "confidence" in key]
    np.testing.assert_array_equal(job.product("class"), finished.product("class"))


def test_a_smaller_area_lets_tiles_go_and_the_whole_one_brings_them_back(
    finished: Job, country: Country, tmp_path: Path
) -> None:
    whole = finished.copied_to(tmp_path).with_({"area": {"file": area_file(country, tmp_path / "whole.gpkg")}})
    whole.predict()
    assert_same_published(finished, whole)
    small = whole.with_({"area": {"file": area_file(country, tmp_path / "small.gpkg", (420, 420, 840, 840))}})
    small.predict()
    left = small.published()
    assert not [key for key in left if "r0001c0001" in key]
    assert small.report()["tiles"] == {"planned": 3, "written": 3, "quarantined": 0}
    whole.predict()
    assert_same_published(finished, whole)


def test_a_changed_mask_is_noticed_though_its_name_stays(finished: Job, country: Country, tmp_path: Path) -> None:
    mask = tmp_path / "mask.tif"
    shutil.copy(country.cropland, mask)
    job = finished.copied_to(tmp_path / "run").with_({"mask": {"uri": str(mask)}})
    job.predict()
    with rasterio.open(mask) as source:
        values, profile = source.read(1), source.profile
    masked = job.product("class") == 255
    assert masked.any() and not masked.all()
    mask.unlink()
    with rasterio.open(mask, "w", **{**profile, "driver": "GTiff"}) as target:
        target.write(np.ones_like(values), 1)
    job.predict()
    for product in ("class", "confidence"):
        np.testing.assert_array_equal(job.product(product), finished.product(product))


def test_a_changed_cube_option_builds_every_tile_anew(finished: Job, tmp_path: Path) -> None:
    job = finished.copied_to(tmp_path)
    before = job.records("cube")
    job.with_({"cube.despeckle": "none"}).predict()
    after = job.records("cube")
    assert anew(before, after) == set(before)
    assert {record.body["computed"] for record in after.values()} == {24}
