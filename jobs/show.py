"""What a person sees in the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.accuracy import COUNTED
from engine.errors import SpecError, TilthError
from engine.ledger import Record
from jobs.lines import result
from jobs.notes import said_of_model, said_of_unfamiliar
from jobs.tiles import reason

_console = Console()


def plan(facts: Mapping[str, Any], as_json: bool) -> None:
    """What a job would do."""
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    table = Table(title=f"plan of {facts['name']}", show_header=False)
    for label, value in _plan_rows(facts):
        table.add_row(label, value)
    _console.print(table)
    for line in facts["inputs"]:
        _line(f"input: {line}")
    for line in said_of_model(facts["model"]) if facts["model"] else ():
        _line(f"model: {line}")
    _line("assumed: " + ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in facts["assumed"].items()))


def _plan_rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "run", facts["run"]
    yield "area, grid", f"{facts['area_km2']:,.4g} km2, {facts['grid']}"
    yield "tiles", f"{facts['tiles']:,} of {facts['tile_px']} px; {facts['cube_tiles_done']:,} cube tiles are there"
    yield "steps", f"{facts['season_steps']} in the season, {facts['used_steps']} in the features"
    yield "features", facts["features"]
    yield "scenes", f"{facts['items']:,}; {facts['items_per_tile']:g} a tile"
    yield "read, write", f"{_bytes(facts['read_bytes'])}, {_bytes(facts['write_bytes'])}, before compression"
    yield (
        "memory",
        f"peak about {_bytes(facts['memory_peak_bytes'])}: {facts['tiles_at_once']} tiles at once of "
        f"{_bytes(facts['memory_per_tile_bytes'])}, {facts['workers']} worker(s) and the driver"
        + (f"; training {_bytes(facts['memory_training_bytes'])}" if facts["memory_training_bytes"] else ""),
    )
    stages = ", ".join(f"{name.replace('_', ' ')} {_duration(s)}" for name, s in facts["seconds"].items())
    yield "time", f"about {_duration(facts['wall_hours'] * 3600)}: {stages}"
    rate = facts["assumed"]["worker_cost_per_hour"]
    yield "cost", f"{facts['cost']:,.4g}, in the currency of budget.worker_cost_per_hour = {rate:g}"
    if facts["over_budget"]:
        yield "budget", f"will not do: {facts['over_budget']}"


def status(facts: Mapping[str, Any], as_json: bool) -> None:
    """Where a run stands."""
    if as_json:
        print(json.dumps(facts, indent=2, default=str))
        return
    driver = facts["driver"]
    who = f"{driver['user']} on {driver['host']}, process {driver['pid']}" if driver else "nobody"
    _line(f"{facts['name']} -> {facts['output']}")
    _line(f"driven by {who}" + (_stopping(facts) if facts["cancel_asked"] else ""))
    if facts["ended"]:
        _line(f"ended with exit code {facts['ended']['exit_code']}: {as_error(facts['ended'])}")
    for stage, counts in facts["tiles"].items():
        _line(f"{stage}: " + ", ".join(f"{n} {state}" for state, n in sorted(counts.items())))
    if facts["damaged"]["scenes"]:
        broken(facts["damaged"], _line)
    _line(f"report.json is written, of map {facts['map'][:12]}" if facts["finished"] else "not finished")
    for row in facts["assessments"]:
        _line(f"assessment/{row['folder']}, by {' and '.join(row['by'])}: {_whose(row, facts['finished'])}")
    for folder in facts["older"]:
        _line(f"{folder}: report and picture of a map before")


def as_error(told: dict[str, Any]) -> TilthError:
    """What ``jobs.ended.how`` gives as an error with the exit code that the run ended with."""
    error = TilthError(told["value"], **{name: told.get(name, "") for name in ("expected", "place", "remedy")})
    error.exit_code = told["exit_code"]
    return error


def _whose(row: Mapping[str, Any], finished: bool) -> str:
    """Which map an assessment judged."""
    if row["of_the_map_there"]:
        return "of the map that is there"
    named = f"map {row['map'][:12]}" if row["map"] else "a map without a digest"
    return f"of {named}, not the one that is there" if finished else f"of {named}, and the one here is not finished"


def _stopping(facts: Mapping[str, Any]) -> str:
    return ", asked to cancel" if facts["driver"] else ", stopped as asked; tilth resume goes on"


def tiles(rows: Sequence[tuple[str, Record]], as_json: bool) -> None:
    """Tiles with state and reason."""
    if as_json:
        kept = ("reason", "folder", "seconds", "bbox", "unreached", "left_out")
        print(
            json.dumps(
                [
                    {"stage": s, "tile": r.tile, "state": r.state, **{k: r.body[k] for k in kept if k in r.body}}
                    for s, r in rows
                ],
                indent=2,
            )
        )
        return
    for stage, record in rows:
        print(f"{stage}\t{record.tile}\t{record.state}\t{reason(record)}")


def finished(spec: Any, report: Mapping[str, Any]) -> None:
    """The end of a run, in a few lines."""
    for name, row in report["area_km2_by_class"].items():
        result(f"  {name}: {row['km2']:.4g} km2")
    result(f"  {COUNTED}")
    for line in said_of_unfamiliar(report["unfamiliar"]) if "unfamiliar" in report else ():
        result(line)
    if parcels := report.get("parcels"):
        share = parcels["review"] / max(parcels["parcels"], 1)
        result(f"{parcels['parcels']} parcels, {share:.0%} of them for review: {spec.output.uri}/parcels")
    counts = report["tiles"]
    speed = f", {report['km2_per_hour']:g} km2/h" if report["km2_per_hour"] else ""  # nothing was left to be mapped
    result(f"{counts['written']} of {counts['planned']} tiles published, {counts['quarantined']} quarantined{speed}")
    for tile, why in list(report["quarantined"].items())[:5]:
        result(f"  quarantined {tile}: {why}")
    if report["without_scenes"]:
        result(f"  no scene reaches {len(report['without_scenes'])} of them: no data there")
    if report["damaged"]["scenes"]:
        broken(report["damaged"], result)
    for problem in report["left_out"][:5]:
        result(f"  left out: {problem}")
    for line in said_of_model(report["model"]):
        result(f"model: {line}")
    result(f"map: {spec.output.uri}/class.gti.gpkg   report: {spec.output.uri}/report.json")


def broken(damaged: Mapping[str, Any], line: Callable[[str], None]) -> None:
    """Scenes that tiles were built without."""
    scenes = damaged["scenes"]
    count = len(damaged["tiles"])
    line(f"  {count} tiles were built without {len(scenes)} damaged scenes; once mended: tiles --retry, resume")
    for scene, why in list(scenes.items())[:5]:
        line(f"  built without {scene}: {why}")


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


def assessment(facts: Mapping[str, Any], folder: str, kept: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """How good a map is, in a few lines; ``kept``: all assessments in the folder."""
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    for line in _agreement(facts) if "accuracy" in facts else ():
        _line(line)
    if row := facts.get("against", {}).get("macro_f1"):
        _line(f"macro-F1 minus that of {facts['against']['uri']}: {row['difference']:+.3f} ({_span(row)})")
    for note in [*facts.get("notes", ()), *facts["areas"].get("sample", {}).get("notes", ())]:
        _line(f"note: {note}")
    for row in facts["areas"]["classes"] if "sample" in facts["areas"] else ():
        area = row["estimated_km2"]
        _line(f"  {row['name']}: {_estimated(area)}")
    for line in said_of_model(facts["model"]):
        _line(f"model: {line}")
    for row in (row for row in kept if not row["of_the_map_there"]):
        _line(f"note: {folder}/{row['folder']} is {_whose(row, True)}")
    _line(f"page: {folder}/assessment.html   numbers: {folder}/assessment.json")


def _estimated(area: Mapping[str, Any]) -> str:
    value = "area not defined" if area["value"] is None else f"{area['value']:.4g} km2"
    between = f"interval {area['reason']}" if area["low"] is None else f"{area['low']:.4g} to {area['high']:.4g}"
    return f"{value} ({between})"


def _agreement(facts: Mapping[str, Any]) -> Iterator[str]:
    """Figures of all labelled samples, and where these are others, of those whose class the model knows."""
    names, known = {"overall": "overall accuracy", "kappa": "kappa", "macro_f1": "macro-F1"}, facts["of_known_classes"]
    for key, name in names.items():
        row = facts["accuracy"][key]
        yield f"{name}: {_figure(row)}"
    if known["share"] < 1:
        told = ", ".join(f"{name} {_figure(known[key])}" for key, name in names.items())
        yield f"of the classes it knows ({known['share']:.0%} of the labelled {facts['labels']['per']}s): {told}"


def _figure(row: Mapping[str, Any]) -> str:
    return "not defined" if row["value"] is None else f"{row['value']:.3f} ({_span(row)})"


def _span(row: Mapping[str, Any]) -> str:
    return "no interval" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"


def design(facts: Mapping[str, Any], as_json: bool) -> None:
    """A sample that was drawn."""
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    for row in facts["strata"]:
        _line(f"  {row['name']}: {row['points']} points on {row['km2']:.4g} km2")
    _line(f"km2 are {COUNTED}")
    fewer = f", of {facts['asked']} asked: the map has no more pixels" if facts["points"] < facts["asked"] else ""
    _line(f"{facts['points']} points{fewer}, in {facts['out']}")
    _line(f"what the map says there, not to be seen by who looks them up: {facts['design']}")
    _line(f"user's accuracies to expect: {facts['expected_users_accuracies_from']}")
    _line("fill in the column reference with codes of the legend, then: tilth assess RUN --sample FILE")


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


def _line(text: str) -> None:
    """A line of results as it is: not wrapped, not coloured."""
    print(text, flush=True)


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
