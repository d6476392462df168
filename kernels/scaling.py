"""Between a provider's numbers, the cube's uint16 and physical units; and the providers' quality layers as masks.

The cube stores reflectance as DN with reflectance = DN * 0.0001 - 0.1, and temperature as DN with kelvin = DN * 0.01;
0 is no data in both. ``out``: C-contiguous, of the result's dtype and shape, filled and returned; made where not given.
It may be the input itself where the dtypes agree.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import check, contiguous, destination
from kernels.jit import jit

SCL_DROP = (0, 1, 3, 8, 9, 10, 11)
"""Sentinel-2 scene classes left out: no data, defective, cloud shadow, cloud (medium, high), cirrus, snow."""

ZERO_IS_CLEAR = ("fmask", "hls_fmask", "cloud_probability")
"""Kinds of quality layer in which 0 is seen ground, so that it cannot stand for no data."""

_QA_PIXEL_BITS = 0b111111  # fill, dilated cloud, cirrus, cloud, cloud shadow, snow
FMASK_KEEP = (0, 1)
"""Classes of Fmask 4 (Qiu et al. 2019) kept: land, water; not cloud shadow 2, snow 3, cloud 4, fill 255."""

DEA_FMASK_KEEP = (1, 5)
"""Classes of Digital Earth Australia's oa_fmask kept: clear, water; not no data 0, cloud 2, cloud shadow 3, snow 4."""

_HLS_FMASK_BITS = 0b11111  # cirrus, cloud, beside cloud or shadow, cloud shadow, snow; bit 5 water, 6 and 7 aerosol
_PIXEL_QA_BITS = 0b111001  # fill, cloud shadow, snow, cloud; bit 1 means clear, bit 2 water


def clear_ground(kind: str, values: NDArray, scl_drop: Sequence[int], below: int) -> NDArray[np.bool_]:
    """True where a quality layer of this kind sees the ground.

    kind: ``scl``, ``qa_pixel``, ``pixel_qa``, ``fmask``, ``dea_fmask``, ``hls_fmask`` or ``cloud_probability``. values:
    (y, x) uint16 of ``qa_pixel`` and ``pixel_qa``, else uint8. scl_drop, below: of ``scl_valid`` and
    ``cloud_probability_valid``. Returns (y, x) bool. ValueError on another kind or dtype.
    """
    match kind:
        case "scl":
            return scl_valid(values, scl_drop)
        case "qa_pixel":
            return qa_pixel_valid(values)
        case "pixel_qa":
            return pixel_qa_valid(values)
        case "fmask" | "dea_fmask":
            return fmask_valid(values, FMASK_KEEP if kind == "fmask" else DEA_FMASK_KEEP)
        case "hls_fmask":
            return hls_fmask_valid(values)
        case "cloud_probability":
            return cloud_probability_valid(values, below)
    raise ValueError(f"a quality layer of kind {kind!r}, expected one that is known")


def scl_valid(
    scl: NDArray[np.uint8], drop: Sequence[int] = SCL_DROP, out: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """True where the Sentinel-2 scene class is kept.

    scl: (y, x) uint8, Sen2Cor scene classification. drop: class codes, 0 to 255, that are not valid.
    Returns (y, x) bool. Raises ValueError on another dtype or a code outside 0 to 255.
    """
    check("scl", scl, np.uint8)
    wrong = [code for code in drop if not 0 <= code <= 255]
    if wrong:
        raise ValueError(f"drop holds {wrong}, expected scene classes from 0 to 255; remove them")
    keep = np.ones(256, np.bool_)
    keep[list(drop)] = False
    return np.take(keep, scl, out=destination(out, scl.shape, np.bool_), mode="clip")  # "raise" would copy out


def qa_pixel_valid(qa: NDArray[np.uint16], out: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """True where Landsat Collection 2 saw the clear ground: none of the bits 0 to 5 of QA_PIXEL is set.

    qa: (y, x) uint16, QA_PIXEL (bits fill, dilated cloud, cirrus, cloud, cloud shadow, snow).
    Returns (y, x) bool. Source: USGS LSDS-1619, Landsat 8-9 Collection 2 Level 2 product guide. ValueError on another
    dtype.
    """
    check("qa", qa, np.uint16)
    return np.equal(qa & np.uint16(_QA_PIXEL_BITS), 0, out=destination(out, qa.shape, np.bool_))


def pixel_qa_valid(qa: NDArray[np.uint16], out: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """True where Landsat Collection 1 saw the clear ground: none of the bits 0, 3, 4, 5 of pixel_qa is set.

    qa: (y, x) uint16, pixel_qa (bits fill, cloud shadow, snow, cloud). Returns (y, x) bool.
    Source: USGS LSDS-1368, Landsat 8 Collection 1 surface reflectance product guide. ValueError on another dtype.
    """
    check("qa", qa, np.uint16)
    return np.equal(qa & np.uint16(_PIXEL_QA_BITS), 0, out=destination(out, qa.shape, np.bool_))


def fmask_valid(
    fmask: NDArray[np.uint8], keep: Sequence[int] = FMASK_KEEP, out: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """True where Fmask saw clear land or water.

    fmask: (y, x) uint8, classes of Fmask 4, or with ``DEA_FMASK_KEEP`` those of Digital Earth Australia. keep: class
    codes, 0 to 255, that are valid; all others are not. Returns (y, x) bool. ValueError on another dtype.
    """
    return scl_valid(fmask, [code for code in range(256) if code not in keep], out)


def hls_fmask_valid(fmask: NDArray[np.uint8], out: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """True where HLS version 2 saw the clear ground: none of the bits 0 to 4 of Fmask is set.

    fmask: (y, x) uint8 (bits cirrus, cloud, beside cloud or shadow, cloud shadow, snow, water, two of aerosol; 255 is
    fill). Returns (y, x) bool. Source: HLS version 2.0 user guide, table 9. ValueError on another dtype.
    """
    check("fmask", fmask, np.uint8)
    return np.equal(fmask & np.uint8(_HLS_FMASK_BITS), 0, out=destination(out, fmask.shape, np.bool_))


def cloud_probability_valid(
    probability: NDArray[np.uint8], below: int, out: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """True where the probability of cloud is below ``below`` per cent.

    probability: (y, x) uint8, per cent; above 100 is no data. below: 1 to 100. Returns (y, x) bool. Raises ValueError
    on another dtype or another limit.
    """
    check("probability", probability, np.uint8)
    if not 1 <= below <= 100:
        raise ValueError(f"below is {below}, expected 1 to 100 per cent")
    return np.less(probability, np.uint8(below), out=destination(out, probability.shape, np.bool_))


def encode_reflectance(
    dn: NDArray, scale: float, offset: float, nodata: float | None, out: NDArray[np.uint16] | None = None
) -> NDArray[np.uint16]:
    """Cube DN of a provider's reflectance DN: rint((dn * scale + offset + 0.1) * 10000), clipped to 1 to 65535.

    dn: (y, x) uint16, int16 or float32, provider's DN; no data where it equals ``nodata``, is not finite, or is an
    integer 0. reflectance = dn * scale + offset. nodata: None where the provider names none.
    Returns (y, x) uint16, cube DN, 0 = no data; all no data gives all 0. With scale 0.0001 and offset 0 or -0.1 it is
    exactly DN + 1000 or DN. Reflectance below -0.0999 becomes 1, above 6.4535 65535.
    Raises ValueError on another dtype, or on a scale or offset that is not finite or a scale that is not positive.
    """
    if dn.dtype not in (np.uint16, np.int16, np.float32):
        raise ValueError(f"dn is {dn.dtype}, expected uint16, int16 or float32; read the band in its own type")
    if not (np.isfinite(scale) and np.isfinite(offset) and scale > 0):
        raise ValueError(f"scale {scale}, offset {offset}: expected finite numbers, scale > 0; check the item's bands")
    out = destination(out, dn.shape, np.uint16, dn)
    # Rounding takes the binary error of decimal fractions away: with scale 1e-4 the gain must be 1, not nearly 1.
    gain, shift = round(scale * 1e4, 13), round((offset + 0.1) * 1e4, 9)
    # As the provider's own type holds it: 0.2 in float32 is not the 0.2 of float64.
    missing = np.nan if nodata is None else float(np.float32(nodata) if dn.dtype == np.float32 else nodata)
    flat = contiguous("dn", dn, dn.dtype).reshape(-1)
    _encode(flat, (gain, shift), missing, dn.dtype.kind != "f", out.reshape(-1))
    return out


@jit
def _encode(dn: NDArray, line: tuple[float, float], nodata: float, zero_missing: bool, out: NDArray) -> None:
    gain, shift = line
    for i in range(dn.size):
        value = np.float64(dn[i])
        missing = (not np.isfinite(value)) | (value == nodata) | (zero_missing & (value == 0.0))
        code = np.rint(value * gain + shift)
        code = code if code > 1.0 else 1.0
        code = code if code < 65535.0 else 65535.0
        out[i] = np.uint16(np.int32(0.0 if missing else code))


def decode_reflectance(dn: NDArray[np.uint16], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Reflectance of cube DN: DN * 0.0001 - 0.1, correctly rounded.

    dn: any shape, uint16, cube DN, 0 = no data. Returns the same shape, float32, reflectance, NaN = no data.
    ValueError on another dtype.
    """
    return _decoded(dn, 1000.0, 10000.0, out)


def encode_temperature(kelvin: NDArray[np.float32], out: NDArray[np.uint16] | None = None) -> NDArray[np.uint16]:
    """Cube DN of a temperature: rint(kelvin * 100), clipped to 1 to 65535 (0.01 to 655.35 K).

    kelvin: any shape, float32, K, NaN (or infinite) = no data. Returns the same shape, uint16, 0 = no data.
    ValueError on another dtype.
    """
    flat = contiguous("kelvin", kelvin, np.float32).reshape(-1)
    out = destination(out, kelvin.shape, np.uint16, kelvin)
    _encode(flat, (100.0, 0.0), np.nan, False, out.reshape(-1))
    return out


def decode_temperature(dn: NDArray[np.uint16], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Temperature of cube DN: DN * 0.01, correctly rounded.

    dn: any shape, uint16, cube DN, 0 = no data. Returns the same shape, float32, K, NaN = no data.
    ValueError on another dtype.
    """
    return _decoded(dn, 0.0, 100.0, out)


def _decoded(
    dn: NDArray[np.uint16], shift: float, divisor: float, out: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    flat = contiguous("dn", dn, np.uint16).reshape(-1)
    out = destination(out, dn.shape, np.float32, dn)
    _decode(flat, np.float32(shift), np.float32(divisor), out.reshape(-1))
    return out


@jit
def _decode(dn: NDArray, shift: np.float32, divisor: np.float32, out: NDArray) -> None:
    """(dn - shift) / divisor: both are exact in float32, so the quotient is the nearest float32 to the true value."""
    for i in range(dn.size):
        value = (np.float32(dn[i]) - shift) / divisor
        out[i] = value if dn[i] != 0 else np.float32(np.nan)
