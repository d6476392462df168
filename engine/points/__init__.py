"""Points of a probability sample: drawn from a published map, kept as a file that a person fills in, and read back."""

from engine.points.drawn import Strata, draw
from engine.points.file import DESIGN, POINTS, design_of, read_points, refuse_twice, write_points

__all__ = ["DESIGN", "POINTS", "Strata", "design_of", "draw", "read_points", "refuse_twice", "write_points"]
