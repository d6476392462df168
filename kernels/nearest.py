"""How far rows lie from a set of points, in a space that they are projected into: what tells the familiar from the
unfamiliar."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.arrays import contiguous, destination
from kernels.jit import jit


def nearest(
    rows: NDArray[np.float32],
    centre: NDArray[np.float32],
    axes: NDArray[np.float32],
    points: NDArray[np.float32],
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Squared distance of each row to the nearest point: z = (row - centre) axes, then the least |z - point|².

    Sums run over one row in one order: a row's result depends on the row alone.

    rows: (n, d) float32, dimensionless; a row with NaN gives infinity. centre: (d,) float32. axes: (d, r) float32.
    points: (r, m) float32, one point a column. out: (n,) float32. Returns (n,) float32, 0 or more.
    Raises ValueError on another dtype or shape, or without a point.
    """
    rows = contiguous("rows", rows, np.float32, (None, None))
    d, r = rows.shape[1], len(points)
    centre, axes = contiguous("centre", centre, np.float32, (d,)), contiguous("axes", axes, np.float32, (d, r))
    points = contiguous("points", points, np.float32, (r, None))
    if points.shape[1] == 0:
        raise ValueError(f"points has shape {points.shape}, expected a column or more")
    out = destination(out, (len(rows),), np.float32)
    _nearest(rows, centre, axes, points, out)
    return out


@jit
def _nearest(
    rows: NDArray[np.float32],
    centre: NDArray[np.float32],
    axes: NDArray[np.float32],
    points: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    (n, d), (r, m) = rows.shape, points.shape
    z, apart = np.empty(r, np.float32), np.empty(m, np.float32)
    for i in range(n):
        z[:] = 0
        for j in range(d):  # the innermost loops run along memory and add up nothing: they are SIMD as they stand
            value = rows[i, j] - centre[j]
            for a in range(r):
                z[a] += value * axes[j, a]
        apart[:] = 0
        for a in range(r):
            own = z[a]
            for p in range(m):
                gap = own - points[a, p]
                apart[p] += gap * gap
        least = np.float32(np.inf)
        for p in range(m):
            least = apart[p] if apart[p] < least else least
        out[i] = least
