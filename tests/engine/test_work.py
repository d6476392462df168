"""What a worker commits, and what it leaves behind when it is killed in the middle of a tile."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import shapely

from engine.cube import CubeOptions
from engine.errors import InputError
from engine.grid import GridOptions
from engine.ledger import Ledger, Record
from engine.objects import Objects
from engine.pipeline import CubeTask
from engine.plan import Inputs, Plan, make_plan, search
from engine.steps import SeasonOptions
from engine.store import checksum, prepare
from engine.work import CubeWork, cube_ledger
from jobs.demo import CountryOptions, write_country

SEASON = SeasonOptions.model_validate({"start": "2024-04-01", "end": "2024-05-31"})


class Cube:
    """One tile's cube, built by the real work from the real ledger."""

    def __init__(self, root: Path) -> None:
        country = write_country(root / "country", CountryOptions(pixels=60, seed=3, cadence=1))
        area = shapely.box(*country.bbox)
        inputs = Inputs.model_validate({"optical": {"catalog": str(country.items), "collection": "sentinel-2-l2a"}})
        items = search(area, SEASON, inputs).items
        self.options = CubeOptions(uri=str(root / "cube.zarr"))
        grid = GridOptions(crs=country.crs, resolution=10, tile_px=64)
        self.plan: Plan = make_plan(area, SEASON, grid, self.options, items=items)
        self.fewer: Plan = make_plan(area, SEASON, grid, self.options, items=items[::2])
        self.objects = Objects(self.options.uri)
        self.work = CubeWork(
            prepare(self.objects, self.plan.grid, self.plan.axes), self.options, self.plan.area.wkb, None
        )

    def ledger(self) -> Ledger:
        return Ledger(cube_ledger(self.options.uri)).load()

    def task(self, plan: Plan) -> CubeTask:
        ledger, name = self.ledger(), plan.tiles[0].id
        known = ledger.latest.get(name)
        previous = known.body if known else {}
        return CubeTask(plan.tiles[0], plan.cube_key(0), ledger.next_seq(name), 1, plan.items_of(0), previous)

    def build(self, plan: Plan) -> Record:
        return self.work.open()(self.task(plan))

    def shards_are_as(self, record: Record) -> bool:
        return all(checksum(self.objects.get(key)) == value for key, value in record.body["checksums"].items())


def _killed_between_two_shards(work: CubeWork, task: CubeTask) -> None:
    put = Objects.put

    def put_and_die(self: Objects, key: str, data: bytes) -> None:
        put(self, key, data)
        os.kill(os.getpid(), signal.SIGKILL)

    Objects.put = put_and_die  # type: ignore[method-assign]
    work.open()(task)


def test_a_rewrite_that_is_killed_never_counts_as_the_old_tile_nor_as_the_new(tmp_path: Path) -> None:
    cube = Cube(tmp_path)
    whole = cube.build(cube.plan)
    assert (whole.state, whole.seq) == ("written", 1) and cube.shards_are_as(whole)
    worker = multiprocessing.get_context("spawn").Process(
        target=_killed_between_two_shards, args=(cube.work, cube.task(cube.fewer))
    )
    worker.start()
    worker.join()
    assert worker.exitcode == -signal.SIGKILL and not cube.shards_are_as(whole)
    left = cube.ledger().latest[whole.tile]
    assert left.state == "pending" and left.key == cube.fewer.cube_key(0), "neither plan finds its tile done"
    again = cube.build(cube.plan)
    assert again.state == "written" and again.body["checksums"] == whole.body["checksums"]
    assert cube.shards_are_as(again) and cube.ledger().latest[whole.tile] == again


def test_a_changed_tile_takes_over_the_steps_that_are_the_same(tmp_path: Path) -> None:
    cube = Cube(tmp_path)
    first = cube.build(cube.fewer)
    second = cube.build(cube.plan)
    old, new = first.body["steps"]["optical"], second.body["steps"]["optical"]
    same = sum(a == b for a, b in zip(old, new, strict=True))
    assert first.body["computed"] == len(old) and 0 < same < len(old)
    assert second.body["computed"] == len(old) - same and cube.shards_are_as(second)


def test_a_work_whose_store_cannot_be_opened_says_where(tmp_path: Path) -> None:
    cube = Cube(tmp_path)
    (tmp_path / "file").write_text("")
    astray = replace(cube.work, options=cube.options.model_copy(update={"uri": str(tmp_path / "file" / "cube.zarr")}))
    with pytest.raises(InputError, match="file/cube"):
        astray.open()(cube.task(cube.plan))
