"""What a far store costs the cube stage, and what hides it: ``python -m tests.bench.read_latency``.

Tiles of a made country are built by one worker whose scenes lie behind a server that answers every request only after
``--ms`` milliseconds, as an object store in the same region does after 20 to 60. Compared: rasters opened anew for
every tile or kept open, and the number of steps read at a time. Printed: seconds and requests a tile, and the ratio to
one thread that opens everything anew.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from engine.ground import Ground
from engine.objects import Objects
from engine.pipeline import CubeTask, build_tile
from engine.plan import Plan
from engine.rasters import Rasters
from engine.read import SceneReader
from engine.store import prepare
from jobs.pinned import fresh_plan
from jobs.spec import Spec
from kernels.warm import warm_up
from tests.bench.made_scenes import country, job
from tests.bench.measure import closing, context
from tests.servers.faults import Fault, FaultProxy, fault_proxy
from tests.servers.files import file_server


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ms", type=float, default=30.0, help="delay of every answer")
    parser.add_argument("--px", type=int, default=256, help="side of a tile")
    parser.add_argument("--cadence", type=int, default=2, help="keep every n-th overpass")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder:
        root = Path(folder)
        context(f"Cube tiles of {arguments.px} px, every answer after {arguments.ms:g} ms")
        made = country(root, -(-2 * arguments.px // 6) * 6, arguments.cadence)
        warm_up(("optical", "radar", "thermal"))
        with file_server(made.items.parent) as files, fault_proxy(files.url) as proxy:
            made.items.write_text(far(made.items, proxy.url))
            spec = job(made, root, arguments.px, side=2 * arguments.px)
            plan = fresh_plan(spec)
            proxy.set(Fault("delay", seconds=arguments.ms / 1000))
            compare(spec, plan, proxy)
    closing()


def far(items: Path, url: str) -> str:
    """The catalogue with the server's addresses in it."""
    lines = []
    for line in items.read_text().splitlines():
        item = json.loads(line)
        for asset in item["assets"].values():
            path = Path(items.parent / asset["href"]).resolve().relative_to(items.parent.resolve())
            asset["href"] = f"{url}/{path.as_posix()}"
        lines.append(json.dumps(item))
    return "\n".join(lines)


def compare(spec: Spec, plan: Plan, proxy: FaultProxy) -> None:
    """A line for each way."""
    first = 0.0
    for threads, kept in ((1, False), (1, True), (4, False), (4, True), (8, True), (16, True)):
        seconds, requests = measure(spec, plan, proxy, threads, kept)
        first = first or seconds
        how = "kept open" if kept else "opened anew"
        print(
            f"  {threads:>2} at a time, {how:<12}{seconds:7.2f} s{requests:7.0f} requests a tile{first / seconds:8.1f}x"
        )


def measure(spec: Spec, plan: Plan, proxy: FaultProxy, threads: int, kept: bool) -> tuple[float, float]:
    """Seconds and requests a tile, of all tiles but the first."""
    layout = prepare(Objects(spec.cube.uri), plan.grid, plan.axes)
    read, ground, cube = SceneReader(plan.grid), Ground(plan.grid, plan.area, None), Objects(spec.cube.uri)
    options = spec.cube.model_copy(update={"threads": threads})
    start, before = 0.0, 0
    for index, tile in enumerate(plan.tiles):
        if index == 1:
            start, before = time.perf_counter(), proxy.counts()["passed"]
        if not kept:
            read.rasters = Rasters()
        task = CubeTask(tile, plan.cube_key(index), 1, 1, plan.items_of(index))
        # GDAL remembers what it has read of a far file; here every way starts from nothing.
        with patch.dict("os.environ", {"CPL_VSIL_CURL_NON_CACHED": proxy.url}):
            build_tile(task, layout, options, read, ground, cube)
    tiles = len(plan.tiles) - 1
    return (time.perf_counter() - start) / tiles, (proxy.counts()["passed"] - before) / tiles


if __name__ == "__main__":
    main()
