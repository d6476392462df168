"""The command line. Each command's help shows an example; exit codes are the errors' own."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer

from engine.errors import TilthError
from jobs import lines, measuring, models, show
from jobs.arguments import AsJson, Changes, Run, SpecPath

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="One YAML in, a checkpointed, tiled COG map of a country out.\n\n"
    "Exit codes: 0 done, 2 the spec or an input is wrong, 3 done but with quarantined tiles or scenes left out, "
    "4 failed, 5 budget reached, 130 cancelled.",
)

_LOGGED = ("submit", "resume", "watch", "cube", "train", "predict")

app.add_typer(models.app, name="model")


def _version(asked: bool) -> None:
    if asked:
        print(f"tilth {version('tilth')}")
        raise typer.Exit


@app.callback()
def _all(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version.")] = False,
) -> None:
    pass


def main() -> None:
    """Run a command; an error becomes one plain paragraph and its exit code."""
    try:
        app()
    except TilthError as error:
        _say_last(f"tilth: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _say_last("tilth: interrupted")
        sys.exit(130)


def _say_last(sentence: str) -> None:
    """The last line of a command; of one that drives or watches a run it belongs to a log."""
    if sys.argv[1:2] and sys.argv[1] in _LOGGED:
        lines.say(sentence)
    else:
        print(sentence, file=sys.stderr)


@app.command()
def init(path: Annotated[Path, typer.Argument(help="Where to write.")] = Path("job.yaml")) -> None:
    """Write a commented job.yaml, with every key explained.

    Example: tilth init job.yaml
    """
    from jobs.explained import template

    show.write_new(path, template())


@app.command()
def schema() -> None:
    """Print the spec's JSON Schema, for editors and checks.

    Example: tilth schema > job.schema.json
    """
    from jobs.spec import schema as text

    print(text())


@app.command()
def plan(
    job: SpecPath,
    changes: Changes = None,
    as_json: AsJson = False,
    sample: Annotated[int, typer.Option(help="Run so many tiles to calibrate time and cost.", min=0)] = 0,
    look: Annotated[bool, typer.Option("--look", help="Look at the pixels of some scenes, as submit does.")] = False,
) -> None:
    """Say what a job would do: tiles, scenes, bytes, memory, time, cost. Reads no pixel (unless --sample or --look).

    Example: tilth plan job.yaml --sample 4
    """
    from jobs.estimate import estimate
    from jobs.spec import load_spec

    show.plan(estimate(load_spec(job, changes or ()), sample, look), as_json)


@app.command()
def submit(
    job: SpecPath,
    changes: Changes = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster, http://head:8265; instead of compute.address.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and plan, start nothing.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--detach", help="On a cluster: watch until it ends, or return.")
    ] = False,
    no_look: Annotated[bool, typer.Option("--no-look", help="Do not look at some scenes' pixels first.")] = False,
) -> None:
    """Build what is missing: cube, model, map. Here, or as a job on a Ray cluster.

    Example: tilth submit job.yaml --set grid.tile_px=256
    """
    from jobs.start import submit as start

    changes = [*(changes or ()), *([f"compute.address={address}"] if address else [])]
    raise typer.Exit(start(job, changes, dry_run=dry_run, wait=wait, look=not no_look))


@app.command()
def resume(
    run: Run,
    changes: Changes = None,
    inside: Annotated[
        bool, typer.Option("--inside", hidden=True, help="Drive here, in the cluster this process runs in.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--detach", help="On a cluster: watch until it ends, or return.")
    ] = False,
) -> None:
    """Go on where a run was, with the same scenes; --set may change compute and budget.

    Example: tilth resume s3://bucket/maps/2024
    """
    from jobs.start import resume as start

    raise typer.Exit(start(run, changes or [], inside=inside, wait=wait))


@app.command()
def status(run: Run, as_json: AsJson = False) -> None:
    """Say where a run stands and who drives it.

    Example: tilth status job.yaml
    """
    from jobs import control

    show.status(control.status(control.resolve_run(run)), as_json)


@app.command()
def watch(run: Run) -> None:
    """Follow a run live; Ctrl-C stops watching, not the run.

    Example: tilth watch job.yaml
    """
    from jobs.follow import follow

    raise typer.Exit(follow(run))


@app.command()
def cancel(run: Run) -> None:
    """Ask a run to finish the tiles under way, release its nodes and end.

    Example: tilth cancel job.yaml
    """
    from jobs import control

    driver = control.cancel(control.resolve_run(run))
    print(f"asked {driver['host']} (process {driver['pid']}) to stop" if driver else "nobody drives this run now")


@app.command()
def tiles(
    run: Run,
    state: Annotated[Literal["written", "quarantined", "pending"] | None, typer.Option(help="Only these.")] = None,
    retry: Annotated[
        bool,
        typer.Option(
            "--retry", help="Let the next resume try again what is quarantined or was built without a damaged scene."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List tiles by state, with reasons.

    Example: tilth tiles job.yaml --state quarantined
    """
    from jobs import control

    spec = control.resolve_run(run)
    if retry:
        print(f"{control.retry(spec)} tile(s) will be tried again by: tilth resume {run}")
        return
    show.tiles(control.tiles(spec, state), as_json)


@app.command()
def replay(run: Run, tile: Annotated[str, typer.Argument(help="Such as r0003c0012.")]) -> None:
    """Do one tile again, here, step by step, with full logs; nothing is written.

    Example: tilth replay job.yaml r0003c0012
    """
    from jobs.replay import replay as again

    again(run, tile)


@app.command()
def cube(job: SpecPath, changes: Changes = None) -> None:
    """Build the cube and stop; neither labels nor a model need be there.

    Example: tilth cube job.yaml
    """
    from jobs.start import submit as start

    raise typer.Exit(start(job, changes or [], last="cube"))


@app.command()
def train(
    job: SpecPath,
    changes: Changes = None,
    parent: Annotated[
        str | None,
        typer.Option("--from", metavar="MODEL", help="Go on from this model; instead of model.train.start_from."),
    ] = None,
) -> None:
    """Build what is missing of the cube, train the model and stop.

    Example: tilth train job.yaml --from s3://models/flanders-2018
    """
    from jobs.start import submit as start

    begun = [f"model.train.start_from={json.dumps(parent)}"] if parent else []
    raise typer.Exit(start(job, [*(changes or []), *begun], last="train"))


@app.command()
def predict(job: SpecPath, changes: Changes = None) -> None:
    """Map with the model as it is: labels are not looked at, nothing is trained.

    Example: tilth predict job.yaml --set model.uri=s3://models/maize
    """
    from jobs.start import submit as start

    raise typer.Exit(start(job, [*(changes or []), "labels=null"]))


@app.command()
def doctor(
    store: Annotated[str | None, typer.Option(help="A folder or s3:// prefix to try out.")] = None,
    address: Annotated[str | None, typer.Option(help="A Ray cluster to ask; its nodes try the store.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check this machine, an object store and a cluster for what Tilth needs.

    Example: tilth doctor --store s3://bucket/tmp
    """
    from jobs.doctor import examine

    raise typer.Exit(show.findings(examine(store, address), as_json))


@app.command()
def demo(
    size: Annotated[str, typer.Option(help="small (3 km), medium (10 km) or large (30 km).")] = "small",
    out: Annotated[Path, typer.Option(help="Where to leave it.")] = Path("demo"),
) -> None:
    """Make a small country (made up, not observed), map it and compare the map with the truth.

    Example: tilth demo --size small --out demo
    """
    from jobs.demo.run import run_demo

    raise typer.Exit(run_demo(size, out))


measuring.add_to(app)
