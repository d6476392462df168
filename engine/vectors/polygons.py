"""One rule for polygons, whatever they are for: which are used as they are, which are mended, which are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyproj
import shapely
from numpy.typing import NDArray
from shapely import GeometryType

from engine.vectors.crs import Box, segment_length
from engine.vectors.file import VectorFile
from engine.vectors.rows import Header
from engine.vectors.shapes import Shapes
from engine.vectors.source import opened

_POLYGONS = (GeometryType.POLYGON, GeometryType.MULTIPOLYGON)
_AREAL = ("Polygon", "Surface", "Collection", "Geometry", "TIN", "Triangle")
"""What the name of a kind of geometry holds that can be, or hold, a polygon."""
_FAR = 1e9
"""No projection has larger coordinates, in any unit."""
NO_GEOMETRY = "no geometry"
NO_POLYGON = "no polygon"
OFF_CRS = "coordinates that are not those of its CRS"


@dataclass(frozen=True, slots=True)
class Judged:
    """n geometries, judged. shapes: (n,) polygons. wrong: (n,) text, why a row cannot be used, empty where it can.
    changed: (n,) text, what was done to a row that can be used, mostly nothing."""

    shapes: NDArray[Any]
    wrong: NDArray[Any]
    changed: NDArray[Any]


@dataclass(frozen=True)
class Polygons:
    """The usable polygons of a file. row: (n,) numbers in it. columns: name -> (n,). shapes: (n,) in the CRS asked for.
    left_out, changed: reason -> how many rows. header: the file's."""

    row: NDArray[np.int64]
    columns: Mapping[str, pa.Array]
    shapes: NDArray[Any]
    header: Header
    left_out: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)


def judge(geometry: Shapes, own: pyproj.CRS, crs: Any) -> Judged:
    """The geometries as valid polygons in ``crs``, projected from ``own``, long edges bent as the projection does.

    Of a collection its polygons are taken; crossing edges are repaired (GEOS's make_valid by structure); what is no
    polygon then is left out. Every reason is told.
    """
    shapes, changed = geometry.shapes.copy(), geometry.odd.copy()
    wrong = np.full(len(shapes), "", object)
    missing = shapely.is_missing(shapes)
    wrong[missing] = np.where(changed[missing] == "", NO_GEOMETRY, changed[missing])
    wrong[~missing & shapely.is_empty(shapes)] = "an empty geometry"
    for row in np.flatnonzero((wrong == "") & (shapely.get_type_id(shapes) == GeometryType.GEOMETRYCOLLECTION)):
        shapes[row] = _polygons_in(shapes[row])
        changed[row] = "polygons were taken out of a collection"
    wrong[(wrong == "") & ~np.isin(shapely.get_type_id(shapes), _POLYGONS)] = NO_POLYGON
    usable = np.flatnonzero(wrong == "")
    wrong[usable[_off(shapely.bounds(shapes[usable]), own)]] = OFF_CRS
    _repair(shapes, wrong, changed)  # first: GEOS's segmentize silently drops half of a crossed polygon
    usable = np.flatnonzero(wrong == "")
    shapes[usable] = _projected(shapes[usable], own, crs)
    wrong[usable[~np.isfinite(shapely.bounds(shapes[usable])).all(axis=1)]] = OFF_CRS
    _repair(shapes, wrong, changed)
    changed[wrong != ""] = ""
    return Judged(shapes, wrong, changed)


def read_polygons(
    file: VectorFile, columns: Sequence[str], crs: str, box: Box | None = None, *, needed: Sequence[str] = ()
) -> Polygons:
    """The file's usable polygons near ``box`` (in ``crs``; None: all) and, for each, the columns asked for.

    needed: columns whose null leaves a row out uncounted. InputError as ``opened``, and for points or lines.
    """
    kept: list[tuple[NDArray[np.int64], dict[str, pa.Array], NDArray[Any]]] = []
    left_out, changed, kinds = Counter[str](), Counter[str](), set[str]()
    with opened(file, columns, box, crs) as found:
        refuse_no_polygons(found.header.kinds, file)
        left_out[NO_GEOMETRY] += found.without_geometry
        for batch in found.batches:
            judged = judge(batch.geometry, found.header.crs, crs)
            named = np.ones(len(batch.row), np.bool_)
            for name in needed:
                named &= batch.columns[name].is_valid().to_numpy(zero_copy_only=False)
            kinds |= _kinds(batch.geometry.shapes[judged.wrong == NO_POLYGON])
            left_out.update(judged.wrong[named & (judged.wrong != "")].tolist())
            usable = np.flatnonzero(named & (judged.wrong == ""))
            changed.update(judged.changed[usable][judged.changed[usable] != ""].tolist())
            rows = {name: values.take(pa.array(usable)) for name, values in batch.columns.items()}
            kept.append((batch.row[usable], rows, judged.shapes[usable]))
    if not sum(len(row) for row, _, _ in kept):
        refuse_no_polygons(frozenset(kinds), file)
    return Polygons(
        np.concatenate([row for row, _, _ in kept]) if kept else np.zeros(0, np.int64),
        {name: _joined([rows[name] for _, rows, _ in kept]) for name in columns},
        np.concatenate([shapes for _, _, shapes in kept]) if kept else np.zeros(0, object),
        found.header,
        +left_out,
        changed,
    )


def refuse_no_polygons(kinds: frozenset[str], file: VectorFile) -> None:
    """InputError where all the kinds of geometry that a file holds are points or lines."""
    if kinds and not any(word in kind for kind in kinds for word in _AREAL):
        raise file.refused(
            f"holds {', '.join(sorted(kinds))}",
            "polygons: points and lines are not supported",
            f"give polygons in {file.key}, for example each point with a buffer as wide as what was seen there",
        )


def told_of(name: str, left_out: Mapping[str, int], changed: Mapping[str, int]) -> list[str]:
    """Sentences on the polygons of a file that were left out or changed."""
    return [
        f"{name}: {sum(reasons.values())} polygons {what}: "
        + ", ".join(f"{why} ({number})" for why, number in sorted(reasons.items()) if number)
        for reasons, what in ((left_out, "cannot be used and are left out"), (changed, "were changed and are used"))
        if sum(reasons.values())
    ]


def _off(bounds: NDArray[np.float64], own: pyproj.CRS) -> NDArray[np.bool_]:
    """(n,) True for bounds (n, 4) that no place on the earth has in the CRS."""
    most = np.array([360.0, 90.0, 360.0, 90.0]) if own.is_geographic else np.full(4, _FAR)
    return np.asarray(~(np.abs(bounds) <= most).all(axis=1))


def _projected(shapes: NDArray[Any], own: pyproj.CRS, crs: Any) -> NDArray[Any]:
    target = pyproj.CRS.from_user_input(crs)
    if own == target or not len(shapes):
        return shapes
    across = pyproj.Transformer.from_crs(own, target, always_xy=True)
    bent = shapely.segmentize(shapes, segment_length(own))
    return np.asarray(shapely.transform(bent, across.transform, interleaved=False), object)


def _repair(shapes: NDArray[Any], wrong: NDArray[Any], changed: NDArray[Any]) -> None:
    """Repair the usable shapes that are invalid, in place."""
    usable = np.flatnonzero(wrong == "")
    for row in usable[~shapely.is_valid(shapes[usable])].tolist():
        reason = shapely.is_valid_reason(shapes[row]).split("[")[0].strip()
        mended = shapely.make_valid(shapes[row], method="structure", keep_collapsed=False)
        mended = mended if mended.is_empty or mended.geom_type in ("Polygon", "MultiPolygon") else _polygons_in(mended)
        if mended.is_empty or not mended.area > 0:
            wrong[row] = f"{reason}, beyond repair"
        else:
            shapes[row], changed[row] = mended, f"repaired: {reason}"


def _polygons_in(shape: Any) -> Any:
    """The polygons of a collection, at any depth, as one multipolygon; the collection itself where it has none."""
    parts = [part for part in shapely.get_parts(shape) if not part.is_empty]
    parts = [_polygons_in(part) if part.geom_type == "GeometryCollection" else part for part in parts]
    flat = [piece for part in parts if part.geom_type.endswith("Polygon") for piece in shapely.get_parts(part)]
    return shapely.MultiPolygon(flat) if flat else shape


def _kinds(shapes: NDArray[Any]) -> set[str]:
    return {shape.geom_type for shape in shapes}


def _joined(parts: Sequence[pa.Array]) -> pa.Array:
    return pa.concat_arrays(parts) if parts else pa.nulls(0)
