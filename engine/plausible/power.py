"""Backscatter that is no linear power of land: decibels, amplitudes, numbers not scaled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.plausible.finding import Finding, Sight, enough

MOST_POWER = 10.0
"""+10 dB. Half of a scene is never brighter: medians of land are -20 to -3 dB, of dense cities about 0 dB, and only
single targets reach +20 dB. Numbers of a file that were not scaled have medians of 50 and more."""
LEAST_POWER = 1e-5
"""-50 dB, far below Sentinel-1's noise (-22 dB guaranteed, about -28 dB reached), where VH of dry sand and water is.
A scale of 1e-4 that is applied where it was applied before gives -50 to -60 dB."""
CROSS_POL_SHARE = 1 / 3
"""VH over VV of a cloud of randomly oriented dipoles, which depolarises most of what grows (Freeman and Durden 1998).
Fields have 0.10 to 0.25 (Flanders 2018: 0.14 to 0.19), and their square roots, 0.32 to 0.5, are amplitudes."""
MOST_CROSS_POL = 0.08
"""-11 dB: medians of VH are -12 dB over rain forest, -15 to -20 dB over fields; the square root of the latter is -10 to
-7.5 dB."""

BRIGHTEST, FEW = 1000.0, 0.001
"""+30 dB, which hardly a single target reaches: ships, towers and corner reflectors are some in a million pixels."""

_REMEDY = "use a linear-power product (RTC), or convert it"
_EXPECTED = "backscatter in linear power"


def power_fault(values: NDArray[np.float32]) -> Finding | None:
    """What shows in one image of one polarisation that it cannot be linear power; None where nothing does, or where
    too few of the image's pixels hold data to tell.

    values: any shape, float32, as decoded, NaN = no data. Zero is the fill of many providers and is not looked at.
    Counted, since a median takes a fifth of the cube stage's time.
    """
    finite = np.isfinite(values)
    number = int(np.count_nonzero(finite & (values != 0)))
    if not enough(number, values.size):
        return None
    if 2 * np.count_nonzero(values < 0) > number:
        return Finding(f"median {_median(values):.1f}, so it looks like decibels", _EXPECTED, _REMEDY)
    if 2 * np.count_nonzero(finite & (values > MOST_POWER)) > number:
        return Finding(
            f"median {_median(values):.4g}, so it looks like amplitudes or numbers that were not scaled",
            f"{_EXPECTED}: medians of land are 0.01 to 1",
            "state the file's scale (raster:bands), or use a linear-power product (RTC)",
        )
    if 2 * np.count_nonzero((values > 0) & (values < LEAST_POWER)) > number:
        return Finding(
            f"median {_median(values):.3g}, below any radar's noise, so a scale seems to be applied twice",
            f"{_EXPECTED}: medians of land are 0.01 to 1",
            "mend scale and offset in the catalogue, or leave the item out",
        )
    return None


def power_findings(sights: Sequence[Sight]) -> list[Finding]:
    """What several sights of one source, bands VV and VH (or C11 and C22) first, show together."""
    return [*_of_ratio(sights), *_of_fill(sights)]


def _of_fill(sights: Sequence[Sight]) -> list[Finding]:
    """Pixels that look like a number for no data that neither item nor file calls so; negative ones never are kept."""
    bands = [sight.bands[:2] for sight in sights]
    shares = [float(np.mean(one[np.isfinite(one)] > BRIGHTEST)) if np.isfinite(one).any() else 0.0 for one in bands]
    scenes = tuple(sight.scene for sight, share in zip(sights, shares, strict=True) if share > FEW)
    if not scenes:
        return []
    brightest = max(float(np.nanmax(one)) for one in bands if np.isfinite(one).any())
    return [
        Finding(
            f"{max(shares):.1%} of pixels above {BRIGHTEST:g} (+30 dB), up to {brightest:.6g}: no data, it seems, that "
            "neither item nor file calls so",
            f"{_EXPECTED}, and no data that is called so",
            "name the number: nodata under raster:bands in the catalogue, or gdal_edit -a_nodata",
            certain=False,
            scenes=scenes,
        )
    ]


def _of_ratio(sights: Sequence[Sight]) -> list[Finding]:
    """Polarisations exchanged, or square roots, told by VH over VV."""
    ratios, levels, scenes = [], [], []
    for sight in sights:
        vv, vh = sight.bands[:2]
        both = (np.maximum(vv, vh) > 0.02) & (np.minimum(vv, vh) > 0)  # nearer the noise the share is one of noises
        if 4 * np.count_nonzero(both) >= both.size:
            ratios.append(float(np.median(vh[both] / vv[both])))
            levels.append(float(np.median(vh[both])))
            scenes.append(sight.scene)
    if not ratios:
        return []
    ratio, level = float(np.median(ratios)), float(np.median(levels))
    seen = f"VH has a median of {level:.3g}, and is {ratio:.2f} of VV"
    if ratio > 1:
        return [
            Finding(
                f"{seen}, so the two polarisations seem to be exchanged",
                "VH below VV: 0.1 to 0.25 of it over fields",
                "name the assets: inputs.radar.assets {vv: ..., vh: ...}",
                ratio > 1.5 and level > 0.02,
                tuple(scenes),
            )
        ]
    if ratio > CROSS_POL_SHARE or level > MOST_CROSS_POL:
        return [
            Finding(
                f"{seen}, so it looks like amplitudes, the square roots of power",
                f"{_EXPECTED}: VH of 0.005 to 0.06, 0.1 to 0.25 of VV",
                "square them, or use a linear-power product (RTC)",
                ratio > CROSS_POL_SHARE and level > MOST_CROSS_POL,
                tuple(scenes),
            )
        ]
    return []


def impossible_covariances(
    planes: Sequence[NDArray[np.float32]], seen: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], Finding | None]:
    """(y, x) bool, True where |C12|^2 exceeds C11 C22 beyond rounding, as no covariance does (Cauchy and Schwarz); and
    a Finding where that is so in most of the pixels ``seen``, and those are enough to tell.

    planes: C11, C22 and the real and imaginary part of C12, each (y, x) float32, linear power.
    """
    c11, c22, real, imag = (plane.astype(np.float64) for plane in planes)
    with np.errstate(invalid="ignore"):
        wrong: NDArray[np.bool_] = seen & (real * real + imag * imag > 1.01 * c11 * c22)
    number = int(np.count_nonzero(seen))
    if not enough(number, seen.size) or 2 * np.count_nonzero(wrong) <= number:
        return wrong, None
    return wrong, Finding(
        "|C12|^2 is larger than C11 C22 in most pixels, so they are no covariances",
        "C12 = <VV conj(VH)>, real and imaginary part, in the units of C11 and C22",
        "check which asset is which and their scale, or leave the item out",
    )


def _median(values: NDArray[np.float32]) -> float:
    return float(np.median(values[np.isfinite(values)]))
