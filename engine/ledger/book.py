"""The ledger of one stage: records written create-only, compacted into Parquet snapshots.

Layout below the ledger's folder: ``records/{tile}.{seq}.json`` and ``snapshots/{n}.parquet``. A record, once compacted,
is deleted; a reader lists records first and opens the newest snapshot after, so what it does not see in one it sees
in the other. The highest ``seq`` of a tile wins, wherever it lies, so a record that comes late harms nobody.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import InfrastructureError
from engine.ledger.record import Body, Record, body_text
from engine.objects import Objects

_COMPACT_FROM = 1000
_SNAPSHOTS_KEPT = 2
_LOAD_TRIES = 20


class Ledger:
    """States of one stage's tiles in ``objects``; ``load`` first, then ask ``latest``."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.latest: dict[str, Record] = {}
        self._loose: list[str] = []
        self._snapshot = 0

    def load(self) -> Ledger:
        """Read the newest state of every tile."""
        for _ in range(_LOAD_TRIES):
            try:
                self._load()
                return self
            except FileNotFoundError:  # a compaction has just folded in what was listed: it is in the snapshot now
                continue
        raise InfrastructureError(
            "records vanish as fast as they are listed", place=self.objects.uri, remedy="the run tries again"
        )

    def next_seq(self, tile: str) -> int:
        """The number a tile's next record bears."""
        return self.latest[tile].seq + 1 if tile in self.latest else 1

    def commit(self, record: Record) -> Record:
        """Write a record create-only and return the one that stands: this one, or that of whoever was first."""
        return self.note(commit_record(self.objects, record))

    def note(self, record: Record) -> Record:
        """Take in a record that a worker has written."""
        self._take([record])
        self._loose.append(_key(record))
        return record

    def compact(self, force: bool = False) -> None:
        """Fold loose records into a new snapshot when they are many (a tenth of all, at least 1000), or ``force``."""
        if not self._loose or not (force or len(self._loose) >= max(_COMPACT_FROM, len(self.latest) // 10)):
            return
        while self._newest() != self._snapshot or not self._put_snapshot():
            self.load()  # another driver has compacted: what it folded in must not be missing from ours
        self._snapshot += 1
        self.objects.delete(self._loose)
        self._loose = []
        old = sorted(entry.key for entry in self.objects.entries("snapshots"))[:-_SNAPSHOTS_KEPT]
        self.objects.delete(old)

    def _load(self) -> None:
        loose = [entry.key for entry in self.objects.entries("records")]
        snapshots = sorted(entry.key for entry in self.objects.entries("snapshots"))
        self.latest = {}
        if snapshots:
            self._take(_read_snapshot(self.objects.get(snapshots[-1])))
            self._snapshot = _number(snapshots[-1])
        known = [key for key in loose if not self._covers(key)]
        self._take(Record.loads(data) for data in self.objects.get_many(known))
        self._loose = loose

    def _newest(self) -> int:
        return max((_number(entry.key) for entry in self.objects.entries("snapshots")), default=0)

    def _put_snapshot(self) -> bool:
        return self.objects.put_new(_snapshot_key(self._snapshot + 1), _write_snapshot(self.latest.values()))

    def _take(self, records: Iterable[Record]) -> None:
        for record in records:
            known = self.latest.get(record.tile)
            if known is None or record.seq >= known.seq:
                self.latest[record.tile] = _packed(record)

    def _covers(self, key: str) -> bool:
        tile, seq = key.removeprefix("records/").removesuffix(".json").rsplit(".", 1)
        return tile in self.latest and self.latest[tile].seq >= int(seq)


def commit_record(objects: Objects, record: Record) -> Record:
    """Write one record create-only; when another was first under that number, return the other."""
    while not objects.put_new(_key(record), record.dumps()):
        found = objects.find(_key(record))  # none: compacted this very moment, so the number is taken all the same
        winner = Record.loads(found) if found else None
        if winner and winner.key == record.key and winner.state == record.state:
            return winner
        record = replace(record, seq=record.seq + 1)
    return record


def standing_record(objects: Objects, tile: str, seq: int, key: str) -> Record | None:
    """The record under this number, if it says that the tile is written from just this; else None. One GET, and one
    more for each mark before it that says that its writing had begun."""
    while found := objects.find(f"records/{tile}.{seq:06d}.json"):
        record = Record.loads(found)
        if record.key != key or record.state == "quarantined":
            return None
        if record.state == "written":
            return record
        seq += 1
    return None


def _key(record: Record) -> str:
    return f"records/{record.tile}.{record.seq:06d}.json"


def _snapshot_key(number: int) -> str:
    return f"snapshots/{number:06d}.parquet"


def _number(key: str) -> int:
    return int(key.rsplit("/", 1)[-1].split(".")[0])


def _write_snapshot(records: Iterable[Record]) -> bytes:
    ordered = sorted(records, key=lambda r: r.tile)
    table = pa.table(
        {
            "tile": [r.tile for r in ordered],
            "seq": pa.array([r.seq for r in ordered], pa.int32()),
            "key": [r.key for r in ordered],
            "state": [r.state for r in ordered],
            "epoch": pa.array([r.epoch for r in ordered], pa.int32()),
            "body": [body_text(r.body) for r in ordered],
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _read_snapshot(data: bytes) -> Iterator[Record]:
    for batch in pq.ParquetFile(io.BytesIO(data)).iter_batches():  # whole, it would be in memory twice
        columns = [batch.column(name).to_pylist() for name in ("tile", "seq", "key", "state", "epoch", "body")]
        for tile, seq, key, state, epoch, body in zip(*columns, strict=True):
            yield Record(tile, seq, key, state, epoch, Body(body))


def _packed(record: Record) -> Record:
    return record if isinstance(record.body, Body) else replace(record, body=Body(body_text(record.body)))
