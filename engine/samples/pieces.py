"""The fields of a raster of codes: connected pieces of one code, each kept in one spatial block.

Pixels of one field are alike: a field that is cut by the edge of a block would be learnt from and tested on. Pixels of
one code that touch along an edge or at a corner are one piece, and a piece lies as a whole in the block of its centre
of gravity. The raster is read in squares of ``CHUNK`` pixels that start at the grid's corner, and pieces are joined
across their edges: what a piece is does not depend on tiles, and memory holds a few squares and a few numbers a piece.

A piece that holds more than a tenth of all labels is no field but a map's background, such as grassland that is
connected from end to end: it would be half of a part by itself. And where all pieces of a code, such as an area's one
forest, would lie in fewer blocks than there are parts, the code could not be both learnt and judged. The former, and of
the latter those longer than a block, are cut along the blocks, and that is told.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.samples.fields import Fields
from engine.types import Grid, Window

CHUNK = 1024
MOST_PX = 400_000_000
"""A grid of more pixels is not looked through: it would take minutes, wherever labels are asked for."""
MOST_PIECES = 40_000_000
TOO_LARGE = 0.1
"""Share of all labelled pixels beyond which a piece is cut along blocks."""
LEAST_BLOCKS = 3
"""A code needs as many, one for each of training, validation and test."""
_HELD = 16
"""Squares kept from one read to the next."""

ReadCodes = Callable[[Window], NDArray[Any]]


@dataclass
class _Table:
    """Pieces of single squares as they are found: numbers per piece, and which touch across an edge or a corner."""

    first: dict[tuple[int, int], int] = field(default_factory=dict)
    """Square -> number of its first piece."""
    count: int = 0
    numbers: list[NDArray[np.int64]] = field(default_factory=list)
    """(8, n) each: pixels, sums of rows and of columns, first and last row, first and last column, code."""
    joins: list[NDArray[np.int64]] = field(default_factory=list)
    """(m, 2) each."""


class Pieces:
    """The block of every labelled pixel of a grid, connected pieces of one code kept whole; asks for windows of codes
    (y, x), 0 = not labelled."""

    def __init__(
        self, grid: Grid, read: ReadCodes, place: Callable[[NDArray, NDArray], NDArray[np.int64]], block_m: float
    ) -> None:
        """place: rows and columns of the grid -> the block that lies there. block_m: the side of a block."""
        self._block_m = block_m
        self._grid, self._read, self._place = grid, read, place
        self._held: OrderedDict[tuple[int, int], tuple[NDArray[Any], NDArray[np.int32]]] = OrderedDict()
        self._first: dict[tuple[int, int], int] = {}
        self._block, self._cut = np.zeros(0, np.int64), np.zeros(0, np.bool_)
        self.fields = self._search()

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Codes and blocks (y, x) of a window; pixels without label, and pieces that are cut, are in the block of
        their own place."""
        codes = self._read(window)
        rows, cols = np.arange(window.y0, window.y1), np.arange(window.x0, window.x1)
        block = np.broadcast_to(self._place(rows[:, None], cols[None, :]), codes.shape).copy()
        for square, core in self._squares(window):
            if square not in self._first:
                continue
            shared = core.shared(window)
            _, label = self._labelled(square, core)
            number = label[shared.within(core)] - 1
            own = block[shared.within(window)]
            piece = np.where(number >= 0, number + self._first[square], 0)
            whole = (number >= 0) & ~self._cut[piece]
            own[whole] = self._block[piece[whole]]
        return codes, block

    def _squares(self, window: Window) -> list[tuple[tuple[int, int], Window]]:
        """The squares that share a pixel with a window of the grid, row by row."""
        height, width = self._grid.height, self._grid.width
        return [
            ((i, j), Window(i * CHUNK, min((i + 1) * CHUNK, height), j * CHUNK, min((j + 1) * CHUNK, width)))
            for i in range(max(0, window.y0 // CHUNK), -(-min(window.y1, height) // CHUNK))
            for j in range(max(0, window.x0 // CHUNK), -(-min(window.x1, width) // CHUNK))
        ]

    def _labelled(self, square: tuple[int, int], core: Window) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Codes of a square and the pieces within it, numbered from 1 on as ``label`` does."""
        if square not in self._held:
            codes = self._read(core)
            self._held[square] = codes, label(codes)
            while len(self._held) > _HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(square)
        return self._held[square]

    def _search(self) -> Fields:
        """Find all pieces and give each its block; says what there is, and what could not be kept whole."""
        grid = self._grid
        if grid.height * grid.width > MOST_PX:
            return Fields.unknown(f"the label raster's {grid.height * grid.width:,} pixels are too many to find fields")
        table = _Table()
        above = np.zeros((2, grid.width), np.int64)  # code and piece of the row above the squares of this row
        for i in range(-(-grid.height // CHUNK)):
            below, left = np.zeros_like(above), np.zeros((2, min(CHUNK, grid.height - i * CHUNK)), np.int64)
            for square, core in self._squares(Window(i * CHUNK, i * CHUNK + 1, 0, grid.width)):
                codes, found = self._labelled(square, core)
                piece = self._take_in(table, square, core, codes, found)
                edge = slice(max(0, core.x0 - 1), core.x1 + 1)
                table.joins += _joined_below(above[:, edge], codes[0], piece[0], core.x0 - edge.start)
                table.joins += _joined_below(left, codes[:, 0], piece[:, 0], 0)
                below[:, core.x0 : core.x1] = codes[-1], piece[-1]
                left = np.stack([codes[:, -1].astype(np.int64), piece[:, -1]])
            above = below
            if table.count > MOST_PIECES:
                return Fields.unknown(f"the label raster has more than {MOST_PIECES:,} pieces, too small for fields")
        return self._deal(table)

    def _take_in(
        self, table: _Table, square: tuple[int, int], core: Window, codes: NDArray[Any], found: NDArray[np.int32]
    ) -> NDArray[np.int64]:
        """Put a square's pieces into the table; returns the piece of each pixel, (y, x), 0 where there is no label."""
        many = int(found.max(initial=0))
        if not many:
            return np.zeros(codes.shape, np.int64)
        table.first[square] = table.count
        table.numbers.append(_numbers(codes, found, many, core))
        piece = np.where(found > 0, found + np.int64(table.count), 0)
        table.count += many
        return piece

    def _deal(self, table: _Table) -> Fields:
        """Join the pieces of the squares, and give each its block."""
        if not table.count:
            return Fields.of_sizes(np.zeros(0), np.zeros(0), 0.0)
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        joins = np.concatenate([np.zeros((0, 2), np.int64), *table.joins]) - 1
        links = coo_matrix((np.ones(len(joins), np.bool_), (joins[:, 0], joins[:, 1])), shape=(table.count,) * 2)
        many, root = connected_components(links, directed=False)
        numbers = np.concatenate(table.numbers, axis=1)
        pixels, rows, cols = (np.bincount(root, numbers[i], many) for i in range(3))
        size = np.zeros((4, many), np.int64)
        for place, (i, pick, start) in enumerate(
            ((3, np.minimum, np.iinfo(np.int64).max), (4, np.maximum, -1), (5, np.minimum, np.iinfo(np.int64).max),
             (6, np.maximum, -1))
        ):  # fmt: skip
            size[place] = start
            pick.at(size[place], root, numbers[i])
        longest = (np.maximum(size[1] - size[0], size[3] - size[2]) + 1) * self._grid.resolution
        code, block = np.zeros(many, np.int64), self._place(np.floor(rows / pixels), np.floor(cols / pixels))
        code[root] = numbers[7]
        cut = pixels > TOO_LARGE * pixels.sum()
        cut |= (longest > self._block_m) & np.isin(code, _in_few_blocks(code[~cut], block[~cut]))
        self._first, self._block = table.first, block[root]
        self._cut = cut[root]
        return Fields.of_sizes(longest, pixels, float(pixels[cut].sum() / pixels.sum()))


def label(codes: NDArray[Any]) -> NDArray[np.int32]:
    """Connected pieces of one code, numbered from 1 on row by row, 0 where there is none; (y, x) int32.

    Pixels of one code that touch along an edge or at a corner are one piece. codes: (y, x), 0 = none.
    """
    from scipy.ndimage import label as connected
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    # Pixels with the joints between them, at twice the resolution: a joint is there where both sides have one code.
    height, width = codes.shape
    joints = np.zeros((2 * height - 1, 2 * width - 1), np.bool_)
    joints[::2, ::2] = codes != 0
    joints[1::2, ::2] = (codes[1:] == codes[:-1]) & (codes[1:] != 0)
    joints[::2, 1::2] = (codes[:, 1:] == codes[:, :-1]) & (codes[:, 1:] != 0)
    found, many = connected(joints)
    piece = found[::2, ::2]
    corners = [np.zeros((0, 2), np.int64)]
    for a, b in ((np.s_[:-1, :-1], np.s_[1:, 1:]), (np.s_[:-1, 1:], np.s_[1:, :-1])):
        touch = (codes[a] == codes[b]) & (codes[a] != 0) & (piece[a] != piece[b])
        corners.append(np.stack([piece[a][touch], piece[b][touch]], axis=1).astype(np.int64))
    pairs = np.concatenate(corners) - 1
    links = coo_matrix((np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(many, many))
    _, root = connected_components(links, directed=False) if many else (0, np.zeros(0, np.int32))
    return np.concatenate([[0], root + 1]).astype(np.int32)[piece]


def _in_few_blocks(code: NDArray[np.int64], block: NDArray[np.int64]) -> NDArray[np.int64]:
    """The codes of pieces (n,) that lie in fewer than ``LEAST_BLOCKS`` blocks (n,)."""
    codes, blocks = np.unique(np.unique(np.stack([code, block]), axis=1)[0], return_counts=True)
    return codes[blocks < LEAST_BLOCKS]


def _numbers(codes: NDArray[Any], found: NDArray[np.int32], many: int, core: Window) -> NDArray[np.int64]:
    """(8, many) int64 of a square's pieces, as ``_Table`` holds them."""
    rows, cols = (axis.ravel() for axis in np.indices(found.shape))
    flat = found.ravel()
    held = flat > 0
    flat, rows, cols = flat[held] - 1, rows[held] + core.y0, cols[held] + core.x0
    numbers = np.zeros((8, many), np.int64)
    numbers[7][flat] = codes.ravel()[held]
    numbers[0] = np.bincount(flat, minlength=many)
    for place, values in ((1, rows), (2, cols)):
        numbers[place] = np.bincount(flat, values, many)
    for place, values in ((3, rows), (5, cols)):
        ends = np.lexsort((values, flat))
        starts = np.searchsorted(flat[ends], np.arange(many))
        stops = np.searchsorted(flat[ends], np.arange(many), side="right") - 1
        numbers[place], numbers[place + 1] = values[ends[starts]], values[ends[stops]]
    return numbers


def _joined_below(
    before: NDArray[np.int64], codes: NDArray[Any], piece: NDArray[np.int64], at: int
) -> list[NDArray[np.int64]]:
    """Pairs of pieces that touch across an edge between squares, along it or at a corner.

    before: (2, m), code and piece of the line before it. codes, piece: (n,) of the line behind, whose first pixel is
    beside pixel ``at`` of the line before.
    """
    pairs = []
    for shift in (-1, 0, 1):
        start, stop = max(0, -(at + shift)), min(len(codes), before.shape[1] - at - shift)
        near = before[:, start + at + shift : stop + at + shift]
        same = (near[0] == codes[start:stop]) & (near[1] > 0) & (piece[start:stop] > 0)
        pairs.append(np.unique(np.stack([near[1][same], piece[start:stop][same]], axis=1), axis=0))
    return pairs
