"""Where things are in the made country: fields, roads, woods, villages and water, and which fields a model may see."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.transform import from_origin
from shapely import LineString, Polygon

from jobs.demo.covers import BUILT_UP, FOREST, WATER
from jobs.demo.sky import SmoothNoise, stream

FIELD = 0
ROAD_M = 10.0
MARGIN_M = 4.0
RIVER_M = 26.0
QUARTER_M2 = 400_000.0
"""Land between roads is cut until it is about this large."""
PLOT_M2 = 110_000.0
"""Quarters are cut into plots, each wholly wood, village or farmland; farmland is cut on into fields."""
FIELD_M2 = (5_000.0, 80_000.0)
SHARES = ((FOREST, 0.11), (BUILT_UP, 0.06), (WATER, 0.015))
TEST_SHARE = 0.4

Ring = NDArray[np.float64]
"""(k, 2) float64, corners of a convex polygon, x and y in metres, the last joined to the first."""


@dataclass(frozen=True)
class Landscape:
    """The geometry both seasons share.

    polygons: one per parcel, in metres of the CRS. kind: (n,) int16, FIELD, FOREST, BUILT_UP or WATER. test: (n,) bool,
    True where the parcel lies in a block kept for accuracy. ids: (y, x) int32, 1 + parcel of the pixel's centre, 0 =
    road or verge. centre_m: (n + 1, 2) float64, y and x of each id's middle from the upper left corner; 0 for id 0.
    """

    polygons: list[Polygon]
    kind: NDArray[np.int16]
    test: NDArray[np.bool_]
    ids: NDArray[np.int32]
    centre_m: NDArray[np.float64]


def make_landscape(seed: int, corner: tuple[float, float], pixels: int, resolution: float) -> Landscape:
    """A square of ``pixels`` x ``pixels`` whose upper left corner is (x, y) = ``corner``; equal for equal seeds."""
    rng = stream(seed, "fields")
    side = pixels * resolution
    square = np.array([(0.0, 0.0), (side, 0.0), (side, side), (0.0, side)])
    plots: list[Ring] = []
    for quarter in _cut_below(square, rng, lambda: QUARTER_M2 * rng.uniform(0.5, 1.5), 10.0):
        inner = Polygon(quarter).buffer(-ROAD_M / 2, join_style="mitre")
        if inner.area > FIELD_M2[0]:
            ring = np.asarray(inner.exterior.coords)[:-1]
            plots += _cut_below(ring, rng, lambda: PLOT_M2 * rng.uniform(0.6, 1.6), 4.0)
    polygons, kind = _carve_river(*_settle(plots, _kinds(plots, seed, side), rng), rng, side)
    ids = rasterize(
        zip(polygons, range(1, len(polygons) + 1), strict=True),
        (pixels, pixels),
        transform=from_origin(0.0, 0.0, resolution, -resolution),
        dtype=np.int32,
    )
    middle = shapely.get_coordinates(shapely.point_on_surface(polygons))
    placed = shapely.transform(polygons, lambda xy: xy * (1.0, -1.0) + corner)
    centre_m = np.vstack([[(0.0, 0.0)], middle[:, ::-1]])
    return Landscape(list(placed), kind, _held_out(middle, seed, side), ids, centre_m)


def _cut_below(ring: Ring, rng: np.random.Generator, target: Callable[[], float], tilt_deg: float) -> list[Ring]:
    """Cut a convex ring across its longer axis, again and again, until each piece is below its own target area."""
    done: list[Ring] = []
    todo = [ring]
    while todo:
        piece = todo.pop()
        if _area(piece) < target():
            done.append(piece)
            continue
        box = np.asarray(Polygon(piece).minimum_rotated_rectangle.exterior.coords)
        sides = np.diff(box[:3], axis=0)
        long, short = sides[np.argsort(-np.hypot(*sides.T))]
        axis = short if rng.random() < 0.2 and np.hypot(*short) > 0.5 * np.hypot(*long) else long
        tilt = np.radians(rng.normal(0, tilt_deg))
        normal = axis @ np.array([(np.cos(tilt), np.sin(tilt)), (-np.sin(tilt), np.cos(tilt))])
        start = box[:4].mean(axis=0) - axis / 2
        through = start + axis * rng.uniform(0.36, 0.64)
        height = (piece - through) @ normal
        todo += [half for half in (_clip(piece, height), _clip(piece, -height)) if len(half) >= 3]
    return done


def _clip(ring: Ring, height: NDArray[np.float64]) -> Ring:
    """The part of a convex ring where ``height`` (linear, given at the corners) is positive."""
    corners: list[NDArray[np.float64]] = []
    for here, there, h0, h1 in zip(ring, np.roll(ring, -1, axis=0), height, np.roll(height, -1), strict=True):
        if h0 > 0:
            corners.append(here)
        if h0 * h1 < 0:
            corners.append(here + (there - here) * h0 / (h0 - h1))
    return np.array(corners)


def _area(ring: Ring) -> float:
    x, y = ring.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _kinds(plots: list[Ring], seed: int, side: float) -> NDArray[np.int16]:
    """Woods and villages where a smooth field is highest, so that they lie together; ponds anywhere."""
    kind = np.full(len(plots), FIELD, np.int16)
    middle = np.array([plot.mean(axis=0) for plot in plots])
    for code, share in SHARES:
        noise = SmoothNoise(stream(seed, "land", code), side, 150.0 if code == WATER else 900.0)
        height = noise.over(middle[:, ::-1])
        height[kind != FIELD] = -np.inf
        kind[np.argsort(-height, kind="stable")[: round(share * len(plots))]] = code
    return kind


def _settle(plots: list[Ring], kind: NDArray[np.int16], rng: np.random.Generator) -> tuple[list[Polygon], list[int]]:
    """Farmland plots cut into fields with margins between; ponds rounded; woods and villages as they are."""
    polygons: list[Polygon] = []
    kinds: list[int] = []

    def field_target() -> float:
        return float(np.clip(rng.lognormal(np.log(30_000.0), 0.7), 1.6 * FIELD_M2[0], FIELD_M2[1]))

    for plot, code in zip(plots, kind.tolist(), strict=True):
        if code == FIELD:
            cut: Iterable[Polygon] = map(Polygon, _cut_below(plot, rng, field_target, 3.0))
            shapes = [piece.buffer(-MARGIN_M / 2, join_style="mitre") for piece in cut]
        else:
            shapes = [_pond(plot, rng) if code == WATER else Polygon(plot)]
        for shape in shapes:
            if shape.geom_type == "Polygon" and shape.area > (0.4 * FIELD_M2[0]):
                polygons.append(shape)
                kinds.append(code)
    return polygons, kinds


def _pond(plot: Ring, rng: np.random.Generator) -> Polygon:
    """A round but uneven shore within the plot."""
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    waves = sum(size * np.sin(k * angle + rng.uniform(0, 2 * np.pi)) for k, size in ((2, 0.22), (3, 0.12), (5, 0.05)))
    radius = 0.45 * np.sqrt(_area(plot)) * (1 + waves)
    shore = plot.mean(axis=0) + radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return Polygon(shore).intersection(Polygon(plot).buffer(-10.0))


def _carve_river(
    polygons: list[Polygon], kind: list[int], rng: np.random.Generator, side: float
) -> tuple[list[Polygon], NDArray[np.int16]]:
    """A river winding from west to east; what it cuts keeps its largest part."""
    x = np.linspace(-50, side + 50, max(int(side / 40), 8))
    phase = rng.uniform(0, 2 * np.pi, 3)
    y = side * rng.uniform(0.3, 0.7) + 150 * np.sin(x / 520 + phase[0]) + 70 * np.sin(x / 190 + phase[1])
    y += 0.08 * side * np.sin(x / (0.4 * side) + phase[2])
    river = LineString(np.column_stack([x, y])).buffer(RIVER_M / 2).intersection(shapely.box(0, 0, side, side))
    kept: list[Polygon] = []
    codes: list[int] = []
    for polygon, code in zip(shapely.difference(polygons, river.buffer(6.0)), kind, strict=True):
        part = max(getattr(polygon, "geoms", [polygon]), key=lambda p: p.area)
        if part.area > 0.4 * FIELD_M2[0]:
            kept.append(part)
            codes.append(code)
    waters = [part for part in getattr(river, "geoms", [river]) if part.area > 0]
    return kept + waters, np.array(codes + [WATER] * len(waters), np.int16)


def _held_out(middle: NDArray[np.float64], seed: int, side: float) -> NDArray[np.bool_]:
    """True for parcels whose middle lies in one of the blocks kept for accuracy."""
    blocks = max(2, round(side / 600.0))
    rng = stream(seed, "split")
    held = rng.permutation(blocks * blocks) < round(TEST_SHARE * blocks * blocks)
    row, col = np.clip(middle[:, ::-1] / side * blocks, 0, blocks - 1).astype(int).T
    return np.asarray(held[row * blocks + col])
