"""From complex SLC images to C2 and to m-chi: multilook by blocks, or by a sliding window without leaving the cache.

VV and VH are complex64 (y, x), calibrated and coregistered; C11 = <|VV|^2>, C22 = <|VH|^2>, C12 = <VV conj(VH)>, in the
convention of kernels.polarimetry. A pixel is valid where both are finite; SLC products mark no data with 0, which is a
value here: set it to NaN first where it means no data. GRD products are detected, have no phase and cannot give C12.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import contiguous, destinations
from kernels.boxcar import check_window
from kernels.jit import jit
from kernels.polarimetry import amplitudes

Image = NDArray[np.float32]
Complex = NDArray[np.complex64]

_ROW = 768
"""Columns worked at once, the window's reach on both sides included: the products of a window's rows stay in the first
two caches."""

_WIDEST = 129
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_NAN = np.float32(np.nan)


def c2_multilook(
    vv: Complex, vh: Complex, looks: tuple[int, int], out: tuple[Image, Image, Image, Image] | None = None
) -> tuple[Image, Image, Image, Image]:
    """The covariance matrix (c11, c22, c12_real, c12_imag) of blocks of pixels.

    vv, vh: (y, x) complex64, amplitude, NaN = no data. looks: (ly, lx), pixels of a block; what is left over below and
    at the right is dropped. out: four (y // ly, x // lx) float32, C-contiguous.
    Returns four (y // ly, x // lx) float32, linear power, mean of the block's valid pixels, NaN where it has none.
    Products and sums are float64: error below 1e-7 of c11 + c22.
    Raises ValueError on another dtype or shape (GRD has no phase: take SLC or a C2 product), or looks below 1.
    """
    vv, vh = _checked(vv, vh)
    if looks[0] < 1 or looks[1] < 1:
        raise ValueError(f"looks are {looks}, expected (rows, columns) of a block, each 1 or more")
    shape = vv.shape[0] // looks[0], vv.shape[1] // looks[1]
    made = destinations(out, 4, shape, vv, vh)
    _multilook(_pairs(vv), _pairs(vh), looks, (made[0], made[1], made[2], made[3]))
    return made[0], made[1], made[2], made[3]


def c2_boxcar(
    vv: Complex, vh: Complex, window: int = 5, out: tuple[Image, Image, Image, Image] | None = None
) -> tuple[Image, Image, Image, Image]:
    """The covariance matrix (c11, c22, c12_real, c12_imag) in a window x window square round each pixel.

    vv, vh: (y, x) complex64, amplitude, NaN = no data. window: odd, up to 129; at the edges and round no data the valid
    pixels of the square count. out: four (y, x) float32, C-contiguous, not overlapping the inputs.
    Returns four (y, x) float32, linear power, NaN where the pixel itself is no data. Sums are float32, columns first,
    always in the same order: error below 2e-6 of c11 + c22, and a value depends on its window alone, to the last bit.
    Raises ValueError on another dtype or shape (GRD has no phase), or a window that is not odd.
    """
    vv, vh = _checked(vv, vh)
    check_window(window, _WIDEST)
    made = destinations(out, 4, vv.shape, vv, vh)
    _slide(_pairs(vv), _pairs(vh), window, (made[0], made[1], made[2], made[3]), False)
    return made[0], made[1], made[2], made[3]


def m_chi_from_slc(
    vv: Complex, vh: Complex, window: int = 5, out: tuple[Image, Image, Image] | None = None
) -> tuple[Image, Image, Image]:
    """Amplitudes (ps, pd, pv) of m-chi of the C2 that c2_boxcar gives, in one pass: equal to m_chi of it, bit by bit.

    vv, vh, window: as in c2_boxcar; window 1 is one look and gives pv = 0. out: three (y, x) float32, C-contiguous, not
    overlapping the inputs. Returns three (y, x) float32, square root of power, NaN where the pixel is no data; the
    squares are within 3e-6 of c11 + c22.
    Raises ValueError on another dtype or shape (GRD has no phase), or a window that is not odd.
    """
    vv, vh = _checked(vv, vh)
    check_window(window, _WIDEST)
    made = destinations(out, 3, vv.shape, vv, vh)
    _slide(_pairs(vv), _pairs(vh), window, (made[0], made[1], made[2], made[2]), True)
    return made[0], made[1], made[2]


def _checked(vv: Complex, vh: Complex) -> tuple[Complex, Complex]:
    if vv.dtype != np.complex64:
        raise ValueError(f"vv is {vv.dtype}, expected complex64: m-chi needs phase; take SLC or a C2 product, not GRD")
    vv = contiguous("vv", vv, np.complex64, (None, None))
    return vv, contiguous("vh", vh, np.complex64, vv.shape)


def _pairs(image: Complex) -> Image:
    """(y, 2 x) float32: real and imaginary parts side by side."""
    return image.view(np.float32)


@jit
def _multilook(vv: NDArray, vh: NDArray, looks: tuple[int, int], out: tuple) -> None:
    """A row of blocks at a time."""
    rows, columns = out[0].shape
    sums = np.empty((5, columns))
    for y in range(rows):
        sums.fill(0.0)
        for row in range(y * looks[0], (y + 1) * looks[0]):
            _add_blocks(vv[row], vh[row], looks[1], sums)
        for k in range(4):
            for x in range(columns):
                out[k][y, x] = sums[k, x] / sums[4, x]  # 0/0 = NaN without a valid pixel


@jit
def _add_blocks(vv: NDArray, vh: NDArray, looks: int, sums: NDArray) -> None:
    """One row of pixels: products and number of valid pixels, block by block."""
    for x in range(sums.shape[1]):
        c11, c22, real, imag, number = 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(2 * x * looks, 2 * (x + 1) * looks, 2):
            a, b = np.float64(vv[i]), np.float64(vv[i + 1])
            c, d = np.float64(vh[i]), np.float64(vh[i + 1])
            if np.isfinite(a + b) and np.isfinite(c + d):
                c11 += a * a + b * b
                c22 += c * c + d * d
                real += a * c + b * d
                imag += b * c - a * d
                number += 1.0
        sums[0, x] += c11
        sums[1, x] += c22
        sums[2, x] += real
        sums[3, x] += imag
        sums[4, x] += number


@jit
def _slide(vv: NDArray, vh: NDArray, window: int, out: tuple, decompose: bool) -> None:
    """Strip by strip; ``products`` is a ring of the window's rows, 0 beyond the image."""
    height, width = out[0].shape
    reach = window // 2
    strip = _ROW - 2 * reach
    products, sums = np.zeros((window, 5 * _ROW), np.float32), np.empty(5 * _ROW, np.float32)
    totals = np.empty(5 * _ROW, np.float32)
    for x in range(0, width, strip):
        stop = min(x + strip, width)
        low, high = max(0, x - reach), min(width, stop + reach)
        products.fill(np.float32(0.0))
        for row in range(height + reach):
            slot = products[row % window]
            if row < height:
                _multiply(vv[row][2 * low : 2 * high], vh[row][2 * low : 2 * high], slot[low - x + reach :])
            else:
                slot.fill(np.float32(0.0))
            y = row - reach
            if y >= 0:
                _add_rows(products, y - reach, sums)
                _add_columns(sums, window, totals)
                row_out = out[0][y, x:stop], out[1][y, x:stop], out[2][y, x:stop], out[3][y, x:stop]
                if decompose:
                    _decomposed(products[y % window][reach:], totals, row_out)
                else:
                    _c2(products[y % window][reach:], totals, row_out)


@jit
def _multiply(vv: NDArray, vh: NDArray, into: NDArray) -> None:
    """c11, c22, c12 (two parts) of one row, and 1; all 0 where a part is not finite."""
    for i in range(vv.size // 2):
        a, b, c, d = vv[2 * i], vv[2 * i + 1], vh[2 * i], vh[2 * i + 1]
        total = (a + b) + (c + d)
        valid = total - total == _ZERO
        into[i] = _or_zero(valid, a * a + b * b)
        into[_ROW + i] = _or_zero(valid, c * c + d * d)
        into[2 * _ROW + i] = _or_zero(valid, a * c + b * d)
        into[3 * _ROW + i] = _or_zero(valid, b * c - a * d)
        into[4 * _ROW + i] = _or_zero(valid, _ONE)


@jit
def _or_zero(valid: bool, value: np.float32) -> np.float32:
    return value if valid else _ZERO


@jit
def _add_rows(products: NDArray, first: int, sums: NDArray) -> None:
    """The window's rows, top to bottom."""
    window = len(products)
    a, b, c = products[first % window], products[(first + 1) % window], products[(first + 2) % window]
    if window == 1:
        _copy(a, sums)
    elif window == 3:
        _add_three(a, b, c, sums)
    else:
        d, e = products[(first + 3) % window], products[(first + 4) % window]
        _add_five((a, b, c, d, e), sums)
    for row in range(first + 5, first + window - 1, 2):
        _add_two(products[row % window], products[(row + 1) % window], sums)


@jit
def _add_columns(sums: NDArray, window: int, totals: NDArray) -> None:
    """The window's columns, left to right, for all five products in one stroke."""
    target = totals[: 5 * _ROW - window + 1]
    if window == 1:
        _copy(sums, target)
    elif window == 3:
        _add_three(sums, sums[1:], sums[2:], target)
    else:
        _add_five((sums, sums[1:], sums[2:], sums[3:], sums[4:]), target)
    for column in range(5, window - 1, 2):
        _add_two(sums[column:], sums[column + 1 :], target)


@jit
def _copy(source: NDArray, target: NDArray) -> None:
    for i in range(target.size):
        target[i] = source[i]


@jit
def _add_two(a: NDArray, b: NDArray, total: NDArray) -> None:
    """Add a, then b: two at a time, as the total comes from and goes to memory each time."""
    for i in range(total.size):
        total[i] = (total[i] + a[i]) + b[i]


@jit
def _add_three(a: NDArray, b: NDArray, c: NDArray, total: NDArray) -> None:
    for i in range(total.size):
        total[i] = (a[i] + b[i]) + c[i]


@jit
def _add_five(parts: tuple, total: NDArray) -> None:
    a, b, c, d, e = parts
    for i in range(total.size):
        total[i] = (((a[i] + b[i]) + c[i]) + d[i]) + e[i]


@jit
def _c2(centre: NDArray, sums: NDArray, out: tuple) -> None:
    """Sums divided by the number of valid pixels, NaN where the centre is not valid."""
    c11, c22, c12_real, c12_imag = out
    for i in range(c11.size):
        inverse = _one_over(sums[4 * _ROW + i], centre[4 * _ROW + i])
        c11[i] = sums[i] * inverse
        c22[i] = sums[_ROW + i] * inverse
        c12_real[i] = sums[2 * _ROW + i] * inverse
        c12_imag[i] = sums[3 * _ROW + i] * inverse


@jit
def _decomposed(centre: NDArray, sums: NDArray, out: tuple) -> None:
    """The same, and m-chi of it."""
    ps, pd, pv, _ = out
    for i in range(ps.size):
        inverse = _one_over(sums[4 * _ROW + i], centre[4 * _ROW + i])
        c11, c22 = sums[i] * inverse, sums[_ROW + i] * inverse
        ps[i], pd[i], pv[i] = amplitudes(c11, c22, sums[2 * _ROW + i] * inverse, sums[3 * _ROW + i] * inverse)


@jit
def _one_over(number: np.float32, valid: np.float32) -> np.float32:
    inverse = _ONE / number
    return inverse if valid > _ZERO else _NAN
