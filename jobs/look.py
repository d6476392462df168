"""The look at some scenes' pixels before a job starts."""

from __future__ import annotations

from dataclasses import replace

from engine.errors import InputError, SpecError, TileError
from engine.ground import doubts_of_mask
from engine.look import Looked, look
from engine.plan import Plan
from engine.read import SceneReader
from jobs.cluster import is_remote
from jobs.reach import about
from jobs.spec import Spec

_MASK_TILES = 16
"""So many tiles of the mask are looked at."""
IN_THE_LOOK = "in the look: "
"""Before what the look's files say against item or document. A report tells it of all the files that tiles read."""


def looked(spec: Spec, plan: Plan, asked: bool = True) -> Plan:
    """The plan with what its pixels tell in the audit and, with ``offset: verify``, in its items.

    InputError for what is certainly wrong. ``asked`` False: nothing is read, and the audit says so. Scenes that cannot
    be read from here are told alone where a cluster does the job; elsewhere a link that is refused is an InputError.
    """
    verify = [source.collection for source in spec.inputs.optical if source.offset == "verify"]
    if not asked:
        return replace(plan, audit=(*plan.audit, *_not_asked(verify)))
    reader = SceneReader(plan.grid)
    found = look(plan, reader, spec.cube, verify)
    if not is_remote(spec):
        _refuse_unread(found)
    headers = [f"{IN_THE_LOOK}{sentence} ({reads} reads)" for sentence, reads in reader.take_told().items()]
    return replace(plan, items=found.items, audit=(*plan.audit, *found.told, *headers))


def refuse_unverified(spec: Spec) -> None:
    """SpecError where pixels are to decide and are not to be looked at."""
    if any(source.offset == "verify" for source in spec.inputs.optical):
        raise SpecError(
            "verify, and --no-look",
            expected="a look at the pixels, which decide",
            place="inputs.optical.offset",
            remedy="leave --no-look out, or offset",
        )


def _refuse_unread(found: Looked) -> None:
    """InputError for a link that is refused, and for a source of which no scene could be read; what may pass is not."""
    for error in found.unread:
        if isinstance(error, InputError):
            raise error
    for place, error in found.blind:
        if isinstance(error, TileError):
            raise InputError(
                f"no scene looked at can be read, the first: {error.place}: {error.value}",
                expected=error.expected,
                place=place,
                remedy=error.remedy,
            )


def _not_asked(verify: list[str]) -> list[str]:
    offsets = f"; of {', '.join(verify)} they decide about offsets once the job is submitted" if verify else ""
    return [f"pixels were not looked at{offsets}"]


def with_doubts_of_mask(spec: Spec, plan: Plan) -> Plan:
    """The plan, its audit told of what is odd in the mask, as some tiles show it."""
    if spec.mask is None:
        return plan
    some = plan.tiles[:: -(-len(plan.tiles) // _MASK_TILES)]
    with about(f"mask.uri = {spec.mask.uri}"):
        doubts = doubts_of_mask(spec.mask, plan.grid, [tile.core for tile in some])
    return replace(plan, audit=(*plan.audit, *doubts))
