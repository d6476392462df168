"""What a reader of an assessment's numbers should know, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.assess.bootstrap import LEAST_BLOCKS
from engine.judge.choose import Judges
from engine.models import Card
from engine.training.calibrate import at_an_end

FEW_BLOCKS = 10


def notes(matrices: NDArray[np.int64], by: Judges, card: Card, calibration: Mapping[str, Any]) -> Iterator[str]:
    """What labels are, what they lack, and which of their classes the model does not know."""
    yield (
        "Labels are what was declared or mapped, no probability sample: these numbers are agreement with the labels, "
        "not estimates for the area."
    )
    if not by.held_out:
        yield "All labelled samples judge: where the model was trained on some of them, the numbers are too good."
    if len(matrices) < LEAST_BLOCKS:
        yield f"All samples lie in {len(matrices)} block{'s' * (len(matrices) != 1)}: no interval is defined."
    elif len(matrices) < FEW_BLOCKS:
        yield f"Only {len(matrices)} blocks: intervals from so few are rough, and rather too narrow."
    counts, in_blocks = matrices.sum(axis=(0, 1)), (matrices.sum(axis=1) > 0).sum(axis=0)
    few = f"In fewer than {LEAST_BLOCKS} blocks, so intervals are not defined"
    for numbers, said in (((0,), "Not one sample to judge by"), (range(1, LEAST_BLOCKS), few)):
        if found := [entry.name for k, entry in enumerate(card.classes) if in_blocks[k] in numbers]:
            yield f"{said}: {', '.join(found)}."
    strangers = counts[len(card.classes) :]
    if strangers.sum():
        told = ", ".join(f"{c.name} ({n})" for c, n in zip(by.unknown, strangers.tolist(), strict=True) if n)
        yield (
            f"{strangers.sum():,} of {counts.sum():,} samples ({strangers.sum() / counts.sum():.0%}) are of classes "
            f"that the model does not know, and count as errors: {told}. There its mean confidence is "
            f"{calibration['mean_confidence']['unknown_classes']:.0%}."
        )


def notes_of_confidence(calibration: Mapping[str, Any]) -> Iterator[str]:
    """Where the temperature, fitted on validation blocks of classes that the model knows, is not to be trusted."""
    if at_an_end(calibration["temperature"]):
        yield (
            f"The temperature, {calibration['temperature']:.3g}, lies at the end of what is looked at: the blocks it "
            "was fitted on do not tell how sure the model may be."
        )
    known = calibration["of_known_classes"]
    after, before = (which["expected_calibration_error"] for which in (known, known["without_temperature"]))
    if after > before:
        yield (
            f"The calibrated confidence is further off here than the model's own (calibration error {after:.3f}, was "
            f"{before:.3f}): the blocks it was calibrated on were few, or unlike these."
        )


def note_of_cover(labelled: int, without_data: int, per: str) -> Iterator[str]:
    """What of the labelled land no figure speaks of, since the map says nothing there."""
    if without_data:
        yield (
            f"{without_data:,} of {labelled:,} labelled {per}s in the area ({without_data / labelled:.0%}) have no "
            "data in the map, being off the mask, never seen, or on a tile that is not published: no figure speaks of "
            "them."
        )
