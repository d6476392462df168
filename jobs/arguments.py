"""Arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

SpecPath = Annotated[str, typer.Argument(metavar="JOB.YAML", help="The job: a path or an fsspec URL.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A job.yaml, or the uri of its map (output.uri).")]
Changes = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the spec.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
