"""A register dealt out to tiles, once, by the driver: each worker then reads its own tile's parcels and no others.

One pass over the register, in batches. Kept parcels go into some dozens of files on this machine's disk by their tile;
these are read back one by one, cut by tile and put beside the ledger. So memory holds a batch, or one of those files,
and of the whole only the names. What was dealt out stays as it was, whatever becomes of the register.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from engine.errors import TileError
from engine.objects import Objects
from engine.parcels.deal import Dealt, deal
from engine.parcels.options import PARCELS_VERSION, ParcelOptions
from engine.parcels.shapes import reached
from engine.types import Grid, Tile, digest, dump_json
from engine.vectors import file_identity

_PILES = 64
_PARALLEL = 16
_ABOUT, _INDEX = "register.json", "index.parquet"


@dataclass(frozen=True, slots=True)
class Part:
    """One tile's parcels: checksum of their file, how many, their pixels by area, those of the largest, and the other
    tiles that their bounds reach into."""

    sha256: str
    parcels: int
    pixels: int
    largest: int
    reaches: tuple[str, ...]


@dataclass(frozen=True)
class Register:
    """A register as it was dealt out. ``about``: rows of the file: those kept, outside the area and left out by
    reason; of those kept, cut by the area and changed (repaired) by reason; with some of their names."""

    parts: Mapping[str, Part]
    about: Mapping[str, Any]


def register_identity(options: ParcelOptions, grid: Grid, area: shapely.Geometry) -> str:
    """What changes when the register, its names, or the tiles it is dealt out to do."""
    whole = [grid.crs, grid.resolution, grid.left, grid.top, grid.height, grid.width, grid.tile_px]
    outline = shapely.to_wkb(shapely.normalize(area), hex=True)
    read = [options.id, options.layer, options.encoding]
    return digest([PARCELS_VERSION, file_identity(options.uri), *read, whole, outline])


def take_in(
    options: ParcelOptions, grid: Grid, area: shapely.Geometry, tiles: Sequence[Tile], store: Objects
) -> Register:
    """Deal the register out to ``tiles`` in the folder ``store``.

    A parcel is kept where its representative point lies in ``area`` (the grid's CRS). Those that cannot be used are
    left out and counted. Raises InputError: cannot be read, no CRS, no such column, no parcel kept, a name twice.
    """
    with tempfile.TemporaryDirectory() as folder:
        piles = _Piles(Path(folder), len(tiles))
        about = deal(options, grid, area, tiles, piles.add)
        index = [row for path in piles.closed() for row in _put_parts(path, grid, tiles, store)]
    table = pa.Table.from_pylist(index, _INDEX_SCHEMA)
    store.put(_INDEX, _parquet_bytes(table))
    store.put(_ABOUT, dump_json(about))  # last: where it is, all is
    return Register(_parts(table), about)


def look_at_register(
    options: ParcelOptions, grid: Grid, area: shapely.Geometry, tiles: Sequence[Tile]
) -> Mapping[str, Any]:
    """What ``take_in`` would tell of the register, which it reads in the same way and keeps nothing of; InputError for
    whatever that would refuse."""
    return deal(options, grid, area, tiles)


def held(store: Objects) -> Register | None:
    """The register dealt out in the folder ``store``, or None where that was never finished."""
    about = store.find(_ABOUT)
    if about is None:
        return None
    return Register(_parts(pq.read_table(io.BytesIO(store.get(_INDEX)))), json.loads(about))


def read_part(store: Objects, tile: Tile, sha256: str) -> Dealt:
    """The tile's parcels, in the order of their ids; TileError where they are not those that were dealt out."""
    key = f"{tile.id}.parquet"
    data = store.find(key)
    if data is None or hashlib.sha256(data).hexdigest() != sha256:
        raise TileError(
            "the parcels dealt out to this tile are gone or differ from those of this run",
            place=store.url(key),
            remedy="submit the job again: the register is then dealt out anew",
        )
    table = pq.read_table(io.BytesIO(data))
    shapes = shapely.from_wkb(table["geometry"].to_numpy())
    return Dealt(table["id"].combine_chunks(), shapes, table["inside"].to_numpy())


class _Piles:
    """Files of kept parcels, each of some neighbouring tiles."""

    def __init__(self, folder: Path, tiles: int) -> None:
        self._folder, self._tiles = folder, tiles
        self._writers: dict[int, pq.ParquetWriter] = {}
        self._open = ExitStack()

    def add(self, owner: NDArray[np.int64], parcels: Dealt) -> None:
        """owner: (n,) index of each parcel's tile."""
        wkb, inside = pa.array(shapely.to_wkb(parcels.shapes)), pa.array(parcels.inside)
        table = pa.table({"tile": pa.array(owner), "id": parcels.ids, "geometry": wkb, "inside": inside})
        pile = owner * _PILES // self._tiles
        for number in np.unique(pile).tolist():
            if number not in self._writers:
                writer = pq.ParquetWriter(self._folder / f"{number:04d}.parquet", table.schema)
                self._writers[number] = self._open.enter_context(writer)
            self._writers[number].write_table(table.filter(pa.array(pile == number)))

    def closed(self) -> list[Path]:
        """The files, complete."""
        self._open.close()
        return sorted(self._folder.iterdir())


def _put_parts(path: Path, grid: Grid, tiles: Sequence[Tile], store: Objects) -> Iterator[dict[str, Any]]:
    """Cut one pile by tile and put each tile's parcels, in the order of their names; yields rows of the index."""
    table = pq.read_table(path).sort_by([("tile", "ascending"), ("id", "ascending")])
    owner = table["tile"].to_numpy()
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    planned = {tile.id for tile in tiles}

    def put(start: int, stop: int) -> dict[str, Any]:
        tile = tiles[int(owner[start])]
        part = table.slice(start, stop - start).drop_columns(["tile"])
        data = _parquet_bytes(part)
        store.put(f"{tile.id}.parquet", data)
        shapes = shapely.from_wkb(part["geometry"].to_numpy())
        pixels = np.ceil(shapely.area(shapes) / grid.resolution**2).astype(np.int64) + 1
        return {
            "tile": tile.id,
            "sha256": hashlib.sha256(data).hexdigest(),
            "parcels": len(part),
            "pixels": int(pixels.sum()),
            "largest": int(pixels.max()),
            "reaches": sorted(({near.id for near in reached(grid, shapes)} & planned) - {tile.id}),
        }

    with ThreadPoolExecutor(_PARALLEL) as pool:
        yield from pool.map(put, starts.tolist(), [*starts[1:].tolist(), len(owner)])


def _parts(table: pa.Table) -> dict[str, Part]:
    return {
        row["tile"]: Part(row["sha256"], row["parcels"], row["pixels"], row["largest"], tuple(row["reaches"]))
        for batch in table.to_batches(max_chunksize=10_000)
        for row in batch.to_pylist()
    }


def _parquet_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


_INDEX_SCHEMA = pa.schema(
    [
        ("tile", pa.string()),
        ("sha256", pa.string()),
        ("parcels", pa.int64()),
        ("pixels", pa.int64()),
        ("largest", pa.int64()),
        ("reaches", pa.list_(pa.string())),
    ]
)
