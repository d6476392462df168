"""Gradient descent for networks: Adam on an objective's loss, early stopping on the validation blocks' macro-F1."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.accuracy import confusion, score
from engine.models.series import NETWORKS, parameter_count, to_bytes, torch_device
from engine.training.objective import Objective, objective_for
from engine.training.options import TrainOptions
from engine.training.parts import Part, Progress, Trained

WEIGHT_DECAY = 1e-6
MIN_GAIN = 1e-3
"""A smaller rise of the validation score is kept, but does not keep training going."""
LARGEST_GRADIENT = 1.0
"""Norm to which gradients of recurrent networks are cut: over many steps they may explode."""
_EVALUATION_BATCH = 1024


def descend(
    train: Part, validation: Part, classes: int, options: TrainOptions, progress: Progress | None = None
) -> Trained:
    """Train a network of ``options.family`` and return its weights of the epoch that was best on ``validation``, the
    first of equals.

    The learning rate falls from ``options.learning_rate`` to a hundredth along a cosine over the epochs. Seeds, thread
    count and algorithms are fixed for the time of the call and put back after it.
    """
    with _reproducible(options):
        return _descend(train, validation, classes, options, progress)


def _descend(train: Part, validation: Part, classes: int, options: TrainOptions, progress: Progress | None) -> Trained:
    device = torch_device(options.device)
    steps, features = train.x.shape[1:3]
    network = NETWORKS[options.family](steps, features, classes).to(device)
    objective = objective_for(options, train, classes, device)
    optimiser = torch.optim.Adam(network.parameters(), lr=options.learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.epochs, options.learning_rate / 100)
    x, y = torch.from_numpy(train.x).to(device), torch.from_numpy(train.y).to(device)
    best_epoch, best_f1, best_state = 0, -1.0, _copy(network)
    epoch, gained_epoch, gained_f1 = 0, 0, -1.0
    for epoch in range(1, options.epochs + 1):
        loss = _one_epoch(network, optimiser, objective, (x, y), options.batch)
        schedule.step()
        logits = evaluate(network, validation.x)
        val_f1 = score(confusion(logits.argmax(axis=1), validation.y, classes)).macro_f1
        if val_f1 > best_f1:
            best_epoch, best_f1, best_state = epoch, val_f1, _copy(network)
        if val_f1 > gained_f1 + MIN_GAIN:
            gained_epoch, gained_f1 = epoch, val_f1
        if progress is not None:
            progress(epoch, options.epochs, loss, val_f1)
        if epoch - gained_epoch >= options.patience:
            break
    network.load_state_dict(best_state)
    notes = {"best_epoch": best_epoch, "epochs": epoch, "validation_macro_f1": round(best_f1, 6)}
    return Trained(to_bytes(network), parameter_count(network), notes)


def evaluate(network: nn.Module, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (n, k) float32 of scaled input (n, ...) in evaluation mode; the mode is put back after."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        parts = [network(torch.from_numpy(part).to(device)).cpu() for part in _batches(x)]
    network.train(was_training)
    return np.asarray(torch.cat(parts).numpy())


def _one_epoch(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    objective: Objective,
    samples: tuple[Tensor, Tensor],
    batch: int,
) -> float:
    """One pass over the samples in random order; the mean loss."""
    x, y = samples
    network.train()
    recurrent = any(isinstance(module, nn.RNNBase) for module in network.modules())
    order = torch.randperm(len(x)).to(x.device)
    total = torch.zeros((), device=x.device)
    seen = 0
    for rows in order.split(batch):
        if len(rows) == 1:  # batch norm has no variance of one sample
            continue
        optimiser.zero_grad(set_to_none=True)
        loss = objective.loss(network, x[rows], y[rows], rows)
        loss.backward()
        if recurrent:
            nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimiser.step()
        total += loss.detach() * len(rows)
        seen += len(rows)
    return float(total) / max(seen, 1)


def _batches(x: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(x), _EVALUATION_BATCH):
        yield x[start : start + _EVALUATION_BATCH]


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


@contextmanager
def _reproducible(options: TrainOptions) -> Iterator[None]:
    """Seeded, deterministic torch with a fixed number of threads, as it was before on the way out."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    if options.device != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS refuses to be deterministic without
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        torch.set_num_threads(options.threads)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict)
            torch.set_num_threads(threads)
