"""What can go wrong, told apart by who can mend it.

Every error says the value, what was expected, the place and the remedy. The run asks only for the class: a spec or
input error stops before work starts, a tile error quarantines one tile, an infrastructure error is tried again.
"""

from __future__ import annotations


class TilthError(Exception):
    """An error with its four parts; ``exit_code`` is what the command line ends with.

    ``value`` what was found, ``expected`` what would have been right, ``place`` where (spec key, tile, item, asset),
    ``remedy`` what to do now.
    """

    exit_code = 4

    def __init__(self, value: str, *, expected: str = "", place: str = "", remedy: str = "") -> None:
        self.value, self.expected, self.place, self.remedy = value, expected, place, remedy
        super().__init__(value, expected, place, remedy)

    def __str__(self) -> str:
        parts = [f"{self.place}: {self.value}" if self.place else self.value]
        if self.expected:
            parts.append(f"expected: {self.expected}")
        if self.remedy:
            parts.append(f"remedy: {self.remedy}")
        return "; ".join(parts)

    def __reduce__(self) -> tuple:  # keyword-only parts must survive the way back from a worker
        return _rebuild, (type(self), self.value, self.expected, self.place, self.remedy)


def _rebuild(kind: type[TilthError], value: str, expected: str, place: str, remedy: str) -> TilthError:
    return kind(value, expected=expected, place=place, remedy=remedy)


class SpecError(TilthError):
    """The spec is wrong; ``place`` is the dotted key, such as ``season.end``."""

    exit_code = 2


class InputError(TilthError):
    """The spec is right but what it names (catalogue, labels, model, bucket) cannot be used."""

    exit_code = 2


class TileError(TilthError):
    """One tile cannot be done with this data; it is quarantined and the run goes on."""

    exit_code = 3


class InfrastructureError(TilthError):
    """The node, the network or the store failed; trying again may help."""


class MicroBatchTooLarge(TilthError):
    """The model ran out of memory at this micro-batch size; halving it may help."""


class LeaseHeld(TilthError):
    """Another driver holds the run."""


class BudgetReached(TilthError):
    """The run's hours or money are used up; what is committed stays."""

    exit_code = 5


class Cancelled(TilthError):
    """A person asked the run to stop; what is committed stays."""

    exit_code = 130
