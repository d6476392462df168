"""The assessment as one page for people: HTML with its pictures inside, nothing fetched, readable on a phone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from html import escape
from pathlib import Path
from typing import Any

from jobs import charts

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LACK = {"without_reference": "have no reference", "missing": "of those drawn are not in the file"}


def page(facts: Mapping[str, Any]) -> str:
    """The whole page of an assessment's facts, as ``jobs.assess.assess`` gives them."""
    style = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    model = facts["model"]
    body = [
        f"<h1>{escape(facts['name'])}</h1>",
        f'<p class="lead">{escape(" to ".join(facts["season"]))}, model <b>{escape(model["name"])}</b> '
        f"({escape(model['family'])}, {model['digest'][:12]})</p>",
    ]
    if "accuracy" in facts:
        body += [_headline(facts), _notes(facts["notes"]), _confusion(facts["accuracy"]), _classes(facts["accuracy"])]
        body += [_against(facts["against"])] if "against" in facts else []
        body += [_calibration(facts["calibration"]), _scores(facts)]
        body += [_timing(facts["timing"], facts["labels"]["per"]), _profiles(facts), _attention(facts)]
    body.append(_areas(facts["areas"]))
    body.append(f"<footer>Tilth {escape(facts['tilth'])}, run {facts['run'][:12]}; numbers: assessment.json</footer>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(facts['name'])}: assessment</title><style>{style}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _headline(facts: Mapping[str, Any]) -> str:
    accuracy, calibration = facts["accuracy"], facts["calibration"]
    blocks = f"{accuracy['samples']:,} {facts['labels']['per']}s in {_blocks(accuracy['blocks'])}"
    whose = (
        "that the training never saw" if facts["labels"]["held_out_blocks_of_the_training"] else "of the labels given"
    )
    tiles = [
        ("overall accuracy", _ranged(accuracy["overall"])),
        ("kappa", _ranged(accuracy["kappa"])),
        ("macro-F1", _ranged(accuracy["macro_f1"])),
        ("calibration error", (_number(calibration["expected_calibration_error"], 3), "")),
    ]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}<small>{span}</small></dd></div>" for name, (value, span) in tiles)
    return f'<p>{blocks} {whose}; in brackets 95 % intervals from resampled blocks.</p><dl class="tiles">{cells}</dl>'


def _notes(notes: Sequence[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>'


def _confusion(accuracy: Mapping[str, Any]) -> str:
    names = [row["name"] for row in accuracy["classes"]]
    head = "".join(f'<th class="turned"><span>{escape(name)}</span></th>' for name in names)
    rows = []
    for name, counts in zip(names, accuracy["confusion_rows_map_columns_reference"], strict=True):
        whole = sum(counts) or 1
        cells = "".join(
            f'<td style="--share:{count / whole:.3f}"{_dark(count / whole)}>{count or ""}</td>' for count in counts
        )
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    text = "Rows: what the map says. Columns: what the labels say. The darker, the larger the share of its row."
    table = f'<table class="confusion"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return _section("Confusion matrix", text, f'<div class="scroll">{table}</div>')


def _dark(share: float) -> str:
    """Dark fields have light figures."""
    return ' class="dark"' if share > 0.55 else ""


def _classes(accuracy: Mapping[str, Any]) -> str:
    text = (
        "User's accuracy: of what the map calls so, how much is so. Producer's accuracy: of what there is, how much "
        "the map finds. F1: their harmonic mean."
    )
    kinds = (("user's", "users_accuracy"), ("producer's", "producers_accuracy"), ("F1", "f1"))
    cards = []
    for row in accuracy["classes"]:
        bars = "".join(_bar(label, row[key]) for label, key in kinds)
        count = f"{row['samples']:,} px, {_blocks(row['blocks'])}"
        cards.append(f"<div>{_heading(row, count)}{bars}</div>")
    return _section("Classes", text, f'<div class="grid wide">{"".join(cards)}</div>')


def _bar(label: str, row: Mapping[str, float | None]) -> str:
    value, span = _ranged(row)
    picture = charts.interval_bar(row["value"], row["low"], row["high"])
    return f'<div class="row"><span>{label}</span>{picture}<b>{value}</b><small>{span}</small></div>'


def _against(facts: Mapping[str, Any]) -> str:
    text = (
        f"Minus model {escape(facts['name'])} ({escape(facts['family'])}, {escape(facts['uri'])}) on the same pixels. "
        "Both see the same resampled blocks; an interval without 0 tells them apart."
    )
    names = {"overall": "overall accuracy", "kappa": "kappa", "macro_f1": "macro-F1"}
    rows = "".join(
        f"<tr><th>{name}</th><td>{_number(row['other'], 3)}</td><td>{_number(row['difference'], 3)}</td>"
        f"<td>{_number(row['low'], 3)} to {_number(row['high'], 3)}</td></tr>"
        for row, name in ((facts[key], name) for key, name in names.items())
    )
    head = "<tr><th></th><th>the other</th><th>difference</th><th>95 % interval</th></tr>"
    return _section("Against another model", text, f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>")


def _calibration(facts: Mapping[str, Any]) -> str:
    text = (
        f"Logits are divided by the temperature {facts['temperature']:.3g}, fitted on validation blocks. Each point: a "
        "fifteenth of the pixels. On the dashed line confidence means what it says; below it the model is too sure."
    )
    raw = facts["without_temperature"]
    names = {
        "expected_calibration_error": "calibration error (ECE)",
        "classwise_calibration_error": "class-wise ECE",
        "brier": "Brier score",
        "negative_log_likelihood": "log-likelihood, negative",
    }
    rows = "".join(
        f"<tr><th>{name}</th><td>{_number(raw[key], 3)}</td><td>{_number(facts[key], 3)}</td></tr>"
        for key, name in names.items()
    )
    sure = facts["confident"]
    said = (
        f"At least {sure['threshold']:g} sure: {_percent(sure['share'])} of the pixels, of which "
        f"{_percent(sure['accuracy'])} are right."
    )
    table = f"<table><thead><tr><th></th><th>raw</th><th>calibrated</th></tr></thead><tbody>{rows}</tbody></table>"
    picture = charts.reliability(**facts["bins"])
    return _section("Calibration", text, f'<div class="grid"><div>{picture}</div><div>{table}<p>{said}</p></div></div>')


def _scores(facts: Mapping[str, Any]) -> str:
    text = (
        'Confidence of the pixels that the map calls so: <i class="key right"></i> where it is right, '
        '<i class="key wrong"></i> where it is wrong.'
    )
    scores, cards = facts["scores"], []
    for row, right, wrong in zip(facts["accuracy"]["classes"], scores["right"], scores["wrong"], strict=True):
        picture = charts.histogram(right, wrong, f"scores of {row['name']}")
        cards.append(f"<div>{_heading(row)}{picture}</div>")
    return _section("Scores", text, f'<div class="grid">{"".join(cards)}</div>')


def _timing(facts: Mapping[str, Any], per: str) -> str:
    how = "its inputs held at their last values: one trained for each date should do better"
    if not facts["held"]:
        how = "and at each date forecasts the rest of it"
    text = (
        "F1 when nothing observed from a date on is known. Three readings of how early a class can be told: the first "
        f"date with F1 of {facts['threshold']} or more, the first from which on it stays there, the first whose whole "
        f"interval lies there. The model is the one trained for the whole season, {how}. {facts['samples']:,} {per}s."
    )
    days = [date.fromisoformat(day).toordinal() for day in facts["dates"]]
    ticks = [(float(day), _short(date.fromordinal(day))) for day in (days[0], days[-1])]
    level = facts["threshold"]
    whole = f"<div><h3>all classes, macro-F1</h3>{charts.curve(days, facts['macro_f1'], 'macro-F1', ticks, level)}"
    cards = [f"{whole}{_when(facts['earliest'])}</div>"]
    for row in facts["classes"]:
        picture = charts.curve(days, row["f1"], f"F1 of {row['name']}", ticks, level)
        cards.append(f"<div><h3>{escape(row['name'])}</h3>{picture}{_when(row['earliest'])}</div>")
    return _section("How early", text, f'<div class="grid">{"".join(cards)}</div>')


def _when(earliest: Mapping[str, str | None]) -> str:
    days = {name: _short(date.fromisoformat(day)) if day else "never" for name, day in earliest.items()}
    told = " · ".join(f"<span>{name} {day}</span>" for name, day in days.items())
    return f'<p class="when">{told}</p>'


def _profiles(facts: Mapping[str, Any]) -> str:
    found, rows = facts["profiles"], facts["accuracy"]["classes"]
    text = "Median of the labelled pixels' input at each step, and the field from the 10th to the 90th percentile."
    ticks, parts = _step_ticks(facts), []
    for f, feature in enumerate(found["features"]):
        values = [v for key in ("low", "high") for each in found[key] for v in each[f] if v is not None]
        span = (min(values), max(values)) if values else (0.0, 1.0)
        cards = [_profile(found, (c, f), row, span, ticks) for c, row in enumerate(rows) if row["samples"]]
        opened = " open" if f == 0 else ""
        parts.append(
            f'<details{opened}><summary>{escape(feature)}</summary><div class="grid">{"".join(cards)}</div></details>'
        )
    return _section("Profiles", text, "".join(parts))


def _profile(
    found: Mapping[str, Any],
    at: tuple[int, int],
    row: Mapping[str, Any],
    span: tuple[float, float],
    ticks: charts.Ticks,
) -> str:
    """The card of one class and feature, ``at`` their places."""
    c, f = at
    series = (found["low"][c][f], found["median"][c][f], found["high"][c][f])
    picture = charts.profile(series, span, f"{found['features'][f]}, {row['name']}", ticks)
    return f"<div>{_heading(row)}{picture}</div>"


def _attention(facts: Mapping[str, Any]) -> str:
    found = facts["attention"]
    if found["kind"] == "gradient":
        text = (
            "How far the winning class' logit moves with each input, on average (slope, of inputs scaled to 0 to 1): "
            f"dark is where the network looks. {found['samples']:,} pixels."
        )
        by_feature = list(zip(*found["values"], strict=True))
        picture = charts.heat(found["features"], by_feature, "slopes by feature and step", _step_ticks(facts))
        return _section("What the model looks at", text, f'<div class="scroll">{picture}</div>')
    text = (
        "By how much macro-F1 falls when a feature's series are dealt out anew among the pixels. Features that say the "
        f"same stand in for each other. {found['samples']:,} pixels."
    )
    most = max(max(found["values"]), 0.01)
    rows = "".join(
        f'<div class="row"><span>{escape(name)}</span>{charts.interval_bar(max(v, 0), None, None, most)}'
        f"<b>{v + 0:.3f}</b></div>"
        for name, v in sorted(zip(found["features"], found["values"], strict=True), key=lambda pair: -pair[1])
    )
    return _section("What the model looks at", text, f'<div class="narrow">{rows}</div>')


def _areas(facts: Mapping[str, Any]) -> str:
    sample = facts.get("sample")
    head = "<th>class</th><th>mapped, km²</th>"
    if sample is None:
        text = (
            "Pixels counted on the map. A count is no estimate: errors of the map do not cancel. Draw a probability "
            "sample (tilth sample), fill it in, and give it to tilth assess --sample."
        )
    else:
        text = (
            f"Estimated from {sample['points']} points of a stratified random sample (Olofsson et al. 2014), with 95 % "
            f"intervals. Overall accuracy {' '.join(_ranged(sample['overall_accuracy']))}."
            + "".join(f" {sample[k]} points {_LACK[k]}; if not by chance, areas are off." for k in _LACK if sample[k])
            + ("" if sample["drawn_from_this_map"] else " The file does not say which map it was drawn from.")
        )
        head += "<th>estimated, km²</th><th>user's</th><th>producer's</th>"
    rows = "".join(f"<tr>{''.join(_area_cells(row))}</tr>" for row in facts["classes"])
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return _section("Areas", text, f'<div class="scroll">{table}</div>')


def _area_cells(row: Mapping[str, Any]) -> Iterator[str]:
    yield f"<th>{escape(row['name'])}</th><td>{row['mapped_km2']:,.4g}</td>"
    if "estimated_km2" in row:
        area = row["estimated_km2"]
        half = (area["high"] - area["value"]) if area["value"] is not None else 0
        yield f"<td>{area['value']:,.4g} ± {half:,.2g}</td>"
        for key in ("users_accuracy", "producers_accuracy"):
            value, span = _ranged(row[key])
            yield f"<td>{value} <small>{span}</small></td>"


def _section(title: str, text: str, body: str) -> str:
    """``text`` may hold markup of ours; names are escaped before."""
    return f"<section><h2>{title}</h2><p>{text}</p>{body}</section>"


def _heading(row: Mapping[str, Any], after: str = "") -> str:
    told = f" <small>{after}</small>" if after else ""
    return f'<h3><i class="swatch" style="background:{row["colour"]}"></i>{escape(row["name"])}{told}</h3>'


def _step_ticks(facts: Mapping[str, Any]) -> list[tuple[float, str]]:
    """The first and last step and the middle one, by the day they begin."""
    start, steps, days = date.fromisoformat(facts["season"][0]), facts["steps"]["count"], facts["steps"]["days"]
    return [(float(s), _short(start + timedelta(days=s * days))) for s in sorted({0, steps // 2, steps - 1})]


def _short(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]}"


def _blocks(count: int) -> str:
    return "1 block" if count == 1 else f"{count:,} blocks"


def _number(value: float | None, places: int = 2) -> str:
    return "–" if value is None else f"{value:.{places}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _ranged(row: Mapping[str, float | None]) -> tuple[str, str]:
    """A number and its interval in brackets, as text."""
    value, low, high = _number(row["value"]), _number(row["low"]), _number(row["high"])
    return value, "(no interval)" if row["low"] is None else f"({low}–{high})"
