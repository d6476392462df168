"""Where a look goes: places spread over the area, dates far from each other, changes of processing from both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely

from engine.claims import Claim
from engine.cube import CubeOptions
from engine.grid import GridOptions
from engine.look.sample import LEAST_PX, MOST_PX, PLACES, Candidate, changes, places, source_of, spread
from engine.plan import Plan, make_plan
from engine.steps import SeasonOptions
from engine.types import Asset, Item, Window
from tests.engine.made_scenes import made_item


def _sentinel2(day: int, baseline: str, shifted: bool) -> Item:
    item = made_item({"blue": f"{day}.tif"}, "optical", day)
    band = Asset(f"{day}.tif", "", Claim(scale=1e-4, offset=-0.1 if shifted else 0.0))
    return replace(item, platform="sentinel-2b", baseline=baseline, assets={"blue": band})


def _plan(items: list[Item], resolution: float, tile_px: int, holes: shapely.Geometry | None = None) -> Plan:
    area = shapely.box(3.0, 50.5, 3.1, 50.55)
    area = area if holes is None else area - holes
    return make_plan(
        area, SeasonOptions(start="2018-01-01", end="2018-04-01", step_days=10),
        GridOptions(crs="EPSG:32631", resolution=resolution, tile_px=tile_px), CubeOptions(uri="cube"), items=items,
    )  # fmt: skip


@pytest.mark.parametrize(("resolution", "tile_px"), [(10.0, 64), (10.0, 1024), (100.0, 16), (2.5, 512)])
def test_places_are_windows_within_the_grid_about_points_of_the_area(resolution: float, tile_px: int) -> None:
    footprint = shapely.box(500_000, 5_590_000, 510_000, 5_605_000)
    items = [made_item({"vv": "a.tif", "vh": "b.tif"}, "radar", day, footprint=footprint) for day in (1, 20)]
    hole = shapely.box(3.02, 50.51, 3.08, 50.54)
    plan = _plan(items, resolution, tile_px, hole)
    found = places(plan)
    assert 1 <= len(found) <= PLACES and len({tile for tile, _ in found}) == len(found)
    whole = Window(0, plan.grid.height, 0, plan.grid.width)
    for _, window in found:
        assert window.shared(whole) == window
        assert min(LEAST_PX, *whole.shape) <= min(window.shape) <= MOST_PX
        assert shapely.box(*plan.grid.bounds(window)).intersects(plan.area)


@pytest.mark.parametrize("number", [0, 1, 2, 5, 16, 33])
def test_every_scene_is_tried_once_and_the_first_ones_lie_far_apart(number: int) -> None:
    for offset in (0, 3):
        order = list(spread(number, offset))
        assert sorted(order) == list(range(number))
    first = np.sort(list(spread(33))[:4])
    assert np.diff(first).min() >= 4


def test_satellites_of_a_mission_are_one_source_and_baselines_and_offsets_are_not() -> None:
    one, other = _sentinel2(1, "05.09", True), _sentinel2(2, "05.09", False)
    assert source_of(one) == source_of(replace(one, platform="sentinel-2a", id="x"))
    assert source_of(one).shifted is True and source_of(other).shifted is False
    assert len({source_of(i) for i in (one, other, replace(one, baseline="05.10"))}) == 3
    radar = made_item({"vv": "a.tif", "vh": "b.tif"}, "radar")
    assert source_of(radar).shifted is None and source_of(radar).place == "inputs.radar: made-radar"


def test_changes_are_seen_from_both_sides_where_they_lie_nearest() -> None:
    series = [(1, "03.00", False), (6, "03.00", False), (30, "04.00", True), (35, "04.00", True), (40, "04.00", False)]
    here = [Candidate(_sentinel2(*facts), 0, Window(0, 9, 0, 9)) for facts in series]
    found = changes([here])
    days = [([c.item.datetime.day for c in b], [c.item.datetime.day for c in a]) for b, a in found]
    assert days == [([6, 1], [30, 4]), ([4, 30], [9])]
    assert changes([here[:2]]) == [] and changes([]) == []
