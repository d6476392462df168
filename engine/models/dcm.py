"""DeepCropMapping (Xu et al. 2020, Remote Sensing of Environment 247, 111946): attention over a recurrent network.

Two bidirectional LSTM layers of 512 units a direction with dropout 0.5 between them; each step gets one score,
ReLU(w h + b); a softmax over the steps weighs their sum; one dense layer. 512 is what the number of parameters in Kong
et al. 2025 implies; the authors' own code has 256.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

UNITS = 512
DROPOUT = 0.5


class DeepCropMapping(nn.Module):
    """The network of the module's docstring. x: (n, t, f) float32 scaled to 0 to 1 -> logits (n, k) float32."""

    def __init__(self, steps: int, features: int, classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, UNITS, 2, batch_first=True, bidirectional=True, dropout=DROPOUT)
        self.score = nn.Linear(2 * UNITS, 1)
        self.out = nn.Linear(2 * UNITS, classes)

    def forward(self, x: Tensor) -> Tensor:
        h, _ = self.lstm(x)
        weight = torch.softmax(relu(self.score(h)), dim=1)
        return self.out((weight * h).sum(dim=1))
