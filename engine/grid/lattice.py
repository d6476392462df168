"""Area of interest -> pixel lattice -> tiles, and the mask of the area in any window of the lattice.

The lattice is laid down once, on whole multiples of the resolution, and every pixel centre is computed from it alone.
So no answer here depends on how the area was cut into tiles or windows.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from pydantic import Field
from shapely.geometry.base import BaseGeometry

from engine.grid.projection import check_use, project_bent, projected_crs
from engine.types import Grid, Options, Tile, Window

SNAP_PX = 1e-3
"""Overhang that does not open a new row of pixels: the noise of a projection there and back, not land."""


class GridOptions(Options):
    """The lattice: projected CRS in metres, pixel size in metres, tile size in pixels."""

    crs: str
    """Projected CRS in metres by authority code, such as EPSG:3035: a UTM zone where the area fits in one, else
    equal area."""
    resolution: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Side of a pixel in metres."""
    tile_px: Annotated[int, Field(ge=1, le=16384)] = 512
    """Side of a tile, the unit of work, in pixels; smaller ones need less memory."""


def make_grid(area: BaseGeometry, options: GridOptions) -> Grid:
    """Grid that covers ``area`` (EPSG:4326), its edges on multiples of the resolution.

    Law: ``left`` and ``top`` are multiples of the resolution, and no part of the area lies outside by more than
    SNAP_PX pixels. Two areas in one CRS and resolution so share their pixels. SpecError: unknown or geographic CRS,
    axes not in metres, no authority code, area outside the CRS's area of use.
    """
    crs = projected_crs(options.crs, area)
    check_use(crs, area)
    west, south, east, north = project_bent(area, crs).bounds
    r = options.resolution
    x0, x1 = math.floor(west / r + SNAP_PX), math.ceil(east / r - SNAP_PX)
    y0, y1 = math.floor(south / r + SNAP_PX), math.ceil(north / r - SNAP_PX)
    return Grid(
        crs=":".join(crs.to_authority()),
        resolution=r,
        left=x0 * r,
        top=y1 * r,
        height=max(y1 - y0, 1),
        width=max(x1 - x0, 1),
        tile_px=options.tile_px,
    )


def project_area(area: BaseGeometry, grid: Grid) -> BaseGeometry:
    """``area`` (EPSG:4326) in the grid's CRS, long edges bent as the projection bends them; prepared for queries."""
    projected = project_bent(area, pyproj.CRS.from_user_input(grid.crs))
    shapely.prepare(projected)
    return projected


def tiles_of(grid: Grid, area_projected: BaseGeometry) -> list[Tile]:
    """The tiles that intersect the area, row by row. A tile none of whose pixel centres can lie inside is left out."""
    r, step = grid.resolution, grid.tile_px * grid.resolution
    right, bottom = grid.left + grid.width * r, grid.top - grid.height * r
    row, col = np.divmod(np.arange(grid.tile_rows * grid.tile_cols), grid.tile_cols)
    # Half a pixel is taken off each side: what is left spans the pixel centres, so a mere touch brings no empty tile.
    boxes = shapely.box(
        grid.left + col * step + r / 2,
        np.maximum(grid.top - (row + 1) * step, bottom) + r / 2,
        np.minimum(grid.left + (col + 1) * step, right) - r / 2,
        grid.top - row * step - r / 2,
    )
    shapely.prepare(area_projected)
    hits = np.flatnonzero(shapely.intersects(area_projected, boxes))
    return [grid.tile(int(row[i]), int(col[i])) for i in hits]


def area_mask(grid: Grid, window: Window, area_projected: BaseGeometry) -> NDArray[np.bool_]:
    """(y, x) bool, True where the pixel's centre lies inside the area; a centre exactly on an edge is outside.

    Law: ``area_mask(whole)[y, x] == area_mask(any window that holds the pixel)[its y, its x]``, since each centre is
    one sum from the grid's corner. rasterio.features breaks it: it moves the polygon to the window's own origin, and
    edges through pixel centres then round differently from window to window.
    """
    left, bottom, right, top = grid.bounds(window)
    box = shapely.box(left, bottom, right, top)
    shapely.prepare(area_projected)
    if shapely.contains_properly(area_projected, box):
        return np.ones(window.shape, dtype=bool)
    if not shapely.intersects(area_projected, box):
        return np.zeros(window.shape, dtype=bool)
    x = grid.left + (np.arange(window.x0, window.x1) + 0.5) * grid.resolution
    y = grid.top - (np.arange(window.y0, window.y1) + 0.5) * grid.resolution
    return shapely.contains_xy(area_projected, *np.meshgrid(x, y))
