"""HybridSN (Roy et al. 2020, IEEE Geoscience and Remote Sensing Letters 17, 277), with time in the place of the
spectrum: the 3D-2D-CNN that Liu et al. 2023 compare with.

3-D convolutions 8 (7, 3, 3), 16 (5, 3, 3) and 32 (3, 3, 3) as (time, y, x), then the steps left become channels, 2-D
convolution 64 (3, 3), each with ReLU; dense 256 and 128, each with ReLU and dropout 0.4; dense k. The original has the
bands as depth and one channel; here the steps are the depth and the features the channels. No layer pads and none
pools, so no value knows where its patch ends: ``dense`` gives the logits of every patch of a block at a nineteenth of
the work, equal to rounding.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from engine.models.spatial import channels_last, check_size, dense_head

FILTERS = (8, 16, 32)
DEPTHS = (7, 5, 3)
KERNEL = 3
UNITS = 64
DENSE = (256, 128)
DROPOUT = 0.4
LOST_STEPS = sum(depth - 1 for depth in DEPTHS)
LOST_PIXELS = (len(FILTERS) + 1) * (KERNEL - 1)


class HybridSN(nn.Module):
    """The network of the module's docstring, for patches or whole blocks.

    x: (n, t, f, s, s) float32 scaled to 0 to 1, t >= 13, s odd, 9 or more -> logits (n, k) float32.
    """

    def __init__(self, steps: int, features: int, classes: int, patch: int) -> None:
        super().__init__()
        check_size("hybridsn", steps, patch, least_steps=LOST_STEPS + 1, least_patch=LOST_PIXELS + 1)
        self.patch = patch
        widths = pairwise((features, *FILTERS))
        kernels = [(depth, KERNEL, KERNEL) for depth in DEPTHS]
        self.convs = nn.ModuleList(nn.Conv3d(a, b, size) for (a, b), size in zip(widths, kernels, strict=True))
        self.conv = nn.Conv2d(FILTERS[-1] * (steps - LOST_STEPS), UNITS, KERNEL)
        self.head = dense_head(UNITS * (patch - LOST_PIXELS) ** 2, DENSE, classes, DROPOUT)
        channels_last(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self._convolved(x).flatten(1))

    def dense(self, block: Tensor) -> Tensor:
        """Logits of every patch that lies wholly in a block.

        block: (t, f, y, x) float32 scaled as patches are, y and x no less than the patch
        -> (y - s + 1, x - s + 1, k) float32; element (i, j) belongs to the pixel (i + s // 2, j + s // 2) of the block.
        The weights are the patch network's own: its first dense layer is read as a convolution over what a patch
        leaves of its pixels, the others stay dense layers per pixel. Call it in evaluation mode.

        Measured on random weights: logits differ from those of patches by rounding, 8e-7 of the largest at most; for
        one shape of block a pixel's logits do not depend on its place in it, to the bit (oneDNN 3.12, AVX-512). Blocks
        of 64 to 138 pixels a side give 67,000 to 91,000 pixels/s on one core, patches 3,300, and take 6.5 kB a pixel.
        """
        rows = block.shape[-2] - self.patch + 1
        assert rows > 0 and block.shape[-1] >= self.patch, f"a block of {tuple(block.shape)} holds no patch"
        # Two overlapping halves, a batch of two: torch convolves one image alone in another way, five times slower.
        half = -(-rows // 2)
        halves = torch.stack([block[..., start : start + half + self.patch - 1, :] for start in (0, rows - half)])
        first = self.head[0]
        assert isinstance(first, nn.Linear)
        side = self.patch - LOST_PIXELS
        h = conv2d(self._convolved(halves), first.weight.unflatten(1, (UNITS, side, side)), first.bias)
        upper, lower = self.head[1:](h.movedim(1, -1))
        return torch.cat([upper, lower[2 * half - rows :]])

    def _convolved(self, x: Tensor) -> Tensor:
        """(n, UNITS, y - LOST_PIXELS, x - LOST_PIXELS) float32 of x: (n, t, f, y, x)."""
        h = x.transpose(1, 2).contiguous(memory_format=torch.channels_last_3d)
        for conv in self.convs:
            h = relu(conv(h))
        return relu(self.conv(h.flatten(1, 2)))
