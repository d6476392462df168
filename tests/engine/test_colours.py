"""Colours of classes: a code's own, in every job, and far enough from each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.colours import APART, _lab_of, colours_of
from engine.training.legend import class_entries

HCAT = [3301010101, 3301010102, 3301010200, 3301010301, 3301020000, 3301060600, 3301061299, 3302000000, 3303010000]


def nearest(colours: list[str]) -> float:
    labs = [_lab_of(colour) for colour in colours]
    return min(math.dist(a, b) for i, a in enumerate(labs) for b in labs[:i])


@pytest.mark.parametrize("step", [1, 2, 3, 5, 10, 20, 100, 1000, 10_000, 100_000, 1_000_000])
def test_twenty_codes_in_steps_have_colours_far_apart(step: int) -> None:
    colours = colours_of({step * i: "" for i in range(1, 21)})
    assert nearest(list(colours.values())) > 0.06


def test_made_colours_of_any_codes_can_be_told_apart() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        codes = rng.integers(1, 2**40, 40).tolist()
        assert nearest(list(colours_of(dict.fromkeys(codes, "")).values())) >= APART
    assert nearest(list(colours_of(dict.fromkeys(HCAT, "")).values())) >= APART


def test_a_code_has_the_same_colour_whichever_others_are_there() -> None:
    alone = {code: colours_of({code: ""})[code] for code in range(1, 60)}
    for codes in (range(1, 60), range(1, 60, 7), [3, 58], [58, 3]):
        assert colours_of(dict.fromkeys(codes, "")) == {code: alone[code] for code in codes}


def test_colours_of_a_legend_do_not_change_with_the_classes_that_are_trained() -> None:
    names = {code: f"crop {code}" for code in (*HCAT, 1, 2, 3)}
    given = {1: "#FF0000"}
    every = {entry.code: entry.colour for entry in class_entries(list(names), names, given)}
    some = {entry.code: entry.colour for entry in class_entries(HCAT[::2], names, given)}
    assert every[1] == "#ff0000" and some == {code: every[code] for code in HCAT[::2]}


def test_a_made_colour_gives_way_to_a_given_one() -> None:
    taken = colours_of({7: ""})[7]
    colours = colours_of({7: "", 1000: ""}, {1000: taken})
    assert colours[1000] == taken and nearest(list(colours.values())) >= APART


def test_classes_named_by_text_have_the_colour_of_their_name() -> None:
    one = colours_of({1: "maize", 2: "wheat"}, {}, {1: "maize", 2: "wheat"})
    other = colours_of({1: "barley", 2: "maize", 3: "wheat"}, {}, {1: "barley", 2: "maize", 3: "wheat"})
    assert [one[1], one[2]] == [other[2], other[3]]
