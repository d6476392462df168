"""What the networks over patches have in common: the sizes they take, their dense end, their layout in memory."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from engine.errors import InputError


def check_size(family: str, steps: int, patch: int, *, least_steps: int = 1, least_patch: int = 1) -> None:
    """Refuse a patch without a centre pixel, or input smaller than the network's kernels, with an InputError.

    ``patch``: pixels along each side; the class is that of the centre pixel, so it is odd.
    """
    if patch < least_patch or patch % 2 == 0:
        raise InputError(
            f"patches of {patch} x {patch} pixels",
            expected=f"an odd number along each side, {least_patch} or more",
            place=f"model family {family}",
            remedy="another size of patch, or another family",
        )
    if steps < least_steps:
        raise InputError(
            f"{steps} steps",
            expected=f"{least_steps} or more" + (": its kernels over time need them" if least_steps > 1 else ""),
            place=f"model family {family}",
            remedy="a longer season, shorter steps, or another family",
        )


def dense_head(inputs: int, units: tuple[int, ...], classes: int, dropout: float) -> nn.Sequential:
    """Dense layers of ``units``, each with ReLU and dropout, then one of ``classes`` logits.

    With two threads MKL's product of 5 to 7 or 9 to 11 rows depends on a row's place by rounding; with one thread, or
    with 8 or at least 12 rows, it does not (measured with MKL 2024.2). So a micro-batch should be a multiple of 8.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise((inputs, *units)):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(units[-1], classes))


def channels_last(network: nn.Module) -> None:
    """Keep the kernels of 2-D and 3-D convolutions channels last in memory, in place."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form
        elif isinstance(layer, nn.Conv3d):
            layer.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # the same
