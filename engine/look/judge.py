"""What is wrong with one source's pixels, in sentences and errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engine.errors import InputError
from engine.look.sample import Source
from engine.plausible import (
    Finding,
    Misplaced,
    Sight,
    impossible_covariances,
    kelvin_fault,
    kelvin_findings,
    mask_findings,
    named,
    power_fault,
    power_findings,
    range_findings,
)

VERIFY = "inputs.optical.offset: verify"
_DARK = "blue and red of dense vegetation, or infrared of water,"
_DARK_IS = "0 to 0.08"


def findings(source: Source, kind: str | None, sights: Sequence[Sight], glances: Sequence[Sight]) -> list[Finding]:
    """All that is wrong with the sights of one source, Sentinel-2's offset apart."""
    found = mask_findings(kind, glances, source.sensor == "optical") if kind else []
    if source.sensor == "optical":
        return found + range_findings(sights)
    if source.sensor == "thermal":
        return found + (_faults(sights, source.sensor) or kelvin_findings(sights))
    return found + (_faults(sights, source.sensor) or power_findings(sights))


def _faults(sights: Sequence[Sight], sensor: str) -> list[Finding]:
    """What single images show, each kind once with all its scenes."""
    faults: dict[str, list[tuple[Finding, str]]] = {}
    for sight in sights:
        for fault in _of_one(sight, sensor):
            faults.setdefault(fault.expected + fault.remedy, []).append((fault, sight.scene))
    return [
        Finding(some[0][0].seen, some[0][0].expected, some[0][0].remedy, True, tuple(scene for _, scene in some))
        for some in faults.values()
    ]


def _of_one(sight: Sight, sensor: str) -> Iterator[Finding]:
    first_two = (power_fault(band) for band in sight.bands[:2])
    several = [kelvin_fault(sight.pixels())] if sensor == "thermal" else [*first_two]
    if sensor == "c2" and not any(several):
        seen = (sight.bands[0] > 0) & (sight.bands[1] > 0)
        several.append(impossible_covariances(list(sight.bands), seen)[1])
    yield from (fault for fault in several if fault is not None)


def of_offset(found: Misplaced, source: Source) -> Iterator[Finding]:
    """A misplaced source's findings: certain ones, and what may be haze."""
    wrong = (found.level == "bright") != bool(source.shifted)
    for scenes, certain in ((found.scenes, True), (found.doubtful, False)):
        if scenes:
            yield Finding(
                f"{_DARK} {_levels(scenes)}, too {'high' if found.level == 'bright' else 'low'}"
                f"{_against(source, wrong)}",
                _DARK_IS,
                _remedy(source, wrong),
                certain,
                tuple(scenes),
            )


def of_verified(source: Source, found: Misplaced, scenes: int, of: int) -> str:
    """What pixels decided against the items."""
    said, done = ("-0.1", "0") if source.shifted else ("0", "-0.1")
    rest = "; the others stay as the items say, where their pixels agree or tell nothing" if scenes < of else ""
    return (
        f"{source.place}: offset {done} for {scenes} of {of} scenes, as their pixels tell, against the items' {said}: "
        f"{_DARK} would be {_levels(found.scenes)} (scenes {named(tuple(found.scenes))}){rest}"
    )


def _levels(scenes: Mapping[str, float]) -> str:
    lowest, highest = min(scenes.values()), max(scenes.values())
    return f"at {lowest:.3f}" if len(scenes) == 1 else f"at {lowest:.3f} to {highest:.3f}"


def _against(source: Source, wrong: bool) -> str:
    if source.shifted is None or not wrong:
        return ""
    if source.shifted:
        return ": an offset of -0.1 is applied as the items say, and the numbers seem to be without it already"
    return ": no offset is applied as the items say, and the numbers seem to hold one of 0.1"


def _remedy(source: Source, wrong: bool) -> str:
    if source.shifted is not None and wrong:
        return f"{VERIFY}, and the pixels decide; or leave the scenes out (inputs.optical.exclude)"
    return "mend scale and offset (raster:bands) in the catalogue, or leave the scenes out (inputs.optical.exclude)"


def of_jump(found: tuple[float, bool], before: Sequence[Sight], after: Sequence[Sight], kinds: str) -> Finding:
    """A jump, as ``engine.plausible.jump`` gives it, where the processing changes."""
    size, certain = found
    return Finding(
        f"from {named([s.scene for s in before])} to {named([s.scene for s in after])}, where the processing changes "
        f"({kinds}), every band of the same ground jumps by {size:+.3f}",
        "no jump: an offset is taken off on one side and not on the other",
        f"{VERIFY}, where dense vegetation or water can tell; or leave one side out (inputs.optical.exclude)",
        certain,
        tuple(s.scene for s in (*before, *after)),
    )


def refusal(wrong: Sequence[tuple[str, Finding]]) -> InputError:
    """One error for all that is certain: the first in full, and the others after it."""
    place, first = wrong[0]
    more = "".join(f"; and {other}: {finding.seen}{_in(finding)}" for other, finding in wrong[1:])
    return InputError(f"{first.seen}{_in(first)}{more}", expected=first.expected, place=place, remedy=first.remedy)


def sentence(place: str, finding: Finding) -> str:
    """A doubt, for the audit."""
    return f"doubtful: {place}: {finding.seen}{_in(finding)}; expected: {finding.expected}"


def _in(finding: Finding) -> str:
    return f" (scenes {named(finding.scenes)})" if finding.scenes else ""
