"""AgriSpec: convolutions, a recurrent network and attention over the series of a parcel (or pixel), for transfer
between seasons.

Three times [convolution over time 64, 128, 128, kernel 7, same; batch norm; ReLU], dropout 0.3, two bidirectional GRU
layers of 64 units a direction, additive attention over the steps, a latent vector of 128; a class head and a domain
head of 64 hidden units each. The source is a product page; kernel 7 and 64 units a direction are the reading whose
376,467 parameters (17 classes, 2 domains) come nearest to the 380,000 that it states.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

FILTERS = (64, 128, 128)
KERNEL = 7
UNITS = 64
LATENT = 128
HIDDEN = 64
DROPOUT = 0.3
DOMAINS = 2


class AgriSpec(nn.Module):
    """The network of the module's docstring. x: (n, t, f) float32 scaled to 0 to 1 -> logits (n, k) float32."""

    def __init__(self, steps: int, features: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((features, *FILTERS)):
            layers += [nn.Conv1d(before, after, KERNEL, padding="same"), nn.BatchNorm1d(after), nn.ReLU()]
        self.convs = nn.Sequential(*layers, nn.Dropout(DROPOUT))
        self.gru = nn.GRU(FILTERS[-1], UNITS, 2, batch_first=True, bidirectional=True, dropout=DROPOUT)
        self.query = nn.Linear(2 * UNITS, 2 * UNITS)
        self.score = nn.Linear(2 * UNITS, 1, bias=False)
        self.latent = nn.Linear(2 * UNITS, LATENT)
        self.classes = _head(classes)
        self.domains = _head(DOMAINS)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(self.encode(x))

    def encode(self, x: Tensor) -> Tensor:
        """The latent vectors (n, 128) float32 that both heads look at."""
        h, _ = self.gru(self.convs(x.transpose(1, 2)).transpose(1, 2))
        weight = torch.softmax(self.score(torch.tanh(self.query(h))), dim=1)
        return self.latent((weight * h).sum(dim=1))


def _head(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, width))
