"""What labels promise before a cube is built: whether they can train a model at all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.ground import Ground
from engine.parcel_samples import labelled_parcels
from engine.plan import Plan
from engine.samples import Coding, Fields, LabelOptions, Labels, coding_of, fields_of
from engine.training import TrainOptions
from engine.training.blocks import refuse_few_blocks, tally
from engine.training.classes import choose_classes
from engine.vectors import told_of

_Portion = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Codes (n,), 0 = none, and blocks (n,)."""
_Found = Mapping[int, Counter[int]]
"""Code -> how many samples lie in each block."""


def survey(
    labels: LabelOptions, options: TrainOptions, plan: Plan, check: Callable[[Set[int]], None] | None = None
) -> list[str]:
    """Sentences on what of the labels of the job's own season cannot be used; for labels of one season alone.

    Labels are read tile by tile until there are classes and blocks enough, so that good ones take little time. Raises
    InputError where there are too few in the area, whatever the cube holds, and for a file that cannot be used.
    check: is told the codes that may become classes.
    """
    coding = coding_of(labels)
    portions, told, of_polygons, fields = _opened(labels, options, plan, coding)
    names = coding.legend.names if coding.legend else None
    found: defaultdict[int, Counter[int]] = defaultdict(Counter)
    wrong: InputError | None = InputError(
        f"not one labelled {labels.per} in the area",
        expected="labels that overlap the area",
        place=str(labels.uri),
        remedy="check the labels' CRS and extent, labels.ignore and the area",
    )
    for codes, block in portions:
        known, blocks, counts = tally(codes[codes != 0], block[codes != 0])
        for code, row in zip(known.tolist(), counts, strict=True):
            found[code].update({int(blocks[i]): int(row[i]) for i in np.flatnonzero(row)})
        if found:
            wrong = _wrong(found, names, options)
        if wrong is None:
            if check:
                check({code for code in found.keys() | of_polygons if names is None or code in names})
            unnamed = _unnamed(found.keys() | of_polygons, names, coding)
            return [*coding.notes, *told, *unnamed, *_of_fields(fields, options)]
    assert wrong is not None
    raise wrong


def _opened(
    labels: LabelOptions, options: TrainOptions, plan: Plan, coding: Coding
) -> tuple[Iterable[_Portion], list[str], Set[int], Fields]:
    """The labels, a portion at a time; sentences on polygons repaired or left out; codes of polygons read at once; what
    fields there are."""
    if labels.per == "parcel":
        parcels = labelled_parcels(labels, plan.grid, plan.area, plan.tiles, options.block_m, coding)
        told = told_of("labels", parcels.left_out, parcels.changed)
        return [(parcels.y, parcels.block)], told, set(), fields_of(parcels.shapes)
    held = Labels(labels, plan.grid, options.block_m, coding)
    return _by_tile(held, plan), told_of("labels", held.left_out, held.changed), held.codes(), held.fields


def _by_tile(held: Labels, plan: Plan) -> Iterator[_Portion]:
    """The labelled pixels of the area."""
    ground = Ground(plan.grid, plan.area, None)
    for tile in plan.tiles:
        codes, block = held.read(tile.core)
        yield np.where(ground.of_area(tile.core), codes, 0).ravel(), block.ravel()


def _wrong(found: _Found, names: Mapping[int, str] | None, options: TrainOptions) -> InputError | None:
    """What is wrong with labels of which so many are found; None where they may do. names: the legend's, if any."""
    names = names or {code: str(code) for code in found}
    told = {code: (blocks.total(), len(blocks)) for code, blocks in found.items()}
    try:
        entries, _ = choose_classes(told, names, options, {})
        refuse_few_blocks(len(set().union(*(found[entry.code] for entry in entries))), options.block_m)
    except InputError as error:
        return error
    return None


def _of_fields(fields: Fields, options: TrainOptions) -> list[str]:
    told = fields.told(options.block_m)
    return [f"labels: {line}" for line in (*told["optimistic"], *told["notes"])]


def _unnamed(codes: Set[int], names: Mapping[int, str] | None, coding: Coding) -> list[str]:
    """A sentence on codes that the legend does not name; of a raster, on those of the tiles that were read."""
    lacking = sorted(codes - names.keys()) if names else []
    told = ", ".join(coding.told(code) for code in lacking[:10]) + (", ..." if len(lacking) > 10 else "")
    return [f"labels: codes {told} are not in the legend and are left out"] if lacking else []
