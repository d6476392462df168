"""Growing a random forest."""

from __future__ import annotations

from sklearn.ensemble import RandomForestClassifier

from engine.models.forest import node_count, to_bytes
from engine.training.options import TrainOptions
from engine.training.parts import Part, Trained

MIN_LEAF = 2
"""Leaves of one sample double the file and only repeat the labels' own errors."""


def grow(train: Part, options: TrainOptions) -> Trained:
    """A forest on the flattened series of ``train``; trees are seeded one by one, so threads do not change them."""
    forest = RandomForestClassifier(
        options.trees,
        min_samples_leaf=MIN_LEAF,
        random_state=options.seed,
        n_jobs=options.threads,
        class_weight="balanced" if options.imbalance == "balanced_loss" else None,
    )
    forest.fit(train.x.reshape(len(train.x), -1), train.y)
    return Trained(to_bytes(forest), node_count(forest), {"trees": options.trees})
