"""The Transformer encoder that Kong et al. 2025 compare with: BreizhCrops' model (Russwurm et al. 2020), eight times as
wide.

Dense 512 with ReLU; five encoder layers of 8 heads, 1024 hidden units, norm after each; the largest value over time;
ReLU; dense. The original looks at its steps in no order (nothing says where a step stands, and the maximum forgets it),
so sines and cosines of the step are added (Vaswani et al. 2017). The number of heads cannot be told from the number of
parameters; 8 is a choice.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

UNITS = 512
HIDDEN = 1024
LAYERS = 5
HEADS = 8
DROPOUT = 0.1


class Transformer(nn.Module):
    """The network of the module's docstring. x: (n, t, f) float32 scaled to 0 to 1 -> logits (n, k) float32."""

    places: Tensor

    def __init__(self, steps: int, features: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.Linear(features, UNITS)
        layer = nn.TransformerEncoderLayer(UNITS, HEADS, HIDDEN, DROPOUT, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.out = nn.Linear(UNITS, classes)
        self.register_buffer("places", _places(steps), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.encoder(relu(self.embed(x)) + self.places)
        return self.out(relu(h.amax(dim=1)))


def _places(steps: int) -> Tensor:
    """(t, UNITS) float32: sines and cosines of the step at falling frequencies."""
    step = torch.arange(steps, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, UNITS, 2, dtype=torch.float32) * (-math.log(10_000.0) / UNITS))
    return torch.stack([torch.sin(step * rate), torch.cos(step * rate)], dim=-1).flatten(1)
