"""``watch``: a run seen from outside, from what its driver leaves in the bucket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from engine.errors import TilthError
from engine.ledger.lease import holder
from engine.objects import Objects
from engine.run import Progress
from engine.work import LEDGER
from jobs import control, ended
from jobs.lines import Log, say
from jobs.pinned import read_progress
from jobs.show import as_error
from jobs.spec import Spec

_EVERY_S = 1.0
_SHOWN = ("stage", "total", "written", "quarantined", "retried", "in_flight", "trouble", "unit", "note")
_Show = Callable[[dict[str, Any] | None, dict[str, Any] | None], None]
"""Shows the last progress written and who drives."""


def follow(run: str, until_started_s: float = 5.0) -> int:
    """Show progress until the run ends; the exit code says how it ended. Ctrl-C stops watching only."""
    spec = control.resolve_run(run)
    output = Objects(spec.output.uri)
    console = Console(stderr=True)
    shown = live_table(spec, console) if console.is_terminal else logged()
    began = time.monotonic()
    try:
        with shown as show:
            while True:
                driver, progress = holder(output.child(LEDGER)), read_progress(output)
                if driver is not None:
                    began = float("-inf")
                elif (known := ended.state(output)) == "over" or (
                    known is None and time.monotonic() - began > until_started_s
                ):
                    break
                show(progress, driver)
                time.sleep(_EVERY_S)
    except KeyboardInterrupt:
        say("no longer watching; the run goes on")
        return 0
    return _ended(run)


@contextmanager
def live_table(spec: Spec, console: Console) -> Iterator[_Show]:
    """Progress in a terminal."""
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda progress, driver: live.update(_table(spec, progress, driver), refresh=True)


@contextmanager
def logged() -> Iterator[_Show]:
    """Progress in a file or a pipe: who drives, and where the stage stands."""
    log, known = Log(), [""]

    def show(progress: dict[str, Any] | None, driver: dict[str, Any] | None) -> None:
        who = f"driven by {driver['host']}, process {driver['pid']}" if driver else "nobody drives the run yet"
        if who != known[0]:
            known[0] = who
            say(who)
        if progress:
            log.update(Progress(**{name: progress[name] for name in _SHOWN if name in progress}))

    yield show


def _ended(run: str) -> int:
    facts = control.status(control.resolve_run(run))
    counts = facts["tiles"]["map"]
    say(f"nobody drives the run now; map: {counts}")
    if facts["cancel_asked"]:
        return 130
    if facts["ended"]:
        raise as_error(facts["ended"])
    if counts.get("pending") or not facts["finished"]:
        raise TilthError("the run ended before the map was done", place=facts["output"], remedy=f"tilth resume {run}")
    return 3 if counts.get("quarantined") or facts["left_out"] else 0


def _table(spec: Spec, progress: dict[str, Any] | None, driver: dict[str, Any] | None) -> Table:
    table = Table(title=f"{spec.name} -> {spec.output.uri}", show_header=False)
    table.add_row("driver", f"{driver['host']}, process {driver['pid']}" if driver else "none")
    if not progress:
        table.add_row("progress", "starting")
        return table
    done = progress["written"] + progress["quarantined"]
    seconds = max(progress["stage_s"], 1e-6)
    side_km = spec.grid.tile_px * spec.grid.resolution / 1000
    left_s = (progress["total"] - done) * seconds / done if done else None
    if progress.get("unit", "tiles") != "tiles":
        table.add_row("stage", f"{progress['stage']}: {done} of {progress['total']} {progress['unit']}")
        table.add_row("last", progress["note"])
        return table
    table.add_row(
        "stage", f"{progress['stage']}: {done} of {progress['total']} tiles, {progress['in_flight']} under way"
    )
    table.add_row("speed", f"{done * side_km**2 / seconds * 3600:,.3g} km2/h")
    table.add_row("time left", "?" if left_s is None else f"{left_s / 60:.1f} minutes of this stage")
    table.add_row("quarantined, retried", f"{progress['quarantined']}, {progress['retried']}")
    if progress["trouble"]:
        table.add_row("last trouble", progress["trouble"])
    shares = {name: value / max(done, 1) for name, value in progress["seconds"].items()}
    table.add_row("per tile", ", ".join(f"{name} {value:.2f} s" for name, value in shares.items()) or "?")
    table.add_row("driver memory", f"{progress['driver_bytes'] / 1e6:.0f} MB")
    return table
