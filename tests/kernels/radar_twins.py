"""The radar kernels written slowly: pixel by pixel or with whole arrays, NumPy, float64, from the definitions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Y, X = np.mgrid[0:7, 0:7]
HALVES = [X >= 3, X >= Y, Y <= 3, X + Y <= 6, X <= 3, X <= Y, Y >= 3, X + Y >= 6]
AREAS = [(y, x) for y in (0, 2, 4) for x in (0, 2, 4)]


def refined_lee(image: np.ndarray, looks: float | None = None) -> np.ndarray:
    """One band; looks given: flavour "polsarpro", else "snap"."""
    return refined_lee_channels([image], image.astype(np.float64), looks)[0]


def refined_lee_c2(c2: list[np.ndarray], looks: float | None = None) -> list[np.ndarray]:
    """c11, c22, c12_real, c12_imag with half-window and weight of the span."""
    span = c2[0].astype(np.float64) + c2[1]
    return refined_lee_channels(c2, np.where(np.isfinite(sum(np.abs(a) for a in c2)), span, np.nan), looks)


def refined_lee_channels(channels: list[np.ndarray], span: np.ndarray, looks: float | None) -> list[np.ndarray]:
    padded = [np.pad(a.astype(np.float64), 3, constant_values=np.nan) for a in (span, *channels)]
    out = [np.full(span.shape, np.nan, np.float32) for _ in channels]
    for y, x in np.ndindex(*span.shape):
        window, *parts = (a[y : y + 7, x : x + 7] for a in padded)
        if np.isfinite(window[3, 3]):
            used, weight = used_and_weight(window, looks)
            for target, part in zip(out, parts, strict=True):
                mean = part[used].mean()
                target[y, x] = mean + weight * (part[3, 3] - mean)
    return out


def used_and_weight(window: np.ndarray, looks: float | None) -> tuple[np.ndarray, float]:
    """Mask of the pixels that make the mean, and the weight of the centre."""
    areas = [window[y : y + 3, x : x + 3] for y, x in AREAS]
    valid = np.isfinite(window)
    side = darker_side if looks else closer_side
    used = HALVES[side(areas)] if valid.all() else valid
    noise = 1 / looks if looks else snap_noise(areas)
    mean, lost = window[used].mean(), 0 if looks else 1
    variance = window[used].var(ddof=lost) if used.sum() > 1 else 0.0
    signal = max(0.0, variance - mean**2 * noise) / (1 + noise)
    return used, signal / variance if variance > 0 else 0.0


def snap_noise(areas: list[np.ndarray]) -> float:
    cv = sorted(a.var(ddof=1) / a.mean() ** 2 if a.mean() else 0.0 for a in areas if np.isfinite(a).all())
    return float(np.mean(cv[:5])) if cv else 0.0


def closer_side(areas: list[np.ndarray]) -> int:
    m = sums(areas)
    pairs = [(m[1, 2], m[1, 0]), (m[0, 2], m[2, 0]), (m[0, 1], m[2, 1]), (m[0, 0], m[2, 2])]
    edge = int(np.argmax([abs(a - b) for a, b in pairs]))
    near, far = (abs(v - m[1, 1]) for v in pairs[edge])
    if near == far:
        return (0, 5, 6, 7)[edge]
    return edge if near < far else edge + 4


def darker_side(areas: list[np.ndarray]) -> int:
    m = sums(areas)
    gradients = [
        m[:, 2].sum() - m[:, 0].sum(),
        m[0, 1] + m[0, 2] + m[1, 2] - m[1, 0] - m[2, 0] - m[2, 1],
        m[0].sum() - m[2].sum(),
        m[0, 0] + m[0, 1] + m[1, 0] - m[1, 2] - m[2, 1] - m[2, 2],
    ]
    edge = int(np.argmax(np.abs(gradients)))
    return edge + 4 if gradients[edge] > 0 else edge


def sums(areas: list[np.ndarray]) -> np.ndarray:
    """Sums, not means, so that ties of equal areas are exact."""
    return np.array([a.sum() for a in areas]).reshape(3, 3)


def over_windows(values: np.ndarray, window: int, what: Callable[[np.ndarray], float]) -> np.ndarray:
    """``what`` of the finite values in each window; NaN where the centre is not finite."""
    reach = window // 2
    padded = np.pad(values.astype(np.float64), reach, constant_values=np.nan)
    out = np.full(values.shape, np.nan)
    for y, x in np.ndindex(*values.shape):
        part = padded[y : y + window, x : x + window]
        if np.isfinite(part[reach, reach]):
            out[y, x] = what(part[np.isfinite(part)])
    return out


def box_mean(values: np.ndarray, window: int) -> np.ndarray:
    return over_windows(values, window, np.mean)


def window_largest(values: np.ndarray, window: int = 7) -> np.ndarray:
    """Largest absolute value in each window: what the stated errors are measured by."""
    return over_windows(np.abs(values), window, np.max)


def quegan_yu(stack: np.ndarray, local: np.ndarray) -> np.ndarray:
    """From the stack and its local means."""
    stack, local = stack.astype(np.float64), local.astype(np.float64)
    counts = np.isfinite(local) & (local > 0)
    ratio = np.where(counts, stack / np.where(counts, local, 1.0), 0.0).sum(0)
    number = counts.sum(0)
    return local * np.where(number > 0, ratio / np.maximum(number, 1), 1.0)


def products(vv: np.ndarray, vh: np.ndarray) -> list[np.ndarray]:
    """c11, c22, c12_real, c12_imag of each pixel, NaN where it is not finite."""
    vv, vh = vv.astype(np.complex128), vh.astype(np.complex128)
    valid = np.isfinite(vv) & np.isfinite(vh)
    vv, vh = np.where(valid, vv, 0), np.where(valid, vh, 0)
    c12 = vv * vh.conj()
    return [np.where(valid, part, np.nan) for part in (abs(vv) ** 2, abs(vh) ** 2, c12.real, c12.imag)]


def c2_multilook(vv: np.ndarray, vh: np.ndarray, looks: tuple[int, int]) -> list[np.ndarray]:
    rows, columns = vv.shape[0] // looks[0], vv.shape[1] // looks[1]
    out = []
    for part in products(vv, vh):
        blocks = part[: rows * looks[0], : columns * looks[1]].reshape(rows, looks[0], columns, looks[1])
        number = np.isfinite(blocks).sum((1, 3))
        out.append(np.where(number > 0, np.nansum(blocks, (1, 3)) / np.maximum(number, 1), np.nan))
    return out


def m_chi(c11: np.ndarray, c22: np.ndarray, c12: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raney's form with its divisions, for m > 0."""
    s1, s2, s3, s4 = c11 + c22, c11 - c22, 2 * c12.real, -2 * c12.imag
    m = np.sqrt(s2**2 + s3**2 + s4**2) / s1
    sin2chi = -s4 / (m * s1)
    return np.sqrt(m * s1 * (1 - sin2chi) / 2), np.sqrt(m * s1 * (1 + sin2chi) / 2), np.sqrt(s1 * np.maximum(1 - m, 0))
