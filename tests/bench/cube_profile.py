"""Where a cube tile's time goes: ``python -m tests.bench.cube_profile [--numpy]``.

Tiles of a made country (optical, radar, thermal, and covariances) are built one after the other in one thread, kernels
compiled before; every call of the parts named is timed by itself, without what it calls of the other parts. Printed:
milliseconds a tile and share for each part, and the tiles a second that one core does. With ``--numpy`` the same tiles
are then built with the kernels' arithmetic in plain NumPy, and the ratio is printed.
"""

from __future__ import annotations

import argparse
import pkgutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dask
import rasterio

from engine.ground import Ground
from engine.objects import Objects
from engine.pipeline import CubeTask, build_tile
from engine.plan import Plan
from engine.read import SceneReader
from engine.store import prepare
from jobs.pinned import fresh_plan
from jobs.spec import Spec
from tests.bench import numpy_stage
from tests.bench.made_scenes import country, job
from tests.bench.measure import closing, context

PARTS = {
    "find the pixels": ("engine.read._source_index",),
    "place on the grid": ("engine.read.Patch.on_grid",),
    "mask": ("engine.cube.scl_valid", "engine.cube.qa_pixel_valid", "engine.cube.pixel_qa_valid"),
    "scale": ("engine.cube.encode_reflectance", "engine.cube.encode_temperature", "engine.read.Patch.physical"),
    "speckle": ("engine.cube.refined_lee", "engine.cube.refined_lee_c2"),
    "composite": ("engine.cube.max_gcvi_update", "engine.cube.mean_update", "engine.cube.mean_finish"),
    "m-chi": ("engine.cube.m_chi",),
    "encode for Zarr": ("engine.pipeline.encode_layer",),
    "write": ("engine.objects.Objects.put",),
}
NUMPY: dict[str, Callable[..., Any]] = {
    f"engine.cube.{kernel.__name__}": kernel
    for kernel in (
        numpy_stage.encode_reflectance, numpy_stage.encode_temperature, numpy_stage.max_gcvi_update,
        numpy_stage.mean_finish, numpy_stage.mean_update, numpy_stage.refined_lee,
    )
}  # fmt: skip


class Clock:
    """Seconds by part; a part that calls another is charged only for what it does itself."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._under_way: list[str] = []
        self._since = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._charge()
        self._under_way.append(name)
        try:
            yield
        finally:
            self._charge()
            self._under_way.pop()

    def _charge(self) -> None:
        now = time.perf_counter()
        if self._under_way:
            self.seconds[self._under_way[-1]] += now - self._since
        self._since = now

    def timed(self, name: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def do_timed(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return do(*arguments, **named)

        return do_timed


class TimedSource:
    """A rasterio dataset whose opening and reading are told apart."""

    def __init__(self, clock: Clock, *arguments: Any, **named: Any) -> None:
        self._clock = clock
        with clock.part("open"):
            self._source = _OPEN(*arguments, **named)

    def close(self) -> None:
        with self._clock.part("open"):
            self._source.close()

    def read(self, *arguments: Any, **named: Any) -> Any:
        with self._clock.part("read and decode"):
            return self._source.read(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


_OPEN = rasterio.open


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=9, help="a square number; the first warms up")
    parser.add_argument("--px", type=int, default=256, help="side of a tile")
    parser.add_argument("--cadence", type=int, default=2, help="keep every n-th overpass")
    parser.add_argument("--numpy", action="store_true", help="compare with plain NumPy")
    parser.add_argument("--c2", action="store_true", help="with covariances too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder:
        root, side = Path(folder), round(arguments.tiles**0.5) * arguments.px
        context(f"Time of a cube tile of {arguments.px} px, one thread")
        made = country(root, -(-side // 6) * 6, arguments.cadence)
        spec = job(made, root, arguments.px, side=side)
        if arguments.c2:
            given = spec.model_dump(mode="json")["inputs"]
            c2 = {"catalog": str(made.items), "collection": "sentinel-1-c2"}
            spec = job(made, root, arguments.px, side=side, changes={"inputs": {**given, "c2": c2}})
        ours = measure(spec)
        show(*ours)
        if arguments.numpy:
            theirs = measure(spec, NUMPY)
            print("  the same with plain NumPy for the kernels:")
            show(*theirs)
            print(f"  NumPy's time over ours: {theirs[1].total() / ours[1].total():.2f}")
    closing()


def measure(spec: Spec, others: dict[str, Callable[..., Any]] | None = None) -> tuple[Plan, Counter[str]]:
    """Seconds by part, all tiles but the first together; ``others`` stand in for kernels."""
    plan, clock = fresh_plan(spec), Clock()
    layout = prepare(Objects(spec.cube.uri), plan.grid, plan.axes)
    read, ground, cube = SceneReader(plan.grid), Ground(plan.grid, plan.area, None), Objects(spec.cube.uri)
    with ExitStack() as patched:
        patched.enter_context(patch("engine.cube.get", lambda graph, keys, **_: dask.get(graph, keys)))
        patched.enter_context(patch("rasterio.open", lambda *a, **k: TimedSource(clock, *a, **k)))
        for target, other in (others or {}).items():
            patched.enter_context(patch(target, other))
        for name, targets in PARTS.items():
            for target in targets:
                patched.enter_context(timed_there(clock, name, target))
        for index, tile in enumerate(plan.tiles):
            if index == 1:
                clock.seconds.clear()
            with clock.part("everything else"):
                task = CubeTask(tile, plan.cube_key(index), 1, 1, plan.items_of(index))
                build_tile(task, layout, spec.cube, read, ground, cube)
    return plan, clock.seconds


def timed_there(clock: Clock, name: str, target: str) -> Any:
    """The function under this dotted name, timed while the context lasts."""
    owner, _, attribute = target.rpartition(".")
    return patch(target, clock.timed(name, getattr(pkgutil.resolve_name(owner), attribute)))


def show(plan: Plan, seconds: Counter[str]) -> None:
    """A line per part, the largest first."""
    tiles, whole = len(plan.tiles) - 1, sum(seconds.values())
    print(f"  {tiles} tiles after the first, {len(plan.links) / len(plan.tiles):.0f} items a tile")
    for name, value in seconds.most_common():
        print(f"  {name:<22}{1000 * value / tiles:9.1f} ms a tile{value / whole:8.1%}")
    print(f"  {'all':<22}{1000 * whole / tiles:9.1f} ms a tile, {tiles / whole:.2f} tiles a second and core")


if __name__ == "__main__":
    main()
