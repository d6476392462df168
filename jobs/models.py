"""``tilth model``: bring a model, look at its card, try whether it keeps its contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from pydantic import ValidationError

from engine.errors import InputError
from jobs.wording import sentence

if TYPE_CHECKING:
    from rich.table import Table

    from engine.models import Card, Domain
    from engine.models.contract import Clause

app = typer.Typer(
    no_args_is_help=True, help="Model packages: add one, show its card, verify that it keeps its contract."
)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model's folder, a path or an fsspec URL.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
_EXAMPLE = "see the one that ships with Tilth, jobs/examples/card.yaml"


@app.command()
def add(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A model's folder, or a file of weights with --card.")
    ],
    target: Annotated[str, typer.Argument(metavar="MODEL", help="The folder it goes to, replacing a model there.")],
    card: Annotated[
        str | None, typer.Option(metavar="FILE", help="For a file of weights: its card in YAML or JSON.")
    ] = None,
) -> None:
    """Copy a model, or make one of an ONNX or safetensors file and a card, once it keeps its contract.

    Example: tilth model add maize.onnx s3://models/maize --card maize.yaml
    """
    from engine.models.contract import examine
    from engine.models.package import copy_model, model_digest
    from engine.objects import filesystem

    fs, path = filesystem(source)
    if fs.isfile(path):
        _make(source, fs.cat_file(path), target, card)
    elif card is not None:
        raise InputError(f"--card {card}, but {source} is no file", remedy="a whole model has its card already")
    else:
        _refuse_broken(examine(source), source)
        copy_model(source, target)
    print(f"added {target}, digest {model_digest(target)}")


@app.command()
def show(model: Model, as_json: AsJson = False) -> None:
    """Print a model's card: what it needs, what it gives, how good it was on blocks it never saw.

    Example: tilth model show s3://models/maize
    """
    from rich.console import Console

    from engine.models import model_digest, read_card, read_domain
    from engine.models.whose import accuracy_of

    card, domain, digest = read_card(model), read_domain(model), model_digest(model)
    if as_json:
        facts = {
            "card": card.model_dump(mode="json"), "cut_offs": card.cut_offs, "digest": digest,
            "accuracy": accuracy_of(card, domain), "domain": domain.model_dump(mode="json"),
        }  # fmt: skip
        print(json.dumps(facts, indent=2))
        return
    console = Console()
    for table in (_facts(card, domain, digest), _features(card), _classes(card)):
        console.print(table)


@app.command()
def verify(model: Model, as_json: AsJson = False) -> None:
    """Try a model's contract on it: files, golden pair, batches, order, rows without data. Exit code 2 if it is broken.

    Example: tilth model verify s3://models/maize
    """
    from engine.models.contract import examine, throughput, tried

    clauses = examine(model)
    broken = [clause.name for clause in clauses if clause.kept is False]
    speed = None if broken else throughput(tried(model))
    if as_json:
        rows = [{"name": clause.name, "kept": clause.kept, "found": clause.found} for clause in clauses]
        facts = {"model": model, "kept": not broken, "broken": broken, "rows_per_second_and_core": speed}
        print(json.dumps({**facts, "clauses": rows}, indent=2))
    else:
        for clause in clauses:
            mark = {True: "ok  ", False: "BAD ", None: "-   "}[clause.kept]
            print(f"{mark}{clause.name}: {clause.found}")
        if speed is not None:
            print(f"speed: {speed:,.0f} rows/s on one core")
        if broken:
            print(f"broken: {', '.join(broken)}")
    raise typer.Exit(2 if broken else 0)


def _make(source: str, weights: bytes, target: str, card_file: str | None) -> None:
    """A model of a file of weights and a card, written once it keeps its contract."""
    from engine.models.bring import packed
    from engine.models.package import write_model
    from engine.models.refusal import refuse_code, refuse_name

    refuse_name(source, source)
    refuse_code(weights, source)
    if card_file is None:
        raise InputError(
            "a file of weights without its card", expected="--card FILE", place=source,
            remedy=f"write one; {_EXAMPLE}",
        )  # fmt: skip
    fields, domain = _read_card_file(card_file)
    try:
        package = packed(weights, PurePosixPath(source).suffix, fields, source)
    except ValidationError as error:
        raise _wrong_card(error, card_file, "Card") from error
    _refuse_broken(package.clauses, source)
    write_model(package.card, weights, target, domain, package.golden)


def _read_card_file(uri: str) -> tuple[dict[str, Any], Domain]:
    """The card's fields and where and when the model was trained; InputError where the file is none such."""
    from engine.models import Domain
    from engine.objects import filesystem

    fs, path = filesystem(uri)
    try:
        data = yaml.safe_load(fs.cat_file(path))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"cannot be read: {error}", expected="YAML or JSON", place=uri, remedy=_EXAMPLE) from error
    if not isinstance(data, dict) or not isinstance(data.get("domain"), dict):
        raise InputError(
            "no card with a domain", expected="a card's fields, and domain: {geometry, start, end}", place=uri,
            remedy=f"say where and when it was trained; {_EXAMPLE}",
        )  # fmt: skip
    try:
        domain = Domain.model_validate(data.pop("domain"))
    except ValidationError as error:
        raise _wrong_card(error, uri, "Domain") from error
    return data, domain


def _wrong_card(error: ValidationError, place: str, kind: str) -> InputError:
    from engine.models import Card, Domain

    model = Card if kind == "Card" else Domain
    problems = [sentence(problem, model) for problem in error.errors()]
    return InputError("\n  - ".join([f"{len(problems)} thing(s) wrong", *problems]), place=place, remedy=_EXAMPLE)


def _refuse_broken(clauses: list[Clause], place: str) -> None:
    """InputError that names every broken clause."""
    broken = [clause for clause in clauses if clause.kept is False]
    if broken:
        raise InputError(
            f"breaks its contract: {'; '.join(f'{clause.name}: {clause.found}' for clause in broken)}",
            place=place,
            remedy="mend the model; each clause is tried by: tilth model verify MODEL",
        )


def _facts(card: Card, domain: Domain, digest: str) -> Table:
    from rich.table import Table

    table = Table(title=card.name, show_header=False)
    table.add_column()
    table.add_column(overflow="fold")  # digests whole
    for label, value in _fact_rows(card, domain, digest):
        table.add_row(label, value)
    return table


def _domain(domain: Domain) -> str:
    """Where, when and from what it was trained, in words."""
    grid = f"pixels of {domain.resolution:g} m in {domain.crs}" if domain.resolution else "grid not known"
    scenes = "; ".join(f"{sensor} of {', '.join(names)}" for sensor, names in domain.sources.items())
    return f"season from {' and '.join(domain.learnt_from)} on, {grid}, {scenes or 'scenes not known'}"


def _fact_rows(card: Card, domain: Domain, digest: str) -> Iterator[tuple[str, str]]:
    from engine.models.whose import accuracy_of, figures, known_to

    recipe, training = card.recipe, card.training
    yield "family", f"{card.family}, {card.parameters:,} parameters, {card.weights_bytes / 1e6:,.3g} MB"
    yield "time", f"{recipe.steps} steps of {recipe.step_days} days from {recipe.season_start}"
    yield "cut-off", _cut_offs(card)
    yield "gaps", recipe.fill + (f", lambda {recipe.smoothing:g}" if recipe.fill == "whittaker" else "")
    looks = f"patch of {card.patch} x {card.patch} pixels, halo {card.halo}" if card.mode == "patch" else card.mode
    yield "looks at", looks
    yield "trained on", f"{card.sampled} series"
    yield "calibration", f"temperature {card.temperature:.3g}" + _share(training, "expected_calibration_error", ", ECE")
    yield "accuracy", accuracy_of(card, domain)["said"]
    for row in training.get("cut_offs", ()):
        day = known_to(row["steps"], card, domain)
        yield f"known to {day}", f"{figures(row)} on {row['samples']:,} samples of the same test"
    yield "domain", _domain(domain)
    yield "split", str((training.get("split") or {}).get("sha256", "not known"))
    yield "golden pair", card.golden_sha256 or "none"
    yield "unfamiliar land", "told" if card.familiarity_sha256 else "cannot be told"
    yield "licence", card.licence
    yield "digest", digest


def _cut_offs(card: Card) -> str:
    """The days that the model may be asked on, in words."""
    days = card.cut_offs
    if len(days) == 1:
        return f"{days[0]}: it needs nothing observed later, and all until then"
    return f"{days[0]} to {days[-1]}, {card.takes[0]} to {card.takes[-1]} steps: it predicts the rest of the season"


def _share(training: dict[str, Any], name: str, label: str) -> str:
    value = (training.get("accuracy") or {}).get(name)
    return "" if value is None else f"{label} {value:.3f}"


def _features(card: Card) -> Table:
    from rich.table import Table

    table = Table("feature", "unit", "scaled to 0", "to 1", "if missing", title="needs")
    columns = zip(card.recipe.features, card.units, card.lower, card.upper, card.fill, strict=True)
    for name, unit, low, high, fill in columns:
        table.add_row(name, unit, f"{low:.4g}", f"{high:.4g}", f"{fill:.4g}")
    return table


def _classes(card: Card) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table("", "code", "class", "colour", title="gives")
    for entry in card.classes:
        table.add_row(Text("■", style=entry.colour), str(entry.code), entry.name, entry.colour)
    return table
