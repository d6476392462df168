"""The tables of ``convstar`` in Markdown, what they say of the paper's claims, and the pictures of where it looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.assess.bootstrap import Measures, difference, intervals, measures
from tests.bench.papers.cells import Book, Cell

OURS = "convstar3d"


def show_table(book: Book, table: str, rows: Sequence[str], column: str, names: Sequence[str]) -> None:
    """One input's rows: overall accuracy and macro-F1 with intervals, kappa, and of each class producer's and user's
    accuracy and F1. All seeds count together; a row without a cell is empty."""
    print(f"\n| {table}: {column} | OA [95 %] | kappa | macro-F1 [95 %] | "
          + " | ".join(f"{name}: PA / UA / F1" for name in names) + " |")  # fmt: skip
    print("|---" * (4 + len(names)) + "|")
    for row in rows:
        by_block = pooled(book, table, row, column)
        print(f"| {row} | " + " | ".join(_shown(by_block, len(names))) + " |")


def _shown(by_block: NDArray[np.int64] | None, classes: int) -> list[str]:
    if by_block is None:
        return [""] * (3 + classes)
    found, ends = measures(by_block.sum(axis=0)), intervals(by_block)
    spans = {what: f"{_of(found, what):.3f} [{_of(ends.low, what):.3f}, {_of(ends.high, what):.3f}]"
             for what in ("overall", "macro_f1")}  # fmt: skip
    each = zip(found.producers, found.users, found.f1, strict=True)
    return [spans["overall"], f"{found.kappa:.3f}", spans["macro_f1"],
            *(" / ".join(f"{value:.2f}" for value in own) for own in each)]  # fmt: skip


def pooled(book: Book, table: str, row: str, column: str) -> NDArray[np.int64] | None:
    """Confusion matrices by block (b, k, k) of all seeds together; None where none was computed. All seeds are judged
    on the same squares."""
    found = book.values(table, row, column, "matrices")
    return np.sum(found, axis=0) if found else None


def show_claims(
    book: Book, title: str, inputs: Sequence[str], hard: str, *, rivals: Sequence[str], kinds: Sequence[str]
) -> None:
    """The paper's three claims against the real place's cells, with paired intervals."""
    tables, rare = f"{title}, Tables 1 and 2", f"{title}, Table 3"
    print("Differences of macro-F1 [95 %, the same resampled blocks for both].")
    fused = [pooled(book, tables, OURS, given) for given in ("optical and backscatter", "backscatter", "optical")]
    print("\n1. 'Optical with m-chi beats backscatter': CANNOT BE JUDGED. Scenes of GRD have no phase, so no m-chi.")
    print("   Another question, optical with backscatter, 3D-ConvSTAR:")
    print(f"   less backscatter: {told(fused[0], fused[1])}\n   less optical: {told(fused[0], fused[2])}")
    print("2. '3D-ConvSTAR beats its rivals', and beside that the forest:")
    ours = {given: pooled(book, tables, OURS, given) for given in inputs}
    verdicts = []
    for rival in (*rivals, "forest"):
        for given in inputs:
            found = told(ours[given], pooled(book, tables, rival, given))
            verdicts += [found] if rival in rivals else []
            print(f"   {given}, less {rival}: {found}")
    print(f"   {verdict(verdicts)}")
    print("3. 'What is done for rare classes helps them': F1 of the rarest class, 3D-ConvSTAR, less that of none:")
    plain = pooled(book, rare, "none", hard)
    helped = {kind: told(pooled(book, rare, kind, hard), plain, rarest=True) for kind in kinds if kind != "none"}
    for kind, found in helped.items():
        print(f"   {kind}: {found}")
    print(f"   {verdict(list(helped.values()))}")


def told(first: NDArray[np.int64] | None, second: NDArray[np.int64] | None, *, rarest: bool = False) -> str:
    """First less second in macro-F1, or in F1 of the last class, and whether the interval says that they differ."""
    if first is None or second is None:
        return "not computed"
    found, ends = (measures(one.sum(axis=0)) for one in (first, second)), difference(first, second)
    one, other = (_of(part, "f1" if rarest else "macro_f1") for part in found)
    low, high = (_of(part, "f1" if rarest else "macro_f1") for part in (ends.low, ends.high))
    if np.isnan(low) or np.isnan(high):
        return f"{one - other:+.3f}, too few blocks to say"
    word = "no difference shown" if low <= 0 <= high else "WON" if low > 0 else "LOST"
    return f"{one - other:+.3f} [{low:+.3f}, {high:+.3f}], {word}"


def verdict(comparisons: Sequence[str]) -> str:
    """The claim is borne out where every comparison was won."""
    won, lost = (sum(one.endswith(word) for one in comparisons) for word in ("WON", "LOST"))
    if any(one == "not computed" for one in comparisons):
        return f"CANNOT BE JUDGED: not all computed; won {won}, lost {lost} so far"
    words = "BORNE OUT" if won == len(comparisons) else "NOT BORNE OUT"
    return f"{words} here: won {won}, lost {lost}, no difference shown {len(comparisons) - won - lost}"


def saliency_picture(book: Book, title: str, inputs: Sequence[str], names: Sequence[str], stem: Path) -> None:
    """A PNG beside ``stem``: where 3D-ConvSTAR looks, by input and class the mean slope at each pixel of the square."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    asked = [Cell(f"{title}, Tables 1 and 2", OURS, given) for given in inputs]
    cells = [cell for cell in asked if cell in book]
    if not cells:
        return
    path = stem.with_name(f"{stem.name}-{title.lower().replace(' ', '-')}.png")
    shape = len(cells), len(names)
    figure, axes = pyplot.subplots(*shape, figsize=(2.6 * shape[1] + 1, 2.6 * shape[0]), squeeze=False,
                                   constrained_layout=True)  # fmt: skip
    for row, cell in zip(axes, cells, strict=True):
        maps = np.array(book[cell]["slopes"], float)
        for axis, name, values in zip(row, names, maps, strict=True):
            axis.set_title(f"{name}\n{cell.column}", fontsize=8)
            axis.set_axis_off()
            if not values.any():
                axis.text(0.5, 0.5, "no square of the test\nwas called so", ha="center", va="center", fontsize=8)
                continue
            shown = axis.imshow(values / values.mean(), cmap="viridis", vmin=0)
            figure.colorbar(shown, ax=axis, shrink=0.8)
    figure.suptitle(f"{title}: slope of the logit at each pixel, mean 1", fontsize=10)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    print(f"  {path}")


def _of(found: Measures, what: str) -> float:
    """A number of ``found``; of f1 that of the last class."""
    return float(np.asarray(getattr(found, what)).ravel()[-1])
