"""The assessment as one page for people: HTML with its pictures inside, nothing fetched, readable on a phone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from engine.accuracy import COUNTED
from jobs.notes import said_of_model
from jobs.page import charts, season
from jobs.page.parts import blocks, heading, number, percent, ranged, section


def page(facts: Mapping[str, Any], others: Sequence[Mapping[str, Any]] = ()) -> str:
    """The whole page of an assessment's facts, as ``jobs.assess.assess`` gives them; ``others``: assessments in folders
    beside it, to be linked to."""
    style = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    model = facts["model"]
    body = [
        f"<h1>{escape(facts['name'])}</h1>",
        f'<p class="lead">{escape(" to ".join(facts["season"]))}, model <b>{escape(model["name"])}</b> '
        f"({escape(model['family'])}, {model['digest'][:12]}), map {facts['map'][:12]}</p>",
        _notes([f"Model: {line}" for line in said_of_model(model)]),
    ]
    if "accuracy" in facts:
        body += [_headline(facts), _notes(facts["notes"]), _confusion(facts["accuracy"]), _classes(facts)]
        body += [_against(facts["against"])] if "against" in facts else []
        body += [_calibration(facts), _scores(facts)]
        body += [season.timing(facts), season.profiles(facts), season.attention(facts)]
    body.append(_areas(facts["areas"]))
    body += [_others(others)] if others else []
    body.append(f"<footer>Tilth {escape(facts['tilth'])}, run {facts['run'][:12]}; numbers: assessment.json</footer>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(facts['name'])}: assessment</title><style>{style}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _others(rows: Sequence[Mapping[str, Any]]) -> str:
    """Links to the other assessments, each with the map it judged."""
    lines = []
    for row in rows:
        whose = "this map" if row["of_the_map_there"] else f"another map, {(row['map'] or 'not named')[:12]}"
        uris = " and ".join(f"{kind} {row[kind]['uri']}" for kind in row["by"])
        link = f'<a href="{escape(row["folder"])}/assessment.html">by {escape(uris)}</a>'
        lines.append(f"<li>{link}: of {whose}</li>")
    return section("Other assessments", "Each judged the map that stands beside it.", f"<ul>{''.join(lines)}</ul>")


def _headline(facts: Mapping[str, Any]) -> str:
    accuracy, calibration = facts["accuracy"], facts["calibration"]
    judged = f"{accuracy['samples']:,} {facts['labels']['per']}s in {blocks(accuracy['blocks'])}"
    whose = (
        "that the training never saw" if facts["labels"]["held_out_blocks_of_the_training"] else "of the labels given"
    )
    tiles = [
        ("overall accuracy", ranged(accuracy["overall"])),
        ("kappa", ranged(accuracy["kappa"])),
        ("macro-F1", ranged(accuracy["macro_f1"])),
        ("calibration error", (number(calibration["expected_calibration_error"], 3), "")),
    ]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}<small>{span}</small></dd></div>" for name, (value, span) in tiles)
    told = f"<p>{judged} {whose}; in brackets 95 % intervals from resampled blocks.</p>"
    return f'{told}<dl class="tiles">{cells}</dl>{_of_known(facts)}'


def _of_known(facts: Mapping[str, Any]) -> str:
    """A second line, where some labels are of classes that the model does not know."""
    known = facts["of_known_classes"]
    if known["share"] == 1:
        return ""
    named = (("overall accuracy", "overall"), ("kappa", "kappa"), ("macro-F1", "macro_f1"))
    told = ", ".join(f"{name} {' '.join(ranged(known[key]))}" for name, key in named)
    return (
        f"<p>All labelled {facts['labels']['per']}s count above: those of classes that the model does not know are "
        f"errors. Of the classes it knows, {percent(known['share'])} of them: {told}.</p>"
    )


def _notes(notes: Sequence[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>'


def _confusion(accuracy: Mapping[str, Any]) -> str:
    classes = accuracy["classes"]
    only = "<small> (reference only)</small>"
    names = [escape(row["name"]) + ("" if row["known_to_the_model"] else only) for row in classes]
    head = "".join(f'<th class="turned"><span>{name}</span></th>' for name in names)
    rows = []
    for row, counts in zip(classes, accuracy["confusion_rows_map_columns_reference"], strict=True):
        if not row["known_to_the_model"]:  # the map never says it
            continue
        whole = sum(counts) or 1
        cells = "".join(
            f'<td style="--share:{count / whole:.3f}"{_dark(count / whole)}>{count or ""}</td>' for count in counts
        )
        rows.append(f'<tr><th scope="row">{escape(row["name"])}</th>{cells}</tr>')
    text = "Rows: what the map says. Columns: what the labels say. The darker, the larger the share of its row."
    if not all(row["known_to_the_model"] for row in classes):
        text += " Reference only: classes that the model does not know, so that all of them are errors."
    table = f'<table class="confusion"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return section("Confusion matrix", text, f'<div class="scroll">{table}</div>')


def _dark(share: float) -> str:
    """Dark fields have light figures."""
    return ' class="dark"' if share > 0.55 else ""


def _classes(facts: Mapping[str, Any]) -> str:
    text = (
        "User's accuracy: of what the map calls so, how much is so. Producer's accuracy: of what there is, how much "
        "the map finds. F1: their harmonic mean."
    )
    kinds = (("user's", "users_accuracy"), ("producer's", "producers_accuracy"), ("F1", "f1"))
    cards = []
    for row in (row for row in facts["accuracy"]["classes"] if row["known_to_the_model"]):
        bars = "".join(_bar(label, row[key]) for label, key in kinds)
        count = f"{row['samples']:,} {facts['labels']['per']}s, {blocks(row['blocks'])}"
        cards.append(f"<div>{heading(row, count)}{bars}</div>")
    return section("Classes", text, f'<div class="grid wide">{"".join(cards)}</div>')


def _bar(label: str, row: Mapping[str, float | None]) -> str:
    value, span = ranged(row)
    picture = charts.interval_bar(row["value"], row["low"], row["high"])
    return f'<div class="row"><span>{label}</span>{picture}<b>{value}</b><small>{span}</small></div>'


def _against(facts: Mapping[str, Any]) -> str:
    text = (
        f"Minus model {escape(facts['name'])} ({escape(facts['family'])}, {escape(facts['uri'])}) on the same samples. "
        "Both see the same resampled blocks; an interval without 0 tells them apart."
    )
    names = {"overall": "overall accuracy", "kappa": "kappa", "macro_f1": "macro-F1"}
    rows = "".join(
        f"<tr><th>{name}</th><td>{number(row['other'], 3)}</td><td>{number(row['difference'], 3)}</td>"
        f"<td>{number(row['low'], 3)} to {number(row['high'], 3)}</td></tr>"
        for row, name in ((facts[key], name) for key, name in names.items())
    )
    head = "<tr><th></th><th>the other</th><th>difference</th><th>95 % interval</th></tr>"
    return section("Against another model", text, f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>")


def _calibration(assessed: Mapping[str, Any]) -> str:
    facts, per = assessed["calibration"], assessed["labels"]["per"]
    text = (
        f"Logits are divided by the temperature {facts['temperature']:.3g}, fitted on validation blocks. Each point: a "
        f"fifteenth of the {per}s. On the dashed line confidence means what it says; below it the model is too sure."
    )
    raw = facts["without_temperature"]
    names = {
        "expected_calibration_error": "calibration error (ECE)",
        "classwise_calibration_error": "class-wise ECE",
        "brier": "Brier score",
        "negative_log_likelihood": "log-likelihood, negative",
    }
    rows = "".join(
        f"<tr><th>{name}</th><td>{number(raw[key], 3)}</td><td>{number(facts[key], 3)}</td></tr>"
        for key, name in names.items()
    )
    sure = facts["confident"]
    said = (
        f"At least {sure['threshold']:g} sure: {percent(sure['share'])} of the {per}s, of which "
        f"{percent(sure['accuracy'])} are right."
    )
    table = f"<table><thead><tr><th></th><th>raw</th><th>calibrated</th></tr></thead><tbody>{rows}</tbody></table>"
    picture = charts.reliability(**facts["bins"], of=f"{per}s")
    return section("Calibration", text, f'<div class="grid"><div>{picture}</div><div>{table}<p>{said}</p></div></div>')


def _scores(facts: Mapping[str, Any]) -> str:
    per = facts["labels"]["per"]
    text = (
        f'Confidence of the {per}s that the map calls so: <i class="key right"></i> where it is right, '
        '<i class="key wrong"></i> where it is wrong.'
    )
    scores, cards = facts["scores"], []
    known = [row for row in facts["accuracy"]["classes"] if row["known_to_the_model"]]
    for row, right, wrong in zip(known, scores["right"], scores["wrong"], strict=True):
        picture = charts.histogram(right, wrong, f"scores of {row['name']}", f"{per}s")
        cards.append(f"<div>{heading(row)}{picture}</div>")
    return section("Scores", text, f'<div class="grid">{"".join(cards)}</div>')


def _areas(facts: Mapping[str, Any]) -> str:
    sample = facts.get("sample")
    head = "<th>class</th><th>mapped, km²</th>"
    if sample is None:
        text = (
            f"{COUNTED[0].upper()}{COUNTED[1:]}: draw a probability sample, fill it in, and give it to tilth assess "
            "--sample."
        )
    else:
        text = (
            f"Estimated from {sample['points']} points of a stratified random sample (Olofsson et al. 2014), with 95 % "
            f"intervals; user's accuracies with exact ones. Overall accuracy "
            f"{' '.join(ranged(sample['overall_accuracy']))}."
            + ("" if sample["drawn_from_this_map"] else " The file does not say which map it was drawn from.")
            + "".join(f" {escape(note)}" for note in sample["notes"])
            + f" Mapped areas are {COUNTED}."
        )
        head += "<th>estimated, km²</th><th>user's</th><th>producer's</th>"
    rows = "".join(f"<tr>{''.join(_area_cells(row))}</tr>" for row in facts["classes"])
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return section("Areas", text, f'<div class="scroll">{table}</div>')


def _area_cells(row: Mapping[str, Any]) -> Iterator[str]:
    yield f"<th>{escape(row['name'])}</th><td>{row['mapped_km2']:,.4g}</td>"
    if "estimated_km2" in row:
        area = row["estimated_km2"]
        half = f" ± {area['high'] - area['value']:,.2g}" if area["low"] is not None else _reason(area)
        yield f"<td>{number(area['value'], None)}{half}</td>"
        for key in ("users_accuracy", "producers_accuracy"):
            value, span = ranged(row[key])
            told = _reason(row[key]) if row[key]["low"] is None else f" <small>{span}</small>"
            yield f"<td>{value}{told}</td>"


def _reason(row: Mapping[str, Any]) -> str:
    """Why there is no interval."""
    return f'<small class="reason">{escape(row["reason"])}</small>'
