"""Networks over patches: as large as published, blind to a patch's place and neighbours, exact where they say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.errors import InputError
from engine.models.cnn3d import CNN3D
from engine.models.convstar import ConvSTAR, ConvSTAR3D, StarLayer
from engine.models.hybridsn import HybridSN
from engine.models.series import parameter_count, to_bytes
from engine.models.twobranch import TwoBranch

NETWORKS = (ConvSTAR3D, ConvSTAR, HybridSN, CNN3D, TwoBranch)
STEPS, FEATURES, CLASSES, PATCH = 4, 3, 4, 7
DEEP_STEPS, WIDE_PATCH = 14, 9  # HybridSN pads nowhere


@contextmanager
def seeded(seed: int = 5) -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def made_network(kind: type[nn.Module], *size: int) -> nn.Module:
    steps, patch = usual_size(kind)
    with seeded():
        return kind(*(size or (steps, FEATURES, CLASSES, patch))).eval()


def usual_size(kind: type[nn.Module]) -> tuple[int, int]:
    """Steps and patch of the tests that take every network."""
    return (DEEP_STEPS, WIDE_PATCH) if kind is HybridSN else (STEPS, PATCH)


def made_patches(n: int, steps: int, patch: int, seed: int = 0) -> Tensor:
    shape = n, steps, FEATURES, patch, patch
    return torch.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32))


def cut(block: Tensor, patch: int) -> Tensor:
    """All patches of a block (t, f, y, x) as a view (rows, columns, t, f, s, s)."""
    return block.unfold(2, patch, 1).unfold(3, patch, 1).permute(2, 3, 0, 1, 4, 5)


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (lambda: ConvSTAR3D(26, 3, 4, 11), 2_479_460),
        (lambda: ConvSTAR3D(26, 3, 4, 11, merge="sum"), 2_147_684),
        (lambda: ConvSTAR(26, 3, 4, 11), 264_196),
        (lambda: HybridSN(26, 3, 4, 11), 460_388),
        (lambda: CNN3D(26, 3, 4, 11), 3_920_804),
        (lambda: TwoBranch(7, 6, 7, 7, tower_steps=(6, 6, 6, 6, 7, 7)), 823_751),
    ],
)
def test_a_patch_network_has_the_published_number_of_parameters(network: type[nn.Module], count: int) -> None:
    assert parameter_count(network()) == count


@pytest.mark.parametrize("batch", [8, 32])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_patch_depends_on_itself_alone_to_the_bit(kind: type[nn.Module], batch: int) -> None:
    network, x = made_network(kind), made_patches(batch, *usual_size(kind))
    others = made_patches(batch, *usual_size(kind), seed=1)
    others[2:5] = x[5:8]
    with threads(1), torch.inference_mode():
        expected = network(x)
        assert network(x[:1]).shape == (1, CLASSES)
        torch.testing.assert_close(network(x[:1]), expected[:1], rtol=0, atol=1e-6)
    for number in (1, 2):
        order = torch.from_numpy(np.random.default_rng(number).permutation(batch))
        with threads(number), torch.inference_mode():
            assert torch.equal(network(x[order]), expected[order])
            assert torch.equal(network(others)[2:5], expected[5:8])
    assert expected.dtype == torch.float32 and expected.unique(dim=0).shape == (batch, CLASSES)


@pytest.mark.parametrize("kind", NETWORKS)
def test_patches_that_are_views_of_a_tile_give_what_their_copies_give(kind: type[nn.Module]) -> None:
    steps, patch = usual_size(kind)
    network, tile = made_network(kind), made_patches(1, steps, patch + 3)[0]
    views = cut(tile, patch)[:, 1]
    with torch.inference_mode():
        assert torch.equal(network(views), network(views.clone(memory_format=torch.contiguous_format)))


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_patch_network_sees_the_order_of_steps_and_the_neighbours_of_its_pixel(kind: type[nn.Module]) -> None:
    steps, patch = usual_size(kind)
    network, x = made_network(kind), made_patches(8, steps, patch)
    beside = torch.zeros(patch, patch)
    beside[patch // 2 - 1, patch // 2] = 0.5
    with torch.inference_mode():
        logits = network(x)
        assert not torch.allclose(network(x.flip(1)), logits, atol=1e-6)
        assert not torch.allclose(network(x.transpose(3, 4)), logits, atol=1e-6)
        assert not torch.allclose(network(x + beside), logits, atol=1e-6)


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_weight_takes_part_and_training_lowers_the_loss(kind: type[nn.Module]) -> None:
    network, x = made_network(kind), made_patches(8, *usual_size(kind))
    labels = torch.arange(8) % CLASSES
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(5):
        loss = nn.functional.cross_entropy(network(x), labels)
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("kind", NETWORKS)
def test_equal_seeds_give_equal_weights_and_each_weight_is_stored_once(kind: type[nn.Module]) -> None:
    steps, patch = usual_size(kind)
    first, second = made_network(kind), made_network(kind)
    with seeded(6):
        other = kind(steps, FEATURES, CLASSES, patch)
    assert to_bytes(first) == to_bytes(second) != to_bytes(other)
    assert sum(value.numel() for value in first.state_dict().values()) == parameter_count(first)


@pytest.mark.parametrize(
    ("kind", "steps", "patch"),
    [(ConvSTAR3D, 1, 3), (ConvSTAR, 1, 3), (HybridSN, 13, 9), (CNN3D, 1, 1), (TwoBranch, 1, 1)],
)
def test_the_smallest_size_works_and_one_below_is_refused_with_that_size(
    kind: type[nn.Module], steps: int, patch: int
) -> None:
    for size in (patch, patch + 2, patch + 4):
        network = made_network(kind, steps, FEATURES, CLASSES, size)
        assert network(made_patches(2, steps, size)).shape == (2, CLASSES)
    with pytest.raises(InputError, match=f"{steps - 1} steps; expected: {steps} or more"):
        kind(steps - 1, FEATURES, CLASSES, patch)
    for wrong in (patch - 2, patch + 1):
        with pytest.raises(InputError, match=f"{wrong} x {wrong} pixels; expected: an odd number.*{patch} or more"):
            kind(steps, FEATURES, CLASSES, wrong)


def convolved(x: NDArray, conv: nn.Conv2d | nn.Conv3d) -> NDArray:
    """Slow twin of a convolution. x: (n, c, ...) float64."""
    assert isinstance(conv.padding, tuple)
    weight = conv.weight.detach().double().numpy()
    axes = tuple(range(2, x.ndim))
    windows = sliding_window_view(np.pad(x, [(0, 0), (0, 0), *((p, p) for p in conv.padding)]), weight.shape[2:], axes)
    over = (1, *range(x.ndim, windows.ndim))
    sums = np.moveaxis(np.tensordot(windows, weight, axes=(over, tuple(range(1, weight.ndim)))), -1, 1)
    return sums if conv.bias is None else sums + conv.bias.detach().double().numpy().reshape(-1, *(1 for _ in axes))


def recurred(steps: list[NDArray], layer: StarLayer) -> list[NDArray]:
    """Slow twin of a recurrent layer, by the formula of the module's docstring: the state after each of the steps."""
    state = np.zeros((len(steps[0]), 64, *steps[0].shape[2:]))
    states = []
    for x in steps:
        gate, new = np.split(convolved(x, layer.input), 2, axis=1)
        share = 1 / (1 + np.exp(-(gate + convolved(state, layer.state))))
        state = share * np.tanh(new) + (1 - share) * state
        state = np.tanh(state) if layer.outer_tanh else state
        states.append(state)
    return states


@pytest.mark.parametrize(("merge", "outer_tanh"), [("concat", True), ("sum", True), ("concat", False)])
def test_3d_convstar_agrees_with_its_formula_in_plain_numpy(merge: str, outer_tanh: bool) -> None:
    with seeded():
        network = ConvSTAR3D(5, FEATURES, CLASSES, 5, merge=merge, outer_tanh=outer_tanh).eval()
    x = made_patches(2, 5, 5)
    h = x.double().numpy().swapaxes(1, 2)
    for conv in network.convs:
        h = np.maximum(convolved(h, conv), 0)
    steps = list(np.moveaxis(h, 2, 0))
    for ahead, back in zip(network.ahead, network.back, strict=True):
        pairs = list(zip(recurred(steps, ahead), recurred(steps[::-1], back)[::-1], strict=True))
        last = pairs[-1][0], pairs[0][1]
        *steps, end = (
            np.maximum(np.concatenate(pair, axis=1) if merge == "concat" else pair[0] + pair[1], 0)
            for pair in (*pairs, last)
        )
    h = np.maximum(convolved(end, network.conv), 0).reshape(2, -1)
    expected = network.head.double()(torch.from_numpy(h))
    network.head.float()
    torch.testing.assert_close(network(x).double(), expected, rtol=0, atol=1e-6)


def test_convstar_agrees_with_its_formula_in_plain_numpy() -> None:
    network, x = made_network(ConvSTAR, 5, FEATURES, CLASSES, 7), made_patches(2, 5, 7)
    steps = list(np.moveaxis(x.double().numpy(), 1, 0))
    for layer in network.layers:
        steps = recurred(steps, layer)
    expected = convolved(steps[-1], network.out)[:, :, 2, 2]
    np.testing.assert_allclose(network(x).detach().numpy(), expected, rtol=0, atol=1e-6)


def test_gates_begin_nearly_closed_and_kernels_orthogonal() -> None:
    layer = StarLayer(FEATURES)
    gate_bias, new_bias = layer.input.bias.detach().split(64)
    assert torch.all(gate_bias == -1) and torch.all(new_bias == 0)
    for kernel in (*layer.input.weight.detach().split(64), layer.state.weight.detach()):
        rows = kernel.flatten(1)
        small = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
        torch.testing.assert_close(small, torch.eye(len(small)), rtol=0, atol=1e-5)


def test_states_stay_float32_and_logits_near_under_autocast() -> None:
    network, x = made_network(ConvSTAR3D), made_patches(4, STEPS, PATCH)
    with torch.inference_mode():
        expected = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert network.ahead[0](torch.zeros(2, 1, 3, 3, 64)).dtype == torch.float32
            near = network(x)
    torch.testing.assert_close(near.float(), expected, rtol=0, atol=0.01)


@pytest.mark.parametrize(("patch", "y", "x"), [(9, 9, 9), (9, 10, 13), (11, 21, 16), (13, 24, 33)])
def test_hybridsn_over_a_block_equals_its_patches(patch: int, y: int, x: int) -> None:
    network = made_network(HybridSN, DEEP_STEPS, FEATURES, CLASSES, patch)
    with torch.no_grad():
        for weight in network.parameters():
            weight *= 2  # or all logits are close to those of the biases
    block = made_patches(1, DEEP_STEPS, 40)[0, :, :, :y, :x]
    patches = cut(block, patch)
    with torch.inference_mode():
        dense = network.dense(block)
        expected = network(patches.flatten(0, 1)).unflatten(0, patches.shape[:2])
    assert dense.shape == (y - patch + 1, x - patch + 1, CLASSES) and dense.dtype == torch.float32
    torch.testing.assert_close(dense, expected, rtol=0, atol=1e-6)
    assert y == x == patch or expected.std(dim=(0, 1)).min() > 1e-4, "patches must differ for this to tell anything"


@pytest.mark.parametrize("number", [1, 2])
def test_a_pixel_of_a_block_does_not_depend_on_its_place_to_the_bit(number: int) -> None:
    network, tile, size = made_network(HybridSN), made_patches(1, DEEP_STEPS, 45)[0], 38
    with threads(number), torch.inference_mode():
        expected = network.dense(tile[..., :size, :size])
        for dy, dx in ((0, 1), (1, 0), (3, 2), (4, 7), (7, 4)):
            moved = network.dense(tile[..., dy : dy + size, dx : dx + size])
            rows, columns = (len(expected) - shift for shift in (dy, dx))
            assert torch.equal(moved[:rows, :columns], expected[dy:, dx:])


def test_a_tower_sees_its_own_steps_and_nothing_behind_them() -> None:
    with seeded():
        network = TwoBranch(7, 2, CLASSES, 7, tower_steps=(6, 7)).eval()
    x = made_patches(4, 7, 7)[:, :, :2]
    with torch.inference_mode():
        logits = network(x)
        x[:, 6, 0] = torch.nan
        assert torch.equal(network(x), logits)
        x[:, 6, 1] += 0.5
        assert not torch.allclose(network(x), logits, atol=1e-6)


@pytest.mark.parametrize("tower_steps", [(6,), (6, 7, 7), (6, 8), (0, 7)])
def test_towers_that_do_not_match_the_input_are_refused(tower_steps: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="one number for each of 2 features, from 1 to 7"):
        TwoBranch(7, 2, CLASSES, 7, tower_steps=tower_steps)
