"""Start, follow, stop and resume a run, here or on a cluster."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from engine.errors import BudgetReached, Cancelled, InputError, TilthError
from engine.keys import map_digest
from engine.ledger import Ledger, Record
from engine.ledger.lease import holder, refuse_if_held
from engine.objects import Objects
from engine.plan import Plan
from engine.run import Progress
from engine.work import LEDGER, cube_ledger
from jobs.assessments import FOLDER, listed
from jobs.cluster import connected, is_remote, joins_cluster
from jobs.drive import Drive, states
from jobs.ended import how
from jobs.older import is_of, older, published, report_of
from jobs.pinned import (
    ask_to_cancel,
    is_cancelled,
    pinned_plan,
    pinned_spec,
    read_progress,
    seconds_spent,
    write_progress,
)
from jobs.reach import check_s3
from jobs.spec import Spec, load_spec
from jobs.tiles import damaged

_PROGRESS_EVERY_S = 2.0
_LOOK_EVERY_S = 1.0  # into the object store, for a wish to cancel


def resolve_run(run: str) -> Spec:
    """The spec of a run named by its job.yaml or by the uri of its map."""
    check_s3([run])
    if run.endswith((".yaml", ".yml")):
        return pinned_spec(load_spec(run).output.uri)
    return pinned_spec(run)


def drive(
    spec: Spec,
    plan: Plan,
    say: Callable[[str], None],
    show: Callable[[Progress], None],
    *,
    last: str = "map",
    fresh: bool = False,
) -> dict[str, Any]:
    """Run the plan in this process as its driver, up to the stage ``last``; Ctrl-C drains. ``fresh``: pin it first."""
    output = Objects(spec.output.uri)
    asked = threading.Event()
    looked = [0.0]
    began = time.time()
    before_s = 0.0 if fresh else seconds_spent(output)
    written = [0.0]

    def tick(progress: Progress) -> None:
        show(progress)
        if time.monotonic() - written[0] >= _PROGRESS_EVERY_S or progress.done == progress.total:
            written[0] = time.monotonic()
            write_progress(output, progress_state(progress, before_s + time.time() - began))

    def stop() -> TilthError | None:
        if time.monotonic() - looked[0] >= _LOOK_EVERY_S:
            looked[0] = time.monotonic()
            if is_cancelled(output):
                asked.set()
        if asked.is_set():
            return Cancelled("stopped as asked", remedy=f"tilth resume {spec.output.uri}")
        return over_budget(spec, before_s + time.time() - began)

    joined = connected(spec) if joins_cluster(spec) else contextlib.nullcontext()
    with draining(asked, say), joined:
        return Drive(spec, plan, say, tick, stop, fresh).run(last)


def over_budget(spec: Spec, seconds: float) -> BudgetReached | None:
    """The error that ends the run once its hours or its money are used up; ``seconds``: of all its drivers so far."""
    budget, hours = spec.budget, seconds / 3600
    cost = hours * spec.most_workers() * budget.worker_cost_per_hour
    for used, most, name in ((hours, budget.max_hours, "max_hours"), (cost, budget.max_cost, "max_cost")):
        if most is not None and used >= most:
            return BudgetReached(
                f"{used:.3g} of {most:g}",
                place=f"budget.{name}",
                remedy=f"raise it with --set budget.{name}=..., then tilth resume {spec.output.uri}",
            )
    return None


def progress_state(progress: Progress, spent_s: float) -> dict[str, Any]:
    """Progress as JSON for other processes."""
    return {
        "stage": progress.stage,
        "total": progress.total,
        "written": progress.written,
        "quarantined": progress.quarantined,
        "retried": progress.retried,
        "in_flight": progress.in_flight,
        "trouble": progress.trouble,
        "unit": progress.unit,
        "note": progress.note,
        "seconds": {name: round(value, 3) for name, value in progress.seconds.items()},
        "stage_s": round(time.monotonic() - progress.began, 3),
        "spent_s": round(spent_s, 3),
    }


@contextlib.contextmanager
def draining(asked: threading.Event, say: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM set ``asked``; a second one ends at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        say("stopping: tiles under way are finished first (once more to stop at once; nothing written is lost)")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def status(spec: Spec) -> dict[str, Any]:
    """Where a run stands: tiles by state and stage, progress, who drives it; of one that ended with an error, why."""
    output = Objects(spec.output.uri)
    plan = pinned_plan(spec)
    books = {"cube": cube_ledger(spec.cube.uri), "map": output.child(LEDGER)}
    ledgers = {stage: Ledger(objects).load() for stage, objects in books.items()}
    mapped = published(plan.tiles, ledgers["map"].latest)
    finished = is_of(report_of(output), spec.digest(), mapped)
    driver = holder(output.child(LEDGER))
    return {
        "name": spec.name,
        "run": spec.digest(),
        "output": spec.output.uri,
        "driver": driver,
        "ended": None if driver else how(output, spec.digest()),
        "cancel_asked": is_cancelled(output),
        "left_out": list(plan.left_out),
        "damaged": damaged(ledgers["cube"], plan),
        "tiles": {stage: states(ledger, plan, stage) for stage, ledger in ledgers.items()},
        "progress": read_progress(output),
        "finished": finished,
        "map": map_digest(mapped) if finished else None,
        "assessments": listed(output.child(FOLDER), map_digest(mapped) if finished else None),
        "older": older(output),
    }


def tiles(spec: Spec, state: str | None) -> list[tuple[str, Record]]:
    """(stage, record) of the plan's tiles that have one, of this state or of all."""
    names = {tile.id for tile in pinned_plan(spec).tiles}
    books = {"cube": cube_ledger(spec.cube.uri), "map": Objects(spec.output.uri).child(LEDGER)}
    found = []
    for stage, objects in books.items():
        for record in Ledger(objects).load().latest.values():
            if record.tile in names and state in (None, record.state):
                found.append((stage, record))
    return sorted(found, key=lambda pair: (pair[0], pair[1].tile))


def retry(spec: Spec) -> int:
    """Ask for every tile that is quarantined, or was built without damaged scenes, to be tried again by the next
    resume; returns how many."""
    count = 0
    names = {tile.id for tile in pinned_plan(spec).tiles}
    for objects in (cube_ledger(spec.cube.uri), Objects(spec.output.uri).child(LEDGER)):
        refuse_if_held(objects)
        ledger = Ledger(objects).load()
        for record in [r for r in ledger.latest.values() if r.tile in names]:
            if record.state != "quarantined" and not (record.state == "written" and "left_out" in record.body):
                continue
            body = {} if record.state == "quarantined" else record.body  # its good steps are taken over
            ledger.commit(Record(record.tile, record.seq + 1, record.key, "pending", record.epoch, body))
            count += 1
    return count


def cancel(spec: Spec) -> dict[str, Any] | None:
    """Ask the run's driver to drain and end; returns who that is, or None when nobody drives. A job on a cluster is
    asked before it has begun, too."""
    output = Objects(spec.output.uri)
    driver = holder(output.child(LEDGER))
    if driver or is_remote(spec):
        ask_to_cancel(output)
    return driver


def tile_index(plan: Plan, name: str) -> int:
    """Place of a tile in the plan; InputError for a name that is none."""
    for index, tile in enumerate(plan.tiles):
        if tile.id == name:
            return index
    first, last = plan.tiles[0].id, plan.tiles[-1].id
    raise InputError(
        f"no tile {name!r} in this run", expected=f"{first} to {last}", remedy="list them: tilth tiles RUN"
    )
