"""Pinned items <-> NDJSON: the file that freezes a run's inputs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from engine.claims import Claim
from engine.errors import InputError
from engine.types import Asset, Item


def write_items(items: Iterable[Item]) -> bytes:
    """One line of JSON an item, keys sorted: equal items give equal bytes."""
    lines = []
    for item in items:
        record = {**asdict(item), "datetime": item.datetime.isoformat()}
        lines.append(json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n")
    return "".join(lines).encode()


def read_items(content: bytes) -> tuple[Item, ...]:
    """What ``write_items`` wrote; ``read_items(write_items(items)) == items``. InputError names the line that fails."""
    items = []
    for number, line in enumerate(content.decode().split("\n"), start=1):
        if not line:
            continue
        try:
            record = json.loads(line)
            record["datetime"] = datetime.fromisoformat(record["datetime"])
            record["assets"] = {band: _asset(asset) for band, asset in record["assets"].items()}
            items.append(Item(**record))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"no pinned item: {error!r}",
                expected="a line that this version of tilth wrote",
                place=f"pinned items, line {number}",
                remedy="plan the run again",
            ) from error
    return tuple(items)


def _asset(record: dict[str, Any]) -> Asset:
    """One asset; where an earlier version wrote one encoding, item's and family's in one, that is the item's."""
    if "item" not in record:
        stated = Claim(**{name: record.pop(name) for name in ("scale", "offset", "nodata")})
        return Asset(**record, item=stated)
    item, family, (slope, shift) = (record.pop(name) for name in ("item", "family", "line"))
    return Asset(**record, item=Claim(**item), family=Claim(**family), line=(slope, shift))
