"""Similarity of series along time, and the forecast's loss that is made of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.training.cascade import prediction_loss
from engine.training.ssim import ssim

LENGTHS = (1, 2, 3, 4, 5, 7, 8, 18)


def made_pair(p: int, n: int = 40, f: int = 3, seed: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Two sets of unrelated series in 0 to 1, and which steps are valid: most, of one series none."""
    rng = np.random.default_rng(seed)
    a, b = (torch.from_numpy(rng.random((n, p, f), np.float32)) for _ in range(2))
    valid = torch.from_numpy(rng.random((n, p, f)) < 0.7)
    valid[0, :, 0] = False
    return a, b, valid


def slow_ssim(a: NDArray, b: NDArray, valid: NDArray) -> float:
    """The same by loops over samples, features and windows, in float64."""
    n, p, f = a.shape
    length = p if p < 3 else min(7, p if p % 2 else p - 1)
    weight = np.ones(length)
    if p >= 3:
        weight = np.exp(-(((np.arange(length) - length // 2) / (1.5 * length / 7)) ** 2) / 2)
    weight /= weight.sum()
    alike = total = 0.0
    for i in range(n):
        for j in range(f):
            for start in range(p - length + 1):
                span = slice(start, start + length)
                w = weight * valid[i, span, j]
                share = w.sum()
                if share == 0:
                    continue
                w, u, v = w / share, a[i, span, j].astype(np.float64), b[i, span, j].astype(np.float64)
                mu, mv = w @ u, w @ v
                su, sv, suv = w @ (u - mu) ** 2, w @ (v - mv) ** 2, w @ ((u - mu) * (v - mv))
                top = (2 * mu * mv + 0.01**2) * (2 * suv + 0.03**2)
                alike += share * top / ((mu**2 + mv**2 + 0.01**2) * (su + sv + 0.03**2))
                total += share
    return alike / total if total else 1.0


@pytest.mark.parametrize("p", LENGTHS)
def test_similarity_agrees_with_plain_loops_with_gaps_and_without(p: int) -> None:
    a, b, valid = made_pair(p)
    for known in (torch.ones_like(valid), valid):
        assert float(ssim(a, b, known)) == pytest.approx(slow_ssim(a.numpy(), b.numpy(), known.numpy()), abs=2e-5)


@pytest.mark.parametrize("p", LENGTHS)
def test_equal_series_are_alike_and_what_is_not_valid_is_not_looked_at(p: int) -> None:
    a, b, valid = made_pair(p)
    assert float(ssim(a, a, valid)) == pytest.approx(1, abs=1e-6)
    holes = torch.where(valid, b, math.nan)
    assert float(ssim(a, holes, valid)) == float(ssim(a, b, valid))
    assert float(ssim(a, b, torch.zeros_like(valid))) == 1
    with pytest.raises(ValueError, match="shapes"):
        ssim(a, b[:, :-1], valid)


def test_unrelated_noise_is_not_alike() -> None:
    """With a data range of 255, many a library's default, it would be 0.997."""
    a, b, valid = made_pair(18, n=400)
    assert abs(float(ssim(a, b, torch.ones_like(valid)))) < 0.1


@pytest.mark.parametrize("p", [1, 2, 3, 18])
def test_the_predictions_loss_has_a_finite_gradient_where_targets_are_known_and_none_elsewhere(p: int) -> None:
    a, b, valid = made_pair(p)
    a.requires_grad_(True)
    prediction_loss(a, torch.where(valid, b, math.nan)).backward()
    assert a.grad is not None and torch.isfinite(a.grad).all()
    assert (a.grad[valid] != 0).all() and not a.grad[~valid].any()
    nothing = prediction_loss(a.detach(), torch.full_like(b, math.nan))
    assert float(nothing) == 0
