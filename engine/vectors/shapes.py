"""Geometries as files hold them -> two-dimensional shapes of straight lines."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError
from pyogrio.raw import write_arrow

_CURVES = range(8, 15)
"""Kinds of ISO WKB that hold arcs: from CircularString to the abstract curve and surface."""
_COLLECTION, _MULTISURFACE = 7, 12
_SURFACES = {15: "polyhedral surface", 16: "TIN", 17: "triangle"}
_ARC_DEGREES = "0.5"
"""An arc becomes chords of so many degrees: the area of a circle is then true to 0.002 %."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """n geometries of a file.

    shapes: (n,), two-dimensional, straight; None where there is none. odd: (n,) text, empty, or what had to be done to
    read it, or, where there is no shape, why it cannot be read.
    """

    shapes: NDArray[Any]
    odd: NDArray[Any]


def from_wkb(column: pa.Array) -> Shapes:
    """Shapes of a column of WKB: arcs become chords, open rings are closed, Z and M are dropped."""
    storage = column.storage if isinstance(column, pa.ExtensionArray) else column
    blobs = storage.to_numpy(zero_copy_only=False)
    try:
        shapes = shapely.from_wkb(blobs, on_invalid="ignore")
    except NotImplementedError:  # a curve among them
        shapes = np.array([_plain(blob) for blob in blobs], object)
    for row in np.flatnonzero(shapely.get_type_id(shapes) == _COLLECTION).tolist():
        shapes[row] = None if _holds_curves(shapes[row]) else shapes[row]
    odd = np.full(len(shapes), "", object)
    lost = np.flatnonzero(shapely.is_missing(shapes) & storage.is_valid().to_numpy(zero_copy_only=False))
    for row in lost.tolist():
        shapes[row], odd[row] = _rescued(bytes(blobs[row]))
    return Shapes(shapely.force_2d(shapes), odd)


def from_geoarrow(column: pa.Array, kind: str) -> Shapes:
    """Shapes of a column in a native encoding of GeoParquet 1.1, such as ``polygon``."""
    storage = column.storage if isinstance(column, pa.ExtensionArray) else column
    field = pa.field("geometry", storage.type, metadata={"ARROW:extension:name": f"geoarrow.{kind}"})
    shapes = gpd.GeoDataFrame.from_arrow(pa.table([storage], schema=pa.schema([field]))).geometry.to_numpy()
    return Shapes(shapely.force_2d(np.asarray(shapes, object)), np.full(len(shapes), "", object))


def _rescued(blob: bytes) -> tuple[Any, str]:
    """A geometry that GEOS does not read as it stands, and what was done or is wrong."""
    kind = _kind(blob)
    if kind in _CURVES or kind == _COLLECTION:
        shape = _straight(blob)
        return shape, "curves were made of straight lines" if shape is not None else "a curve that cannot be read"
    if kind in _SURFACES:
        return None, f"a {_SURFACES[kind]}, not a polygon"
    shape = shapely.from_wkb([blob], on_invalid="fix")[0]
    return shape, "rings were closed" if shape is not None else "a geometry that cannot be read"


def _plain(blob: bytes | None) -> Any:
    try:
        return shapely.from_wkb(blob, on_invalid="ignore")
    except NotImplementedError:
        return None


def _holds_curves(shape: Any) -> bool:
    """Whether arcs lie in a collection: GEOS reads these, and can do nothing with them."""
    return any(word in shapely.to_wkt(shape) for word in ("CURVE", "CIRCULAR", "SURFACE"))


def _kind(blob: bytes) -> int | None:
    if len(blob) < 5 or blob[0] > 1:
        return None
    return (int.from_bytes(blob[1:5], "little" if blob[0] else "big") & 0x0FFFFFFF) % 1000


def _straight(blob: bytes) -> Any:
    """The curve with chords for arcs, by GDAL, which makes them whenever it hands a curve over by itself. A collection
    of surfaces is no curve to it, the same surfaces as a multisurface are."""
    if _kind(blob) == _COLLECTION:
        order: Literal["little", "big"] = "little" if blob[0] else "big"
        code = int.from_bytes(blob[1:5], order) + _MULTISURFACE - _COLLECTION
        blob = blob[:1] + code.to_bytes(4, order) + blob[5:]
    table, kept = pa.table({"geometry": pa.array([blob], pa.binary())}), io.BytesIO()
    before = pyogrio.get_gdal_config_option("OGR_ARC_STEPSIZE")
    pyogrio.set_gdal_config_options({"OGR_ARC_STEPSIZE": _ARC_DEGREES})
    try:
        write_arrow(
            table, kept, driver="FlatGeobuf", geometry_name="geometry", geometry_type="Unknown", crs="EPSG:3857",
            SPATIAL_INDEX="NO",
        )  # fmt: skip
        return shapely.from_wkb(pyogrio.raw.read(kept.getvalue())[2], on_invalid="ignore")[0]
    except (DataSourceError, DataLayerError, FeatureError, GeometryError, RuntimeError):
        return None
    finally:
        pyogrio.set_gdal_config_options({"OGR_ARC_STEPSIZE": before})


def geo_metadata(schema: pa.Schema) -> dict[str, Any]:
    """GeoParquet's own metadata; empty where there is none."""
    found: dict[str, Any] = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
    return found
