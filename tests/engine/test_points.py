"""A probability sample: every pixel of a class may be drawn, and only another map's points are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio

from engine.errors import InputError
from engine.map_values import MapValues
from engine.points import Strata, draw, estimate, read_points, write_points
from engine.types import Grid
from tests.engine.test_accuracy import OLOFSSON, OLOFSSON_MAPPED_PX

INDICES = MapValues(np.arange(4, dtype=np.uint8))
GRID = Grid("EPSG:32631", 10.0, 500_000.0, 5_600_000.0, 30, 40, 16)


def made_strata(folder: Path) -> tuple[Strata, np.ndarray]:
    """A map of three classes in six tiles, some without data, and its class indices on the whole grid."""
    rng = np.random.default_rng(7)
    whole = rng.choice(np.array([0, 1, 2, 255], np.uint8), (30, 40), p=[0.6, 0.3, 0.02, 0.08])
    tiles = [GRID.tile(row, col) for row in range(2) for col in range(3)]
    places = []
    for tile in tiles:
        y0, y1, x0, x1 = tile.core
        path = folder / f"{tile.id}.tif"
        form = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": y1 - y0, "width": x1 - x0}
        at = {"crs": GRID.crs, "transform": rasterio.Affine(*GRID.transform(tile.core))}
        with rasterio.open(path, "w", **form, **at) as target:
            target.write(whole[y0:y1, x0:x1], 1)
        places.append(str(path))
    pixels = [[int((whole[t.core.y0 : t.core.y1, t.core.x0 : t.core.x1] == k).sum()) for k in range(3)] for t in tiles]
    names = ("wheat", "maize", "beet")
    return Strata(GRID, (110, 120, 130), names, tuple(tiles), tuple(places), np.array(pixels), "abc", INDICES), whole


def at_points(frame: pd.DataFrame, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = (GRID.top - frame["y"].to_numpy()) / 10 - 0.5
    cols = (frame["x"].to_numpy() - GRID.left) / 10 - 0.5
    assert np.array_equal(rows, rows.round()) and np.array_equal(cols, cols.round()), "pixel centres"
    return rows.astype(int), cols.astype(int)


def test_a_full_draw_gives_every_pixel_once_with_its_class(tmp_path: Path) -> None:
    strata, whole = made_strata(tmp_path)
    frame = draw(strata, strata.pixels.sum(axis=0), 1)
    rows, cols = at_points(frame, whole)
    assert len(set(zip(rows.tolist(), cols.tolist(), strict=True))) == len(frame) == (whole != 255).sum()
    assert np.array_equal(np.array(strata.codes)[whole[rows, cols]], frame["map_code"])
    assert frame["id"].tolist() == list(range(1, len(frame) + 1))
    assert frame["reference"].isna().all()


def test_pixels_of_a_class_are_drawn_equally_often_wherever_they_lie(tmp_path: Path) -> None:
    strata, whole = made_strata(tmp_path)
    times = np.zeros(whole.shape, int)
    for seed in range(60):
        frame = draw(strata, np.array([0, 40, 5]), seed)
        rows, cols = at_points(frame, whole)
        np.add.at(times, (rows, cols), 1)
    for index, count in ((1, 40), (2, 5)):
        own = times[whole == index]
        expected = 60 * count / len(own)
        assert times[whole == 0].sum() == 0 and own.sum() == 60 * count
        assert ((own - expected) ** 2 / expected / (1 - count / len(own))).mean() == pytest.approx(1, abs=0.5)


@pytest.mark.parametrize("name", ["points.csv", "points.gpkg"])
def test_points_come_back_as_they_were_written_and_filled_in(tmp_path: Path, name: str) -> None:
    strata, _ = made_strata(tmp_path)
    frame, path = draw(strata, np.array([20, 20, 6]), 2), str(tmp_path / name)
    write_points(frame, path)
    with pytest.raises(InputError, match="is there already"):
        write_points(frame, path)
    empty = read_points(path)
    assert empty["reference"].isna().all() and empty["map_code"].tolist() == frame["map_code"].tolist()
    filled = frame.assign(reference=frame["map_code"])
    filled.loc[filled.index[:3], "reference"] = pd.NA
    Path(path).unlink()
    write_points(filled, path)
    found = estimate(read_points(path), strata, path)
    assert found.unfilled == 3 and found.checked and found.areas.overall == 1.0
    np.testing.assert_allclose(found.areas.area, strata.area_km2)
    if name.endswith("gpkg"):
        lonlat = gpd.read_file(path).to_crs("EPSG:4326").geometry
        np.testing.assert_allclose(lonlat.x, frame["longitude"], atol=1e-6)


def test_the_worked_example_of_olofsson_2014_comes_through_a_table_of_points() -> None:
    rows = [(i, j) for i in range(4) for j in range(4) for _ in range(OLOFSSON[i, j])]
    codes = (1, 2, 3, 4)
    points = pd.DataFrame({"map_code": [codes[i] for i, _ in rows], "reference": [codes[j] for _, j in rows]})
    grid = replace(GRID, resolution=1000.0)
    strata = Strata(grid, codes, tuple("abcd"), (grid.tile(0, 0),), ("",), OLOFSSON_MAPPED_PX[None], "abc", INDICES)
    found = estimate(points.astype("Int64"), strata, "table")
    assert round(found.areas.area[0]) == 235_086 and round(found.areas.overall, 3) == 0.947
    assert not found.checked and found.unfilled == 0


def test_a_class_that_only_the_reference_knows_takes_its_area_from_the_others(tmp_path: Path) -> None:
    strata, _ = made_strata(tmp_path)
    frame = draw(strata, np.array([10, 10, 4]), 2)
    frame = frame.assign(reference=frame["map_code"])
    frame.loc[frame["map_code"] == 110, "reference"] = 999
    found = estimate(frame, strata, "table")
    assert found.codes == (110, 120, 130, 999)
    assert found.areas.area[0] == 0 and found.areas.area[3] == pytest.approx(strata.area_km2[0])


def test_what_is_no_sample_of_this_map_is_refused_with_a_remedy(tmp_path: Path) -> None:
    strata, _ = made_strata(tmp_path)
    frame = draw(strata, np.array([10, 10, 4]), 2)
    filled = frame.assign(reference=frame["map_code"])
    assert estimate(filled, strata, "table").missing == 0
    assert estimate(filled[filled["id"] != 3], strata, "table").missing == 1
    with pytest.raises(InputError, match=r"point 1 stands there twice.*each point"):
        estimate(pd.concat([filled, filled[filled["id"] == 1]]), strata, "table")
    with pytest.raises(InputError, match="its strata are others"):
        estimate(filled, replace(strata, model="other"), "table")
    with pytest.raises(InputError, match=r"two filled-in points where the map says \[110, 120, 130\]"):
        estimate(frame, strata, "table")
    with pytest.raises(InputError, match=r"map_code \[5\]"):
        estimate(filled.assign(map_code=5), strata, "table")
    for name, text, said in (
        ("words.csv", "map_code,reference\n110,wheat\n", "reference holds 'wheat'"),
        ("half.csv", "map_code,reference\n110,1.5\n", "reference holds '1.5'"),
        ("other.csv", "a,b\n1,2\n", "no column"),
        ("empty.csv", "", "cannot be read"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=said):
            read_points(str(tmp_path / name))
    for name in ("nowhere.csv", "words.tif"):
        (tmp_path / "words.tif").write_text("no points")
        with pytest.raises(InputError, match=r"cannot be read|ends with \.tif"):
            read_points(str(tmp_path / name))
    with pytest.raises(InputError, match=r"\.gpkg or \.csv"):
        write_points(frame, str(tmp_path / "points.txt"))
