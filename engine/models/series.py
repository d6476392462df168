"""Networks: what they have in common, and which family is which network.

A network takes x (n, t, f) float32 scaled to 0 to 1, the series of single pixels, and gives logits (n, k) float32; one
that looks at neighbours takes (n, t, f, s, s), the square around each pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from engine.errors import InputError
from engine.memory import keep_freed
from engine.models.agrispec import AgriSpec
from engine.models.card import Card, Variant
from engine.models.classifier import Calibrated
from engine.models.clec import CLEC
from engine.models.cnn1d import CNN1D
from engine.models.cnn3d import CNN3D
from engine.models.convstar import ConvSTAR, ConvSTAR3D
from engine.models.dcm import DeepCropMapping
from engine.models.hybridsn import HybridSN
from engine.models.scaling import probabilities, scale
from engine.models.tempcnn import TempCNN
from engine.models.transformer import Transformer
from engine.models.twobranch import TwoBranch


class Builder(Protocol):
    """Makes a network with random weights, from torch's seed."""

    def __call__(self, steps: int, features: int, classes: int) -> nn.Module: ...


NETWORKS: Mapping[str, Builder] = {
    "tempcnn": TempCNN,
    "cnn1d": CNN1D,
    "dcm": DeepCropMapping,
    "transformer": Transformer,
    "agrispec": AgriSpec,
    "clec": CLEC,
}
"""Family -> network, of those that look at single pixels."""


class PatchBuilder(Protocol):
    """Makes a network that looks at squares of ``patch`` pixels a side, with random weights, from torch's seed."""

    def __call__(self, steps: int, features: int, classes: int, patch: int) -> nn.Module: ...


PATCH_NETWORKS: Mapping[str, PatchBuilder] = {
    "convstar3d": ConvSTAR3D,
    "convstar": ConvSTAR,
    "hybridsn": HybridSN,
    "cnn3d": CNN3D,
    "twobranch": TwoBranch,
}
"""Family -> network, of those that look at neighbours."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides the sizes of a network's layers."""

    steps: int
    features: int
    classes: int
    patch: int = 1
    """Side of the squares of pixels it looks at; 1 for families of single pixels."""
    later_steps: int = 0
    """Steps that CLEC predicts."""
    variant: Variant = "paper"
    """CLEC's forecaster."""
    any_cut_off: bool = False
    """Whether CLEC takes any number of leading steps."""
    mask_channel: bool = False
    """Whether CLEC's classifier is told which steps are predicted."""


def build(family: str, shape: Shape) -> nn.Module:
    """A network of this family with random weights; InputError where the family cannot take these sizes."""
    sizes = shape.steps, shape.features, shape.classes
    if family in PATCH_NETWORKS:
        return PATCH_NETWORKS[family](*sizes, shape.patch)
    if family != "clec":
        return NETWORKS[family](*sizes)
    return CLEC(
        *sizes, shape.later_steps,
        variant=shape.variant, any_cut_off=shape.any_cut_off, mask_channel=shape.mask_channel,
    )  # fmt: skip


class NetworkClassifier(Calibrated):
    """A trained network on one device; see ``engine.models.package.Classifier`` for its promise.

    On a CPU a row's result does not depend on the other rows, on its position, or on one thread or two: measured with
    oneDNN 3.12 (AVX-512), and kept so by ``tests/engine/test_predict.py``. It does depend on ``len(x)``, which chooses
    the kernel.
    """

    def __init__(self, card: Card, weights: bytes, device: str = "cpu") -> None:
        super().__init__(card)
        keep_freed()
        sizes = card.recipe.steps, len(card.recipe.features), len(card.classes)
        cut_off = card.from_step is not None, card.mask_channel
        network = build(card.family, Shape(*sizes, card.patch, card.later_steps, card.variant, *cut_off))
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

    def _forward(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode(), _reproducibly(self._device):
            result = self._network(torch.from_numpy(scaled).to(self._device))
            return np.asarray(result.cpu().numpy())

    def sensitivity(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean over rows of ``|d logit of the winning class / d input|``, (t, f) float32, or (t, f, s, s) of squares:
        where the network looks (Simonyan et al. 2014, saliency). Input as for ``logits``, one row or more."""
        x = torch.from_numpy(scaled).to(self._device).requires_grad_()
        (slope,) = torch.autograd.grad(self._network(x).max(dim=1).values.sum(), x)
        return np.asarray(slope.abs().mean(dim=0).cpu().numpy())


class BlockClassifier(NetworkClassifier):
    """A network that has a dense form: it takes whole blocks as well; see ``engine.predict.Sweeps``."""

    def sweep(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated probabilities (y, x, k) float32 of the pixels whose squares lie wholly in ``block`` (t, f, y + s -
        1, x + s - 1) float32, physical units, NaN where a series is missing: equal to ``predict`` of the squares, to
        rounding."""
        card = self.card
        scaled = torch.from_numpy(scale(block[None], card.lower, card.upper, card.fill)[0]).to(self._device)
        assert isinstance(self._network, HybridSN)
        with torch.inference_mode(), _reproducibly(self._device):
            logits = np.asarray(self._network.dense(scaled).cpu().numpy())
        return probabilities(logits.reshape(-1, logits.shape[2]), card.temperature).reshape(logits.shape)


def open_network(card: Card, weights: bytes, device: str = "cpu") -> NetworkClassifier:
    """The classifier of a network's card and weights."""
    kind = BlockClassifier if card.family == "hybridsn" else NetworkClassifier
    return kind(card, weights, device)


def _reproducibly(device: torch.device) -> AbstractContextManager[None]:
    """One algorithm per shape, in full float32: cuDNN's search and TF32 would make the map depend on the moment."""
    if device.type == "cpu":
        return nullcontext()
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags


def for_prediction(network: nn.Module) -> nn.Module:
    """The network in evaluation mode, laid out for speed where it can do that."""
    return network.for_prediction() if isinstance(network, TempCNN | CNN1D) else network.eval()


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
