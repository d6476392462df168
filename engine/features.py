"""Cube block -> model input, by the recipe of a model card: decode, fill or smooth up to the cut-off, derive indices.

Bands are filled first and indices derived from the filled bands, so that every index agrees with the bands beside it.
Only the leading ``recipe.steps`` of the axis are looked at: nothing after the cut-off can leak into what is filled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.types import FEATURE_BANDS, SENSOR_BANDS, CubeBlock, FeatureBlock
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
    bands = {band for name in features for band in FEATURE_BANDS[name]}
    return tuple(layer for layer, own in SENSOR_BANDS.items() if bands & set(own))


def derive(block: CubeBlock, recipe: NeedsFeatures) -> FeatureBlock:
    """The model's input for one tile.

    block: layers of engine.types.Layer with at least ``recipe.steps`` steps. Returns x (t, f, y, x) float32 in
    physical units (reflectance 0 to 1, linear power, kelvin, index), NaN where a pixel's series holds no observation
    at all; valid (y, x) True where the optical layer (or, without one, every layer) was seen at least once.
    """
    wanted = layers_needed(recipe.features)
    bands: dict[str, NDArray[np.float32]] = {}
    seen: dict[str, NDArray[np.bool_]] = {}
    for layer in wanted:
        held = block[layer]
        for index, band in enumerate(SENSOR_BANDS[layer]):
            bands[band] = _filled(layer, held.values[: recipe.steps, index], recipe)
        seen[layer] = np.any(held.count[: recipe.steps] > 0, axis=0)
    x = np.stack([_feature(name, bands) for name in recipe.features], axis=1)
    asked = [seen["optical"]] if "optical" in seen else list(seen.values())
    valid: NDArray[np.bool_] = np.logical_and.reduce(asked, axis=0)
    return FeatureBlock(x, valid)


def hide(features: FeatureBlock, hidden: NDArray[np.bool_]) -> FeatureBlock:
    """The block as if nothing had ever been seen where ``hidden`` (y, x) is True."""
    return FeatureBlock(np.where(hidden, np.float32(np.nan), features.x), features.valid & ~hidden)


def observations(block: CubeBlock, recipe: NeedsFeatures) -> NDArray[np.float32]:
    """(y, x) float32, steps at which the optical layer (without one: any layer) was seen. block: as in ``derive``."""
    wanted = layers_needed(recipe.features)
    asked = ["optical"] if "optical" in wanted else wanted
    seen = np.logical_or.reduce([block[layer].count[: recipe.steps] > 0 for layer in asked])
    return seen.sum(axis=0, dtype=np.float32)


def _filled(layer: str, values: NDArray, recipe: NeedsFeatures) -> NDArray[np.float32]:
    """(t, y, x) as stored -> (t, y, x) float32 physical, gaps filled along time, smoothed where the recipe says so.

    A series of one observation cannot be smoothed: it is filled as the others would be.
    """
    if layer == "optical":
        physical = decode_reflectance(values)
    elif layer == "thermal":
        physical = decode_temperature(values)
    else:
        physical = np.ascontiguousarray(values)
    series = physical.reshape(len(physical), -1)
    filled = fill_linear(series, recipe.hold_ends)
    if recipe.fill == "whittaker":
        smooth = whittaker(series, recipe.smoothing)
        np.copyto(filled, smooth, where=~np.isnan(smooth))
    return filled.reshape(values.shape)


def _feature(name: str, bands: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    if name in _INDEX:
        return _INDEX[name](*(bands[band] for band in FEATURE_BANDS[name]))
    return bands[name]
