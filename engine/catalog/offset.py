"""Whether Sentinel-2's offset is taken off an item's numbers, and the item with the other answer."""

from __future__ import annotations

from dataclasses import replace

from engine.bands import ASSET_BANDS
from engine.catalog.encoding import S2_OFFSET
from engine.claims import line_of
from engine.types import Asset, Item


def is_shifted(item: Item) -> bool | None:
    """Whether an offset of -0.1 is expected to be applied; None for other products than Sentinel-2's reflectance."""
    if item.sensor != "optical" or not item.platform.startswith("sentinel-2"):
        return None
    return _offset(item.assets[ASSET_BANDS["optical"][0]]) < S2_OFFSET / 2


def with_offset(item: Item, shifted: bool) -> Item:
    """The item with the offset of all its bands said to be -0.1 (``shifted``) or 0, whatever else says otherwise."""
    assets = {}
    for band, asset in item.assets.items():
        line = line_of([asset.item, asset.family])
        said = replace(asset.item, scale=line[0] if line else 1e-4, offset=S2_OFFSET if shifted else 0.0)
        assets[band] = asset if band == "mask" else replace(asset, item=said)
    return replace(item, assets=assets)


def _offset(asset: Asset) -> float:
    line = line_of([asset.item, asset.family])
    return line[1] if line else 0.0
