"""A model and labelled pixels -> how good it is, as plain JSON."""

from engine.judge.areas import Estimate, estimate
from engine.judge.choose import Judges, judges
from engine.judge.cover import Cover, on_the_map
from engine.judge.dates import judge_over_dates
from engine.judge.measure import judge, judge_against
from engine.judge.notes import note_of_cover
from engine.judge.plain import plain

__all__ = [
    "Cover",
    "Estimate",
    "Judges",
    "estimate",
    "judge",
    "judge_against",
    "judge_over_dates",
    "judges",
    "note_of_cover",
    "on_the_map",
    "plain",
]
