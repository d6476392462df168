"""The golden pair: some rows of input and what a model made of them when it was written.

It lies beside the weights as ``golden.safetensors`` and tells, on any machine and with any later version of a library,
whether the model still says what it said.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from engine.errors import InputError
from engine.models.card import Card
from engine.models.familiarity import Reference

GOLDEN_NAME = "golden.safetensors"
ROWS = 16


class Predicts(Protocol):
    """What of a classifier is asked here."""

    @property
    def card(self) -> Card: ...

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]: ...


def golden_rows(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """``ROWS`` rows of samples (n, t, f, ...) float32, spread evenly, the last one's first feature made missing."""
    rows = np.array(x[np.unique(np.linspace(0, len(x) - 1, ROWS).astype(np.int64))], np.float32)
    rows[-1, :, 0] = np.nan
    return rows


def golden_bytes(classifier: Predicts, x: NDArray[np.float32], reference: Reference | None = None) -> bytes:
    """The pair as safetensors bytes: x (n, t, f, ...) float32 in physical units, NaN for missing, p (n, k) float32;
    with a reference ``familiarity`` (n,) uint8 as well."""
    arrays: dict[str, NDArray] = {"x": np.ascontiguousarray(x), "p": np.ascontiguousarray(classifier.predict(x))}
    if reference is not None:
        arrays["familiarity"] = reference.familiarity(x, classifier.card)
    return save(arrays)


def with_golden(card: Card, golden: bytes) -> Card:
    """The card that names this golden pair."""
    return card.model_copy(update={"golden_sha256": hashlib.sha256(golden).hexdigest()})


def golden_pair(data: bytes, place: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x and p of ``golden_bytes``; InputError where the bytes are no such pair."""
    try:
        arrays = load(data)
        return arrays["x"], arrays["p"]
    except (SafetensorError, KeyError) as error:
        raise InputError(
            f"no golden pair ({type(error).__name__}: {error})", place=place, remedy="copy the model folder again"
        ) from error


def golden_familiarity(data: bytes) -> NDArray[np.uint8] | None:
    """What of ``golden_bytes`` tells how familiar the rows were, None where nothing does."""
    return load(data).get("familiarity")
