"""Parcels: a register dealt out to tiles, which pixels are a parcel's, and the table that says what grew in each."""

from engine.parcels.deal import Dealt
from engine.parcels.options import PARCELS_VERSION, ParcelOptions
from engine.parcels.pixels import NONE, Footprints, choose, footprints, points_within
from engine.parcels.register import Part, Register, held, look_at_register, read_part, register_identity, take_in
from engine.parcels.shapes import TOO_LARGE, Owners, reached, too_large
from engine.parcels.summary import bulk, parcel_means, parcel_series
from engine.parcels.table import FILE_NAME, Verdicts, parcel_file, tally

__all__ = [
    "FILE_NAME",
    "NONE",
    "PARCELS_VERSION",
    "TOO_LARGE",
    "Dealt",
    "Footprints",
    "Owners",
    "ParcelOptions",
    "Part",
    "Register",
    "Verdicts",
    "bulk",
    "choose",
    "footprints",
    "held",
    "look_at_register",
    "parcel_file",
    "parcel_means",
    "parcel_series",
    "points_within",
    "reached",
    "read_part",
    "register_identity",
    "take_in",
    "tally",
    "too_large",
]
