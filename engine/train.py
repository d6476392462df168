"""Cube and labels -> a model, written where the spec says. Nothing is trained that is trained already."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from pyproj import Transformer

from engine.errors import InputError
from engine.features import FEATURES_VERSION, derive, hide, layers_needed
from engine.ground import Ground, MaskOptions, mask_identity
from engine.keys import shards_around
from engine.ledger import Record
from engine.models import Domain, Folder, Recipe, model_digest, read_card, read_model, write_model
from engine.objects import Objects, absolute, file_digest
from engine.parcel_samples import parcel_samples, refuse_parcels, sampled
from engine.plan import Plan
from engine.predict import cut
from engine.samples import MOST_PER_TILE, LabelOptions, Labels, draw, joined, legend_of
from engine.store import CubeLayout, decode_window
from engine.training import Checkpoint, Hooks, Parent, Progress, TrainOptions, fit, refuse_unlike
from engine.training.fit import TRAINING_VERSION
from engine.types import CubeBlock, Layer, Samples, Tile, digest

_MOST_BYTES = 2 << 30
"""Of the squares of pixels that models with patches are trained on."""


@dataclass(frozen=True)
class TrainRequest:
    """All that decides a training. ``records``: the cube's, by tile."""

    plan: Plan
    layout: CubeLayout
    records: Mapping[str, Record]
    cube_uri: str
    labels: LabelOptions
    recipe: Recipe
    options: TrainOptions
    model_uri: str
    domain: Domain
    mask: MaskOptions | None = None
    """Where pixels for virtual labels may lie, and those of parcels; labelled ones count off it as well."""

    def key(self) -> str:
        """Digest of cube, labels, recipe and options, and of the model to go on from."""
        sums = {tile: record.body.get("checksums") for tile, record in self.records.items()}
        legend = file_digest(absolute(self.labels.legend)) if self.labels.legend else None
        start = self.options.start_from
        masked = self.options.virtual or self.labels.per == "parcel"
        mask = [mask_identity(self.mask)] if masked else []
        return digest(
            [TRAINING_VERSION, FEATURES_VERSION, sums, self.labels.model_dump(mode="json"),
             file_digest(absolute(self.labels.uri)), legend, self.recipe.model_dump(mode="json"),
             self.options.decisive(), model_digest(absolute(start)) if start else None, *mask]
        )  # fmt: skip


def is_trained(request: TrainRequest) -> bool:
    """True where the model there was trained from just this."""
    try:
        return bool(read_card(request.model_uri).training.get("inputs") == request.key())
    except InputError:
        return False


def train(request: TrainRequest, progress: Progress | None = None, hooks: Hooks | None = None) -> dict[str, Any]:
    """Sample, fit, write the model. Returns the report, which lies beside the model as ``training.json``.

    A checkpoint lies there as well until the model is written; ``hooks`` need not bring one.
    """
    hooks = hooks or Hooks()
    checkpoint = hooks.checkpoint or Checkpoint(Folder(absolute(request.model_uri)))
    hooks = replace(hooks, checkpoint=checkpoint)
    parent = parent_of(request)
    samples = collect(request)
    legend = legend_of(request.labels, samples)
    fitted = fit(
        samples, request.recipe, legend.names, request.options, progress, colours=legend.colours, hooks=hooks,
        parent=parent,
    )  # fmt: skip
    training = {**fitted.card.training, "inputs": request.key()}
    card = fitted.card.model_copy(update={"training": training, "sampled": sampled(request.labels)})
    Objects(absolute(request.model_uri)).put(
        "training.json", (json.dumps(fitted.report, indent=2, sort_keys=True) + "\n").encode()
    )
    write_model(card, fitted.weights, request.model_uri, request.domain, fitted.golden)
    checkpoint.clear()
    return fitted.report


def parent_of(request: TrainRequest) -> Parent | None:
    """The model to go on from, if any; InputError, before a sample is read, where it is unlike."""
    if request.options.start_from is None:
        return None
    uri = absolute(request.options.start_from)
    card, weights = read_model(uri)
    refuse_unlike(card, request.recipe, request.options)
    return Parent(card, weights, model_digest(uri))


def collect(request: TrainRequest) -> Samples:
    """Labelled pixels, or parcels, of every tile whose cube is there; InputError where labels and cube do not meet.

    For virtual labels unlabelled ones as well (y = 0), some for every labelled one of the same tile.
    """
    plan = request.plan
    refuse_parcels(request.labels, request.options)
    ground = Ground(plan.grid, plan.area, request.mask)
    if request.labels.per == "parcel":
        parts = list(parcel_samples(request, ground))
    else:
        labels = Labels(request.labels, plan.grid, request.options.block_m)
        parts = [part for tile in plan.tiles if (part := _samples_of(request, tile, labels, ground))]
    if not parts or not sum(len(part.y) for part in parts):
        raise InputError(
            f"not one labelled {request.labels.per} lies on a cube tile",
            expected="labels that overlap the area",
            place=request.labels.uri,
            remedy="check the labels' CRS and extent, labels.ignore and the area",
        )
    return joined(parts)


def _samples_of(request: TrainRequest, tile: Tile, labels: Labels, ground: Ground) -> Samples | None:
    """The labelled, seen pixels of one tile; None where it has none."""
    halo, recipe = request.options.halo, request.recipe
    window = tile.core.padded(halo)
    sums = shards_around(request.plan.grid, tile, halo, request.records)
    if not sums:
        return None
    beyond = ~ground.of_area(window)
    codes, block = labels.read(window)
    codes[beyond] = 0
    core = tile.core.within(window)
    if not codes[core].any():
        return None
    cube, forecasts = Objects(request.cube_uri), request.options.family == "clec"
    layers = {
        name: decode_window(cube, request.layout, window, name, sums, None if forecasts else recipe.steps)
        for name in layers_needed(recipe.features)
    }
    features = derive(layers, recipe)
    features = hide(features, beyond) if halo else features
    usable = (codes[core] != 0) & features.valid[core]
    rows, cols = draw(usable, tile.core, request.options.seed, _most_per_tile(request))
    labelled = len(rows)
    if request.options.virtual:
        free = (codes[core] == 0) & features.valid[core] & ground.inside(tile.core)
        more = _draw_unlabelled(request, free, tile, labelled)
        rows, cols = np.concatenate([rows, more[0]]), np.concatenate([cols, more[1]])
    return Samples(
        x=cut(features, rows, cols, halo),
        y=codes[core][rows, cols],
        block=block[core][rows, cols],
        row=(rows + tile.core.y0).astype(np.int32),
        col=(cols + tile.core.x0).astype(np.int32),
        near=_touched(codes, block, (rows, cols), labelled, halo),
        later=later_steps(layers, rows, cols, recipe) if forecasts else None,
    )


def _draw_unlabelled(
    request: TrainRequest, free: NDArray[np.bool_], tile: Tile, labelled: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of unlabelled pixels that may get a virtual label, for so many labelled ones of the tile."""
    assert request.options.virtual is not None
    most = min(request.options.virtual.drawn(labelled), _most_per_tile(request))
    return draw(free, tile.core, request.options.seed + 1, most)


def _touched(
    codes: NDArray[np.int32],
    block: NDArray[np.int64],
    at: tuple[NDArray[np.intp], NDArray[np.intp]],
    labelled: int,
    halo: int,
) -> NDArray[np.int64] | None:
    """Blocks that the squares at these rows and columns touch: of the first ``labelled`` those of labelled pixels, 0 =
    none, of the others those of all pixels."""
    if not halo:
        return None
    rows, cols = at
    own, whole = (sliding_window_view(b, (2 * halo + 1, 2 * halo + 1)) for b in (np.where(codes != 0, block, 0), block))
    near = own[rows[:labelled], cols[:labelled]], whole[rows[labelled:], cols[labelled:]]
    return np.concatenate(near).reshape(len(rows), -1)


def _most_per_tile(request: TrainRequest) -> int:
    """Samples a tile may give: with squares of pixels so many that all tiles' fit into ``_MOST_BYTES``."""
    recipe, side = request.recipe, 2 * request.options.halo + 1
    each = 4 * recipe.steps * len(recipe.features) * side**2
    return MOST_PER_TILE if side == 1 else max(1, min(MOST_PER_TILE, _MOST_BYTES // each // len(request.plan.tiles)))


def later_steps(
    layers: CubeBlock, rows: NDArray[np.intp], cols: NDArray[np.intp], recipe: Recipe
) -> NDArray[np.float32]:
    """The steps after the recipe's of these pixels (n,), (n, p, f) float32, physical units: what really followed.

    layers: the tile's, with all steps of the season. Gaps are filled as the recipe says, from the whole season, since
    these are targets and no input. But no value is held beyond a band's last observation, nor smoothed there: it would
    teach that seasons end flat. There it is NaN, as it is where a band was never seen.
    """
    chosen = {
        name: Layer(layer.values[:, :, rows, cols][:, :, None], layer.count[:, rows, cols][:, None])
        for name, layer in layers.items()
    }
    season = {"steps": min(len(layer.values) for layer in chosen.values()), "hold_ends": False}
    x = derive(chosen, recipe.model_copy(update=season)).x
    if recipe.fill != "linear":
        known = derive(chosen, recipe.model_copy(update={**season, "fill": "linear"})).x
        np.copyto(x, np.nan, where=np.isnan(known))
    return np.ascontiguousarray(x[recipe.steps :, :, 0].transpose(2, 0, 1))


def outline(plan: Plan) -> dict[str, Any]:
    """The area as GeoJSON geometry in longitude and latitude, rounded to a metre or so."""
    back = Transformer.from_crs(plan.grid.crs, "EPSG:4326", always_xy=True)
    lonlat = shapely.transform(plan.area, lambda xy: np.column_stack(back.transform(xy[:, 0], xy[:, 1])))
    return dict(shapely.geometry.mapping(shapely.set_precision(lonlat, 1e-6)))
