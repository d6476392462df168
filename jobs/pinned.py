"""What a run keeps in the bucket beside its map, under ``_tilth``: the pinned plan, and notes between processes."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import psutil

from engine.catalog import read_items, write_items
from engine.errors import InputError
from engine.grid import look_at_area, read_area
from engine.models import Card
from engine.objects import Objects
from engine.parcels import register_identity
from engine.plan import Plan, make_plan, search
from engine.predict import suggest_micro_batch
from engine.types import dump_json
from engine.work import LEDGER
from jobs.spec import Spec, parse_spec

_RUN, _ITEMS = f"{LEDGER}/run.json", f"{LEDGER}/items"
_PROGRESS, _CANCEL = f"{LEDGER}/progress.json", f"{LEDGER}/cancel"
_MODEL_BYTES = 1_000_000_000


def fresh_plan(spec: Spec) -> Plan:
    """Search the catalogues and plan; reads no pixel."""
    area, told = look_at_area(spec.area)
    found = search(area, spec.season, spec.inputs)
    return make_plan(
        area,
        spec.season,
        spec.grid,
        spec.cube,
        items=found.items,
        audit=(*told, *found.audit),
        left_out=found.problems,
        mask=spec.mask,
    )


def pin(spec: Spec, plan: Plan) -> None:
    """Write spec and items into the output, so that a resume searches nothing anew.

    One PUT changes the run as a whole: the items lie under their digest, and ``run.json`` names them.
    """
    output, items = Objects(spec.output.uri), write_items(plan.items)
    name = f"{_ITEMS}/{hashlib.sha256(items).hexdigest()[:16]}.ndjson"
    output.put(name, items)
    run = {"spec": spec.model_dump(mode="json"), "items": name, "audit": plan.audit, "left_out": plan.left_out}
    if spec.parcels is not None:
        run["register"] = register_identity(spec.parcels, plan.grid, plan.area)
    output.put(_RUN, dump_json(run))
    output.delete([_PROGRESS])
    output.delete([entry.key for entry in output.entries(_ITEMS) if entry.key != name])


def is_of_another(spec: Spec) -> bool:
    """Whether the run that is pinned where this spec's map would go is another spec's, and finished."""
    output = Objects(spec.output.uri)
    pinned, report = output.find(_RUN), output.find("report.json")
    if pinned is None or report is None:
        return False
    finished = json.loads(report)["run"]
    return bool(finished != spec.digest() and finished == pinned_spec(spec.output.uri).digest())


def pinned_spec(uri: str) -> Spec:
    """The spec of the run whose map lies at ``uri``."""
    return parse_spec(_pinned(uri)["spec"], f"{uri}/{_RUN}")


def pinned_plan(spec: Spec) -> Plan:
    """The plan as it was pinned: the same items, whatever the catalogue says today."""
    run = _pinned(spec.output.uri)
    return make_plan(
        read_area(spec.area),
        spec.season,
        spec.grid,
        spec.cube,
        items=read_items(Objects(spec.output.uri).get(run["items"])),
        audit=run["audit"],
        left_out=run["left_out"],
        mask=spec.mask,
    )


def pinned_register(uri: str) -> str:
    """Identity of the register of parcels that the run whose map lies at ``uri`` was pinned with."""
    return str(_pinned(uri)["register"])


def _pinned(uri: str) -> dict[str, Any]:
    data = Objects(uri).find(_RUN)
    if data is None:
        raise InputError("no run has been started there", place=uri, remedy="tilth submit job.yaml")
    run: dict[str, Any] = json.loads(data)
    return run


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


def seconds_spent(output: Objects) -> float:
    """Driving time of this run up to its last progress, over all its drivers since it was submitted."""
    return float((read_progress(output) or {}).get("spent_s", 0.0))


def ask_to_cancel(output: Objects) -> None:
    """Leave word for the driver, wherever it runs."""
    output.put(_CANCEL, b"")


def is_cancelled(output: Objects) -> bool:
    """Whether somebody has asked the run to stop since it was last started."""
    return output.find(_CANCEL) is not None


def clear_cancel(output: Objects) -> None:
    """A resumed run is wanted again."""
    output.delete([_CANCEL])
