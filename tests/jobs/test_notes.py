"""What is said of a training beside its accuracy."""

from __future__ import annotations

from typing import Any

from jobs.notes import said_of_training


def report(before: float, after: float, **lacks: list[str]) -> dict[str, Any]:
    errors = {
        "expected_calibration_error_uncalibrated": before,
        "expected_calibration_error": after,
        "calibration": {"applied": True},
    }
    split = {part: {"lacks": lacks.get(part, [])} for part in ("train", "validation", "test")}
    return {"left_out": [], "split": split, "accuracy": {**errors, "unknown_samples": 0, "of_known_classes": errors}}


def test_nothing_is_said_of_a_training_that_is_well() -> None:
    assert list(said_of_training(report(0.10, 0.02))) == []
    assert list(said_of_training(report(0.050, 0.055))) == []


def test_classes_that_no_block_of_a_part_holds_and_a_calibration_that_harms_are_told() -> None:
    said = list(said_of_training(report(0.066, 0.136, test=["Oats"], validation=["Rye", "Maize"])))
    assert len(said) == 3
    assert "no test block holds Oats" in said[0] and "no validation block holds Rye, Maize" in said[1]
    assert "ECE 0.136, was 0.066" in said[2] and "labels.block_m" in said[2]


def test_the_figures_over_all_labels_come_first_and_those_of_the_known_classes_after() -> None:
    found = report(0.10, 0.02)
    every = {"unknown_samples": 5, "unknown_share": 0.5, "kappa": 0.411, "overall_accuracy": 0.522}
    found["accuracy"] |= every
    found["accuracy"]["of_known_classes"] |= {"kappa": 0.911, "overall_accuracy": 0.922}
    assert list(said_of_training(found)) == [
        "50% of the labelled land in test blocks is of classes left out. With these counted as the errors that they "
        "are, kappa is 0.411 and overall accuracy 0.522; of the classes it knows, 0.911 and 0.922"
    ]


def test_a_temperature_that_was_not_applied_is_told_with_its_cut_offs() -> None:
    refused = {"applied": False, "refused": "on validation blocks it harms"}
    found = report(0.10, 0.10)
    found["accuracy"]["calibration"] = refused
    assert list(said_of_training(found)) == [
        "confidence is the model's own confidence, not calibrated: on validation blocks it harms"
    ]
    rows = [{"last_day": f"0{month}-30", "calibration": refused} for month in (4, 6)]
    found["cut_offs"] = [*rows, {"last_day": "10-27", "calibration": {"applied": True}}]
    assert "at the cut-offs 04-30, 06-30 is" in next(said_of_training(found))
