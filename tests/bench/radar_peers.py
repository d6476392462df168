"""The radar kernels as others have them: straightforward NumPy and SciPy, and packages where they are installed."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import uniform_filter

try:
    from polsartools.polsar.cp.m_chi import process_chunk_mchi
    from polsartools.rflee import process_chunk_rfleecpp
except ImportError:  # needs GDAL's own Python package, which wheels do not bring
    process_chunk_mchi = process_chunk_rfleecpp = None

Y, X = np.mgrid[0:7, 0:7]
HALVES = np.array([X >= 3, X >= Y, Y <= 3, X + Y <= 6, X <= 3, X <= Y, Y >= 3, X + Y >= 6])


def refined_lee(image: np.ndarray) -> np.ndarray:
    """Refined Lee, flavour "snap", the definition in whole arrays; windows inside the image only."""
    windows, cv, direction = _snap(image)
    noise = np.sort(cv.reshape(*cv.shape[:2], 9), axis=-1)[..., :5].mean(-1)
    used = windows.reshape(*windows.shape[:2], 49)[HALVES.reshape(8, 49)[direction]].reshape(*direction.shape, 28)
    mean, variance = used.mean(-1), used.var(-1, ddof=1)
    weight = np.maximum(variance - mean**2 * noise, 0) / ((1 + noise) * variance)
    return mean + weight * (image[3:-3, 3:-3] - mean)


def _snap(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows, var/mean^2 of their nine areas, and direction of each window."""
    areas = sliding_window_view(image, (3, 3))
    nine = sliding_window_view(areas.mean((2, 3)), (5, 5))[..., ::2, ::2]
    spread = sliding_window_view(areas.var((2, 3), ddof=1), (5, 5))[..., ::2, ::2]
    first = np.stack([nine[..., 1, 2], nine[..., 2, 0], nine[..., 2, 1], nine[..., 2, 2]], -1)
    other = np.stack([nine[..., 1, 0], nine[..., 0, 2], nine[..., 0, 1], nine[..., 0, 0]], -1)
    edge = abs(first - other).argmax(-1)[..., None]
    a, b = (np.take_along_axis(v, edge, -1)[..., 0] for v in (first, other))
    turn = abs(b - nine[..., 1, 1]) < abs(a - nine[..., 1, 1])
    direction = np.where(turn, np.array([4, 1, 2, 3])[edge[..., 0]], np.array([0, 5, 6, 7])[edge[..., 0]])
    return sliding_window_view(image, (7, 7)), spread / nine**2, direction


def lee(image: np.ndarray, looks: float) -> np.ndarray:
    """The plain Lee filter of 1980 in 7x7 windows, with SciPy's sums."""
    mean = uniform_filter(image, 7)
    variance = np.maximum(uniform_filter(image**2, 7) - mean**2, 1e-12)
    signal = np.maximum(variance - mean**2 / looks, 0) / (1 + 1 / looks)
    return mean + signal / variance * (image - mean)


def quegan_yu(stack: np.ndarray) -> np.ndarray:
    local = np.stack([uniform_filter(date, 7) for date in stack])
    return local * (stack / local).mean(0)


def m_chi(c11: np.ndarray, c22: np.ndarray, real: np.ndarray, imag: np.ndarray) -> tuple[np.ndarray, ...]:
    s4 = -2 * imag
    p = np.sqrt((c11 - c22) ** 2 + 4 * real**2 + s4**2)
    return tuple(np.sqrt(np.maximum(v, 0)) for v in ((p + s4) / 2, (p - s4) / 2, c11 + c22 - p))


def c2_boxcar(vv: np.ndarray, vh: np.ndarray, window: int = 5) -> list[np.ndarray]:
    c12 = vv * vh.conj()
    parts = vv.real**2 + vv.imag**2, vh.real**2 + vh.imag**2, c12.real, c12.imag
    return [uniform_filter(part, window) for part in parts]


def c2_multilook(vv: np.ndarray, vh: np.ndarray, looks: int) -> list[np.ndarray]:
    c12 = vv * vh.conj()
    rows, columns = (n // looks for n in vv.shape)
    return [
        part[: rows * looks, : columns * looks].reshape(rows, looks, columns, looks).mean((1, 3))
        for part in (vv.real**2 + vv.imag**2, vh.real**2 + vh.imag**2, c12.real, c12.imag)
    ]


def polsartools_refined_lee(c11: np.ndarray, c22: np.ndarray, real: np.ndarray, imag: np.ndarray) -> list[np.ndarray]:
    """polsartools' refined Lee (one look whatever the data have), zeros round the image as it adds them."""
    assert process_chunk_rfleecpp is not None
    rows, columns = c11.shape
    padded = [np.pad(part.astype(complex), ((3, 4), (3, 4))) for part in (c11, real, imag, c22)]
    layers = process_chunk_rfleecpp(padded, 7)
    return [np.array(layers[k])[:rows, :columns] for k in (0, 6, 2, 3)]


def polsartools_m_chi(c11: np.ndarray, c22: np.ndarray, real: np.ndarray, imag: np.ndarray) -> tuple[np.ndarray, ...]:
    assert process_chunk_mchi is not None
    found: tuple[np.ndarray, ...] = process_chunk_mchi([c11, real, imag, c22], 1, 45, 0)
    return found[:3]
