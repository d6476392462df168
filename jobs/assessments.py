"""Assessments kept side by side: each in a folder of its own, with the digest of the map it judged; none replaces
another.

``index.json`` lists them. ``assessment.html`` and ``assessment.json`` beside it are copies of the latest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from engine.objects import Objects
from engine.types import dump_json
from jobs.page import page

FOLDER = "assessment"
INDEX = "index.json"
PAGE, NUMBERS = "assessment.html", "assessment.json"
LATEST = (PAGE, NUMBERS)


def keep(folder: Objects, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Write an assessment beside the others, the latest of them at the top, and the index. Returns the index' rows."""
    _keep_latest(folder)
    data = dump_json(facts)
    own = f"{'-'.join(_kinds(facts))}-{facts['map'][:8]}-{_short(data)}"
    folder.put(f"{own}/{PAGE}", page(facts).encode())
    folder.put(f"{own}/{NUMBERS}", data)
    rows = write_index(folder, facts["map"])
    folder.put(PAGE, page(facts, [row for row in rows if row["folder"] != own]).encode())
    folder.put(NUMBERS, data)
    return rows


def write_index(folder: Objects, digest: str | None) -> list[dict[str, Any]]:
    """List what is there; ``digest``: of the map that is there now, None while it is not finished."""
    rows = listed(folder, digest)
    if rows:
        folder.put(INDEX, dump_json({"map": digest, "assessments": rows}))
    return rows


def listed(folder: Objects, digest: str | None) -> list[dict[str, Any]]:
    """Every assessment below the folder in a few facts, with ``of_the_map_there``: whether it judged this map."""
    keys = sorted(e.key for e in folder.entries() if e.key.count("/") == 1 and e.key.endswith(f"/{NUMBERS}"))
    return [
        _row(key.split("/")[0], json.loads(data), digest) for key, data in zip(keys, _all(folder, keys), strict=True)
    ]


def _all(folder: Objects, keys: Sequence[str]) -> list[bytes]:
    return folder.get_many(list(keys)) if keys else []


def _row(name: str, facts: Mapping[str, Any], digest: str | None) -> dict[str, Any]:
    labels, sample = facts.get("labels"), facts["areas"].get("sample")
    spoken = {
        "labels": labels and {"uri": labels["uri"], "overall": facts["accuracy"]["overall"]["value"]},
        "sample": sample and {"uri": sample["uri"], "overall": sample["overall_accuracy"]["value"]},
    }
    told = facts.get("map")
    return {
        "folder": name,
        "by": _kinds(facts),
        "map": told,
        "of_the_map_there": told is not None and told == digest,
        "model": facts["model"]["name"],
        **{kind: row for kind, row in spoken.items() if row},
    }


def _kinds(facts: Mapping[str, Any]) -> list[str]:
    """What it judges by."""
    kinds = {"labels": "accuracy" in facts, "sample": "sample" in facts["areas"]}
    return [kind for kind, there in kinds.items() if there]


def _keep_latest(folder: Objects) -> None:
    """Give what lies at the top a folder of its own where it has none, as one written before there were any."""
    numbers, whole = folder.find(NUMBERS), folder.find(PAGE)
    if numbers is None:
        return
    own = [e.key for e in folder.entries() if e.key.endswith(f"-{_short(numbers)}/{NUMBERS}")]
    if not own:
        kept = f"kept-{_short(numbers)}"
        folder.put(f"{kept}/{NUMBERS}", numbers)
        if whole is not None:
            folder.put(f"{kept}/{PAGE}", whole)


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]
