"""The two-branch 3D-CNN that Teimouri et al. 2023 (PFG) train with virtual labels: one tower per band.

A tower is three times [3-D convolution 32, 32, 64, kernel 3, same; ReLU; max-pooling of 2 x 2 pixels], from the one
band to 64 values a step; towers share no weights. Their values side by side; dense 128 and 64, each with ReLU and
dropout 0.4; dense k. A branch is the towers of one sensor, which may have steps of its own: four optical bands of 6
steps and two of radar of 7 give the paper's network. The paper's 7 -> 3 -> 1 -> 0 pixels cannot be; a remainder counts
as a window here, 7 -> 4 -> 2 -> 1, and convolutions keep every step. Padding and remainders refer to the patch's
border, so there is no exact dense form.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool3d, relu

from engine.errors import InputError
from engine.models.spatial import channels_last, check_size, dense_head

FILTERS = (32, 32, 64)
KERNEL = 3
POOL = (1, 2, 2)
DENSE = (128, 64)
DROPOUT = 0.4


class TwoBranch(nn.Module):
    """The network of the module's docstring.

    x: (n, t, f, s, s) float32 scaled to 0 to 1, s odd -> logits (n, k) float32. ``tower_steps`` gives the number of
    steps of each feature, all ``steps`` if not said; a tower sees the first so many of x and nothing of the rest.
    """

    def __init__(
        self, steps: int, features: int, classes: int, patch: int, *, tower_steps: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        check_size("twobranch", steps, patch)
        self.tower_steps = (steps,) * features if tower_steps is None else tuple(tower_steps)
        if len(self.tower_steps) != features or not all(1 <= own <= steps for own in self.tower_steps):
            raise InputError(
                f"towers of {self.tower_steps} steps",
                expected=f"one number for each of {features} features, from 1 to {steps}",
                place="model family twobranch",
            )
        self.towers = nn.ModuleList(Tower() for _ in self.tower_steps)
        side = -(-patch // 2 ** len(FILTERS))  # halved at each layer, rounded up
        self.head = dense_head(FILTERS[-1] * sum(self.tower_steps) * side**2, DENSE, classes, DROPOUT)
        channels_last(self)

    def forward(self, x: Tensor) -> Tensor:
        bands = zip(self.towers, self.tower_steps, x.unbind(2), strict=True)
        return self.head(torch.cat([tower(band[:, :own]) for tower, own, band in bands], dim=1))


class Tower(nn.Module):
    """Convolutions over one band. band: (n, t, s, s) float32 -> (n, 64 * t * side * side) float32."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv3d(a, b, KERNEL, padding=1) for a, b in pairwise((1, *FILTERS)))

    def forward(self, band: Tensor) -> Tensor:
        h = band.unsqueeze(1)
        for conv in self.convs:
            h = max_pool3d(relu(conv(h)), POOL, ceil_mode=True)
        return h.flatten(1)
