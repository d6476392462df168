"""The ground every overpass sees: parcels with texture, mixed at their edges, strip by strip.

A scene is made in strips of rows, its random numbers drawn per (seed, scene, band, strip), so that memory is bounded by
the strip and the finished bands, and bytes do not depend on what was made before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.demo.covers import BUILT_UP, COVERS, WATER
from jobs.demo.fields import Landscape
from jobs.demo.phenology import Growth, State
from jobs.demo.signal import Traits, reflectance
from jobs.demo.sky import SmoothNoise, Weather, stream

PIXEL_M = 10.0
STRIP = 300
"""Rows of 10 m per strip; a multiple of 6, so that 20 m and 30 m pixels end with it."""
EDGE_BLUR = 0.13
"""Weight of each neighbour along a row or column in the sensor's point spread at 10 m."""
CODES = np.array([c.code for c in COVERS])

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Canvas:
    """All that scenes are made from.

    canopy_texture, soil_texture: (y, x) float16, variation within fields, mean 0, sd 1, on ``landscape.ids``' grid.
    """

    seed: int
    landscape: Landscape
    growth: Growth
    traits: Traits
    weather: Weather
    canopy_texture: NDArray[np.float16]
    soil_texture: NDArray[np.float16]

    @property
    def pixels(self) -> int:
        """Rows and columns of 10 m."""
        return len(self.landscape.ids)

    @property
    def side_m(self) -> float:
        """Length of a side in metres."""
        return self.pixels * PIXEL_M


def make_texture(seed: int, name: str, pixels: int) -> NDArray[np.float16]:
    """(y, x) float16, mean 0, sd 1: patches of 250 m, spots of 40 m and single pixels."""
    out = np.empty((pixels, pixels), np.float16)
    wide, near = (SmoothNoise(stream(seed, name, cell), pixels * PIXEL_M, float(cell)) for cell in (250, 40))
    x = centres(0, pixels, 1)
    for top, bottom in strips(pixels):
        y = centres(top, bottom, 1)
        spots = stream(seed, name, "spots", top).standard_normal((bottom - top, pixels), np.float32)
        out[top:bottom] = 0.65 * wide.at(y, x) + 0.55 * near.at(y, x) + 0.52 * spots
    return out


def strips(pixels: int) -> Iterator[tuple[int, int]]:
    """Half-open row ranges of the strips, from the top."""
    for top in range(0, pixels, STRIP):
        yield top, min(top + STRIP, pixels)


def centres(first: int, last: int, factor: int) -> NDArray[np.float64]:
    """Centres in metres of the pixels of ``factor`` x 10 m between the 10 m rows ``first`` and ``last``."""
    return np.asarray((np.arange(first // factor, last // factor) + 0.5) * factor * PIXEL_M, np.float64)


def coarsen(values: F32, factor: int) -> F32:
    """Mean over squares of ``factor`` pixels; the last two axes shrink by it."""
    if factor == 1:
        return values
    height, width = (size // factor for size in values.shape[-2:])
    rows = values.reshape(*values.shape[:-2], height, factor, width * factor).sum(axis=-2)
    return np.asarray(rows.reshape(*values.shape[:-2], height, width, factor).sum(axis=-1) / np.float32(factor**2))


def ground(canvas: Canvas, state: State, wet: float, top: int, bottom: int) -> F32:
    """(5, y, x) reflectance without air or cloud of rows ``top`` to ``bottom`` at 10 m, mixed across field edges."""
    rows = slice(max(top - 1, 0), min(bottom + 1, canvas.pixels))
    ids = canvas.landscape.ids[rows]
    mixture = reflectance(state, canvas.traits, wet)
    code = CODES[state.cover]
    # water is even, villages are a patchwork, and a half-closed canopy is patchier than a closed one
    patchy = np.where(code == WATER, 0.0, np.where(code == BUILT_UP, 3.0, canvas.traits.patchy))
    spread = (patchy * (0.045 + 0.16 * mixture.share * (1 - mixture.share))).astype(np.float32)
    share = np.clip(mixture.share[ids] + spread[ids] * canvas.canopy_texture[rows], 0.0, 1.0)
    tone = 1 + (0.06 * patchy).astype(np.float32)[ids] * canvas.soil_texture[rows]
    np.clip(tone, 0.4, 1.8, out=tone)
    out = np.empty((len(mixture.ground.T), bottom - top, canvas.pixels), np.float32)
    pad = ((int(top == 0), int(bottom == canvas.pixels)), (1, 1))
    for band, (soil, canopy) in enumerate(zip(mixture.ground.T, mixture.canopy.T, strict=True)):
        bare = tone * soil[ids]
        out[band] = _blur(np.pad(bare + share * (canopy[ids] - bare), pad, mode="edge"))
    return out


def _blur(padded: F32) -> F32:
    """The sensor's point spread; one pixel is lost on every side."""
    centre = np.float32(1 - 2 * EDGE_BLUR)
    down = centre * padded[1:-1] + np.float32(EDGE_BLUR) * (padded[:-2] + padded[2:])
    return np.asarray(centre * down[:, 1:-1] + np.float32(EDGE_BLUR) * (down[:, :-2] + down[:, 2:]))
