"""Tiling does not show: one tile and many tiles of an odd size give equal pixels, in the cube and in every product."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jobs.demo import Country
from tests.flow.archive import Archive
from tests.flow.conftest import inputs, made_job
from tests.flow.flow import Job

LAYERS = ("optical", "radar", "thermal", "radar_acquisitions")


def assert_equal_pixels(one: Job, many: Job, layers: tuple[str, ...]) -> None:
    """Both jobs have equal cube layers with their counts, seen somewhere, and equal products."""
    first, second = one.cube_arrays(), many.cube_arrays()
    for name in layers:
        assert first[f"{name}_count"].any(), f"nothing was seen in {name}"
        for array in (name, f"{name}_count"):
            np.testing.assert_array_equal(first[array], second[array], err_msg=array)
    for product in ("class", "confidence", "familiarity"):
        pixels = one.product(product)
        np.testing.assert_array_equal(pixels, many.product(product), err_msg=product)
        assert len(np.unique(pixels[pixels != 255])) > 1


def test_a_made_country_with_scenes_of_the_next_utm_zone_shows_no_tile(
    country: Country, archive: Archive, tmp_path: Path
) -> None:
    optical, radar = archive.of("sentinel-2-l2a"), archive.of("sentinel-1-rtc")
    archive.add(optical[2], "next-zone-optical", day="2024-04-20", crs="EPSG:32630")
    archive.add(radar[2], "next-zone-radar", day="2024-05-02", crs="EPSG:32630")
    archive.add(radar[4], "other-projection-radar", day="2024-07-19", crs="EPSG:3035")
    archive.save()
    changes = {
        "inputs": inputs(str(archive.catalog)),
        "grid.tile_px": 128,
        "cube.layers": list(LAYERS),
    }
    one = made_job(country, tmp_path / "one").with_(changes)
    one.submit()
    many = one.at(tmp_path / "many").with_({"grid.tile_px": 13})
    many.predict()
    assert len(one.records("map")) == 1 and len(many.records("map")) == 49
    assert_equal_pixels(one, many, LAYERS)


def test_flanders_shows_no_tile(flanders: Path, tmp_path: Path) -> None:
    catalog = str(flanders / "items.ndjson")
    spec = {
        "name": "flanders-spring",
        "area": {"bbox": [3.0193, 50.8131, 3.0284, 50.8188]},
        "season": {"start": "2018-04-01", "end": "2018-07-20", "step_days": 10},
        "grid": {"crs": "EPSG:32631", "resolution": 10, "tile_px": 100},
        "inputs": {
            "optical": {"catalog": catalog, "collection": "sentinel-2-l2a", "max_cloud": 90},
            "radar": {"catalog": catalog, "collection": "sentinel-1-grd"},
            "thermal": {"catalog": catalog, "collection": "landsat-c2-l2-st"},
        },
        "cube": {"uri": f"{tmp_path}/one/cube.zarr"},
        "model": {"uri": f"{tmp_path}/model", "train": {"family": "forest", "trees": 20}},
        "labels": {"uri": str(flanders / "labels.tif"), "legend": str(flanders / "legend.csv"), "block_m": 80},
        "output": {"uri": f"{tmp_path}/one/map"},
        "compute": {"in_process": True},
    }
    one = Job(tmp_path / "one", spec)
    one.submit()
    many = one.at(tmp_path / "many").with_({"grid.tile_px": 15})
    many.predict()
    assert len(one.records("map")) == 1 and len(many.records("map")) >= 16
    assert_equal_pixels(one, many, LAYERS[:3])
