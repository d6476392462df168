"""Model input scaled to 0 to 1 as a card says, and logits made probabilities: the same for training and prediction."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models.card import Card


def normalise(x: NDArray[np.float32], card: Card) -> NDArray[np.float32]:
    """Model input scaled to 0 to 1, the same for training and prediction.

    ``(x - lower) / (upper - lower)`` clipped to [0, 1]; what is missing (NaN) becomes the feature's ``fill`` first.
    Purely element by element, so that a pixel's values do not depend on its neighbours.

    x: (n, t, f) float32, with a halo (n, t, f, s, s), physical units of the recipe's features, NaN = missing; any
    memory order; not changed. Returns the same shape, float32, C-contiguous, no NaN. Raises InputError where the shape
    is not the card's.
    """
    recipe = card.recipe
    if x.shape[1:] != card.input_shape:
        names = ", ".join(recipe.features) + (f"; {card.patch} x {card.patch} px" if card.halo else "")
        raise InputError(
            f"model input of shape {x.shape}",
            expected=f"(n, {recipe.steps} steps, {len(recipe.features)} features: {names})",
            place=f"model {card.name}",
            remedy="derive the features with this model's own recipe",
        )
    return scale(x, card.lower, card.upper, card.fill)


def scale(
    x: NDArray[np.float32], lower: tuple[float, ...], upper: tuple[float, ...], fill: tuple[float, ...]
) -> NDArray[np.float32]:
    """The arithmetic of ``normalise``, for training, where the card does not exist yet."""
    from kernels.pixels import rescale  # brings Numba along

    low, factor, stand_in = _line(lower, upper, fill)
    steps, features, around = x.shape[1], x.shape[2], math.prod(x.shape[3:])
    if around == 1:  # a row of one long series runs five times as fast as one of a few features
        each = (np.tile(line, steps) for line in (low, factor, stand_in))
        return rescale(x.reshape(len(x), steps * features, 1), *each).reshape(x.shape)
    return rescale(x.reshape(len(x) * steps, features, around), low, factor, stand_in).reshape(x.shape)


def _line(
    lower: tuple[float, ...], upper: tuple[float, ...], fill: tuple[float, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Per feature: what is taken away, what the rest is multiplied by, and the fill so scaled."""
    low = np.asarray(lower, np.float32)
    factor = np.float32(1) / (np.asarray(upper, np.float32) - low)
    return low, factor, np.clip((np.asarray(fill, np.float32) - low) * factor, 0, 1)


def probabilities(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Calibrated class probabilities: softmax of ``logits / temperature``, each row on its own.

    logits: (n, k) float32. Returns (n, k) float32, rows sum to 1.
    """
    from kernels.pixels import softmax  # brings Numba along

    return softmax(logits, temperature)
