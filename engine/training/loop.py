"""Gradient descent for networks: Adam on an objective's loss, early stopping on the validation blocks' macro-F1."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch import Tensor, nn

from engine.accuracy import confusion, score
from engine.errors import TilthError
from engine.memory import keep_freed
from engine.models.convstar import StarLayer
from engine.models.series import Shape, build, parameter_count, to_bytes, torch_device
from engine.training.balance import epoch_order, turned
from engine.training.cascade import Cascade
from engine.training.descent import Descent
from engine.training.objective import Adapting, objective_for
from engine.training.options import TrainOptions
from engine.training.parts import Hooks, Part, Progress, Trained, portions

WEIGHT_DECAY = 1e-6
ADAPTING_WEIGHT_DECAY = 1e-4
LARGEST_GRADIENT = 1.0
"""Norm to which gradients of recurrent networks are cut: over many steps they may explode."""
_PATCH_AXES = 5
"""Axes of patches (n, t, f, s, s); series have three."""


def descend(
    train: Part,
    validation: Part,
    classes: int,
    options: TrainOptions,
    progress: Progress | None = None,
    *,
    key: str = "",
    hooks: Hooks | None = None,
    start: bytes | None = None,
    target: NDArray[np.float32] | None = None,
) -> Trained:
    """Train a network of ``options.family`` and return its weights of the epoch that was best on ``validation``, the
    first of equals.

    The learning rate falls from ``options.learning_rate`` to a hundredth along a cosine over the epochs. Seeds, thread
    count and algorithms are fixed for the time of the call and put back after it. A checkpoint of the same ``key``
    among ``hooks`` is gone on from, to the same bytes. ``start``: safetensors bytes of a network alike to begin as.
    ``target``: unlabelled series (m, t, f) float32 scaled, of a season to adapt to; ``validation`` had better be of a
    season that ``train`` has not, since without labels nothing else tells how well the network crosses seasons.
    """
    hooks = hooks or Hooks()
    with _reproducible(options):
        device = torch_device(options.device)
        network = _network(train, classes, options, start).to(device)
        optimiser = _optimiser(network, options, target is not None)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.epochs, options.learning_rate / 100)
        descent = Descent(network, optimiser, schedule, objective_for(options, train, classes, device, target))
        _go_down(descent, (train, validation), options, progress, key=key, hooks=hooks)
        network.load_state_dict(descent.best)
        notes: dict[str, Any] = {"best_epoch": descent.best_epoch, "epochs": descent.epoch}
        notes["validation_macro_f1"] = round(descent.best_f1, 6)
        if isinstance(descent.objective, Adapting):
            notes |= descent.objective.notes(network, torch.from_numpy(validation.x).to(device))
        return Trained(to_bytes(network), parameter_count(network), notes)


def _network(train: Part, classes: int, options: TrainOptions, start: bytes | None) -> nn.Module:
    steps, features = train.x.shape[1:3]
    later = 0 if train.later is None else train.later.shape[1]
    shape = Shape(
        steps, features, classes, 2 * options.halo + 1, later, options.cascade.variant,
        train.seasons is not None, options.cascade.mask_channel,
    )  # fmt: skip
    network = build(options.family, shape)
    if start is not None:
        network.load_state_dict(load(start))
    return network


def _optimiser(network: nn.Module, options: TrainOptions, adapts: bool) -> torch.optim.Optimizer:
    if adapts:
        return torch.optim.AdamW(network.parameters(), lr=options.learning_rate, weight_decay=ADAPTING_WEIGHT_DECAY)
    return torch.optim.Adam(network.parameters(), lr=options.learning_rate, weight_decay=WEIGHT_DECAY)


def _go_down(
    descent: Descent,
    parts: tuple[Part, Part],
    options: TrainOptions,
    progress: Progress | None,
    *,
    key: str,
    hooks: Hooks,
) -> None:
    """All epochs, from the checkpoint where there is one of this key."""
    checkpoint = hooks.checkpoint
    if checkpoint and (data := checkpoint.load(key)) and descent.restore(data) and hooks.resumed:
        hooks.resumed(descent.epoch)
    try:
        for loss, val_f1 in _epochs(descent, *parts, options, hooks.batch):
            if checkpoint:
                checkpoint.offer(descent.to_bytes(key))
            if progress is not None:
                progress(descent.epoch, options.epochs, loss, val_f1)
    except TilthError:  # asked to end: the last whole epoch is kept
        if checkpoint:
            checkpoint.flush()
        raise


def _epochs(
    descent: Descent,
    train: Part,
    validation: Part,
    options: TrainOptions,
    told: Callable[[int, float], None] | None,
) -> Iterator[tuple[float, float]]:
    """(mean loss, validation macro-F1) of every epoch until the last, or until validation gains no more."""
    device = next(descent.network.parameters()).device
    x, y = torch.from_numpy(train.x).to(device), torch.from_numpy(train.y).to(device)
    while descent.epoch < options.epochs and descent.epoch - descent.gained_epoch < options.patience:
        loss = _one_epoch(descent, (x, y), options, told)
        descent.schedule.step()
        descent.epoch += 1
        val_f1 = _macro_f1(descent.network, validation)
        if isinstance(descent.objective, Adapting) and not descent.objective.ripe():
            descent.gained_epoch = descent.epoch
        else:
            descent.judge(_selection(descent, validation, val_f1))
        yield loss, val_f1


def _macro_f1(network: nn.Module, part: Part) -> float:
    """The macro-F1, of seasons its mean over the cut-offs that they are judged at."""
    logits = [evaluate(network, x) for x, _ in part.judged()]
    return float(np.mean([score(confusion(p.argmax(axis=1), part.y, p.shape[1])).macro_f1 for p in logits]))


def _selection(descent: Descent, validation: Part, macro_f1: float) -> float:
    """What an epoch is chosen by: the macro-F1, or what the objective puts in its place."""
    found: list[float | None] = []
    if isinstance(descent.objective, Cascade):
        ask, network = descent.objective.selection, descent.network
        found = [ask(network, x, later) for x, later in validation.judged() if later is not None]
    by_forecast = [value for value in found if value is not None]
    return float(np.mean(by_forecast)) if by_forecast else macro_f1


def evaluate(network: nn.Module, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (n, k) float32 of scaled input (n, ...) in evaluation mode; the mode is put back after."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        parts = [network(torch.from_numpy(part).to(device)).cpu() for part in portions(x)]
    network.train(was_training)
    return np.asarray(torch.cat(parts).numpy())


def _one_epoch(
    descent: Descent, samples: tuple[Tensor, Tensor], options: TrainOptions, told: Callable[[int, float], None] | None
) -> float:
    """One pass over the samples in random order, rare ones repeated where asked for; the mean loss."""
    x, y = samples
    network, optimiser = descent.network, descent.optimiser
    network.train()
    recurrent = any(isinstance(module, nn.RNNBase | nn.RNNCellBase | StarLayer) for module in network.modules())
    order, repeated = epoch_order(y.cpu(), options.imbalance == "oversample")
    total = torch.zeros((), device=x.device)
    seen = 0
    for rows, again in zip(order.to(x.device).split(options.batch), repeated.split(options.batch), strict=True):
        if len(rows) == 1:  # batch norm has no variance of one sample
            continue
        optimiser.zero_grad(set_to_none=True)
        batch = turned(x[rows], again) if x.ndim == _PATCH_AXES and again.any() else x[rows]
        loss = descent.objective.loss(network, batch, y[rows], rows)
        loss.backward()
        if recurrent:
            nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimiser.step()
        total += loss.detach() * len(rows)
        seen += len(rows)
        if told is not None:
            told(descent.epoch + 1, seen / len(order))
    return float(total) / max(seen, 1)


@contextmanager
def _reproducible(options: TrainOptions) -> Iterator[None]:
    """Seeded, deterministic torch with a fixed number of threads, as it was before on the way out."""
    keep_freed()
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
