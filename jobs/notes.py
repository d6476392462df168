"""What a person is told of a training beside its accuracy, of a model beside its map, and of a map beside its areas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_MOST_STRANGE = 3
"""Classes named in which most was unfamiliar."""
_MOST_TOLD = 10
"""Classes left out that are named on the screen."""
_WORSE = 0.01
"""By so much more may the calibrated confidence be off, as expected calibration error, before it is told."""


_TOO_MANY = 2
"""So many times the false alarms promised are told."""


def said_of_training(report: Mapping[str, Any]) -> Iterator[str]:
    """In sentences: what of the labels a training did not use, which classes nothing could be said of, and where its
    confidence is not to be trusted."""
    rows = sorted((row for row in report["left_out"] if row["samples"]), key=lambda row: -row["samples"])
    for row in rows[:_MOST_TOLD]:
        numbered = f"{row['name']} (code {row['code']})" if row["code"] >= 0 else row["name"]  # text without a code
        name = numbered if row["name"] else f"code {row['code']}"
        yield f"left out: {name}, {row['samples']} samples: {row['reason']}"
    if len(rows) > _MOST_TOLD:
        yield f"left out: {len(rows) - _MOST_TOLD} codes more, see left_out in training.json"
    split, accuracy = report["split"], report["accuracy"]
    known = accuracy["of_known_classes"]
    if accuracy["unknown_samples"]:
        yield (
            f"{accuracy['unknown_share']:.0%} of the labelled land in test blocks is of classes left out. With these "
            f"counted as the errors that they are, kappa is {accuracy['kappa']:.3f} and overall accuracy "
            f"{accuracy['overall_accuracy']:.3f}; of the classes it knows, {known['kappa']:.3f} and "
            f"{known['overall_accuracy']:.3f}"
        )
    if unjudged := split["test"]["lacks"]:
        yield f"no test block holds {', '.join(unjudged)}: how well they are mapped is not known"
    if unseen := split["validation"]["lacks"]:
        yield f"no validation block holds {', '.join(unseen)}: when to stop, and how sure to be, was chosen without"
    fields = split.get("fields", {})
    yield from (f"figures are optimistic: {line}" for line in fields.get("optimistic", ()))
    yield from fields.get("notes", ())
    yield from _said_of_calibration(report)
    yield from _said_of_familiarity(report)
    before, after = (known[f"expected_calibration_error{which}"] for which in ("_uncalibrated", ""))
    if after > before + _WORSE:
        yield (
            f"on test blocks the calibrated confidence is further off than the model's own (ECE {after:.3f}, was "
            f"{before:.3f}): validation blocks are few, or unlike; smaller labels.block_m give more of them"
        )


def _said_of_calibration(report: Mapping[str, Any]) -> Iterator[str]:
    """Where a fitted temperature was not applied, and why; of a model of several cut-offs, at which."""
    rows = [row for row in report.get("cut_offs", (report["accuracy"],)) if not row["calibration"]["applied"]]
    if not rows:
        return
    days = [row["last_day"] for row in rows if "last_day" in row]
    at = f" at the cut-off{'s' * (len(days) > 1)} {', '.join(days)}" if days else ""
    yield f"confidence{at} is the model's own confidence, not calibrated: {rows[-1]['calibration']['refused']}"


def said_of_model(told: Mapping[str, Any]) -> list[str]:
    """``jobs.whose.model_told`` in sentences: where the job leaves the model's domain, and whose its accuracy is."""
    return [*(f"outside its domain: {line}" for line in told["outside"]), f"accuracy: {told['accuracy']['said']}"]


def _said_of_familiarity(report: Mapping[str, Any]) -> Iterator[str]:
    """Where the false alarms promised cannot be kept."""
    told = report.get("familiarity", {})
    if not told.get("tells", True):
        yield (
            f"{told['validation_samples']} validation samples are too few to tell land unlike the training's at "
            f"{told['told_below']} false alarms in a hundred"
        )
    elif told and told["told_of_known_test_samples"] > _TOO_MANY * told["told_below"] / 100:
        yield (
            f"{told['told_of_known_test_samples']:.0%} of the test samples of known classes would be told unfamiliar, "
            f"not {told['told_below']} %: blocks are few, or unlike; smaller labels.block_m give more of them"
        )


def said_of_unfamiliar(facts: Mapping[str, Any]) -> Iterator[str]:
    """In sentences, what the report of a map holds of unfamiliar land."""
    if facts["share"] is None:
        return
    what = "masked" if facts["masked"] else "mapped all the same"
    yield (
        f"unlike all the model was trained on: {facts['share']:.1%} of the land mapped, {facts['km2']:.4g} km2, {what} "
        f"(familiarity below {facts['below']}, which {facts['below']} % of known land has too)"
    )
    rows = [(row["share"], name) for name, row in facts["by_class"].items() if row["share"]]
    most = [f"{name} {share:.0%}" for share, name in sorted(rows, reverse=True)[:_MOST_STRANGE]]
    if most:
        yield f"  most in what was called {', '.join(most)}"
