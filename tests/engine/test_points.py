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
from engine.judge import estimate
from engine.map_values import MapValues
from engine.points import DESIGN, Strata, design_of, draw, read_points, write_points
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
    return Strata(
        GRID, (110, 120, 130), names, tuple(tiles), tuple(places), np.array(pixels), "abc", INDICES, "1a2b3c"
    ), whole


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


def filled_in(path: Path, references: pd.Series) -> None:
    """The file with its column ``reference`` filled in, by id."""
    frame = pd.read_csv(path) if path.suffix == ".csv" else gpd.read_file(path)
    frame["reference"] = frame["id"].map(references)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_file(path, driver="GPKG", layer="points")


@pytest.mark.parametrize("name", ["points.csv", "points.gpkg"])
def test_an_interpreter_does_not_see_what_the_map_says_and_a_second_file_brings_it_back(
    tmp_path: Path, name: str
) -> None:
    strata, _ = made_strata(tmp_path)
    frame, path = draw(strata, np.array([20, 20, 6]), 2), str(tmp_path / name)
    assert write_points(frame, path) == design_of(path) == str(tmp_path / "points.design.parquet")
    seen = pd.read_csv(path) if name.endswith("csv") else gpd.read_file(path)
    assert set(seen.columns) - {"geometry"} == {"id", "x", "y", "longitude", "latitude", "reference"}
    assert seen["reference"].isna().all() and seen["id"].tolist() == list(range(1, 47))
    runs = (frame["map_code"].to_numpy()[1:] != frame["map_code"].to_numpy()[:-1]).sum()
    assert runs > 15, "classes come in no order"
    hidden = pd.read_parquet(design_of(path))
    assert list(hidden.columns) == list(DESIGN) and set(hidden["map"]) == {strata.map}
    chance = hidden.groupby("map_code")["inclusion_probability"].first()
    assert chance[130] == 6 / strata.pixels.sum(axis=0)[2]
    with pytest.raises(InputError, match="is there already"):
        write_points(frame, path)
    empty = read_points(path)
    assert empty["reference"].isna().all() and empty["map_code"].tolist() == frame["map_code"].tolist()
    references = frame.set_index("id")["map_code"].astype("Int64")
    references[[1, 2, 3]] = pd.NA
    filled_in(Path(path), references)
    found = estimate(read_points(path), strata, path)
    assert found.unfilled == 3 and found.checked and found.areas.overall == 1.0 and found.missing == 0
    np.testing.assert_allclose(found.areas.area, strata.area_km2)
    if name.endswith("gpkg"):
        lonlat = gpd.read_file(path).to_crs("EPSG:4326").geometry
        np.testing.assert_allclose(lonlat.x, frame["longitude"], atol=1e-6)
    moved = tmp_path / "elsewhere.parquet"
    Path(design_of(path)).rename(moved)
    with pytest.raises(InputError, match=r"the file of what the map says.*--design"):
        read_points(path)
    assert estimate(read_points(path, str(moved)), strata, path).unfilled == 3


def test_points_that_are_none_of_the_sample_are_refused_and_what_stands_for_no_reference_is_told(
    tmp_path: Path,
) -> None:
    strata, _ = made_strata(tmp_path)
    frame, path = draw(strata, np.array([20, 20, 6]), 2), str(tmp_path / "points.csv")
    write_points(frame, path)
    filled_in(Path(path), frame.set_index("id")["map_code"])
    whole = pd.read_csv(path, dtype=str)

    def changed(table: pd.DataFrame) -> str:
        table.to_csv(path, index=False)
        return path

    for table, words in (
        (pd.concat([whole, whole[whole["id"] == "7"]]), "point 7 stands there twice"),
        (whole.assign(id=whole["id"].replace("7", "700")), "point 700 is none of the 46 that were drawn"),
        (
            whole.assign(x=whole["x"].mask(whole["id"] == "7", "500123.0")),
            "point 7 stands .* m from where it was drawn",
        ),
        (whole.assign(reference="wheat"), "reference holds 'wheat'"),
        (whole.drop(columns="id"), "no column"),
    ):
        with pytest.raises(InputError, match=words):
            read_points(changed(table))
    few = whole[whole["id"] != "5"].copy()
    few.loc[few["id"].isin(["1", "2"]), "reference"] = "NA"
    few.loc[few["id"] == "3", "reference"] = "  "
    few.loc[few["id"].isin(["10", "11", "12"]), "reference"] = "999"
    found = estimate(read_points(changed(few)), strata, path)
    assert (found.missing, found.unfilled, dict(found.written)) == (1, 3, {"NA": 2})
    assert "3 points have no reference" in found.notes[0] and "1 points of those drawn" in found.notes[1]
    assert found.names[3] == "code 999, not of the map" and int(found.matrix.sum()) == 42
    told = " ".join(found.notes)
    assert "2 points hold 'NA'" in told and "code 999, not of the map (3)" in told


def test_a_stratum_with_too_few_points_has_no_interval_and_says_so(tmp_path: Path) -> None:
    strata, _ = made_strata(tmp_path)
    frame = draw(strata, np.array([20, 20, 6]), 2)
    one = frame.assign(reference=frame["map_code"]).astype({"reference": "Int64"})
    beet = one["map_code"] == 130
    one.loc[beet & (one["id"] != one.loc[beet, "id"].iloc[0]), "reference"] = pd.NA
    found = estimate(one, strata, "table")
    row, overall = found.row(0), found.overall
    assert row["estimated_km2"]["value"] > 0 and np.isnan(row["estimated_km2"]["low"])
    assert (
        row["estimated_km2"]["reason"] == overall["reason"] == "not defined: too few points: 1 where the map says beet"
    )
    assert found.row(2)["users_accuracy"]["reason"].startswith("not defined: too few points")
    assert 0 < row["users_accuracy"]["low"] < 1 == row["users_accuracy"]["high"], "20 of 20 are no proof"
    assert any("1 where the map says beet" in note for note in found.notes)
    one.loc[beet, "reference"] = pd.NA
    found = estimate(one, strata, "table")
    assert np.isnan(found.row(0)["estimated_km2"]["value"]) and found.row(0)["users_accuracy"]["value"] == 1
    everywhere = estimate(frame.assign(reference=frame["map_code"]), strata, "table")
    for index in range(3):
        area = everywhere.row(index)["estimated_km2"]
        assert area["low"] < area["value"] < area["high"], "never ± 0"
        assert everywhere.row(index)["producers_accuracy"]["low"] < 1
    with pytest.raises(InputError, match="not one point has a reference"):
        estimate(frame, strata, "table")


def test_a_file_of_before_there_were_two_is_read_still(tmp_path: Path) -> None:
    strata, _ = made_strata(tmp_path)
    frame = draw(strata, np.array([20, 20, 6]), 2)
    old = pd.DataFrame(frame)[["id", "map_code", "map_name", "x", "y", "longitude", "latitude"]]
    path = tmp_path / "old.csv"
    old.assign(design=strata.design, reference=frame["map_code"]).to_csv(path, index=False)
    found = estimate(read_points(str(path)), strata, str(path))
    assert found.checked and int(found.matrix.sum()) == 46
    with pytest.raises(InputError, match="its strata are others"):
        estimate(read_points(str(path)), replace(strata, model="other"), str(path))


def test_the_worked_example_of_olofsson_2014_comes_through_a_table_of_points() -> None:
    rows = [(i, j) for i in range(4) for j in range(4) for _ in range(OLOFSSON[i, j])]
    codes = (1, 2, 3, 4)
    points = pd.DataFrame({"map_code": [codes[i] for i, _ in rows], "reference": [codes[j] for _, j in rows]})
    grid = replace(GRID, resolution=1000.0, crs="EPSG:3035", left=4_000_000.0, top=3_000_000.0)  # equal-area
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
        estimate(filled, replace(strata, map="other"), "table")
    with pytest.raises(InputError, match=r"map_code \[5\]"):
        estimate(filled.assign(map_code=5), strata, "table")
    for name, text, said in (
        ("words.csv", "map_code,reference\n110,wheat\n", "reference holds 'wheat'"),
        ("half.csv", "map_code,reference\n110,1.5\n", "reference holds '1.5'"),
        ("other.csv", "a,b\n1,2\n", "no column"),
        ("semicolons.csv", "id;x;y;reference\n1;2;3;4\n", "'id;x;y;reference'.*separated by commas"),
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
