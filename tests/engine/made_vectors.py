"""Files of vectors as people have them: curves, several layers, code pages, undefined CRSs, hand-made WKB."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import shapely
from pyogrio.raw import write_arrow

from tests.engine.made_scenes import CRS, LEFT, TOP

CIRCULAR, COMPOUND, CURVED, SURFACE, TIN = 8, 9, 10, 12, 16


def polygon(x0: float, y0: float, x1: float, y1: float) -> shapely.Polygon:
    """Box in metres from the grid's upper left corner."""
    return shapely.box(LEFT + x0, TOP - y1, LEFT + x1, TOP - y0)


def line_wkb(kind: int, points: Sequence[tuple[float, float]]) -> bytes:
    """A line or an arc string through points in metres from the grid's upper left corner, y downward."""
    flat = b"".join(struct.pack("<2d", LEFT + x, TOP - y) for x, y in points)
    return struct.pack("<BII", 1, kind, len(points)) + flat


def nested(kind: int, *parts: bytes) -> bytes:
    """WKB of a geometry that holds others."""
    return struct.pack("<BII", 1, kind, len(parts)) + b"".join(parts)


def circle(x: float, y: float, radius: float) -> bytes:
    """WKB of a CurvePolygon."""
    ring = [(x - radius, y), (x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)]
    return nested(CURVED, line_wkb(CIRCULAR, ring))


def half_circle(x: float, y: float, radius: float) -> bytes:
    """WKB of a CurvePolygon whose ring is a compound curve: an arc and its chord."""
    arc = line_wkb(CIRCULAR, [(x - radius, y), (x, y - radius), (x + radius, y)])
    return nested(CURVED, nested(COMPOUND, arc, line_wkb(2, [(x + radius, y), (x - radius, y)])))


def write_wkb(path: Path, blobs: Sequence[bytes | None], driver: str = "GPKG", **columns: Sequence[Any]) -> str:
    """A file of these geometries, as they stand."""
    table = pa.table({**{k: list(v) for k, v in columns.items()}, "geometry": pa.array(blobs, pa.binary())})
    write_arrow(table, path, driver=driver, geometry_name="geometry", geometry_type="Unknown", crs=CRS)
    return str(path)


def frame(crs: str | None = CRS, **columns: Sequence[Any]) -> gpd.GeoDataFrame:
    """Squares side by side, one for each value."""
    number = len(next(iter(columns.values())))
    return gpd.GeoDataFrame(
        {k: list(v) for k, v in columns.items()},
        geometry=[polygon(10 + 50 * i, 10, 50 + 50 * i, 50) for i in range(number)],
        crs=crs,
    )


def set_srs(path: Path, number: int) -> None:
    """Let a GeoPackage say another spatial reference: -1 and 0 are the undefined ones."""
    with sqlite3.connect(path) as base:
        for table in ("gpkg_geometry_columns", "gpkg_contents"):
            base.execute(f"update {table} set srs_id = ?", [number])


def set_bytes(path: Path, column: str, row: int, value: bytes) -> None:
    """Put raw bytes as the text of one row of a GeoPackage."""
    with sqlite3.connect(path) as base:
        for (name,) in base.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            base.execute(f'drop trigger "{name}"')
        base.execute(f"update {path.stem} set {column} = cast(? as text) where fid = ?", [value, row])


def shapefile(path: Path, encoding: str, *, cpg: str | None, language: int, **columns: Sequence[Any]) -> str:
    """A Shapefile whose text is in ``encoding``, and which says so by .cpg, by its language byte, or not at all."""
    frame(**columns).to_file(path, encoding=encoding)
    dbf = path.with_suffix(".dbf")
    data = bytearray(dbf.read_bytes())
    data[29] = language
    dbf.write_bytes(data)
    path.with_suffix(".cpg").unlink()
    if cpg is not None:
        path.with_suffix(".cpg").write_text(cpg)
    return str(path)


def numbered_shapefile(path: Path, width: int, values: Sequence[str]) -> str:
    """A Shapefile with one numeric column ``id`` of this width."""
    frame(q=[1] * len(values)).to_file(path)
    head = struct.pack("<B3BIHH20x", 3, 126, 1, 1, len(values), 65, 1 + width)
    field = struct.pack("<11s c 4x B B 14x", b"id", b"N", width, 0)
    rows = b"".join(b" " + value.rjust(width).encode() for value in values)
    path.with_suffix(".dbf").write_bytes(head + field + b"\r" + rows + b"\x1a")
    return str(path)


def zipped(path: Path) -> str:
    """The Shapefiles of a folder, packed."""
    return shutil.make_archive(str(path), "zip", path)


def big_register(path: Path, number: int) -> None:
    """So many fields of 9 m, a thousand in a row, in the grid's CRS, with their box."""
    x, y = np.arange(number) % 1000 * 10.0, np.arange(number) // 1000 * 10.0
    shapes = shapely.box(LEFT + x, TOP - y - 9, LEFT + x + 9, TOP - y)
    whole = gpd.GeoDataFrame({"id": np.arange(number)}, geometry=shapes, crs=CRS)
    if path.suffix == ".parquet":
        whole.to_parquet(path, write_covering_bbox=True, row_group_size=20_000)
    else:
        whole.to_file(path)
