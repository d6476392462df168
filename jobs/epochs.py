"""A training as people see it: progress epoch by epoch, and an end when the run is to end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import TilthError
from engine.run import Progress
from engine.training import Hooks

_TICK_S = 1.0


@dataclass
class Epochs:
    """Hears what a training tells and passes it on.

    ``ending`` is asked after every batch, since an epoch may take an hour: an error that it returns is raised, and
    the training ends with its last whole epoch kept.
    """

    most: int
    say: Callable[[str], None]
    tick: Callable[[Progress], None]
    ending: Callable[[], TilthError | None]

    def __post_init__(self) -> None:
        self._progress = Progress("model", self.most, unit="epochs")
        self._scores = ""
        self._next_s = 0.0

    def hooks(self) -> Hooks:
        """What the training calls beside ``epoch``."""
        return Hooks(batch=self._batch, resumed=self._resumed)

    def epoch(self, epoch: int, epochs: int, loss: float, f1: float) -> None:
        """An epoch is done: its loss and its macro-F1 on the validation blocks."""
        self._progress.written = epoch
        self._scores = f", loss {loss:.3f}, validation macro-F1 {f1:.3f}"
        self._show(f"epoch {epoch} of {epochs}{self._scores}")

    def end(self) -> None:
        """The training is done, perhaps before its last epoch."""
        self._progress.total = self._progress.done
        self.tick(self._progress)

    def _batch(self, epoch: int, share: float) -> None:
        if ending := self.ending():
            raise ending
        if time.monotonic() >= self._next_s:
            self._show(f"{share:.0%} of epoch {epoch} of {self.most}{self._scores}")

    def _resumed(self, epoch: int) -> None:
        self._progress.written = epoch
        self.say(f"model: goes on from epoch {epoch + 1}: epochs up to {epoch} were in its checkpoint")

    def _show(self, note: str) -> None:
        self._next_s = time.monotonic() + _TICK_S
        self._progress.note = note
        self.tick(self._progress)
