"""A season to learn from: its cube, its labels, and what it is for. Another job's cube is checked first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import shapely

from engine.errors import InputError
from engine.features import layers_needed
from engine.ground import Ground, MaskOptions
from engine.ledger import Record
from engine.models import Recipe
from engine.objects import Objects
from engine.samples import LabelOptions
from engine.store import CubeLayout, opened
from engine.types import Axis, Grid, Tile, Window


@dataclass(frozen=True)
class Season:
    """One season's cube and labels. ``records``: the cube's, by tile."""

    number: int
    """0 is the job's own."""
    cube_uri: str
    layout: CubeLayout
    records: Mapping[str, Record]
    tiles: tuple[Tile, ...]
    area: shapely.Geometry
    """Where labels count, in the grid's CRS."""
    labels: LabelOptions

    @property
    def grid(self) -> Grid:
        return self.layout.grid

    @property
    def name(self) -> str:
        """Its first day."""
        return f"{next(iter(self.layout.axes.values())).starts[0]:%Y-%m-%d}"

    def ground(self, mask: MaskOptions | None) -> Ground:
        """Area and mask on its grid."""
        return Ground(self.grid, self.area, mask)


def other_season(
    number: int, uri: str, records: Mapping[str, Record], labels: LabelOptions, own: CubeLayout, recipe: Recipe
) -> Season:
    """The season whose cube lies at ``uri``, checked against the job's own cube and recipe.

    records: of the cube's ledger. labels: how its labels are read. InputError where the cube is not there or not
    finished, lies on another CRS or resolution, lacks a layer, or has other steps.
    """
    layout = opened(Objects(uri))
    tiles = _finished_tiles(uri, records, layout.grid)
    for name in ("crs", "resolution"):
        mine, its = getattr(own.grid, name), getattr(layout.grid, name)
        if mine != its:
            raise InputError(
                f"the cube there has {name} {its}, this job {mine}",
                expected="one grid.crs and grid.resolution for all seasons: blocks are places in it",
                place=uri,
                remedy=f"build it anew with grid.{name}: {mine}",
            )
    lacking = [name for name in layers_needed(recipe.features) if name not in layout.axes]
    if lacking:
        raise InputError(
            f"the cube there has {', '.join(layout.axes)}, and no {', '.join(lacking)}",
            expected=f"what {', '.join(recipe.features)} are made of",
            place=uri,
            remedy="build it with these inputs, or name model.features that both cubes can give",
        )
    for name in layers_needed(recipe.features):
        _refuse_other_steps(layout.axes[name], own.axes[name], uri)
    whole = shapely.box(*layout.grid.bounds(Window(0, layout.grid.height, 0, layout.grid.width)))
    return Season(number, uri, layout, records, tiles, whole, labels)


def _finished_tiles(uri: str, records: Mapping[str, Record], grid: Grid) -> tuple[Tile, ...]:
    """The tiles that were written, row by row; quarantined ones are done without, as in the job's own cube."""
    pending = sorted(name for name, record in records.items() if record.state == "pending")
    written = {name for name, record in records.items() if record.state == "written"}
    if pending or not written:
        what = f"{len(pending)} tiles pending, such as {pending[0]}" if pending else "not one tile written"
        raise InputError(f"the cube there has {what}", place=uri, remedy="finish it: tilth cube with that season's job")
    return tuple(tile for tile in _tiles(grid) if tile.id in written)


def _tiles(grid: Grid) -> Iterable[Tile]:
    return grid.tiles_in(Window(0, grid.height, 0, grid.width))


def _refuse_other_steps(its: Axis, mine: Axis, uri: str) -> None:
    """InputError where a season does not start on the same day of the year, or its steps are others. A last step that
    is a day shorter or longer, as in leap years, is let be."""
    first, start = its.starts[0], mine.starts[0]
    same_day = (first.month, first.day) == (start.month, start.day)
    if not same_day or [day - first for day in its.starts] != [day - start for day in mine.starts]:
        raise InputError(
            f"a season of {_told(its)}",
            expected=f"{_told(mine)} of its own year, as this job's",
            place=uri,
            remedy="build that cube with season.start, end and step_days of this job, some years apart",
        )


def _told(axis: Axis) -> str:
    days = (axis.ends[-1] - axis.starts[0]).days
    return f"{days} days in {len(axis)} steps from {axis.starts[0]:%d %B} on"
