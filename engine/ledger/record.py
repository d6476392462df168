"""One line of the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["written", "quarantined", "pending"]


@dataclass(frozen=True, slots=True)
class Record:
    """The state of one tile after one attempt; the highest ``seq`` of a tile is the one that counts."""

    tile: str
    seq: int
    key: str
    """Digest of all that decides the tile's bytes."""
    state: State
    """``pending`` asks for a tile to be tried again though its key is unchanged."""
    epoch: int = 0
    """Which driver's turn it was written in."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """What the stage wants to remember: outputs with checksums, counts, seconds; or the reason of a quarantine."""

    def dumps(self) -> bytes:
        """Canonical JSON."""
        return json.dumps(
            {
                "tile": self.tile,
                "seq": self.seq,
                "key": self.key,
                "state": self.state,
                "epoch": self.epoch,
                "body": self.body,
            },
            sort_keys=True,
            separators=(",", ":"),
        ).encode()

    @staticmethod
    def loads(data: bytes) -> Record:
        """The inverse of ``dumps``."""
        return Record(**json.loads(data))
