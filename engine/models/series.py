"""Networks over the series of one pixel: what they have in common, and which family is which network.

A network takes x (n, t, f) float32 scaled to 0 to 1 and gives logits (n, k) float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from engine.errors import InputError
from engine.models.agrispec import AgriSpec
from engine.models.card import Card, normalise, probabilities
from engine.models.cnn1d import CNN1D
from engine.models.dcm import DeepCropMapping
from engine.models.tempcnn import TempCNN
from engine.models.transformer import Transformer


class Builder(Protocol):
    """Makes a network with random weights, from torch's seed."""

    def __call__(self, steps: int, features: int, classes: int) -> nn.Module: ...


NETWORKS: Mapping[str, Builder] = {
    "tempcnn": TempCNN,
    "cnn1d": CNN1D,
    "dcm": DeepCropMapping,
    "transformer": Transformer,
    "agrispec": AgriSpec,
}
"""Family -> network."""


class NetworkClassifier:
    """A trained network on one device; see ``engine.models.package.Classifier`` for its promise.

    On a CPU a row's result does not depend on the other rows, on its position, or on one thread or two: measured with
    oneDNN 3.12 (AVX-512), and kept so by ``tests/engine/test_predict.py``. It does depend on ``len(x)``, which chooses
    the kernel.
    """

    def __init__(self, card: Card, weights: bytes, device: str = "cpu") -> None:
        self._card = card
        network = NETWORKS[card.family](card.recipe.steps, len(card.recipe.features), len(card.classes))
        try:
            network.load_state_dict(load(weights))
        except (SafetensorError, RuntimeError) as error:
            raise InputError(
                f"weights that are no {card.family} of this card ({error})",
                place=f"model {card.name}, {card.weights}",
                remedy="train the model anew",
            ) from error
        self._device = torch_device(device)
        self._network = for_prediction(network).to(self._device)

    @property
    def card(self) -> Card:
        return self._card

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated probabilities (n, k) float32 of ``x`` (n, t, f) float32, as the protocol says."""
        return probabilities(self.logits(normalise(x, self._card)), self._card.temperature)

    def logits(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (n, k) float32 of input already scaled by ``normalise``."""
        if len(scaled) == 0:  # recurrent layers refuse it
            return np.empty((0, len(self._card.classes)), np.float32)
        # One algorithm per shape, in full float32: cuDNN's search and TF32 would make the map depend on the moment.
        with torch.inference_mode(), torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
            result = self._network(torch.from_numpy(scaled).to(self._device))
            return np.asarray(result.cpu().numpy())

    def sensitivity(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean over the rows of ``|d logit of the winning class / d input|``, (t, f) float32: where the network looks
        (Simonyan et al. 2014, saliency). Input as for ``logits``, one row or more."""
        x = torch.from_numpy(scaled).to(self._device).requires_grad_()
        (slope,) = torch.autograd.grad(self._network(x).max(dim=1).values.sum(), x)
        return np.asarray(slope.abs().mean(dim=0).cpu().numpy())


def for_prediction(network: nn.Module) -> nn.Module:
    """The network in evaluation mode, its batch norms folded where it can do that."""
    return network.folded() if isinstance(network, TempCNN) else network.eval()


def torch_device(name: str) -> torch.device:
    """The torch device of that name; InputError where this machine has none such."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise InputError(f"device {name!r} ({error})", expected="cpu, or a CUDA device that is there") from error
    return torch.device(name)


def to_bytes(network: nn.Module) -> bytes:
    """The unfolded network's state as safetensors bytes."""
    return save({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()})


def parameter_count(network: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(p.numel() for p in network.parameters())
