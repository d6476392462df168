"""STAC catalogue -> items pinned into the run: searched, de-duplicated, resolved to our band names, identified.

``find_items`` is the front door; the other functions are its steps.
"""

from engine.catalog.duplicates import deduplicate
from engine.catalog.find import Found, find_items
from engine.catalog.identity import identify
from engine.catalog.offset import is_shifted, with_offset
from engine.catalog.pin import read_items, write_items
from engine.catalog.query import search
from engine.catalog.resolution import resolve
from engine.catalog.source import PLANETARY_COMPUTER, SourceOptions

__all__ = [
    "PLANETARY_COMPUTER",
    "Found",
    "SourceOptions",
    "deduplicate",
    "find_items",
    "identify",
    "is_shifted",
    "read_items",
    "resolve",
    "search",
    "with_offset",
    "write_items",
]
