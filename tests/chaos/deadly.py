"""Work whose one tile takes down the process that does it, each time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.ledger import Record
from engine.ledger.book import commit_record
from engine.objects import Objects
from engine.types import Tile, Window


@dataclass(frozen=True)
class Chore:
    """A task of the loop's kind."""

    tile: Tile
    key: str = "same"
    seq: int = 1
    epoch: int = 1
    memory_bytes: int = 1


@dataclass(frozen=True)
class DeadlyWork:
    """Writes a record for each tile but ``deadly``; that one ends its worker by SIGKILL, as an out-of-memory does."""

    uri: str
    deadly: str
    seconds: float = 0.05

    def open(self) -> Callable[[Chore], Record]:
        """What a worker does with a tile."""
        ledger = Objects(self.uri)

        def do(chore: Chore) -> Record:
            ledger.put(f"begun/{chore.tile.id}.{os.getpid()}", b"")
            time.sleep(self.seconds)
            if chore.tile.id == self.deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return commit_record(ledger, Record(chore.tile.id, chore.seq, chore.key, "written", chore.epoch))

        return do


def chores(count: int) -> list[Chore]:
    """Tiles in one row."""
    return [Chore(Tile(0, col, Window(0, 1, col, col + 1))) for col in range(count)]
