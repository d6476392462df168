"""What any model must keep to before it maps: the contract, clause by clause, tried on the model itself.

A model that forgets its batch axis, learns from its batch as it predicts, or gives NaN where data is missing draws a
map that looks right in most places. These clauses take seconds and find it out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models.card import Card
from engine.models.familiarity import Reference
from engine.models.golden import golden_familiarity, golden_pair
from engine.models.package import Classifier, load_reference, open_model, read_golden, read_model

TOLERANCE = 1e-5
"""Largest difference of a probability between machines, library versions and batch sizes."""
ROWS = 64
PROBE_ROWS = 256
PROBE_S = 0.5
_SIZES = (1, 2, 7, ROWS)


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause and how the model keeps it."""

    name: str
    kept: bool | None
    """None where it could not be tried."""
    found: str


def examine(uri: str) -> list[Clause]:
    """All clauses, tried on the model in folder ``uri`` on the processor; only the first where it cannot be opened."""
    try:
        model, golden = tried(uri), read_golden(uri)
        reference = load_reference(uri, steps=model.card.recipe.steps)
    except InputError as error:
        return [Clause("files", False, str(error))]
    files = Clause("files", True, "card, weights and their SHA-256 are in order")
    return [files, *examine_model(model, golden, uri), _familiarity(model.card, reference, golden)]


def tried(uri: str) -> Classifier:
    """The model in folder ``uri`` on the processor; one that takes several cut-offs at its first, where it has most to
    predict."""
    card, weights = read_model(uri)
    return open_model(card.cut(card.takes[0]), weights)


def examine_model(model: Classifier, golden: bytes | None, place: str) -> list[Clause]:
    """The clauses about what a model says, tried on one that is open; none after one that cannot be tried."""
    clauses: list[Clause] = []
    try:
        for clause in _behaviour(model, golden, place):
            clauses.append(clause)
    except InputError as error:
        clauses.append(Clause("every batch", False, str(error)))
    return clauses


def _familiarity(card: Card, reference: Reference | None, golden: bytes | None) -> Clause:
    """Whether what tells the familiar still tells what it told when it was written, and of every row by itself."""
    if reference is None:
        return Clause("familiarity", None, "the model cannot tell land unlike its training's")
    x = made_rows(card, ROWS)
    whole = reference.familiarity(x, card)
    alone = np.concatenate([reference.familiarity(x[i : i + 1], card) for i in range(len(x))])
    if not np.array_equal(alone, whole):
        return Clause("familiarity", False, "other rows change what it says of a row")
    told = None if golden is None else golden_familiarity(golden)
    if golden is None or told is None:
        return Clause("familiarity", None, "the golden pair says nothing of it")
    found = reference.familiarity(golden_pair(golden, "golden pair")[0], card)
    gap = int(np.abs(found.astype(int) - told).max()) if found.shape == told.shape else 100
    return Clause("familiarity", gap <= 1, f"largest difference {gap} of at most 1 percentage point")


def throughput(model: Classifier) -> float:
    """Rows per second on one thread, in passes of ``PROBE_ROWS`` rows, for about half a second."""
    from threadpoolctl import threadpool_limits

    x = made_rows(model.card, PROBE_ROWS)
    with threadpool_limits(1):
        model.predict(x)  # the first pass allocates
        began, passes = time.perf_counter(), 0
        while passes == 0 or time.perf_counter() - began < PROBE_S:
            model.predict(x)
            passes += 1
        return passes * PROBE_ROWS / (time.perf_counter() - began)


def made_rows(card: Card, n: int) -> NDArray[np.float32]:
    """(n, *card.input_shape) float32 within a tenth of the card's scaling, every eighth row without its first feature.

    Equal cards give equal rows.
    """
    span = np.subtract(card.upper, card.lower)
    x = np.random.default_rng(0).uniform(-0.1, 1.1, (n, *card.input_shape))
    wide = (len(span), *(1 for _ in card.input_shape[2:]))
    x = x * span.reshape(wide) + np.reshape(card.lower, wide)
    x[::8, :, 0] = np.nan
    return x.astype(np.float32)


def _golden(model: Classifier, golden: bytes, place: str) -> Clause:
    x, expected = golden_pair(golden, place)
    found = model.predict(x)
    if found.shape != expected.shape:
        return Clause("golden pair", False, f"probabilities {found.shape}, {expected.shape} when it was written")
    equal = np.array_equal(found, expected)
    return _within("golden pair", found, expected, "equal to the bit" if equal else "")


def _behaviour(model: Classifier, golden: bytes | None, place: str) -> Iterator[Clause]:
    """The golden pair, then the clauses about rows: their company, their order, and rows without data."""
    yield _golden(model, golden, place) if golden else Clause("golden pair", None, "the model has none")
    x, k = made_rows(model.card, ROWS), len(model.card.classes)
    whole = model.predict(x)
    yield Clause("classes", whole.shape == (ROWS, k), f"{ROWS} rows give {whole.shape}, the card has {k} classes")
    yield _distribution("probabilities", whole)
    parts = [np.concatenate([model.predict(x[i : i + size]) for i in range(0, len(x), size)]) for size in _SIZES]
    worst = max(parts, key=lambda part: _gap(part, whole))
    yield _within("batch size", worst, whole, f"in batches of {', '.join(map(str, _SIZES))}")
    order = np.random.default_rng(1).permutation(len(x))
    again = model.predict(x[order])
    equal = np.array_equal(again, whole[order])
    found = (
        "equal to the bit in any order" if equal else f"other bits in another order, {_gap(again, whole[order]):.2g}"
    )
    yield Clause("batch order", equal, found)
    bare = x.copy()
    bare[::2] = np.nan
    blind = model.predict(bare)
    yield _distribution("no data", blind[::2])
    yield _within("no data beside data", blind[1::2], whole[1::2], "rows beside rows without data")


def _distribution(name: str, p: NDArray[np.float32]) -> Clause:
    """Kept where every row is finite, within 0 and 1, and sums to 1."""
    if not np.isfinite(p).all():
        return Clause(name, False, f"{int((~np.isfinite(p)).any(axis=1).sum())} of {len(p)} rows are not finite")
    off = float(np.abs(p.sum(axis=1, dtype=np.float64) - 1).max())
    good = off <= TOLERANCE and float(p.min()) >= 0
    return Clause(name, good, f"rows sum to 1 within {off:.2g}, least probability {float(p.min()):.2g}")


def _within(name: str, found: NDArray[np.float32], expected: NDArray[np.float32], words: str) -> Clause:
    gap = _gap(found, expected)
    text = f"largest difference {gap:.2g} of at most {TOLERANCE:g}"
    return Clause(name, gap <= TOLERANCE, f"{words}: {text}" if words else text)


def _gap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """The largest difference; infinite where one is not finite."""
    gap = np.abs(a.astype(np.float64) - b)
    return float(gap.max()) if np.isfinite(gap).all() else float("inf")
