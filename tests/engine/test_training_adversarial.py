"""Adversarial training: a season without labels is mapped better than by a model that never looked at it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import nn

from engine.errors import Cancelled, InputError
from engine.models import Folder
from engine.models.agrispec import AgriSpec
from engine.training import Checkpoint, Hooks, TrainOptions, fit, training_key
from engine.training.adversarial import Adversarial, reversed_gradient, strength
from engine.training.loop import descend, evaluate
from engine.training.objective import CrossEntropy
from engine.training.parts import Part, Trained
from tests.engine.made_models import MADE_CLASSES, MADE_RECIPE, made_samples

OPTIONS = TrainOptions(family="agrispec", epochs=8, batch=32)
STEPS = 8


def season(n: int, seed: int, brighter: float) -> Part:
    """Two crops, told by the time of their peak in one feature and, loosely, by the level of another; that level is
    higher in a brighter season."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    time = np.linspace(0, 1, STEPS)
    curve = np.exp(-(((time - (0.3 + 0.4 * y)[:, None]) / 0.2) ** 2)) + rng.normal(0, 0.25, (n, STEPS))
    level = (0.3 + 0.2 * y + brighter)[:, None] + rng.normal(0, 0.1, (n, STEPS))
    return Part(np.stack([curve, level], axis=2).astype(np.float32), y)


def accuracy(trained: Trained, part: Part) -> float:
    network = AgriSpec(STEPS, 2, 2)
    network.load_state_dict(load(trained.weights))
    return float((evaluate(network, part.x).argmax(axis=1) == part.y).mean())


def test_a_season_without_labels_is_mapped_better_once_the_network_has_seen_it() -> None:
    labelled, held_out = season(320, 1, 0.0), season(100, 4, 0.2)
    unlabelled, truth = season(320, 2, 0.4), season(600, 3, 0.4)
    plain = descend(labelled, held_out, 2, OPTIONS)
    adapted = descend(labelled, held_out, 2, OPTIONS, target=unlabelled.x)
    assert accuracy(plain, held_out) > 0.8
    assert accuracy(plain, truth) < 0.7
    assert accuracy(adapted, truth) > accuracy(plain, truth) + 0.2
    assert adapted.notes["domain_accuracy"] < 0.8
    assert adapted.notes["target_series"] == 320
    assert adapted.notes["best_epoch"] >= 3, "an epoch was chosen before the network was adapted"


def test_the_reversed_gradient_grows_to_nearly_half_along_the_known_curve() -> None:
    assert strength(0) == 0
    assert strength(0.1) == pytest.approx(0.5 * math.tanh(0.5))
    assert strength(0.3) == pytest.approx(0.4526, abs=1e-4)
    assert 0.4999 < strength(1) == strength(2) < 0.5
    x = torch.randn(4, 3, requires_grad=True)
    weight = torch.randn(4, 3)
    (reversed_gradient(x, 0.25) * weight).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, -0.25 * weight)
    assert torch.equal(reversed_gradient(x, 0.25), x)


def gradients(network: nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    names, parameters = zip(*network.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {name: torch.zeros(()) if g is None else g for name, g in zip(names, found, strict=True)}


def test_the_encoder_gets_the_class_gradient_less_the_domain_gradient_and_each_head_its_own() -> None:
    torch.manual_seed(0)
    network = AgriSpec(STEPS, 2, 2).eval()  # no dropout, and batch norm of fixed statistics
    x, y = torch.rand(6, STEPS, 2), torch.tensor([0, 1, 0, 1, 1, 0])
    target = torch.rand(1, STEPS, 2)  # one series, so that it does not matter which are drawn
    objective = Adversarial(CrossEntropy(), target, steps=10)
    objective.restore({"step": torch.tensor(3)})
    whole = gradients(network, objective.loss(network, x, y, torch.arange(6)))
    assert int(objective.state()["step"]) == 4
    classes = gradients(network, nn.functional.cross_entropy(network(x), y))
    both = torch.cat([x, target.expand(6, -1, -1)])
    guessed = network.domains(network.encode(both))
    domains = gradients(network, nn.functional.cross_entropy(guessed, torch.tensor([0] * 6 + [1] * 6)))
    for name, gradient in whole.items():
        factor = 1.0 if name.startswith("domains") else -strength(0.3)
        torch.testing.assert_close(gradient, classes[name] + factor * domains[name], atol=1e-6, rtol=1e-4)


def test_an_adversarial_training_goes_on_from_its_checkpoint_to_the_same_bytes(tmp_path: Path) -> None:
    labelled, held_out, unlabelled = season(64, 1, 0.0), season(40, 4, 0.0), season(64, 2, 0.4)
    options = OPTIONS.model_copy(update={"epochs": 4})

    def run(hooks: Hooks) -> Trained:
        return descend(labelled, held_out, 2, options, key="mine", hooks=hooks, target=unlabelled.x)

    def stop(epoch: int, share: float) -> None:
        if epoch == 3:
            raise Cancelled("stopped as asked")

    resumed: list[int] = []
    checkpoint = Checkpoint(Folder(str(tmp_path)))
    with pytest.raises(Cancelled):
        run(Hooks(batch=stop, checkpoint=checkpoint))
    again = run(Hooks(resumed=resumed.append, checkpoint=checkpoint))
    assert resumed == [2]
    undisturbed = run(Hooks())
    assert again.weights == undisturbed.weights and again.notes == undisturbed.notes


def test_a_fit_scales_the_target_as_its_samples_and_names_it_in_key_and_report() -> None:
    samples, other = made_samples(150), made_samples(80).x
    options = OPTIONS.model_copy(update={"epochs": 1, "block_m": 500, "min_samples": 5})
    fitted = fit(samples, MADE_RECIPE, MADE_CLASSES, options, target=other)
    assert fitted.report["target_series"] == 80
    key = training_key(samples, MADE_RECIPE, MADE_CLASSES, options, target=other)
    assert fitted.card.training["key"] == key != training_key(samples, MADE_RECIPE, MADE_CLASSES, options)
    with pytest.raises(InputError, match="family tempcnn"):
        fit(samples, MADE_RECIPE, MADE_CLASSES, TrainOptions(block_m=500), target=other)
    with pytest.raises(InputError, match="12 steps and 2 features"):
        fit(samples, MADE_RECIPE, MADE_CLASSES, options, target=other[:, :9])
