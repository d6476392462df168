"""The one place for Numba's switches; every kernel is compiled by ``jit`` and by nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """The function compiled to machine code at its first call, single-threaded, without holding the GIL.

    ``parallel`` is off because the workers already fill the cores; ``cache`` is off because many processes that write
    one cache directory tear it; ``fastmath`` is off because reordered sums would make a pixel depend on its place in
    the SIMD vector, and because NaN is our no data. ``error_model="numpy"`` makes x/0 infinite instead of an exception,
    which is also what lets loops with a division become SIMD.

    Inner loops must stay SIMD: LLVM gives up when it has to prove more than eight pairs of arrays disjoint, so a loop
    that writes w and reads r arrays keeps w * r + w * (w - 1) / 2 at or below eight, or works in one scratch array at
    offsets that are constants.
    """
    return cast(Callable[P, R], numba.njit(nogil=True, cache=False, error_model="numpy")(function))
