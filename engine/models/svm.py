"""Support vector machine (Cortes and Vapnik 1995) with a radial kernel on the flattened series, evaluated here.

scikit-learn fits it (``engine.training.support``); what is kept are plain arrays in safetensors. A pair of classes
(i, j), i < j, is decided by f_ij(x) = Σ_s c_s exp(-gamma |x - s|²) + b_ij, above 0 for i, on standardised input, as in
libsvm (Chang and Lin 2011, section 7). A class' logit is Σ_j log sigmoid(2 f_ij), the chance to win all its pairs.
Compared on made series of 3, 6 and 9 classes after temperature scaling: log-likelihood -0.17, -0.65 and -1.37, where
scikit-learn's votes with tie-break give -0.23, -0.72 and -1.43 and the mean of f_ij gives -0.18, -0.70 and -1.38, the
accuracy being the same within 0.01.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from engine.errors import InputError
from engine.models.card import Card
from engine.models.classifier import Calibrated

BLOCK = 128
"""Rows of every matrix product, the last ones padded: BLAS adds up in another order at the edge of a matrix or for
another number of rows, and so a row's result would depend on its place."""


class SupportVectors(Calibrated):
    """A trained support vector machine; see ``engine.models.package.Classifier`` for its promise. A row's result
    depends on the row alone, not even on ``len(x)``."""

    def __init__(self, card: Card, weights: bytes) -> None:
        super().__init__(card)
        arrays = _checked(weights, card)
        self._mean, self._scale = arrays["mean"], arrays["scale"]
        self._vectors = arrays["vectors"].astype(np.float64)
        self._norms = np.einsum("sd,sd->s", self._vectors, self._vectors)
        self._gamma = float(arrays["gamma"][0])
        ends = np.cumsum(arrays["counts"])
        self._own = [slice(end - count, end) for end, count in zip(ends, arrays["counts"], strict=True)]
        self._coefficients = [np.ascontiguousarray(arrays["coefficients"][:, own].T) for own in self._own]
        self._intercepts = arrays["intercepts"]

    def _forward(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        k = len(self._own)
        logits = np.empty((len(scaled), k), np.float32)
        for start in range(0, len(scaled), BLOCK):
            stop = min(start + BLOCK, len(scaled))
            rows = np.zeros((BLOCK, self._vectors.shape[1]), np.float32)
            rows[: stop - start] = standardised(scaled[start:stop], self._mean, self._scale)
            logits[start:stop] = _log_chances(self._decisions(rows), k)[: stop - start]
        return logits

    def decisions(self, scaled: NDArray[np.float32]) -> NDArray[np.float64]:
        """f_ij of every pair i < j in lexical order, (n, k (k - 1) / 2) float64, of input already scaled."""
        return self._decisions(standardised(scaled, self._mean, self._scale))

    def _decisions(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        x = rows.astype(np.float64)
        distances = np.einsum("nd,nd->n", x, x)[:, None] + self._norms - 2.0 * (x @ self._vectors.T)
        kernel = np.exp(-self._gamma * np.maximum(distances, 0.0))
        sums = [kernel[:, own] @ part for own, part in zip(self._own, self._coefficients, strict=True)]
        pairs = [sums[i][:, j - 1] + sums[j][:, i] for i, j in combinations(range(len(sums)), 2)]
        return np.stack(pairs, axis=1) + self._intercepts


def standardised(
    scaled: NDArray[np.float32], mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float32]:
    """(n, t, f) scaled input as rows (n, t * f) float32 of mean 0 and deviation 1 over the training part."""
    return ((scaled.reshape(len(scaled), -1) - mean) / scale).astype(np.float32)


def to_bytes(arrays: Mapping[str, NDArray]) -> bytes:
    """The arrays that ``SupportVectors`` reads, as safetensors bytes.

    With d inputs, s support vectors in order of their class and k classes: mean, scale (d,) float64; gamma (1,)
    float64; vectors (s, d) float32; counts (k,) int64 support vectors of each class; coefficients (k - 1, s) float64,
    those of a class against every other in order; intercepts (k (k - 1) / 2,) float64.
    """
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _log_chances(decisions: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """(n, pairs) -> (n, k): the sum over its pairs of the logarithm of a class' chance to win."""
    out = np.zeros((len(decisions), k))
    for column, (i, j) in enumerate(combinations(range(k), 2)):
        out[:, i] -= np.logaddexp(0.0, -2.0 * decisions[:, column])
        out[:, j] -= np.logaddexp(0.0, 2.0 * decisions[:, column])
    return out


def _checked(weights: bytes, card: Card) -> dict[str, NDArray]:
    """The arrays, of the card's shapes and finite; InputError otherwise."""
    place = f"model {card.name}, {card.weights}"
    try:
        arrays = load(weights)
    except SafetensorError as error:
        raise InputError(
            f"weights that are no svm of this card ({error})", place=place, remedy="train the model anew"
        ) from error
    d, k = card.recipe.steps * len(card.recipe.features), len(card.classes)
    s = len(arrays.get("vectors", ()))
    expected: dict[str, tuple[tuple[int, ...], type]] = {
        "mean": ((d,), np.float64), "scale": ((d,), np.float64), "gamma": ((1,), np.float64),
        "vectors": ((s, d), np.float32), "counts": ((k,), np.int64), "coefficients": ((k - 1, s), np.float64),
        "intercepts": ((k * (k - 1) // 2,), np.float64),
    }  # fmt: skip
    found = {name: (array.shape, array.dtype.type) for name, array in arrays.items()}
    if found != expected or arrays["counts"].min() < 0 or arrays["counts"].sum() != s:
        raise InputError(
            f"weights that are no svm of this card: {found}",
            expected=f"{d} inputs, {k} classes and their support vectors",
            place=place,
            remedy="train the model anew",
        )
    if not all(np.isfinite(array).all() for array in arrays.values()) or not (arrays["scale"] > 0).all():
        raise InputError("weights that are not finite", place=place, remedy="train the model anew")
    return arrays
