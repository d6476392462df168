"""Learning for a season without labels: features in which that season cannot be told from the labelled ones.

Domain-adversarial training (Ganin et al. 2016, JMLR 17, 59): a second head guesses from the latent vector whether a
series is of a labelled season or of the season to be mapped, and its gradient is reversed before it reaches the
encoder. It rests on the classes being about as common in both; where rotation shifts them, less is gained.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from engine.models.agrispec import AgriSpec

if TYPE_CHECKING:  # it imports this file
    from engine.training.objective import Objective

CEILING = 0.5
"""The strongest that the reversed gradient gets."""
_STEEPNESS = 10.0
RIPE = 0.3
"""Share of training after which the reversed gradient has 0.9 of its full strength, and epochs may be chosen."""
_NOTED = 4096
"""Series of each domain by which the finished network is judged."""


class Adversarial:
    """Cross-entropy of the classes on labelled series, plus that of the domains on as many unlabelled ones as well.

    Both halves go through the network as one batch, so that batch norm sees one mixture. The reversed gradient is
    weaker at first: ``strength(p)`` with p the share of all ``steps`` done. The domain loss itself is not scaled.

    classes: the objective of the labelled half, asked with the class head and the latent vectors. target: (m, t, f)
    float32 scaled as the training part is, on the network's device. steps: batches of the whole training.
    """

    def __init__(self, classes: Objective, target: Tensor, steps: int) -> None:
        self._classes, self._target, self._steps = classes, target, steps
        self._step = 0

    def loss(self, network: nn.Module, x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
        assert isinstance(network, AgriSpec), "only AgriSpec has a head for domains"
        drawn = torch.randint(len(self._target), (len(x),)).to(x.device)
        latent = network.encode(torch.cat([x, self._target[drawn]]))
        domain = (torch.arange(len(latent), device=x.device) >= len(x)).long()
        guessed = network.domains(reversed_gradient(latent, strength(self._step / self._steps)))
        self._step += 1
        class_loss = self._classes.loss(network.classes, latent[: len(x)], y, rows)
        return class_loss + nn.functional.cross_entropy(guessed, domain)

    def state(self) -> dict[str, Tensor]:
        return {"step": torch.tensor(self._step), **self._classes.state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        self._step = int(state["step"])
        self._classes.restore({name: value for name, value in state.items() if name != "step"})

    def ripe(self) -> bool:
        """Whether the network is adapted enough for an epoch to be chosen."""
        return self._step >= RIPE * self._steps

    def notes(self, network: nn.Module, source: Tensor) -> dict[str, Any]:
        """How often the domain head tells held-out labelled series, (n, t, f), from target ones rightly: at 0.5, or
        below, where it is led astray, the seasons look alike to it; near 1 they have stayed apart."""
        assert isinstance(network, AgriSpec)
        count = min(len(source), len(self._target), _NOTED)
        places = [(torch.arange(count) * len(x) // count).to(x.device) for x in (source, self._target)]
        network.eval()
        with torch.inference_mode():
            pairs = zip((source, self._target), places, strict=True)
            guessed = [network.domains(network.encode(x[rows])).argmax(dim=1) for x, rows in pairs]
        hits = int((guessed[0] == 0).sum() + (guessed[1] == 1).sum())
        return {"domain_accuracy": round(hits / (2 * count), 6), "target_series": len(self._target)}


def strength(p: float) -> float:
    """By what the reversed gradient is multiplied once the share p of training is done: from 0 to nearly 0.5.

    ``0.5 (2 / (1 + exp(-10 p)) - 1)``.
    """
    return CEILING * (2 / (1 + math.exp(-_STEEPNESS * min(p, 1.0))) - 1)


def reversed_gradient(x: Tensor, factor: float) -> Tensor:
    """``x`` as it is; on the way back its gradient is multiplied by ``-factor``."""
    result: Tensor = _Reversal.apply(x, factor)
    return result


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None
