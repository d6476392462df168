"""Kernels compiled before the work begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from kernels import (
    composite,
    indices,
    nearest,
    pixels,
    polarimetry,
    scaling,
    smooth,
    speckle,
    stacked,
    zonal,
    zonal_median,
)


def warm_up(parts: Iterable[str] | None = None) -> None:
    """Compile the kernels of these parts of the work, for the dtypes that it passes, in this process.

    parts: of ``optical``, ``radar``, ``thermal``, ``c2`` (the cube's layers), ``stacked`` (median and latest),
    ``features``, ``whittaker``, ``parcels`` and ``familiarity``; None: all of them.
    A worker that calls it when it starts compiles nothing in the middle of a job. It takes seconds once and
    milliseconds after. Each kernel runs on a few made pixels; nothing is returned. KeyError for another part.
    """
    for part in parts if parts is not None else _PARTS:
        _PARTS[part]()


def _warm_optical() -> None:
    shape = 2, 2
    for dtype in (np.uint16, np.int16, np.float32):
        scaling.encode_reflectance(np.ones(shape, dtype), 0.0001, 0.0, 0.0)
    best = np.full(shape, -np.inf, np.float32)
    dn, count = np.zeros((3, *shape), np.uint16), np.zeros(shape, np.uint8)
    composite.max_gcvi_update(best, dn, count, np.full_like(dn, 2000), np.ones(shape, np.bool_), green=0, nir=1)


def _warm_thermal() -> None:
    _warm_mean()
    scaling.encode_temperature(np.ones((2, 2), np.float32))


def _warm_radar() -> None:
    _warm_mean()
    speckle.refined_lee(np.ones((7, 7), np.float32))


def _warm_c2() -> None:
    _warm_mean()
    plane = np.ones((7, 7), np.float32)
    speckle.refined_lee_c2(plane, plane, 0 * plane, 0 * plane)
    polarimetry.m_chi(plane, plane, 0 * plane, 0 * plane)


def _warm_mean() -> None:
    total, number = np.zeros((3, 2, 2)), np.zeros((3, 2, 2), np.uint16)
    composite.mean_update(total, number, np.ones((3, 2, 2), np.float32))
    composite.mean_finish(total, number)


def _warm_features() -> None:
    dn = np.full((2, 2), 2000, np.uint16)
    scaling.decode_temperature(dn)
    band = scaling.decode_reflectance(dn)
    smooth.fill_linear(band)
    indices.evi(band, band, band)
    for index in (indices.ndvi, indices.lswi, indices.gcvi, indices.rvi):
        index(band, band)
    one = np.ones(2, np.float32)
    rows = pixels.gather(band, np.zeros(1, np.int64))
    pixels.rescale(rows[..., None], one, one, one)
    pixels.softmax(rows, 1.0)


def _warm_stacked() -> None:
    dn, valid = np.full((2, 1, 2, 2), 2000, np.uint16), np.ones((2, 2, 2), np.bool_)
    stacked.median(dn, valid)
    stacked.latest_valid(dn, valid)


def _warm_whittaker() -> None:
    smooth.whittaker(np.ones((3, 4), np.float32), 1.0)


def _warm_familiarity() -> None:
    rows = np.ones((2, 2), np.float32)
    nearest.nearest(rows, rows[0].copy(), rows, rows)


def _warm_parcels() -> None:
    labels, values = np.ones((1, 2), np.int32), np.ones((1, 1, 2), np.float32)
    zonal.mean_std(zonal.parcel_sums(labels, values, 1))
    zonal_median.parcel_medians(labels, values, 1)


_PARTS: Mapping[str, Callable[[], None]] = {
    "optical": _warm_optical,
    "radar": _warm_radar,
    "thermal": _warm_thermal,
    "c2": _warm_c2,
    "features": _warm_features,
    "stacked": _warm_stacked,
    "whittaker": _warm_whittaker,
    "parcels": _warm_parcels,
    "familiarity": _warm_familiarity,
}
