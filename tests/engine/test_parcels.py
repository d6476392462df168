"""Registers dealt out to tiles, pixels of parcels, their series and votes, and the table; real registers too."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from engine.errors import InputError, TileError
from engine.grid import GridOptions, make_grid, project_area, tiles_of
from engine.models import ClassEntry
from engine.objects import Objects
from engine.parcels import (
    NONE,
    Dealt,
    ParcelOptions,
    Verdicts,
    bulk,
    choose,
    footprints,
    held,
    parcel_file,
    parcel_means,
    parcel_series,
    read_part,
    register_identity,
    take_in,
    tally,
)
from engine.parcels.pixels import POINT, WITHIN
from tests.engine.made_scenes import CRS, LEFT, TOP, made_grid

GRID = made_grid(48, 48, 16)
TILES = [GRID.tile(row, col) for row in range(3) for col in range(3)]
WHOLE = shapely.box(LEFT, TOP - 480, LEFT + 480, TOP)
CLASSES = [ClassEntry(code=10 * i, name=f"crop {i}", colour="#000000") for i in range(1, 5)]


def polygon(x0: float, y0: float, x1: float, y1: float) -> shapely.Geometry:
    """Box in metres from the grid's upper left corner."""
    return shapely.box(LEFT + x0, TOP - y1, LEFT + x1, TOP - y0)


def write(path: Path, shapes: dict[Any, Any], crs: str | None = CRS, to: str | None = None) -> ParcelOptions:
    frame = gpd.GeoDataFrame({"name": list(shapes)}, geometry=list(shapes.values()), crs=crs)
    frame = frame.to_crs(to) if to else frame
    if path.suffix == ".parquet":
        frame.to_parquet(path, write_covering_bbox=True)
    else:
        frame.to_file(path)
    return ParcelOptions(uri=str(path), id="name")


def dealt(options: ParcelOptions, store: Objects, area: shapely.Geometry = WHOLE) -> dict[str, list[Any]]:
    """Names of the parcels of every tile that has any, as they are read back."""
    register = take_in(options, GRID, area, TILES, store)
    assert held(store) == register
    tiles = {tile.id: tile for tile in TILES}
    return {name: read_part(store, tiles[name], part.sha256).ids.to_pylist() for name, part in register.parts.items()}


FIELDS = {
    "b": polygon(10, 10, 60, 60),
    "a": polygon(70, 70, 100, 100),
    "long": polygon(-50, 200, 530, 230),
    "outside": polygon(-400, 10, -300, 60),
}


@pytest.mark.parametrize(
    ("name", "to"),
    [("p.parquet", None), ("p.parquet", "EPSG:3035"), ("p.gpkg", "EPSG:4326"), ("p.geojson", "EPSG:4326")],
)
def test_a_register_of_any_format_and_crs_is_dealt_out_by_representative_points(
    tmp_path: Path, name: str, to: str | None
) -> None:
    options = write(tmp_path / name, FIELDS, to=to)
    store = Objects(str(tmp_path / "dealt"))
    assert dealt(options, store) == {"r0000c0000": ["a", "b"], "r0001c0001": ["long"]}
    register = held(store)
    assert register and register.about == {
        "rows": 4, "kept": 3, "outside": 1, "left_out": {}, "changed": {},
        "cut": {"parcels": 1, "such_as": ["long"]},
    }  # fmt: skip
    assert register.parts["r0001c0001"].reaches == ("r0001c0000", "r0001c0002")
    assert register.parts["r0000c0000"].reaches == () and register.parts["r0000c0000"].pixels in range(36, 40)


def test_without_a_name_column_parcels_bear_the_number_of_their_row(tmp_path: Path) -> None:
    for name in ("p.parquet", "p.gpkg"):
        options = write(tmp_path / name, FIELDS).model_copy(update={"id": None})
        found = dealt(options, Objects(str(tmp_path / f"dealt-{name}")))
        first = 0 if name == "p.parquet" else 1  # a GeoPackage counts from 1
        assert found == {"r0000c0000": [first, first + 1], "r0001c0001": [first + 2]}


def test_equal_registers_are_dealt_out_in_equal_bytes_whatever_the_order_of_their_rows(tmp_path: Path) -> None:
    backwards = dict(reversed(FIELDS.items()))
    first, second = Objects(str(tmp_path / "first")), Objects(str(tmp_path / "second"))
    dealt(write(tmp_path / "p.parquet", FIELDS), first)
    dealt(write(tmp_path / "q.parquet", backwards), second)
    keys = sorted(entry.key for entry in first.entries())
    assert len(keys) == 4 and [first.get(key) for key in keys] == [second.get(key) for key in keys]


def test_what_cannot_be_used_is_left_out_with_its_reason(tmp_path: Path) -> None:
    corner = [(LEFT, TOP), (LEFT + 90, TOP - 90), (LEFT + 90, TOP), (LEFT, TOP - 90)]
    shapes = {
        "good": polygon(10, 10, 60, 60),
        "bow": shapely.Polygon(corner),
        "none": None,
        "empty": shapely.Polygon(),
        "line": shapely.LineString(corner),
        None: polygon(70, 70, 100, 100),
        "huge": shapely.box(LEFT, TOP - 20_000, LEFT + 20_000, TOP),
    }
    store = Objects(str(tmp_path / "dealt"))
    assert dealt(write(tmp_path / "p.parquet", shapes), store) == {"r0000c0000": ["bow", "good"]}
    register = held(store)
    assert register and register.about["changed"] == {"repaired: Self-intersection": {"parcels": 1, "such_as": ["bow"]}}
    assert {why: row["such_as"] for why, row in register.about["left_out"].items()} == {
        "an empty geometry": ["empty"],
        "larger than 1000000 pixels": ["huge"],
        "no geometry": ["none"],
        "no id": [],
        "no polygon": ["line"],
    }
    about = register.about
    assert about["rows"] == 7 == about["kept"] + about["outside"] + len(about["left_out"])


def test_a_parcel_whose_point_lies_on_a_tile_that_is_not_planned_goes_to_its_neighbour(tmp_path: Path) -> None:
    area = polygon(0, 0, 164, 160)  # it enters the second column of tiles by less than half a pixel
    planned = tiles_of(GRID, area)
    assert [tile.id for tile in planned] == ["r0000c0000"]
    options = write(tmp_path / "p.parquet", {"edge": polygon(161, 10, 163, 60)})
    register = take_in(options, GRID, area, planned, Objects(str(tmp_path / "dealt")))
    assert {name: part.parcels for name, part in register.parts.items()} == {"r0000c0000": 1}


def test_many_batches_lose_and_double_no_parcel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.vectors.ogr.BATCH", 50)
    monkeypatch.setattr("engine.vectors.parquet.BATCH", 50)
    rng = np.random.default_rng(4)
    corners = rng.uniform(0, 470, (700, 2))
    shapes = {f"p{i:04d}": polygon(x, y, x + 8, y + 8) for i, (x, y) in enumerate(corners)}
    for name in ("p.parquet", "p.gpkg"):
        found = dealt(write(tmp_path / name, shapes), Objects(str(tmp_path / f"dealt-{name}")))
        for tile in TILES:
            left, bottom, right, top = GRID.bounds(tile.core)
            at = {k for k, s in shapes.items() if left <= s.centroid.x < right and bottom < s.centroid.y <= top}
            assert set(found[tile.id]) == at
        assert sum(map(len, found.values())) == len(shapes)


@pytest.mark.parametrize(
    ("shapes", "options", "crs", "words"),
    [
        ({"a": polygon(10, 10, 60, 60)}, {"id": "nam"}, CRS, r"has no column 'nam'; it has (fid, )?name"),
        ({"a": polygon(10, 10, 60, 60)}, {}, None, "says no CRS"),
        ({"a": polygon(-90, 10, -10, 60)}, {}, CRS, "none of"),
    ],
)
def test_a_register_that_cannot_be_used_is_refused(
    tmp_path: Path, shapes: Any, options: Any, crs: str | None, words: str
) -> None:
    for name in ("p.parquet", "p.gpkg"):
        mine = write(tmp_path / name, shapes, crs).model_copy(update=options)
        store = Objects(str(tmp_path / "dealt"))
        with pytest.raises(InputError, match=words):
            take_in(mine, GRID, WHOLE, TILES, store)
        assert held(store) is None


def test_a_name_that_stands_there_twice_is_refused_and_one_outside_the_area_does_not_matter(tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame({"name": ["a", "b", "a"]}, geometry=list(FIELDS.values())[:3], crs=CRS)
    frame.to_parquet(tmp_path / "p.parquet")
    options = ParcelOptions(uri=str(tmp_path / "p.parquet"), id="name")
    with pytest.raises(InputError, match="more than once, such as 'a', 2 times"):
        take_in(options, GRID, WHOLE, TILES, Objects(str(tmp_path / "dealt")))
    frame.geometry = [*list(FIELDS.values())[:2], FIELDS["outside"]]
    frame.to_parquet(tmp_path / "p.parquet")
    assert dealt(options, Objects(str(tmp_path / "dealt"))) == {"r0000c0000": ["a", "b"]}


def test_a_missing_file_a_table_without_geometry_and_two_layers_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"name": ["a"]}), tmp_path / "plain.parquet")
    write(tmp_path / "two.gpkg", FIELDS)
    gpd.read_file(tmp_path / "two.gpkg").to_file(tmp_path / "two.gpkg", layer="more")
    words = {"gone.parquet": "no such file", "gone.gpkg": "no such file", "plain.parquet": "no geometry",
             "two.gpkg": "2 layers"}  # fmt: skip
    for name, word in words.items():
        with pytest.raises(InputError, match=word):
            take_in(
                ParcelOptions(uri=str(tmp_path / name), id="name"), GRID, WHOLE, TILES, Objects(str(tmp_path / "d"))
            )


def test_a_part_that_was_changed_is_not_read(tmp_path: Path) -> None:
    store = Objects(str(tmp_path / "dealt"))
    register = take_in(write(tmp_path / "p.parquet", FIELDS), GRID, WHOLE, TILES, store)
    store.put("r0000c0000.parquet", store.get("r0001c0001.parquet"))
    with pytest.raises(TileError, match="gone or differ"):
        read_part(store, TILES[0], register.parts["r0000c0000"].sha256)


def test_another_register_or_area_has_another_identity(tmp_path: Path) -> None:
    options = write(tmp_path / "p.parquet", FIELDS)
    same = register_identity(options, GRID, WHOLE)
    assert register_identity(options, GRID, WHOLE) == same
    assert register_identity(options.model_copy(update={"method": "vote", "inward_px": 0}), GRID, WHOLE) == same
    others = {
        register_identity(options.model_copy(update={"id": None}), GRID, WHOLE),
        register_identity(options, GRID, WHOLE.buffer(10)),
        register_identity(options, made_grid(48, 48, 24), WHOLE),
        register_identity(write(tmp_path / "p.parquet", {"a": FIELDS["a"]}), GRID, WHOLE),
    }
    assert len(others | {same}) == 5


def test_pixels_are_those_whose_centre_lies_well_inside_else_inside_else_under_the_point() -> None:
    shapes = np.array([polygon(10, 10, 60, 50), polygon(101, 101, 118, 160), polygon(201, 201, 203, 203)])
    found, kind = choose(*all_there(footprints(GRID, shapes, 1.0)))
    assert kind.tolist() == [0, WITHIN, POINT]
    taken = [sorted(zip(found.row[found.owner == i], found.col[found.owner == i], strict=True)) for i in range(3)]
    assert taken[0] == [(y, x) for y in (2, 3) for x in (2, 3, 4)]
    assert taken[1] == [(y, x) for y in range(10, 16) for x in (10, 11)]
    assert taken[2] == [(20, 20)]


def test_pixels_that_are_not_there_give_way_to_the_next_kind() -> None:
    found = footprints(GRID, np.array([polygon(10, 10, 60, 60)]), 1.0)
    for gone, kind, pixels in ((found.level == 0, WITHIN, 16), (found.level < POINT, POINT, 1)):
        left, source = choose(found, ~gone)
        assert source.tolist() == [kind] and len(left.owner) == pixels
    nothing, source = choose(found, np.zeros(len(found.owner), bool))
    assert source.tolist() == [NONE] and len(nothing.owner) == 0


def test_pixels_agree_with_the_distance_to_the_edge_also_across_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    shapes = np.array([shapely.MultiPoint(rng.uniform([LEFT, TOP - 480], [LEFT + 480, TOP], (6, 2))).convex_hull
                       for _ in range(12)])  # fmt: skip
    whole = footprints(GRID, shapes, 1.5)
    monkeypatch.setattr("engine.parcels.pixels._AT_ONCE", 100)
    for one, other in zip((getattr(whole, n) for n in ("owner", "row", "col", "level")),
                          (getattr(footprints(GRID, shapes, 1.5), n) for n in ("owner", "row", "col", "level")),
                          strict=True):  # fmt: skip
        np.testing.assert_array_equal(one, other)
    y, x = np.mgrid[:48, :48]
    centres = shapely.points(LEFT + 10 * x + 5, TOP - 10 * y - 5)
    for i, shape in enumerate(shapes):
        deep = shapely.contains(shape, centres) & (shapely.distance(centres, shape.boundary) > 15)
        mine = (whole.owner == i) & (whole.level == 0)
        assert set(zip(whole.row[mine], whole.col[mine], strict=True)) == set(zip(*np.nonzero(deep), strict=True))


def all_there(found: Any) -> Any:
    return found, np.ones(len(found.owner), np.bool_)


def test_series_are_the_median_and_the_mean_and_votes_the_mean() -> None:
    rng = np.random.default_rng(3)
    owner = np.sort(rng.integers(0, 5, 200)).astype(np.int32)
    owner[owner == 3] = 4  # the fourth parcel has no pixel
    x = rng.normal(0, 1, (4, 3, 200)).astype(np.float32)
    x[0, 0, ::7] = np.nan
    x[1, 1, owner == 2] = np.nan
    for statistic, of in (("median", np.nanmedian), ("mean", np.nanmean)):
        found = parcel_series(owner, x, 5, statistic)
        for i in (0, 1, 2, 4):
            mine = x[:, :, owner == i].astype(float)
            whole = ~np.isnan(mine).all(axis=2)
            np.testing.assert_allclose(found[i][whole], of(mine[whole], axis=1), atol=1e-6)
            assert np.isnan(found[i][~whole]).all()
        assert np.isnan(found[3]).all() and (~np.isnan(found[2])).sum() == 11
    p = rng.random((200, 6), dtype=np.float32)
    votes = parcel_means(owner, p, 5)
    for i in (0, 1, 2, 4):
        np.testing.assert_allclose(votes[i], p[owner == i].mean(axis=0), atol=1e-6)
    assert np.isnan(votes[3]).all()


@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_a_series_does_not_depend_on_the_order_of_pixels(statistic: Any) -> None:
    rng = np.random.default_rng(5)
    x = rng.lognormal(0, 4, (3, 2, 501)).astype(np.float32)
    x[0, 0, 0] = np.inf
    owner = np.zeros(501, np.int32)
    one = parcel_series(owner, x, 1, statistic)
    other = parcel_series(owner, np.ascontiguousarray(x[:, :, rng.permutation(501)]), 1, statistic)
    np.testing.assert_array_equal(one, other)


def test_parcels_are_done_in_bulk_and_none_is_torn_or_forgotten() -> None:
    shapes = np.array([polygon(0, 0, 480, 10 * n) for n in (1, 2, 20, 1, 1, 1)])
    found = footprints(GRID, shapes, 0.0)
    parts = list(bulk(found, 120))
    assert [(a.start, a.stop) for a, _ in parts] == [(0, 1), (1, 2), (2, 3), (3, 5), (5, 6)]
    assert [b.start for _, b in parts[1:]] == [b.stop for _, b in parts[:-1]]
    for some, own in parts:
        assert set(found.owner[own]) == set(range(some.start, some.stop))
    assert parts[-1][1].stop == len(found.owner)


def made_table(review_below: float = 0.65) -> bytes:
    p = np.array([[0.1, 0.65, 0.2, 0.05], [0.3, 0.1, 0.3, 0.3], [np.nan] * 4], np.float32)
    verdicts = Verdicts(p, np.array([9, 1, 0], np.int32), np.array([0, 2, 3], np.uint8), np.array([7, 3, 0], np.int16))
    shapes = np.array([polygon(10, 10, 60, 60), polygon(70, 70, 75, 75), polygon(100, 100, 140, 120)])
    dealt = Dealt(pa.array(["a", "b", "c"]), shapes, np.array([0.6, 1.0, 1.0]))
    return parcel_file(dealt, verdicts, CLASSES, crs=CRS, tile="r0000c0000", review_below=review_below)


def test_a_table_is_geoparquet_with_crops_in_order_and_what_is_to_be_looked_at() -> None:
    data = made_table()
    assert data == made_table(), "equal parcels give equal bytes"
    frame = gpd.read_parquet(io.BytesIO(data), bbox=(LEFT, TOP - 80, LEFT + 80, TOP)).set_index("id")
    assert frame.crs == CRS and list(frame.index) == ["a", "b"], "the covering box is there to be asked"
    a, b = frame.loc["a"], frame.loc["b"]
    assert (a["crop"], a["code"], a["crop_2"], a["crop_3"]) == ("crop 2", 20, "crop 3", "crop 1")
    assert (b["crop"], b["crop_2"], b["crop_3"]) == ("crop 1", "crop 3", "crop 4"), "the first of equals"
    assert a["confidence"] == np.float32(0.65) and not a["review"] and b["review"]
    assert (
        a["area_m2"] == pytest.approx(2502, abs=0.5)
        and a["area_judged_m2"] == pytest.approx(1501.2, abs=0.5)
        and a["cut"]
        and not b["cut"]
        and a["pixels_from"] == "interior"
        and a["n_valid"] == 7
    )
    whole = gpd.read_parquet(io.BytesIO(data)).set_index("id")
    lost = whole.loc["c"]
    assert lost["review"] and lost["pixels_from"] == "none" and np.isnan(lost["confidence"])
    assert whole["crop"].isna().tolist() == [False, False, True]
    assert gpd.read_parquet(io.BytesIO(made_table(0.66)))["review"].all()


def test_a_record_keeps_parcels_area_and_review_by_code() -> None:
    assert tally(made_table()) == {
        "by_code": {"10": [1, 25.02, 1], "20": [1, 1501.2, 0], "none": [1, 800.64, 1]},
        "from": {"interior": 1, "parcel": 0, "point": 1, "none": 1},
    }


REAL = {
    "nl/brpgewaspercelen_definitief_2023.gpkg": (None, 100),
    "ch/lwb_nutzungsflaechen_v2_0_lv95.gpkg": ("nutzungsidentifikator", 100),
    "it_1/iti1_2023.parquet": ("off_id", 100),
    "jp/jp_field_polygons_2024.parquet": ("polygon_uuid", 100),
    "hr/land_parcels.gpkg": (None, 100),
    "fi/LandUse.ExistingLandUse.GSAAAgriculturalParcel.gpkg": (None, 100),
}


@pytest.mark.parametrize("name", REAL)
def test_real_registers_are_read_every_parcel_accounted_for(repo_root: Path, tmp_path: Path, name: str) -> None:
    path = (repo_root / ".." / "shared" / "data" / "parcels-fiboa" / name).resolve()
    if not path.exists():
        pytest.skip(f"real data is not beside the repository: {path}")
    column, number = REAL[name]
    frame = gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path)
    area = shapely.box(*frame.to_crs("EPSG:4326").total_bounds).buffer(0.01)
    crs = str(frame.to_crs("EPSG:4326").estimate_utm_crs())
    grid = make_grid(area, GridOptions(crs=crs, resolution=100, tile_px=1024))
    projected = project_area(area, grid)
    register = take_in(
        ParcelOptions(uri=str(path), id=column), grid, projected, tiles_of(grid, projected), Objects(str(tmp_path))
    )
    about = register.about
    left_out = sum(row["parcels"] for row in about["left_out"].values())
    assert about["kept"] + about["outside"] + left_out == about["rows"] == number == len(frame)
    assert about["kept"] >= 0.9 * number and sum(part.parcels for part in register.parts.values()) == about["kept"]


def test_a_real_table_of_parcels_without_georeference_is_refused(repo_root: Path, tmp_path: Path) -> None:
    path = (repo_root / "../shared/data/corsica-parcels-2022/2022_FRA_LPIS_POLY_110.geoparquet").resolve()
    if not path.exists():
        pytest.skip(f"real data is not beside the repository: {path}")
    with pytest.raises(InputError, match="no geometry"):
        take_in(ParcelOptions(uri=str(path)), GRID, WHOLE, TILES, Objects(str(tmp_path)))
