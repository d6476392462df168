"""What a training would take, at most: samples, seconds and bytes, from options and stated speeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.models import Recipe
from engine.models.card import PATCHES
from engine.training import TrainOptions

_SVM_S = 1e-7
"""Seconds of one core to fit an SVM, for each pair of samples: 7 s for 9,000 of 34 steps of 13 features."""
_SPLIT_S = 7e-8
"""Seconds of one core to grow a forest, for each tree, each feature tried at a split, and each n log2 n of n samples:
2.3 s for 20 trees on 6,000 samples of 34 steps of 13 features."""
_SUBSETS = 12
"""Trainings of which one with virtual labels consists that accepts by gain."""
_COPIES = 5
"""Of all samples at once: collected, joined, dealt to parts and scaled, in the order of an epoch, and judged."""
_NODE_BYTES = 64
"""Of a tree, beside a float64 for each class; a forest is held, packed and read back."""
_PACKED = 3
_NETWORK_BYTES = 300_000_000
"""Torch's own: activations and gradients of a batch, Adam's moments, and what its allocator keeps."""
_SVM_CACHE_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class TrainingSize:
    """Samples at most. ``trained``: labelled, virtual and of the other domain; ``held``: all that lie in memory."""

    trained: float
    held: float


def size_of(options: TrainOptions, pixels: float, classes: int) -> TrainingSize:
    """Samples of a training on labels of so many ``classes`` over so many ``pixels`` of all seasons."""
    labelled = min(0.6 * pixels, classes * options.per_class)
    judged = min(0.4 * pixels, 2 * options.most_judged)
    virtual = options.virtual.wanted(round(labelled)) if options.virtual else 0
    drawn = options.virtual.drawn(round(labelled)) if options.virtual else 0
    other = labelled if options.adversarial else 0  # as many series of the other domain
    return TrainingSize(labelled + virtual + other, labelled + judged + drawn + other)


def training_seconds(options: TrainOptions, size: TrainingSize, recipe: Recipe, samples_per_s: float) -> float:
    """Seconds of one core at most; ``samples_per_s``: of the network, for one epoch."""
    n = max(size.trained, 2.0)
    if options.family == "svm":
        once = n**2 * _SVM_S
    elif options.family == "forest":
        tried = math.sqrt(recipe.steps * len(recipe.features))
        once = options.trees * tried * n * math.log2(n) * _SPLIT_S
    else:
        once = n * options.epochs / samples_per_s
    return once * (_SUBSETS if options.virtual and options.virtual.accept == "gain" else 1)


def training_bytes(options: TrainOptions, size: TrainingSize, recipe: Recipe, classes: int) -> int:
    """Projected peak of a training, beside the process itself: the samples as float32, and what the family adds."""
    side = (options.patch or PATCHES[options.family]) if options.family in PATCHES else 1
    row = recipe.steps * len(recipe.features) * side**2 * 4
    samples = _COPIES * size.held * row
    if options.family == "forest":
        nodes = options.trees * size.trained / 2  # leaves of two samples at least
        own = _PACKED * nodes * (_NODE_BYTES + 8 * classes)
    elif options.family == "svm":
        own = _SVM_CACHE_BYTES + 2 * size.trained * row * 2  # as float64, with the support vectors
    else:
        own = _NETWORK_BYTES
    return round(samples + own)
