"""The cube stage's kernels as plain NumPy would have them: what ``cube_profile --numpy`` compares with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.bench import radar_peers


def encode_reflectance(values: NDArray, scale: float, offset: float, nodata: float) -> NDArray[np.uint16]:
    reflectance = values.astype(np.float32) * np.float32(scale) + np.float32(offset)
    dn = np.clip(np.rint((reflectance + np.float32(0.1)) * np.float32(10000)), 1, 65535)
    return np.where(values == nodata, 0, dn).astype(np.uint16)


def max_gcvi_update(
    best: NDArray, composite: NDArray, count: NDArray, dn: NDArray, valid: NDArray, *, green: int, nir: int
) -> None:
    usable = valid & (dn != 0).all(axis=0) & (dn[green] > 1000)
    with np.errstate(all="ignore"):
        gcvi = (dn[nir].astype(np.float32) - 1000) / (dn[green].astype(np.float32) - 1000) - 1
    wins = usable & (gcvi > best)
    count += usable
    best[wins] = gcvi[wins]
    composite[:, wins] = dn[:, wins]


def mean_update(total: NDArray, number: NDArray, values: NDArray) -> None:
    seen = ~np.isnan(values)
    total += np.where(seen, values, 0.0)
    number += seen


def mean_finish(total: NDArray, number: NDArray) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):
        return np.where(number > 0, total / number, np.nan).astype(np.float32)


def encode_temperature(kelvin: NDArray[np.float32]) -> NDArray[np.uint16]:
    dn = np.clip(np.rint(np.nan_to_num(kelvin) * 100), 1, 65535)
    return np.where(np.isnan(kelvin), 0, dn).astype(np.uint16)


def refined_lee(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inside the image, 64 rows at a time to save memory; the border of three pixels as it is."""
    out = image.copy()
    with np.errstate(all="ignore"):
        for top in range(0, max(len(image) - 6, 0), 64):
            part = image[top : top + 70]
            out[top + 3 : top + len(part) - 3, 3:-3] = radar_peers.refined_lee(part)
    return out
