"""Compact decomposition of dual-polarised radar: m-chi from the covariance matrix C2."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import contiguous, destination, refuse_overlap
from kernels.jit import jit

Array = NDArray[np.float32]

_RUN = 2048
"""Pixels per pass: what one loop writes, the next finds in the first-level cache."""

_HALF = np.float32(0.5)
_ZERO = np.float32(0.0)


def m_chi(
    c11: Array, c22: Array, c12_real: Array, c12_imag: Array, *, out: tuple[Array, Array, Array] | None = None
) -> tuple[Array, Array, Array]:
    """Amplitudes (ps, pd, pv) of surface, double-bounce and volume scattering; their squares add up to C11 + C22.

    Convention: C11 = <|VV|^2>, C22 = <|VH|^2>, C12 = <VV conj(VH)>; S1 = C11 + C22, S2 = C11 - C22, S3 = 2 Re C12,
    S4 = -2 Im C12, p = sqrt(S2^2 + S3^2 + S4^2). Swapping VV and VH, or conjugating C12, swaps ps and pd.
        ps = sqrt((p + S4) / 2), pd = sqrt((p - S4) / 2), pv = sqrt(S1 - p), arguments held at 0 from below.
    This equals Raney et al. 2012 as used by Liu et al. 2023 (Eqs 5 to 9), without a division. Sentinel-1 transmits
    linear, so only Im C12 tells surface from double bounce. Data of one look give pv = 0: multilook or filter first.

    c11, c22, c12_real, c12_imag: one common shape, float32, linear power, NaN = no data.
    out: three float32 arrays of that shape, C-contiguous, overlapping neither each other nor the inputs.
    Returns three float32 arrays of that shape, square root of power, NaN where any input is NaN.
    Raises ValueError on another dtype or shape, or an out that overlaps.
    """
    shape = c11.shape
    c11 = contiguous("c11", c11, np.float32).reshape(-1)
    c22 = contiguous("c22", c22, np.float32, shape).reshape(-1)
    c12_real = contiguous("c12_real", c12_real, np.float32, shape).reshape(-1)
    c12_imag = contiguous("c12_imag", c12_imag, np.float32, shape).reshape(-1)
    ps, pd, pv = (destination(part, shape, np.float32) for part in (out or (None, None, None)))
    refuse_overlap(ps, pd, pv, c11, c22, c12_real, c12_imag)
    refuse_overlap(pd, pv, c11, c22, c12_real, c12_imag)
    refuse_overlap(pv, c11, c22, c12_real, c12_imag)
    _m_chi((c11, c22, c12_real, c12_imag), ps.reshape(-1), pd.reshape(-1), pv.reshape(-1))
    return ps, pd, pv


@jit
def _m_chi(c2: tuple[NDArray, NDArray, NDArray, NDArray], ps: NDArray, pd: NDArray, pv: NDArray) -> None:
    """Three short loops instead of one, each with few enough arrays to be SIMD; pv holds p until it is made."""
    c11, c22, c12_real, c12_imag = c2
    for start in range(0, c11.size, _RUN):
        run = slice(start, min(start + _RUN, c11.size))
        _polarised(c11[run], c22[run], c12_real[run], c12_imag[run], pv[run])
        _surface_and_double(pv[run], c12_imag[run], ps[run], pd[run])
        _volume(c11[run], c22[run], pv[run])


@jit
def _polarised(c11: NDArray, c22: NDArray, c12_real: NDArray, c12_imag: NDArray, p: NDArray) -> None:
    for i in range(p.size):
        s2, s3, s4 = c11[i] - c22[i], c12_real[i] + c12_real[i], c12_imag[i] + c12_imag[i]
        p[i] = np.sqrt(s2 * s2 + s3 * s3 + s4 * s4)


@jit
def _surface_and_double(p: NDArray, c12_imag: NDArray, ps: NDArray, pd: NDArray) -> None:
    for i in range(p.size):
        half, s4_half = p[i] * _HALF, c12_imag[i]  # S4 / 2 = -Im C12
        ps[i] = np.sqrt(_floor(half - s4_half))
        pd[i] = np.sqrt(_floor(half + s4_half))


@jit
def _volume(c11: NDArray, c22: NDArray, pv: NDArray) -> None:
    for i in range(pv.size):
        pv[i] = np.sqrt(_floor(c11[i] + c22[i] - pv[i]))


@jit
def _floor(power: np.float32) -> np.float32:
    """At least 0; NaN stays NaN."""
    return _ZERO if power < _ZERO else power
