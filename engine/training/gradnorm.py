"""GradNorm (Chen et al. 2018, ICML) for two losses: their weights are learnt so that both train at a like pace.

The gradient of GradNorm's own loss is taken in closed form. With w the weights, g_i the norm of loss i's gradient,
G_i = w_i g_i and targets held constant, d/dw_i of sum |G_i - target_i| is sign(G_i - target_i) g_i. The textbook way
differentiates twice, which cuDNN's recurrent layers cannot.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_WEIGHT = 1e-3
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_TINY = 1e-12


class GradNorm:
    """The two weights, and what it takes to learn them: baselines and Adam's moments (Kingma & Ba 2015).

    ``weights``: (2,) float32, each above 0, together 2. They stay 1 and 1 for the first ``baseline_steps`` steps, whose
    mean losses are the baselines: one batch's would be noise. ``alpha``: how strongly the slower loss is favoured.
    """

    def __init__(
        self, alpha: float, learning_rate: float, baseline_steps: int, device: torch.device | str = "cpu"
    ) -> None:
        self._alpha, self._learning_rate, self._baseline_steps = alpha, learning_rate, baseline_steps
        self.weights = torch.ones(2, device=device)
        self._baseline, self._mean, self._square = (torch.zeros(2, device=device) for _ in range(3))
        self._seen = self._updates = 0

    def wants_norms(self, every: int = 1) -> bool:
        """Whether this step would move the weights; before the baselines are known none does, then each ``every``-th
        step."""
        return self._seen >= self._baseline_steps and (self._seen - self._baseline_steps) % every == 0

    def see(self, losses: Tensor, norms: Tensor | None) -> None:
        """One step: losses (2,) and, where ``wants_norms``, the norms (2,) of their gradients. For the next step."""
        self._seen += 1
        if self._seen <= self._baseline_steps:
            self._baseline += (losses.detach().float() - self._baseline) / self._seen
        elif norms is not None:
            self._move(slope(self.weights, losses.detach().float(), self._baseline, norms.float(), self._alpha))

    def _move(self, gradient: Tensor) -> None:
        """A step of Adam; then no weight below the least, and together 2."""
        self._updates += 1
        self._mean = _BETA1 * self._mean + (1 - _BETA1) * gradient
        self._square = _BETA2 * self._square + (1 - _BETA2) * gradient**2
        mean = self._mean / (1 - _BETA1**self._updates)
        square = self._square / (1 - _BETA2**self._updates)
        weights = (self.weights - self._learning_rate * mean / (square.sqrt() + _EPSILON)).clamp_min(LEAST_WEIGHT)
        self.weights = (2 * weights / weights.sum()).clamp(LEAST_WEIGHT, 2 - LEAST_WEIGHT)

    def state(self) -> dict[str, Tensor]:
        """Weights, baselines, moments and counts, by name."""
        return {
            "weights": self.weights.clone(),
            "baseline": self._baseline.clone(),
            "mean": self._mean.clone(),
            "square": self._square.clone(),
            "counts": torch.tensor([self._seen, self._updates]),
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from what ``state`` gave."""
        device = self.weights.device
        self.weights, self._baseline, self._mean, self._square = (
            state[name].to(device, copy=True) for name in ("weights", "baseline", "mean", "square")
        )
        self._seen, self._updates = map(int, state["counts"])


def slope(weights: Tensor, losses: Tensor, baselines: Tensor, norms: Tensor, alpha: float) -> Tensor:
    """The gradient (2,) of GradNorm's loss by the weights, in closed form. All (2,), of one dtype.

    A loss' pace is loss / baseline, relative to the mean pace of both; the target of G_i is the mean G times that to
    the power of alpha.
    """
    pace = losses / baselines.clamp_min(_TINY)
    pull = weights * norms
    target = pull.mean() * (pace / pace.mean().clamp_min(_TINY)) ** alpha
    return torch.sign(pull - target) * norms
