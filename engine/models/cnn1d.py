"""The 1D-CNN of CLEC (Kong et al. 2025, Remote Sensing 17, 1783), by itself: a temporal convolution per pixel.

Convolution over time 128, 64, 32, kernel 3, same, each with ReLU, the second and third followed by max-pooling of 2;
then one dense layer. The paper calls 128, 64 and 32 kernel sizes; its number of parameters shows that they are filters.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import max_pool1d, relu

from engine.errors import InputError

FILTERS = (128, 64, 32)
KERNEL = 3


class CNN1D(nn.Module):
    """The network of the module's docstring. x: (n, t, f) float32 scaled to 0 to 1, t >= 4 -> logits (n, k) float32."""

    def __init__(self, steps: int, features: int, classes: int) -> None:
        super().__init__()
        if steps < 4:
            raise InputError(
                f"{steps} steps", expected="4 or more: they are halved twice", place="season",
                remedy="a longer season, or another model.train.family than cnn1d",
            )  # fmt: skip
        first, second, third = FILTERS
        self.conv1 = nn.Conv1d(features, first, KERNEL, padding="same")
        self.conv2 = nn.Conv1d(first, second, KERNEL, padding="same")
        self.conv3 = nn.Conv1d(second, third, KERNEL, padding="same")
        self.out = nn.Linear(third * (steps // 2 // 2), classes)

    def forward(self, x: Tensor) -> Tensor:
        h = relu(self.conv1(x.transpose(1, 2)))
        h = max_pool1d(relu(self.conv2(h)), 2)
        h = max_pool1d(relu(self.conv3(h)), 2)
        return self.out(h.flatten(1))
