"""Rare classes are found oftener with each way of balancing, and each does exactly what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from engine.models import open_model
from engine.training import TrainOptions, fit
from engine.training.balance import MixUp, class_weights, epoch_order, turned
from engine.training.objective import CrossEntropy
from engine.types import Samples
from tests.engine.made_models import MADE_CLASSES, MADE_RECIPE, made_samples

OPTIONS = TrainOptions(family="cnn1d", epochs=6, patience=6, block_m=500, min_samples=10)
RARE, COMMON = 10, 20


def nine_to_one() -> Samples:
    """Two classes whose series look alike more often than not, nine samples of the second to one of the first."""
    samples = made_samples(4000, classes=2, noise=0.6)
    rng = np.random.default_rng(1)
    kept = np.flatnonzero((samples.y == COMMON) | (rng.random(len(samples.y)) < 1 / 9))
    return Samples(samples.x[kept], samples.y[kept], samples.block[kept], samples.row[kept], samples.col[kept])


def recall_of_the_rare(options: TrainOptions) -> float:
    """Of the rare class, on samples that training never saw."""
    fitted = fit(nine_to_one(), MADE_RECIPE, {RARE: "rare", COMMON: "common"}, options)
    classifier = open_model(fitted.card, fitted.weights)
    fresh = made_samples(3000, classes=2, noise=0.6, blocks=7)
    return float((classifier.predict(fresh.x).argmax(axis=1) == 0)[fresh.y == RARE].mean())


def test_each_way_finds_more_of_a_rare_class() -> None:
    plain = recall_of_the_rare(OPTIONS)
    assert plain < 0.6
    for way in ("oversample", "balanced_loss", "mixup"):
        assert recall_of_the_rare(OPTIONS.model_copy(update={"imbalance": way})) > plain + 0.1, way


def test_a_forest_takes_the_balanced_loss_and_refuses_the_others() -> None:
    forest = OPTIONS.model_copy(update={"family": "forest", "trees": 30})
    balanced = forest.model_copy(update={"imbalance": "balanced_loss"})
    assert recall_of_the_rare(balanced) > recall_of_the_rare(forest) + 0.02
    with pytest.raises(ValidationError, match="'mixup' is for networks"):
        TrainOptions(family="forest", imbalance="mixup")


@pytest.mark.parametrize("way", ["oversample", "balanced_loss", "mixup"])
def test_two_balanced_fits_give_equal_bytes(way: str) -> None:
    options = OPTIONS.model_copy(update={"imbalance": way, "epochs": 2})
    first, second = (fit(made_samples(300), MADE_RECIPE, MADE_CLASSES, options) for _ in range(2))
    assert first.weights == second.weights


def test_an_oversampled_epoch_has_every_row_once_and_every_class_alike() -> None:
    y = torch.tensor([0] * 7 + [2] * 3 + [1])
    rows, repeated = epoch_order(y, oversample=True)
    assert torch.bincount(y[rows]).tolist() == [7, 7, 7]
    assert sorted(rows[~repeated].tolist()) == list(range(11))
    assert set(y[rows[repeated]].tolist()) == {1, 2}
    assert not torch.equal(rows, epoch_order(y, oversample=True)[0])
    rows, repeated = epoch_order(y, oversample=False)
    assert sorted(rows.tolist()) == list(range(11)) and not repeated.any()


def test_turned_patches_are_the_seven_other_views_of_a_square_and_the_rest_stays() -> None:
    torch.manual_seed(3)
    patch = torch.arange(2 * 3 * 5 * 5, dtype=torch.float32).view(2, 3, 5, 5)
    x = patch.repeat(400, 1, 1, 1, 1)
    which = torch.arange(400) % 2 == 0
    out = turned(x, which)
    assert torch.equal(out[~which], x[~which])
    assert torch.equal(out[..., 2, 2], x[..., 2, 2])
    views = {tuple(one.flatten().tolist()) for one in out[which]}
    quarters = [np.rot90(patch.numpy(), k, (2, 3)) for k in range(4)]
    expected = {tuple(view.ravel().tolist()) for q in quarters for view in (q, q[..., ::-1])}
    assert views == expected - {tuple(patch.flatten().tolist())}


def test_weights_are_n_by_k_n_k_and_scale_each_samples_loss() -> None:
    y = torch.tensor([0] * 9 + [1])
    weights = class_weights(y, 2)
    torch.testing.assert_close(weights, torch.tensor([10 / 18, 5.0]))
    logits = torch.tensor([[2.0, -1.0], [0.5, 0.1]])
    each = nn.functional.cross_entropy(logits, torch.tensor([0, 1]), reduction="none")
    loss = CrossEntropy(weights).loss(nn.Identity(), logits, torch.tensor([0, 1]), torch.arange(2))
    torch.testing.assert_close(loss, (each[0] * 10 / 18 + each[1] * 5) / 2)


class Keeping(nn.Module):
    """Gives what it gets, and keeps it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = x
        return x


def test_mixed_samples_lie_between_two_and_their_loss_between_theirs() -> None:
    torch.manual_seed(4)
    x = torch.eye(3)[torch.tensor([0] * 50 + [1] * 5 + [2])]
    y = x.argmax(dim=1)
    objective = MixUp(x, y)
    shares = torch.bincount(y[objective.partners(9000)]) / 9000
    torch.testing.assert_close(shares, torch.full((3,), 1 / 3), atol=0.02, rtol=0)
    network = Keeping()
    loss = objective.loss(network, x[:50], y[:50], torch.arange(50))
    torch.testing.assert_close(network.seen.sum(dim=1), torch.ones(50))  # two corners of a triangle, mixed
    # One-hot samples mix as their labels do, so that the soft label is the mixed sample itself.
    torch.testing.assert_close(loss, nn.functional.cross_entropy(network.seen, network.seen))
    assert 0.2 < network.seen[:, 0].mean() < 0.9
