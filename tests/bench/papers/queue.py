"""What a model is sure of: how much of a map needs no second look, and how right that part is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from engine.accuracy import calibration_error, confusion, score
from engine.assess.bootstrap import block_matrices, difference, intervals
from engine.assess.reliability import kept
from engine.models.scaling import probabilities

matplotlib.use("Agg")

from matplotlib import pyplot

REVIEW_BELOW = 0.65
"""Less sure than this: a person looks at it."""
_PANELS_A_ROW, _LEAST_DRAWN = 3, 0.02
"""Where less than so much is covered, the accuracy is that of a few samples."""
_THRESHOLDS = np.concatenate([np.arange(0, 0.95, 0.05), np.arange(0.95, 1.0, 0.005)])


def judged(
    logits: NDArray[np.float32],
    temperature: float | NDArray[np.float64],
    reference: NDArray[np.integer],
    block: NDArray[np.int64],
    names: Sequence[str],
) -> dict[str, Any]:
    """Accuracy, calibration and queue of logits (n, k), as JSON.

    temperature: one, or (n, 1). reference: (n,) class indices. block: (n,). Coverage is the share that is
    ``REVIEW_BELOW`` sure or more, selective accuracy the share of that which is right; of a class: of what is mapped as
    it. PA: producer's accuracy (recall). ``matrices`` are the blocks' confusion matrices, rows map, columns reference.
    """
    p = probabilities((logits / temperature).astype(np.float32), 1.0)
    mapped = p.argmax(axis=1)
    scores = score(confusion(mapped, reference, len(names)))
    coverage, selective = kept(p, reference, REVIEW_BELOW)
    by_class = {}
    for index, name in enumerate(names):
        own = kept(p[mapped == index], reference[mapped == index], REVIEW_BELOW)
        by_class[name] = [int((reference == index).sum()), *map(_known, (*own, scores.users[index]))]
    return {
        "overall accuracy": _known(scores.overall),
        "kappa": _known(scores.kappa),
        "macro-F1": _known(scores.macro_f1),
        "least PA": _known(np.nanmin(scores.producers)),
        "ECE": _known(calibration_error(p, reference)),
        "ECE, uncalibrated": _known(calibration_error(probabilities(logits, 1.0), reference)),
        "coverage at 0.65": _known(coverage),
        "selective accuracy at 0.65": _known(selective),
        "classes": by_class,
        "curve": [[round(float(t), 3), *map(_known, kept(p, reference, float(t)))] for t in _THRESHOLDS],
        "matrices": block_matrices(mapped, reference, block, len(names)).tolist(),
    }


def interval(matrices: Sequence[Any], less: Sequence[Any] | None = None) -> str:
    """Overall accuracy of blocks' matrices with its 95 % interval from resampled blocks; ``less``: less another's."""
    own = np.array(matrices)
    overall = _overall(own) - (_overall(np.array(less)) if less is not None else 0.0)
    ends = intervals(own) if less is None else difference(own, np.array(less))
    sign = "+" if less is not None else ""
    return f"{overall:{sign}.3f} [{float(ends.low.overall):{sign}.3f}, {float(ends.high.overall):{sign}.3f}]"


def class_table(found: Mapping[str, Any]) -> str:
    """Coverage and selective accuracy by mapped class, in Markdown."""
    lines = [
        "| class | reference samples | coverage | selective accuracy | accuracy of all mapped so |",
        "|---" * 5 + "|",
    ]
    for name, (samples, *rest) in found["classes"].items():
        lines.append(f"| {name} | {samples} | " + " | ".join("" if v is None else f"{v:.3f}" for v in rest) + " |")
    return "\n".join(lines)


def draw(panels: Mapping[str, Mapping[str, Mapping[str, Any]]], path: Path) -> None:
    """Coverage against selective accuracy, a panel for each set and a line for each model; a dot at 0.65."""
    colours = {name: f"C{i}" for i, name in enumerate(dict.fromkeys(name for one in panels.values() for name in one))}
    wide = min(len(panels), _PANELS_A_ROW)
    rows = -(-len(panels) // wide)
    figure, axes = pyplot.subplots(rows, wide, figsize=(5 * wide, 4.2 * rows), squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    for axis, (title, models) in zip(axes.flat, panels.items(), strict=False):
        for name, found in models.items():
            coverage, accuracy = zip(*[(c, a) for _, c, a in found["curve"] if c >= _LEAST_DRAWN], strict=True)
            axis.plot(coverage, accuracy, color=colours[name], label=f"{name} (ECE {found['ECE']:.3f})")
            at = found["coverage at 0.65"], found["selective accuracy at 0.65"]
            if None not in at:
                axis.plot(*at, "o", color=colours[name])
        axis.set(
            title=title, xlabel="coverage: share not sent to a person", ylabel="selective accuracy", xlim=(0, 1.02)
        )
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, loc="lower left")
    figure.suptitle("Dots: confidence 0.65")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _overall(matrices: NDArray[np.int64]) -> float:
    return score(matrices.sum(axis=0)).overall


def _known(value: float) -> float | None:
    """As JSON takes it: None for NaN."""
    return None if np.isnan(value) else round(float(value), 6)
