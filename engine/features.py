"""Cube block -> model input, by the recipe of a model card: decode, fill or smooth up to the cut-off, derive indices.

Bands are filled first and indices derived from the filled bands, so that every index agrees with the bands beside it.
Only the leading ``recipe.steps`` of the axis are looked at: nothing after the cut-off can leak into what is filled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.bands import FEATURE_BANDS, SENSOR_BANDS
from engine.types import CubeBlock, FeatureBlock
from kernels.indices import evi, gcvi, lswi, ndvi, rvi
from kernels.scaling import decode_reflectance, decode_temperature
from kernels.smooth import fill_linear, whittaker

FEATURES_VERSION = "features-1"
"""Raised whenever this stage's arithmetic changes: it is part of every map tile's key."""

_INDEX: Mapping[str, Callable[..., NDArray[np.float32]]] = {
    "ndvi": ndvi,
    "evi": evi,
    "gcvi": gcvi,
    "lswi": lswi,
    "rvi": rvi,
}


class NeedsFeatures(Protocol):
    """What this stage asks of a recipe."""

    @property
    def features(self) -> tuple[str, ...]: ...

    @property
    def steps(self) -> int: ...

    @property
    def fill(self) -> str: ...

    @property
    def smoothing(self) -> float: ...

    @property
    def hold_ends(self) -> bool: ...


def layers_needed(features: Sequence[str]) -> tuple[str, ...]:
    """The cube layers behind these features, in a fixed order."""
    bands = set(bands_needed(features))
    return tuple(layer for layer, own in SENSOR_BANDS.items() if bands & set(own))


def bands_needed(features: Sequence[str]) -> tuple[str, ...]:
    """The bands behind these features, in the cube's order."""
    bands = {band for name in features for band in FEATURE_BANDS[name]}
    return tuple(band for own in SENSOR_BANDS.values() for band in own if band in bands)


def derive(block: CubeBlock, recipe: NeedsFeatures) -> FeatureBlock:
    """The model's input for one tile.

    block: layers of engine.types.Layer with at least ``recipe.steps`` steps. Returns x (t, f, y, x) float32 in
    physical units (reflectance 0 to 1, linear power, kelvin, index), NaN where a pixel's series holds no observation
    at all; valid (y, x) True where the optical layer (or, without one, every layer) was seen at least once.
    """
    bands: dict[str, NDArray[np.float32]] = {}
    for layer in layers_needed(recipe.features):
        held = block[layer]
        for index, band in enumerate(SENSOR_BANDS[layer]):
            bands[band] = _filled(_decoded(layer, held.values[: recipe.steps, index]), recipe)
    x = np.stack([_feature(name, bands) for name in recipe.features], axis=1)
    return FeatureBlock(x, seen(block, recipe))


def seen(block: CubeBlock, recipe: NeedsFeatures) -> NDArray[np.bool_]:
    """(y, x) True where the optical layer (without one: every layer) was seen once or more. block: as in ``derive``."""
    return np.logical_and.reduce([block[layer].count[: recipe.steps].any(axis=0) for layer in deciding(recipe)])


def unfilled(block: CubeBlock, features: Sequence[str]) -> NDArray[np.float32]:
    """The bands behind these features as they were observed: (t, b, y, x) float32, ``bands_needed``'s order, physical
    units, NaN where nothing was observed. block: as in ``derive``; t is its shortest layer's."""
    wanted = set(bands_needed(features))
    steps = min(len(block[layer].values) for layer in layers_needed(features))
    return np.stack([
        _decoded(layer, block[layer].values[:steps, index])
        for layer in layers_needed(features) for index, band in enumerate(SENSOR_BANDS[layer]) if band in wanted
    ], axis=1)  # fmt: skip


def derive_series(observed: NDArray[np.float32], recipe: NeedsFeatures) -> NDArray[np.float32]:
    """What ``derive`` gives of single pixels, to the bit, from what was observed of them.

    observed: (n, t, b) float32, pixels of ``unfilled``, with at least ``recipe.steps`` steps; later ones are not looked
    at. Returns (n, t, f) float32, NaN where a series holds no observation at all.
    """
    names = bands_needed(recipe.features)
    bands = {band: _filled(observed[:, : recipe.steps, i].T, recipe) for i, band in enumerate(names)}
    x = np.stack([_feature(name, bands) for name in recipe.features], axis=1)
    return np.ascontiguousarray(x.transpose(2, 0, 1))


def hide(features: FeatureBlock, hidden: NDArray[np.bool_]) -> FeatureBlock:
    """The block as if nothing had ever been seen where ``hidden`` (y, x) is True."""
    return FeatureBlock(np.where(hidden, np.float32(np.nan), features.x), features.valid & ~hidden)


def observations(block: CubeBlock, recipe: NeedsFeatures) -> NDArray[np.float32]:
    """(y, x) float32, steps at which the optical layer (without one: any layer) was seen. block: as in ``derive``."""
    any_seen = np.logical_or.reduce([block[layer].count[: recipe.steps] > 0 for layer in deciding(recipe)])
    return any_seen.sum(axis=0, dtype=np.float32)


def deciding(recipe: NeedsFeatures) -> tuple[str, ...]:
    """The layers that say whether a pixel was seen: the optical one, or all where the recipe has none."""
    wanted = layers_needed(recipe.features)
    return ("optical",) if "optical" in wanted else wanted


def _decoded(layer: str, values: NDArray) -> NDArray[np.float32]:
    """(t, ...) as stored -> (t, ...) float32 physical, NaN where nothing was observed."""
    if layer == "optical":
        return decode_reflectance(values)
    if layer == "thermal":
        return decode_temperature(values)
    return np.ascontiguousarray(values)


def _filled(physical: NDArray[np.float32], recipe: NeedsFeatures) -> NDArray[np.float32]:
    """(t, ...) float32 with gaps filled along time, smoothed where the recipe says so.

    A series of one observation cannot be smoothed: it is filled as the others would be.
    """
    series = np.ascontiguousarray(physical).reshape(len(physical), -1)
    filled = fill_linear(series, recipe.hold_ends)
    if recipe.fill == "whittaker":
        smooth = whittaker(series, recipe.smoothing)
        np.copyto(filled, smooth, where=~np.isnan(smooth))
    return filled.reshape(physical.shape)


def _feature(name: str, bands: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    if name in _INDEX:
        return _INDEX[name](*(bands[band] for band in FEATURE_BANDS[name]))
    return bands[name]
