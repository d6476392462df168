"""Bad scenes are named with tile, item and asset; the rest of the map is published; mended, a resume finishes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.flow.archive import Archive, Place, strip_georeference, truncate
from tests.flow.conftest import inputs
from tests.flow.flow import Job, assert_same_published, tilth
from tests.servers.files import file_server

CORNERS = {
    "r0000c0000": Place(6, 16, 6, 16),
    "r0000c0001": Place(6, 16, 80, 90),
    "r0001c0000": Place(80, 90, 6, 16),
    "r0001c0001": Place(80, 90, 80, 90),
}
"""One corner of each tile of 42 pixels, too far from the others to be read for them."""
CLEAR_SCL, CLOUD_SCL, CLOUD_QA = 4, 9, 22280


def on_archive(finished: Job, archive: Archive, place: Path) -> Job:
    """The finished job's model on this archive."""
    archive.save()
    return finished.at(place).with_({"inputs": inputs(str(archive.catalog))})


def reasons(job: Job) -> dict[str, str]:
    """What ``tilth tiles`` says of quarantined tiles, cube stage."""
    rows = json.loads(tilth("tiles", job.yaml, "--state", "quarantined", "--json").out)
    return {row["tile"]: row["reason"] for row in rows if row["stage"] == "cube"}


def test_broken_scenes_quarantine_their_tiles_and_mended_ones_are_finished_by_a_resume(
    finished: Job, archive: Archive, tmp_path: Path
) -> None:
    optical, radar = archive.of("sentinel-2-l2a")[3], archive.of("sentinel-1-rtc")[3]
    names = ("cut-short", "not-there", "not-placed", "elsewhere")
    with file_server(archive.root) as server:
        for day, (place, name) in enumerate(zip(CORNERS.values(), names, strict=True), start=20):
            archive.add(radar if name == "not-placed" else optical, name, day=f"2024-05-{day}", place=place)
        for name in ("cut-short", "not-there"):
            archive.change(name, lambda scl: np.full_like(scl, CLEAR_SCL), "scl")  # or no band would be read
        archive.add(radar, "other-crs", day="2024-05-28", crs="EPSG:32630")
        for asset in archive.items["not-there"]["assets"].values():
            asset["href"] = f"{server.url}/{asset['href']}"
        clean = on_archive(finished, archive, tmp_path / "clean")
        clean.predict()

        whole = truncate(archive.path("cut-short", "nir"))
        gone = archive.root / "sentinel-2-l2a" / "not-there" / "green.tif"
        gone.rename(gone.with_suffix(".away"))
        placed = strip_georeference(archive.path("not-placed", "vh"))
        job = clean.at(tmp_path / "run")
        told = job.predict(expect=3)

        found = reasons(job)
        assert sorted(found) == sorted(CORNERS)[:3]
        assets, words = ("nir", "green", "vh"), ("truncated or damaged", "not found", "no geotransform")
        for tile, item, asset, what in zip(sorted(found), names[:3], assets, words, strict=True):
            assert f"item {item}, asset {asset}" in found[tile] and what in found[tile]
            assert f"quarantined {tile}" in told.out
        report = job.report()
        assert report["tiles"] == {"planned": 4, "written": 1, "quarantined": 3}
        assert sorted(report["quarantined"]) == sorted(found)
        good, published = clean.published(), job.published()
        mine = {key for key in published if key.startswith("tiles/")}
        assert mine and all("r0001c0001" in key and published[key] == good[key] for key in mine)
        tilth("resume", job.map, expect=3)
        assert {record.body["attempts"] for record in job.records("cube").values() if record.state != "written"} == {1}

        archive.path("cut-short", "nir").write_bytes(whole)
        gone.with_suffix(".away").rename(gone)
        archive.path("not-placed", "vh").write_bytes(placed)
        assert "will be tried again" in tilth("tiles", job.yaml, "--retry").out
        tilth("resume", job.map)
    assert job.report()["quarantined"] == {}
    assert_same_published(clean, job)


def test_a_tile_under_cloud_all_season_is_set_aside_with_its_reason(
    finished: Job, archive: Archive, tmp_path: Path
) -> None:
    def clouded(value: int, step: int) -> Callable[[NDArray], NDArray]:
        def change(values: NDArray) -> NDArray:
            values[-48 // step :, -48 // step :] = value
            return values

        return change

    for scene in archive.of("sentinel-2-l2a"):
        archive.change(scene, clouded(CLOUD_SCL, 2), "scl")
    for scene in archive.of("landsat-c2-l2"):
        archive.change(scene, clouded(CLOUD_QA, 3), "qa_pixel")
    job = on_archive(finished, archive, tmp_path / "run")
    job.predict(expect=3)
    report = job.report()
    assert list(report["quarantined"]) == ["r0001c0001"]
    assert "not one clear observation in 8 steps" in report["quarantined"]["r0001c0001"]
    assert report["tiles"]["written"] == 3
    assert np.array_equal(job.product("class")[:42], finished.product("class")[:42])


def test_scenes_that_cannot_be_used_at_all_are_left_out_by_name_and_the_exit_code_says_so(
    finished: Job, archive: Archive, tmp_path: Path
) -> None:
    optical, radar = archive.of("sentinel-2-l2a")[3], archive.of("sentinel-1-rtc")[3]
    archive.add(optical, "no-nir", day="2024-05-20")["assets"].pop("nir")
    archive.add(optical, "no-file", day="2024-05-21")
    for asset in archive.items["no-file"]["assets"].values():
        asset.pop("file:checksum")
    archive.path("no-file", "scl").unlink()
    raw = archive.add(radar, "raw-grd", day="2024-05-22")
    raw["properties"]["sar:product_type"] = "GRD"
    raw["properties"].pop("proj:code")
    job = on_archive(finished, archive, tmp_path / "run")
    told = job.predict(expect=3)
    left_out = job.report()["left_out"]
    assert len(left_out) == 3
    for item, asset, what in (
        ("no-nir", "nir", "no asset for"),
        ("no-file", "scl", "not found"),
        ("raw-grd", "RTC", "radar geometry"),
    ):
        (said,) = [line for line in left_out if item in line]
        assert asset in said and what in said
        assert f"left out: {said}" in told.err
    assert job.report()["tiles"] == {"planned": 4, "written": 4, "quarantined": 0}
    tilth("resume", job.map, expect=3)
    for name in ("no-nir", "no-file", "raw-grd"):
        archive.items.pop(name)
    archive.save()
    job.predict()
    assert job.report()["left_out"] == []
    for product in ("class", "confidence"):
        np.testing.assert_array_equal(job.product(product), finished.product(product))


@pytest.mark.parametrize("lines", ["", "other"])
def test_a_catalogue_that_returns_nothing_ends_the_job_before_it_starts(
    finished: Job, archive: Archive, tmp_path: Path, lines: str
) -> None:
    job = on_archive(finished, archive, tmp_path / "run")
    if lines == "other":
        job = job.with_({"season.start": "2020-03-01", "season.end": "2020-10-27"})
    else:
        archive.catalog.write_text("")
    told = job.predict(expect=2)
    assert "inputs.optical" in told.err and "nothing found in" in told.err and "at least one item" in told.err
    assert "items in the file: " in told.err
    assert not Path(job.map, "tiles").exists() and not Path(job.cube, "zarr.json").exists()


def test_a_scene_that_is_damaged_under_every_tile_is_named_and_can_be_done_without(
    finished: Job, archive: Archive, tmp_path: Path
) -> None:
    damaged = archive.of("sentinel-1-rtc")[3]
    truncate(archive.path(damaged, "vv"))
    job = on_archive(finished, archive, tmp_path / "run").with_({"grid.tile_px": 21})
    told = job.predict(expect=4)
    assert "not one of 16 cube tiles could be built" in told.err
    assert f"item {damaged}, asset vv" in told.err and "inputs.*.exclude" in told.err
    again = job.with_({"inputs.radar.exclude": [damaged]})
    told = again.predict()
    assert "not excluded" in told.err and again.report()["tiles"]["written"] == 16
