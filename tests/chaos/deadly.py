"""Work that fails as no test could make a crop map fail: a tile that kills its worker, an opening that fails."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import InfrastructureError, InputError
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


@dataclass(frozen=True)
class BrokenWork:
    """Work that cannot be opened the first ``fails`` times: for a reason that passes, or for one that stays."""

    uri: str
    fails: int
    passing: bool

    def open(self) -> Callable[[Chore], Record]:
        """What a worker does with a tile, once it can."""
        tries = Objects(self.uri)
        tries.put(secrets.token_hex(8), b"")
        if sum(1 for _ in tries.entries()) <= self.fails:
            if self.passing:
                raise InfrastructureError("the store is away", place=self.uri)
            raise InputError("no such model", place=self.uri)
        return DeadlyWork(f"{self.uri}-ledger", "").open()
