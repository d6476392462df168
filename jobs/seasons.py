"""The other seasons that a job's labels name: their cubes and ledgers opened and checked."""

from __future__ import annotations

from engine.ledger import Ledger
from engine.ledger.lease import BUILDING, refuse_if_held
from engine.models import Recipe
from engine.objects import absolute
from engine.samples import LabelOptions
from engine.seasons import Season, other_season
from engine.store import CubeLayout
from engine.work import cube_ledger


def other_seasons(labels: LabelOptions, own: CubeLayout, recipe: Recipe) -> tuple[Season, ...]:
    """Those of ``labels.seasons``, numbered from 1; InputError or LeaseHeld where a cube is not there, is being built
    just now, or is not like the job's own."""
    found = []
    for number, season in enumerate(labels.seasons, 1):
        uri = absolute(season.cube)
        refuse_if_held(cube_ledger(uri), BUILDING)
        records = Ledger(cube_ledger(uri)).load().latest
        found.append(other_season(number, uri, records, labels.of(season), own, recipe))
    return tuple(found)


def described_season(season: Season) -> str:
    """A sentence on what is learnt from: a cube whose building was cut short shows by its tiles."""
    of_grid = season.grid.tile_rows * season.grid.tile_cols
    return (
        f"season from {season.name} on (part: {season.labels.part}), {len(season.tiles)} of the {of_grid} tiles of its "
        f"grid are in {season.cube_uri}"
    )
