"""Items and a tile -> the tile's cube block: masked, despeckled, composited to steps, unfilled, with counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from dask.threaded import get
from numpy.typing import NDArray
from pydantic import Field

from engine.bands import ASSET_BANDS, SENSOR_BANDS, LayerName, sensor_of
from engine.errors import TileError
from engine.plausible import (
    Finding,
    impossible_covariances,
    kelvin_fault,
    mask_fault,
    power_fault,
    reflectance_fault,
)
from engine.read import Patch
from engine.types import Axis, Item, Layer, Options, Window, digest
from kernels.composite import max_gcvi_update, mean_finish, mean_update
from kernels.polarimetry import m_chi
from kernels.scaling import (
    ZERO_IS_CLEAR,
    clear_ground,
    decode_reflectance,
    encode_reflectance,
    encode_temperature,
)
from kernels.speckle import refined_lee, refined_lee_c2
from kernels.stacked import latest_valid, median

ClearDate = tuple[NDArray[np.uint16], NDArray[np.bool_]]

STAGE_VERSION = "cube-3"
"""Raised whenever this stage's arithmetic changes: it is part of every cube tile's key."""

_HALO_PX = 3  # the refined Lee window is 7 x 7
_GREEN, _NIR = SENSOR_BANDS["optical"].index("green"), SENSOR_BANDS["optical"].index("nir")


class CubeOptions(Options):
    """Where the cube lies and what its layers hold."""

    uri: str
    """Folder or s3://bucket/prefix of the cube, a Zarr group; built where it is not there."""
    layers: tuple[LayerName, ...] | None = None
    """None: one layer per sensor under ``inputs``."""
    despeckle: Literal["refined_lee", "none"] = "refined_lee"
    """Speckle filter of radar backscatter; none: backscatter as it comes."""
    composite: Literal["max_gcvi", "median", "latest"] = "max_gcvi"
    """Which of a step's clear optical dates counts: all bands from that with the largest GCVI, each band's median, or
    all bands from the latest."""
    scl_drop: tuple[int, ...] = (0, 1, 3, 8, 9, 10, 11)
    """Classes of Sentinel-2's scene classification that are no ground seen clearly."""
    cloud_probability: Annotated[int, Field(ge=1, le=100)] = 40
    """Of scenes whose quality layer is a probability of cloud: ground is taken as clear below so many per cent."""
    threads: Annotated[int, Field(ge=1, le=64)] = 8
    """Steps of a tile that a worker reads and composites at a time. Pixels do not depend on it; the farther the scenes,
    the more help (30 ms away: 4 take 2.5 s a tile, 8 1.4 s, 16 0.9 s; each holds the dates it works on in memory)."""

    @property
    def arithmetic(self) -> list[Any]:
        """Whatever here decides a pixel, beside the items."""
        return [STAGE_VERSION, self.despeckle, self.composite, list(self.scl_drop), self.cloud_probability]


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
    threads: int | None = None,
) -> dict[int, Layer]:
    """Composites of the asked steps, each a Layer with t = 1.

    ``steps`` maps a step's number to its items, earliest first. The steps are one small Dask graph, computed on
    ``threads`` (else ``options.threads``) threads of this process: reading and kernels release the GIL.
    """
    make: Callable[..., Layer] = {"optical": _optical_step, "c2": _m_chi_step}.get(layer, _mean_step)
    # Partials, not dask.delayed: that walks through every argument in search of Dask objects, a sixth of a tile's time.
    graph = {
        number: (partial(make, sensor_of(layer), items, window, read, options),) for number, items in steps.items()
    }
    return dict(zip(graph, get(graph, list(graph), num_workers=threads or options.threads), strict=True))


def _optical_step(sensor: str, items: Sequence[Item], window: Window, read: Reader, options: CubeOptions) -> Layer:
    """The step's clear dates made one, as ``options.composite`` says."""
    dates = _clear_dates(sensor, items, window, read, options)
    if options.composite != "max_gcvi":
        return _optical_stack(list(dates), len(SENSOR_BANDS[sensor]), window, options)
    best = np.full(window.shape, -np.inf, np.float32)
    composite = np.zeros((len(SENSOR_BANDS[sensor]), *window.shape), np.uint16)
    count = np.zeros(window.shape, np.uint8)
    for dn, valid in dates:  # one after the other: only one is in memory
        max_gcvi_update(best, composite, count, dn, valid, green=_GREEN, nir=_NIR)
    return Layer(composite[None], count[None])


def _optical_stack(dates: Sequence[ClearDate], bands: int, window: Window, options: CubeOptions) -> Layer:
    """Median or latest of the dates, all in memory."""
    dn = np.stack([dn for dn, _ in dates]) if dates else np.zeros((0, bands, *window.shape), np.uint16)
    valid = np.stack([valid for _, valid in dates]) if dates else np.zeros((0, *window.shape), np.bool_)
    composite, count = median(dn, valid) if options.composite == "median" else latest_valid(dn, valid)
    return Layer(composite[None], count[None])


def _clear_dates(
    sensor: str, items: Sequence[Item], window: Window, read: Reader, options: CubeOptions
) -> Iterator[ClearDate]:
    """(b, y, x) uint16 cube DN and (y, x) clear, of every item that sees any of the window."""
    for item in items:
        valid = clear(item, window, read, options)
        if valid is None or not valid.any():
            continue  # nothing to see: the bands are not fetched
        planes = [_reflectance(item, band, window, read) for band in SENSOR_BANDS[sensor]]
        if all(plane is not None for plane in planes):
            dn = np.stack([plane for plane in planes if plane is not None])
            _refuse(_unlike_land(dn, valid), f"item {item.id}")
            yield dn, valid


def _unlike_land(dn: NDArray[np.uint16], valid: NDArray[np.bool_]) -> Finding | None:
    """What a sample of a date's clear pixels, every fourth of every fourth row, shows that they are no reflectance."""
    some = decode_reflectance(np.ascontiguousarray(dn[:, ::4, ::4]))
    some[:, ~valid[::4, ::4]] = np.nan
    return reflectance_fault(some)


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
    planes = [patch.physical() for _, patch in found]
    for band, plane in zip(("c11", "c22"), planes[:2], strict=True):
        _refuse(power_fault(plane), f"item {item.id}, asset {band}")
    gone = ~np.isfinite(planes).all(axis=0) | ~(planes[0] > 0) | ~(planes[1] > 0)
    wrong, fault = impossible_covariances(planes, ~gone)
    _refuse(fault, f"item {item.id}")
    gone |= wrong
    for plane in planes:
        plane[gone] = np.nan
    filtered = refined_lee_c2(*planes) if despeckle else planes
    return np.stack([patch.on_grid(plane, np.nan) for (_, patch), plane in zip(found, filtered, strict=True)])


def _physical(
    sensor: str, item: Item, band: str, window: Window, read: Reader, options: CubeOptions
) -> NDArray[np.float32]:
    """One band in physical units on the window, float32, NaN where there is no clear observation."""
    despeckle = sensor == "radar" and options.despeckle == "refined_lee"
    patch = read(item, band, window, _HALO_PX if despeckle else 0)
    if patch is None:
        return np.full(window.shape, np.nan, np.float32)
    values = patch.physical()
    if sensor == "radar":
        _refuse(power_fault(values), f"item {item.id}, asset {band}")
        values[~((values > 0) & (values < np.inf))] = np.nan  # zero power is the border fill of every provider
    if despeckle:
        values = refined_lee(values)  # in the source's own pixels: resampled speckle is no longer speckle
    placed: NDArray[np.float32] = patch.on_grid(values, np.nan)
    if sensor == "thermal":
        seen = clear(item, window, read, options)
        placed[~seen if seen is not None else slice(None)] = np.nan
        _refuse(kelvin_fault(placed), f"item {item.id}, asset {band}")
    return placed


def _reflectance(item: Item, band: str, window: Window, read: Reader) -> NDArray[np.uint16] | None:
    patch = read(item, band, window)
    if patch is None:
        return None
    dn, valid = patch.values, patch.valid
    if dn.dtype not in (np.uint16, np.int16, np.float32):
        small = np.uint16 if dn.dtype == np.uint8 else np.int16 if dn.dtype == np.int8 else np.float32
        valid, dn = valid & (dn != 0) if dn.dtype.kind in "ui" else valid, dn.astype(small)
    try:
        encoded = encode_reflectance(dn, patch.scale, patch.offset, None)
    except ValueError as error:
        raise TileError(
            str(error), place=f"item {item.id}, asset {band}", remedy="leave the item out (inputs.optical.exclude)"
        ) from None
    return patch.on_grid(np.multiply(encoded, valid, out=encoded), 0)


def clear(item: Item, window: Window, read: Reader, options: CubeOptions) -> NDArray[np.bool_] | None:
    """True where the item's own quality layer sees the ground; None where the item does not reach the window."""
    if item.mask_kind is None:
        return np.ones(window.shape, np.bool_)
    patch = read(item, "mask", window)
    if patch is None:
        return None
    classes = _classes(patch, item.mask_kind, f"item {item.id}, asset mask")
    _refuse(mask_fault(item.mask_kind, classes[::4, ::4]), f"item {item.id}, asset mask")
    seen = clear_ground(item.mask_kind, classes, options.scl_drop, options.cloud_probability)
    # Catalogues call 0 no data in layers where it is a class as well: Earth Search does so of probabilities of cloud.
    known = patch.valid | (patch.values == 0) if item.mask_kind in ZERO_IS_CLEAR else patch.valid
    return patch.on_grid(seen & known, False)


def _classes(patch: Patch, kind: str, place: str) -> NDArray[Any]:
    """The quality layer's numbers in the type of their kind, 0 for its no data; TileError where one does not fit."""
    held, dtype = patch.known(0), np.uint16 if kind in ("qa_pixel", "pixel_qa") else np.uint8
    classes: NDArray[Any] = held.astype(dtype)
    wrong = held[classes != held]
    if wrong.size:
        raise TileError(
            f"a pixel of its quality layer holds {wrong[0]:g}",
            expected=f"{kind}: whole numbers from 0 to {np.iinfo(dtype).max}",
            place=place,
            remedy="name its quality layer under inputs.*.assets.mask, or leave the item out (exclude)",
        )
    return classes


def _refuse(fault: Finding | None, place: str) -> None:
    """TileError for what shows that the numbers cannot be what the item says."""
    if fault is not None:
        raise TileError(fault.seen, expected=fault.expected, place=place, remedy=fault.remedy)
