"""Items and a tile -> the tile's cube block: masked, despeckled, composited to steps, unfilled, with counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal, Protocol

import numpy as np
from dask.threaded import get
from numpy.typing import NDArray

from engine.errors import TileError
from engine.read import Patch
from engine.types import ASSET_BANDS, SENSOR_BANDS, Axis, Item, Layer, LayerName, Options, Window, digest, sensor_of
from kernels.composite import max_gcvi_update, mean_finish, mean_update
from kernels.polarimetry import m_chi
from kernels.scaling import encode_reflectance, encode_temperature, pixel_qa_valid, qa_pixel_valid, scl_valid
from kernels.speckle import refined_lee, refined_lee_c2

STAGE_VERSION = "cube-2"
"""Raised whenever this stage's arithmetic changes: it is part of every cube tile's key."""

_HALO_PX = 3  # the refined Lee window is 7 x 7
_GREEN, _NIR = SENSOR_BANDS["optical"].index("green"), SENSOR_BANDS["optical"].index("nir")


class CubeOptions(Options):
    """Where the cube lies and what its layers hold."""

    uri: str
    layers: tuple[LayerName, ...] | None = None
    """None: one layer per sensor under ``inputs``."""
    despeckle: Literal["refined_lee", "none"] = "refined_lee"
    scl_drop: tuple[int, ...] = (0, 1, 3, 8, 9, 10, 11)
    """Classes of Sentinel-2's scene classification that are no ground seen clearly."""


class Reader(Protocol):
    """One band of one item for a window of the grid, grown by ``margin`` source pixels; None where they do not meet."""

    def __call__(self, item: Item, band: str, window: Window, margin: int = 0) -> Patch | None: ...


def items_by_step(axis: Axis, items: Sequence[Item]) -> list[list[Item]]:
    """For each step the items observed in it, earliest first."""
    ordered = sorted(items, key=lambda item: (item.datetime, item.id))
    return [
        [item for item in ordered if start <= item.datetime < end]
        for start, end in zip(axis.starts, axis.ends, strict=True)
    ]


def step_keys(layer: str, axis: Axis, items: Sequence[Item], tile_digest: str) -> list[str]:
    """For each step 12 hexadecimal digits that change when anything that decides the step's pixels does."""
    keys = []
    for start, end, members in zip(axis.starts, axis.ends, items_by_step(axis, items), strict=True):
        parts = [layer, tile_digest, start.isoformat(), end.isoformat(), [item.identity for item in members]]
        keys.append(digest(parts)[:12])
    return keys


def build_layer(
    layer: str,
    steps: Mapping[int, Sequence[Item]],
    window: Window,
    read: Reader,
    options: CubeOptions,
    threads: int = 4,
) -> dict[int, Layer]:
    """Composites of the asked steps, each a Layer with t = 1.

    ``steps`` maps a step's number to its items, earliest first. The steps are one small Dask graph, computed on
    ``threads`` threads of this process: reading and kernels release the GIL.
    """
    make: Callable[..., Layer] = {"optical": _optical_step, "c2": _m_chi_step}.get(layer, _mean_step)
    # Partials, not dask.delayed: that walks through every argument in search of Dask objects, a sixth of a tile's time.
    graph = {
        number: (partial(make, sensor_of(layer), items, window, read, options),) for number, items in steps.items()
    }
    return dict(zip(graph, get(graph, list(graph), num_workers=threads), strict=True))


def _optical_step(sensor: str, items: Sequence[Item], window: Window, read: Reader, options: CubeOptions) -> Layer:
    """All bands of each pixel from the clear date with the largest GCVI; ties keep the earliest."""
    bands = SENSOR_BANDS[sensor]
    best = np.full(window.shape, -np.inf, np.float32)
    composite = np.zeros((len(bands), *window.shape), np.uint16)
    count = np.zeros(window.shape, np.uint8)
    for item in items:
        valid = _clear(item, window, read, options)
        if valid is None or not valid.any():
            continue  # nothing to see: the bands are not fetched
        planes = [_reflectance(item, band, window, read) for band in bands]
        if any(plane is None for plane in planes):
            continue
        dn = np.stack([plane for plane in planes if plane is not None])
        max_gcvi_update(best, composite, count, dn, valid, green=_GREEN, nir=_NIR)
    return Layer(composite[None], count[None])


def _mean_step(sensor: str, items: Sequence[Item], window: Window, read: Reader, options: CubeOptions) -> Layer:
    """Mean over the step's items: radar in linear power, despeckled first; surface temperature where clear."""
    bands = SENSOR_BANDS[sensor]
    total = np.zeros((len(bands), *window.shape), np.float64)
    number = np.zeros((len(bands), *window.shape), np.uint16)
    for item in items:
        values = np.stack([_physical(sensor, item, band, window, read, options) for band in bands])
        mean_update(total, number, values)
    mean = mean_finish(total, number)
    count = np.minimum(number.min(axis=0), 255).astype(np.uint8)
    return Layer((encode_temperature(mean) if sensor == "thermal" else mean)[None], count[None])


def _m_chi_step(sensor: str, items: Sequence[Item], window: Window, read: Reader, options: CubeOptions) -> Layer:
    """Mean covariance over the step's items, each despeckled first with one weight for all its elements, then m-chi:
    powers of the mean matrix, not means of powers, since averaging is what tells unpolarised from polarised."""
    total = np.zeros((len(ASSET_BANDS[sensor]), *window.shape), np.float64)
    number = np.zeros(total.shape, np.uint16)
    for item in items:
        values = _covariance(sensor, item, window, read, options)
        if values is not None:
            mean_update(total, number, values)
    ps, pd, pv = m_chi(*mean_finish(total, number))
    return Layer(np.stack([ps, pd, pv])[None], np.minimum(number.min(axis=0), 255).astype(np.uint8)[None])


def _covariance(
    sensor: str, item: Item, window: Window, read: Reader, options: CubeOptions
) -> NDArray[np.float32] | None:
    """(4, y, x) float32 C2 on the window, NaN in all four where any is missing; None where the item does not reach."""
    despeckle = options.despeckle == "refined_lee"
    patches = [read(item, band, window, _HALO_PX if despeckle else 0) for band in ASSET_BANDS[sensor]]
    if any(patch is None for patch in patches):
        return None
    found = [(band, patch) for band, patch in zip(ASSET_BANDS[sensor], patches, strict=True) if patch is not None]
    if len({patch.values.shape for _, patch in found}) > 1:
        raise TileError(
            "the four elements of its covariance lie on different pixels",
            expected="c11, c22, c12_real and c12_imag on one grid",
            place=f"item {item.id}",
            remedy="write them from one product, or leave the item out",
        )
    planes = [_in_units(item, band, patch) for band, patch in found]
    gone = ~np.isfinite(planes).all(axis=0) | ~(planes[0] > 0) | ~(planes[1] > 0)
    for plane in planes:
        plane[gone] = np.nan
    filtered = refined_lee_c2(*planes) if despeckle else planes
    return np.stack([patch.on_grid(plane, np.nan) for (_, patch), plane in zip(found, filtered, strict=True)])


def _in_units(item: Item, band: str, patch: Patch) -> NDArray[np.float32]:
    """A patch's numbers in physical units, float32, NaN for its nodata."""
    asset = item.assets[band]
    values: NDArray[np.float32] = patch.values.astype(np.float32) * np.float32(asset.scale) + np.float32(asset.offset)
    if asset.nodata is not None and not np.isnan(asset.nodata):
        values[patch.values == asset.nodata] = np.nan
    return values


def _physical(
    sensor: str, item: Item, band: str, window: Window, read: Reader, options: CubeOptions
) -> NDArray[np.float32]:
    """One band in physical units on the window, float32, NaN where there is no clear observation."""
    despeckle = sensor == "radar" and options.despeckle == "refined_lee"
    patch = read(item, band, window, _HALO_PX if despeckle else 0)
    if patch is None:
        return np.full(window.shape, np.nan, np.float32)
    values = _in_units(item, band, patch)
    if sensor == "radar":
        _refuse_decibels(values, item, band)
        values[~(values > 0)] = np.nan  # zero power is the border fill of every provider
    if despeckle:
        values = refined_lee(values)  # in the source's own pixels: resampled speckle is no longer speckle
    placed: NDArray[np.float32] = patch.on_grid(values, np.nan)
    if sensor == "thermal":
        clear = _clear(item, window, read, options)
        placed[~clear if clear is not None else slice(None)] = np.nan
    return placed


def _reflectance(item: Item, band: str, window: Window, read: Reader) -> NDArray[np.uint16] | None:
    patch = read(item, band, window)
    if patch is None:
        return None
    asset = item.assets[band]
    nodata = 0 if asset.nodata is None else asset.nodata
    encoded = encode_reflectance(patch.values, asset.scale, asset.offset, nodata)
    return patch.on_grid(encoded, 0)


def _clear(item: Item, window: Window, read: Reader, options: CubeOptions) -> NDArray[np.bool_] | None:
    """True where the item's own quality layer sees the ground; None where the item does not reach the window."""
    if item.mask_kind is None:
        return np.ones(window.shape, np.bool_)
    patch = read(item, "mask", window)
    if patch is None:
        return None
    if item.mask_kind == "scl":
        valid = scl_valid(patch.values.astype(np.uint8), options.scl_drop)
    elif item.mask_kind == "qa_pixel":
        valid = qa_pixel_valid(patch.values.astype(np.uint16))
    else:
        valid = pixel_qa_valid(patch.values.astype(np.uint16))
    return patch.on_grid(valid, False)


def _refuse_decibels(values: NDArray[np.float32], item: Item, band: str) -> None:
    finite = values[np.isfinite(values)]
    if finite.size and float(np.median(finite)) < 0:
        raise TileError(
            f"median {float(np.median(finite)):.1f}, so it looks like decibels",
            expected="backscatter in linear power",
            place=f"item {item.id}, asset {band}",
            remedy="use a linear-power product (RTC), or convert it",
        )
