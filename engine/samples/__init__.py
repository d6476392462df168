"""Labels on the ground -> labelled pixels for training, each in the spatial block it is dealt out with."""

from engine.samples.coding import Coding, coding_of
from engine.samples.fields import Fields
from engine.samples.labels import MOST_PER_TILE, Labels, draw, fields_of, labelled_polygons, read_codes
from engine.samples.legend import Legend, read_legend
from engine.samples.near import stacked, touched
from engine.samples.options import HELD, LabelOptions, OtherSeason, RegionOptions, is_raster
from engine.samples.regions import Regions
from engine.samples.table import chosen, joined

__all__ = [
    "HELD",
    "MOST_PER_TILE",
    "Coding",
    "Fields",
    "LabelOptions",
    "Labels",
    "Legend",
    "OtherSeason",
    "RegionOptions",
    "Regions",
    "chosen",
    "coding_of",
    "draw",
    "fields_of",
    "is_raster",
    "joined",
    "labelled_polygons",
    "read_codes",
    "read_legend",
    "stacked",
    "touched",
]
