"""Labels on the ground -> labelled pixels for training, each in the spatial block it is dealt out with."""

from engine.samples.labels import (
    MOST_PER_TILE,
    Labels,
    Legend,
    draw,
    is_raster,
    labelled_polygons,
    legend_of,
    read_legend,
)
from engine.samples.near import stacked, touched
from engine.samples.options import HELD, LabelOptions, OtherSeason, RegionOptions
from engine.samples.regions import Regions
from engine.samples.table import chosen, joined

__all__ = [
    "HELD",
    "MOST_PER_TILE",
    "LabelOptions",
    "Labels",
    "Legend",
    "OtherSeason",
    "RegionOptions",
    "Regions",
    "chosen",
    "draw",
    "is_raster",
    "joined",
    "labelled_polygons",
    "legend_of",
    "read_legend",
    "stacked",
    "touched",
]
