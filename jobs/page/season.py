"""The page's sections over the season: how early classes can be told, what their input is, where the model looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from html import escape
from typing import Any

from jobs.page import charts
from jobs.page.parts import MONTHS, heading, section, short

_MOST_TICKS = 6


def timing(facts: Mapping[str, Any]) -> str:
    """F1 over the cut-off date, per class."""
    found, per, along = facts["timing"], facts["labels"]["per"], _along(facts)
    how = "its inputs held at their last values: one trained for each date should do better"
    if not found["held"]:
        how = "and at each date forecasts the rest of it"
    text = (
        "F1 of a map made on each date, from what was observed before it. Three readings of how early a class can be "
        f"told: the first date with F1 of {found['threshold']} or more, the first from which on it stays there, the "
        "first whose whole interval lies there. The model is the one trained for the whole season, "
        f"{how}. {found['samples']:,} {per}s."
    )
    days = [date.fromisoformat(day).toordinal() for day in found["dates"]]
    level = found["threshold"]
    whole = f"<div><h3>all classes, macro-F1</h3>{charts.curve(days, found['macro_f1'], 'macro-F1', along, level)}"
    cards = [f"{whole}{_when(found['earliest'], found['macro_f1'])}</div>"]
    for row in found["classes"]:
        picture = charts.curve(days, row["f1"], f"F1 of {row['name']}", along, level)
        cards.append(f"<div><h3>{escape(row['name'])}</h3>{picture}{_when(row['earliest'], row['f1'])}</div>")
    return section("How early", text, f'<div class="grid">{"".join(cards)}</div>')


def _when(earliest: Mapping[str, str | None], f1: Sequence[Mapping[str, float | None]]) -> str:
    """The three timings; "not known" where there is no F1, or no interval, to tell by."""
    judged = {name: any(row["low" if name == "confident" else "value"] is not None for row in f1) for name in earliest}
    days = {
        name: short(date.fromisoformat(day)) if day else "never" if judged[name] else "not known"
        for name, day in earliest.items()
    }
    told = " · ".join(f"<span>{name} {day}</span>" for name, day in days.items())
    return f'<p class="when">{told}</p>'


def profiles(facts: Mapping[str, Any]) -> str:
    """What the classes' input looks like over the season."""
    found, rows = facts["profiles"], facts["accuracy"]["classes"]
    text = (
        f"Median of the labelled {facts['labels']['per']}s' input at each step, and the field from the 10th to the "
        "90th percentile; one scale for all classes."
    )
    along, parts = _along(facts), []
    for f, (feature, unit) in enumerate(zip(found["features"], found["units"], strict=True)):
        values = [v for key in ("low", "high") for each in found[key] for v in each[f] if v is not None]
        span = (min(values), max(values)) if values else (0.0, 1.0)
        cards = [_profile(found, (c, f), row, span, along) for c, row in enumerate(rows) if row["samples"]]
        opened = " open" if f == 0 else ""
        summary = f"<summary>{escape(feature)} <small>{escape(unit)}</small></summary>"
        parts.append(f'<details{opened}>{summary}<div class="grid">{"".join(cards)}</div></details>')
    return section("Profiles", text, "".join(parts))


def _profile(
    found: Mapping[str, Any],
    at: tuple[int, int],
    row: Mapping[str, Any],
    span: tuple[float, float],
    along: charts.Along,
) -> str:
    """The card of one class and feature, ``at`` their places."""
    c, f = at
    series = (found["low"][c][f], found["median"][c][f], found["high"][c][f])
    picture = charts.profile(series, span, f"{found['features'][f]}, {row['name']}", along)
    return f"<div>{heading(row)}{picture}</div>"


def attention(facts: Mapping[str, Any]) -> str:
    """A network's slopes by feature and step, or what each feature's permutation costs."""
    found, per = facts["attention"], facts["labels"]["per"]
    if found is None:
        return ""
    if found["kind"] == "gradient":
        text = (
            "How far the winning class' logit moves with each input, on average (slope, of inputs scaled to 0 to 1): "
            f"dark is where the network looks. {found['samples']:,} {per}s."
        )
        by_feature = list(zip(*found["values"], strict=True))
        picture = charts.heat(found["features"], by_feature, "slopes by feature and step", _along(facts))
        return section("What the model looks at", text, f'<div class="scroll">{picture}</div>')
    text = (
        "By how much macro-F1 falls when a feature's series are dealt out anew among the samples. Features that say "
        f"the same stand in for each other. {found['samples']:,} {per}s."
    )
    most = max(max(found["values"]), 0.01)
    rows = "".join(
        f'<div class="row"><span>{escape(name)}</span>{charts.interval_bar(max(v, 0), None, None, most)}'
        f"<b>{v + 0:.3f}</b></div>"
        for name, v in sorted(zip(found["features"], found["values"], strict=True), key=lambda pair: -pair[1])
    )
    return section("What the model looks at", text, f'<div class="narrow">{rows}</div>')


def _along(facts: Mapping[str, Any]) -> charts.Along:
    """The season as an axis, with first days of months, or with its own ends where it has fewer than two."""
    start, steps = date.fromisoformat(facts["season"][0]), facts["steps"]
    end = start + timedelta(days=steps["count"] * steps["days"])
    days = [start + timedelta(days=i) for i in range((end - start).days + 1)]
    firsts = [(float(day.toordinal()), MONTHS[day.month - 1]) for day in days if day.day == 1]
    ends = [(float(day.toordinal()), short(day)) for day in (start, end)]
    ticks = firsts[:: -(-len(firsts) // _MOST_TICKS)] if len(firsts) > 1 else ends
    return charts.Along(float(start.toordinal()), float(end.toordinal()), ticks)
