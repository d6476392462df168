"""How a kernel is set beside its peers: rows of rates, measured by turns on one core.

Ours, each peer and a memory copy go by turns; the best of several turns counts, after one that compiles and warms. A
peer that is slow is timed on a share of the data; one that is not installed gives a row without its rate.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

Call = Callable[[], object]
Peer = tuple[Call, float] | None
"""What to call, and how many million units it works on; None: not installed."""


class Row(NamedTuple):
    """One kernel beside one peer. Rates are millions of units a second: pixels, series, or pixels times bands."""

    name: str
    ours: float
    peer: str
    peer_rate: float | None
    ratio: float | None
    of_copy: float
    """Our rate over that of a copy that reads and writes as many bytes as the kernel must."""


def peer(module: str) -> Any:
    """The module, or None where it cannot be imported here."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def compare(name: str, moved: int, unit: float, ours: Call, runs: int, peers: Mapping[str, Peer]) -> list[Row]:
    """One row per peer. ``moved``: bytes that the kernel must read and write; ``unit``: millions it works on."""
    source = np.ones(moved // 2, np.uint8)
    target = np.empty_like(source)
    here = {label: held for label, held in peers.items() if held}
    seconds = by_turns([ours, lambda: np.copyto(target, source), *(call for call, _ in here.values())], runs)
    mine, copy = unit / seconds[0], unit / seconds[1]
    rates = {label: here[label][1] / s for label, s in zip(here, seconds[2:], strict=True)}
    return [
        Row(name, mine, label, rate, mine / rate if rate else None, mine / copy)
        for label, rate in ((label, rates.get(label)) for label in peers)
    ]


def by_turns(calls: list[Call], runs: int) -> list[float]:
    """Best seconds of each call. A call that takes long is given fewer turns: three seconds are enough of it."""
    best, spent = [np.inf] * len(calls), [0.0] * len(calls)
    for call in calls:
        call()
    for _ in range(runs):
        for k, call in enumerate(calls):
            if spent[k] > 3.0:
                continue
            start = time.perf_counter()
            call()
            took = time.perf_counter() - start
            best[k], spent[k] = min(best[k], took), spent[k] + took
    return best


def show(found: list[Row]) -> None:
    """A line per row."""
    print(f"{'kernel':<30}{'M/s':>8}{'of copy':>9}   {'peer':<26}{'M/s':>9}{'ratio':>9}")
    for row in found:
        rate = "absent" if row.peer_rate is None else f"{row.peer_rate:.2f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.1f}x"
        print(f"{row.name:<30}{row.ours:>8.1f}{row.of_copy:>9.0%}   {row.peer:<26}{rate:>9}{ratio:>9}")
