"""A model and labelled pixels -> how good it is, as plain JSON."""

from engine.judge.choose import Judges, judges
from engine.judge.dates import judge_over_dates
from engine.judge.measure import judge, judge_against
from engine.judge.plain import plain

__all__ = ["Judges", "judge", "judge_against", "judge_over_dates", "judges", "plain"]
