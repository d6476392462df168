"""What happens to a tile that failed: a pure function of what it went through. No clock, no network, no workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

MAX_DEATHS = 3
"""A tile that takes down its worker this often, on nodes that live on, is the culprit."""
SYSTEMIC_AFTER = 8
"""So many first tiles with one and the same error that is none of their data mean that the job is wrong."""
_BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)

FailureKind = Literal["tile", "unknown", "memory", "infrastructure", "death", "node_lost"]


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt. ``tile``: the data is bad; ``unknown``: an error nobody foresaw;
    ``memory``: out of memory; ``infrastructure``: the
    store or network; ``death``: the worker died and its node lives; ``node_lost``: the node went."""

    kind: FailureKind
    reason: str
    signature: str = ""
    """The same for the same mistake on another tile: what a person would call one and the same error."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """How a tile failed so far."""

    unknown: int = 0
    deaths: int = 0
    infrastructure: int = 0

    @property
    def total(self) -> int:
        return self.unknown + self.deaths + self.infrastructure


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again once ``delay_s`` have passed (the driver adds jitter); ``alone``: with nothing beside it, for when a
    worker died with several tiles in it only so can the culprit be told."""

    delay_s: float
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Set the tile aside with its reason; the run goes on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The job as a whole is wrong."""

    reason: str


def advance(attempts: Attempts, failure: Failure, retries: int) -> tuple[Attempts, Retry | Quarantine]:
    """What the tile's record of attempts becomes, and what to do.

    Infrastructure failures are tried again without limit, unforeseen errors ``retries`` times, bad data not at all,
    and a tile whose worker dies is given ``MAX_DEATHS`` workers.
    """
    if failure.kind == "tile":
        return attempts, Quarantine(failure.reason)
    if failure.kind in ("infrastructure", "node_lost"):
        after = replace(attempts, infrastructure=attempts.infrastructure + 1)
        return after, Retry(_BACKOFF_S[min(after.infrastructure, len(_BACKOFF_S)) - 1])
    if failure.kind == "death":
        after = replace(attempts, deaths=attempts.deaths + 1)
        if after.deaths >= MAX_DEATHS:
            return after, Quarantine(f"its worker died {after.deaths} times on a living node: {failure.reason}")
        return after, Retry(0.0, alone=True)
    after = replace(attempts, unknown=attempts.unknown + 1)
    if after.unknown > retries:
        return after, Quarantine(f"failed {after.unknown} times: {failure.reason}")
    return after, Retry(0.0)


def systemic(first: Sequence[Failure | None]) -> Stop | None:
    """Stop when the first ``SYSTEMIC_AFTER`` finished tiles all failed alike (None = that tile was fine).

    Bad data is never systemic: one damaged scene takes every tile under it, and the first tiles lie side by side.
    """
    failures = [failure for failure in first[:SYSTEMIC_AFTER] if failure is not None and failure.kind != "tile"]
    if len(failures) == SYSTEMIC_AFTER and len({failure.signature for failure in failures}) == 1:
        return Stop(f"the first {SYSTEMIC_AFTER} tiles all failed alike: {failures[0].reason}")
    return None
