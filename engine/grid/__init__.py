"""Area of interest -> tiles: read the area, lay the pixel lattice, list the tiles, mask the area in any window."""

from engine.grid.area import AreaOptions, look_at_area, read_area
from engine.grid.lattice import GridOptions, area_mask, make_grid, project_area, tiles_of
from engine.grid.projection import suggest_crs

__all__ = [
    "AreaOptions",
    "GridOptions",
    "area_mask",
    "look_at_area",
    "make_grid",
    "project_area",
    "read_area",
    "suggest_crs",
    "tiles_of",
]
