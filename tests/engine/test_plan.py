"""The plan pairs tiles and items as brute force would, keys change only where touched, and a country fits in memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapely
from pyproj import Transformer
from shapely.affinity import rotate

from engine.cube import CubeOptions
from engine.errors import InputError, SpecError
from engine.grid import GridOptions
from engine.plan import Inputs, Plan, make_plan, refuse_too_large
from engine.steps import SeasonOptions
from engine.types import Item
from tests.engine.made_scenes import CRS, LEFT, TOP, made_item

SEASON = SeasonOptions.model_validate({"start": "2018-01-01", "end": "2018-03-02"})
CUBE = CubeOptions(uri="unused")
BACK = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)


def lonlat(shape: shapely.Geometry) -> shapely.Geometry:
    bent = shapely.segmentize(shape, 500)
    return shapely.transform(bent, lambda xy: np.column_stack(BACK.transform(xy[:, 0], xy[:, 1])))


def area_m(width: float, height: float) -> shapely.Geometry:
    return shapely.box(LEFT, TOP - height, LEFT + width, TOP)


def plan_of(area: shapely.Geometry, items: list[Item], tile_px: int = 16, **changes: Any) -> Plan:
    options: dict[str, Any] = {"season": SEASON, "cube": CUBE} | changes
    return make_plan(
        lonlat(area), options["season"], GridOptions(crs=CRS, resolution=10, tile_px=tile_px), options["cube"],
        items=items, mask=None,
    )  # fmt: skip


def scattered(count: int, seed: int = 2) -> list[Item]:
    """Items of three sensors over turned boxes here and there."""
    rng = np.random.default_rng(seed)
    items = []
    for i in range(count):
        x, y = rng.uniform(-1000, 4000, 2)
        box = rotate(shapely.box(LEFT + x, TOP - y - 1500, LEFT + x + 1200, TOP - y), rng.uniform(0, 90))
        sensor = ("optical", "radar", "thermal")[i % 3]
        items.append(made_item({"b": f"{i}.tif"}, sensor, int(rng.integers(1, 60)), name=f"i{i}", footprint=box))
    return sorted(items, key=lambda item: (item.datetime, item.id))


def test_a_tile_has_just_the_items_that_brute_force_gives_it() -> None:
    area = area_m(2500, 2000).difference(area_m(900, 700))
    plan = plan_of(area, scattered(60))
    forth = Transformer.from_crs("EPSG:4326", CRS, always_xy=True)
    shapes = [
        shapely.transform(shapely.geometry.shape(item.footprint), lambda xy: np.column_stack(forth.transform(*xy.T)))
        for item in plan.items
    ]
    assert len(plan.tiles) > 100 and len({tile.id for tile in plan.tiles}) == len(plan.tiles)
    counts = set()
    for index, tile in enumerate(plan.tiles):
        left, bottom, right, top = plan.grid.bounds(tile.core)
        near = shapely.box(left - 300, bottom - 300, right + 300, top + 300)
        expected = {item.id for item, shape in zip(plan.items, shapes, strict=True) if shape.intersects(near)}
        mine = plan.items_of(index)
        assert {item.id for items in mine.values() for item in items} == expected
        for layer, items in mine.items():
            assert [item.datetime for item in items] == sorted(item.datetime for item in items)
            assert all(item.sensor == layer for item in items)
        counts.add(len(expected))
    assert len(counts) > 5


def test_footprints_around_the_world_reach_their_tiles() -> None:
    wide = [made_item({"b": "a"}, "thermal", 3, name="strip"), made_item({"b": "a"}, "thermal", 4, name="modis")]
    strip = shapely.geometry.mapping(shapely.box(-180, 40, 180, 60))
    sinusoidal = shapely.geometry.mapping(shapely.Polygon([(-15, 40), (0, 50), (31, 50), (26, 60), (0, 60), (-10, 45)]))
    wide = [replace(wide[0], footprint=dict(strip)), replace(wide[1], footprint=dict(sinusoidal))]
    plan = plan_of(area_m(300, 300), wide)
    assert [item.id for item in plan.items_of(0)["thermal"]] == ["strip", "modis"]


def test_a_footprint_that_crosses_itself_is_mended_not_fatal() -> None:
    bow = {"type": "Polygon", "coordinates": [[[2.9, 50.4], [3.2, 50.7], [3.2, 50.4], [2.9, 50.7], [2.9, 50.4]]]}
    plan = plan_of(area_m(300, 300), [replace(made_item({"b": "a"}), footprint=bow)])
    assert len(plan.tiles) == 4


def test_a_tile_no_item_reaches_is_planned_and_told() -> None:
    far = made_item({"b": "a"}, footprint=shapely.box(LEFT, TOP - 100, LEFT + 100, TOP))
    plan = plan_of(area_m(2000, 160), [far])
    assert plan.items_of(len(plan.tiles) - 1) == {"optical": []}
    assert any("tiles are reached by no item" in note for note in plan.audit)


def keys(plan: Plan) -> dict[str, str]:
    return {tile.id: plan.cube_key(i) for i, tile in enumerate(plan.tiles)}


def touched(before: Plan, after: Plan) -> set[str]:
    first, second = keys(before), keys(after)
    assert set(first) == set(second)
    return {name for name in first if first[name] != second[name]}


def test_a_late_scene_changes_the_keys_of_the_tiles_it_reaches_alone() -> None:
    items = scattered(30)
    late = made_item({"b": "late"}, day=50, name="late", footprint=shapely.box(LEFT, TOP - 200, LEFT + 200, TOP))
    before, after = (plan_of(area_m(2500, 2000), given) for given in (items, [*items, late]))
    reached = {tile.id for i, tile in enumerate(after.tiles) if late in after.items_of(i)["optical"]}
    assert touched(before, after) == reached and 0 < len(reached) < len(after.tiles) / 2


def test_other_bytes_under_a_known_scene_change_the_keys_of_its_tiles_alone() -> None:
    items = scattered(30)
    asset = replace(items[7].assets["b"], identity="other bytes")
    changed = [*items[:7], replace(items[7], assets={"b": asset}), *items[8:]]
    before, after = (plan_of(area_m(2500, 2000), given) for given in (items, changed))
    reached = {t.id for i, t in enumerate(after.tiles) if any(changed[7] in m for m in after.items_of(i).values())}
    assert touched(before, after) == reached != set()


@pytest.mark.parametrize(
    "change",
    [
        {"cube": CubeOptions(uri="unused", despeckle="none")},
        {"cube": CubeOptions(uri="unused", scl_drop=(3,))},
        {"cube": CubeOptions(uri="unused", layers=("optical",))},
        {"season": SeasonOptions.model_validate({"start": "2018-01-01", "end": "2018-03-02", "step_days": 5})},
    ],
)
def test_options_that_decide_pixels_change_every_key(change: dict[str, Any]) -> None:
    items = scattered(12)
    before, after = plan_of(area_m(500, 500), items), plan_of(area_m(500, 500), items, **change)
    assert touched(before, after) == set(keys(before))


def test_options_that_decide_no_pixel_of_the_cube_change_no_key() -> None:
    items = scattered(12)
    before = plan_of(area_m(500, 500), items)
    cut = SEASON.model_copy(update={"as_of": SEASON.end})
    moved = CubeOptions(uri="elsewhere")
    assert touched(before, plan_of(area_m(500, 500), items, season=cut, cube=moved)) == set()


def test_single_acquisitions_are_planned_beside_the_steps() -> None:
    items = [made_item({"b": f"{day}"}, "radar", day) for day in (3, 9, 15)]
    plan = plan_of(area_m(100, 100), items, cube=CubeOptions(uri="u", layers=("radar", "radar_acquisitions")))
    assert {name: len(axis) for name, axis in plan.axes.items()} == {"radar": 6, "radar_acquisitions": 3}
    assert plan.items_of(0)["radar"] == plan.items_of(0)["radar_acquisitions"] == items


def test_a_layer_without_scenes_is_refused() -> None:
    with pytest.raises(InputError, match=r"no item of sensor radar.*inputs\.radar"):
        plan_of(area_m(100, 100), [made_item({"b": "a"})], cube=CubeOptions(uri="u", layers=("radar",)))


def test_a_tile_too_large_for_memory_is_refused_with_one_that_fits() -> None:
    plan = plan_of(area_m(5000, 5000), scattered(9), tile_px=4096)
    with pytest.raises(SpecError, match=r"grid\.tile_px: 4096 px: one tile needs about .* GB.*use tile_px") as told:
        refuse_too_large(plan, 500_000_000, 8, features=13, steps=6)
    fitting = int(told.value.remedy.split("tile_px ")[1].split(",")[0])
    refuse_too_large(plan_of(area_m(5000, 5000), scattered(9), tile_px=fitting), 500_000_000, 8, features=13, steps=6)


def test_projected_bytes_grow_with_tiles_and_items() -> None:
    small, large = plan_of(area_m(500, 500), scattered(30)), plan_of(area_m(2500, 2000), scattered(30))
    assert 0 < small.read_bytes() < large.read_bytes() and 0 < small.write_bytes() < large.write_bytes()
    assert plan_of(area_m(500, 500), []).read_bytes() == 0


def test_one_source_may_be_written_without_a_list() -> None:
    source = {"catalog": "items.ndjson", "collection": "sentinel-2-l2a"}
    one, two = Inputs.model_validate({"optical": source}), Inputs.model_validate({"optical": [source, source]})
    assert [len(inputs.sources()["optical"]) for inputs in (one, two)] == [1, 2] and list(one.sources()) == ["optical"]


def test_twenty_thousand_tiles_of_fifty_items_are_planned_in_little_memory() -> None:
    area = area_m(20_000, 10_000)
    items = [made_item({"b": f"{i}"}, day=1 + i, name=f"i{i}", footprint=area.buffer(50 * i)) for i in range(50)]
    tracemalloc.start()
    plan = plan_of(area, items, tile_px=10)
    some = {plan.cube_key(i) for i in range(0, len(plan.tiles), 7)}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(plan.tiles) == 20_000 and len(plan.links) == 1_000_000 and len(some) == len(range(0, 20_000, 7))
    assert peak < 150_000_000


def test_a_scene_across_the_date_line_reaches_the_tiles_on_both_sides_and_no_others() -> None:
    here = shapely.MultiPolygon([shapely.box(179.95, -17.05, 180, -17), shapely.box(-180, -17.05, -179.95, -17)])
    scene = {"type": "Polygon", "coordinates": [[[179.98, -17.1], [-179.98, -17.1], [-179.98, -16.9], [179.98, -16.9],
                                                 [179.98, -17.1]]]}  # fmt: skip
    far = {"type": "Polygon", "coordinates": [[[0, -17.1], [1, -17.1], [1, -16.9], [0, -16.9], [0, -17.1]]]}
    items = [
        replace(made_item({"red": "a.tif"}, name="near"), footprint=scene),
        replace(made_item({"red": "b.tif"}, name="far"), footprint=far),
    ]
    grid = GridOptions(crs="EPSG:32760", resolution=50, tile_px=4)
    plan = make_plan(here, SEASON, grid, CUBE, items=items)
    reached = np.diff(plan.starts)
    assert set(plan.links.tolist()) == {0} and 0 < (reached == 1).sum() < len(plan.tiles)
    middle = [plan.grid.bounds(tile.core)[0] for tile, hit in zip(plan.tiles, reached, strict=True) if hit]
    assert (
        min(middle)
        < Transformer.from_crs("EPSG:4326", "EPSG:32760", always_xy=True).transform(180, -17)[0]
        < max(middle)
    )
    assert plan.area_km2 == pytest.approx(2 * 29.5, rel=0.01)


def test_a_grid_not_true_to_area_is_told_and_its_areas_are_those_on_the_ellipsoid() -> None:
    area = shapely.box(5, 50, 5.02, 50.02)
    plans = {
        crs: make_plan(
            area, SEASON, GridOptions(crs=crs, resolution=10, tile_px=64), CUBE, items=[made_item({"red": "a.tif"})]
        )
        for crs in ("EPSG:3857", "EPSG:32631", "EPSG:3035")
    }
    mercator, utm, equal = plans["EPSG:3857"], plans["EPSG:32631"], plans["EPSG:3035"]
    assert mercator.area_km2 == pytest.approx(utm.area_km2, rel=1e-6) == pytest.approx(equal.area_km2, rel=1e-6)
    for plan in plans.values():
        counted = sum(plan.pixel_km2[t.id] * t.core.shape[0] * t.core.shape[1] for t in plan.tiles)
        assert plan.area_km2 < counted < 1.3 * plan.area_km2  # tiles reach a little over the area's edge
    assert max(mercator.pixel_km2.values()) * 2.4 < 1e-4 < max(mercator.pixel_km2.values()) * 2.5
    assert max(equal.pixel_km2.values()) == pytest.approx(1e-4, rel=1e-6)
    told = [line for line in mercator.audit if "km2 and ha are computed on the ellipsoid" in line]
    assert len(told) == 1 and "EPSG:3857 draws areas 2.4" in told[0] and "EPSG:32631 suits" in told[0]
    assert not any("ellipsoid" in line for line in (*utm.audit, *equal.audit))
