"""What a worker process holds open while it does tiles: readers, model, stores. The same on every executor.

A ``CubeWork`` or ``MapWork`` is a small description that travels; ``open()`` in the worker gives the function that
does one task and commits its record.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray

from engine.bands import sensor_of
from engine.cube import CubeOptions
from engine.ground import Ground, MaskOptions
from engine.ledger.book import commit_record, standing_record
from engine.ledger.record import Record
from engine.models.card import Card
from engine.models.familiarity import Reference
from engine.models.ranges import Ranges
from engine.objects import Objects, absolute
from engine.output import OutputOptions
from engine.parcel_tile import ParcelBlock, judge_parcels, load_parcels, parcel_table
from engine.parcels import ParcelOptions
from engine.pipeline import Classify, CubeTask, Familiar, MapTask, build_tile, load_block, map_tile, publish_tile
from engine.store import CubeLayout
from engine.types import ClassMap, CubeBlock
from kernels.warm import warm_up

LEDGER = "_tilth"
"""Folder of the ledger, below a map."""


def cube_ledger(uri: str) -> Objects:
    """Folder of a cube's ledger: beside the cube, because all below a Zarr group is Zarr's."""
    return Objects(f"{absolute(uri)}.ledger")


class Work(Protocol):
    """A stage, ready to travel to a worker."""

    def open(self) -> Callable[[Any], Record]:
        """Open what the stage needs; the function returned does one task and commits its record."""
        ...


@dataclass(frozen=True)
class CubeWork:
    """The cube stage. ``area_wkb``: the area in the grid's CRS."""

    layout: CubeLayout
    options: CubeOptions
    area_wkb: bytes
    mask: MaskOptions | None

    def open(self) -> Callable[[CubeTask], Record]:
        """Reader and cube, opened once."""
        from engine.read import SceneReader

        stacked = {"stacked"} if self.options.composite != "max_gcvi" else set()
        warm_up({sensor_of(layer) for layer in self.layout.axes} | stacked)
        read = SceneReader(self.layout.grid)
        ground = Ground(self.layout.grid, shapely.from_wkb(self.area_wkb), self.mask)
        cube = Objects(self.options.uri)
        ledger = cube_ledger(self.options.uri)

        def do(task: CubeTask) -> Record:
            if task.previous:
                # Its shards are about to be replaced one by one: until the new record is there, the old one is void.
                commit_record(ledger, Record(task.tile.id, task.seq, task.key, "pending", task.epoch, task.previous))
            reads, bytes_read, requests = read.reads, read.bytes_read, cube.requests
            read.take_told()  # of a tile that failed
            body = build_tile(task, self.layout, self.options, read, ground, cube)
            body["bytes_read"] = read.bytes_read - bytes_read
            body["requests"] = read.reads - reads + cube.requests - requests + 1
            # Steps taken over from the shard were read, and told of, when it was built.
            body["told"] = {**task.previous.get("told", {}), **read.take_told()}
            return _committed(ledger, task, body)

        # Dask by itself does a task again whose worker dies after it was done and before the driver took its result.
        return _once(ledger, do, from_epoch=1)


@dataclass(frozen=True)
class MapWork:
    """The map stage. Two tiles may be under way in one worker: one is read while the other is in the model."""

    layout: CubeLayout
    cube_uri: str
    model_uri: str
    output: OutputOptions
    area_wkb: bytes
    mask: MaskOptions | None
    micro_batch: int
    device: str
    parcels: ParcelOptions | None = None
    dealt_uri: str = ""
    """Where each tile's parcels lie, as they were dealt out."""
    steps: int | None = None
    """Leading steps of the season that are known; None: as the model's card says."""

    def open(self) -> Callable[[MapTask], Record]:
        """The model, loaded once, and the stores."""
        from engine.models import load_model
        from engine.models.package import load_reference
        from engine.predict import classify_at, familiarity_at, probabilities

        device = usable_device(self.device)
        model = load_model(self.model_uri, device, steps=self.steps)
        reference = load_reference(self.model_uri, steps=self.steps) if self.output.tells else None
        asked = {"whittaker": model.card.recipe.fill == "whittaker", "parcels": self.parcels, "familiarity": reference}
        warm_up(["features", *(part for part, wanted in asked.items() if wanted)])
        output = Objects(self.output.uri)
        ledger, one_at_a_time = output.child(LEDGER), threading.Lock()
        opened = _OpenMap(
            self, model.card, partial(classify_at, model, micro_batch=self.micro_batch),
            partial(probabilities, model, micro_batch=self.micro_batch),
            Ground(self.layout.grid, shapely.from_wkb(self.area_wkb), self.mask),
            Objects(self.cube_uri), Objects(self.dealt_uri), reference,
            partial(familiarity_at, reference, model.card) if reference else None,
        )  # fmt: skip

        def do(task: MapTask) -> Record:
            times = [time.monotonic()]
            block, parcels = opened.load(task)
            times.append(time.monotonic())
            with one_at_a_time:
                waited = time.monotonic()
                ranges = Ranges(model.card)
                classes, table = opened.judge(task, block, parcels, ranges)
                times += [waited, time.monotonic()]
            body = publish_tile(task, self.layout, model.card, classes, self.output, output, parcels=table)
            body["beyond_range"] = ranges.told()
            times.append(time.monotonic())
            spent = {"read": times[1] - times[0], "predict": times[3] - times[2], "write": times[4] - times[3]}
            seconds = {part: round(value, 4) for part, value in spent.items()}
            requests = len(task.checksums) + len(body["files"]) + 2
            return _committed(ledger, task, body | {"seconds": seconds, "requests": requests, "device": device})

        return _once(ledger, do, from_epoch=2)


@dataclass(frozen=True)
class _OpenMap:
    """What a worker of the map stage holds open."""

    work: MapWork
    card: Card
    classify: Classify
    probabilities: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    ground: Ground
    cube: Objects
    dealt: Objects
    reference: Reference | None
    familiar: Familiar | None

    def load(self, task: MapTask) -> tuple[CubeBlock, ParcelBlock | None]:
        """The tile's cube, and that of its parcels as far as they reach."""
        block = load_block(task, self.work.layout, self.card, self.cube) if task.checksums else {}
        if not task.parcels or not self.work.parcels:
            return block, None
        return block, load_parcels(
            task, self.work.layout, self.card, block,
            ground=self.ground, cube=self.cube, dealt=self.dealt, inward_px=self.work.parcels.inward_px,
        )  # fmt: skip

    def judge(
        self, task: MapTask, block: CubeBlock, parcels: ParcelBlock | None, ranges: Ranges
    ) -> tuple[ClassMap, bytes | None]:
        """The tile's class map, and its parcel table where it owns any. ranges: counts what the model is given."""
        classify = ranges.watching(self.classify)
        classes = map_tile(task, block, self.card, classify, self.ground, self.work.micro_batch, self.familiar)
        options = self.work.parcels
        if parcels is None or options is None:
            return classes, None
        verdicts = judge_parcels(parcels, self.card, options, self.probabilities, self.reference)
        return classes, parcel_table(task, self.work.layout, self.card, parcels, verdicts, options.review_below)


def usable_device(device: str) -> str:
    """``device``, or ``cpu`` where torch finds no CUDA in this process, whatever the node offers to its scheduler."""
    import torch

    return device if device == "cpu" or torch.cuda.is_available() else "cpu"


def _once(ledger: Objects, do: Callable[[Any], Record], from_epoch: int) -> Callable[[Any], Record]:
    """``do``, but for a tile that has been committed since the driver read the ledger, as by a worker of an earlier
    driver that was still at it. Looked for from the ``from_epoch``-th driver on: before it there can be none."""

    def once(task: CubeTask | MapTask) -> Record:
        looked = task.epoch >= from_epoch
        standing = standing_record(ledger, task.tile.id, task.seq, task.key) if looked else None
        return standing or do(task)

    return once


def _committed(ledger: Objects, task: CubeTask | MapTask, body: Mapping[str, Any]) -> Record:
    return commit_record(ledger, Record(task.tile.id, task.seq, task.key, "written", task.epoch, body))
