"""A register of parcels read in batches, as far as it lies in a box: never the whole of it in memory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyogrio
import pyproj
import shapely
from numpy.typing import NDArray
from pyogrio.raw import open_arrow

from engine.errors import InputError
from engine.objects import absolute, filesystem, local_file

_BATCH = 65536
Box = tuple[float, float, float, float]
"""(left, bottom, right, top)."""


@dataclass(frozen=True)
class Batch:
    """Some rows of a register. ids: (n,) int64 or string. shapes: (n,) geometries, None where there is none."""

    ids: pa.Array
    shapes: NDArray[Any]


@contextmanager
def opened(uri: str, column: str | None, box: Box, crs: str) -> Iterator[tuple[pyproj.CRS, Iterator[Batch]]]:
    """The register's CRS and its rows near ``box`` (in ``crs``) in batches, in the file's order; more may come.

    InputError: no such file, no geometry, no CRS, no column of that name, several layers.
    """
    try:
        if uri.lower().endswith("parquet"):
            yield _parquet(absolute(uri), column, box, crs)
        else:
            with local_file(absolute(uri)) as path, _ogr(path, uri, column, box, crs) as found:
                yield found
    except FileNotFoundError as error:
        raise InputError("no such file", place=uri, remedy="check parcels.uri") from error
    except (OSError, pa.ArrowInvalid, pyogrio.errors.DataSourceError) as error:
        raise InputError(
            f"cannot be read: {error}", expected="GeoParquet or GeoPackage", place=uri, remedy="check parcels.uri"
        ) from error


def _parquet(uri: str, column: str | None, box: Box, crs: str) -> tuple[pyproj.CRS, Iterator[Batch]]:
    fs, path = filesystem(uri)
    fs.info(path)  # a dataset of nothing would be empty, not missing
    dataset = ds.dataset(path, filesystem=fs, format="parquet")
    geo = json.loads((dataset.schema.metadata or {}).get(b"geo", b"{}"))
    if not geo:
        raise InputError("holds no geometry", expected="GeoParquet", place=uri, remedy="write it by GeoPandas or GDAL")
    _refuse_unknown(column, dataset.schema.names, uri)
    name = geo["primary_column"]
    described = geo["columns"][name]
    if described["encoding"] != "WKB":
        raise InputError(
            f"geometry is encoded as {described['encoding']}", expected="WKB", place=uri, remedy="write it as WKB"
        )
    own = _known_crs(described.get("crs", "OGC:CRS84"), uri)  # absent means longitude and latitude, null unknown
    covering = described.get("covering", {}).get("bbox")
    near = _meets(covering, _own_box(box, crs, own)) if covering and column else None  # filtered rows lose their number
    scanned = dataset.to_batches(columns=[name, *([column] if column else [])], filter=near, batch_size=_BATCH)

    def batches() -> Iterator[Batch]:
        row = 0
        for part in scanned:
            ids = part.column(column) if column else pa.array(np.arange(row, row + part.num_rows))
            row += part.num_rows
            yield Batch(_plain(ids), _shapes(part.column(name)))

    return own, batches()


@contextmanager
def _ogr(path: str, uri: str, column: str | None, box: Box, crs: str) -> Iterator[tuple[pyproj.CRS, Iterator[Batch]]]:
    layers = [name for name, kind in pyogrio.list_layers(path) if kind is not None]
    if len(layers) != 1:
        raise InputError(
            f"holds {len(layers)} layers with geometry ({', '.join(map(str, layers))})",
            expected="exactly one",
            place=uri,
            remedy="write the one you mean to its own file: `ogr2ogr parcels.gpkg FILE LAYER`",
        )
    info = pyogrio.read_info(path, layer=layers[0])
    own = _known_crs(info["crs"], uri)
    _refuse_unknown(column, list(info["fields"]), uri)
    with open_arrow(
        path,
        layer=layers[0],
        columns=[column] if column else [],
        bbox=_own_box(box, crs, own),
        return_fids=column is None,
        batch_size=_BATCH,
        use_pyarrow=True,
    ) as (meta, reader):
        name = meta["geometry_name"] or "wkb_geometry"
        (ids,) = [field for field in reader.schema.names if field != name]
        yield own, (Batch(_plain(part.column(ids)), _shapes(part.column(name))) for part in reader)


def _refuse_unknown(column: str | None, names: list[str], uri: str) -> None:
    if column is not None and column not in names:
        raise InputError(
            f"has no column {column!r}; it has {', '.join(names)}",
            expected="a column that names each parcel",
            place=uri,
            remedy="name it under parcels.id, or leave that out to number the rows",
        )


def _known_crs(crs: Any, uri: str) -> pyproj.CRS:
    if crs is None:
        raise InputError("the parcels say no CRS", expected="one in the file", place=uri, remedy="ogr2ogr -a_srs ...")
    return pyproj.CRS.from_user_input(crs)


def _own_box(box: Box, crs: str, own: pyproj.CRS) -> Box:
    """``box`` in the register's CRS, a little larger than need be; the whole plane where it has no place there."""
    left, bottom, right, top = pyproj.Transformer.from_crs(crs, own, always_xy=True).transform_bounds(*box)
    if not all(map(math.isfinite, (left, bottom, right, top))) or left > right:  # across the date line
        return (-1e12, -1e12, 1e12, 1e12)
    x, y = (right - left) / 100, (top - bottom) / 100
    return left - x, bottom - y, right + x, top + y


def _meets(covering: Any, box: Box) -> pc.Expression:
    left, bottom, right, top = (pc.field(*covering[side]) for side in ("xmin", "ymin", "xmax", "ymax"))
    near = (left <= box[2]) & (right >= box[0]) & (bottom <= box[3]) & (top >= box[1])
    return near | left.is_null()  # a row without a box has no geometry: it is to be counted


def _shapes(column: pa.Array) -> NDArray[Any]:
    """Geometries, two-dimensional; None for none and for what is no WKB."""
    storage = column.storage if isinstance(column, pa.ExtensionArray) else column
    return shapely.force_2d(shapely.from_wkb(storage.to_numpy(zero_copy_only=False), on_invalid="ignore"))


def _plain(ids: pa.Array) -> pa.Array:
    """Whole numbers as int64, all else as text."""
    return ids.cast(pa.int64() if pa.types.is_integer(ids.type) else pa.string())
