"""The parcel table: GeoParquet 1.1 of one tile, in the run's CRS. Nothing in it depends on the clock."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import shapely
from numpy.typing import NDArray

from engine.earth import areas_m2
from engine.models.card import ClassEntry
from engine.parcels.deal import Dealt
from engine.parcels.pixels import SOURCES
from engine.published import check_table

FILE_NAME = "parcels.parquet"
_TOLD = 3
_TYPES = {"Polygon", "MultiPolygon"}


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the model says of one tile's parcels, in the register's order.

    p: (n, k) float32, calibrated probabilities by the card's classes, NaN where a parcel has no pixel that was seen.
    pixels: (n,) int32, pixels behind it. source: (n,) uint8, which these are, index into SOURCES. observed: (n,) int16,
    steps with a valid observation, median over the pixels, rounded down.
    """

    p: NDArray[np.float32]
    pixels: NDArray[np.int32]
    source: NDArray[np.uint8]
    observed: NDArray[np.int16]
    familiarity: NDArray[np.float32] | None = None
    """(n,), percent, NaN where nothing was seen; None where it was not asked for."""


def parcel_file(
    parcels: Dealt, verdicts: Verdicts, classes: Sequence[ClassEntry], *, crs: str, tile: str,
    review_below: float,
) -> bytes:  # fmt: skip
    """The tile's parcels as GeoParquet bytes, equal for equal parcels; one row each, also where nothing was seen.

    Columns: id; crop (name), code and confidence (0 to 1), null where nothing was seen; the next two crops with their
    probabilities; familiarity where it was asked for (percent, 0 to 100, of known land no more like what the model was
    trained on); n_valid (steps observed); pixels and pixels_from; area_m2 of the whole parcel on the ellipsoid,
    area_judged_m2 of the part in the area asked for; cut, whether that is less; review; tile; geometry and its bbox.
    """
    ids, shapes, area_m2 = parcels.ids, parcels.shapes, areas_m2(parcels.shapes, crs)
    seen = verdicts.pixels > 0
    winner, confidence = _ranked(verdicts.p, seen, 0)
    columns: dict[str, Any] = {
        "id": ids,
        "crop": _named(winner, [entry.name for entry in classes], pa.string()),
        "code": _named(winner, [entry.code for entry in classes], pa.int64()),
        "confidence": confidence,
    }
    for rank in range(1, _TOLD):
        index, p = _ranked(verdicts.p, seen, rank)
        columns[f"crop_{rank + 1}"] = _named(index, [entry.name for entry in classes], pa.string())
        columns[f"probability_{rank + 1}"] = p
    if verdicts.familiarity is not None:
        told = np.nan_to_num(np.floor(verdicts.familiarity)).astype(np.uint8)
        columns["familiarity"] = pa.array(told, mask=~seen)
    columns |= {
        "n_valid": pa.array(verdicts.observed, pa.int16()),
        "pixels": pa.array(verdicts.pixels, pa.int32()),
        "pixels_from": pa.array([SOURCES[i] for i in verdicts.source], pa.string()),
        "area_m2": pa.array(area_m2),
        "area_judged_m2": pa.array(area_m2 * parcels.inside),
        "cut": pa.array(parcels.inside < 1),
        "review": pa.array(~seen | (_top(verdicts.p) < np.float32(review_below))),
        "tile": pa.array([tile] * len(ids), pa.string()),
        "geometry": pa.array(shapely.to_wkb(shapes), pa.binary()),
        "bbox": _boxes(shapes),
    }
    table = pa.table(columns).replace_schema_metadata({"geo": json.dumps(_geo(shapes, crs), sort_keys=True)})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return check_table(sink.getvalue(), table, "parquet", place=f"tile {tile}, {FILE_NAME}", crs=crs)


def tally(data: bytes) -> dict[str, Any]:
    """What the tile's record keeps: per crop code [parcels, m2 judged, for review], and how many by their pixels'
    source."""
    read = pq.read_table(io.BytesIO(data), columns=["code", "area_judged_m2", "review", "pixels_from"])
    table = read.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    by_code = {}
    for code, rows in table.groupby("code", dropna=False):
        name = "none" if pd.isna(code) else str(code)
        by_code[name] = [len(rows), round(rows["area_judged_m2"].sum(), 2), int(rows["review"].sum())]
    return {"by_code": by_code, "from": {name: int((table["pixels_from"] == name).sum()) for name in SOURCES}}


def _top(p: NDArray[np.float32]) -> NDArray[np.float32]:
    return p.max(axis=1, initial=0)


def _ranked(p: NDArray[np.float32], seen: NDArray[np.bool_], rank: int) -> tuple[pa.Array, pa.Array]:
    """Class index and probability of each parcel's ``rank``-th best class, the first of equals; null where unknown."""
    known = seen & (rank < p.shape[1])
    rank = min(rank, p.shape[1] - 1)
    index = np.argsort(-p, axis=1, kind="stable")[:, rank]
    return pa.array(index, mask=~known), pa.array(np.take_along_axis(p, index[:, None], 1)[:, 0], mask=~known)


def _named(index: pa.Array, values: list[Any], kind: pa.DataType) -> pa.Array:
    return pa.array(values, kind).take(index)


def _boxes(shapes: NDArray[Any]) -> pa.Array:
    sides = ("xmin", "ymin", "xmax", "ymax")
    return pa.StructArray.from_arrays([pa.array(side) for side in shapely.bounds(shapes).T.copy()], names=sides)


def _geo(shapes: NDArray[Any], crs: str) -> dict[str, Any]:
    """GeoParquet 1.1's own metadata."""
    return {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {
            "geometry": {
                "encoding": "WKB",
                "geometry_types": sorted(_TYPES & {shape.geom_type for shape in shapes}),
                "crs": pyproj.CRS.from_user_input(crs).to_json_dict(),
                "bbox": shapely.total_bounds(shapes).tolist(),
                "covering": {"bbox": {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}},
            }
        },
    }
