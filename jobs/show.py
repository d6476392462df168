"""What a person sees in the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from engine.errors import SpecError
from engine.ledger import Record
from engine.run import Progress

_console = Console()


def say(sentence: str) -> None:
    """One line for a person, on standard error, so that standard output stays for results."""
    print(sentence, file=sys.stderr, flush=True)


class Bar:
    """A progress bar per stage; plain lines now and then where there is no terminal."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("tiles"),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        self._live = RichProgress(*columns, console=console, transient=True) if console.is_terminal else None
        self._stages: dict[str, Any] = {}
        self._trouble = ""

    def __enter__(self) -> Bar:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def update(self, progress: Progress) -> None:
        """Take in where a stage stands."""
        if progress.trouble and progress.trouble != self._trouble:
            self._trouble = progress.trouble
            say(f"{progress.stage}: {progress.trouble}")
        if self._live is None:
            return
        if progress.stage not in self._stages:
            self._stages[progress.stage] = self._live.add_task(progress.stage, total=progress.total, note="")
        note = f"{progress.quarantined} quarantined" if progress.quarantined else ""
        self._live.update(self._stages[progress.stage], completed=progress.done, total=progress.total, note=note)


def plan(facts: Mapping[str, Any], as_json: bool) -> None:
    """What a job would do."""
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    table = Table(title=f"plan of {facts['name']}", show_header=False)
    for key, value in facts.items():
        if key not in ("name", "inputs", "assumed"):
            table.add_row(key.replace("_", " "), _readable(key, value))
    _console.print(table)
    for line in facts["inputs"]:
        _console.print(f"input: {line}", highlight=False)
    _console.print("assumed: " + ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in facts["assumed"].items()))


def status(facts: Mapping[str, Any], as_json: bool) -> None:
    """Where a run stands."""
    if as_json:
        print(json.dumps(facts, indent=2, default=str))
        return
    driver = facts["driver"]
    who = f"{driver['user']} on {driver['host']}, process {driver['pid']}" if driver else "nobody"
    _console.print(f"[bold]{facts['name']}[/] -> {facts['output']}")
    _console.print(f"driven by {who}" + (", asked to cancel" if facts["cancel_asked"] else ""))
    for stage, counts in facts["tiles"].items():
        _console.print(f"{stage}: " + ", ".join(f"{n} {state}" for state, n in sorted(counts.items())))
    _console.print("report.json is written" if facts["finished"] else "not finished")


def tiles(rows: Sequence[tuple[str, Record]], as_json: bool) -> None:
    """Tiles with state and reason."""
    if as_json:
        print(json.dumps([{"stage": s, "tile": r.tile, "state": r.state, **r.body} for s, r in rows], indent=2))
        return
    for stage, record in rows:
        print(f"{stage}\t{record.tile}\t{record.state}\t{record.body.get('reason', '')}")


def finished(spec: Any, report: Mapping[str, Any]) -> None:
    """The end of a run, in a few lines."""
    for name, row in report["area_km2_by_class"].items():
        _console.print(f"  {name}: {row['km2']:.4g} km2", highlight=False)
    counts = report["tiles"]
    _console.print(
        f"{counts['written']} of {counts['planned']} tiles published, {counts['quarantined']} quarantined, "
        f"{report['km2_per_hour']:g} km2/h",
        highlight=False,
    )
    for tile, reason in list(report["quarantined"].items())[:5]:
        _console.print(f"  quarantined {tile}: {reason}", highlight=False)
    for problem in report["left_out"][:5]:
        _console.print(f"  left out: {problem}", highlight=False)
    accuracy = report["model"].get("accuracy") or {}
    if "kappa" in accuracy:
        _console.print(f"kappa on held-out blocks: {accuracy['kappa']:.3f}", highlight=False)
    _console.print(f"map: {spec.output.uri}/class.gti.gpkg   report: {spec.output.uri}/report.json", highlight=False)


def findings(found: Sequence[Any], as_json: bool) -> int:
    """What the doctor found; the exit code."""
    if as_json:
        rows = [{"name": f.name, "ok": f.ok, "value": f.value, "remedy": f.remedy} for f in found]
        print(json.dumps(rows, indent=2))
    else:
        for f in found:
            mark = {True: "ok  ", False: "BAD ", None: "-   "}[f.ok]
            print(f"{mark}{f.name}: {f.value}" + (f"  ->  {f.remedy}" if f.ok is False and f.remedy else ""))
    return 4 if any(f.ok is False for f in found) else 0


def write_new(path: Path, text: str) -> None:
    """Write a file that must not be there yet."""
    if path.exists():
        raise SpecError("is there already", place=str(path), remedy="name another file, or move it away")
    try:
        path.write_text(text)
    except OSError as error:
        raise SpecError(
            f"cannot be written: {error}", place=str(path), remedy="choose a folder that is there"
        ) from error
    print(f"wrote {path}; check it with: tilth plan {path}")


def _readable(key: str, value: Any) -> str:
    if key.endswith("bytes"):
        for unit in ("B", "kB", "MB", "GB", "TB"):
            if value < 1000 or unit == "TB":
                return f"{value:.3g} {unit}"
            value /= 1000
    if key.endswith("_hours") and value < 1:
        return f"{value * 60:.1f} minutes"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
