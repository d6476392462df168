"""Refined Lee speckle filter in 7x7 windows, in the two flavours that users compare with.

``snap`` (Lee 1981, as in SNAP's refined Lee): from nine 3x3 means at stride 2 the strongest of the gradients
|M10 - M12|, |M02 - M20|, |M01 - M21|, |M00 - M22| (of equal ones the first) picks an edge direction, and of the two
half-windows (28 pixels) the one whose mean is closer to the centre area's; a tie takes the right, lower left, lower and
lower right one. Noise variance s2 is the mean of the five smallest of the nine var/mean^2 (n - 1; 0 where the mean is
0); v counts with n - 1. All nine areas are in the sort, and a constant window gives its constant (SNAP before
2026-05-25 did otherwise).

``polsarpro`` (Lee, Grunes and de Grandi 1999, as in PolSARpro): s2 = 1 / looks is given; each gradient is three areas
against three; the darker half-window is always taken; v counts with n. The darker half makes it biased: on speckle
without texture the mean falls by about 13, 6, 4 % at 1, 4.4, 9 looks.

Both: m + b (c - m), b = max(0, v - m^2 s2) / ((1 + s2) v), b = 0 where v = 0, with m, v over the half-window and c the
centre. Where a pixel of the window is missing or beyond the array: m, v over all valid pixels of the window, and in
``snap`` s2 from complete 3x3 areas only (0 where there is none, so the centre is kept).

Error: within 3e-7 of the largest absolute value in the window, beside the formula in exact arithmetic, unless two
gradients or sides differ by less than 1e-13 of it and the other is taken.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kernels import speckle_rules as rules
from kernels import speckle_windows as windows
from kernels.arrays import contiguous, destination, destinations, refuse_overlap
from kernels.jit import jit
from kernels.speckle_windows import planes

Image = NDArray[np.float32]
C2 = tuple[Image, Image, Image, Image]
Flavour = Literal["snap", "polsarpro"]

_SAME = 5e-7
"""Largest relative error of a sum of equal values in float32: a mean so near to the centre counts as equal to it, so
that a constant stays itself."""

HALO = windows.HALO
"""Pixels that the filter sees beyond a pixel; a tile is read with this halo."""


def refined_lee(
    intensity: Image, out: Image | None = None, *, flavour: Flavour = "snap", looks: float | None = None
) -> Image:
    """The intensity with its speckle filtered, each date on its own.

    intensity: (y, x) or (t, y, x) float32, linear power (never dB), NaN = no data (infinite counts as no data).
    out: the same shape, float32, C-contiguous, not overlapping the input; made where not given.
    looks: equivalent number of looks, with flavour "polsarpro" and only there.
    Returns the input's shape, float32, linear power, NaN where the input is no data; an all-NaN image stays so.
    The value of a pixel depends on its window alone, to the last bit. Safe to call from many threads.
    Raises ValueError on another dtype or shape, an out that overlaps the input, or looks that do not fit the flavour.
    """
    noise = _noise(flavour, looks)
    stack = contiguous("intensity", intensity, np.float32, _shape(intensity))
    out = destination(out, intensity.shape, np.float32)
    refuse_overlap(out, stack)
    for image, target in zip(_dates(stack), _dates(out), strict=True):
        _filter(image, noise, target)
    return out


def refined_lee_c2(
    c11: Image,
    c22: Image,
    c12_real: Image,
    c12_imag: Image,
    *,
    flavour: Flavour = "snap",
    looks: float | None = None,
    out: C2 | None = None,
) -> C2:
    """The covariance matrix with its speckle filtered: (c11, c22, c12_real, c12_imag).

    c11, c22, c12_real, c12_imag: one common shape, (y, x) or (t, y, x), float32, linear power, NaN (or infinite) in any
    of them = no data in all. out: four float32 arrays of that shape, C-contiguous, overlapping neither each other nor
    the inputs. looks: as in refined_lee. Returns four float32 arrays of that shape, NaN where a pixel is no data.

    Half-window and weight come from the span c11 + c22 and are one for all elements, so the result is a weighted mean
    of covariance matrices and stays positive semi-definite (to float32 rounding). That is PolSARpro's filter; for
    "snap", which is defined on one band only, the same is done here with its own rules for side, noise and variance.
    (SNAP's polarimetric refined Lee is the other flavour; its scalar one, band by band, would not keep C2 valid.)
    c12 is summed in float32: its error is within 1e-6 of the largest span in the window, that of the others as above.
    Raises ValueError on another dtype or shape, an out that overlaps, or looks that do not fit the flavour.
    """
    noise = _noise(flavour, looks)
    names = ("c11", "c22", "c12_real", "c12_imag")
    shape = _shape(c11)
    given = [contiguous(n, a, np.float32, shape) for n, a in zip(names, (c11, c22, c12_real, c12_imag), strict=True)]
    made = destinations(out, 4, shape, *given)
    for images in zip(*map(_dates, (*given, *made)), strict=True):
        _filter_c2(tuple(images[:4]), noise, tuple(images[4:]))
    return made[0], made[1], made[2], made[3]


def _shape(image: Image) -> tuple[int, ...]:
    if image.ndim not in (2, 3):
        raise ValueError(f"the image has shape {image.shape}, expected (y, x) or (t, y, x)")
    return image.shape


def _dates(stack: Image) -> list[Image]:
    return [stack] if stack.ndim == 2 else list(stack)


def _noise(flavour: Flavour, looks: float | None) -> float:
    """1 / looks for "polsarpro", 0 for "snap", which finds the noise itself."""
    if flavour == "snap" and looks is None:
        return 0.0
    if flavour == "polsarpro" and looks is not None and 0 < looks < np.inf:
        return 1.0 / looks
    raise ValueError(
        f'flavour {flavour!r} with looks {looks}, expected "snap" without looks, which it finds itself, '
        'or "polsarpro" with looks > 0'
    )


@jit
def _filter(image: NDArray, noise: float, out: NDArray) -> None:
    """Block by block."""
    s, missing, state, cv, direction = _scratch(noise)
    sums, holes = rules.plane_of(state, rules.FIRST), True
    for y in range(0, image.shape[0], windows.BLOCK_Y):
        for x in range(0, image.shape[1], windows.BLOCK_X):
            windows.load(image, y, x, s)
            holes = _choose(s, missing, state, cv, direction, holes, noise, True)
            rules.weigh(state, cv)
            _load(image, (y, x), s, missing, holes)
            _finish(s, missing, holes, state, sums, (y, x), out)


@jit
def _filter_c2(c2: tuple, noise: float, out: tuple) -> None:
    """The same with the span until the weight is known; then one element after the other, c12 in float32."""
    s, missing, state, cv, direction = _scratch(noise)
    s32, sums32 = planes(windows.SCRATCH // 2).view(np.float32), planes(windows.PLANE // 2).view(np.float32)
    sums, holes = (rules.plane_of(state, rules.FIRST), rules.plane_of(state, rules.OTHER)), True
    for y in range(0, out[0].shape[0], windows.BLOCK_Y):
        for x in range(0, out[0].shape[1], windows.BLOCK_X):
            _load_span(c2, y, x, s, state[rules.TOTALS :])
            holes = _choose(s, missing, state, cv, direction, holes, noise, False)
            for k in range(2):
                _load(c2[k], (y, x), s, missing, holes)
                _add_up(s, direction, holes, state, sums[k])
            rules.weigh(state, cv)
            for k in range(2):
                _load(c2[k], (y, x), s, missing, holes)
                _finish(s, missing, holes, state, sums[k], (y, x), out[k])
            for k in range(2, 4):
                _load(c2[k], (y, x), s32, missing, holes)
                _add_up(s32, direction, holes, state, sums32)
                _finish(s32, missing, holes, state, sums32, (y, x), out[k])


@jit
def _scratch(noise: float) -> tuple:
    """Planes of sums and of missing pixels; state, ratios and direction of the windows."""
    cv = planes(rules.CV_PLANES // 2 + 1).view(np.float32)
    rules.fill_noise(cv, noise)
    direction = planes(windows.PLANE // 2).view(np.int32)
    return planes(windows.SCRATCH), planes(windows.SCRATCH), planes(rules.STATE), cv, direction


@jit
def _choose(
    s: NDArray,
    missing: NDArray,
    state: NDArray,
    cv: NDArray,
    direction: NDArray,
    holes: bool,
    noise: float,
    with_sum: bool,
) -> bool:
    """Half-window, noise and sums of squares (on demand also of pixels) of the plane in ``s``, which is lost.

    True where a pixel is missing.
    """
    holes = rules.find_holes(s, missing, state, holes, noise > 0.0)
    totals = rules.totals_of(state)
    windows.rows(s)
    windows.areas(s, totals)
    if noise > 0.0:
        rules.darker_side(totals, direction)
    else:
        rules.closer_side(totals, direction)
    if with_sum:
        rules.used_sums(s, direction, holes, state, rules.plane_of(state, rules.FIRST))
    windows.square(s)
    windows.rows(s)
    if noise <= 0.0:
        rules.snap_noise(s, missing, holes, state, cv)
    rules.used_sums(s, direction, holes, state, rules.plane_of(state, rules.SECOND))
    return holes


@jit
def _load_span(c2: tuple, y: int, x: int, s: NDArray, other: NDArray) -> None:
    """c11 + c22, NaN where any element is."""
    windows.load(c2[0], y, x, s)
    windows.load(c2[1], y, x, other)
    windows.add_plane(s, other)
    for k in range(2, 4):
        windows.load(c2[k], y, x, other)
        windows.spoil(s, other)


@jit
def _load(image: NDArray, at: tuple[int, int], s: NDArray, missing: NDArray, holes: bool) -> None:
    """Pixels of one channel, 0 where any channel is missing."""
    windows.load(image, at[0], at[1], s)
    if holes:
        windows.blank(s, missing)


@jit
def _add_up(s: NDArray, direction: NDArray, holes: bool, state: NDArray, sums: NDArray) -> None:
    """Sums of one channel over the pixels that each window uses."""
    windows.rows(s)
    rules.used_sums(s, direction, holes, state, sums)


@jit
def _finish(
    s: NDArray, missing: NDArray, holes: bool, state: NDArray, sums: NDArray, at: tuple[int, int], out: NDArray
) -> None:
    """The estimates of one channel from its sums, written into the image."""
    rules.estimate(state, s, sums, 0.0 if s.itemsize == 8 else _SAME, at, out)
    if holes:
        windows.erase(missing, at[0], at[1], out)
