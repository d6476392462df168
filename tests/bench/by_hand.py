"""Tilth beside what one would write instead: ``python -m tests.bench.by_hand``.

The same area of a made country, at two sizes, once by ``tilth submit`` (cube, map; a new process to its exit) and once
by ``by_hand_script.py`` (odc-stac, xarray, dask, torch; a new process to its exit), by turns: same scenes, same model,
no speckle filter on either side. Printed: seconds, peak memory of the whole process tree (proportional set size), the
growth of that peak from the small area to the large one, and how many pixels have the same class. Limits, at the large
size: seconds at most the script's; Tilth's peak at most 1.1 times its peak at the small one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
import yaml

from jobs.demo import Country
from jobs.spec import Spec
from tests.bench.made_run import write_made_model
from tests.bench.made_scenes import country, job
from tests.bench.measure import closing, context, fresh, judge


@dataclass
class Size:
    """What was measured at one size of the area."""

    side: int
    ours_s: list[float] = field(default_factory=list)
    peer_s: list[float] = field(default_factory=list)
    ours_cpu_s: list[float] = field(default_factory=list)
    peer_cpu_s: list[float] = field(default_factory=list)
    ours_bytes: list[int] = field(default_factory=list)
    peer_bytes: list[int] = field(default_factory=list)
    same: float = 0.0


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs=2, default=[512, 1536], help="pixels of the small and large area")
    parser.add_argument("--px", type=int, default=256, help="side of Tilth's tiles; the sides are multiples of it")
    parser.add_argument("--chunk", type=int, default=256, help="side of the script's chunks")
    parser.add_argument("--cadence", type=int, default=2, help="keep every n-th overpass")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--bytes-in-flight", type=int, default=2_000_000_000, help="Tilth's byte budget")
    parser.add_argument("--keep", type=Path, help="work here and leave everything there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tilth-bench-") as temporary:
        root = arguments.keep or Path(temporary)
        context(f"Tilth beside a script by hand, sides {arguments.sides} px, {arguments.workers} workers")
        made = country(root, -(-max(arguments.sides) // 6) * 6, arguments.cadence)
        sizes = [measure(root / str(side), made, Size(side), arguments) for side in arguments.sides]
    show(sizes)
    closing()


def measure(root: Path, made: Country, size: Size, arguments: argparse.Namespace) -> Size:
    """Paired runs at one size."""
    for run in range(arguments.runs):
        for ours in (True, False) if run % 2 == 0 else (False, True):
            folder = root / ("tilth" if ours else "script")
            shutil.rmtree(folder, ignore_errors=True)
            spec = prepared(folder, made, size.side, arguments)
            if ours:
                used = fresh("jobs", "submit", folder / "job.yaml", log=folder / "log")
            else:
                used = fresh("tests.bench.by_hand_script", *script_call(spec, made, size.side, folder, arguments))
            (size.ours_s if ours else size.peer_s).append(used.seconds)
            (size.ours_bytes if ours else size.peer_bytes).append(used.peak_bytes)
            (size.ours_cpu_s if ours else size.peer_cpu_s).append(used.cpu_s)
    size.same = agreement(root / "tilth" / "map" / "class.gti.gpkg", root / "script" / "map" / "class.tif")
    return size


def prepared(folder: Path, made: Country, side: int, arguments: argparse.Namespace) -> Spec:
    """The job, written with its model; nothing else is there."""
    folder.mkdir(parents=True)
    changes = {
        "cube": {"uri": f"{folder}/cube.zarr", "despeckle": "none"},
        "compute": {"workers": {"max": arguments.workers}, "bytes_in_flight": arguments.bytes_in_flight},
    }
    spec = job(made, folder, arguments.px, side=side, changes=changes)
    write_made_model(spec, "tempcnn")
    (folder / "job.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json", exclude_none=True)))
    return spec


def script_call(spec: Spec, made: Country, side: int, folder: Path, arguments: argparse.Namespace) -> Sequence[object]:
    """Arguments of the script for the same area, season and model."""
    left, _, _, top = made.bounds
    bounds = (left, top - 10 * side, left + 10 * side, top)
    season = ("--start", spec.season.start, "--steps", spec.steps())
    return (
        made.items, "--bounds", *bounds, "--crs", made.crs, *season, "--model", spec.model.uri,
        "--out", folder / "map", "--threads", arguments.workers, "--chunk", arguments.chunk,
    )  # fmt: skip


def agreement(ours: Path, peer: Path) -> float:
    """Share of pixels with the same class."""
    with rasterio.open(ours) as a, rasterio.open(peer) as b:
        return float(np.mean(a.read(1) == b.read(1)))


def show(sizes: Sequence[Size]) -> None:
    """A line per size, then the limits."""
    print(f"  {'side':>6}{'Tilth':>10}{'script':>10}{'ratio':>8}{'Tilth':>10}{'script':>10}{'same class':>12}")
    for size in sizes:
        ours, peer = statistics.median(size.ours_s), statistics.median(size.peer_s)
        ratio = statistics.median(a / b for a, b in zip(size.ours_s, size.peer_s, strict=True))
        gigabytes = [max(values) / 1e9 for values in (size.ours_bytes, size.peer_bytes)]
        print(
            f"  {size.side:>6}{ours:>8.1f} s{peer:>8.1f} s{ratio:>8.2f}{gigabytes[0]:>7.2f} GB{gigabytes[1]:>7.2f} GB"
            f"{size.same:>12.2%}"
        )
    small, large = sizes
    ratios = [a / b for a, b in zip(large.ours_s, large.peer_s, strict=True)]
    judge("seconds over the script's, large area", statistics.median(ratios), 1.0)
    judge("Tilth's peak memory, large over small", max(large.ours_bytes) / max(small.ours_bytes), 1.1)
    cpu = [f"{statistics.median(s.ours_cpu_s):.0f} and {statistics.median(s.peer_cpu_s):.0f}" for s in sizes]
    print(f"  processor seconds, Tilth and script: small {cpu[0]}, large {cpu[1]}")
    print(f"  the script's peak memory, large over small: {max(large.peer_bytes) / max(small.peer_bytes):.3f}")


if __name__ == "__main__":
    main()
