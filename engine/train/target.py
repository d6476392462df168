"""Unlabelled series of the season to be mapped, for a network to adapt to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.keys import shards_around
from engine.predict import cut
from engine.samples import draw
from engine.train.collect import features_of
from engine.train.request import TrainRequest

_MOST_TILES = 256
"""From so many tiles at most are drawn the pixels to adapt to."""


def target_of(request: TrainRequest) -> NDArray[np.float32] | None:
    """Series (m, t, f) float32, physical units, of pixels of the job's own season, inside area and mask, for a network
    to adapt to; None where it is not to. Labels are not looked at, so test pixels may be among them.

    From at most ``_MOST_TILES`` tiles, drawn by the seed, of each as many as its share of the pixels asked for.
    """
    options, season = request.options.adversarial, request.own
    if options is None:
        return None
    seed, ground = request.options.seed + 2, season.ground(request.mask)
    with_cube = [tile for tile in season.tiles if shards_around(season.grid, tile, 0, season.records)]
    drawn = np.random.default_rng(seed).permutation(len(with_cube))[:_MOST_TILES]
    tiles = [with_cube[i] for i in sorted(drawn)]
    upto = np.cumsum([0, *(int(ground.inside(tile.core).sum()) for tile in tiles)])
    shares = np.diff(upto * min(options.series, upto[-1]) // max(upto[-1], 1))
    found = [np.zeros((0, request.recipe.steps, len(request.recipe.features)), np.float32)]
    for tile, share in zip(tiles, shares.tolist(), strict=True):
        if share:
            sums = shards_around(season.grid, tile, 0, season.records)
            features = features_of(request, season, ground, tile, sums)[1]
            free = features.valid & ground.inside(tile.core)
            found.append(cut(features, *draw(free, tile.core, seed, share), 0))
    series = np.concatenate(found)
    if len(series) < 2:
        raise InputError(
            f"{len(series)} pixels of this season seen inside area and mask",
            expected="two or more, to adapt to",
            place="model.train.adversarial",
            remedy="check the mask and the scenes of this season, or leave adversarial out",
        )
    return series
