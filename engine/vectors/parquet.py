"""GeoParquet: a file, or a folder of them with its partitions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from engine.objects import absolute, filesystem
from engine.vectors.crs import Box, check_range, known_crs, own_box
from engine.vectors.file import VectorFile
from engine.vectors.rows import BATCH, Batch, Header, Near, refuse_unknown
from engine.vectors.shapes import Shapes, from_geoarrow, from_wkb, geo_metadata
from engine.vectors.text import plain

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_NATIVE = ("point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon")
_LON_LAT = "OGC:CRS84"
"""What a file means that says no CRS; null means that it is not known."""


def open_parquet(
    file: VectorFile, paths: Sequence[str], columns: Sequence[str] | None, near: Near
) -> tuple[Header, int, Iterator[Batch]]:
    """Header, zero, and the rows near the box: a row without geometry has no box and is always among them."""
    if file.layer is not None:
        raise file.refused("Parquet has no layers", "no layer", f"take {file.key}.layer out")
    fs, _ = filesystem(absolute(file.uri))
    keys = _partition_keys(file, paths)
    table = ds.dataset(
        list(paths), filesystem=fs, format="parquet",
        partitioning=ds.partitioning(pa.schema([(key, pa.string()) for key in keys]), flavor="hive"),
    )  # fmt: skip
    described = [_described(piece.physical_schema, piece.path, file) for piece in table.get_fragments()]
    name, about = described[0]
    _refuse_differing(file, table, described)
    crs = known_crs(about.get("crs", _LON_LAT), file)
    sides = about.get("covering", {}).get("bbox", {})
    hidden = {name, *(path[0] for path in sides.values())}
    boxes = [other["bbox"] for _, other in described if other.get("bbox")]
    header = Header(
        crs,
        {field.name: str(field.type) for field in table.schema if field.name not in hidden},
        _around(boxes) if len(boxes) == len(described) else None,
        frozenset(kind.split(" ")[0] for _, other in described for kind in other.get("geometry_types", [])),
        table.count_rows(),
    )
    wanted = refuse_unknown(columns, header, file)
    check_range(header.box, crs, file)
    covering = {side: pc.field(*path) for side, path in sides.items()} if near else {}
    box = own_box(near[0], near[1], crs) if near and covering else None
    return header, 0, _batches(file, table, wanted, (name, about["encoding"]), box, covering)


def _batches(
    file: VectorFile, table: Any, wanted: Sequence[str], geometry: tuple[str, str], box: Box | None, covering: Any
) -> Iterator[Batch]:
    read = {name: pc.field(name) for name in (*wanted, geometry[0])}
    read |= {f" {side}": expression for side, expression in covering.items()} if box else {}
    start = 0
    for piece in table.get_fragments():
        groups = [piece.metadata.row_group(i).num_rows for i in range(piece.metadata.num_row_groups)]
        first = start + np.concatenate([[0], np.cumsum(groups)]).astype(np.int64)
        start = int(first[-1])
        for group in piece.split_by_row_group(_meets(covering, box) if box else None, schema=table.schema):
            row = int(first[group.row_groups[0].id])
            for part in group.to_batches(schema=table.schema, columns=read, batch_size=BATCH):
                rows = np.arange(row, row + part.num_rows)
                row += part.num_rows
                if box:
                    near = _are_near(part, box)
                    part, rows = part.filter(pa.array(near)), rows[near]
                if part.num_rows:
                    yield Batch(
                        rows,
                        {name: plain(part.column(name), name, file, rows) for name in wanted},
                        _shapes(part.column(geometry[0]), geometry[1]),
                    )


def _described(schema: pa.Schema, path: str, file: VectorFile) -> tuple[str, dict[str, Any]]:
    """Name of the geometry column and what GeoParquet's metadata say of it."""
    geo = geo_metadata(schema)
    name = PurePosixPath(path).name
    if not geo:
        raise file.refused(f"{name} holds no geometry", "GeoParquet", "write it by GeoPandas or GDAL as GeoParquet")
    about: dict[str, Any] = geo["columns"][geo["primary_column"]]
    if about["encoding"] not in ("WKB", *_NATIVE):
        raise file.refused(
            f"geometry of {name} is encoded as {about['encoding']}", f"WKB, or {', '.join(_NATIVE)}", "write it as WKB"
        )
    return geo["primary_column"], about


def _refuse_differing(file: VectorFile, table: Any, described: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """InputError where the files of a folder say different things of geometry or columns."""
    first = next(iter(table.get_fragments())).physical_schema
    for piece, (name, about) in zip(table.get_fragments(), described, strict=True):
        for key, mine, other in (
            ("geometry column", described[0][0], name),
            ("CRS", described[0][1].get("crs", _LON_LAT), about.get("crs", _LON_LAT)),
            ("encoding", described[0][1]["encoding"], about["encoding"]),
            ("columns", _kinds(first), _kinds(piece.physical_schema)),
        ):
            if mine != other:
                raise file.refused(
                    f"{PurePosixPath(piece.path).name} has another {key} than the files before it",
                    "one CRS, and columns of one type, in all files of the folder",
                    "write them alike, or name one file",
                )


def _kinds(schema: pa.Schema) -> dict[str, str]:
    return {field.name: str(field.type) for field in schema}


def _partition_keys(file: VectorFile, paths: Sequence[str]) -> list[str]:
    """Keys of folders such as ``region=x``, whose values are text; a column of the file itself goes before."""
    parts = [part for path in paths for part in PurePosixPath(path).parts[:-1] if "=" in part]
    fs, folder = filesystem(absolute(file.uri))
    if len(paths) == 1 and not fs.isdir(folder):
        return []
    inner = [part for part in parts if part not in PurePosixPath(folder).parts]
    own = set(ds.dataset(paths[0], filesystem=fs, format="parquet").schema.names)
    return [key for key in dict.fromkeys(unquote(part.split("=")[0]) for part in inner) if key not in own]


def _shapes(column: pa.Array, encoding: str) -> Shapes:
    return from_wkb(column) if encoding == "WKB" else from_geoarrow(column, encoding)


def _around(boxes: Sequence[Sequence[float]]) -> Box:
    """The box around boxes of four or, with height, six numbers."""
    flat = np.array([[*box[:2], *box[len(box) // 2 :][:2]] for box in boxes], float)
    left, bottom = flat[:, :2].min(axis=0)
    right, top = flat[:, 2:].max(axis=0)
    return float(left), float(bottom), float(right), float(top)


def _meets(covering: Any, box: Box) -> pc.Expression:
    left, bottom, right, top = (covering[side] for side in _SIDES)
    near = (left <= box[2]) & (right >= box[0]) & (bottom <= box[3]) & (top >= box[1])
    return near | left.is_null()  # a row without a box has no geometry: it is to be counted


def _are_near(part: pa.RecordBatch, box: Box) -> np.ndarray:
    left, bottom, right, top = (part.column(f" {side}").to_numpy(zero_copy_only=False) for side in _SIDES)
    off = (left > box[2]) | (right < box[0]) | (bottom > box[3]) | (top < box[1])
    return np.asarray(~off)  # NaN, a box that is not known, is not off
