"""Files of vectors: one reader with one set of rules for area, parcels, labels, regions and points."""

from engine.vectors.crs import BEND_DEG, BEND_M, Box, segment_length
from engine.vectors.file import FORMATS, VectorFile, file_identity, is_unknown
from engine.vectors.polygons import NO_GEOMETRY, Judged, Polygons, judge, read_polygons, refuse_no_polygons, told_of
from engine.vectors.rows import Batch, Header, Opened
from engine.vectors.source import opened, read_header
from engine.vectors.text import identifiers

__all__ = [
    "BEND_DEG",
    "BEND_M",
    "FORMATS",
    "NO_GEOMETRY",
    "Batch",
    "Box",
    "Header",
    "Judged",
    "Opened",
    "Polygons",
    "VectorFile",
    "file_identity",
    "identifiers",
    "is_unknown",
    "judge",
    "opened",
    "read_header",
    "read_polygons",
    "refuse_no_polygons",
    "segment_length",
    "told_of",
]
