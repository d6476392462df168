"""The commands that say how good a map is."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs import show
from jobs.arguments import AsJson, Run


def add_to(app: typer.Typer) -> None:
    """Make them commands of ``app``."""
    app.command()(assess)
    app.command()(sample)


def assess(
    run: Run,
    labels: Annotated[str | None, typer.Option(help="Labels the model never saw, instead of its test blocks.")] = None,
    column: Annotated[str | None, typer.Option(help="Column of codes in --labels, where they are polygons.")] = None,
    sample: Annotated[
        str | None, typer.Option(help="Points of tilth sample, with the column reference filled in.")
    ] = None,
    design: Annotated[
        str | None, typer.Option(help="The second file of tilth sample, where it does not lie beside --sample.")
    ] = None,
    against: Annotated[str | None, typer.Option(help="Another model of the same blocks, to compare with.")] = None,
    out: Annotated[str | None, typer.Option(help="Where to write; else RUN/assessment.")] = None,
    dates: Annotated[int, typer.Option(help="Cut-off dates on the F1 curve.", min=1)] = 8,
    as_json: AsJson = False,
) -> None:
    """Say how good a finished map is: accuracy, calibration, how early, areas; as JSON and a page.

    Example: tilth assess job.yaml --sample points.gpkg
    """
    from engine.objects import Objects
    from jobs.assess import assess as judge
    from jobs.assessments import listed

    facts, folder = judge(run, labels, column, sample, design=design, against=against, out=out, dates=dates)
    show.assessment(facts, folder, listed(Objects(folder), facts["map"]), as_json)


def sample(
    run: Run,
    out: Annotated[str, typer.Option(help="A .gpkg or .csv that is not there yet.")],
    size: Annotated[int | None, typer.Option(help="Points in all.", min=2)] = None,
    error: Annotated[float | None, typer.Option(help="Or: standard error wanted of overall accuracy.")] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds draw equal points.", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """Draw points at random from each class of a finished map, to be looked up and given to assess. What the map says
    there goes into a second file, so that who looks them up does not see it.

    Example: tilth sample job.yaml --error 0.02 --out points.gpkg
    """
    from jobs.assess import draw_sample

    show.design(draw_sample(run, out, size=size, error=error, seed=seed), as_json)
