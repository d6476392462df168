"""Which classes of the labels can be trained, and the class index of each sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models.card import MAX_CLASSES, ClassEntry
from engine.training.legend import class_entries
from engine.training.options import TrainOptions


def choose_classes(
    found: Mapping[int, tuple[int, int]],
    classes: Mapping[int, str],
    options: TrainOptions,
    colours: Mapping[int, str],
    *,
    fewest_blocks: int = 2,
) -> tuple[tuple[ClassEntry, ...], list[dict[str, Any]]]:
    """Entries of the classes with enough samples in blocks enough, and what was left out with its reason.

    found: code -> (samples, blocks that these lie in). fewest_blocks: a class of one block could be trained or judged,
    never both, unless it is judged in another season or region. Raises InputError where fewer than two classes are
    left.
    """
    kept, left_out = [], []
    for code in sorted(found.keys() | classes.keys()):
        count, blocks = found.get(code, (0, 0))
        reason = ""
        if code not in classes:
            reason = "not in the legend"
        elif count < options.min_samples:
            reason = f"fewer than min_samples = {options.min_samples} samples"
        elif blocks < fewest_blocks:
            reason = (
                f"all in one block of {options.block_m:g} m, so it could be trained or judged, never both; a smaller "
                "labels.block_m may part it"
            )
        if reason:
            left_out.append({"code": code, "name": classes.get(code), "samples": count, "reason": reason})
        else:
            kept.append(code)
    if not 2 <= len(kept) <= MAX_CLASSES:
        told = {code: count for code, (count, _) in sorted(found.items())}
        raise InputError(
            f"{len(kept)} classes of the legend with {options.min_samples} samples or more in two blocks or more "
            f"(samples by code: {told})",
            expected=f"2 to {MAX_CLASSES}",
            place="labels",
            remedy="a smaller min_samples or block_m, more labels, or a legend that names the codes found",
        )
    return class_entries(kept, classes, colours), left_out


def class_indices(y: NDArray[np.int64], entries: tuple[ClassEntry, ...]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Which samples are of these classes, and the class index of each of those."""
    codes = np.array([entry.code for entry in entries])
    order = codes.argsort()
    used = np.flatnonzero(np.isin(y, codes))
    return used, order[np.searchsorted(codes, y[used], sorter=order)].astype(np.int64)
