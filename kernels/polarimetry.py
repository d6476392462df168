"""Dual-polarised radar: Stokes parameters, m-chi and cross-ratio from the covariance matrix C2 or its diagonal.

Convention: C11 = <|VV|^2>, C22 = <|VH|^2>, C12 = <VV conj(VH)>; S1 = C11 + C22, S2 = C11 - C22, S3 = 2 Re C12,
S4 = -2 Im C12. Giving VH before VV, or the conjugate of C12, turns the sign of S4 and so swaps surface and double
bounce; SNAP's RCH and polsartools' m-chi differ from each other by just that. HH and HV may stand for VV and VH, but
then H comes before V where V came before H, and the two components swap again. Sentinel-1 transmits linear, so only
Im C12 tells them apart. GRD products have no phase, hence no C12: take SLC (kernels.slc) or a C2 product.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import contiguous, destination, destinations
from kernels.jit import jit

Array = NDArray[np.float32]

_HALF = np.float32(0.5)
_ZERO = np.float32(0.0)


def m_chi(
    c11: Array, c22: Array, c12_real: Array, c12_imag: Array, *, out: tuple[Array, Array, Array] | None = None
) -> tuple[Array, Array, Array]:
    """Amplitudes (ps, pd, pv) of surface, double-bounce and volume scattering; their squares add up to C11 + C22.

    With Stokes S1 to S4 in this module's convention and p = sqrt(S2^2 + S3^2 + S4^2):
        ps = sqrt((p + S4) / 2), pd = sqrt((p - S4) / 2), pv = sqrt(S1 - p), arguments held at 0 from below.
    This equals Raney et al. 2012 as used by Liu et al. 2023 (Eqs 5 to 9), without a division. Sentinel-1 transmits
    linear, so only Im C12 tells surface from double bounce. Data of one look give pv = 0: multilook or filter first.

    c11, c22, c12_real, c12_imag: one common shape, float32, linear power, NaN = no data.
    out: three float32 arrays of that shape, C-contiguous, overlapping neither each other nor the inputs.
    Returns three float32 arrays of that shape, square root of power, NaN where any input is NaN. In float32: each
    square is within 5e-7 (C11 + C22) of its value, so an amplitude of a tenth of sqrt(C11 + C22) within 3e-6 of that
    root; powers from 1e-15 to 1e18, whose squares float32 holds.
    Raises ValueError on another dtype or shape, or an out that overlaps.
    """
    shape = c11.shape
    c2 = _flat(c11, c22, c12_real, c12_imag)
    ps, pd, pv = destinations(out, 3, shape, *c2)
    _m_chi(c2, ps.reshape(-1), pd.reshape(-1), pv.reshape(-1))
    return ps, pd, pv


def stokes(
    c11: Array, c22: Array, c12_real: Array, c12_imag: Array, *, out: tuple[Array, Array, Array, Array] | None = None
) -> tuple[Array, Array, Array, Array]:
    """Stokes parameters (s1, s2, s3, s4) of the wave received, in this module's convention.

    c11, c22, c12_real, c12_imag: one common shape, float32, linear power, NaN = no data.
    out: four float32 arrays of that shape, C-contiguous, overlapping neither each other nor the inputs.
    Returns four float32 arrays of that shape, linear power, correctly rounded, NaN where an element that they are made
    of is NaN. Raises ValueError on another dtype or shape, or an out that overlaps.
    """
    shape = c11.shape
    c2 = _flat(c11, c22, c12_real, c12_imag)
    s1, s2, s3, s4 = destinations(out, 4, shape, *c2)
    np.add(c2[0], c2[1], out=s1.reshape(-1))
    np.subtract(c2[0], c2[1], out=s2.reshape(-1))
    np.multiply(c2[2], np.float32(2.0), out=s3.reshape(-1))
    np.multiply(c2[3], np.float32(-2.0), out=s4.reshape(-1))
    return s1, s2, s3, s4


def degree_and_angle(
    c11: Array, c22: Array, c12_real: Array, c12_imag: Array, *, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """Degree of polarisation m = p / S1 and ellipticity chi, with sin 2chi = -S4 / p: the m and chi of m-chi.

    c11, c22, c12_real, c12_imag: one common shape, float32, linear power, NaN = no data.
    out: two float32 arrays of that shape, C-contiguous, overlapping neither each other nor the inputs.
    Returns (m, chi), float32 of that shape: m dimensionless, 0 to 1 for a valid C2 (to rounding), NaN where S1 = 0;
    chi in radians, -pi/4 to pi/4, 0 where p = 0. NaN where any input is NaN. Computed in float64, error below 1e-7.
    Raises ValueError on another dtype or shape, or an out that overlaps.
    """
    shape = c11.shape
    c2 = _flat(c11, c22, c12_real, c12_imag)
    m, chi = destinations(out, 2, shape, *c2)
    _degree_and_angle(c2, m.reshape(-1), chi.reshape(-1))
    return m, chi


def cross_ratio(vv: Array, vh: Array, out: Array | None = None) -> Array:
    """VH / VV of backscatter in linear power.

    vv, vh: one common shape, float32, linear power (never dB), NaN = no data. out: float32 of that shape, C-contiguous,
    may be one of the inputs. Returns float32 of that shape, dimensionless, correctly rounded, NaN where an input is NaN
    or VV = 0. Raises ValueError on another dtype or shape.
    """
    target = destination(out, vv.shape, np.float32, vv, vh)
    flat = contiguous("vv", vv, np.float32).reshape(-1), contiguous("vh", vh, np.float32, vv.shape).reshape(-1)
    _cross_ratio(*flat, target.reshape(-1))
    return target


def cross_ratio_db(vv: Array, vh: Array, out: Array | None = None) -> Array:
    """10 log10(VH / VV) = VH_dB - VV_dB, of backscatter in linear power.

    vv, vh: one common shape, float32, linear power (never dB), NaN = no data. out: float32 of that shape, C-contiguous,
    may be one of the inputs. Returns float32 of that shape, dB, NaN where an input is NaN, infinite or not above 0;
    error below 1e-6 dB + 5e-7 of the value. Raises ValueError on another dtype or shape.
    """
    target = destination(out, vv.shape, np.float32, vv, vh)
    flat = contiguous("vv", vv, np.float32).reshape(-1), contiguous("vh", vh, np.float32, vv.shape).reshape(-1)
    _positive_ratio(*flat, target.reshape(-1))
    np.log10(target, out=target)
    return np.multiply(target, np.float32(10.0), out=target)


def _flat(c11: Array, c22: Array, c12_real: Array, c12_imag: Array) -> tuple[Array, Array, Array, Array]:
    return (
        contiguous("c11", c11, np.float32).reshape(-1),
        contiguous("c22", c22, np.float32, c11.shape).reshape(-1),
        contiguous("c12_real", c12_real, np.float32, c11.shape).reshape(-1),
        contiguous("c12_imag", c12_imag, np.float32, c11.shape).reshape(-1),
    )


@jit
def _m_chi(c2: tuple[NDArray, NDArray, NDArray, NDArray], ps: NDArray, pd: NDArray, pv: NDArray) -> None:
    """One loop over everything: while it takes its four roots a pixel, the memory fetches the next (measured: 1260
    million pixels a second; in three short loops, which take turns with the memory, 780)."""
    c11, c22, c12_real, c12_imag = c2
    for i in range(ps.size):
        ps[i], pd[i], pv[i] = amplitudes(c11[i], c22[i], c12_real[i], c12_imag[i])


@jit
def amplitudes(
    c11: np.float32, c22: np.float32, c12_real: np.float32, c12_imag: np.float32
) -> tuple[np.float32, np.float32, np.float32]:
    """(ps, pd, pv) of one pixel, for this file's loop and that of kernels.slc."""
    s2, s3, s4 = c11 - c22, c12_real + c12_real, c12_imag + c12_imag  # the sign of S4 does not matter in p
    p = np.sqrt(s2 * s2 + s3 * s3 + s4 * s4)
    half = p * _HALF
    ps, pd = np.sqrt(_floor(half - c12_imag)), np.sqrt(_floor(half + c12_imag))  # S4 / 2 = -Im C12
    return ps, pd, np.sqrt(_floor(c11 + c22 - p))


@jit
def _floor(power: np.float32) -> np.float32:
    """At least 0; NaN stays NaN."""
    return _ZERO if power < _ZERO else power


@jit
def _degree_and_angle(c2: tuple[NDArray, NDArray, NDArray, NDArray], m: NDArray, chi: NDArray) -> None:
    c11, c22, c12_real, c12_imag = c2
    for i in range(m.size):
        s1, s2 = np.float64(c11[i]) + np.float64(c22[i]), np.float64(c11[i]) - np.float64(c22[i])
        s3, s4 = 2.0 * np.float64(c12_real[i]), -2.0 * np.float64(c12_imag[i])
        linear = s2 * s2 + s3 * s3
        m[i] = np.sqrt(linear + s4 * s4) / s1 if s1 != 0.0 else np.nan
        chi[i] = 0.5 * np.arctan2(-s4, np.sqrt(linear))  # the same angle as the arcsine, exact near +-45 degrees too


@jit
def _cross_ratio(vv: NDArray, vh: NDArray, out: NDArray) -> None:
    for i in range(out.size):
        below = vv[i]
        ratio = vh[i] / below
        out[i] = ratio if below != _ZERO else np.float32(np.nan)


@jit
def _positive_ratio(vv: NDArray, vh: NDArray, out: NDArray) -> None:
    for i in range(out.size):
        ratio = vh[i] / vv[i]
        out[i] = ratio if (vv[i] > _ZERO) & (ratio > _ZERO) & (ratio < np.float32(np.inf)) else np.float32(np.nan)
