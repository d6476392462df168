"""Pictures as SVG text, to stand inside a page: nothing is fetched, and they are sharp on any screen.

Colours are a page's CSS classes, so that a page looks the same throughout. NaN is written None in what is drawn here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

Ticks = Sequence[tuple[float, str]]
Numbers = Sequence[float | None]

SHARES: Ticks = ((0.0, "0"), (0.5, "0.5"), (1.0, "1"))


@dataclass(frozen=True)
class Along:
    """A season as an axis: its days as ordinals, and what stands below it."""

    start: float
    end: float
    ticks: Ticks


@dataclass(frozen=True)
class Plot:
    """A field for data from (x0, y0) to (x1, y1), with room for ticks on the left and below, and for the axes' names
    (``across``, below the ticks, and ``up``, above the field) where they have some."""

    x0: float
    x1: float
    y0: float
    y1: float
    width: int = 340
    height: int = 210
    left: int = 34
    bottom: int = 24
    top: int = 8
    right: int = 10
    across: str = ""
    up: str = ""

    def x(self, value: float) -> float:
        """Pixel column of a value."""
        room = self.width - self.left - self.right
        return round(self.left + room * (value - self.x0) / ((self.x1 - self.x0) or 1), 1)

    def y(self, value: float) -> float:
        """Pixel row of a value."""
        room = self.height - self.top - self.bottom
        return round(self.top + room * (1 - (value - self.y0) / ((self.y1 - self.y0) or 1)), 1)

    def svg(self, body: str, label: str, xticks: Ticks, yticks: Ticks) -> str:
        """The whole picture; ``label`` is what a screen reader says."""
        lines = [
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(label)}">',
            *(f'<line class="grid" x1="{self.left}" x2="{self.width - self.right}" y1="{self.y(v)}" y2="{self.y(v)}"/>'
              f'<text class="tick" x="{self.left - 5}" y="{self.y(v) + 3.5}" text-anchor="end">{escape(t)}</text>'
              for v, t in yticks),
            *(f'<text class="tick" x="{self.x(v)}" y="{self.height - self.bottom + 16}" '
              f'text-anchor="{self._anchor(v)}">'
              f"{escape(t)}</text>" for v, t in xticks),
            f'<text class="tick" x="0" y="9">{escape(self.up)}</text>' if self.up else "",
            f'<text class="tick" x="{self.x((self.x0 + self.x1) / 2)}" y="{self.height - 1}" text-anchor="middle">'
            f"{escape(self.across)}</text>" if self.across else "",
            body,
            "</svg>",
        ]  # fmt: skip
        return "".join(lines)

    def _anchor(self, value: float) -> str:
        """Text at an edge begins or ends there, or it would be cut off or stand in another's place."""
        if self.x(value) > self.width - 2 * self.right:
            return "end"
        return "start" if self.x(value) == self.left else "middle"

    def line(self, xs: Sequence[float], ys: Numbers, css: str = "line") -> str:
        """A line through the points, broken where there is none."""
        parts = []
        for run in _runs(xs, ys):
            points = " ".join(f"{self.x(x)},{self.y(y)}" for x, y in run)
            single = f'<circle class="dot" cx="{self.x(run[0][0])}" cy="{self.y(run[0][1])}" r="2"/>'
            parts.append(f'<polyline class="{css}" points="{points}"/>' if len(run) > 1 else single)
        return "".join(parts)

    def band(self, xs: Sequence[float], low: Numbers, high: Numbers) -> str:
        """The field between two lines."""
        parts = []
        known: list[float | None] = [None if a is None or b is None else 1.0 for a, b in zip(low, high, strict=True)]
        at = {x: i for i, x in enumerate(xs)}
        for run in _runs(xs, known):
            columns = [at[x] for x, _ in run]
            there = [f"{self.x(xs[i])},{self.y(high[i] or 0.0)}" for i in columns]
            back = [f"{self.x(xs[i])},{self.y(low[i] or 0.0)}" for i in reversed(columns)]
            parts.append(f'<polygon class="band" points="{" ".join(there + back)}"/>')
        return "".join(parts)

    def level(self, y: float) -> str:
        """A dashed line across, with its number."""
        return (
            f'<line class="level" x1="{self.left}" x2="{self.width - self.right}" y1="{self.y(y)}" y2="{self.y(y)}"/>'
            f'<text class="tick" x="{self.left - 5}" y="{self.y(y) + 3.5}" text-anchor="end">{y:g}</text>'
        )


def curve(
    xs: Sequence[float], ranged: Sequence[dict[str, float | None]], label: str, along: Along, level: float
) -> str:
    """Values from 0 to 1 with the field of their intervals, and a level to be reached."""
    plot = Plot(along.start, along.end, 0, 1, height=160, top=18, up="F1")
    values, low, high = ([row[key] for row in ranged] for key in ("value", "low", "high"))
    dots = "".join(
        f'<circle class="dot" cx="{plot.x(x)}" cy="{plot.y(v)}" r="3"><title>{v:.2f}</title></circle>'
        for x, v in zip(xs, values, strict=True)
        if v is not None
    )
    return plot.svg(
        plot.band(xs, low, high) + plot.level(level) + plot.line(xs, values) + dots, label, along.ticks, SHARES
    )


def profile(series: tuple[Numbers, Numbers, Numbers], span: tuple[float, float], label: str, along: Along) -> str:
    """One class' series of a feature, (lower percentile, median, upper percentile) in the middle of each step."""
    low, middle, high = series
    wide = (along.end - along.start) / len(middle)
    days = [along.start + (step + 0.5) * wide for step in range(len(middle))]
    bottom, top = span
    plot = Plot(along.start, along.end, bottom, top, height=120, left=44)
    yticks = [(bottom, f"{bottom:.3g}"), (top, f"{top:.3g}")]
    return plot.svg(plot.band(days, low, high) + plot.line(days, middle), label, along.ticks, yticks)


def reliability(confidence: Sequence[float], accuracy: Sequence[float], samples: Sequence[int], of: str) -> str:
    """Accuracy over confidence; on the dashed line probabilities mean what they say. ``of``: what is counted."""
    plot = Plot(0, 1, 0, 1, width=300, height=316, top=18, bottom=34, across="confidence", up="share that is right")
    points = "".join(
        f'<circle class="dot" cx="{plot.x(c)}" cy="{plot.y(a)}" r="4">'
        f"<title>confidence {c:.2f}, right {a:.2f}, {n} {of}</title></circle>"
        for c, a, n in zip(confidence, accuracy, samples, strict=True)
    )
    ideal = f'<line class="level" x1="{plot.x(0)}" y1="{plot.y(0)}" x2="{plot.x(1)}" y2="{plot.y(1)}"/>'
    return plot.svg(ideal + plot.line(confidence, accuracy) + points, "accuracy over confidence", SHARES, SHARES)


def histogram(right: Sequence[int], wrong: Sequence[int], label: str, of: str) -> str:
    """Scores from 0 to 1: those of right answers, and on top of them those of wrong ones. ``of``: what is counted."""
    most = max(a + b for a, b in zip(right, wrong, strict=True)) or 1
    plot = Plot(0, len(right), 0, most, height=130, left=40, top=18, bottom=34, across="confidence", up=of)
    bars = []
    for place, (hits, misses) in enumerate(zip(right, wrong, strict=True)):
        x, width = plot.x(place) + 0.5, plot.x(place + 1) - plot.x(place) - 1
        for css, start, stop in (("right", 0, hits), ("wrong", hits, hits + misses)):
            if stop > start:
                box = f'x="{x}" width="{width:.1f}" y="{plot.y(stop)}" height="{plot.y(start) - plot.y(stop):.1f}"'
                bars.append(f'<rect class="{css}" {box}><title>{stop - start} {css}</title></rect>')
    xticks = [(0.0, "0"), (len(right) / 2, "0.5"), (float(len(right)), "1")]
    return plot.svg("".join(bars), label, xticks, [(0.0, "0"), (float(most), f"{most}")])


def interval_bar(value: float | None, low: float | None, high: float | None, most: float = 1.0) -> str:
    """A bar from 0 to ``most`` with a whisker from low to high."""
    plot = Plot(0, most, 0, 1, width=200, height=14, left=0, right=2, top=0, bottom=0)
    parts = [f'<rect class="rail" x="0" y="3" width="{plot.x(most)}" height="8" rx="2"/>']
    if value is not None:
        parts.append(f'<rect class="bar" x="0" y="3" width="{plot.x(value)}" height="8" rx="2"/>')
    if low is not None and high is not None:
        a, b = plot.x(low), plot.x(min(high, most))
        parts.append(f'<path class="whisker" d="M{a} 7H{b}M{a} 3V11M{b} 3V11"/>')
    return f'<svg class="inline" viewBox="0 0 200 14" aria-hidden="true">{"".join(parts)}</svg>'


def heat(rows: Sequence[str], values: Sequence[Sequence[float]], label: str, along: Along) -> str:
    """A field of squares, dark where the value is large (the scale stands above); one column per step."""
    most = max((v for row in values for v in row), default=0) or 1
    steps, cell = len(values[0]), 16
    plot = Plot(0, steps, len(rows), 0, width=640, height=cell * len(rows) + 56, left=60, top=32)
    boxes = [_scale(most, plot.left)]
    for r, (name, row) in enumerate(zip(rows, values, strict=True)):
        boxes.append(f'<text class="tick" x="55" y="{plot.y(r) + 12}" text-anchor="end">{escape(name)}</text>')
        for c, value in enumerate(row):
            width = plot.x(c + 1) - plot.x(c)
            boxes.append(
                f'<rect class="cell" x="{plot.x(c)}" y="{plot.y(r)}" width="{width - 0.6:.1f}" height="{cell - 1}" '
                f'fill-opacity="{value / most:.3f}"><title>{escape(name)}, step {c + 1}: {value:.3g}</title></rect>'
            )
    wide = (along.end - along.start) / steps
    return plot.svg("".join(boxes), label, [((day - along.start) / wide, name) for day, name in along.ticks], [])


def _scale(most: float, left: int) -> str:
    """Five squares from light to dark with the numbers at their ends."""
    boxes = "".join(
        f'<rect class="cell" x="{left + 16 * i}" y="4" width="15" height="12" fill-opacity="{i / 4}"/>'
        for i in range(5)
    )
    ends = (left - 5, "end", "0"), (left + 85, "start", f"{most:.3g}")
    return boxes + "".join(f'<text class="tick" x="{x}" y="14" text-anchor="{a}">{told}</text>' for x, a, told in ends)


def _runs(xs: Sequence[float], ys: Numbers) -> Iterator[list[tuple[float, float]]]:
    """The points in stretches without a gap."""
    for known, run in groupby(zip(xs, ys, strict=True), key=lambda point: point[1] is not None):
        if known:
            yield [(x, y) for x, y in run if y is not None]
