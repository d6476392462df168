"""The season and its time axes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from pydantic import model_validator

from engine.types import Axis, Item, Options

_SAME_PASS = timedelta(minutes=10)


class SeasonOptions(Options):
    """``start`` <= day < ``end``, cut into steps of ``step_days``; ``as_of``: use nothing observed after this day."""

    start: date
    """First day of the season, YYYY-MM-DD."""
    end: date
    """The first day that is not used any more, YYYY-MM-DD."""
    step_days: int = 10
    """Days of one step; each step is one composite."""
    as_of: date | None = None
    """Map as if it were that day, YYYY-MM-DD: nothing observed later is used; None: the whole season."""

    @model_validator(mode="after")
    def _ordered(self) -> SeasonOptions:
        if self.start >= self.end:
            raise ValueError(f"season.start {self.start} is not before season.end {self.end}; swap them")
        if not 1 <= self.step_days <= 366:
            raise ValueError(f"season.step_days {self.step_days} is not within 1 to 366; use 10")
        if (self.end - self.start).days > 3 * 366:
            raise ValueError(f"season of {(self.end - self.start).days} days; make a job per season, at most 3 years")
        if self.as_of is not None and self.as_of < self.start + timedelta(days=self.step_days - 1):
            raise ValueError(f"season.as_of {self.as_of} leaves no whole step after {self.start}; use a later day")
        return self


def regular_axis(season: SeasonOptions) -> Axis:
    """Steps of ``step_days`` from the season's start; the last is cut at its end."""
    start, end = _midnight(season.start), _midnight(season.end)
    step = timedelta(days=season.step_days)
    count = -(-(end - start) // step)
    starts = tuple(start + i * step for i in range(count))
    return Axis("time", starts, tuple(min(s + step, end) for s in starts))


def acquisition_axis(items: Iterable[Item]) -> Axis:
    """One interval per satellite pass: items within ten minutes of each other are one acquisition."""
    groups: list[list[datetime]] = []
    for moment in sorted({item.datetime for item in items}):
        if groups and moment - groups[-1][-1] <= _SAME_PASS:
            groups[-1].append(moment)
        else:
            groups.append([moment])
    ends = tuple(group[-1] + timedelta(seconds=1) for group in groups)
    return Axis("radar_time", tuple(group[0] for group in groups), ends)


def usable_steps(season: SeasonOptions) -> int:
    """How many leading steps hold nothing observed after ``as_of``; all of them without it."""
    axis = regular_axis(season)
    if season.as_of is None:
        return len(axis)
    known_until = _midnight(season.as_of) + timedelta(days=1)
    return sum(end <= known_until for end in axis.ends)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
