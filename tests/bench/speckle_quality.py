"""What speckle filters do to looks, edges and means: ``python -m tests.bench.speckle_quality [--picture FILE]``.

Made scene: fields of known power with straight, slanted and curved edges and a line three pixels wide, under speckle of
1, 4 and 9 looks; it is invented, not observed. Real scenes: VV of Sentinel-1 over 640 m of Flanders and C11 of
Manitoba, where they lie beside the repository; the truth is unknown there, so the mean is compared with the input's.

Printed: equivalent number of looks (mean^2 / variance: in the flat field of the made scene; median over 5x5 windows of
the real ones), edge (made: height of the step at the two pixels beside the vertical edge, true height = 100 %; real:
mean absolute difference of pixels three apart where the input, smoothed, differs most, input = 100 %), bias of the
mean. Peers: plain Lee and box mean with SciPy, polsartools where installed (it takes every image for one look).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from scipy.ndimage import uniform_filter

matplotlib.use("Agg")

from matplotlib import pyplot

from kernels.multitemporal import quegan_yu
from kernels.speckle import refined_lee
from tests.bench import radar_peers as peers

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
DATES = 8
Filter = Callable[[np.ndarray, float], np.ndarray]


class Score(NamedTuple):
    """Equivalent number of looks; edge kept and bias of the mean in percent."""

    looks: float
    edge: float
    bias: float


FILTERS: dict[str, Filter] = {
    "none": lambda stack, looks: stack[0],
    "ours: snap": lambda stack, looks: refined_lee(stack[0]),
    "ours: polsarpro": lambda stack, looks: refined_lee(stack[0], flavour="polsarpro", looks=looks),
    f"ours: Quegan-Yu, {DATES} dates": lambda stack, looks: quegan_yu(stack)[0],
    "ours: the same on refined Lee": lambda stack, looks: quegan_yu(stack, local="refined_lee")[0],
    "SciPy: plain Lee 7x7": lambda stack, looks: peers.lee(stack[0], looks),
    "SciPy: box mean 7x7": lambda stack, looks: uniform_filter(stack[0], 7),
}
if peers.process_chunk_rfleecpp is not None:
    FILTERS["polsartools: refined Lee"] = lambda stack, looks: polsartools(stack[0])


ALONG_TIME = (f"ours: Quegan-Yu, {DATES} dates", "ours: the same on refined Lee")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=192, help="pixels along each side of the made scene (default 192)")
    parser.add_argument("--picture", default="speckle_quality.png", help="where the picture goes")
    chosen = parser.parse_args()
    shown: dict[str, dict[str, np.ndarray]] = {}
    for looks in (1, 4, 9):
        truth = scene(chosen.side)
        speckle = np.random.default_rng(looks).gamma(looks, 1 / looks, (DATES, *truth.shape))
        stack = (truth * speckle).astype(np.float32)
        results = {name: run(stack, looks) for name, run in FILTERS.items()}
        report(f"made scene, {looks} looks", {name: on_made(got, truth) for name, got in results.items()})
        shown[f"{looks} looks"] = {"truth": truth, **results}
    for title, stack, looks in real_scenes():
        results = {name: run(stack, looks) for name, run in FILTERS.items() if len(stack) > 1 or name not in ALONG_TIME}
        report(title, {name: on_real(got, stack[0]) for name, got in results.items()})
        shown[title] = results
    draw(shown, chosen.picture)


def scene(side: int) -> np.ndarray:
    """Power: a flat field at the left, an edge of 6 dB, then slanted fields, a disc, and a bright line."""
    y, x = np.mgrid[0:side, 0:side] / side
    power = np.where(x < 0.4, 0.1, 0.4)
    power = np.where((x > 0.6) & (x + y > 1.3), 0.05, power)
    power = np.where((x > 0.6) & (x - 0.5 * y > 0.6), 0.2, power)
    power = np.where((x - 0.72) ** 2 + (y - 0.45) ** 2 < 0.008, 0.02, power)
    line = abs(np.arange(side) - side // 4) < 1.5
    return np.where(line[:, None] & (x > 0.5) & (x < 0.9), 1.5, power)


def on_made(got: np.ndarray, truth: np.ndarray) -> Score:
    side = len(truth)
    flat = got[8:-8, 8 : int(0.4 * side) - 8].astype(float)
    edge = int(np.argmax(truth[-20] > 0.2))
    rows = slice(int(0.35 * side), int(0.95 * side))
    height = got[rows, edge].mean(dtype=float) - got[rows, edge - 1].mean(dtype=float)
    true = truth[rows, edge].mean() - truth[rows, edge - 1].mean()
    return Score(flat.mean() ** 2 / flat.var(), 100 * height / true, 100 * (flat.mean() / 0.1 - 1))


def on_real(got: np.ndarray, before: np.ndarray) -> Score:
    inner = got[3:-3, 3:-3].astype(float)
    windows = np.lib.stride_tricks.sliding_window_view(inner, (5, 5))
    looks = np.median(windows.mean((2, 3)) ** 2 / windows.var((2, 3), ddof=1))
    smooth = uniform_filter(before, 3)[3:-3, 3:-3]  # edges are looked for under less speckle
    steps = abs(smooth[:, 3:] - smooth[:, :-3])
    strong = steps >= np.quantile(steps, 0.9)
    kept = (
        abs(inner[:, 3:] - inner[:, :-3])[strong].mean() / abs(before[3:-3, 6:-3] - before[3:-3, 3:-6])[strong].mean()
    )
    return Score(float(looks), 100 * float(kept), 100 * (inner.mean() / before[3:-3, 3:-3].mean(dtype=float) - 1))


def real_scenes() -> Iterator[tuple[str, np.ndarray, float]]:
    """(title, stack, looks): Sentinel-1 IW GRD has 4.4 looks; Manitoba's are not written down, 4 is a guess."""
    dates = sorted((DATA / "flanders-2018" / "sentinel-1-grd").glob("S1_*T17*/vv.tif"))[:DATES]
    if dates:
        import rasterio

        yield "Sentinel-1 VV, Flanders", np.stack([rasterio.open(path).read(1) for path in dates]), 4.4
    manitoba = DATA / "c2-manitoba" / "C2_VVVH" / "C11.bin"
    if manitoba.exists():
        yield "C11, Manitoba", np.fromfile(manitoba, "<f4").reshape(1, 201, 101), 4.0


def polsartools(image: np.ndarray) -> np.ndarray:
    """Its filter of matrices, told that the other elements are 0."""
    nothing = np.zeros_like(image)
    return peers.polsartools_refined_lee(image, nothing, nothing, nothing)[0].real.astype(np.float32)


def report(title: str, scores: dict[str, Score]) -> None:
    print(f"\n{title:<34}{'looks':>9}{'edge':>9}{'bias':>9}")
    for name, score in scores.items():
        print(f"  {name:<32}{score.looks:>9.1f}{score.edge:>8.0f}%{score.bias:>+8.1f}%", flush=True)


def draw(shown: dict[str, dict[str, np.ndarray]], path: str) -> None:
    """One row a scene, one column a filter, in decibels."""
    columns = list(dict.fromkeys(name for row in shown.values() for name in row))
    figure, axes = pyplot.subplots(len(shown), len(columns), figsize=(2.4 * len(columns), 2.6 * len(shown)))
    for line, (title, row) in zip(axes, shown.items(), strict=True):
        low, high = np.nanquantile(10 * np.log10(np.maximum(row["none"], 1e-6)), (0.02, 0.98))
        for axis, name in zip(line, columns, strict=True):
            axis.set_axis_off()
            if name in row:
                axis.imshow(10 * np.log10(np.maximum(row[name], 1e-6)), vmin=low, vmax=high, cmap="gray")
                axis.set_title(f"{title}\n{name}", fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    print(f"\npicture: {path}")


if __name__ == "__main__":
    main()
