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
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyproj
import shapely
from numpy.typing import NDArray

from engine.errors import InputError, TileError
from engine.objects import Objects, absolute, file_digest
from engine.parcels.options import PARCELS_VERSION, ParcelOptions
from engine.parcels.shapes import Owners, faults, reached
from engine.parcels.source import Batch, Box, opened
from engine.types import Grid, Tile, Window, digest, dump_json

_PILES = 64
_PARALLEL = 16
_EXAMPLES = 5
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
    """A register as it was dealt out. ``about``: rows read, kept, and left out by reason, with some of their names."""

    parts: Mapping[str, Part]
    about: Mapping[str, Any]


def register_identity(options: ParcelOptions, grid: Grid, area: shapely.Geometry) -> str:
    """What changes when the register, its names, or the tiles it is dealt out to do."""
    whole = [grid.crs, grid.resolution, grid.left, grid.top, grid.height, grid.width, grid.tile_px]
    outline = shapely.to_wkb(shapely.normalize(area), hex=True)
    return digest([PARCELS_VERSION, file_digest(absolute(options.uri)), options.id, whole, outline])


def take_in(
    options: ParcelOptions, grid: Grid, area: shapely.Geometry, tiles: Sequence[Tile], store: Objects
) -> Register:
    """Deal the register out to ``tiles`` in the folder ``store``.

    A parcel is kept where its representative point lies in ``area`` (the grid's CRS). Those that cannot be used are
    left out and counted. Raises InputError: cannot be read, no CRS, no such column, no parcel kept, a name twice.
    """
    with tempfile.TemporaryDirectory() as folder:
        piles = _Piles(Path(folder), len(tiles))
        about = _deal(options, grid, area, tiles, piles)
        index = [row for path in piles.closed() for row in _put_parts(path, grid, tiles, store)]
    table = pa.Table.from_pylist(index, _INDEX_SCHEMA)
    store.put(_INDEX, _parquet_bytes(table))
    store.put(_ABOUT, dump_json(about))  # last: where it is, all is
    return Register(_parts(table), about)


def held(store: Objects) -> Register | None:
    """The register dealt out in the folder ``store``, or None where that was never finished."""
    about = store.find(_ABOUT)
    if about is None:
        return None
    return Register(_parts(pq.read_table(io.BytesIO(store.get(_INDEX)))), json.loads(about))


def read_part(store: Objects, tile: Tile, sha256: str) -> tuple[pa.Array, NDArray[Any]]:
    """The tile's parcels: ids (n,) int64 or string in their order, and shapes (n,) in the grid's CRS."""
    key = f"{tile.id}.parquet"
    data = store.find(key)
    if data is None or hashlib.sha256(data).hexdigest() != sha256:
        raise TileError(
            "the parcels dealt out to this tile are gone or differ from those of this run",
            place=store.url(key),
            remedy="submit the job again: the register is then dealt out anew",
        )
    table = pq.read_table(io.BytesIO(data))
    return table["id"].combine_chunks(), shapely.from_wkb(table["geometry"].to_numpy())


class _Piles:
    """Files of kept parcels, each of some neighbouring tiles."""

    def __init__(self, folder: Path, tiles: int) -> None:
        self._folder, self._tiles = folder, tiles
        self._writers: dict[int, pq.ParquetWriter] = {}
        self._open = ExitStack()

    def add(self, owner: NDArray[np.int64], ids: pa.Array, shapes: NDArray[Any]) -> None:
        """owner: (n,) index of each parcel's tile."""
        table = pa.table({"tile": pa.array(owner), "id": ids, "geometry": pa.array(shapely.to_wkb(shapes))})
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


def _deal(
    options: ParcelOptions, grid: Grid, area: shapely.Geometry, tiles: Sequence[Tile], piles: _Piles
) -> dict[str, Any]:
    """Every usable parcel of the area onto its tile's pile; returns what is to be told of the register."""
    box = grid.bounds(Window(0, grid.height, 0, grid.width))
    owners = Owners(grid, area, tiles)
    read, names, reasons = 0, [], Counter[str]()
    examples: dict[str, list[str]] = {}
    with opened(options.uri, options.id, box, grid.crs) as (crs, batches):
        across = pyproj.Transformer.from_crs(crs, grid.crs, always_xy=True)
        for batch in batches:
            read += len(batch.ids)
            shapes, wrong, usable = _judged(batch, across, box, grid.resolution)
            for row in np.flatnonzero(wrong != ""):
                reason = str(wrong[row])
                reasons[reason] += 1
                name = batch.ids[int(row)]
                if name.is_valid and len(examples.setdefault(reason, [])) < _EXAMPLES:
                    examples[reason].append(str(name))
            owner = owners.of(shapes[usable])
            kept = usable[owner >= 0]
            if len(kept):
                ids = batch.ids.take(pa.array(kept))
                piles.add(owner[owner >= 0], ids, shapes[kept])
                names.append(ids)
    if not names:
        raise InputError(
            f"none of {read} parcels near the area has its representative point in it"
            + (f" ({sum(reasons.values())} cannot be used: {dict(reasons)})" if reasons else ""),
            expected="parcels in the area",
            place=options.uri,
            remedy="check the parcels' CRS and extent, and the area",
        )
    _refuse_twins(pa.chunked_array(names), options)
    left_out = {why: {"parcels": n, "such_as": examples.get(why, [])} for why, n in sorted(reasons.items())}
    return {"kept": sum(map(len, names)), "left_out": left_out}


def _judged(
    batch: Batch, across: pyproj.Transformer, box: Box, resolution: float
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    """Shapes in the grid's CRS, why a row cannot be used (empty text where it can, or lies elsewhere), usable rows."""
    shapes = batch.shapes.copy()
    gone = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    shapes[~gone] = shapely.transform(shapes[~gone], across.transform, interleaved=False)
    wrong, here = faults(shapes, box, resolution)
    wrong[here[batch.ids.is_null().to_numpy(zero_copy_only=False)[here]]] = "no id"
    return shapes, wrong, here[wrong[here] == ""]


def _refuse_twins(names: pa.ChunkedArray, options: ParcelOptions) -> None:
    counts = pc.value_counts(names)
    twice = pc.filter(counts, pc.greater(pc.struct_field(counts, "counts"), 1))
    if len(twice):
        first = twice[0].as_py()
        raise InputError(
            f"{len(twice)} names stand there more than once, such as {first['values']!r}, {first['counts']} times",
            expected="a name of its own for every parcel of the area",
            place=f"{options.uri}, column {options.id}",
            remedy="name another column under parcels.id, or leave it out to number the rows",
        )


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
