"""Rasters stay open between tiles: each in one thread's hands, none after it failed, and never too many."""

from __future__ import annotations

import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import RasterioError, RasterioIOError

from engine.rasters import Rasters, open_raster


def write(path: Path, value: int = 1) -> str:
    profile = {"driver": "GTiff", "width": 32, "height": 32, "count": 1, "dtype": "uint8", "crs": "EPSG:32631"}
    with rasterio.open(path, "w", **profile, transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)) as target:
        target.write(np.full((32, 32), value, np.uint8), 1)
    return str(path)


def test_what_was_opened_is_used_again(tmp_path: Path) -> None:
    rasters, path = Rasters(), write(tmp_path / "a.tif")
    with rasters.use(path) as first:
        assert first.source.read(1)[0, 0] == 1
    with rasters.use(path) as again:
        assert again is first
    assert rasters.opened == 1


def test_one_that_failed_is_closed_and_opened_anew(tmp_path: Path) -> None:
    rasters, path = Rasters(), write(tmp_path / "a.tif")
    with pytest.raises(ValueError), rasters.use(path) as first:
        raise ValueError
    assert first.source.closed
    write(tmp_path / "a.tif", 2)
    with rasters.use(path) as again:
        assert again.source.read(1)[0, 0] == 2
    with pytest.raises(RasterioError), rasters.use(str(tmp_path / "none.tif")):
        pass
    assert rasters.opened == 3


def test_a_file_that_was_changed_or_has_gone_is_not_read_from_memory(tmp_path: Path) -> None:
    rasters, path = Rasters(), write(tmp_path / "a.tif")
    with rasters.use(path) as before:
        assert before.source.read(1)[0, 0] == 1
    write(tmp_path / "a.tif", 2)
    with rasters.use(path) as after:
        assert after.source.read(1)[0, 0] == 2 and before.source.closed
    write(tmp_path / "b.tif", 3)
    (tmp_path / "b.tif").replace(path)
    with rasters.use(path) as moved:
        assert moved.source.read(1)[0, 0] == 3
    (tmp_path / "a.tif").unlink()
    with pytest.raises(RasterioError), rasters.use(path):
        pass


def test_the_one_longest_not_used_is_closed_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (9, 9))  # a third of it: three
    rasters, seen = Rasters(), []
    for number in range(4):
        with rasters.use(write(tmp_path / f"{number}.tif", number)) as source:
            seen.append(source)
    assert [source.source.closed for source in seen] == [True, False, False, False]
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    unlimited = Rasters()
    for number in (0, 0):
        with unlimited.use(str(tmp_path / f"{number}.tif")):
            pass
    assert unlimited.opened == 1


def test_two_threads_never_hold_one_raster(tmp_path: Path) -> None:
    rasters, paths = Rasters(), [write(tmp_path / f"{number}.tif", number) for number in range(3)]
    held: set[int] = set()
    lock = threading.Lock()

    def work(turn: int) -> bool:
        number = turn % 3
        with rasters.use(paths[number]) as source:
            with lock:
                alone = id(source) not in held
                held.add(id(source))
            right = bool((source.source.read(1) == number).all())
            with lock:
                held.remove(id(source))
        return alone and right

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(600)))
    assert 3 <= rasters.opened < 600


def test_gdal_s_errors_while_opening_are_raised_and_not_logged_with_python_s_lock(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged, two threads can wait for each other for ever: one has GDAL's lock of far files, the other Python's."""
    caplog.set_level("INFO", logger="rasterio._env")
    with rasterio.Env():
        for _ in range(2):  # rasterio.open sets its logging anew each time
            with pytest.raises(RasterioIOError, match="No such file"):
                open_raster(str(tmp_path / "none.tif"))
    assert [record for record in caplog.records if record.name == "rasterio._env"] == []
    with rasterio.Env(), pytest.raises(RasterioIOError):
        rasterio.open(tmp_path / "none.tif")
    assert [record for record in caplog.records if record.name == "rasterio._env"], "rasterio logs no more by itself"
