"""The one place for Numba's switches; every kernel is compiled by ``jit`` and by nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba
from llvmlite import binding

binding.set_option("", "--runtime-memory-check-threshold=64")

P = ParamSpec("P")
R = TypeVar("R")


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """The function compiled to machine code at its first call, single-threaded, without holding the GIL.

    ``parallel`` is off because the workers already fill the cores; ``fastmath`` is off because reordered sums would
    make a pixel depend on its place in the SIMD vector, and because NaN is our no data. ``error_model="numpy"`` makes
    x/0 infinite instead of an exception, which is also what lets loops with a division become SIMD.

    ``cache`` is off, also under NUMBA_CACHE_DIR. Measured: the kernels of the cube and feature stages take 6.7 s to
    compile and 0.4 s to load (1.5 MB); twelve processes that began on an empty directory, six at a time on two cores,
    took 7 s of processor each and none failed. But Numba compares only the file of the outermost function: after a
    formula was changed in ``indices.py``, ``fused.py``, which calls it, went on giving the old values. Seven seconds a
    process are cheaper than a stale map; ``kernels.warm.warm_up`` puts them at the worker's start.

    Inner loops must stay SIMD. Before it does so, LLVM lets the loop prove at its start that the arrays it writes are
    disjoint from the others; it gives up where that takes more than eight comparisons, which the switch above raises to
    64 (for the whole process; it decides nothing but this): a loop that writes w and reads r arrays takes up to
    w * r + w * (w - 1) / 2. It also gives up where a loop writes one part of an array and reads others at distances
    that are not constants.
    """
    return cast(Callable[P, R], numba.njit(nogil=True, cache=False, error_model="numpy")(function))
