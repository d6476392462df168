"""Tables that are published are read back before they are: what a reader finds must be what was meant."""

from __future__ import annotations

import csv
import io
import json
import math
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

import geopandas as gpd
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import shapely

from engine.errors import TileError, TilthError

_Columns = Mapping[str, list[Any]]
"""Values of each column as Python's own, None for null, geometries as WKB."""


def check_table(
    data: bytes, written: pa.Table, kind: str, *, place: str, crs: str | None = None,
    error: Callable[..., TilthError] = TileError,
) -> bytes:  # fmt: skip
    """``data`` again, once it was read back and holds the table ``written``; else ``error``.

    kind: ``parquet``, ``gpkg`` (its first layer) or ``csv`` (UTF-8, null as nothing, no geometry). crs: of its column
    ``geometry`` (WKB), where it has one. Compared are columns, rows, every value with its type as far as the format has
    types, text as valid UTF-8; of geometries that they are valid and in that CRS. A GeoPackage is read by SQLite alone,
    which is not what wrote it.
    """

    def refuse(what: str) -> TilthError:
        return error(
            f"the table read back {what}",
            expected="the table that was written",
            place=place,
            remedy="a fault of a library, or of the disk: run it again, and report it if it stays",
        )

    try:
        found, said = _READERS[kind](data)
        for name in written.column_names:
            written[name].validate(full=True)
    except (OSError, ValueError, KeyError, sqlite3.Error, pa.ArrowException) as problem:
        raise refuse(f"cannot be read: {problem}") from problem
    names = [name for name in written.column_names if kind != "csv" or name != "geometry"]
    if list(found) != names:
        raise refuse(f"has columns {', '.join(found)}, not {', '.join(names)}")
    for name, values in found.items():
        meant = written[name].to_pylist()
        if len(values) != len(meant):
            raise refuse(f"has {len(values)} rows, not {len(meant)}")
        row = next((i for i, pair in enumerate(zip(values, meant, strict=True)) if not _same(*pair, kind)), None)
        if row is not None:
            raise refuse(f"has {values[row]!r} in column {name!r}, row {row}, not {meant[row]!r}")
    if crs is not None and kind != "csv":
        shapes = shapely.from_wkb([value for value in found["geometry"] if value is not None])
        if not shapely.is_valid(shapes).all():
            raise refuse("holds an invalid geometry")
        if said is None or pyproj.CRS.from_user_input(said) != pyproj.CRS.from_user_input(crs):
            raise refuse(f"is in {said}, not in {crs}")
    return data


def _parquet(data: bytes) -> tuple[_Columns, Any]:
    """By pyarrow, and by GeoPandas what GeoParquet's metadata say."""
    table = pq.read_table(io.BytesIO(data))
    for name in table.column_names:
        table[name].validate(full=True)
    geo = json.loads((table.schema.metadata or {}).get(b"geo", b"null"))
    said = gpd.read_parquet(io.BytesIO(data)).crs if geo else None
    return {name: table[name].to_pylist() for name in table.column_names}, said


def _geopackage(data: bytes) -> tuple[_Columns, Any]:
    base = sqlite3.connect(":memory:")
    try:
        base.deserialize(data)
        layer, column, organization, number = base.execute(
            "SELECT g.table_name, g.column_name, s.organization, s.organization_coordsys_id FROM gpkg_geometry_columns "
            "g JOIN gpkg_spatial_ref_sys s ON s.srs_id = g.srs_id ORDER BY g.table_name LIMIT 1"
        ).fetchone()
        names = [row[1] for row in base.execute(f'PRAGMA table_info("{layer}")') if not row[5]]
        rows = base.execute(f'SELECT {", ".join(f"{chr(34)}{n}{chr(34)}" for n in names)} FROM "{layer}"').fetchall()
    finally:
        base.close()
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    shapes = columns.pop(column)
    return columns | {"geometry": [shape and _wkb(shape) for shape in shapes]}, f"{organization}:{number}"


def _csv(data: bytes) -> tuple[_Columns, Any]:
    head, *rows = list(csv.reader(io.StringIO(data.decode("utf-8"), newline="")))
    if any(len(row) != len(head) for row in rows):
        raise ValueError("rows of different lengths")
    return {name: [row[i] or None for row in rows] for i, name in enumerate(head)}, None


_READERS: dict[str, Callable[[bytes], tuple[_Columns, Any]]] = {
    "parquet": _parquet, "gpkg": _geopackage, "csv": _csv,
}  # fmt: skip
_ENVELOPES = (0, 32, 48, 48, 64)
"""Bytes of a GeoPackage geometry's envelope, by its kind."""


def _wkb(blob: bytes) -> bytes:
    """The WKB of a GeoPackage's geometry, behind its header."""
    return blob[8 + _ENVELOPES[blob[3] >> 1 & 7] :]


def _same(found: Any, meant: Any, kind: str) -> bool:
    if isinstance(meant, float) and math.isnan(meant):
        meant = math.nan if kind == "parquet" else None
    if kind == "csv" and meant is not None and found is not None:
        return float(found) == meant if isinstance(meant, float) else bool(found == str(meant))
    if isinstance(found, float) and isinstance(meant, float) and math.isnan(found):
        return math.isnan(meant)
    if kind == "gpkg" and isinstance(meant, bool):
        return bool(found == int(meant))
    return type(found) is type(meant) and bool(found == meant)
