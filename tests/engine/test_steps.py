"""The season and its axes: half-open, in UTC, cut where the person says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.steps import SeasonOptions, acquisition_axis, regular_axis, usable_steps
from engine.types import Axis
from tests.engine.made_scenes import made_item


def season(**changes: object) -> SeasonOptions:
    return SeasonOptions.model_validate({"start": "2018-01-01", "end": "2018-12-01", **changes})


def test_flanders_season_has_thirty_four_steps_and_the_last_is_cut() -> None:
    axis = regular_axis(season())
    assert len(axis) == 34 and axis.name == "time"
    assert axis.starts[1] == datetime(2018, 1, 11, tzinfo=UTC)
    assert axis.ends[-1] == datetime(2018, 12, 1, tzinfo=UTC) and axis.ends[-1] - axis.starts[-1] == timedelta(days=4)


@given(st.dates(date(2000, 1, 1), date(2030, 1, 1)), st.integers(1, 1000), st.integers(1, 366))
def test_steps_cover_the_season_without_gap_or_overlap(start: date, days: int, step_days: int) -> None:
    axis = regular_axis(SeasonOptions(start=start, end=start + timedelta(days=days), step_days=step_days))
    assert axis.starts[0].date() == start and axis.ends[-1].date() == start + timedelta(days=days)
    assert all(a == b for a, b in zip(axis.ends[:-1], axis.starts[1:], strict=True))
    assert all((e - s).days == step_days for s, e in list(zip(axis.starts, axis.ends, strict=True))[:-1])


@pytest.mark.parametrize(
    ("as_of", "steps"),
    [(None, 34), ("2018-01-10", 1), ("2018-01-19", 1), ("2018-01-20", 2), ("2018-11-30", 34), ("2019-05-01", 34)],
)
def test_a_cut_off_leaves_only_whole_steps_before_it(as_of: str | None, steps: int) -> None:
    assert usable_steps(season(as_of=as_of)) == steps


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"end": "2018-01-01"}, "swap them"),
        ({"end": "2017-01-01"}, "swap them"),
        ({"step_days": 0}, "use 10"),
        ({"step_days": 400}, "use 10"),
        ({"end": "2023-01-01"}, "job per season"),
        ({"as_of": "2018-01-05"}, "use a later day"),
        ({"begin": "2018-01-01"}, "begin"),
    ],
)
def test_a_wrong_season_is_refused_with_the_remedy(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        season(**changes)


def test_scenes_of_one_pass_are_one_acquisition_and_the_axis_holds_each_scene() -> None:
    first = made_item({}, "radar", 3)
    passes = [
        first,
        replace(first, id="b", datetime=first.datetime + timedelta(seconds=25)),
        replace(first, id="c", datetime=first.datetime + timedelta(minutes=9)),
        made_item({}, "radar", 9),
    ]
    axis = acquisition_axis(passes[::-1])
    assert axis.name == "radar_time" and len(axis) == 2
    for item, step in zip(passes, (0, 0, 0, 1), strict=True):
        assert axis.starts[step] <= item.datetime < axis.ends[step]
    assert all(end <= start for end, start in zip(axis.ends[:-1], axis.starts[1:], strict=True))
    assert len(acquisition_axis([])) == 0


def test_a_later_pass_lengthens_the_acquisition_axis_and_moves_nothing() -> None:
    items = [made_item({}, "radar", day) for day in (3, 9, 15)]
    short, long = acquisition_axis(items[:2]), acquisition_axis(items)
    assert long.starts[:2] == short.starts and long.ends[:2] == short.ends


def test_an_axis_refuses_an_interval_that_ends_before_it_starts() -> None:
    moments = regular_axis(season()).starts
    with pytest.raises(ValueError, match="start < end"):
        Axis("time", moments[:2], moments[:2])
    assert all(a < b for a, b in pairwise(moments))
