"""The Zarr cube: create and lengthen its metadata (driver only), encode and decode one tile's zarr shards.

One zarr shard per tile and array. A worker encodes a shard in memory, learns its checksum and replaces the object by
one PUT; a reader fetches the whole object, compares it with the checksum in the ledger, and decodes. So a half written
or foreign shard is never taken for the tile. Zarr itself does all encoding; ``xarray.open_zarr`` opens the cube as any.
"""

from engine.store.layout import CubeLayout
from engine.store.metadata import layout_of, prepare, refuse_other_cube
from engine.store.opened import opened
from engine.store.shards import checksum, decode_layer, decode_window, encode_layer

__all__ = [
    "CubeLayout",
    "checksum",
    "decode_layer",
    "decode_window",
    "encode_layer",
    "layout_of",
    "opened",
    "prepare",
    "refuse_other_cube",
]
