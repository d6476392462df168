"""What all sections of the page are made of: headings, numbers as text, days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from html import escape
from typing import Any

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def section(title: str, text: str, body: str) -> str:
    """``text`` may hold markup of ours; names are escaped before."""
    return f"<section><h2>{title}</h2><p>{text}</p>{body}</section>"


def heading(row: Mapping[str, Any], after: str = "") -> str:
    """A class' colour and name, and ``after`` them in small print."""
    told = f" <small>{after}</small>" if after else ""
    return f'<h3><i class="swatch" style="background:{row["colour"]}"></i>{escape(row["name"])}{told}</h3>'


def short(day: date) -> str:
    """A day without its year."""
    return f"{day.day} {MONTHS[day.month - 1]}"


def blocks(count: int) -> str:
    """A number of blocks in words."""
    return "1 block" if count == 1 else f"{count:,} blocks"


def number(value: float | None, places: int | None = 2) -> str:
    """Rounded to so many places, None: to four digits; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:,.4g}" if places is None else f"{value:.{places}f}"


def percent(value: float | None) -> str:
    """Whole per cent; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.0f} %"


def ranged(row: Mapping[str, float | None]) -> tuple[str, str]:
    """A number and its interval in brackets, as text."""
    value, low, high = number(row["value"]), number(row["low"]), number(row["high"])
    return value, "(no interval)" if row["low"] is None else f"({low}–{high})"
