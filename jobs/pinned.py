"""What a run keeps in the bucket beside its map, under ``_tilth``: the pinned plan, and notes between processes."""

from __future__ import annotations

import json
import time
from typing import Any

import psutil

from engine.catalog import read_items, write_items
from engine.errors import InputError
from engine.grid import read_area
from engine.models import Card
from engine.objects import Objects
from engine.plan import Plan, make_plan, search
from engine.predict import suggest_micro_batch
from engine.work import LEDGER
from jobs.spec import Spec, parse_spec

_SPEC, _ITEMS, _AUDIT = f"{LEDGER}/spec.json", f"{LEDGER}/items.ndjson", f"{LEDGER}/audit.json"
_PROGRESS, _CANCEL = f"{LEDGER}/progress.json", f"{LEDGER}/cancel"
_MODEL_BYTES = 1_000_000_000


def fresh_plan(spec: Spec) -> Plan:
    """Search the catalogues and plan; reads no pixel."""
    area = read_area(spec.area)
    items, audit = search(area, spec.season, spec.inputs)
    return make_plan(area, spec.season, spec.grid, spec.cube, items=items, audit=audit, mask=spec.mask)


def pin(spec: Spec, plan: Plan) -> None:
    """Write spec and items into the output, so that a resume searches nothing anew."""
    output = Objects(spec.output.uri)
    output.put(_ITEMS, write_items(plan.items))
    output.put(_AUDIT, json.dumps(list(plan.audit)).encode())
    output.put(_SPEC, spec.model_dump_json(indent=2).encode())
    output.delete([_CANCEL])


def pinned_spec(uri: str) -> Spec:
    """The spec of the run whose map lies at ``uri``."""
    data = Objects(uri).find(_SPEC)
    if data is None:
        raise InputError("no run has been started there", place=uri, remedy="tilth submit job.yaml")
    return parse_spec(json.loads(data), f"{uri}/{_SPEC}")


def pinned_plan(spec: Spec) -> Plan:
    """The plan as it was pinned: the same items, whatever the catalogue says today."""
    output = Objects(spec.output.uri)
    items, audit = output.find(_ITEMS), output.find(_AUDIT)
    if items is None:
        raise InputError("no plan is pinned there", place=spec.output.uri, remedy="tilth submit job.yaml")
    area = read_area(spec.area)
    return make_plan(
        area,
        spec.season,
        spec.grid,
        spec.cube,
        items=read_items(items),
        audit=json.loads(audit or b"[]"),
        mask=spec.mask,
    )


def micro_batch(output: Objects, digest: str, card: Card, gpu: bool = False, *, halve: int | None = None) -> int:
    """Rows of every forward pass of a run with this model: chosen once, then read; ``halve`` what was too large."""
    key = f"{LEDGER}/micro_batch/{digest[:16]}.json"
    if halve is not None:
        output.put(key, json.dumps(halve // 2).encode())
        return halve // 2
    known = output.find(key)
    if known is None:
        chosen = suggest_micro_batch(card, _MODEL_BYTES, "cuda" if gpu else "cpu")
        output.put_new(key, json.dumps(chosen).encode())
        known = output.get(key)
    return int(json.loads(known))


def write_progress(output: Objects, state: dict[str, Any]) -> None:
    """Where the run stands, for ``status`` and ``watch``."""
    memory = psutil.Process().memory_info().rss
    output.put(_PROGRESS, json.dumps({**state, "at": time.time(), "driver_bytes": memory}).encode())


def read_progress(output: Objects) -> dict[str, Any] | None:
    """The last progress written, or None."""
    data = output.find(_PROGRESS)
    return json.loads(data) if data else None


def ask_to_cancel(output: Objects) -> None:
    """Leave word for the driver, wherever it runs."""
    output.put(_CANCEL, b"")


def is_cancelled(output: Objects) -> bool:
    """Whether somebody has asked the run to stop since it was last started."""
    return output.find(_CANCEL) is not None


def clear_cancel(output: Objects) -> None:
    """A resumed run is wanted again."""
    output.delete([_CANCEL])
