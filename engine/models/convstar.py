"""3D-ConvSTAR (Liu et al. 2023, International Journal of Remote Sensing, doi 10.1080/01431161.2023.2232552) and its
rival ConvSTAR (Turkoglu et al.): recurrent convolutions over the series of a patch.

The cell, with H = 0 before the first step (* convolution, . product of elements):

    F = sigmoid(Wxf * X + Whf * H + Bf),  Z = tanh(Wxz * X + Bz),  H' = tanh(F . Z + (1 - F) . H)

F multiplies the new value. Where a gate multiplies the old state its bias starts at +1, for a long memory; here that
is -1. Only Whf * H must wait for the step before: the convolutions of X, seven tenths of the work, are done for all
steps at once. Two directions are two layers: as the two groups of one convolution they took a quarter more time, for
moving gates about. On one core 3D-ConvSTAR does 26 patches/s of 11 x 11 x 26 x 3 in batches of 8 or 16, 21 of 64.

3D-ConvSTAR: three times [3-D convolution 32, 32, 64, kernel 3, same; ReLU]; three bidirectional layers of 64 units a
direction, kernel 3, same, each with ReLU on the sequence that it hands on (not on the state within); of the last layer
only the last state of each direction; convolution 64, kernel 3, valid, ReLU; dense 256 and 128, each with ReLU and
dropout 0.4; dense k.

ConvSTAR: three layers of 64 units forward in time, kernel 3, which hand their states on as they are; a valid
convolution of kernel 3 around the centre of the last state gives the logits.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from engine.models.spatial import channels_last, check_size, dense_head

FILTERS = (32, 32, 64)
UNITS = 64
LAYERS = 3
KERNEL = 3
DENSE = (256, 128)
DROPOUT = 0.4
GATE_BIAS = -1.0


class ConvSTAR3D(nn.Module):
    """3D-ConvSTAR. x: (n, t, f, s, s) float32 scaled to 0 to 1, s odd, 3 or more -> logits (n, k) float32.

    ``merge`` says how the two directions become one sequence: side by side, or summed (28 % less work).
    ``outer_tanh=False`` leaves out the tanh around the new state, as public code of ConvSTAR does.
    """

    def __init__(
        self,
        steps: int,
        features: int,
        classes: int,
        patch: int,
        *,
        merge: Literal["concat", "sum"] = "concat",
        outer_tanh: bool = True,
    ) -> None:
        super().__init__()
        check_size("convstar3d", steps, patch, least_patch=KERNEL)
        self.merge = merge
        self.convs = nn.ModuleList(nn.Conv3d(a, b, KERNEL, padding=1) for a, b in pairwise((features, *FILTERS)))
        merged = 2 * UNITS if merge == "concat" else UNITS
        widths = (FILTERS[-1], *[merged] * (LAYERS - 1))
        self.ahead = nn.ModuleList(StarLayer(width, outer_tanh=outer_tanh) for width in widths)
        self.back = nn.ModuleList(StarLayer(width, outer_tanh=outer_tanh) for width in widths)
        self.conv = nn.Conv2d(merged, UNITS, KERNEL)
        self.head = dense_head(UNITS * (patch - KERNEL + 1) ** 2, DENSE, classes, DROPOUT)
        channels_last(self)

    def forward(self, x: Tensor) -> Tensor:
        h = x.transpose(1, 2).contiguous(memory_format=torch.channels_last_3d)
        for conv in self.convs:
            h = relu(conv(h))
        sequence = h.permute(2, 0, 3, 4, 1).contiguous()
        for ahead, back in zip(self.ahead, self.back, strict=True):
            states = ahead(sequence), back(sequence, backward=True)
            sequence = relu(self._merged(*states))
        last = relu(self._merged(states[0][-1], states[1][0]))
        return self.head(relu(self.conv(last.movedim(-1, 1))).flatten(1))

    def _merged(self, ahead: Tensor, back: Tensor) -> Tensor:
        return torch.cat([ahead, back], dim=-1) if self.merge == "concat" else ahead + back


class ConvSTAR(nn.Module):
    """The rival ConvSTAR. x: (n, t, f, s, s) float32 scaled to 0 to 1, s odd, 3 or more -> logits (n, k) float32."""

    def __init__(self, steps: int, features: int, classes: int, patch: int, *, outer_tanh: bool = True) -> None:
        super().__init__()
        check_size("convstar", steps, patch, least_patch=KERNEL)
        widths = (features, *[UNITS] * (LAYERS - 1))
        self.layers = nn.ModuleList(StarLayer(width, outer_tanh=outer_tanh) for width in widths)
        self.out = nn.Conv2d(UNITS, classes, KERNEL)
        channels_last(self)

    def forward(self, x: Tensor) -> Tensor:
        sequence = x.permute(1, 0, 3, 4, 2).contiguous()
        for layer in self.layers:
            sequence = layer(sequence)
        edge = (x.shape[-1] - KERNEL) // 2
        around = sequence[-1, :, edge : edge + KERNEL, edge : edge + KERNEL]
        return self.out(around.movedim(-1, 1)).flatten(1)


class StarLayer(nn.Module):
    """One recurrent layer of the cell above.

    sequence: (t, n, s, s, c) float32 -> its state after each step (t, n, s, s, UNITS) float32, in time's order also
    where it goes ``backward`` from the last step to the first. Under autocast gates and states stay float32.
    """

    def __init__(self, inputs: int, *, outer_tanh: bool = True) -> None:
        super().__init__()
        self.outer_tanh = outer_tanh
        self.input = nn.Conv2d(inputs, 2 * UNITS, KERNEL, padding=1)  # the gates, then the new values
        self.state = nn.Conv2d(UNITS, UNITS, KERNEL, padding=1, bias=False)
        for kernel in (*self.input.weight.detach().split(UNITS), self.state.weight):
            nn.init.orthogonal_(kernel)
        assert self.input.bias is not None
        gate_bias, new_bias = self.input.bias.detach().split(UNITS)
        nn.init.constant_(gate_bias, GATE_BIAS)
        nn.init.zeros_(new_bias)

    def forward(self, sequence: Tensor, *, backward: bool = False) -> Tensor:
        inputs = _convolved(self.input, sequence.flatten(0, 1)).unflatten(0, sequence.shape[:2]).float()
        steps = list(zip(*inputs.split(UNITS, dim=-1), strict=True))
        (gate, new), *rest = reversed(steps) if backward else steps
        states = [self._squashed(torch.sigmoid(gate) * torch.tanh(new))]
        for gate, new in rest:
            share = torch.sigmoid(gate + _convolved(self.state, states[-1]))
            states.append(self._squashed(torch.lerp(states[-1], torch.tanh(new), share)))
        return torch.stack(states[::-1] if backward else states)

    def _squashed(self, state: Tensor) -> Tensor:
        return torch.tanh(state) if self.outer_tanh else state


def _convolved(conv: nn.Conv2d, images: Tensor) -> Tensor:
    """``conv`` of images (n, s, s, c), which are channels last already: no copy."""
    return conv(images.movedim(-1, 1)).movedim(1, -1)
