"""Vector formats that GDAL reads: GeoPackage, FlatGeobuf, GeoJSON, Shapefile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyogrio
from pyogrio.raw import open_arrow

from engine.errors import InputError
from engine.vectors.crs import Box, check_range, known_crs, own_box
from engine.vectors.file import DRIVERS, FORMATS, VectorFile
from engine.vectors.rows import BATCH, Batch, Header, Near, refuse_unknown
from engine.vectors.shapes import from_wkb
from engine.vectors.text import gdal_name, plain, shapefile_codec

_OPTIONS: dict[str, dict[str, Any]] = {
    "GeoJSON": {"DATE_AS_STRING": "YES"},  # a name such as 2020-01-01 is text
    "ESRI Shapefile": {"ADJUST_TYPE": "YES"},  # whole numbers of 19 and more digits are else read as floats
}


def open_layer(
    file: VectorFile, path: str, columns: Sequence[str] | None, near: Near
) -> tuple[Header, int, Iterator[Batch]]:
    """Header, how many rows have no geometry and are not read, and the rows near the box."""
    driver = DRIVERS[file.suffix]
    layer = _chosen(file, path)
    options, doubt = _options(driver, _part(path, layer), file)
    info = pyogrio.read_info(path, layer=layer, force_feature_count=True, force_total_bounds=True, **options)
    if info["driver"] != driver:
        raise file.refused(f"is {info['driver']} by its content", FORMATS, "name it by what it is, or convert it")
    fields = [str(name) for name in info["fields"]]
    header = Header(
        known_crs(info["crs"], file),
        _columns(info),
        _box(info),
        frozenset([_flat(info["geometry_type"])] if info["geometry_type"] not in (None, "Unknown") else []),
        int(info["features"]),
    )
    if doubt is not None and (not all(map(str.isascii, fields)) or _is_text_read(columns, header)):
        raise doubt
    wanted = refuse_unknown(columns, header, file)
    check_range(header.box, header.crs, file)
    # GeoJSON is parsed as a whole in any case: without a box its rows without geometry come along and are counted.
    box = own_box(near[0], near[1], header.crs) if near and driver != "GeoJSON" else None
    hidden = _without_geometry(path, layer, driver, info) if box else 0
    return header, hidden, _batches(file, path, layer, wanted, box, info, options)


def _batches(
    file: VectorFile, path: str, layer: str, wanted: Sequence[str], box: Any, info: Any, options: dict[str, Any]
) -> Iterator[Batch]:
    fields = [name for name in wanted if name in set(info["fields"])]
    with open_arrow(
        path, layer=layer, columns=fields, bbox=box, return_fids=True, batch_size=BATCH, use_pyarrow=True, **options
    ) as (meta, reader):
        geometry = reader.schema.names.index(meta["geometry_name"] or "wkb_geometry")
        numbers = next(i for i, name in enumerate(reader.schema.names) if i != geometry)  # the first, whatever its name
        places = [i for i in range(len(reader.schema)) if i not in (geometry, numbers)]
        for part in reader:
            row = part.column(numbers).cast(pa.int64()).to_numpy(zero_copy_only=False)
            found = {reader.schema.names[i]: plain(part.column(i), reader.schema.names[i], file, row) for i in places}
            if (fid := info["fid_column"]) and fid in wanted:
                found[fid] = pa.array(row)
            yield Batch(row, {name: found[name] for name in wanted}, from_wkb(part.column(geometry)))


def _chosen(file: VectorFile, path: str) -> str:
    """The layer to be read; InputError where it is not there, or several could be meant."""
    layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    if not layers:
        raise file.refused("holds no layer with geometry", "a layer with geometry", f"name another file in {file.key}")
    if file.layer is None and len(layers) == 1:
        return layers[0]
    named = file.layer or (file.usual if file.usual in layers else None)
    if named in layers:
        return named
    told = ", ".join(layers)
    if file.layer is None:
        raise file.refused(
            f"holds {len(layers)} layers with geometry ({told})",
            "one, or the name of the one that is meant",
            f"{file.key}.layer: one of these",
        )
    raise file.refused(
        f"has no layer {file.layer!r} with geometry; it has {told}",
        "a layer that is there",
        f"{file.key}.layer: {told}",
    )


def _options(driver: str, path: str, file: VectorFile) -> tuple[dict[str, Any], InputError | None]:
    """What GDAL is to be told to open the file, and the error to raise should text be read."""
    options = dict(_OPTIONS.get(driver, {}))
    if driver != "ESRI Shapefile":
        return options, None
    codec, doubt = shapefile_codec(path, file)
    return options | {"encoding": gdal_name(codec)}, doubt


def _part(path: str, layer: str) -> str:
    """The file of one layer, where these are files of a folder."""
    return f"{path}/{layer}.shp" if "." not in path.rsplit("/", 1)[-1] else path


def _box(info: Any) -> Box | None:
    if info["total_bounds"] is None:
        return None
    left, bottom, right, top = map(float, info["total_bounds"])
    return left, bottom, right, top


def _columns(info: Any) -> dict[str, str]:
    fid = {info["fid_column"]: "int64"} if info["fid_column"] else {}
    return fid | dict(zip(map(str, info["fields"]), map(str, info["dtypes"]), strict=True))


def _is_text_read(columns: Sequence[str] | None, header: Header) -> bool:
    wanted = header.columns if columns is None else columns
    return any(header.columns.get(name, "object") == "object" for name in wanted)


def _flat(kind: str) -> str:
    return kind.replace("2.5D ", "").removeprefix("3D ").removeprefix("Measured ").split(" ")[0]


def _without_geometry(path: str, layer: str, driver: str, info: Any) -> int:
    """Rows that no box holds: without geometry, or with an empty one."""
    name, column = layer.replace('"', '""'), info["geometry_name"]
    where = f'"{column}" IS NULL OR ST_IsEmpty("{column}")' if driver == "GPKG" else "OGR_GEOMETRY IS NULL"
    sql = f'SELECT COUNT(*) FROM "{name}" WHERE {where}'
    return int(np.ravel(pyogrio.raw.read(path, sql=sql, read_geometry=False)[3][0])[0])
