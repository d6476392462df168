"""What ``tilth doctor`` finds, one thing at a time."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import TilthError
from jobs.ended import without_secrets

_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; ``ok`` None where it was not tried or does not matter here."""

    name: str
    ok: bool | None
    value: str
    remedy: str = ""


def first_line(error: Exception) -> str:
    """An error in one short line, without secrets."""
    told = error.value if isinstance(error, TilthError) else f"{type(error).__name__}: {error}"
    return (without_secrets(told).strip().splitlines() or [type(error).__name__])[0][:_LENGTH]


def placed(error: Exception) -> str:
    """The same, with the place where it says one."""
    place = without_secrets(error.place) if isinstance(error, TilthError) else ""
    return f"{place}: {first_line(error)}" if place else first_line(error)
