"""A map tile's key changes with all that decides its bytes, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from pyproj import Transformer

from engine.ground import MaskOptions
from engine.keys import map_keys, shards_around, tile_facts
from engine.ledger import Record
from engine.output import OutputOptions, ProfileOptions
from engine.parcels import ParcelOptions, Part, Register
from engine.plan import Plan
from tests.engine.made_models import made_card
from tests.engine.made_scenes import LEFT, TOP, made_grid, write_raster

CARD = made_card(b"x", 5, 3, classes=4)  # blue, green, red: the optical layer
STATED = {"name": "made", "start": "2018-01-01T00:00:00Z", "end": "2018-12-01T00:00:00Z"}
GRID = made_grid(48, 48, 16)
WHOLE = shapely.box(LEFT, TOP - 480, LEFT + 480, TOP)
NAMES = [f"r{row:04d}c{col:04d}" for row in range(3) for col in range(3)]


def plan_of(area: shapely.Geometry = WHOLE) -> Plan:
    tiles = tuple(GRID.tile(row, col) for row in range(3) for col in range(3))
    return Plan(
        grid=GRID, area=area, tiles=tiles, items=(), axes={}, audit=(), left_out=(),
        starts=np.zeros(10, np.int64), links=np.zeros(0, np.int32), identity="",
    )  # fmt: skip


def cube_records() -> dict[str, Record]:
    records = {}
    for name in NAMES:
        at = f"{int(name[1:5])}/{int(name[6:])}"
        sums = {
            f"{layer}/c/0/0/{at}": f"{layer} {name}" for layer in ("optical", "optical_count", "radar", "radar_count")
        }
        records[name] = Record(name, 1, f"cube key {name}", "written", 1, {"checksums": sums})
    return records


def keys(plan: Plan | None = None, records: dict[str, Record] | None = None, **changes: Any) -> dict[str, str]:
    options: dict[str, Any] = {
        "model": "digest", "micro_batch": 512, "output": OutputOptions(uri="a"), "mask": None, "stated": STATED,
    } | changes  # fmt: skip
    card = options.pop("card", CARD)
    found = map_keys(plan or plan_of(), cube_records() if records is None else records, card, **options)
    return {tile.id: key for tile, key in found}


def touched(after: dict[str, str]) -> set[str]:
    before = keys()
    assert list(before) == list(after) == NAMES
    return {name for name in before if before[name] != after[name]}


def test_every_tile_has_a_key_of_its_own_and_the_same_every_time() -> None:
    assert len(set(keys().values())) == 9 and touched(keys()) == set()


def test_another_shard_changes_the_key_of_its_tile_alone() -> None:
    records = cube_records()
    sums = {**records[NAMES[4]].body["checksums"], "optical/c/0/0/1/1": "other bytes"}
    records[NAMES[4]] = replace(records[NAMES[4]], body={"checksums": sums})
    assert touched(keys(records=records)) == {NAMES[4]}


def test_a_model_that_looks_at_neighbours_has_the_shards_around_a_tile_in_its_key() -> None:
    card = CARD.model_copy(update={"mode": "patch", "halo": 3})
    around = shards_around(GRID, GRID.tile(0, 0), 3, cube_records())
    assert {key.split("/", 2)[-1][-3:] for key in around} == {"0/0", "0/1", "1/0", "1/1"}
    records = cube_records()
    sums = {**records[NAMES[8]].body["checksums"], "optical/c/0/0/2/2": "other bytes"}
    records[NAMES[8]] = replace(records[NAMES[8]], body={"checksums": sums})
    before, after = keys(card=card), keys(records=records, card=card)
    assert {name for name in NAMES if before[name] != after[name]} == {NAMES[4], NAMES[5], NAMES[7], NAMES[8]}
    lost = {name: record for name, record in cube_records().items() if name != NAMES[4]}
    assert shards_around(GRID, GRID.tile(1, 1), 3, lost) == {}


def test_a_layer_that_the_model_does_not_look_at_changes_nothing() -> None:
    records = {
        name: replace(
            r, body={"checksums": {k: v + " new" if "radar" in k else v for k, v in r.body["checksums"].items()}}
        )
        for name, r in cube_records().items()
    }
    assert touched(keys(records=records)) == set()


def test_scenes_that_change_nothing_in_the_cube_change_nothing_in_the_map() -> None:
    records = {name: replace(record, key="other scenes", seq=7) for name, record in cube_records().items()}
    assert touched(keys(records=records)) == set()


@pytest.mark.parametrize("state", ["quarantined", None])
def test_a_cube_tile_that_is_lost_changes_the_key_of_its_tile_alone(state: Any) -> None:
    records = cube_records()
    if state is None:
        del records[NAMES[2]]
    else:
        records[NAMES[2]] = replace(records[NAMES[2]], state=state, body={"reason": "404"})
    assert touched(keys(records=records)) == {NAMES[2]}


@pytest.mark.parametrize(
    "change",
    [
        {"model": "another"},
        {"micro_batch": 256},
        {"output": OutputOptions(uri="a", products=("class",))},
        {"output": OutputOptions(uri="a", unfamiliar="mask")},
        {"output": OutputOptions(uri="a", unfamiliar_below=10)},
        {"output": OutputOptions(uri="a", profile=ProfileOptions(compress="zstd"))},
        {"stated": {**STATED, "name": "renamed"}},
    ],
)
def test_what_decides_every_tiles_bytes_changes_every_key(change: dict[str, Any]) -> None:
    assert touched(keys(**change)) == set(NAMES)


def register(**changes: Any) -> tuple[ParcelOptions, Register]:
    """Parcels on the middle tile, one of which reaches into the tile to its right."""
    part = Part(sha256=changes.pop("sha256", "parcels"), parcels=3, pixels=40, largest=20, reaches=(NAMES[5],))
    return ParcelOptions(uri="register.gpkg").model_copy(update=changes), Register({NAMES[4]: part}, {})


def test_parcels_change_the_key_of_the_tile_that_owns_them_alone() -> None:
    with_parcels = keys(parcels=register())
    assert touched(with_parcels) == {NAMES[4]}
    same = [keys(parcels=register(**more)) for more in ({"uri": "copy.gpkg"}, {"id": "name"})]
    assert same == [with_parcels, with_parcels], "the register's place and column decide no byte"
    for more in ({"sha256": "moved"}, {"method": "vote"}, {"statistic": "mean"}, {"inward_px": 2.0}):
        assert keys(parcels=register(**more))[NAMES[4]] not in {with_parcels[NAMES[4]], keys()[NAMES[4]]}
    vote = keys(parcels=register(method="vote"))
    assert keys(parcels=register(method="vote", statistic="mean")) == vote, "a vote takes no statistic"


def test_a_shard_that_parcels_reach_into_changes_the_key_of_their_tile_too() -> None:
    records = cube_records()
    records[NAMES[5]] = replace(records[NAMES[5]], state="quarantined", body={"reason": "404"})
    before, after = keys(parcels=register()), keys(parcels=register(), records=records)
    assert {name for name in NAMES if before[name] != after[name]} == {NAMES[4], NAMES[5]}


def test_the_place_of_the_map_is_no_part_of_a_key() -> None:
    assert touched(keys(output=OutputOptions(uri="elsewhere"))) == set()


def test_an_area_that_cuts_a_tile_otherwise_changes_that_tile_alone() -> None:
    dented = WHOLE.difference(shapely.box(LEFT + 200, TOP - 250, LEFT + 250, TOP - 200))
    assert touched(keys(plan_of(dented))) == {NAMES[4]}
    grown = WHOLE.buffer(1000)
    assert touched(keys(plan_of(grown))) == set()


def test_another_mask_or_other_values_of_it_change_every_key(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "mask.tif", np.ones((60, 60), np.uint8))
    plain, kept = MaskOptions(uri=str(path)), MaskOptions(uri=str(path), keep=(1,))
    masked = keys(mask=plain)
    assert touched(masked) == set(NAMES) and keys(mask=plain) == masked
    assert not set(keys(mask=kept).values()) & set(masked.values())
    write_raster(path, np.zeros((90, 90), np.uint8))
    assert not set(keys(mask=plain).values()) & set(masked.values())


def test_a_tiles_facts_give_its_outline_anticlockwise_in_longitude_and_latitude() -> None:
    plan = plan_of()
    facts = tile_facts(plan, STATED)(plan.tiles[5])
    ring = shapely.Polygon(facts["geometry"]["coordinates"][0])
    forth = Transformer.from_crs("EPSG:4326", GRID.crs, always_xy=True)
    back = shapely.transform(ring, lambda xy: np.column_stack(forth.transform(xy[:, 0], xy[:, 1])))
    assert ring.exterior.is_ccw and tuple(facts["bbox"]) == ring.bounds and facts["name"] == "made"
    np.testing.assert_allclose(back.bounds, GRID.bounds(plan.tiles[5].core), atol=0.05)
