"""How much of what is mapped lies beyond the range of values that a model was trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.models.card import Card
from engine.types import FeatureBlock

SAMPLED = 16
"""One pixel of so many is looked at: shares are wanted, and a hundred thousand of them tell a thousandth."""

Classify = Callable[[FeatureBlock, NDArray[np.intp], NDArray[np.intp]], Any]


class Ranges:
    """Counts of a tile's feature values below and above the card's range, the 1st and the 99th percentile of the
    training; of patches, those of the pixel that is classified."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._counts = np.zeros((3, len(card.recipe.features)), np.int64)
        self._seen = 0

    def watching(self, classify: Classify) -> Classify:
        """``classify``, its input counted on the way."""

        def watched(features: FeatureBlock, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> Any:
            self.count(features, rows, cols)
            return classify(features, rows, cols)

        return watched

    def count(self, features: FeatureBlock, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> None:
        """Count every sixteenth of these pixels, the first of a tile among them. rows, cols: as
        ``engine.predict.cut`` takes them."""
        halo, every = self._card.halo, slice(-self._seen % SAMPLED, None, SAMPLED)
        self._seen += len(rows)
        x = features.x[:, :, rows[every] + halo, cols[every] + halo]  # (t, f, n)
        low, high = (np.asarray(bound, np.float32)[:, None] for bound in (self._card.lower, self._card.upper))
        for place, hits in enumerate((~np.isnan(x), x < low, x > high)):
            self._counts[place] += hits.sum(axis=(0, 2))

    def told(self) -> dict[str, list[int]]:
        """For the tile's record: per feature the values looked at, and those below and above."""
        return dict(zip(("values", "below", "above"), self._counts.tolist(), strict=True))


def ranges(card: Card, counted: Iterable[Mapping[str, list[int]]]) -> dict[str, dict[str, float]]:
    """Feature -> share of the values ``below`` and ``above`` the card's range, over these tiles, as ``Ranges.told``
    gives them; features without a value are left out."""
    sums = {name: np.zeros(len(card.recipe.features), np.int64) for name in ("values", "below", "above")}
    for counts in counted:
        for name, column in sums.items():
            column += np.asarray(counts[name], np.int64)
    return {
        feature: {name: round(int(sums[name][i]) / int(sums["values"][i]), 6) for name in ("below", "above")}
        for i, feature in enumerate(card.recipe.features)
        if sums["values"][i]
    }
