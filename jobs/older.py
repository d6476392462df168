"""Reports, pictures and assessments of a map that another one under the same output has followed.

Until the new map is finished its tiles stand beside the old one's; what speaks of the old one moves to ``older/``
before the first tile is mapped anew, so that nothing there is taken for the new map's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from engine.keys import map_digest
from engine.ledger import Record
from engine.objects import Objects
from engine.types import Tile
from jobs.assessments import FOLDER, LATEST

OLDER = "older"
REPORT, PICTURE = "report.json", "map.png"
_OF_ONE_MAP = (PICTURE, *(f"{FOLDER}/{name}" for name in LATEST), REPORT)
"""What speaks of one map; the report, which names it, last."""


def published(tiles: Iterable[Tile], latest: Mapping[str, Record]) -> dict[str, Record]:
    """The records of the tiles that are published."""
    return {t.id: latest[t.id] for t in tiles if t.id in latest and latest[t.id].state == "written"}


def report_of(output: Objects) -> dict[str, Any] | None:
    """The report that lies there, whichever map it is of; None without."""
    data = output.find(REPORT)
    return None if data is None else dict(json.loads(data))


def is_of(report: Mapping[str, Any] | None, run: str, mapped: Mapping[str, Record]) -> bool:
    """Whether a report is of this run and these published tiles. One from before maps had digests has the run alone."""
    return report is not None and report.get("run") == run and report.get("map") in (None, map_digest(mapped))


def set_aside(output: Objects, mapped: Mapping[str, Record], *, anew: bool) -> str | None:
    """Move what speaks of the map before to ``older/``, below the start of its digest; to be called before a tile is
    mapped ``anew``. Returns where it lies now; None where nothing is there, or where it is of the tiles that stay.

    Copied first, then deleted, the report last: cut short anywhere, it is done again by the next driver.
    """
    report = report_of(output)
    if not anew and report is not None and report.get("map") == map_digest(mapped):
        return None
    if report is None:  # of a picture alone nobody knows what map it is of
        output.delete([PICTURE])
        return None
    folder = _named(str(report.get("map") or f"run-{report.get('run', 'unknown')}"))
    found = {key: data for key in _OF_ONE_MAP if (data := output.find(key)) is not None}
    for key, data in found.items():
        output.put(f"{folder}/{key}", data)
    for key in found:
        output.delete([key])
    return folder


def bring_back(output: Objects, digest: str) -> None:
    """The map of this digest is there again: what was set aside of it is no older one's. Its latest assessment lies in
    a folder of its own still."""
    output.delete([entry.key for entry in output.entries(_named(digest))])


def older(output: Objects) -> list[str]:
    """Folders of what was set aside."""
    return sorted({"/".join(entry.key.split("/")[:2]) for entry in output.entries(OLDER)})


def _named(digest: str) -> str:
    return f"{OLDER}/{digest[:16]}"
