"""Whose an accuracy is: which model's, of which season, ground and cut-off, and how it was seen.

A kappa without these is taken for the map's beside it. Whatever prints or stores one takes it from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from engine.models.card import Card
from engine.models.domain import Domain, share_outside

FIGURES = {"overall_accuracy": "overall accuracy", "kappa": "kappa", "macro_f1": "macro-F1"}


def accuracy_of(card: Card, domain: Domain, job: Domain | None = None) -> dict[str, Any]:
    """The accuracy of a model at its card's cut-off with all that says whose it is, as JSON; ``said`` is the sentence.

    Figures (``kappa`` and others) are there only where this very cut-off was tested; else the tested ones beside it
    stand under ``tested``. ``of_this_map``: whether the test was of the season and the ground of ``job``, None where no
    job is given.
    """
    known = dict(card.training.get("accuracy") or {})
    split = card.training.get("split") or {}
    facts: dict[str, Any] = {
        **known,
        "model": card.name,
        "cut_off": known_to(known.get("steps", card.recipe.steps), card, domain),
        "seasons": _seasons(split, domain),
        "judged_on": _judged_on(split),
        "optimistic": list((split.get("fields") or {}).get("optimistic", ())),
        "of_this_map": None,
    }
    if "last_day" in known:
        facts["last_day"] = facts["cut_off"]
    if "tested" in known:
        facts["tested"] = [{**row, "last_day": known_to(row["steps"], card, domain)} for row in known["tested"]]
    if job is not None and known:
        facts["not_of_this_map"] = _foreign(facts["seasons"], domain, job)
        facts["of_this_map"] = not facts["not_of_this_map"]
    return {**facts, "said": sentence(facts)}


def known_to(steps: int, card: Card, domain: Domain) -> str:
    """The last day (MM-DD) of so many leading steps in the season that the accuracy is of, never after that season's
    end; of several seasons, the earliest such day."""
    found, end = [], domain.end - timedelta(microseconds=1)
    latest = int(max(domain.learnt_from)[:4])
    for season in _seasons(card.training.get("split") or {}, domain):
        year = int(season[:4])
        first = date.fromisoformat(f"{year}-{card.recipe.season_start}")
        last, its_end = first + timedelta(steps * card.recipe.step_days - 1), _in_year(end, end.year + year - latest)
        last = min(last, its_end) if its_end >= first else last  # a domain made by hand may end before its season
        found.append((last.year - year, f"{last:%m-%d}"))
    return min(found)[1]


def _in_year(day: datetime, year: int) -> date:
    """The same day of another year; of 29 February the 28th."""
    return date(year, day.month, min(day.day, 28) if day.month == 2 else day.day)


def _seasons(split: Mapping[str, Any], domain: Domain) -> list[str]:
    """First days (YYYY-MM-DD) of the seasons that the accuracy is of."""
    return [str(row["season"]) for row in split.get("seasons", ()) if row["test"]] or list(domain.learnt_from)


def sentence(facts: Mapping[str, Any]) -> str:
    """An accuracy in words, with whose it is. facts: as ``accuracy_of`` gives them."""
    where = f"{facts['judged_on']}, season from {' and '.join(facts['seasons'])} on"
    if "kappa" in facts:
        told = f"{figures(facts)} on {_samples(facts)}{where}, known to {facts['cut_off']}"
    elif facts.get("tested"):
        rows = "; ".join(f"known to {row['last_day']}: {figures(row)}" for row in facts["tested"])
        told = f"not tested at the cut-off {facts['cut_off']}; {rows}; on {where}"
    else:
        return "not known"
    told += f"; not this map's: {' and '.join(facts['not_of_this_map'])}" if facts.get("not_of_this_map") else ""
    return told + (f"; optimistic: {'; '.join(facts['optimistic'])}" if facts["optimistic"] else "")


def figures(row: Mapping[str, Any]) -> str:
    """The headline figures of one cut-off, in words: of all labelled classes, those that the model does not know being
    errors, and where these are others, of the classes it knows. What a package of an older version holds is of the
    classes it knows, and is told as it stands."""
    if not row.get("unknown_share"):
        return _figures(row)
    return (
        f"{_figures(row)} with all labelled classes counted, {row['unknown_share']:.0%} of the labelled land being "
        f"of classes that the model does not know; {_figures(row['of_known_classes'])} of those it knows"
    )


def _figures(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {row[key]:.3f}" for key, name in FIGURES.items() if row.get(key) is not None)


def _samples(facts: Mapping[str, Any]) -> str:
    return f"{facts['samples']:,} samples of " if facts.get("samples") is not None else ""


def _judged_on(split: Mapping[str, Any]) -> str:
    """What the test part is, in words."""
    regions = [row["region"] for row in split.get("regions", ()) if row["test"]]
    if regions:
        return f"the region{'s' * (len(regions) > 1)} {', '.join(regions)}, held out of the training"
    seasons = split.get("seasons", ())
    if seasons and all(not row["train"] for row in seasons if row["test"]):
        return "a season held out of the training"
    count = (split.get("test") or {}).get("blocks")
    number = "" if count is None else f"{count} "
    return f"{number}test block{'s' * (count != 1)} of the model's training, which it never saw"


def _foreign(seasons: list[str], domain: Domain, job: Domain) -> list[str]:
    """Why the accuracy is none of the job's map; empty where it is."""
    mine, share = f"{job.start:%Y-%m-%d}", share_outside(domain, job)
    return [
        *([f"that is of the season from {mine} on"] if mine not in seasons else []),
        *([f"{share:.0%} of its area lies outside the training's"] if share else []),
    ]
