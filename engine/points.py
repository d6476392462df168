"""Points of a probability sample: drawn from a published map, kept as a file that a person fills in, and read back.

Strata are the map's classes. Within each, every pixel has the same chance, whatever tile it lies in; only tiles with a
point are opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import fsspec
import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from engine.accuracy import AreaEstimate, estimate_areas
from engine.assess.design import draw_ranks
from engine.errors import InputError, TilthError
from engine.ground import read_named
from engine.map_values import MapValues
from engine.objects import absolute, local_file
from engine.published import check_table
from engine.read import read_whole
from engine.types import Grid, Tile
from engine.vectors import VectorFile, opened

COLUMNS = ("id", "map_code", "map_name", "x", "y", "longitude", "latitude", "design", "reference")

_LAYER = "points"
"""The layer of a GeoPackage that holds them; where a person added others, this one is read."""


@dataclass(frozen=True)
class Strata:
    """A map as its classes and tiles.

    pixels: (tiles, k) int64, pixels of each class in each tile, in the order of ``tiles``.
    """

    grid: Grid
    codes: tuple[int, ...]
    names: tuple[str, ...]
    tiles: tuple[Tile, ...]
    places: tuple[str, ...]
    """Where each tile's class raster lies."""
    pixels: NDArray[np.int64]
    model: str
    """Digest of the model that made the map."""
    values: MapValues
    """What the class raster holds for each class."""

    @property
    def area_km2(self) -> NDArray[np.float64]:
        """Mapped area of each class, (k,) km2."""
        return self.pixels.sum(axis=0) * self.grid.resolution**2 / 1e6

    @property
    def design(self) -> str:
        """Names the map that points are drawn from: another map has other strata."""
        facts = [self.model, self.codes, [tile.id for tile in self.tiles], self.pixels.tolist()]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a filled-in sample says. Classes are those of the map, then codes that only the reference has."""

    codes: tuple[int, ...]
    matrix: NDArray[np.int64]
    """(k, k) counts, rows map, columns reference."""
    mapped_km2: NDArray[np.float64]
    areas: AreaEstimate
    unfilled: int
    """Points without a reference yet."""
    missing: int
    """Points that were drawn, by their numbers, and are not in the file."""
    checked: bool
    """Whether the file names the map it was drawn from."""


def draw(strata: Strata, points: NDArray[np.int64], seed: int) -> gpd.GeoDataFrame:
    """``points`` (k,) pixels of each class at random, in random order, as a frame of ``COLUMNS`` with point geometry.

    x, y are pixel centres in the grid's CRS. Equal arguments draw equal points.
    """
    chosen: dict[int, list[tuple[int, int]]] = {}
    for index, ranks in enumerate(draw_ranks(points, strata.pixels.sum(axis=0), seed)):
        ends = np.cumsum(strata.pixels[:, index])
        for rank, tile in zip(ranks.tolist(), np.searchsorted(ends, ranks, side="right").tolist(), strict=True):
            before = int(ends[tile] - strata.pixels[tile, index])
            chosen.setdefault(tile, []).append((index, rank - before))
    rows = [row for tile, wanted in sorted(chosen.items()) for row in _located(strata, tile, wanted)]
    order = np.random.default_rng([seed, 1]).permutation(len(rows))
    frame = pd.DataFrame([rows[i] for i in order], columns=["index", "x", "y"])
    shapes = gpd.GeoSeries(gpd.points_from_xy(frame["x"], frame["y"]), crs=strata.grid.crs)
    lonlat = shapes.to_crs("EPSG:4326")
    table = {
        "id": np.arange(1, len(frame) + 1),
        "map_code": np.array(strata.codes)[frame["index"]],
        "map_name": np.array(strata.names, object)[frame["index"]],
        "x": frame["x"],
        "y": frame["y"],
        "longitude": lonlat.x.round(7),
        "latitude": lonlat.y.round(7),
        "design": strata.design,
        "reference": pd.array([pd.NA] * len(frame), dtype="Int64"),
    }
    return gpd.GeoDataFrame(table, geometry=shapes)[[*COLUMNS, "geometry"]]


def write_points(frame: gpd.GeoDataFrame, uri: str) -> None:
    """Write points as GeoPackage (``.gpkg``) or CSV (``.csv``); InputError for another name or a file that is there:
    somebody may have filled it in."""
    if not uri.endswith((".gpkg", ".csv")):
        raise InputError(repr(uri), expected="a name that ends with .gpkg or .csv", place="--out")
    fs, path = fsspec.core.url_to_fs(uri)
    if fs.exists(path):
        raise InputError("is there already", place=uri, remedy="name another file, or move it away")
    if uri.endswith(".csv"):
        kind, data = "csv", frame.drop(columns="geometry").to_csv(index=False).encode()
    else:
        with tempfile.TemporaryDirectory() as folder:
            local = os.path.join(folder, "points.gpkg")
            frame.to_file(local, driver="GPKG", layer=_LAYER)
            with open(local, "rb") as file:
                kind, data = "gpkg", file.read()
    meant = pa.Table.from_pandas(pd.DataFrame(frame.drop(columns="geometry")), preserve_index=False)
    meant = meant.append_column("geometry", pa.array(shapely.to_wkb(frame.geometry.to_numpy()), pa.binary()))
    check_table(data, meant, kind, place=uri, crs=str(frame.crs), error=TilthError)
    with fsspec.open(uri, "wb", auto_mkdir=True) as file:
        file.write(data)


def read_points(uri: str) -> pd.DataFrame:
    """The points with whole numbers in map_code and reference (<NA> = not filled in yet); InputError where it cannot be
    such a file."""
    try:
        if uri.endswith(".csv"):
            with local_file(absolute(uri)) as path:
                frame = pd.read_csv(path)
        else:
            frame = _of_vectors(VectorFile(uri, "--sample", usual=_LAYER))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", expected="points of tilth sample, filled in", place=uri) from error
    lacking = {"map_code", "reference"} - set(frame.columns)
    if lacking:
        raise InputError(f"no column {sorted(lacking)}", expected="points of tilth sample, filled in", place=uri)
    for column in ("map_code", "reference"):
        given = frame[column].replace("", pd.NA)
        numbers = pd.to_numeric(given, errors="coerce")
        wrong = given[given.notna() & (numbers.isna() | (numbers % 1 != 0))]
        if len(wrong):
            raise InputError(
                f"{column} holds {str(wrong.iloc[0])!r}",
                expected="codes of the legend",
                place=uri,
                remedy="give the code",
            )
        frame[column] = numbers.astype("Int64")
    return pd.DataFrame(frame)


def _of_vectors(file: VectorFile) -> pd.DataFrame:
    """All columns of a file of vectors, whole numbers as such also where some are missing."""
    with opened(file, None) as found:
        parts = [pa.table(dict(batch.columns)) for batch in found.batches]
    if not parts:
        return pd.DataFrame({name: [] for name in found.header.columns})
    return pa.concat_tables(parts).to_pandas(
        types_mapper={pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype()}.get
    )


def estimate(points: pd.DataFrame, strata: Strata, place: str) -> Estimate:
    """Areas and accuracies from a filled-in sample (Olofsson et al. 2014), design-based if the points are a
    probability sample of this map.

    Raises InputError where they were drawn from another map, name classes it does not have, hold a point twice, or
    leave a class of the map with fewer than two filled-in points.
    """
    missing = _missing(points, place)
    checked = "design" in points.columns
    if checked and set(points["design"].dropna().unique()) != {strata.design}:
        raise InputError(
            f"points drawn from map {', '.join(map(str, points['design'].dropna().unique()[:3]))}",
            expected=f"{strata.design}, as it is now",
            place=place,
            remedy="the map was made anew since: its strata are others; draw again with tilth sample",
        )
    filled = points[points["reference"].notna() & points["map_code"].notna()]
    mapped, reference = filled["map_code"].to_numpy(np.int64), filled["reference"].to_numpy(np.int64)
    foreign = sorted(set(mapped.tolist()) - set(strata.codes))
    if foreign:
        raise InputError(f"map_code {foreign[:5]}", expected=f"codes of the map: {list(strata.codes)}", place=place)
    codes = (*strata.codes, *sorted(set(reference.tolist()) - set(strata.codes)))
    at = {code: index for index, code in enumerate(codes)}
    matrix = np.zeros((len(codes), len(codes)), np.int64)
    np.add.at(matrix, ([at[c] for c in mapped.tolist()], [at[c] for c in reference.tolist()]), 1)
    area = np.zeros(len(codes))
    area[: len(strata.codes)] = strata.area_km2
    few = [codes[i] for i in np.flatnonzero((area > 0) & (matrix.sum(axis=1) < 2))]
    if few:
        raise InputError(
            f"fewer than two filled-in points where the map says {few}",
            expected="two or more in every class of the map: one has no variance",
            place=place,
            remedy="fill in more of the column reference",
        )
    return Estimate(codes, matrix, area, estimate_areas(matrix, area), len(points) - len(filled), missing, checked)


def _missing(points: pd.DataFrame, place: str) -> int:
    """How many points up to the largest number are not there; InputError where one is there twice."""
    if "id" not in points.columns:
        return 0
    twice = points["id"][points["id"].duplicated()]
    if len(twice):
        raise InputError(
            f"point {twice.iloc[0]} stands there twice", expected="each point of the sample once", place=place,
            remedy="remove what was repeated, or the column id where these are points of your own",
        )  # fmt: skip
    return max(int(points["id"].max()), len(points)) - len(points)


def _located(strata: Strata, tile: int, wanted: Sequence[tuple[int, int]]) -> list[tuple[int, float, float]]:
    """(class index, x, y) of pixels given by class and rank in row-major order."""
    values = strata.values.index(read_named(strata.places[tile], read_whole))
    core, r = strata.tiles[tile].core, strata.grid.resolution
    found = []
    cells: Mapping[int, NDArray[np.intp]] = {index: np.flatnonzero(values == index) for index, _ in wanted}
    for index, rank in wanted:
        y, x = divmod(int(cells[index][rank]), values.shape[1])
        found.append((index, strata.grid.left + (core.x0 + x + 0.5) * r, strata.grid.top - (core.y0 + y + 0.5) * r))
    return found
