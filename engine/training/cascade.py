"""CLEC's recipe (Kong et al. 2025): forecast and classification learnt together, weighed by GradNorm.

loss = w_p (mean squared error + 1 - SSIM) + w_c cross-entropy, the first over the later steps alone, against what was
observed in the season the labels are of. Without later steps it is the cross-entropy.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from engine.errors import InputError
from engine.models.clec import CLEC
from engine.training.cascade_options import CascadeOptions
from engine.training.early import Seasons
from engine.training.gradnorm import GradNorm
from engine.training.ssim import ssim

_EVALUATION_BATCH = 1024


class Cascade:
    """The objective of one training of a CLEC network.

    later: (n, p, f) float32, the training part's later steps, scaled, NaN = not known. Raises InputError where there
    are later steps and not one value is known. seasons: those of the training part, where cut-offs are drawn at random;
    later is then what followed, of all steps. Each batch is cut off after a number of steps drawn alike from
    ``seasons.first`` to all: the whole batch after the same, for the network needs one length.
    """

    def __init__(
        self, options: CascadeOptions, later: NDArray[np.float32], device: torch.device | str = "cpu",
        seasons: Seasons | None = None,
    ) -> None:  # fmt: skip
        if later.shape[1] and np.isnan(later).all():
            raise InputError(
                f"{later.shape[1]} later steps without a single value in the training blocks",
                expected="a season that is over, or nearly: the forecast learns from what came after season.as_of",
                place="season", remedy="an earlier season and its labels, or model.train.family: cnn1d",
            )  # fmt: skip
        self._options = options
        self._later = torch.from_numpy(later).to(device)
        self._seasons = seasons
        self._balance = GradNorm(options.alpha, options.weight_rate, options.baseline_steps, device)

    def loss(self, network: nn.Module, x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
        """The weighted sum of both losses of a batch, a scalar; GradNorm's weights move after it.

        x: (b, t, f) float32 scaled, the early steps; not looked at where cut-offs are drawn. y: (b,) int64 class
        indices. rows: (b,) int64, where these samples are in ``later``.
        """
        assert isinstance(network, CLEC), f"the cascade trains CLEC, got {type(network).__name__}"
        x, later = (x, self._later[rows]) if self._seasons is None else self._cut_off(self._seasons, rows)
        if network.forecaster is None or not later.shape[1]:
            return self._balance.weights[1] * cross_entropy(network(x), y)
        forecast = network.forecast(x)
        apart = self._options.preset == "v2"  # no parameter is then in both losses, and one Adam is as good as two
        logits = network.classify(x, forecast.detach() if apart else forecast)
        losses = torch.stack([prediction_loss(forecast, later), cross_entropy(logits.float(), y)])
        total = (self._balance.weights * losses).sum()
        if self._options.balanced and not later.isnan().all():
            shared = network.forecaster.out.weight if self._options.norm_on == "weights" else forecast
            wanted = self._balance.wants_norms(self._options.update_every)
            self._balance.see(losses, _norms(losses, shared) if wanted else None)
        return total

    def _cut_off(self, seasons: Seasons, rows: Tensor) -> tuple[Tensor, Tensor]:
        """These samples up to a cut-off drawn at random, and what followed."""
        until = int(torch.randint(seasons.first, self._later.shape[1] + 1, ()))  # of the CPU's random numbers
        early = torch.from_numpy(seasons.early(until, rows.cpu().numpy())).to(self._later.device)
        return early, self._later[rows, until:]

    @property
    def weights(self) -> tuple[float, float]:
        """The weights of forecast and classification as they stand; together 2."""
        prediction, classification = self._balance.weights.tolist()
        return prediction, classification

    def selection(self, network: nn.Module, x: NDArray[np.float32], later: NDArray[np.float32]) -> float | None:
        """For ``v3`` how good the forecast of validation samples is, 1 / (1 + loss): 0 to 1 and the more the better, as
        is the F1 it stands for. None where the classification decides: otherwise, and where no later value is known.

        x: (n, t, f) and later: (n, p, f) float32 scaled, NaN = not known. The loss is the mean over batches of 1024, by
        their number of rows; the network's mode is put back after.
        """
        assert isinstance(network, CLEC), f"the cascade trains CLEC, got {type(network).__name__}"
        if self._options.preset != "v3" or np.isnan(later).all():  # also where there are no later steps
            return None
        device, was_training, total = self._later.device, network.training, 0.0
        network.eval()
        with torch.inference_mode():
            for start in range(0, len(x), _EVALUATION_BATCH):
                rows = slice(start, start + _EVALUATION_BATCH)
                early, known = (torch.from_numpy(part[rows]).to(device) for part in (x, later))
                total += float(prediction_loss(network.forecast(early), known)) * len(early)
        network.train(was_training)
        return 1 / (1 + total / len(x))

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold: GradNorm's."""
        return self._balance.state()

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from what ``state`` gave."""
        self._balance.restore(state)


def prediction_loss(forecast: Tensor, later: Tensor) -> Tensor:
    """Mean squared error + 1 - SSIM over the known values, a scalar float32; 0 where nothing is known.

    forecast: (n, p, f). later: (n, p, f), NaN = not known.
    """
    known = ~later.isnan()
    target = torch.where(known, later, 0).float()
    miss = torch.where(known, forecast.float() - target, 0)
    return miss.square().sum() / known.sum().clamp_min(1) + 1 - ssim(forecast, target, known)


def _norms(losses: Tensor, shared: Tensor) -> Tensor:
    """(2,) norm of each loss' gradient by ``shared``; the graph is kept for the step itself."""
    gradients = [torch.autograd.grad(loss, shared, retain_graph=True)[0] for loss in losses]
    return torch.stack([torch.linalg.vector_norm(gradient.float()) for gradient in gradients])
