"""Ways to say what is wanted and where it comes from: areas, masks, cut-off dates, parcels, APIs, signed links."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import rasterio

from engine.grid import area_mask
from engine.types import Window
from jobs.demo import Country
from jobs.pinned import pinned_plan, pinned_spec
from tests.flow.archive import Archive
from tests.flow.conftest import area_file, inputs, made_job
from tests.flow.flow import PATIENCE_S, Job, assert_same_published, command, tilth
from tests.servers.files import FileServer, file_server
from tests.servers.process import REPO_ROOT, wait_until
from tests.servers.stac import read_items, stac_api

HOLES = ((270, 270, 660, 660), (0, 700, 95, 840))
"""Metres from the area's upper left corner: all of the middle tile and more, and a bite at a corner."""


def test_what_the_headers_of_mask_labels_and_scenes_call_no_data_is_none(country: Country, tmp_path: Path) -> None:
    for name, path, bite in (
        ("mask", country.cropland, np.s_[:40, :30]),
        ("labels", country.labels[2024], np.s_[50:70]),
    ):
        with rasterio.open(path) as source:
            values, profile = source.read(1), source.profile
        values[bite] = 255
        with rasterio.open(tmp_path / f"{name}.tif", "w", **{**profile, "driver": "GTiff", "nodata": 255}) as target:
            target.write(values, 1)
        if name == "mask":
            asked = values[6:90, 6:90] == 1
    scenes = Archive(country, tmp_path / "scenes")
    seen = scenes.of("sentinel-1-rtc")
    radar = seen[len(seen) // 2]  # well within the season
    with rasterio.open(scenes.path(radar, "vv"), "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        file.nodata = 9999
    scenes.items[radar]["assets"]["vv"]["raster:bands"][0]["nodata"] = 0
    scenes.items[radar]["assets"]["vv"].pop("file:checksum")
    scenes.save()
    job = made_job(country, tmp_path / "run").with_(
        {
            "inputs": inputs(str(scenes.catalog)),
            "mask": {"uri": str(tmp_path / "mask.tif"), "keep": [1]},
            "labels.uri": str(tmp_path / "labels.tif"),
        }
    )
    job.submit()
    np.testing.assert_array_equal(job.product("class") != 255, asked)
    report = job.report()
    assert "255" not in {str(row["code"]) for row in report["area_km2_by_class"].values()}
    told = [line for line in report["inputs"] if "nodata: the item says 0, the file's header says 9999" in line]
    assert len(told) == 1 and " vv: " in told[0] and "reads in" in told[0]


def test_parcels_train_the_model_and_holes_and_the_mask_are_left_empty(country: Country, tmp_path: Path) -> None:
    mask = tmp_path / "mask.tif"
    with rasterio.open(country.cropland) as source:
        asked, profile = source.read(1), source.profile
    asked[:52, 44:] = 0  # all of the tile in the upper right corner, and as far around it as a model may look
    with rasterio.open(mask, "w", **{**profile, "driver": "GTiff"}) as target:
        target.write(asked, 1)
    area = area_file(country, tmp_path / "area.gpkg", *HOLES)
    job = made_job(country, tmp_path / "run").with_(
        {
            "area": {"file": area},
            "mask": {"uri": str(mask)},
            "labels.uri": str(country.parcels[2024]),
            "labels.block_m": 100,
            "labels.min_samples": 150,
            "grid.tile_px": 28,
        }
    )
    job.submit()

    plan = pinned_plan(pinned_spec(job.map))
    wanted = area_mask(plan.grid, Window(0, 84, 0, 84), plan.area)
    wanted &= asked[6:90, 6:90] == 1
    for product in ("class", "confidence"):
        np.testing.assert_array_equal(job.product(product) != 255, wanted, err_msg=product)
    assert len(plan.tiles) == 8, "the tile in the hole is not even planned"
    empty = job.records("cube")["r0000c0002"]
    assert empty.body["empty"] and "checksums" not in empty.body, "off the mask nothing is computed"
    report = job.report()
    assert report["model"]["accuracy"]["kappa"] > 0.3
    assert report["area_km2_mapped"] == pytest.approx(int(wanted.sum()) * 1e-4, rel=1e-3), "UTM is a little off"
    assert report["area_km2_without_data"] == 0, "where data lack is not where nothing was asked for"


def test_as_of_uses_nothing_observed_after_that_day(finished: Job, archive: Archive, tmp_path: Path) -> None:
    day = "2024-07-30"
    early = finished.at(tmp_path / "early").with_(
        {"season.as_of": day, "model.uri": f"{tmp_path}/model", "inputs": inputs(str(archive.catalog))}
    )
    early.submit()
    scenes = {name: item for name, item in archive.items.items() if str(item["properties"]["datetime"]) <= day}
    assert len(scenes) < len(archive.items)
    archive.items = scenes
    archive.save()
    blind = early.at(tmp_path / "blind")
    blind.predict()
    whole = finished.product("class")
    for product in ("class", "confidence"):
        np.testing.assert_array_equal(early.product(product), blind.product(product))
    assert (early.product("class") != whole).any(), "what came later would have mattered"
    (item,) = [data for key, data in early.published().items() if key.endswith("item.json")][:1]
    assert json.loads(item)["properties"]["end_datetime"].startswith(day)


def test_garbage_after_as_of_changes_neither_training_nor_map_by_a_bit(
    finished: Job, archive: Archive, tmp_path: Path
) -> None:
    day, rng = "2024-07-30", np.random.default_rng(0)

    def trained(place: str, family: str) -> Job:
        root = f"{tmp_path}/{place}"
        model = {"uri": f"{root}/model-{family}", "train": {"family": family, "epochs": 3}}
        job = finished.at(root).with_({"season.as_of": day, "inputs": inputs(str(archive.catalog)), "model": model})
        job = job.with_({"output.uri": f"{root}/{family}"})
        job.submit()
        return job

    families = ("tempcnn", "forest")
    clean = [trained("clean", family) for family in families]
    later = [name for name, item in archive.items.items() if str(item["properties"]["datetime"]) > day]
    for name in later:
        archive.change(name, lambda values: rng.permuted(values.ravel()).reshape(values.shape))
    archive.save()
    garbled = [trained("garbled", family) for family in families]
    held, changed = (jobs[0].cube_arrays()["optical"] for jobs in (clean, garbled))
    assert later and (held != changed).any(), "the cubes hold what came later"
    for one, other in zip(clean, garbled, strict=True):
        learnt = [{path.name: path.read_bytes() for path in Path(job.model).glob("*.s*")} for job in (one, other)]
        assert len(learnt[0]) == 3 and learnt[0] == learnt[1], "weights, golden pair and familiarity"
        for product in ("class", "confidence", "familiarity"):
            np.testing.assert_array_equal(one.product(product), other.product(product))


def signed_items(archive: Archive, server: FileServer, at: Path) -> str:
    """A catalogue on disk whose links lead to the server, unsigned."""
    items = read_items(archive.catalog, server.url)
    at.write_text("".join(json.dumps(item) + "\n" for item in items))
    return str(at)


def has_served(server: FileServer, files: int) -> bool:
    return server.counts()["served"] > files


def test_signed_links_that_expire_during_the_run_are_signed_anew(
    finished: Job, archive: Archive, tmp_path: Path
) -> None:
    with file_server(archive.root, token_seconds=300) as server:
        found = inputs(signed_items(archive, server, tmp_path / "signed.ndjson"))
        for source in (*found["optical"], found["radar"], found["thermal"]):
            source["sign"] = server.token_url
        job = finished.at(tmp_path / "run").with_({"inputs": found})
        driver = subprocess.Popen(command("predict", job.yaml), cwd=REPO_ROOT, stderr=subprocess.PIPE)
        try:
            for served in (20, 120):
                wait_until(partial(has_served, server, served), PATIENCE_S, "scenes to be read")
                server.expire_tokens()
            _, said = driver.communicate(timeout=PATIENCE_S)
        finally:
            driver.kill()
            driver.wait()
        counts = server.counts()
    assert driver.returncode == 0, said.decode()
    assert counts["refused"] > 0 and counts["token"] >= 3
    assert_same_published(finished, job)
    secret = [path for path in Path(job.map).rglob("*") if path.is_file() and b"sig=" in path.read_bytes()]
    assert not secret and b"sig=" not in said, "no signature is written down"


def test_a_stac_api_gives_the_same_map_as_its_items_in_a_file(finished: Job, archive: Archive, tmp_path: Path) -> None:
    with file_server(archive.root) as server, stac_api(read_items(archive.catalog, server.url)) as api:
        job = finished.at(tmp_path / "run").with_({"inputs": inputs(api)})
        job.predict()
    assert_same_published(finished, job)


def test_covariances_bring_m_chi_into_the_cube_and_the_model(country: Country, tmp_path: Path) -> None:
    catalog = str(country.items)
    job = made_job(country, tmp_path / "run").with_(
        {
            "inputs": {**inputs(catalog), "c2": {"catalog": catalog, "collection": "sentinel-1-c2"}},
            "model.features": ["ndvi", "vv", "ps", "pd", "pv"],
            "model.train.epochs": 2,
        }
    )
    job.submit()
    arrays = job.cube_arrays()
    assert arrays["c2"].shape == (8, 3, 84, 84) and list(arrays["c2_band"]) == ["ps", "pd", "pv"]
    ps, pd, pv = np.moveaxis(arrays["c2"][arrays["c2_count"].min(axis=(1, 2)) > 0], 1, 0)
    assert min(ps.min(), pd.min(), pv.min()) >= 0 and np.isfinite(ps).all() and pv.max() > 0
    assert job.report()["tiles"]["written"] == 4


def test_m_chi_from_backscatter_is_refused_with_the_reason(country: Country, tmp_path: Path) -> None:
    told = tilth("submit", made_job(country, tmp_path).with_({"model.features": ["ndvi", "ps"]}).yaml, expect=2)
    assert "backscatter, which has no phase" in told.err and "inputs.c2" in told.err
