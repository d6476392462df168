"""Pictures of a finished map, for people: the classes beside the truth, where there is one, and the confidence."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling

from engine.ground import read_named, read_raster
from engine.models import Card
from engine.output import NODATA
from engine.types import Grid, Window

_MOST_PX = 1200


def open_map(uri: str, product: str) -> tuple[NDArray[np.uint8], int]:
    """The whole map of one product through its mosaic index, decimated to at most 1200 px a side, and the factor."""
    return read_named(f"{uri}/{product}.gti.gpkg", _decimated)


def _decimated(path: str) -> tuple[NDArray[np.uint8], int]:
    with rasterio.open(path) as source:
        factor = max(1, -(-max(source.shape) // _MOST_PX))
        shape = (-(-source.height // factor), -(-source.width // factor))
        return source.read(1, out_shape=shape, resampling=Resampling.nearest), factor


def draw(uri: str, card: Card, *, title: str, grid: Grid, truth: str | None = None, truth_is: str = "labels") -> bytes:
    """A PNG: the class map, beside it the truth (a raster of codes) if there is one, and the confidence.

    ``uri``: a map with the products class and confidence, at least one tile of them published.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    classes, factor = open_map(uri, "class")
    confidence, _ = open_map(uri, "confidence")
    panels: list[tuple[str, Any]] = [("map", _coloured(classes, card))]
    if truth is not None:
        panels.append((truth_is, _coloured(_truth(truth, grid, card, factor), card)))
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


def truth_index(uri: str, grid: Grid, card: Card) -> NDArray[np.uint8]:
    """A raster of codes on the whole grid, as the card's class indices; codes it has no class for are no data."""
    return _truth(uri, grid, card, 1)


def _truth(uri: str, grid: Grid, card: Card, factor: int) -> NDArray[np.uint8]:
    patch = read_raster(uri, grid, Window(0, grid.height, 0, grid.width))
    codes = patch.on_grid(patch.values.astype(np.int32), 0) if patch else np.zeros((grid.height, grid.width), np.int32)
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
