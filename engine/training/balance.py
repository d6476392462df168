"""Rare classes against common ones: repeated samples, weights in the loss, or mixed samples.

The three ways are those of Liu et al. (2023, International Journal of Remote Sensing, doi
10.1080/01431161.2023.2232552); mix-up is Zhang et al. (2018, ICLR). All draw from torch's random numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MIX_ALPHA = 0.2
"""Both parameters of mix-up's Beta distribution; the source does not state its own."""
_TURNS = 8
"""Four rotations, plain and flipped."""


def epoch_order(y: Tensor, oversample: bool) -> tuple[Tensor, Tensor]:
    """The rows of one epoch in random order, and which of them are repetitions.

    Every row comes once; with ``oversample`` rows of rarer classes are drawn again, with replacement, until every
    class has as many as the commonest. y: (n,) int64 class indices, on the CPU. Returns rows (m,) int64 and (m,) bool.
    """
    if not oversample:
        return torch.randperm(len(y)), torch.zeros(len(y), dtype=torch.bool)
    most = int(torch.bincount(y).max())
    drawn = []
    for code in y.unique():
        own = (y == code).nonzero().squeeze(1)
        drawn.append(own[torch.randint(len(own), (most - len(own),))])
    again = torch.cat(drawn)
    rows = torch.cat([torch.arange(len(y)), again])
    shuffled = torch.randperm(len(rows))
    return rows[shuffled], shuffled >= len(y)


def turned(x: Tensor, which: Tensor) -> Tensor:
    """Patches with some of them turned by a quarter, a half or three quarters, or mirrored and turned, at random.

    Exact: pixels change places and nothing is interpolated; the centre stays. x: (b, t, f, s, s), not changed. which:
    (b,) bool, on the CPU.
    """
    turn = torch.where(which, torch.randint(1, _TURNS, which.shape), 0)
    out = x.clone()
    for number in range(1, _TURNS):
        own = (turn == number).nonzero().squeeze(1).to(x.device)
        part = x[own].rot90(number % 4, (-2, -1))
        out[own] = part.flip(-1) if number >= 4 else part
    return out


def class_weights(y: Tensor, classes: int) -> Tensor:
    """Weight of each class in a balanced loss, N / (K n_k), (k,) float32; y: (n,) int64. A class without a sample has
    none, so its weight is of no consequence."""
    return len(y) / (classes * torch.bincount(y, minlength=classes).clamp(min=1)).float()


class MixUp:
    """Cross-entropy of samples mixed with others drawn from all classes alike, and of their labels likewise mixed.

    ``x' = l x + (1 - l) x2`` and loss ``l CE(y) + (1 - l) CE(y2)``, l ~ Beta(0.2, 0.2) for each sample. x: (n, ...)
    float32 scaled to 0 to 1 and y: (n,) int64, the training part.
    """

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self._x, self._y = x, y
        self._sorted = y.cpu().argsort(stable=True)
        counts = torch.bincount(y.cpu())
        self._starts = (counts.cumsum(0) - counts)[counts > 0]
        self._counts = counts[counts > 0]

    def loss(self, network: nn.Module, x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
        partners = self.partners(len(rows)).to(x.device)
        share = torch.distributions.Beta(*torch.full((2,), MIX_ALPHA, dtype=torch.float64)).sample((len(rows),))
        share = share.to(x.device, x.dtype)
        own = share.view(-1, *[1] * (x.ndim - 1))
        logits = network(own * x + (1 - own) * self._x[partners])
        losses = [nn.functional.cross_entropy(logits, labels, reduction="none") for labels in (y, self._y[partners])]
        return (share * losses[0] + (1 - share) * losses[1]).mean()

    def partners(self, count: int) -> Tensor:
        """Rows of the training part (count,), every class as likely as another."""
        code = torch.randint(len(self._counts), (count,))
        place = (torch.rand(count, dtype=torch.float64) * self._counts[code]).long()
        return self._sorted[self._starts[code] + place]

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        assert not state, f"mix-up keeps no state, got {sorted(state)}"
