"""What every classifier shares: it holds a card, scales by it, and turns logits into calibrated probabilities by it."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from engine.models.card import Card
from engine.models.scaling import normalise, probabilities


class Calibrated(ABC):
    """Base of the families; see ``engine.models.package.Classifier`` for the promise. A family gives ``_forward``."""

    def __init__(self, card: Card) -> None:
        self._card = card

    @property
    def card(self) -> Card:
        return self._card

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated probabilities (n, k) float32 of ``x`` (n, t, f) float32, as the protocol says."""
        return probabilities(self.logits(normalise(x, self._card)), self._card.temperature)

    def logits(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (n, k) float32 of input already scaled by ``normalise``."""
        if len(scaled) == 0:  # scikit-learn and recurrent layers refuse it
            return np.empty((0, len(self._card.classes)), np.float32)
        return self._forward(scaled)

    @abstractmethod
    def _forward(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of one row or more."""
