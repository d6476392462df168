"""Planning a continent: ``python -m tests.bench.planning``.

100,489 tiles (317 x 317) of 256 x 256 pixels at 10 m in EPSG:3035, and pinned scenes as Sentinel-2's grid gives
them: squares of 110 km every 100 km, so many dates that a tile has 50 items in the mean. Timed in a process of its own:
the pinned items read, the plan made, every tile's cube key. Limits: 30 s and 1 GB at the peak, imports included.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import shapely
from pyproj import Transformer

from engine.bands import SENSOR_BANDS
from engine.catalog import read_items, write_items
from engine.claims import Claim
from engine.cube import CubeOptions
from engine.grid import GridOptions
from engine.plan import Plan, make_plan
from engine.steps import SeasonOptions
from engine.types import Asset, Item
from tests.bench.measure import closing, context, fresh, judge

CRS = "EPSG:3035"
CORNER = (4_000_000.0, 3_300_000.0)
SEASON = SeasonOptions(start=date(2021, 1, 1), end=date(2021, 12, 27))
SCENE_M, EVERY_M, NEAR_M = 110_000.0, 100_000.0, 300.0
TILE_PX = 256


def main() -> None:
    """Parse, measure, print; with ``--once`` be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=50, help="items per tile, in the mean")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--once", metavar="ITEMS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        print(json.dumps(once(Path(arguments.once), arguments.tiles)))
        return
    context(f"Planning about {arguments.tiles:,} tiles with about {arguments.items} items each")
    with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder:
        pinned, log = Path(folder) / "items.ndjson", Path(folder) / "log"
        pinned.write_bytes(write_items(made_items(arguments.tiles, arguments.items)))
        runs = []
        for _ in range(arguments.runs):
            fresh("tests.bench.planning", "--once", pinned, "--tiles", arguments.tiles, log=log)
            runs.append(json.loads(log.read_text().splitlines()[-1]))
    print(f"  {runs[0]['tiles']:,} tiles, {runs[0]['items']:,} items, {runs[0]['items_per_tile']:.1f} a tile")
    for part in ("read_items_s", "make_plan_s", "cube_keys_s"):
        print(f"  {part:<14}{statistics.median(run[part] for run in runs):8.2f}")
    judge("planning, median", statistics.median(run["total_s"] for run in runs), 30.0, "s ")
    judge("peak memory, largest", max(run["peak_bytes"] for run in runs) / 1e9, 1.0, "GB ")
    closing()


def once(pinned: Path, tiles: int) -> dict[str, float]:
    """Plan and give seconds by part and the peak of this process."""
    marks = [time.perf_counter()]
    items = read_items(pinned.read_bytes())
    marks.append(time.perf_counter())
    plan = made_plan(tiles, items)
    marks.append(time.perf_counter())
    keys = {plan.cube_key(index) for index in range(len(plan.tiles))}
    marks.append(time.perf_counter())
    assert len(keys) == len(plan.tiles), "two tiles share a key"
    return {
        "tiles": len(plan.tiles),
        "items": len(plan.items),
        "items_per_tile": len(plan.links) / len(plan.tiles),
        "read_items_s": marks[1] - marks[0],
        "make_plan_s": marks[2] - marks[1],
        "cube_keys_s": marks[3] - marks[2],
        "total_s": marks[3] - marks[0],
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }


def made_plan(tiles: int, items: tuple[Item, ...]) -> Plan:
    """The plan of the square for these items."""
    grid = GridOptions(crs=CRS, resolution=10, tile_px=TILE_PX)
    return make_plan(square(tiles), SEASON, grid, CubeOptions(uri="nowhere"), items=items)


def square(tiles: int) -> shapely.Geometry:
    """The area in EPSG:4326: the next square number of whole tiles, with edges that bend."""
    side = side_m(tiles)
    left, top = CORNER
    # A few centimetres inside the lattice, so that the way to degrees and back opens no new row of tiles.
    box = shapely.segmentize(shapely.box(left + 5, top - side + 5, left + side - 5, top - 5), 500.0)
    return _degrees(box)


def side_m(tiles: int) -> float:
    """Side of the square."""
    return math.ceil(math.sqrt(tiles)) * TILE_PX * 10.0


def made_items(tiles: int, per_tile: int) -> list[Item]:
    """Scenes of all sensors, their squares laid out as Sentinel-2's, dates spread over the season."""
    cells = math.ceil(side_m(tiles) / EVERY_M)
    # A tile meets a scene that reaches within NEAR_M of it: more than one a date where scenes overlap.
    meets = ((SCENE_M + TILE_PX * 10 + 2 * NEAR_M) / EVERY_M) ** 2
    dates = round(per_tile / meets)
    left, top = CORNER
    items = []
    for row in range(-1, cells + 1):
        for col in range(-1, cells + 1):
            x, y = left + col * EVERY_M, top - row * EVERY_M
            outline = shapely.geometry.mapping(_degrees(shapely.box(x, y - SCENE_M, x + SCENE_M, y)))
            items += [_item(row, col, number, dates, outline) for number in range(dates)]
    return sorted(items, key=lambda item: (item.datetime, item.collection, item.id))


def _item(row: int, col: int, number: int, dates: int, outline: dict[str, object]) -> Item:
    sensor = ("optical", "optical", "radar", "optical", "thermal")[number % 5]
    moment = datetime(2021, 1, 1, 11, tzinfo=UTC) + timedelta(days=360 * number // dates)
    name = f"MADE_{row + 1:02d}{col + 1:02d}_{moment:%Y%m%d}_{number:03d}"
    bands = (*SENSOR_BANDS[sensor], *(() if sensor == "radar" else ("mask",)))
    assets = {
        band: Asset(f"s3://archive/{name}/{band}.tif", f"1220{hash_like(name, band)}", Claim(0.0001, -0.1, 0.0))
        for band in bands
    }
    kind = {"optical": "scl", "thermal": "qa_pixel"}.get(sensor)
    return Item(name, f"made-{sensor}", sensor, moment, outline, assets, kind)


def hash_like(*parts: str) -> str:
    """64 hexadecimal digits as a checksum has them, different for different parts."""
    return (b"".join(part.encode() for part in parts).hex() * 4)[-64:]


def _degrees(shape: shapely.Geometry) -> shapely.Geometry:
    back = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    return shapely.transform(shape, back.transform, interleaved=False)


if __name__ == "__main__":
    main()
