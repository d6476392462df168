"""From features to class and confidence, in forward passes that all have one size.

Float sums change with the shape of a batch: the kernel, its blocking and the order of additions follow from it. So
every pass is padded to exactly ``micro_batch`` rows, and a pixel's result is the same to the bit whatever its position
and its neighbours: tiles cut differently give equal maps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from engine.errors import MicroBatchTooLarge
from engine.models.card import Card
from engine.models.familiarity import Reference
from engine.models.package import Classifier
from engine.models.scaling import normalise
from engine.models.scaling import probabilities as calibrated
from engine.types import FeatureBlock

FORWARD_VERSION = "forward-2"
"""Raised whenever the arithmetic of a forward pass changes, a network's layout included: it is part of every map tile's
key."""

_MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "could not create a memory")
"""How torch's allocators and oneDNN say it, in lower case; torch.OutOfMemoryError is a RuntimeError too."""

_VALUES_PER_STEP = {
    "tempcnn": 128, "cnn1d": 192, "agrispec": 640, "onnx": 640, "dcm": 6144, "transformer": 6144, "clec": 4096,
    "convstar3d": 768, "convstar": 512, "hybridsn": 64, "cnn3d": 128, "twobranch": 64,
}  # fmt: skip
"""Values that a network's widest layers hold at once for one row, for each of its steps and pixels; a guess for
onnx."""

_CPU_BATCH = 256
"""For a network on a CPU: its layers' results then stay in the second-level cache or near it. On one core a 1D-CNN does
80,000 px/s at 128 and at 256 and 70,000 at 512; TempCNN, AgriSpec, DCM and CLEC do the same from 128 on, to 5 %."""

_CPU_SQUARES = 32
"""The same for a network over squares, whose rows are a hundred times as large."""

_LARGE_BATCH = 65536
"""For a GPU, whose cores want that many rows at once, for a forest, whose trees cost the same call each pass, and
for an SVM, which cuts its rows itself."""


_PORTION_BYTES = 8 << 20
"""Input that is cut and scaled at once, in whole passes. What comes right after a forward pass finds its instructions
and data gone from the caches: done for each pass by itself, the same work takes twice the time."""

_RUN = 256
"""Pixels whose familiarity is told at once, or a multiple of it within ``_PORTION_BYTES``."""

_BLOCK_PX = 64
"""Pixels along each side that a model classifies at once where it can sweep over a block: from 64 to 138 are alike."""

Rows = NDArray[np.integer]


@runtime_checkable
class Sweeps(Protocol):
    """A classifier that takes whole blocks and gives what it would of each pixel's square, at a fraction of the work.
    For one shape of block a pixel's result does not depend on its place in it."""

    def sweep(self, block: NDArray[np.float32]) -> NDArray[np.float32]: ...


def cut(features: FeatureBlock, rows: Rows, cols: Rows, halo: int = 0) -> NDArray[np.float32]:
    """The model's input for single pixels of a block, one after the other.

    rows, cols: (n,) indices; with a halo they count from the block's pixel ``halo`` rows and columns in. Returns
    (n, t, f) float32, or with a halo (n, t, f, s, s) with the square of side s = 2 halo + 1 around each.
    """
    if not halo:
        from kernels.pixels import gather  # brings Numba along

        steps, names, height, width = features.x.shape
        planes = features.x.reshape(steps * names, height * width)
        return gather(planes, rows.astype(np.int64) * width + cols).reshape(len(rows), steps, names)
    squares = sliding_window_view(features.x, (2 * halo + 1, 2 * halo + 1), axis=(2, 3))
    return np.ascontiguousarray(squares[:, :, rows, cols].transpose(2, 0, 1, 3, 4))


def classify_at(
    classifier: Classifier, features: FeatureBlock, rows: Rows, cols: Rows, micro_batch: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Winning class and its probability, as ``classify`` gives them, of these pixels of a block.

    rows, cols: (n,) as for ``cut``, ascending as ``np.nonzero`` gives them. Input is cut for a few passes at a
    time, and still in the cache when the model takes it; a model that sweeps is given blocks of one size instead.
    """
    card = classifier.card
    index, confidence = np.empty(len(rows), np.uint8), np.empty(len(rows), np.uint8)
    if isinstance(classifier, Sweeps):
        for some, p in _swept(classifier, features, rows, cols, card.halo):
            index[some], confidence[some] = _winners(p)
        return index, confidence
    for part in _portions(len(rows), card, micro_batch):
        x = cut(features, rows[part], cols[part], card.halo)
        index[part], confidence[part] = classify(classifier, x, micro_batch)
    return index, confidence


def _swept(
    classifier: Sweeps, features: FeatureBlock, rows: Rows, cols: Rows, halo: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
    """Which of the pixels lie in a block, and their probabilities, block by block; the last ones padded."""
    side = _BLOCK_PX + 2 * halo
    for y, x in sorted(set(zip((rows // _BLOCK_PX).tolist(), (cols // _BLOCK_PX).tolist(), strict=True))):
        y0, x0 = y * _BLOCK_PX, x * _BLOCK_PX
        held = features.x[:, :, y0 : y0 + side, x0 : x0 + side]
        block = np.full((*held.shape[:2], side, side), np.nan, np.float32)
        block[:, :, : held.shape[2], : held.shape[3]] = held
        some = np.flatnonzero((rows // _BLOCK_PX == y) & (cols // _BLOCK_PX == x))
        yield some, classifier.sweep(block)[rows[some] - y0, cols[some] - x0]


def familiarity_at(
    reference: Reference, card: Card, features: FeatureBlock, rows: Rows, cols: Rows
) -> NDArray[np.uint8]:
    """How familiar these pixels of a block are, (n,) uint8, 0 to 100: see ``engine.models.familiarity``.

    rows, cols: as for ``classify_at``. A pixel's own series decides, whatever a model sees of its neighbours, and no
    forward pass is made: a result depends neither on the others nor on the micro-batch.
    """
    told = np.empty(len(rows), np.uint8)
    for part in _portions(len(rows), card, _RUN):
        told[part] = reference.familiarity(cut(features, rows[part] + card.halo, cols[part] + card.halo), card)
    return told


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
    return _winners(probabilities(classifier, x, micro_batch))


def _winners(p: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(n, k) probabilities -> the first of the largest, and it in percent: (n,) uint8 each."""
    index = p.argmax(axis=1)
    confidence = np.rint(p[np.arange(len(p)), index] * 100)
    return index.astype(np.uint8), confidence.astype(np.uint8)


def probabilities(classifier: Classifier, x: NDArray[np.float32], micro_batch: int) -> NDArray[np.float32]:
    """Calibrated probability of every class for every series, in passes of the same size as ``classify``'s.

    x: as for ``classify``. Returns (n, k) float32, classes in the card's order. Raises MicroBatchTooLarge likewise.
    """
    card = classifier.card
    p = np.empty((len(x), len(card.classes)), np.float32)
    try:
        for part in _portions(len(x), card, micro_batch):
            p[part] = calibrated(_logits(classifier, normalise(x[part], card), micro_batch), card.temperature)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise MicroBatchTooLarge(
            f"micro-batch of {micro_batch} rows",
            expected="one that fits in memory",
            place=f"model {card.name}",
            remedy="halve it",
        ) from error
    return p


def _portions(count: int, card: Card, micro_batch: int) -> Iterator[slice]:
    """Slices of so many rows, each of whole passes but the last: what is done once for a portion costs less per row."""
    if micro_batch < 1:
        raise ValueError(f"micro_batch must be 1 or more, got {micro_batch}")
    passes = max(1, _PORTION_BYTES // (4 * math.prod(card.input_shape) * micro_batch))
    for start in range(0, count, passes * micro_batch):
        yield slice(start, min(start + passes * micro_batch, count))


def _logits(classifier: Classifier, scaled: NDArray[np.float32], micro_batch: int) -> NDArray[np.float32]:
    """(n, k) float32 of scaled rows, pass by pass, the last one padded."""
    found = np.empty((len(scaled), len(classifier.card.classes)), np.float32)
    for start in range(0, len(scaled), micro_batch):
        rows = scaled[start : start + micro_batch]
        found[start : start + len(rows)] = classifier.logits(_padded(rows, micro_batch))[: len(rows)]
    return found


def _padded(rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    if len(rows) == count:
        return rows
    padded = np.zeros((count, *rows.shape[1:]), np.float32)
    padded[: len(rows)] = rows
    return padded


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
