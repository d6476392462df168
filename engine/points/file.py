"""Files of points: one that a person fills in, one with what the map says there, both read back together."""

from __future__ import annotations

import io
import os
import tempfile

import fsspec
import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from engine.errors import InputError, TilthError
from engine.objects import absolute, local_file
from engine.published import check_table
from engine.vectors import VectorFile, opened

POINTS = ("id", "x", "y", "longitude", "latitude", "reference")
"""What an interpreter sees: nothing that tells what the map says."""
DESIGN = (
    "id", "map_code", "map_name", "stratum_pixels", "stratum_points", "inclusion_probability", "x", "y", "crs",
    "resolution", "map",
)  # fmt: skip
"""What is kept apart: the stratum of each point, and of which map."""
_BLANK = {"", "na", "n/a", "nan", "<na>", "null", "none", "-", "?"}
"""What people write where they know no reference."""
_LAYER = "points"
"""The layer of a GeoPackage that holds them; where a person added others, this one is read."""


def write_points(frame: gpd.GeoDataFrame, uri: str) -> str:
    """Write points as GeoPackage (``.gpkg``) or CSV (``.csv``), and beside them a second file with what the map says
    there, which an interpreter is not to see. Returns where that one is.

    InputError for another name or a file that is there: somebody may have filled it in.
    """
    if not uri.endswith((".gpkg", ".csv")):
        raise InputError(repr(uri), expected="a name that ends with .gpkg or .csv", place="--out")
    for name in (uri, design_of(uri)):
        fs, path = fsspec.core.url_to_fs(name)
        if fs.exists(path):
            raise InputError("is there already", place=name, remedy="name another file, or move it away")
    points = frame[[*POINTS, "geometry"]]
    if uri.endswith(".csv"):
        kind, data = "csv", points.drop(columns="geometry").to_csv(index=False).encode()
    else:
        with tempfile.TemporaryDirectory() as folder:
            local = os.path.join(folder, "points.gpkg")
            points.to_file(local, driver="GPKG", layer=_LAYER)
            with open(local, "rb") as file:
                kind, data = "gpkg", file.read()
    meant = pa.Table.from_pandas(pd.DataFrame(points.drop(columns="geometry")), preserve_index=False)
    meant = meant.append_column("geometry", pa.array(shapely.to_wkb(frame.geometry.to_numpy()), pa.binary()))
    check_table(data, meant, kind, place=uri, crs=str(frame.crs), error=TilthError)
    for name, content in ((design_of(uri), _hidden(frame, design_of(uri))), (uri, data)):
        with fsspec.open(name, "wb", auto_mkdir=True) as file:
            file.write(content)
    return design_of(uri)


def _hidden(frame: gpd.GeoDataFrame, uri: str) -> bytes:
    """The second file, read back and checked."""
    table = pa.Table.from_pandas(pd.DataFrame(frame)[list(DESIGN)], preserve_index=False)
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return check_table(sink.getvalue(), table, "parquet", place=uri, error=TilthError)


def design_of(uri: str) -> str:
    """Where the second file of a sample lies: ``points.gpkg`` -> ``points.design.parquet``."""
    return f"{uri.rsplit('.', 1)[0]}.design.parquet"


def read_points(uri: str, design: str | None = None) -> pd.DataFrame:
    """A filled-in sample: map_code and reference as whole numbers (<NA> = not filled in), ``written`` as what stands
    in the file; ``there``: False for a point that was drawn and is not in the file.

    What the map says is in ``design``, or in the file that was written with the points; or in the points themselves,
    where they are of before there were two. InputError where it cannot be such a file, or where the two do not match.
    """
    frame = _table(uri)
    if "reference" not in frame.columns:
        raise InputError(
            f"no column 'reference' among {', '.join(map(repr, list(frame.columns)[:8]))}",
            expected="points of tilth sample, filled in",
            place=uri,
            remedy="name the column reference; columns of a CSV are separated by commas",
        )
    if "map_code" not in frame.columns:
        frame = _with_design(frame, uri, design or design_of(uri))
    written = frame["reference"].astype(object).where(frame["reference"].notna(), "").astype(str).str.strip()
    blank = written.str.lower().isin(_BLANK)
    frame["written"] = written.where(blank, "")
    frame["reference"] = _codes(frame["reference"].where(~blank, pd.NA), "reference", uri)
    frame["map_code"] = _codes(frame["map_code"], "map_code", uri)
    return frame


def _of_vectors(file: VectorFile) -> gpd.GeoDataFrame:
    """All columns of a file of vectors, whole numbers as such also where some are missing, and its points."""
    with opened(file, None) as found:
        batches = list(found.batches)
    parts = [pa.table(dict(batch.columns)) for batch in batches]
    if not parts:
        return gpd.GeoDataFrame({name: [] for name in found.header.columns}, geometry=[], crs=found.header.crs)
    table = pa.concat_tables(parts).to_pandas(
        types_mapper={pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype()}.get
    )
    shapes = np.concatenate([batch.geometry.shapes for batch in batches])
    return gpd.GeoDataFrame(table, geometry=shapes, crs=found.header.crs)


def _table(uri: str) -> pd.DataFrame:
    try:
        if not uri.endswith((".csv", ".parquet")):
            return _of_vectors(VectorFile(uri, "--sample", usual=_LAYER))
        with local_file(absolute(uri)) as path:
            if uri.endswith(".parquet"):
                return pd.read_parquet(path)
            frame = pd.read_csv(path, dtype=str, keep_default_na=False)  # NA is what somebody wrote
            return frame.mask((frame == "") & (frame.columns != "reference"), pd.NA)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", expected="points of tilth sample, filled in", place=uri) from error


def _with_design(frame: pd.DataFrame, uri: str, design: str) -> pd.DataFrame:
    """The points of the design, each with the reference it was given; InputError for a point that is none of them, that
    stands there twice, or that was moved."""
    try:
        drawn = _table(design)
    except InputError as error:
        raise InputError(
            f"the file of what the map says at these points {error.value}",
            expected="the one that tilth sample wrote beside them",
            place=design,
            remedy="name it with --design",
        ) from error
    lacking = sorted(set(DESIGN) - set(drawn.columns)) or sorted({"id"} - set(frame.columns))
    if lacking:
        raise InputError(f"no column {lacking}", expected="as tilth sample wrote it", place=f"{uri}, {design}")
    ids = _codes(frame["id"], "id", uri)
    _refuse_twice(ids, uri)
    foreign = ids[~ids.isin(drawn["id"])]
    if len(foreign):
        raise InputError(
            f"point {foreign.tolist()[0]} is none of the {len(drawn)} that were drawn ({len(foreign)} such points)",
            expected="points of one sample: others have no known chance to be drawn",
            place=uri,
            remedy=f"remove them, or name the design that belongs to these points (now {design}) with --design",
        )
    now = _placed(frame, str(drawn["crs"].iloc[0])).assign(
        id=ids.astype(np.int64), reference=frame["reference"], there=True
    )
    joined = drawn.merge(now, on="id", how="left")
    _refuse_moved(joined, uri)
    joined["there"] = joined["there"].notna()
    return joined


def _placed(frame: pd.DataFrame, crs: str) -> pd.DataFrame:
    """Where the points stand now, x_now and y_now in ``crs``; NaN where the file does not say."""
    if isinstance(frame, gpd.GeoDataFrame):
        shapes = frame.geometry.to_crs(crs) if frame.crs else frame.geometry
        return pd.DataFrame({"x_now": shapes.x, "y_now": shapes.y}, index=frame.index)
    columns = {f"{name}_now": pd.to_numeric(frame[name], errors="coerce") for name in ("x", "y") if name in frame}
    return pd.DataFrame({"x_now": np.nan, "y_now": np.nan, **columns}, index=frame.index)


def _refuse_moved(joined: pd.DataFrame, uri: str) -> None:
    """InputError where a point no longer stands where it was drawn."""
    off = np.hypot(joined["x_now"] - joined["x"], joined["y_now"] - joined["y"])
    wrong = np.flatnonzero(off > joined["resolution"] / 2)
    if len(wrong):
        raise InputError(
            f"point {joined['id'].iloc[wrong[0]]} stands {off.iloc[wrong[0]]:.0f} m from where it was drawn "
            f"({len(wrong)} such points)",
            expected="points where chance put them",
            place=uri,
            remedy="put them back; what the reference is at another place says nothing of the sample",
        )


def refuse_twice(points: pd.DataFrame, place: str) -> None:
    """InputError where a number stands there twice."""
    if "id" in points.columns:
        _refuse_twice(points["id"], place)


def _refuse_twice(ids: pd.Series, place: str) -> None:
    twice = ids[ids.duplicated()]
    if len(twice):
        raise InputError(
            f"point {twice.iloc[0]} stands there twice", expected="each point of the sample once", place=place,
            remedy="remove what was repeated, or the column id where these are points of your own",
        )  # fmt: skip


def _codes(given: pd.Series, column: str, place: str) -> pd.Series:
    """Whole numbers, <NA> for none; InputError for something else."""
    numbers = pd.to_numeric(given, errors="coerce")
    wrong = given[given.notna() & (numbers.isna() | (numbers % 1 != 0))]
    if len(wrong):
        raise InputError(
            f"{column} holds {str(wrong.iloc[0])!r}",
            expected="codes of the legend, or nothing where none is known",
            place=place,
            remedy="give the code",
        )
    return numbers.astype("Int64")
