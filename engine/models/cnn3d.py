"""The 3D-CNN of Ji et al. 2018 (Remote Sensing 10, 75), as Liu et al. 2023 compare with it.

Three times [3-D convolution 32, 32, 64, kernel 3, same; ReLU], the second and third followed by max-pooling of 2 x 2
pixels (a remainder counts as a window: 11 -> 6 -> 3) that keeps every step; dense 256 with ReLU and dropout 0.5; dense
k. Ji's table of layers was not at hand: this is our reading, 3,920,804 parameters at 26 steps of 3 features, 4 classes
and patches of 11. Padding and remainders refer to the patch's border, so there is no exact dense form.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool3d, relu

from engine.models.spatial import channels_last, check_size, dense_head

FILTERS = (32, 32, 64)
KERNEL = 3
POOL = (1, 2, 2)
DENSE = 256
DROPOUT = 0.5


class CNN3D(nn.Module):
    """The network of the module's docstring.

    x: (n, t, f, s, s) float32 scaled to 0 to 1, s odd -> logits (n, k) float32.
    """

    def __init__(self, steps: int, features: int, classes: int, patch: int) -> None:
        super().__init__()
        check_size("cnn3d", steps, patch)
        convs = (nn.Conv3d(a, b, KERNEL, padding=1) for a, b in pairwise((features, *FILTERS)))
        self.conv1, self.conv2, self.conv3 = convs
        side = -(-patch // 4)  # halved twice, rounded up
        self.head = dense_head(FILTERS[-1] * steps * side**2, (DENSE,), classes, DROPOUT)
        channels_last(self)

    def forward(self, x: Tensor) -> Tensor:
        h = relu(self.conv1(x.transpose(1, 2).contiguous(memory_format=torch.channels_last_3d)))
        h = max_pool3d(relu(self.conv2(h)), POOL, ceil_mode=True)
        h = max_pool3d(relu(self.conv3(h)), POOL, ceil_mode=True)
        return self.head(h.flatten(1))
