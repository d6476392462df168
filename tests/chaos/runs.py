"""A run of the real command line in a process of its own, and what it has published and recorded so far."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil
import yaml

from engine.ledger import Ledger, Record
from engine.objects import Objects
from engine.work import LEDGER, cube_ledger
from jobs.demo.country import Country, CountryOptions, write_country
from tests.servers.process import REPO_ROOT, command_of, tail
from tests.servers.rays import is_actor

TILES = 34
CRS = "EPSG:32631"
_GONE_S = 40.0
_RAY_VARIABLES = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH")
"""Of a cluster of the test's; a run on its own starts its own Ray, as a user's does."""


@dataclass(frozen=True)
class Place:
    """A folder with a job.yaml whose cube, model and map lie beside it."""

    root: Path

    @property
    def job(self) -> Path:
        return self.root / "job.yaml"

    @property
    def map(self) -> str:
        return str(self.root / "map")

    @property
    def cube(self) -> str:
        return str(self.root / "cube.zarr")

    def records(self, stage: str) -> dict[str, Record]:
        """The newest record of every tile of a stage (cube, map) that has one."""
        return Ledger(self.ledger(stage)).load().latest

    def ledger(self, stage: str) -> Objects:
        return cube_ledger(self.cube) if stage == "cube" else Objects(self.map).child(LEDGER)

    def files(self, record: Record) -> list[Path]:
        """The files that a written record vouches for."""
        if "folder" in record.body:
            names = [*record.body["files"], "item.json"]
            return [self.root / "map" / record.body["folder"] / name for name in names]
        return [self.root / "cube.zarr" / key for key in record.body.get("checksums", {})]

    def count(self, stage: str) -> int:
        """Records of a stage, without reading them."""
        folder = Path(self.ledger(stage).uri)
        if any((folder / "snapshots").glob("*.parquet")):
            return len(self.records(stage))
        return sum(1 for _ in (folder / "records").glob("*.json"))

    def torn(self, stage: str) -> set[str]:
        """Tiles with a file in place and no record yet."""
        known = self.records(stage).keys()
        if stage == "map":
            return {path.parts[-3] for path in (self.root / "map" / "tiles").glob("*/*/*.tif")} - known
        found = (self.root / "cube.zarr" / "optical" / "c" / "0" / "0").glob("*/*")
        return {f"r{int(p.parts[-2]):04d}c{int(p.parts[-1]):04d}" for p in found if p.name.isdigit()} - known

    def published(self) -> dict[str, str]:
        """SHA-256 of everything that is published, by path; the run's own notes and the report are not."""
        found = {}
        for part in ("map", "cube.zarr", "model"):
            for path in sorted((self.root / part).rglob("*")):
                name = path.relative_to(self.root).as_posix()
                if path.is_file() and not name.startswith(f"map/{LEDGER}/") and name != "map/report.json":
                    found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found


def write_job(root: Path, country: Country, **compute: Any) -> Place:
    """A job on the made country: 34 tiles, two sensors, a forest that is grown in a moment."""
    catalog = str(country.items)
    west, south, east, north = country.bbox
    spec = {
        "name": "chaos",
        "area": {"bbox": [west + 2e-4, south + 2e-4, east - 2e-4, north - 2e-4]},
        "season": {"start": "2024-03-01", "end": "2024-09-01", "step_days": 10},
        "grid": {"crs": country.crs, "resolution": 10, "tile_px": 24},
        "inputs": {
            "optical": {"catalog": catalog, "collection": "sentinel-2-l2a", "max_cloud": 90},
            "thermal": {"catalog": catalog, "collection": "landsat-c2-l2-st"},
        },
        "cube": {"uri": str(root / "cube.zarr")},
        "labels": {"uri": str(country.labels[2024]), "legend": str(country.legend_csv), "block_m": 200},
        "model": {"uri": str(root / "model"), "train": {"family": "forest", "trees": 8, "max_samples_per_class": 200}},
        "output": {"uri": str(root / "map")},
        "compute": {"workers": {"max": 2}, **compute},
    }
    root.mkdir(parents=True, exist_ok=True)
    (root / "job.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    return Place(root)


@lru_cache
def make_country_once(root: Path) -> Country:
    """A country for all tests of a session, whichever of their folders asks first."""
    return write_country(root, CountryOptions(pixels=120, seed=3, cadence=6))


@lru_cache
def run_undisturbed_once(country_root: Path) -> Place:
    """What every disturbed run is compared with."""
    root = country_root.with_name("undisturbed")
    place = write_job(root, make_country_once(country_root), in_process=True)
    run_to_end(root / "log", "submit", str(place.job))
    assert len(place.records("map")) == TILES
    return place


@dataclass
class Driver:
    """A running ``tilth`` command."""

    process: subprocess.Popen[bytes]
    log: Path
    family: list[psutil.Process] = field(default_factory=list)
    """Every process that was ever seen below it."""

    def below(self) -> list[psutil.Process]:
        """The processes below the driver now."""
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.process.pid).children(recursive=True)
            self.family += [one for one in found if one not in self.family]
            return found
        return []

    def dask_workers(self) -> list[psutil.Process]:
        return [one for one in self.below() if "spawn_main" in command_of(one)]

    def ray_actors(self) -> list[psutil.Process]:
        return [one for one in self.below() if is_actor(one)]

    def raylets(self) -> list[psutil.Process]:
        return [one for one in self.below() if Path(command_of(one).split(" ")[0]).name == "raylet"]

    def kill(self) -> None:
        """SIGKILL for the driver alone."""
        self.below()
        self.process.kill()
        self.process.wait()

    @contextmanager
    def held(self) -> Iterator[None]:
        """The driver alone, stopped for the length of the block: small tiles would be done before one has looked."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def signal_group(self, number: int) -> None:
        """What a terminal does on Ctrl-C: the signal goes to every process of the foreground group."""
        self.below()
        os.killpg(self.process.pid, number)

    def ended(self, seconds: float = 240) -> int:
        """The exit code, once the command has ended; with its log in the error when it does not."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"still runs after {seconds:.0f} s:\n{self.told()}")
            self.below()
            time.sleep(0.5)  # to look through all processes is not cheap
        return int(self.process.returncode)

    def told(self) -> str:
        """All it has said."""
        return tail(self.log, 100)

    def leaves_nobody(self) -> bool:
        """True once every process that was seen below the driver is gone, waiting a while for the last."""
        _, alive = psutil.wait_procs(self.family, timeout=_GONE_S)
        return not alive


@contextmanager
def tilth(log: Path, *words: str, env: dict[str, str] | None = None) -> Iterator[Driver]:
    """``tilth WORDS`` in a session of its own; what is left of it when the block ends is killed."""
    settings = {name: value for name, value in os.environ.items() if name not in _RAY_VARIABLES}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobs", *words],
            cwd=REPO_ROOT,
            env=settings | {"PYTHONUNBUFFERED": "1"} | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    driver = Driver(process, log)
    try:
        yield driver
    finally:
        driver.below()
        for one in [psutil.Process(process.pid)] if process.poll() is None else []:
            one.kill()
        process.wait()
        for one in driver.family:
            with suppress(psutil.NoSuchProcess):
                one.kill()


def cluster_environment() -> dict[str, str]:
    """What a command needs to reach a Ray cluster of the test's own."""
    return {name: os.environ[name] for name in _RAY_VARIABLES if name in os.environ}


def run_to_end(log: Path, *words: str, env: dict[str, str] | None = None) -> str:
    """Run a command to its end, which must be a good one; what it said."""
    with tilth(log, *words, env=env) as driver:
        code = driver.ended()
        assert code == 0, f"exit code {code}:\n{driver.told()}"
        assert driver.leaves_nobody()
        return driver.told()


def long_training(place: Place) -> list[str]:
    """Words of a command that trains for longer than any test waits, in the driver's own process."""
    slow = ("family=tempcnn", "epochs=5000", "patience=5000")
    return ["train", str(place.job), *[word for change in slow for word in ("--set", f"model.train.{change}")]]


def wait_for(driver: Driver, ready: Callable[[], bool], seconds: float = 180, pause_s: float = 0.02) -> bool:
    """True once ``ready()``, False when the command ended before that; TimeoutError with its log after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not ready():
        if driver.process.poll() is not None:
            return False
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s in vain; the run said:\n{driver.told()}")
        time.sleep(pause_s)
    return True


def stamps(paths: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """(inode, time of change) of files: what changes when a file is written again, were it with the same bytes."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}
