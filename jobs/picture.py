"""Pictures of a finished map, for people: the classes beside the truth, where there is one, and the confidence."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.ground import read_named
from engine.map_values import NODATA, MapValues, map_values
from engine.models import Card
from engine.output import Product
from engine.plan import Plan
from engine.read import read_whole
from engine.samples import read_codes
from engine.types import Grid, Tile, Window

_MOST_PX = 600
_PARALLEL = 16


def draw(
    uri: str,
    card: Card,
    plan: Plan,
    folders: Mapping[str, str],
    *,
    title: str,
    codes: bool = False,
    truth: str | None = None,
    truth_is: str = "labels",
    truth_band: int | str | None = None,
) -> bytes:
    """A PNG: the class map, beside it the truth (a raster of codes) if there is one, and the confidence.

    ``uri``: a map with the products class and confidence, its classes as ``codes`` or indices; ``folders``: where each
    published tile lies below it. At most 600 px a side are drawn, about what a panel shows, each tile read at that size
    from its overviews, so a country takes minutes.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    factor = max(1, -(-max(plan.grid.height, plan.grid.width) // _MOST_PX))
    held = map_values(card, codes)
    classes = _decimated(uri, "class", plan, folders, factor, held)
    confidence = _decimated(uri, "confidence", plan, folders, factor)
    panels: list[tuple[str, Any]] = [("map", _coloured(classes, card))]
    if truth is not None:
        panels.append((truth_is, _coloured(_truth(truth, plan.grid, card, factor, truth_band), card)))
    panels.append(("confidence, %", np.ma.masked_equal(confidence, NODATA)))
    figure, axes = pyplot.subplots(1, len(panels), figsize=(5.2 * len(panels), 6), constrained_layout=True)
    for axis, (name, image) in zip(np.atleast_1d(axes), panels, strict=True):
        shown = axis.imshow(image, interpolation="nearest", vmin=0, vmax=100, cmap="viridis")
        axis.set_title(name)
        axis.set_axis_off()
    figure.colorbar(shown, ax=axes, shrink=0.6)
    _legend(figure, card)
    figure.suptitle(title)
    image = io.BytesIO()
    figure.savefig(image, dpi=110)
    pyplot.close(figure)
    return image.getvalue()


def _decimated(
    uri: str, product: Product, plan: Plan, folders: Mapping[str, str], factor: int, held: MapValues | None = None
) -> NDArray[np.uint8]:
    """The map on the whole grid, every ``factor``-th pixel of every ``factor``-th row; 255 where there is no tile.
    ``held``: what stands for each class index."""
    picture = np.full((-(-plan.grid.height // factor), -(-plan.grid.width // factor)), NODATA, np.uint8)

    def paste(tile: Tile) -> None:
        y0, y1, x0, x1 = (-(-edge // factor) for edge in tile.core)
        if y1 > y0 and x1 > x0:
            name = f"{uri}/{folders[tile.id]}/{product}.tif"
            shape = y1 - y0, x1 - x0
            read = read_named(name, lambda path: read_whole(path, shape))
            picture[y0:y1, x0:x1] = held.index(read) if held else read

    with ThreadPoolExecutor(_PARALLEL) as pool:
        list(pool.map(paste, (tile for tile in plan.tiles if tile.id in folders)))
    return picture


def _truth(uri: str, grid: Grid, card: Card, factor: int, band: int | str | None = None) -> NDArray[np.uint8]:
    codes = read_codes(uri, grid, Window(0, grid.height, 0, grid.width), band=band)
    index = np.full(codes.shape, NODATA, np.uint8)
    for position, entry in enumerate(card.classes):
        index[codes == entry.code] = position
    return index[::factor, ::factor]


def _coloured(index: NDArray[np.uint8], card: Card) -> NDArray[np.uint8]:
    palette = np.full((256, 3), 245, np.uint8)
    for position, entry in enumerate(card.classes):
        palette[position] = list(bytes.fromhex(entry.colour.removeprefix("#")))
    return palette[index]


def _legend(figure: Any, card: Card) -> None:
    from matplotlib.patches import Patch

    entries: Sequence[Any] = [Patch(color=entry.colour, label=entry.name) for entry in card.classes]
    figure.legend(handles=entries, loc="outside lower center", ncols=min(6, len(entries)), frameon=False)
