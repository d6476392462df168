"""Kernels compiled before the work begins."""

from __future__ import annotations

import numpy as np

from kernels import composite, indices, scaling, smooth, speckle


def warm_up() -> None:
    """Compile every kernel of the cube and feature stages, for the dtypes that those stages pass, in this process.

    A worker that calls it when it starts compiles nothing in the middle of a job. It takes seconds once and
    milliseconds after. Each kernel runs on a few made pixels; nothing is returned.
    """
    _warm_cube()
    _warm_features()


def _warm_cube() -> None:
    bands, rows, columns = 3, 2, 2
    shape = rows, columns
    for dtype in (np.uint16, np.int16, np.float32):
        scaling.encode_reflectance(np.ones(shape, dtype), 0.0001, 0.0, 0.0)
    scaling.encode_temperature(np.ones(shape, np.float32))
    best = np.full(shape, -np.inf, np.float32)
    dn, count = np.zeros((bands, *shape), np.uint16), np.zeros(shape, np.uint8)
    composite.max_gcvi_update(best, dn, count, np.full_like(dn, 2000), np.ones(shape, np.bool_), green=0, nir=1)
    total, number = np.zeros((bands, *shape)), np.zeros((bands, *shape), np.uint16)
    composite.mean_update(total, number, np.ones((bands, *shape), np.float32))
    composite.mean_finish(total, number)
    speckle.refined_lee(np.ones((7, 7), np.float32))


def _warm_features() -> None:
    dn = np.full((2, 2), 2000, np.uint16)
    scaling.decode_temperature(dn)
    band = scaling.decode_reflectance(dn)
    smooth.fill_linear(band)
    indices.evi(band, band, band)
    for index in (indices.ndvi, indices.lswi, indices.gcvi, indices.rvi):
        index(band, band)
