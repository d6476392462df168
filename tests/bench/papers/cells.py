"""Cells of a paper's tables, each computed once, with its seed: what is kept in a book is not computed again.

A killed run therefore goes on where it was. A cell that no run has computed stays empty in the tables; nothing is
filled in from elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.bench.measure import closing, context

SCALES = ("quick", "default", "full")


@dataclass(frozen=True, order=True)
class Cell:
    """One training and what it scored: a row and a column of a table, by random seed."""

    table: str
    row: str
    column: str
    seed: int = 0


class Book:
    """What was computed, a JSON line per cell in the file ``path``; ``settings`` are what else decides a figure.

    A line that a kill tore is not a line. Cells noted under other settings are not taken for these.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._path, self._settings = path, json.loads(json.dumps(settings))  # as a line gives them back
        self._noted: dict[Cell, Mapping[str, Any]] = {}
        for line in path.read_text().splitlines() if path.is_file() else ():
            try:
                note = json.loads(line)
            except json.JSONDecodeError:
                continue
            if note["settings"] == self._settings:
                self._noted[Cell(*note["cell"])] = note["found"]

    def __getitem__(self, cell: Cell) -> Mapping[str, Any]:
        return self._noted[cell]

    def __contains__(self, cell: Cell) -> bool:
        return cell in self._noted

    def note(self, cell: Cell, found: Mapping[str, Any]) -> None:
        """Keep a cell's figures, at once and for good."""
        self._noted[cell] = found
        line = {"settings": self._settings, "cell": [cell.table, cell.row, cell.column, cell.seed], "found": found}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        torn = self._path.is_file() and not self._path.read_bytes().endswith(b"\n")
        with self._path.open("a") as file:
            file.write(("\n" if torn else "") + json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def values(self, table: str, row: str, column: str, figure: str) -> list[Any]:
        """A figure of all seeds that were computed."""
        mine = (cell for cell in sorted(self._noted) if (cell.table, cell.row, cell.column) == (table, row, column))
        found = [self._noted[cell].get(figure) for cell in mine]
        return [value for value in found if value is not None]


def fill(book: Book, cells: Sequence[Cell], compute: Callable[[Cell], Mapping[str, Any]], workers: int) -> None:
    """Compute the cells that the book lacks, so many at a time in processes of one thread each, and note them.

    compute: pickled to fresh processes, so a function of a module or a ``partial`` of one. What it raises ends the
    run; cells done stay noted.
    """
    todo = [cell for cell in cells if cell not in book]
    print(f"  {len(cells) - len(todo)} of {len(cells)} cells are there already", flush=True)
    began = time.monotonic()
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_one_thread) as pool:
        running = {pool.submit(_timed, compute, cell): cell for cell in todo}
        try:
            for done, future in enumerate(as_completed(running), 1):
                cell = running[future]
                book.note(cell, future.result())
                left = (time.monotonic() - began) / done * (len(todo) - done) / 60
                print(f"  {cell.table} | {cell.row} | {cell.column} | seed {cell.seed}: "
                      f"{book[cell]['seconds']:.0f} s; about {left:.0f} min left", flush=True)  # fmt: skip
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def table(book: Book, name: str, rows: Sequence[str], columns: Sequence[str], figure: str) -> str:
    """A table of one figure in Markdown: the mean over seeds, ± the standard deviation where there are several."""
    lines = [f"| {name}: {figure} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for row in rows:
        cells = [_shown(book.values(name, row, column, figure)) for column in columns]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def columns(book: Book, name: str, rows: Sequence[str], column: str, figures: Sequence[str]) -> str:
    """Several figures of one column, beside each other, as ``table`` has one."""
    lines = [f"| {name}, {column} | " + " | ".join(figures) + " |", "|---" * (len(figures) + 1) + "|"]
    for row in rows:
        lines.append(f"| {row} | " + " | ".join(_shown(book.values(name, row, column, one)) for one in figures) + " |")
    return "\n".join(lines)


def asked(description: str | None, title: str) -> argparse.Namespace:
    """What the command line says (scale, out, workers), after a look at the machine; ``finished`` closes it."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="default")
    parser.add_argument(
        "--out", type=Path, default=Path("work/papers"), help="where cubes, cells and pictures are kept"
    )
    parser.add_argument("--workers", type=int, default=2, help="trainings at a time, of one thread each")
    told = parser.parse_args()
    context(f"{title}, --scale {told.scale}")
    return told


def finished(began: float) -> None:
    """How long it took, and how busy the machine was."""
    print(f"  {(time.monotonic() - began) / 60:.1f} minutes in this run")
    closing()


def _timed(compute: Callable[[Cell], Mapping[str, Any]], cell: Cell) -> dict[str, Any]:
    began = time.monotonic()
    return {**compute(cell), "seconds": round(time.monotonic() - began, 1)}


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _shown(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return str(values[0]) if isinstance(values[0], int) else f"{mean:.3f}"
    sd = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    return f"{mean:.3f} ± {sd:.3f}"
