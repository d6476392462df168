"""What a run says while it goes on: a bar in a terminal; in a file or a pipe, plain lines with date and time."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from engine.run import Progress

_LINE_EVERY_S = 50.0
"""Ticks come a second apart, so that a minute never goes by in silence."""


def say(sentence: str) -> None:
    """One line for a person, on standard error, so that standard output stays for results."""
    print(_dated(sentence, sys.stderr), file=sys.stderr, flush=True)


def result(sentence: str) -> None:
    """One line of a run's results, on standard output: not wrapped, not coloured."""
    print(_dated(sentence, sys.stdout), flush=True)


def _dated(text: str, stream: TextIO) -> str:
    """Every line with the time in UTC (ISO 8601) in front, unless a terminal shows it at once."""
    if stream.isatty():
        return text
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return "\n".join(f"{now} {line}" for line in text.splitlines() or [""])


class Log:
    """Progress as lines: at the first sight of a stage, at each tenth, at its end, and where nothing else was said for
    a while; trouble whenever it is another."""

    def __init__(self) -> None:
        self._told: tuple[str, int] | None = None
        self._trouble = ""
        self._line_s = 0.0

    def update(self, progress: Progress) -> None:
        """Take in where a stage stands."""
        self.trouble(progress)
        now, reached = time.monotonic(), (progress.stage, 10 * progress.done // max(progress.total, 1))
        if reached != self._told or now - self._line_s >= _LINE_EVERY_S:
            self._told, self._line_s = reached, now
            say(f"{progress.stage}: {_standing(progress)}")

    def trouble(self, progress: Progress) -> None:
        """Say the last trouble of a stage once."""
        if progress.trouble and progress.trouble != self._trouble:
            self._trouble = progress.trouble
            say(f"{progress.stage}: {progress.trouble}")


def _standing(progress: Progress) -> str:
    told = f"{progress.done} of {progress.total} {progress.unit}"
    if progress.unit == "tiles":
        told += f", {progress.in_flight} under way, {progress.retried} retried, {progress.quarantined} quarantined"
    return f"{told}; {progress.note}" if progress.note else told


class Bar:
    """A progress bar per stage; a log where there is no terminal."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        self._live = RichProgress(*columns, console=console, transient=True) if console.is_terminal else None
        self._stages: dict[str, Any] = {}
        self._log = Log()

    def __enter__(self) -> Bar:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def update(self, progress: Progress) -> None:
        """Take in where a stage stands."""
        if self._live is None:
            self._log.update(progress)
            return
        self._log.trouble(progress)
        if progress.stage not in self._stages:
            self._stages[progress.stage] = self._live.add_task(
                progress.stage, total=progress.total, note="", unit=progress.unit
            )
        note = f"{progress.quarantined} quarantined" if progress.quarantined else progress.note
        self._live.update(self._stages[progress.stage], completed=progress.done, total=progress.total, note=note)
