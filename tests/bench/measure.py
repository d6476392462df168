"""How the benchmarks measure: paired runs and their medians, peak memory of process trees, and what to print beside."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from tests.servers.process import tree

ROOT = Path(__file__).resolve().parents[2]
_SAMPLE_S = 0.2
_SHOWN = ("numpy", "numba", "torch", "ray", "dask", "zarr", "rasterio", "xarray")


@dataclass(frozen=True)
class Pairs:
    """Seconds of two ways to do one thing, run by turns."""

    ours: tuple[float, ...]
    peer: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Median over the pairs of ours / peer: what both suffered together cancels out."""
        return statistics.median(a / b for a, b in zip(self.ours, self.peer, strict=True))

    def show(self, ours: str, peer: str, limit: float) -> None:
        """One line per way, and the ratio beside its limit."""
        for name, seconds in ((ours, self.ours), (peer, self.peer)):
            print(f"  {name:<44}{statistics.median(seconds):8.2f} s   of {[round(s, 2) for s in seconds]}")
        judge("ratio, median over pairs", self.ratio, limit)


def paired(runs: int, ours: Callable[[int], float], peer: Callable[[int], float]) -> Pairs:
    """Run both ``runs`` times by turns, the order swapped each time; each is told the run's number, gives seconds."""
    mine: list[float] = []
    other: list[float] = []
    for run in range(runs):
        for which in (0, 1) if run % 2 == 0 else (1, 0):
            (mine if which == 0 else other).append((ours if which == 0 else peer)(run))
    return Pairs(tuple(mine), tuple(other))


def judge(what: str, figure: float, limit: float, unit: str = "") -> None:
    """A figure beside its limit."""
    verdict = "holds" if figure <= limit else "MISSED"
    print(f"  {what}: {figure:.3f} {unit}(limit {limit:g}: {verdict})")


def context(title: str) -> None:
    """Say what is measured, on what, and how busy the machine is with other work."""
    one, five, _ = os.getloadavg()
    shown = ", ".join(f"{name} {version(name)}" for name in _SHOWN)
    print(f"{title}\n  {_processor()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB")
    print(f"  Python {platform.python_version()}, {shown}")
    print(f"  load before: {one:.2f} (1 min), {five:.2f} (5 min){busy()}")


def closing() -> None:
    """How busy the machine was up to the end; the benchmark's own processes are in it."""
    one, five, _ = os.getloadavg()
    print(f"  load after: {one:.2f} (1 min), {five:.2f} (5 min)")


def busy() -> str:
    """A warning where others use the cores."""
    percent = psutil.cpu_percent(0.5)
    return f"; {percent:.0f} % of the cores in use by others: FIGURES UNDER LOAD" if percent > 10 else ""


@dataclass(frozen=True)
class Usage:
    """What a process and all below it took, start to exit. ``cpu_s`` says the most where others use the cores too."""

    seconds: float
    cpu_s: float
    peak_bytes: int


def fresh(module: str, *arguments: object, log: Path | None = None) -> Usage:
    """Run ``python -m module`` to its end in a new process.

    RuntimeError with the end of its output where it fails.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    log = log or Path(os.devnull)
    began = time.perf_counter()
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        with Watched(process.pid) as watched:
            code = process.wait()
    seconds = time.perf_counter() - began
    if code != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {code}: {log.read_text()[-2000:] if log.is_file() else ''}")
    return Usage(seconds, watched.cpu_s, watched.peak_bytes)


class Watched(AbstractContextManager["Watched"]):
    """A process and all below it, looked at five times a second: the largest sum of memory they held at one time
    (proportional set size: what they share is counted once), and their processor seconds."""

    def __init__(self, pid: int | None = None) -> None:
        self._root = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._cpu_s: dict[int, float] = {}
        self.peak_bytes = 0

    @property
    def cpu_s(self) -> float:
        """Processor seconds of all that were ever seen."""
        return sum(self._cpu_s.values())

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_S):
            processes = tree(self._root)
            self.peak_bytes = max(self.peak_bytes, sum(shared_out(process.pid) for process in processes))
            for process in processes:
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    self._cpu_s[process.pid] = times.user + times.system


def cpu_seconds(pid: int | None = None) -> float:
    """Processor seconds so far of a process (None: this one) and all below it that still live."""
    total = 0.0
    for process in tree(psutil.Process(pid)):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def shared_out(pid: int) -> int:
    """Proportional set size in bytes, 0 for a process that has gone."""
    return _line(f"/proc/{pid}/smaps_rollup", "Pss:")


def high_water(pid: int) -> int:
    """The kernel's own note of the largest resident size in bytes, 0 for a process that has gone."""
    return _line(f"/proc/{pid}/status", "VmHWM:")


def _line(path: str, name: str) -> int:
    try:
        text = Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(name)), 0)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
