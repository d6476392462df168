"""A pixel's class does not depend on its neighbours; memory running out is told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from engine.errors import InputError, MicroBatchTooLarge
from engine.models import Card
from engine.models.cnn1d import CNN1D
from engine.models.hybridsn import HybridSN
from engine.models.series import BlockClassifier, NetworkClassifier, to_bytes
from engine.predict import _swept, classify, classify_at, cut, probabilities, suggest_micro_batch
from engine.types import FeatureBlock
from tests.engine.made_models import made_card, made_forest_classifier, made_pixels, made_tempcnn


@pytest.fixture
def threads() -> Iterator[None]:
    """Puts torch's number of threads back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def whole_rows(classifier: object, x: np.ndarray, micro_batch: int) -> np.ndarray:
    """The probabilities behind classify, row by row, by the same padding."""
    out = []
    for start in range(0, len(x), micro_batch):
        rows = np.full((micro_batch, *x.shape[1:]), 7.0, np.float32)
        part = x[start : start + micro_batch]
        rows[: len(part)] = part
        out.append(classifier.predict(rows)[: len(part)])  # type: ignore[attr-defined]
    return np.concatenate(out)


def made_cnn1d() -> NetworkClassifier:
    """A loaded 1D-CNN."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        weights = to_bytes(CNN1D(34, 13, 9))
    return NetworkClassifier(made_card(weights, family="cnn1d"), weights)


@pytest.mark.parametrize("make", [made_tempcnn, made_cnn1d])
@pytest.mark.parametrize("micro_batch", [1, 64, 250, 1024])
def test_a_pixels_probabilities_are_bit_equal_wherever_it_stands(
    micro_batch: int, make: Callable[[], NetworkClassifier], threads: None
) -> None:
    classifier, x = make(), made_pixels(64 if micro_batch == 1 else 2100)
    torch.set_num_threads(1)
    expected = whole_rows(classifier, x, micro_batch)
    rng = np.random.default_rng(1)
    for count in (1, 2):
        torch.set_num_threads(count)
        for _ in range(2):
            order = rng.permutation(len(x))
            np.testing.assert_array_equal(whole_rows(classifier, x[order], micro_batch), expected[order])
        for offset in (1, 7, 33):
            np.testing.assert_array_equal(whole_rows(classifier, x[offset:], micro_batch), expected[offset:])


def made_hybridsn() -> BlockClassifier:
    """A HybridSN of thirteen steps over squares of nine pixels."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = HybridSN(13, 3, 4, 9)
    with torch.no_grad():
        for weight in network.parameters():
            weight *= 2
    weights = to_bytes(network)
    card = made_card(weights, 13, 3, 4, "hybridsn").model_copy(update={"mode": "patch", "halo": 4})
    return BlockClassifier(card, weights)


def test_a_network_swept_over_blocks_says_what_it_says_of_squares_wherever_the_block_begins() -> None:
    classifier, rng = made_hybridsn(), np.random.default_rng(2)
    x = rng.uniform(-0.2, 1.2, (13, 3, 8 + 70, 8 + 81)).astype(np.float32)
    x[:, :, 20:30, :7] = np.nan
    valid = rng.random((70, 81)) < 0.02
    valid[[0, -1, 33], [0, -1, 64]] = True
    rows, cols = np.nonzero(valid)
    features = FeatureBlock(x, np.ones(x.shape[2:], np.bool_))
    swept = np.concatenate([p for _, p in _swept(classifier, features, rows, cols, 4)])
    order = np.concatenate([some for some, _ in _swept(classifier, features, rows, cols, 4)])
    squares = classifier.predict(cut(features, rows, cols, 4))
    np.testing.assert_allclose(swept, squares[order], rtol=0, atol=1e-6)
    index, confidence = classify_at(classifier, features, rows, cols, 32)
    np.testing.assert_array_equal(index[order], swept.argmax(axis=1))
    for dy, dx in ((5, 3), (31, 60)):  # another tile begins elsewhere
        kept = (rows >= dy) & (cols >= dx)
        moved = FeatureBlock(x[:, :, dy:, dx:], features.valid[dy:, dx:])
        again = classify_at(classifier, moved, rows[kept] - dy, cols[kept] - dx, 32)
        np.testing.assert_array_equal(again, (index[kept], confidence[kept]))


def test_probabilities_are_those_behind_the_classes_bit_by_bit() -> None:
    classifier, x = made_tempcnn(5, 3, 4), made_pixels(300, 5, 3)
    p = probabilities(classifier, x, 128)
    np.testing.assert_array_equal(p, whole_rows(classifier, x, 128))
    index, confidence = classify(classifier, x, 128)
    np.testing.assert_array_equal(index, p.argmax(axis=1))
    np.testing.assert_array_equal(confidence, np.rint(p.max(axis=1) * 100))
    assert probabilities(classifier, x[:0], 128).shape == (0, 4)


@pytest.mark.parametrize("classifier", [made_tempcnn(5, 3, 4), made_forest_classifier()], ids=["tempcnn", "forest"])
def test_pixels_cut_into_any_groups_get_the_same_classes(classifier: object) -> None:
    x = made_pixels(1000, 5, 3)
    index, confidence = classify(classifier, x, 128)  # type: ignore[arg-type]
    for cuts in ([500], [1, 2, 999], list(range(37, 1000, 37))):
        parts = [classify(classifier, part, 128) for part in np.split(x, cuts)]  # type: ignore[arg-type]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), index)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), confidence)
    assert len(np.unique(index)) > 1 and confidence.max() <= 100


def test_class_and_confidence_are_the_winner_and_its_percentage() -> None:
    classifier, x = made_tempcnn(5, 3, 4), made_pixels(64, 5, 3)
    index, confidence = classify(classifier, x, 64)
    p = classifier.predict(x)
    np.testing.assert_array_equal(index, p.argmax(axis=1))
    np.testing.assert_array_equal(confidence, np.rint(100 * p.max(axis=1)))
    assert index.dtype == confidence.dtype == np.uint8


def test_any_memory_order_of_the_input_gives_the_same_and_leaves_it_alone() -> None:
    classifier, x = made_tempcnn(5, 3, 4), made_pixels(100, 5, 3)
    block = np.ascontiguousarray(x.transpose(1, 2, 0))
    before = block.copy()
    turned = classify(classifier, block.transpose(2, 0, 1), 32)
    np.testing.assert_array_equal(turned[0], classify(classifier, x, 32)[0])
    np.testing.assert_array_equal(block, before)


def test_no_pixels_give_no_classes_and_one_missing_everywhere_gives_one() -> None:
    classifier = made_tempcnn(5, 3, 4)
    assert [len(part) for part in classify(classifier, made_pixels(0, 5, 3), 8)] == [0, 0]
    index, confidence = classify(classifier, np.full((1, 5, 3), np.nan, np.float32), 8)
    assert index[0] < 4 and 25 <= confidence[0] <= 100


def test_input_of_another_recipe_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"34 steps, 13 features: blue"):
        classify(made_tempcnn(), made_pixels(4, 12, 13), 8)
    with pytest.raises(ValueError, match="micro_batch"):
        classify(made_tempcnn(5, 3, 4), made_pixels(4, 5, 3), 0)


class Greedy:
    """A classifier whose forward pass asks torch for more memory than any machine has."""

    def __init__(self, card: Card) -> None:
        self.card = card

    def predict(self, x: np.ndarray) -> np.ndarray:
        return torch.empty(1 << 50).numpy()

    def logits(self, scaled: np.ndarray) -> np.ndarray:
        return self.predict(scaled)


def test_running_out_of_memory_says_that_the_micro_batch_is_too_large() -> None:
    with pytest.raises(MicroBatchTooLarge, match=r"1099511627776 rows.*halve it"):
        classify(made_tempcnn(5, 3, 4), made_pixels(4, 5, 3), 1 << 40)
    with pytest.raises(MicroBatchTooLarge, match="micro-batch of 8 rows"):
        classify(Greedy(made_card(b"x", 5, 3, 4)), made_pixels(4, 5, 3), 8)


def test_the_suggested_micro_batch_is_a_power_of_two_within_memory() -> None:
    card = made_card(b"x")
    sizes = [suggest_micro_batch(card, budget) for budget in (1, 4 << 20, 1 << 30)]
    assert sizes[0] == 64 and sizes[-1] == 256 and sizes == sorted(sizes)
    assert suggest_micro_batch(card, 64 << 30, "cuda") == 65536
    for family, cpu, gpu in (("forest", 65536, 65536), ("svm", 65536, 65536), ("onnx", 256, 256)):
        own = card.model_copy(update={"family": family})
        assert [suggest_micro_batch(own, 64 << 30, device) for device in ("cpu", "cuda")] == [cpu, gpu]
    assert all(size & (size - 1) == 0 for size in sizes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_a_gpu_too_a_pixel_does_not_depend_on_its_place() -> None:
    from engine.models.package import open_model
    from engine.models.series import to_bytes
    from tests.engine.made_models import made_network

    weights = to_bytes(made_network())
    classifier, x = open_model(made_card(weights), weights, "cuda"), made_pixels(5000)
    expected = whole_rows(classifier, x, 1024)
    order = np.random.default_rng(1).permutation(len(x))
    np.testing.assert_array_equal(whole_rows(classifier, x[order], 1024), expected[order])
