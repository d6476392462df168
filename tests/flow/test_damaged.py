"""Maps of what is there: without a damaged scene where the spec lets it be, without scenes, without temperature."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.flow.archive import Archive, Place, truncate
from tests.flow.conftest import inputs
from tests.flow.flow import Job, assert_same_published, tilth


def on_archive(finished: Job, archive: Archive, place: Path) -> Job:
    """The finished job's model on this archive."""
    archive.save()
    return finished.at(place).with_({"inputs": inputs(str(archive.catalog))})


def test_a_truncated_scene_is_left_out_told_and_taken_in_once_it_is_mended(
    finished: Job, archive: Archive, tmp_path: Path
) -> None:
    damaged = archive.of("sentinel-1-rtc")[3]
    whole = truncate(archive.path(damaged, "vv"))
    refusing = on_archive(finished, archive, tmp_path / "run")
    told = refusing.predict(expect=4)
    assert "not one of 4 cube tiles could be built" in told.err and "inputs.*.damaged: leave_out" in told.err
    job = refusing.with_({"inputs.radar.damaged": "leave_out"})
    told = job.predict(expect=3)
    assert "4 tiles were built without 1 damaged scenes" in told.out and f"built without {damaged}" in told.out
    report = job.report()
    assert report["tiles"] == {"planned": 4, "written": 4, "quarantined": 0} and not report["left_out"]
    assert list(report["damaged"]["scenes"]) == [damaged] and len(report["damaged"]["tiles"]) == 4
    assert "asset vv" in report["damaged"]["scenes"][damaged]
    assert f"built without {damaged}" in tilth("status", job.yaml).out
    rows = json.loads(tilth("tiles", job.yaml, "--json").out)
    assert {row["tile"] for row in rows if damaged in row.get("left_out", {})} == set(report["damaged"]["tiles"])

    excluded = refusing.at(tmp_path / "excluded").with_({"inputs.radar.exclude": [damaged]})
    excluded.predict()
    for product in ("class", "confidence"):
        np.testing.assert_array_equal(job.product(product), excluded.product(product))
    tilth("resume", job.map, expect=3)  # it stays told

    archive.path(damaged, "vv").write_bytes(whole)
    assert "4 tile(s) will be tried again" in tilth("tiles", job.yaml, "--retry").out
    tilth("resume", job.map)
    assert job.report()["damaged"] == {"scenes": {}, "tiles": []}
    assert {record.body["computed"] for record in job.records("cube").values()} == {1}, "only the step it belongs to"
    clean = refusing.at(tmp_path / "clean")
    clean.predict()
    assert_same_published(clean, job)


def test_tiles_that_no_scene_reaches_are_no_data_and_no_failure(
    finished: Job, archive: Archive, tmp_path: Path
) -> None:
    for name, item in list(archive.items.items()):
        archive.add(name, f"{name}-west", day=str(item["properties"]["datetime"])[:10], place=Place(0, 96, 0, 42))
        archive.items.pop(name)
    job = on_archive(finished, archive, tmp_path / "run")
    told = job.predict()
    report = job.report()
    east = ["r0000c0001", "r0001c0001"]
    assert report["tiles"] == {"planned": 4, "written": 4, "quarantined": 0} and report["without_scenes"] == east
    assert report["area_km2_without_data"] > 0.3
    assert "no scene reaches 2 of them: no data there" in told.out
    assert (job.product("class")[:, 42:] == 255).all() and (job.product("class")[:, :30] != 255).any()
    said = tilth("status", job.yaml).out
    assert "map: 2 without scenes, 2 written" in said and "cube: 2 without scenes, 2 written" in said
    rows = [line.split("\t") for line in tilth("tiles", job.yaml).out.splitlines()]
    assert [row[1] for row in rows if row[0] == "map" and "optical scene reaches it" in row[3]] == east


def test_scenes_without_surface_temperature_are_no_damage(finished: Job, archive: Archive, tmp_path: Path) -> None:
    source = archive.of("landsat-c2-l2-st")[0]
    bare = ["without-1", "without-2"]
    for day, name in enumerate(bare, start=20):
        archive.add(source, name, day=f"2024-05-{day}")["assets"].pop("lwir11")
    job = on_archive(finished, archive, tmp_path / "run")
    told = job.predict()
    (line,) = [line for line in told.err.splitlines() if "made without it" in line]
    assert f" input: {len(bare)} items were not used for thermal" in line
    assert job.report()["left_out"] == [] and any("made without it" in line for line in job.report()["inputs"])
