"""One reader of vector files: formats, layers, curves, CRSs, text, and polygons as people have them."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import pytest
import shapely

from engine.errors import InputError, SpecError
from engine.vectors import VectorFile, file_identity, identifiers, opened, read_header, read_polygons
from tests.engine.made_scenes import CRS, LEFT, TOP
from tests.engine.made_vectors import (
    SURFACE,
    TIN,
    big_register,
    circle,
    frame,
    half_circle,
    nested,
    numbered_shapefile,
    polygon,
    set_bytes,
    set_srs,
    shapefile,
    write_wkb,
    zipped,
)


def file(path: Path | str, **more: Any) -> VectorFile:
    return VectorFile(str(path), "labels", **more)


def values(path: Path | str, column: str, **more: Any) -> list[Any]:
    return list(read_polygons(file(path, **more), [column], CRS).columns[column].to_pylist())


@pytest.mark.parametrize(
    "name", ["p.gpkg", "p.fgb", "p.geojson", "p.json", "p.shp", "p.parquet", "p.geoparquet", "P.GPKG", "p.zip"]
)
@pytest.mark.parametrize("crs", [CRS, "EPSG:4326"])
def test_every_format_gives_the_same_polygons(tmp_path: Path, name: str, crs: str) -> None:
    given = frame(code=[3301060600, 2**53 + 1, 7], name=["Köln", "007", "NA"])
    path, there = tmp_path / name, given.to_crs(crs)
    if name.endswith("parquet"):
        there.to_parquet(path)
    elif name == "p.zip":
        (tmp_path / "p").mkdir()
        there.to_file(tmp_path / "p" / "p.shp")
        zipped(tmp_path / "p")
    else:
        driver = {".json": "GeoJSON", ".GPKG": "GPKG"}.get(path.suffix)
        there.to_file(path, driver=driver)
    found = read_polygons(file(path), ["code", "name"], CRS)
    if name == "p.fgb":  # its index orders the rows
        assert sorted(found.columns["code"].to_pylist()) == [7, 3301060600, 2**53 + 1]
        return
    assert found.columns["code"].to_pylist() == [3301060600, 2**53 + 1, 7]
    assert found.columns["name"].to_pylist() == ["Köln", "007", "NA"]
    np.testing.assert_allclose(shapely.area(found.shapes), 1600, rtol=1e-4)
    assert not found.left_out and not found.changed and found.header.rows == 3


def test_an_archive_of_several_folders_is_refused_unless_a_layer_names_one(tmp_path: Path) -> None:
    for year in (2022, 2023):
        (tmp_path / "p" / str(year)).mkdir(parents=True)
        frame(code=[year]).to_file(tmp_path / "p" / str(year) / f"fields{year}.shp")
    path = zipped(tmp_path / "p")
    with pytest.raises(InputError, match=r"2022/fields2022\.shp, 2023/fields2023\.shp"):
        values(path, "code")
    assert values(path, "code", layer="fields2023") == [2023]


def test_what_a_mac_packs_beside_a_shapefile_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "p" / "__MACOSX").mkdir(parents=True)
    frame(code=[7]).to_file(tmp_path / "p" / "fields.shp")
    (tmp_path / "p" / "__MACOSX" / "._fields.shp").write_bytes(b"Mac OS X")
    assert values(zipped(tmp_path / "p"), "code") == [7]


def test_other_formats_and_wrong_contents_are_refused_with_those_that_are_read(tmp_path: Path) -> None:
    (tmp_path / "p.kml").write_text("<kml/>")
    (tmp_path / "p.gpkg").write_text("no such thing")
    (tmp_path / "empty").mkdir()
    (tmp_path / "p.json").write_text(json.dumps({"type": "Topology", "objects": {}, "arcs": []}))
    for name in ("p.kml", "p.gpkg", "empty", "p.json"):
        with pytest.raises(InputError, match=r"FlatGeobuf \(\.fgb\), GeoJSON"):
            read_header(file(tmp_path / name))


def test_several_layers_are_refused_unless_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "two.gpkg"
    frame(code=[1]).to_file(path, layer="fields 2023")
    frame(code=[2, 3]).to_file(path, layer="fields 2024")
    with pytest.raises(InputError, match=r"2 layers.*fields 2023, fields 2024.*labels\.layer: one of"):
        read_header(file(path))
    with pytest.raises(InputError, match=r"no layer '2024'.*it has fields 2023, fields 2024"):
        read_header(file(path, layer="2024"))
    assert values(path, "code", layer="fields 2024") == [2, 3]
    assert values(path, "code", usual="fields 2023") == [1]
    frame(code=[1]).to_parquet(tmp_path / "p.parquet")
    with pytest.raises(InputError, match="Parquet has no layers"):
        read_header(file(tmp_path / "p.parquet", layer="fields"))


@pytest.mark.parametrize("driver", ["GPKG", "FlatGeobuf"])
def test_curves_become_straight_lines_and_are_told(tmp_path: Path, driver: str) -> None:
    path = tmp_path / ("c.gpkg" if driver == "GPKG" else "c.fgb")
    plain = shapely.to_wkb(polygon(10, 10, 20, 20))
    surface = nested(SURFACE, circle(50, 50, 20), plain)
    mixed = nested(7, circle(120, 50, 20))
    blobs = [circle(50, 50, 20), half_circle(120, 50, 20), surface, plain, mixed]
    write_wkb(path, blobs, driver, code=[1, 2, 3, 4, 5])
    found = read_polygons(file(path), ["code"], CRS)
    whole = math.pi * 20**2
    areas = dict(zip(found.columns["code"].to_pylist(), shapely.area(found.shapes).tolist(), strict=True))
    expected = {1: whole, 2: whole / 2, 3: whole + 100, 4: 100, 5: whole}
    assert areas == pytest.approx(expected, rel=1e-4)
    assert found.changed == {
        "curves were made of straight lines": 4
    } and not found.left_out  # fmt: skip


def test_every_row_that_cannot_be_used_or_was_changed_is_counted_with_its_reason(tmp_path: Path) -> None:
    shape = polygon(10, 10, 50, 50)
    point, cross = shapely.Point(LEFT, TOP), [(0, 0), (40, 40), (40, 0), (0, 40), (0, 0)]
    ring = shapely.get_coordinates(shape)[:4]
    open_ring = struct.pack("<BIII", 1, 3, 1, 4) + ring.astype("<f8").tobytes()
    flat = shapely.Polygon([(LEFT, TOP), (LEFT + 9, TOP - 9), (LEFT + 18, TOP - 18), (LEFT, TOP)])
    wild = shapely.Polygon([(0, 0), (1e300, 0), (1e300, 1e300)])
    blobs = {
        "used": shapely.to_wkb(shape),
        "height": shapely.to_wkb(shapely.force_3d(shape, 9.0)),
        "no geometry": None,
        "an empty geometry": shapely.to_wkb(shapely.Polygon()),
        "no polygon": shapely.to_wkb(point),
        "Self-intersection, beyond repair": shapely.to_wkb(flat),
        "repaired: Self-intersection": shapely.to_wkb(shapely.Polygon([(LEFT + x, TOP - y) for x, y in cross])),
        "rings were closed": open_ring,
        "a TIN, not a polygon": nested(TIN, nested(17, b"")[:9]),
        "polygons were taken out of a collection": shapely.to_wkb(shapely.GeometryCollection([point, shape])),
        "of points": shapely.to_wkb(shapely.GeometryCollection([point])),
        "wild": shapely.to_wkb(wild),
    }
    table = pa.table({"code": list(blobs), "geometry": pa.array(list(blobs.values()), pa.binary())})
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": {
        "encoding": "WKB", "geometry_types": [], "crs": pyproj.CRS(CRS).to_json_dict()}}}  # fmt: skip
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), tmp_path / "odd.parquet")
    found = read_polygons(file(tmp_path / "odd.parquet"), ["code"], "EPSG:3035")
    used = {"used", "height", *found.changed}
    assert set(found.columns["code"].to_pylist()) == used and not shapely.has_z(found.shapes).any()
    assert found.changed == dict.fromkeys(
        ["repaired: Self-intersection", "rings were closed", "polygons were taken out of a collection"], 1
    )
    assert found.left_out == {
        "no geometry": 1, "an empty geometry": 1, "no polygon": 2, "a TIN, not a polygon": 1,
        "coordinates that are not those of its CRS": 1,
        next(why for why in found.left_out if "beyond repair" in why): 1,
    }  # fmt: skip
    assert found.left_out.total() + len(found.row) == len(blobs)


@pytest.mark.parametrize("shape", [shapely.Point(LEFT, TOP), shapely.LineString([(LEFT, TOP), (LEFT + 9, TOP)])])
@pytest.mark.parametrize("name", ["p.gpkg", "p.fgb", "p.geojson", "p.shp", "p.parquet"])
def test_points_and_lines_are_refused_with_the_reason(tmp_path: Path, shape: Any, name: str) -> None:
    given = frame(code=[1]).set_geometry([shape], crs=CRS)
    given = given.to_crs("EPSG:4326") if name == "p.geojson" else given
    given.to_parquet(tmp_path / name) if name == "p.parquet" else given.to_file(tmp_path / name)
    with pytest.raises(InputError, match=rf"holds {shape.geom_type}; .*points and lines are not supported.*buffer"):
        read_polygons(file(tmp_path / name), ["code"], CRS)


@pytest.mark.parametrize(
    ("crs", "shift", "words"),
    [
        (None, 0.0, "says no CRS.*a_srs"),
        ("EPSG:4326", 0.0, "not those of WGS 84.*longitude -180 to 180 first"),
        ("IAU_2015:30110", -LEFT, "of another body than the earth"),
        ('ENGCRS["site",EDATUM["here"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]', 0.0,
         "is a Engineering CRS"),
        ("EPSG:27700", 5e6, "degrees away from where it is used|not those of"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["p.gpkg", "p.parquet"])
def test_an_unset_a_foreign_and_a_wrong_crs_are_refused(
    tmp_path: Path, name: str, crs: str | None, shift: float, words: str
) -> None:
    given = frame(crs=None, code=[1])
    given = given.set_geometry(given.translate(shift)).set_crs(crs) if crs else given
    given.to_parquet(tmp_path / name) if name == "p.parquet" else given.to_file(tmp_path / name)
    with pytest.raises(InputError, match=words):
        read_header(file(tmp_path / name))


def test_undefined_references_of_a_geopackage_are_no_crs_and_degrees_are_not_metres(tmp_path: Path) -> None:
    for number in (-1, 0):
        frame(code=[1]).to_file(tmp_path / "p.gpkg")
        set_srs(tmp_path / "p.gpkg", number)
        with pytest.raises(InputError, match="says no CRS"):
            read_header(file(tmp_path / "p.gpkg"))
        (tmp_path / "p.gpkg").unlink()
    frame(code=[1]).to_crs("EPSG:4326").set_crs(CRS, allow_override=True).to_file(tmp_path / "d.gpkg")
    with pytest.raises(InputError, match="look like degrees; expected: metres"):
        read_header(file(tmp_path / "d.gpkg"))


def test_geoparquet_without_crs_is_longitude_and_latitude_and_native_encodings_are_read(tmp_path: Path) -> None:
    frame(code=[1, 2]).to_crs("OGC:CRS84").to_parquet(tmp_path / "p.parquet", geometry_encoding="geoarrow")
    table = pq.read_table(tmp_path / "p.parquet")
    geo = json.loads(table.schema.metadata[b"geo"])
    del geo["columns"]["geometry"]["crs"]
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), tmp_path / "p.parquet")
    found = read_polygons(file(tmp_path / "p.parquet"), ["code"], CRS)
    np.testing.assert_allclose(shapely.area(found.shapes), 1600, rtol=1e-6)


def test_a_folder_of_parquet_is_one_table_with_its_partitions_as_text(tmp_path: Path) -> None:
    for number, region in enumerate(("07", "north x")):
        (tmp_path / "all" / f"region={region}").mkdir(parents=True)
        frame(code=[number, 10 + number]).to_parquet(tmp_path / "all" / f"region={region}" / "part-0.parquet")
    (tmp_path / "all" / "_SUCCESS").write_text("")
    (tmp_path / "all" / "about.txt").write_text("fields of two regions")
    found = read_polygons(file(tmp_path / "all"), ["region", "code"], CRS)
    assert found.columns["region"].to_pylist() == ["07", "07", "north x", "north x"]
    assert found.columns["code"].to_pylist() == [0, 10, 1, 11] and found.row.tolist() == [0, 1, 2, 3]
    before = file_identity(str(tmp_path / "all"))
    other = frame(code=[5]).to_crs("EPSG:3035")
    other.to_parquet(tmp_path / "all" / "region=07" / "part-1.parquet")
    assert file_identity(str(tmp_path / "all")) != before
    with pytest.raises(InputError, match=r"part-1\.parquet has another CRS"):
        read_header(file(tmp_path / "all"))
    frame(code=["5"]).to_parquet(tmp_path / "all" / "region=07" / "part-1.parquet")
    with pytest.raises(InputError, match=r"part-1\.parquet has another columns"):
        read_header(file(tmp_path / "all"))


@pytest.mark.parametrize(
    ("encoding", "cpg", "language", "told"),
    [
        ("utf-8", "UTF-8", 0, None),
        ("utf-8", None, 0, None),
        ("cp1252", "ANSI 1252", 0, None),
        ("cp1252", "1252", 0, None),
        ("iso-8859-1", "ISO 88591", 0, None),
        ("cp1252", None, 0x57, None),
        ("cp850", None, 0x02, None),
        ("cp1252", None, 0, "no .cpg|says nothing"),
        ("utf-8", "65001", 0, None),
        ("utf-8", "OEM", 0, None),
        ("cp1252", "LDID/87", 0, None),
        ("cp1252", "UTF-8", 0, "its .cpg says 'UTF-8', but its text is not valid UTF-8"),
        ("utf-8", None, 0x57, "says cp1252, but its text is valid UTF-8"),
        ("utf-8", "cp1252", 0, "its .cpg says 'cp1252', but its text is valid UTF-8"),
        ("utf-8", "martian", 0, "its .cpg says 'martian'"),
    ],
)
def test_text_of_a_shapefile_is_read_as_it_says_or_refused(
    tmp_path: Path, encoding: str, cpg: str | None, language: int, told: str | None
) -> None:
    path = shapefile(tmp_path / "p.shp", encoding, cpg=cpg, language=language, name=["Köln", "b"], code=[1, 2])
    if told is None:
        assert values(path, "name") == ["Köln", "b"]
    else:
        with pytest.raises(InputError, match=told) as error:
            values(path, "name")
        assert "labels.encoding" in error.value.remedy
        assert values(path, "name", encoding=encoding) == ["Köln", "b"]
    assert values(path, "code") == [1, 2], "text that nobody reads does not matter"


def test_names_of_columns_keep_their_letters_and_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    path = shapefile(tmp_path / "p.shp", "cp1252", cpg="1252", language=0, **{"größe": ["ä"]})
    assert values(path, "größe") == ["ä"]
    with pytest.raises(InputError, match="has no column 'grösse'; it has größe"):
        values(path, "grösse")
    with pytest.raises(SpecError, match=r"labels\.encoding: 'martian' is no known encoding"):
        values(path, "größe", encoding="martian")


@pytest.mark.parametrize("name", ["p.gpkg", "p.parquet"])
def test_text_that_is_not_utf8_is_refused_with_its_row_or_read_as_the_spec_says(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    given = frame(name=["a", "b"])
    if name == "p.gpkg":
        given.to_file(path)
        set_bytes(path, "name", 2, "Köln".encode("cp1252"))
    else:
        given.to_parquet(path)
        table = pq.read_table(path)
        raw = pa.Array.from_buffers(
            pa.string(), 2, [None, pa.py_buffer(struct.pack("<3i", 0, 1, 5)), pa.py_buffer(b"aK\xf6ln")]
        )
        pq.write_table(table.set_column(0, "name", raw), path)
    row = 2 if name == "p.gpkg" else 1
    with pytest.raises(InputError, match=rf"row {row}, which is not valid UTF-8.*labels\.encoding: cp1252"):
        values(path, "name")
    assert values(path, "name", encoding="cp1252") == ["a", "Köln"]


def ids(given: pa.Array) -> pa.Array:
    return identifiers(given, "id", file("register"), np.arange(len(given)))


@pytest.mark.parametrize(
    "given",
    [
        pa.array([1, 2**53 + 1, -(2**62)]),
        pa.array([2**64 - 1, 1], pa.uint64()),
        pa.array(["007", "7", "NA", None]),
        pa.array([1.0, 2.5, None]),
        pa.array([None, 19000], pa.date32()),
    ],
)
def test_identifiers_keep_their_values_and_type(given: pa.Array) -> None:
    assert ids(given).equals(given)


def test_identifiers_that_would_change_are_refused_and_nan_names_nothing() -> None:
    assert ids(pa.array([3, 4], pa.int16())).to_pylist() == [3, 4]
    assert ids(pa.array([1.5, math.nan])).to_pylist() == [1.5, None]
    for wrong in (pa.array([b"a"]), pa.array([True]), pa.array([[1]])):
        with pytest.raises(InputError, match=r"column 'id' holds .*which name a parcel"):
            ids(wrong)
    with pytest.raises(InputError, match=r"9007199254740992 as a float, in row 1"):
        ids(pa.array([1.0, 2.0**53]))


def test_long_numbers_of_a_shapefile_and_dates_as_names_are_exact(tmp_path: Path) -> None:
    path = numbered_shapefile(tmp_path / "n.shp", 20, ["9007199254740993", "9007199254740995"])
    assert values(path, "id") == [9007199254740993, 9007199254740995]
    frame(id=["2020-01-01", "2020-01-02"]).to_crs("EPSG:4326").to_file(tmp_path / "d.geojson")
    assert values(tmp_path / "d.geojson", "id") == ["2020-01-01", "2020-01-02"]
    mixed = json.loads((tmp_path / "d.geojson").read_text())
    mixed["features"][0]["properties"]["id"] = 9007199254740993
    (tmp_path / "d.geojson").write_text(json.dumps(mixed))
    with pytest.raises(InputError, match="column 'id' holds numbers and text"):
        values(tmp_path / "d.geojson", "id")


def test_the_key_of_a_geopackage_is_a_column_too(tmp_path: Path) -> None:
    frame(code=[5, 6]).to_file(tmp_path / "p.gpkg")
    assert values(tmp_path / "p.gpkg", "fid") == [1, 2]


@pytest.mark.parametrize("name", ["p.parquet", "p.gpkg", "p.fgb", "p.shp", "p.geojson"])
def test_a_box_gives_the_rows_in_it_with_their_numbers_and_counts_those_without_geometry(
    tmp_path: Path, name: str
) -> None:
    given = frame(code=list(range(8)))
    if name != "p.fgb":  # FlatGeobuf with an index holds none
        given.loc[7, "geometry"] = None
    if name == "p.parquet":
        given.to_parquet(tmp_path / name, write_covering_bbox=True, row_group_size=3)
    else:
        (given.to_crs("EPSG:4326") if name == "p.geojson" else given).to_file(tmp_path / name)
    box = polygon(160, 0, 210, 60).bounds
    found = read_polygons(file(tmp_path / name), ["code"], CRS, box)
    codes = found.columns["code"].to_pylist()
    first = 1 if name == "p.gpkg" else 0
    assert {3, 4} <= set(codes)
    assert name == "p.fgb" or found.row.tolist() == [code + first for code in codes]  # its index orders the rows
    assert len(codes) < 5 or name == "p.geojson"
    assert found.left_out == ({} if name == "p.fgb" else {"no geometry": 1}) and found.header.rows == 8


def test_reading_a_small_box_of_many_parcels_takes_a_batch_at_a_time(tmp_path: Path) -> None:
    big_register(tmp_path / "p.parquet", 60_000)
    with opened(file(tmp_path / "p.parquet"), ["id"], polygon(0, 0, 95, 95).bounds, CRS) as found:
        numbers = [len(batch.row) for batch in found.batches]
        assert found.header.rows == 60_000 and sum(numbers) < 20_000 and sum(numbers) >= 100
