"""From features to class and confidence, in forward passes that all have one size.

Float sums change with the shape of a batch: the kernel, its blocking and the order of additions follow from it. So
every pass is padded to exactly ``micro_batch`` rows, and a pixel's result is the same to the bit whatever its position
and its neighbours: tiles cut differently give equal maps.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from engine.errors import MicroBatchTooLarge
from engine.models.card import Card
from engine.models.package import Classifier

_MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "could not create a memory")
"""How torch's allocators and oneDNN say it, in lower case; torch.OutOfMemoryError is a RuntimeError too."""

_VALUES_PER_STEP = {
    "tempcnn": 128, "cnn1d": 192, "agrispec": 640, "onnx": 640, "dcm": 6144, "transformer": 6144, "clec": 4096,
    "convstar3d": 768, "convstar": 512, "hybridsn": 64, "cnn3d": 128, "twobranch": 64,
}  # fmt: skip
"""Values that a network's widest layers hold at once for one row, for each of its steps and pixels; a guess for
onnx."""

_CPU_BATCH = 512
"""For a network on a CPU. A TempCNN does 38,000 px/s on one core at 256 and 512, 27,000 at 1024, 21,000 at 4096, where
each layer's result no longer fits in the cache and comes in pages new from the system; the others vary less."""

_CPU_SQUARES = 32
"""The same for a network over squares, whose rows are a hundred times as large."""

_LARGE_BATCH = 65536
"""For a GPU, whose cores want that many rows at once, for a forest, whose trees cost the same call each pass, and
for an SVM, which cuts its rows itself."""


def classify(
    classifier: Classifier, x: NDArray[np.float32], micro_batch: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Winning class and its probability for every pixel.

    x: (n, t, f) float32, or (n, t, f, s, s) for a model that looks at neighbours, physical units of the model's recipe,
    NaN where a series is missing; any memory order.
    Returns class_index (n,) uint8, index into the card's classes (the first of equals), and confidence (n,) uint8,
    0 to 100, the winner's calibrated probability in percent. A pixel without any data gets the class of the fill
    values: the caller masks it. Raises MicroBatchTooLarge when memory does not hold ``micro_batch`` rows.
    """
    class_index = np.empty(len(x), np.uint8)
    confidence = np.empty(len(x), np.uint8)
    for rows, p in _passes(classifier, x, micro_batch):
        class_index[rows] = p.argmax(axis=1)
        confidence[rows] = np.rint(p.max(axis=1) * 100)
    return class_index, confidence


def probabilities(classifier: Classifier, x: NDArray[np.float32], micro_batch: int) -> NDArray[np.float32]:
    """Calibrated probability of every class for every series, in passes of the same size as ``classify``'s.

    x: as for ``classify``. Returns (n, k) float32, classes in the card's order. Raises MicroBatchTooLarge likewise.
    """
    p = np.empty((len(x), len(classifier.card.classes)), np.float32)
    for rows, found in _passes(classifier, x, micro_batch):
        p[rows] = found
    return p


def _passes(
    classifier: Classifier, x: NDArray[np.float32], micro_batch: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Rows of ``x`` and their probabilities, pass by pass, the last one padded."""
    if micro_batch < 1:
        raise ValueError(f"micro_batch must be 1 or more, got {micro_batch}")
    try:
        rows = np.zeros((micro_batch, *x.shape[1:]), np.float32)
        for start in range(0, len(x), micro_batch):
            stop = min(start + micro_batch, len(x))
            rows[: stop - start] = x[start:stop]
            yield slice(start, stop), classifier.predict(rows)[: stop - start]
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise MicroBatchTooLarge(
            f"micro-batch of {micro_batch} rows",
            expected="one that fits in memory",
            place=f"model {classifier.card.name}",
            remedy="halve it",
        ) from error


def suggest_micro_batch(card: Card, memory_bytes: int, device: str = "cpu") -> int:
    """Rows per forward pass: a power of two, 64 or more for series, that uses at most ``memory_bytes`` for its arrays.

    Counts the input twice (as given and scaled) and, for a network, its widest layers.
    """
    steps, features = card.recipe.steps, len(card.recipe.features)
    values = 2 * features * steps * card.patch**2 + 2 * len(card.classes)
    values += _VALUES_PER_STEP.get(card.family, 0) * (steps + card.later_steps) * card.patch**2
    cuts_itself = card.family in ("forest", "svm")
    on_gpu = device != "cpu" and card.family != "onnx"  # a graph runs on the processor wherever it is
    cap = _LARGE_BATCH if cuts_itself or on_gpu else _CPU_SQUARES if card.halo else _CPU_BATCH
    batch = min(64, cap)  # the least there is
    while batch * 2 <= cap and batch * 2 * values * 4 <= memory_bytes:
        batch *= 2
    return batch


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _MEMORY_WORDS)
