"""Which blocks lie near a pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def touched(block: NDArray[np.int64], rows: NDArray[np.intp], cols: NDArray[np.intp], reach: int) -> NDArray[np.int64]:
    """The blocks, other than 0, within ``reach`` pixels along rows and columns of each of these pixels: (n, m) int64,
    each once, 0 behind them.

    block: (y, x) int64, 0 = none, with ``reach`` pixels more on every side than rows and cols count. A border may be
    hundreds of pixels wide: each block is looked for by sums over the box around it, not square by square.
    """
    from scipy.ndimage import find_objects  # takes a while to import

    names, number = np.unique(block, return_inverse=True)
    number = number.reshape(block.shape).astype(np.int32)
    samples, blocks = [np.zeros(0, np.intp)], [np.zeros(0, np.int64)]
    for i, (down, across) in enumerate(find_objects(number + 1)):
        y0, x0 = max(0, down.start - 2 * reach), max(0, across.start - 2 * reach)
        mine = np.flatnonzero((rows >= y0) & (rows < down.stop) & (cols >= x0) & (cols < across.stop))
        if names[i] == 0 or not len(mine):
            continue
        around = number[y0 : down.stop + 2 * reach, x0 : across.stop + 2 * reach] == i
        mine = mine[_any_within(around, rows[mine] - y0, cols[mine] - x0, 2 * reach + 1)]
        samples.append(mine)
        blocks.append(np.full(len(mine), names[i]))
    return _table(np.concatenate(samples), np.concatenate(blocks), len(rows))


def stacked(tables: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Tables of ``touched`` below each other, as wide as the widest."""
    most = max(table.shape[1] for table in tables)
    return np.concatenate([np.pad(table, ((0, 0), (0, most - table.shape[1]))) for table in tables])


def _any_within(
    mask: NDArray[np.bool_], rows: NDArray[np.intp], cols: NDArray[np.intp], side: int
) -> NDArray[np.bool_]:
    """Whether any of the ``side`` x ``side`` pixels from (row, col) on is True, by a table of sums."""
    sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
    sums[1:, 1:] = mask.cumsum(axis=0).cumsum(axis=1)
    return np.asarray(
        sums[rows + side, cols + side] - sums[rows, cols + side] - sums[rows + side, cols] + sums[rows, cols] > 0
    )


def _table(samples: NDArray[np.intp], blocks: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(count, m) int64, the blocks of each sample from the left on, 0 behind them; m is the most that one has."""
    order = np.argsort(samples, kind="stable")
    samples, blocks = samples[order], blocks[order]
    place = np.arange(len(samples)) - np.searchsorted(samples, samples)
    table = np.zeros((count, int(place.max()) + 1 if len(place) else 1), np.int64)
    table[samples, place] = blocks
    return table
