"""What the demo says of its map: everything that is true in the unseen fields counts."""

from __future__ import annotations

import json

import numpy as np
import pytest

from engine.types import dump_json
from jobs.demo.run import _said, judged
from tests.engine.made_models import made_card

CARD = made_card(b"x", 5, 3, 3)  # codes 10, 20, 30
NAMES = {10: "a", 20: "b", 30: "c", 1: "Forest", 2: "Built up"}
TRUTH = np.repeat([10, 20, 30, 1, 2], [30, 30, 20, 15, 5])
MAPPED = np.where(TRUTH < 10, 0, TRUTH // 10 - 1)


def test_land_of_classes_that_the_model_does_not_know_is_an_error_and_named() -> None:
    found = judged(MAPPED, TRUTH, CARD, NAMES)
    assert (found["pixels"], found["overall_accuracy"], found["unknown_share"]) == (100, 0.8, 0.2)
    by_chance = 0.5 * 0.3 + 0.3 * 0.3 + 0.2 * 0.2
    assert found["kappa"] == pytest.approx((0.8 - by_chance) / (1 - by_chance), abs=1e-4)
    assert [(row["name"], row["pixels"]) for row in found["unknown_classes"]] == [("Forest", 15), ("Built up", 5)]
    assert found["of_known_classes"] == {"kappa": 1.0, "overall_accuracy": 1.0, "pixels": 80}
    first, *others = _said(found)
    assert "on 100 pixels" in first and "overall accuracy 0.800" in first and "1.000" not in first
    assert "20.0%" in others[0] and "Forest, Built up" in others[0]
    assert others[1] == "of the classes it knows: kappa 1.000, overall accuracy 1.000"
    assert json.loads(dump_json(found)) == found


def test_where_the_model_knows_all_there_is_one_line() -> None:
    known = TRUTH >= 10
    found = judged(MAPPED[known], TRUTH[known], CARD, NAMES)
    assert found["overall_accuracy"] == found["of_known_classes"]["overall_accuracy"] == 1.0
    assert len(list(_said(found))) == 1
