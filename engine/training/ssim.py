"""Structural similarity (Wang et al. 2004, IEEE Transactions on Image Processing 13) along time, for scaled series."""

from __future__ import annotations

import torch
from torch import Tensor

LONGEST_WINDOW = 7
_SIGMA_PER_STEP = 1.5 / 7
_C1, _C2 = 0.01**2, 0.03**2
"""(K1 L)^2 and (K2 L)^2 for a data range L of 1. A range of 255, the usual default, would call noise alike."""


def ssim(a: Tensor, b: Tensor, valid: Tensor) -> Tensor:
    """Mean similarity of two sets of series, a scalar float32: 1 where they are equal, about 0 for unrelated ones.

    a, b: (n, p, f), scaled to 0 to 1, p >= 1; what they hold where not ``valid`` is not looked at. valid: (n, p, f)
    bool. Each series of one sample and feature is compared with its counterpart in windows along time, by Gaussian
    means, variances and covariance (biased): 7 steps, or the largest odd number in p, sigma 1.5 of 7; one flat window
    over all of fewer than 3 steps. In a window the valid steps share the weight, and the window counts in the mean by
    the weight its valid steps have. With no valid step at all it is 1.
    """
    if not a.shape == b.shape == valid.shape or a.ndim != 3 or a.shape[1] == 0:
        raise ValueError(
            f"series of shapes {tuple(a.shape)}, {tuple(b.shape)}, {tuple(valid.shape)}, expected (n, p, f)"
        )
    with torch.autocast(a.device.type, enabled=False):
        a, b = (torch.where(valid, series.float(), 0) for series in (a, b))
        weights = windows(a.shape[1]).to(a.device)
        share = _in_windows(weights, valid.float())
        divisor = torch.where(share > 0, share, 1)
        mean_a, mean_b = (_in_windows(weights, series) / divisor for series in (a, b))
        var_a, var_b, covariance = (
            _in_windows(weights, product) / divisor - means
            for product, means in ((a * a, mean_a**2), (b * b, mean_b**2), (a * b, mean_a * mean_b))
        )
        alike = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
        alike = alike / ((mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2))
        total = share.sum()
        return 1 - ((1 - alike) * share).sum() / torch.where(total > 0, total, 1)


def windows(steps: int) -> Tensor:
    """(w, steps) float32: each row the weights of one window, together 1."""
    if steps < 3:
        return torch.full((1, steps), 1 / steps)
    length = min(LONGEST_WINDOW, steps - (steps + 1) % 2)
    offset = torch.arange(length) - length // 2
    weight = torch.exp(-0.5 * (offset / (_SIGMA_PER_STEP * length)) ** 2)
    rows = torch.zeros(steps - length + 1, steps)
    for start, row in enumerate(rows):
        row[start : start + length] = weight / weight.sum()
    return rows


def _in_windows(weights: Tensor, series: Tensor) -> Tensor:
    """(w, p) and (n, p, f) -> weighted sums (n, w, f)."""
    return torch.einsum("wp,npf->nwf", weights, series)
