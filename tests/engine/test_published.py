"""Published tables are read back: what was damaged on the way is told with its place."""

from __future__ import annotations

import io
from pathlib import Path

import geopandas as gpd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from engine.errors import TileError
from engine.published import check_table
from tests.engine.made_scenes import CRS
from tests.engine.made_vectors import polygon


def made() -> pa.Table:
    shapes = [polygon(0, 0, 9, 9), polygon(20, 0, 29, 9)]
    return pa.table({
        "id": pa.array([2**53 + 1, 7]), "name": pa.array(["NA", "Köln"]), "share": pa.array([0.5, None]),
        "geometry": pa.array(shapely.to_wkb(shapes), pa.binary()),
    })  # fmt: skip


def frame(table: pa.Table) -> gpd.GeoDataFrame:
    shapes = shapely.from_wkb(table["geometry"].to_numpy())
    return gpd.GeoDataFrame(table.drop_columns(["geometry"]).to_pandas(), geometry=shapes, crs=CRS)


def written(table: pa.Table, kind: str, folder: Path) -> bytes:
    if kind == "csv":
        return frame(table).drop(columns="geometry").to_csv(index=False).encode()
    if kind == "gpkg":
        frame(table).to_file(folder / "t.gpkg")
        return (folder / "t.gpkg").read_bytes()
    sink = io.BytesIO()
    frame(table).to_parquet(sink, index=False)
    return sink.getvalue()


@pytest.mark.parametrize("kind", ["parquet", "gpkg", "csv"])
def test_a_table_that_came_through_is_given_back_and_any_other_is_refused(tmp_path: Path, kind: str) -> None:
    meant = made()
    data = written(meant, kind, tmp_path)
    assert check_table(data, meant, kind, place="here", crs=CRS) == data
    rounded = meant.set_column(0, "id", pa.array([2**53, 7]))
    named = meant.set_column(1, "name", pa.array(["NA", "K\ufffdln"]))
    for other, words in (
        (
            rounded,
            "9007199254740993' in column 'id', row 0" if kind == "csv" else "9007199254740993 in column 'id', row 0",
        ),
        (named, "'Köln' in column 'name', row 1"),
        (meant.slice(0, 1), "has 2 rows, not 1"),
        (meant.rename_columns(["id", "names", "share", "geometry"]), "columns|cannot be read"),
    ):
        with pytest.raises(TileError, match=f"here: the table read back .*({words})"):
            check_table(data, other, kind, place="here", crs=CRS)
    with pytest.raises(TileError, match="cannot be read"):
        check_table(data[: len(data) // 3] if kind != "csv" else b"\xff\xfe", meant, kind, place="here")


@pytest.mark.parametrize("kind", ["parquet", "gpkg"])
def test_another_crs_and_an_invalid_geometry_are_refused(tmp_path: Path, kind: str) -> None:
    meant = made()
    with pytest.raises(TileError, match="not in EPSG:3035"):
        check_table(written(meant, kind, tmp_path), meant, kind, place="here", crs="EPSG:3035")
    crossed = shapely.Polygon([(0, 0), (9, 9), (9, 0), (0, 9)])
    broken = meant.set_column(3, "geometry", pa.array(shapely.to_wkb([crossed, crossed]), pa.binary()))
    (tmp_path / "t.gpkg").unlink(missing_ok=True)
    with pytest.raises(TileError, match="invalid geometry"):
        check_table(written(broken, kind, tmp_path), broken, kind, place="here", crs=CRS)


def test_text_that_is_no_utf8_is_refused() -> None:
    raw = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xf6l")])
    table, sink = pa.table({"name": raw}), io.BytesIO()
    pq.write_table(table, sink)
    with pytest.raises(TileError, match=r"cannot be read: .*UTF8"):
        check_table(sink.getvalue(), table, "parquet", place="here")
