"""A broken PROJ or GDAL is named as what it is, before a scene is blamed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.environment import faults, refuse_broken
from tests.servers.process import REPO_ROOT

LOOK = """
import engine.environment as environment
for fault in environment.faults():
    print(f"{fault.name}: {fault.error} | {fault.remedy}")
"""


def test_here_everything_works() -> None:
    assert faults() == ()
    refuse_broken("here")


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("PROJ_DATA", "/nonexistent", "projections"),
        ("GDAL_SKIP", "GTiff", "rasters"),
        ("GDAL_SKIP", "COG", "rasters"),
        ("OGR_SKIP", "GPKG", "vector files"),
    ],
)
def test_what_is_broken_is_named_with_the_variable_that_broke_it(variable: str, value: str, named: str) -> None:
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOOK], env={**os.environ, variable: value}, cwd=REPO_ROOT, text=True,
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert any(line.startswith(f"{named}:") and f"unset {variable}={value}" in line for line in told.splitlines())


def test_a_profile_that_is_not_there_is_named_though_no_raster_is_on_s3() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_PROFILE": "nobody"}
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOOK], env={**os.environ, **keys}, cwd=REPO_ROOT, text=True,
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert "profile (nobody) could not be found | unset AWS_PROFILE=nobody" in told


READ = """
from engine.errors import TilthError
from engine.fetch import patiently
import rasterio
def read(path):
    with rasterio.open(path) as source:
        return source.read(1)
try:
    patiently({path!r}, "item one, asset red", read)
except TilthError as error:
    print(type(error).__name__, error)
"""


def test_a_scene_is_not_called_damaged_where_gdal_is_broken(tmp_path: Path) -> None:
    (tmp_path / "scene.tif").write_bytes(b"no raster")
    kinds = {}
    for skip in ("", "GTiff"):
        kinds[skip] = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", READ.format(path=str(tmp_path / "scene.tif"))],
            env={**os.environ, "GDAL_SKIP": skip}, cwd=REPO_ROOT, text=True, capture_output=True, check=True,
        ).stdout  # fmt: skip
    assert kinds[""].startswith("TileError item one, asset red") and "damaged" in kinds[""]
    assert kinds["GTiff"].startswith("InputError item one, asset red") and "rasters do not work" in kinds["GTiff"]
