"""Which pixels of a tile are asked for: inside the area, and on the cropland mask where one is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray

from engine.errors import InputError, TileError
from engine.fetch import patiently
from engine.grid import area_mask
from engine.objects import absolute, file_digest
from engine.read import Patch, read_patch
from engine.types import Grid, Options, Window

T = TypeVar("T")

_NO_CLASS = 1e30
"""Floats from here on are fill values, such as -3.4e38, and no class of a mask."""
_USUAL_FILLS = frozenset({255, 254, 127, -1, -128, -999, -9999, -99999, -32768, 32767, 65535, -2147483648, 2147483647})
"""Values that files use for no data."""


class MaskOptions(Options):
    """A raster that says where to compute."""

    uri: str
    """A raster; what its header or a mask of its own calls no data is off."""
    keep: tuple[int, ...] | None = None
    """Values to compute at; None: any but 0."""
    band: int | str | None = None
    """Which band of a raster of several: its number from 1, or its name in the file."""


class Ground:
    """The area of interest and the mask, together, on one grid."""

    def __init__(self, grid: Grid, area: shapely.Geometry, mask: MaskOptions | None) -> None:
        self.grid, self.area, self.mask = grid, area, mask

    def of_area(self, window: Window) -> NDArray[np.bool_]:
        """(y, x) bool of a window of the grid, True inside the area, on the mask or off it."""
        return area_mask(self.grid, window, self.area)

    def inside(self, window: Window) -> NDArray[np.bool_]:
        """(y, x) bool of a window of the grid, True where a class is asked for."""
        inside = self.of_area(window)
        if self.mask is None or not inside.any():
            return inside
        patch = read_raster(self.mask.uri, self.grid, window, self.mask.band)
        if patch is None:
            return np.zeros(window.shape, np.bool_)
        return inside & patch.on_grid(_kept(patch.values, self.mask) & patch.valid & np.isfinite(patch.values), False)


def _kept(values: NDArray, mask: MaskOptions) -> NDArray[np.bool_]:
    """(y, x) bool, True where a mask is to be kept; InputError where its type cannot tell a value from others, or where
    a value is none of a class."""
    if values.dtype.kind == "f":
        _refuse_fill(values, mask)
    if mask.keep is None:
        return np.asarray(values != 0)
    digits = np.finfo(values.dtype).nmant + 1 if values.dtype.kind == "f" else 64
    if rounded := [value for value in mask.keep if abs(value) >= 2**digits]:
        raise InputError(
            f"mask.keep has {rounded[0]}, but the raster is {values.dtype}",
            expected=f"values below 2 ** {digits}: from there on the raster does not know every whole number",
            place=mask.uri,
            remedy="write the mask as whole numbers, such as uint32 or int64, from what it was made of",
        )
    return np.isin(values, mask.keep)


def _refuse_fill(values: NDArray, mask: MaskOptions) -> None:
    """InputError where a mask of floats holds a number that stands for nothing but a gap, and does not say so."""
    with np.errstate(invalid="ignore"):
        huge = values[np.isfinite(values) & (np.abs(values) >= _NO_CLASS)]
    if len(huge):
        raise InputError(
            f"the mask holds {huge[0]:.9g}, which its header does not call no data",
            expected="classes, and the fill value in the header exactly as pixels hold it",
            place=mask.uri,
            remedy=f"gdal_edit.py -a_nodata {huge[0]:.9g}, or write the mask as whole numbers",
        )


def doubts_of_mask(mask: MaskOptions, grid: Grid, windows: Sequence[Window]) -> list[str]:
    """A sentence where a mask without ``keep`` holds what is usually a fill value beside other classes, and would be
    kept; looked for in these windows."""
    if mask.keep is not None:
        return []
    counts: Counter[float] = Counter()
    for window in windows:
        patch = read_raster(mask.uri, grid, window, mask.band)
        if patch is not None:
            values, number = np.unique(patch.values[_kept(patch.values, mask) & patch.valid], return_counts=True)
            counts.update(dict(zip(values.tolist(), number.tolist(), strict=True)))
    fills = sorted(value for value in counts if value in _USUAL_FILLS and len(counts) > 1)
    share = sum(counts[value] for value in fills) / max(sum(counts.values()), 1)
    if not fills:
        return []
    told = ", ".join(f"{value:g}" for value in fills)
    return [
        f"doubtful: mask {mask.uri}: {share:.0%} of what it keeps holds {told}, which no header calls no data: "
        "if it means none, name the classes under mask.keep or write it into the header (gdal_edit.py -a_nodata)"
    ]


def read_raster(uri: str, grid: Grid, window: Window, band: int | str | None = None) -> Patch | None:
    """The patch of a raster of codes that a person named (mask, labels); ``band``: which of several."""
    return read_named(uri, lambda path: read_patch(path, grid, window, band=band))


def read_named(uri: str, read: Callable[[str], T]) -> T:
    """What ``read`` gives of a raster a person named, local, ``s3://`` or ``https://``; it is called with GDAL's path.

    InputError where it is missing or damaged, InfrastructureError where trying again may help.
    """
    try:
        return patiently(absolute(uri), uri, read)
    except InputError as error:
        if error.place:
            raise
        raise InputError(error.value, expected=error.expected, place=uri, remedy=error.remedy) from error
    except TileError as error:
        raise InputError(
            error.value, expected="a raster with CRS and geotransform", place=uri, remedy="check the uri"
        ) from error


def mask_identity(mask: MaskOptions | None) -> list[str] | None:
    """What changes when the mask does: its values and its file."""
    return None if mask is None else [file_digest(absolute(mask.uri)), str(mask.keep), str(mask.band)]
