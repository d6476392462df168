"""One line of the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

State = Literal["written", "quarantined", "pending"]


class Body(Mapping[str, Any]):
    """A record's body kept as JSON text and parsed when looked into.

    A driver holds the records of all tiles: 100,000 cube tiles with a season of 36 steps take 0.3 GB as text and 2.2 GB
    parsed, and the parsing took half the time of a resume that finds nothing to do.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __getitem__(self, name: str) -> Any:
        return _parsed(self.text)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_parsed(self.text))

    def __len__(self) -> int:
        return len(_parsed(self.text))

    def __repr__(self) -> str:
        return f"Body({self.text!r})"


def body_text(body: Mapping[str, Any]) -> str:
    """Canonical JSON of a record's body."""
    return body.text if isinstance(body, Body) else _dumps(body)


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
        return _dumps(
            {
                "tile": self.tile,
                "seq": self.seq,
                "key": self.key,
                "state": self.state,
                "epoch": self.epoch,
                "body": dict(self.body),
            }
        ).encode()

    @staticmethod
    def loads(data: bytes) -> Record:
        """The inverse of ``dumps``."""
        return Record(**json.loads(data))


def _dumps(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


@lru_cache(maxsize=4)
def _parsed(text: str) -> dict[str, Any]:
    """Several looks into one record, one after the other, parse it once."""
    body: dict[str, Any] = json.loads(text)
    return body
