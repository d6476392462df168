"""Which pixels of a tile are asked for: inside the area, and on the cropland mask where one is given."""

from __future__ import annotations

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from engine.errors import InputError
from engine.grid import area_mask
from engine.objects import absolute, file_digest
from engine.read import Patch, gdal_settings, read_patch
from engine.signing import gdal_path
from engine.types import Grid, Options, Window


class MaskOptions(Options):
    """A raster that says where to compute: pixels equal to one of ``keep`` (None: any value but 0 and nodata)."""

    uri: str
    keep: tuple[int, ...] | None = None


class Ground:
    """The area of interest and the mask, together, on one grid."""

    def __init__(self, grid: Grid, area: shapely.Geometry, mask: MaskOptions | None) -> None:
        self.grid, self.area, self.mask = grid, area, mask

    def inside(self, window: Window) -> NDArray[np.bool_]:
        """(y, x) bool of a window of the grid, True where a class is asked for."""
        inside = area_mask(self.grid, window, self.area)
        if self.mask is None or not inside.any():
            return inside
        patch = read_raster(self.mask.uri, self.grid, window)
        if patch is None:
            return np.zeros(window.shape, np.bool_)
        keep = self.mask.keep
        kept = patch.values != 0 if keep is None else np.isin(patch.values, keep)
        return inside & patch.on_grid(kept, False)


def read_raster(uri: str, grid: Grid, window: Window) -> Patch | None:
    """The patch of a raster a person named (mask, labels), local, ``s3://`` or ``https://``; InputError if it fails."""
    try:
        with rasterio.Env(**gdal_settings()):
            return read_patch(gdal_path(absolute(uri)), grid, window)
    except (RasterioError, OSError, ValueError) as error:
        raise InputError(
            f"cannot be read: {error}", expected="a raster with CRS and geotransform", place=uri, remedy="check the uri"
        ) from error


def mask_identity(mask: MaskOptions | None) -> list[str] | None:
    """What changes when the mask does: its values and its file."""
    return None if mask is None else [file_digest(absolute(mask.uri)), str(mask.keep)]
