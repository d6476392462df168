"""``submit`` and ``resume``: check, plan, pin, then drive here or hand over to a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from rich.console import Console

from engine.errors import SpecError, TilthError
from engine.ledger.lease import refuse_if_held
from engine.objects import Objects
from engine.plan import Plan
from engine.work import LEDGER
from jobs import control, ended, lines, show
from jobs.checks import check_places, checked_plan
from jobs.cluster import hand_over, is_remote
from jobs.estimate import describe
from jobs.follow import follow
from jobs.look import refuse_unverified
from jobs.pinned import clear_cancel, pin, pinned_plan
from jobs.spec import Spec, apply_change, load_spec, parse_spec

_MAY_CHANGE = ("compute", "budget")


def submit(
    job: str, changes: Sequence[str], *, dry_run: bool = False, wait: bool = False, last: str = "map", look: bool = True
) -> int:
    """Start a job from its spec; returns the exit code."""
    spec = load_spec(job, changes)
    if not look:
        refuse_unverified(spec)
    if last != "map" and is_remote(spec):
        raise SpecError(
            f"{spec.compute.address}, which does whole jobs",
            expected="none, for one stage alone",
            place="compute.address",
            remedy="submit the job, or run this on a machine of the cluster without it",
        )
    check_places(spec)
    if not dry_run:
        refuse_if_held(Objects(spec.output.uri).child(LEDGER))  # at once, not after a long search
    plan = checked_plan(spec, last, look=look)
    if dry_run:
        show.plan(describe(spec, plan), False)
        lines.say("dry run: nothing was started; the same command without --dry-run starts it")
        return 0
    for line in plan.audit:
        lines.say(f"input: {line}")
    for problem in plan.left_out:
        lines.say(f"left out: {problem}")
    return _go(spec, plan, wait=wait, last=last, fresh=True)


def resume(run: str, changes: Sequence[str], *, inside: bool = False, wait: bool = False) -> int:
    """Go on with a pinned run; returns the exit code."""
    with ended.leaves_word(run) if inside else nullcontext():
        spec = _changed(control.resolve_run(run), changes)
        plan = pinned_plan(spec)
    if not inside:
        refuse_if_held(Objects(spec.output.uri).child(LEDGER))
    return _go(spec, plan, changes, inside=inside, wait=wait)


def _go(
    spec: Spec,
    plan: Plan,
    changes: Sequence[str] = (),
    *,
    inside: bool = False,
    wait: bool = False,
    last: str = "map",
    fresh: bool = False,
) -> int:
    output = Objects(spec.output.uri)
    if not inside:  # a run handed over may be cancelled before its job has begun
        clear_cancel(output)
        ended.begins_here(output)
    if is_remote(spec) and not inside:
        if fresh:
            pin(spec, plan)
        job = hand_over(spec, changes)
        ended.handed_over(output, job, str(spec.compute.address))
        lines.say(f"job {job} runs on {spec.compute.address}; it goes on without this process")
        lines.say(f"watch it: tilth watch {spec.output.uri}    stop it: tilth cancel {spec.output.uri}")
        return follow(spec.output.uri, until_started_s=120) if wait else 0
    console = Console(stderr=True)
    with ended.leaves_word(output.uri, spec.digest()):
        with lines.Bar(console) as bar:
            report = control.drive(spec, plan, lines.say, bar.update, last=last, fresh=fresh)
        return _told(spec, plan, report)


def _told(spec: Spec, plan: Plan, report: dict[str, Any]) -> int:
    """Tell how it ended; the exit code: 3 as well where scenes had to be left out, of the job or of some tiles."""
    counts = report.get("tiles", {})
    quarantined = counts.get("quarantined", 0)
    if "km2_per_hour" in report:
        show.finished(spec, report)
    if quarantined and not counts.get("written"):
        raise TilthError(
            f"all {quarantined} tiles are quarantined",
            place=spec.output.uri,
            remedy=f"see the reasons: tilth tiles {spec.output.uri}",
        )
    broken = report.get("damaged", {}).get("scenes", {})
    if broken and "km2_per_hour" not in report:
        show.broken(report["damaged"], lines.result)
    return 3 if quarantined or plan.left_out or broken else 0


def _changed(spec: Spec, changes: Sequence[str]) -> Spec:
    """A pinned spec with changes that do not alter what is computed."""
    if not changes:
        return spec
    wrong = [change for change in changes if change.split(".")[0].split("=")[0] not in _MAY_CHANGE]
    if wrong:
        raise SpecError(
            f"{wrong[0]!r} would change what is computed",
            expected=f"keys below {' or '.join(_MAY_CHANGE)}",
            place="--set",
            remedy="change the job.yaml and submit it: only what the change touches is computed anew",
        )
    data = spec.model_dump(mode="json")
    for change in changes:
        apply_change(data, change)
    return parse_spec(data, spec.output.uri)
