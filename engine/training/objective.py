"""What a training step asks: how wrong is the network on this batch?

The loop knows batches, epochs and early stopping; an objective knows losses. One that learns something itself (weights
of its parts, a count of its steps) gives it to the checkpoint as its state.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.training.adversarial import Adversarial
from engine.training.balance import MixUp, class_weights, epoch_order
from engine.training.cascade import Cascade
from engine.training.options import TrainOptions
from engine.training.parts import Part


class Objective(Protocol):
    """The loss of a training. Made once per training, asked once per batch; it draws from torch's random numbers alone,
    which a checkpoint holds."""

    def loss(self, network: nn.Module, x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
        """The loss of one batch, a scalar that the loop differentiates.

        x: (b, ...) float32 scaled to 0 to 1. y: (b,) int64 class indices. rows: (b,) int64, which samples of the
        training part these are. All on the network's device.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold beside network and optimiser; nothing else may change from batch to batch."""
        ...

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from what ``state`` gave."""
        ...


@runtime_checkable
class Adapting(Protocol):
    """What an objective says besides where it adapts a network to something other than the labels."""

    def ripe(self) -> bool:
        """Whether an epoch may be chosen yet, and early stopping may begin to count."""
        ...

    def notes(self, network: nn.Module, source: Tensor) -> dict[str, Any]:
        """JSON-able remarks on the finished network; source: (n, ...) float32 scaled, the validation part."""
        ...


class CrossEntropy:
    """Mean cross-entropy over the batch, each sample's multiplied by its class' weight where weights are given.

    weights: (k,) float32 on the network's device.
    """

    def __init__(self, weights: Tensor | None = None) -> None:
        self._weights = weights

    def loss(self, network: nn.Module, x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
        if self._weights is None:
            return nn.functional.cross_entropy(network(x), y)
        # Divided by the samples, not by their weights: a batch without rare samples then weighs less, as it should.
        return nn.functional.cross_entropy(network(x), y, self._weights, reduction="sum") / len(y)

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        assert not state, f"cross-entropy keeps no state, got {sorted(state)}"


def objective_for(
    options: TrainOptions, train: Part, classes: int, device: torch.device, target: NDArray[np.float32] | None = None
) -> Objective:
    """The objective that the options ask for, to be asked on batches of ``train``; with ``target``, unlabelled series
    (m, t, f) float32 scaled likewise, one that adapts the network to them."""
    if train.seasons is not None:
        return Cascade(options.cascade, train.seasons.followed, device, train.seasons)
    if options.family == "clec" and train.later is not None:
        return Cascade(options.cascade, train.later, device)
    y = torch.from_numpy(train.y).to(device)
    if options.imbalance == "mixup":
        return MixUp(torch.from_numpy(train.x).to(device), y)
    plain = CrossEntropy(class_weights(y, classes) if options.imbalance == "balanced_loss" else None)
    if target is None:
        return plain
    epoch = len(epoch_order(y.cpu(), options.imbalance == "oversample")[0])
    batches = epoch // options.batch + (epoch % options.batch > 1)  # the loop leaves a batch of one out
    return Adversarial(plain, torch.from_numpy(target).to(device), options.epochs * batches)
