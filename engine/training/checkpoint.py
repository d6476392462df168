"""Where a training stands, kept beside the model until the model is there, so that a killed one can go on.

One safetensors file: tensors, and whatever else is needed as JSON in its header. No pickle. It is written whole or not
at all, and only a training of the same key takes it up.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

CHECKPOINT_NAME = "checkpoint.safetensors"
_EVERY_S = 30.0
"""A checkpoint of a large network (168 MB) takes a second or two to a store, 0.2 s to a disk."""


class Folder(Protocol):
    """What is asked of the model's folder: ``engine.models.package.Folder`` on disk or in a bucket."""

    def find(self, name: str) -> bytes | None: ...

    def write(self, name: str, data: bytes) -> None: ...

    def remove(self, name: str) -> None: ...


@dataclass
class Checkpoint:
    """The checkpoint of the model in ``folder``, written at most every ``every_s`` seconds."""

    folder: Folder
    every_s: float = _EVERY_S
    _newest: bytes | None = None
    """Offered and not yet written."""
    _written_s: float = field(default_factory=time.monotonic)

    def load(self, key: str) -> bytes | None:
        """The bytes that were offered last under this key; None where there are none, or another training's."""
        data = self.folder.find(CHECKPOINT_NAME)
        return data if data is not None and metadata(data).get("key") == key else None

    def offer(self, data: bytes) -> None:
        """Take in where the training stands; written now where the last writing is long enough ago."""
        self._newest = data
        if time.monotonic() - self._written_s >= self.every_s:
            self.flush()

    def flush(self) -> None:
        """Write what was offered last: the training is about to end early."""
        if self._newest is not None:
            self.folder.write(CHECKPOINT_NAME, self._newest)
            self._newest, self._written_s = None, time.monotonic()

    def clear(self) -> None:
        """Forget it all: the model is written."""
        self._newest = None
        self.folder.remove(CHECKPOINT_NAME)


def metadata(data: bytes) -> dict[str, Any]:
    """What the header of safetensors bytes says beside its tensors; empty for bytes of another kind."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError:  # no JSON, or no text
        return {}
    found = header.get("__metadata__") if isinstance(header, dict) else None
    return found if isinstance(found, dict) else {}
