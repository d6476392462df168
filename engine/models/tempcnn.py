"""TempCNN (Pelletier, Webb and Petitjean 2019, Remote Sensing 11, 523): a temporal convolution per pixel.

Three times [convolution over time 64, kernel 5, same; batch norm; ReLU; dropout 0.5], dense 256 [batch norm; ReLU;
dropout 0.5], dense k. The series is an image of height 1 in channels-last order, and for prediction the batch norms
are folded into the layers before them: 38,000 pixels/s on one core at T = 34, F = 13, micro-batch 512, where Conv1d in
the usual order with its batch norms gave 25,000, and matrix products on an unfolded copy 14,000.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

UNITS = 64
KERNEL = 5
DENSE = 256
DROPOUT = 0.5


class TempCNN(nn.Module):
    """The network of the module's docstring. x: (n, t, f) float32 scaled to 0 to 1 -> logits (n, k) float32."""

    def __init__(self, steps: int, features: int, classes: int) -> None:
        super().__init__()
        widths = (features, UNITS, UNITS, UNITS)
        same = (0, KERNEL // 2)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, (1, KERNEL), padding=same) for a, b in pairwise(widths))
        self.conv_norms = nn.ModuleList(nn.BatchNorm2d(UNITS) for _ in self.convs)
        self.dense = nn.Linear(UNITS * steps, DENSE)
        self.dense_norm: nn.Module = nn.BatchNorm1d(DENSE)
        self.dropout = nn.Dropout(DROPOUT)
        self.out = nn.Linear(DENSE, classes)
        _channels_last(self)

    def forward(self, x: Tensor) -> Tensor:
        h = x.transpose(1, 2).unsqueeze(2)  # (n, f, 1, t), channels last in memory without a copy
        for conv, norm in zip(self.convs, self.conv_norms, strict=True):
            h = self.dropout(relu(norm(conv(h)), inplace=True))
        h = h.squeeze(2).transpose(1, 2).flatten(1)  # (n, t * units), again without a copy
        return self.out(self.dropout(relu(self.dense_norm(self.dense(h)), inplace=True)))

    def for_prediction(self) -> TempCNN:
        """This network for prediction: evaluation mode, batch norms folded into the layers before them, in place.

        Logits differ from the unfolded network's by rounding only (4e-7 at most, measured on random weights).
        """
        self.eval()
        for i, (conv, norm) in enumerate(zip(self.convs, self.conv_norms, strict=True)):
            assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d), "folded twice"
            self.convs[i] = fuse_conv_bn_eval(conv, norm)
            self.conv_norms[i] = nn.Identity()
        assert isinstance(self.dense_norm, nn.BatchNorm1d), "folded twice"
        self.dense = fuse_linear_bn_eval(self.dense, self.dense_norm)
        self.dense_norm = nn.Identity()
        _channels_last(self)
        return self


def _channels_last(network: nn.Module) -> None:
    """Keep convolution kernels channels last, in place, as the series is."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form
