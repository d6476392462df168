"""Several vegetation indices in one pass from uint16 DN: scaled, masked and derived while the pixels are in cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import contiguous, destination, refuse_overlap
from kernels.indices import enhanced, leaf_area, normalised, ratio
from kernels.jit import jit

BANDS = ("nir", "red", "green", "blue", "swir1")

INDEX_BANDS: Mapping[str, tuple[str, ...]] = {
    "ndvi": ("nir", "red"),
    "evi": ("nir", "red", "blue"),
    "gcvi": ("nir", "green"),
    "lswi": ("nir", "swir1"),
    "rvi": ("nir", "red"),
    "ndwi": ("green", "nir"),
    "lai": ("nir", "red", "blue"),
}
"""Every index this pass knows, and its bands; the formulae are those of ``kernels.indices``."""

_NDVI, _EVI, _GCVI, _LSWI, _RVI, _NDWI, _LAI = range(len(INDEX_BANDS))
_NIR, _RED, _GREEN, _BLUE, _SWIR1 = range(len(BANDS))

_RUN = 32768
"""Pixels per pass: the DN of five bands (320 KiB) stay in the second-level cache while the indices are made of them.
Each index decodes its bands anew: cheaper than to write decoded bands and read them back (measured, four indices: 455
against 989 million pixels a second). Runs that fit the first-level cache let the memory idle (4096 pixels: 728)."""

_NAN = np.float32(np.nan)

Units = tuple[np.float32, np.float32, np.float32]
"""Offset in DN, reflectance 1 in DN, and the limit of EVI."""


def indices_from_dn(
    names: Sequence[str],
    bands: Mapping[str, NDArray[np.uint16]],
    *,
    scale: float = 0.0001,
    offset: float = -0.1,
    valid: NDArray | None = None,
    clip: bool = True,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """The named indices, one after the other along the first axis.

    names: of ``INDEX_BANDS``, any number, any order. bands: by name of ``BANDS``, at least those the indices need, one
    common shape (any number of dimensions), uint16, DN, 0 = no data; others are not read. reflectance = DN * scale +
    offset, the same for all bands; the defaults are the cube's encoding and that of Sentinel-2 from baseline 04.00.
    valid: that shape, bool or uint8, 0 where a mask forbids the pixel. clip: hold EVI in [-1, 1].
    out: (k, *shape) float32, C-contiguous, sharing no memory with the inputs.

    Returns (k, *shape) float32, dimensionless, NaN where a band of that index is 0, ``valid`` is 0, or the denominator
    is 0 (EVI: <= 0). Works in units of ``scale``, where an offset that is a whole number of DN (-0.1 / 0.0001) makes
    every band exact in float32: ratios then err as ``kernels.indices`` says of exact reflectance. Otherwise each band
    carries an error up to 2^-23 (|offset| + |reflectance|) into the formula.
    Raises ValueError on an unknown name, a missing band, another dtype or shape, or a scale or offset that is not
    finite or a scale that is not positive.
    """
    unknown = [name for name in names if name not in INDEX_BANDS]
    if unknown or not names:
        raise ValueError(f"indices {unknown or 'none'}, expected some of {', '.join(INDEX_BANDS)}; name those")
    needed = {band for name in names for band in INDEX_BANDS[name]}
    if missing := sorted(needed - set(bands)):
        raise ValueError(f"bands {', '.join(missing)} are not given, expected for {', '.join(names)}; add them")
    if not (np.isfinite(scale) and np.isfinite(offset) and scale > 0):
        raise ValueError(f"scale {scale}, offset {offset}: expected finite numbers, scale > 0; check the item's bands")
    shape = bands["nir"].shape  # every index has near infrared in it
    empty = np.empty(0, np.uint16)
    flat = tuple(_flat(band, bands[band], shape) if band in needed else empty for band in BANDS)
    mask = np.empty(0, np.uint8) if valid is None else _mask(valid, shape)
    target = destination(out, (len(names), *shape), np.float32)
    refuse_overlap(target, mask, *flat)
    codes = np.array([list(INDEX_BANDS).index(name) for name in names])
    units = np.float32(round(offset / scale, 6)), np.float32(1.0 / scale), np.float32(1.0 if clip else np.inf)
    _fused(flat, mask, codes, units, target.reshape(len(names), -1))
    return target


def _flat(name: str, array: NDArray, shape: tuple[int, ...]) -> NDArray:
    return contiguous(name, array, np.uint16, shape).reshape(-1)


def _mask(valid: NDArray, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    flags = contiguous("valid", valid, np.uint8 if valid.dtype == np.uint8 else np.bool_, shape)
    return flags.reshape(-1).view(np.uint8)


@jit
def _fused(bands: tuple[NDArray, ...], valid: NDArray, codes: NDArray, units: Units, out: NDArray) -> None:
    """Every index of a run of pixels, one short loop each: few enough arrays to be SIMD."""
    clear = np.ones(min(_RUN, out.shape[1]), np.uint8)
    for start in range(0, out.shape[1], _RUN):
        stop = min(start + _RUN, out.shape[1])
        seen = valid[start:stop] if valid.size > 0 else clear
        for k in range(codes.size):
            _index(codes[k], bands, start, seen, units, out[k][start:stop])


@jit
def _index(code: int, bands: tuple[NDArray, ...], start: int, seen: NDArray, units: Units, out: NDArray) -> None:
    nir = bands[_NIR][start:]
    shift, one, limit = units
    if code == _NDVI:
        _difference(nir, bands[_RED][start:], seen, shift, out)
    elif code == _LSWI:
        _difference(nir, bands[_SWIR1][start:], seen, shift, out)
    elif code == _NDWI:
        _difference(bands[_GREEN][start:], nir, seen, shift, out)
    elif code == _GCVI:
        _ratio(nir, bands[_GREEN][start:], seen, shift, np.float32(1.0), out)
    elif code == _RVI:
        _ratio(nir, bands[_RED][start:], seen, shift, np.float32(0.0), out)
    elif code in (_EVI, _LAI):
        _evi((nir, bands[_RED][start:], bands[_BLUE][start:]), seen, shift, (one, limit), out)
        if code == _LAI:
            leaf_area(out)


@jit
def _difference(first: NDArray, second: NDArray, seen: NDArray, shift: np.float32, out: NDArray) -> None:
    for i in range(out.size):
        known = (first[i] != 0) & (second[i] != 0) & (seen[i] != 0)
        index = normalised(np.float32(first[i]) + shift, np.float32(second[i]) + shift)
        out[i] = index if known else _NAN


@jit
def _ratio(above: NDArray, below: NDArray, seen: NDArray, shift: np.float32, minus: np.float32, out: NDArray) -> None:
    for i in range(out.size):
        known = (above[i] != 0) & (below[i] != 0) & (seen[i] != 0)
        index = ratio(np.float32(above[i]) + shift, np.float32(below[i]) + shift, minus)
        out[i] = index if known else _NAN


@jit
def _evi(
    bands: tuple[NDArray, ...], seen: NDArray, shift: np.float32, ends: tuple[np.float32, np.float32], out: NDArray
) -> None:
    nir, red, blue = bands
    one, limit = ends
    for i in range(out.size):
        known = (nir[i] != 0) & (red[i] != 0) & (blue[i] != 0) & (seen[i] != 0)
        n, r, b = np.float32(nir[i]) + shift, np.float32(red[i]) + shift, np.float32(blue[i]) + shift
        index = enhanced(n, r, b, one, limit)
        out[i] = index if known else _NAN
