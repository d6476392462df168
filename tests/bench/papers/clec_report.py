"""What the cells of CLEC say: tables in Markdown, pictures, and a verdict for each of the paper's claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from engine.assess.bootstrap import difference, measures
from engine.assess.timing import THRESHOLD, earliest
from tests.bench.papers.cells import Book, Cell, table
from tests.bench.papers.clec_forecast import FORECAST, draw
from tests.bench.papers.clec_trials import ABLATIONS, ALL_CROPS, MODES, RIVALS

PAPERS_MILLIONS = {"CLEC": "2.38", "DCM": "8.47", "Transformer": "10.52", "1D-CNN": "0.04"}
"""Parameters, Table 10 of the paper; theirs are of 13 features, 37 steps and probably 7 classes."""
COMPARED = ("CLEC", *RIVALS)
VARIANTS = (("CLEC", *ABLATIONS, "1D-CNN"), ("CLEC", *MODES))


def real_report(
    book: Book,
    name: str,
    names: Sequence[str],
    columns: Sequence[str],
    varied: Sequence[str],
    lengths: Mapping[str, Sequence[str]],
    out: Path,
) -> None:
    """The tables of a real set and what becomes of the claims there."""
    print("Columns: composites of 16 days from 1 September that were seen. The paper's accuracies are not at hand.\n")
    for figure in ("OA", "kappa", "macro-F1"):
        print(table(book, name, COMPARED, columns, figure), end="\n\n")
    print(f"{_earliest(book, name, COMPARED, names, columns)}\n")
    for rows in VARIANTS if varied else ():
        for figure in ("OA", "macro-F1"):
            print(table(book, name, rows, varied, figure), end="\n\n")
    _show_lengths(book, name, lengths)
    print(_forecasts(book, name, columns))
    _picture(book, name, columns, out)
    print("CLEC less others, macro-F1 [95 %, blocks of the test resampled, paired]:\n")
    for title, rows, at in (
        ("CLEC tells crops better than its rivals", tuple(RIVALS), columns),
        ("Attention, GradNorm and forecast each make it better", (*ABLATIONS, "1D-CNN"), varied),
        ("One cascade is better than its other modes", tuple(MODES), varied),
    ):
        print(_claim(book, name, title, rows, at), end="\n\n")
    print(_earlier(book, name, columns))
    print(_forecast_claim(book, name, columns), end="\n\n")


def made_report(
    book: Book,
    tasks: Sequence[str],
    names: Sequence[str],
    columns: Sequence[str],
    varied: Sequence[str],
    lengths: Mapping[str, Sequence[str]],
    out: Path,
) -> None:
    """The tables of the made country. They show that the code works, so there is no verdict."""
    some = book[Cell(ALL_CROPS, "CLEC", columns[0])]
    print(f"{some['learnt from']} pixels to learn from, {some['judged on']} to judge on. Columns: steps of ten days "
          "from 1 January that were seen. The paper's accuracies are not at hand.\n")  # fmt: skip
    for task in tasks:
        own = names if task == ALL_CROPS else (task,)
        for figure in ("OA", "kappa", "macro-F1" if task == ALL_CROPS else f"F1 {task}", "macro-F1, next season"):
            print(table(book, task, COMPARED, columns, figure), end="\n\n")
        print(f"{_earliest(book, task, COMPARED, own, columns)}\n")
    for rows in VARIANTS if varied else ():
        print(table(book, ALL_CROPS, rows, varied, "macro-F1"), end="\n\n")
    _show_lengths(book, ALL_CROPS, lengths)
    print(_forecasts(book, ALL_CROPS, columns))
    _picture(book, ALL_CROPS, columns, out)
    print(_costs(book, columns), end="\n\n")


def _show_lengths(book: Book, name: str, lengths: Mapping[str, Sequence[str]]) -> None:
    """Table 9: nothing forecast, some steps, and the whole season."""
    for steps, rows in lengths.items():
        for figure in ("OA", "macro-F1"):
            print(table(book, name, ("1D-CNN", *rows, "CLEC"), (steps,), figure), end="\n\n")


def _claim(book: Book, name: str, title: str, rows: Sequence[str], columns: Sequence[str]) -> str:
    """A line per difference, and what they say together."""
    lines = [f"| CLEC less | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    ends: list[tuple[float, float]] = []
    for row in rows:
        cells = []
        for column in columns:
            found = _compared(book, name, row, column)
            if found is None:
                cells.append("")
                continue
            less, low, high = found
            ends.append((low, high))
            cells.append(f"{less:+.3f} [{low:+.3f}, {high:+.3f}]")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    won, lost = sum(low > 0 for low, _ in ends), sum(high < 0 for _, high in ends)
    if not ends or len(ends) < len(rows) * len(columns):
        said = "cannot be judged, cells are missing"
    else:
        said = "borne out" if won == len(ends) else "NOT borne out"
    lines.append(f"\n{title}: {said}. Of {len(ends)} comparisons {won} won, {lost} lost, the rest shows no difference.")
    return "\n".join(lines)


def _compared(book: Book, name: str, row: str, column: str) -> tuple[float, float, float] | None:
    """Macro-F1 of CLEC less that of the row, with its interval, all seeds together; None where a cell is missing."""
    both = [book.values(name, one, column, "blocks") for one in ("CLEC", row)]
    if not all(both):
        return None
    first, second = (np.sum(np.array(seeds), axis=0) for seeds in both)
    less = measures(first.sum(axis=0)).macro_f1 - measures(second.sum(axis=0)).macro_f1
    ends = difference(first, second)
    return float(less), float(ends.low.macro_f1), float(ends.high.macro_f1)


def _curve(book: Book, name: str, row: str, columns: Sequence[str], figure: str) -> np.ndarray | None:
    """A figure over cut-offs, mean of the seeds; None where a cell is missing."""
    found = [book.values(name, row, column, figure) for column in columns]
    return np.array([np.mean(values) for values in found]) if all(found) else None


def _when(book: Book, name: str, row: str, columns: Sequence[str], figure: str) -> tuple[int | None, ...] | None:
    """The three earliest timings as positions among the columns; None where a cell is missing."""
    f1, low = (_curve(book, name, row, columns, f"{figure}{end}") for end in ("", " low"))
    if f1 is None:
        return None
    found = earliest(f1, np.full(len(f1), np.nan) if low is None else low)
    return found.first, found.sustained, found.confident


def _earliest(book: Book, name: str, rows: Sequence[str], names: Sequence[str], columns: Sequence[str]) -> str:
    figures = ("macro-F1", *(f"F1 {crop}" for crop in names))
    lines = [
        f"Earliest cut-off tried with F1 of {THRESHOLD} (first / for good / with the whole 95 % interval; - never):\n",
        f"| {name} | {' | '.join(figures)} |",
        "|---" * (len(figures) + 1) + "|",
    ]
    for row in rows:
        whens = [_when(book, name, row, columns, figure) for figure in figures]
        shown = ["" if when is None else " / ".join(_at(columns, one) for one in when) for when in whens]
        lines.append(f"| {row} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _at(columns: Sequence[str], place: int | None) -> str:
    return "-" if place is None else columns[place]


def _earlier(book: Book, name: str, columns: Sequence[str]) -> str:
    """Whether CLEC comes to the threshold before every rival."""
    title = f"CLEC comes to a macro-F1 of {THRESHOLD} before its rivals"
    whens = {row: _when(book, name, row, columns, "macro-F1") for row in COMPARED}
    if not all(whens.values()):
        return f"{title}: cannot be judged, cells are missing."
    first = {row: len(columns) if when is None or when[0] is None else when[0] for row, when in whens.items()}
    said = "borne out" if all(first["CLEC"] < first[row] for row in RIVALS) else "NOT borne out"
    shown = ", ".join(f"{row} {_at((*columns, '-'), place)}" for row, place in first.items())
    return f"{title}: {said}. First cut-offs: {shown}."


def _forecast_claim(book: Book, name: str, columns: Sequence[str]) -> str:
    """Whether the forecast comes nearer than knowing no more than the mean season."""
    pairs = [
        (
            book.values(name, "CLEC", column, f"RMSE {one}"),
            book.values(name, "CLEC", column, f"RMSE {one}, mean season"),
        )
        for column in columns
        for one in FORECAST
    ]
    known = [np.mean(made) < np.mean(mean) for made, mean in pairs if made and mean]
    if not known:
        return "The forecast is nearer than the mean season: cannot be judged, cells are missing."
    said = "borne out" if all(known) else "NOT borne out"
    return f"The forecast is nearer than the mean season: {said}, in {sum(known)} of {len(known)} cases."


def _forecasts(book: Book, name: str, columns: Sequence[str]) -> str:
    """Fig. 10 in figures, physical units (indices)."""
    parts = []
    for figure in ("RMSE", "R2"):
        lines = [f"| {name}: {figure} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for feature in FORECAST:
            for way in ("", ", last value held", ", mean season"):
                found = [book.values(name, "CLEC", column, f"{figure} {feature}{way}") for column in columns]
                if any(found):
                    shown = " | ".join(f"{np.mean(values):.3f}" if values else "" for values in found)
                    lines.append(f"| {feature}{way or ', CLEC'} | {shown} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _picture(book: Book, name: str, columns: Sequence[str], out: Path) -> None:
    for column in columns:
        cell = Cell(name, "CLEC", column)
        if cell in book and "drawn" in book[cell]:
            path = out / f"clec-{name.lower().replace(' ', '-')}-{column}.png"
            draw(book[cell]["drawn"], path, f"{name}: forecast after {column} steps, and what came")
            print(f"Picture: {path}")


def _costs(book: Book, columns: Sequence[str]) -> str:
    """Table 10, one core: parameters at the cut-offs, processor seconds of an epoch (of a forest or an SVM of the whole
    training; on a GPU the clock's), pixels mapped in one."""
    lines = [
        "| cost | the paper's million parameters | "
        + " | ".join(f"{column}: million, s/epoch, px/s" for column in columns)
        + " |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for row in COMPARED:
        shown = []
        for column in columns:
            kinds = ("parameters", "s per epoch", "pixels per s")
            found = [book.values(ALL_CROPS, row, column, kind) for kind in kinds]
            millions, epoch, speed = (np.mean(values) if values else np.nan for values in found)
            shown.append(f"{millions / 1e6:.2f}, {epoch:.1f}, {speed:,.0f}" if all(found) else "")
        lines.append(f"| {row} | {PAPERS_MILLIONS.get(row, '')} | {' | '.join(shown)} |")
    return "\n".join(lines)
