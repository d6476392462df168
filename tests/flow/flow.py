"""Jobs run as a user runs them, and what they leave behind: bytes, pixels, records."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
import zarr
from numpy.typing import NDArray
from zarr.storage import ObjectStore

from engine.ledger import Ledger, Record
from engine.objects import Objects
from engine.work import LEDGER, cube_ledger
from tests.servers.process import REPO_ROOT

PATIENCE_S = 240
NOT_PUBLISHED = (f"{LEDGER}/", "report.json", "map.png", "older/")
"""What may differ between two runs that publish the same: notes to themselves, what shows labels beside the map,
and what was said of maps before it."""


@dataclass(frozen=True)
class Told:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


def command(*arguments: str) -> list[str]:
    """``tilth ...`` by the interpreter that runs the tests."""
    return [sys.executable, "-W", "ignore", "-m", "jobs", *arguments]


def tilth(*arguments: str, expect: int | None = 0, env: Mapping[str, str] | None = None) -> Told:
    """Run a command to its end; AssertionError with all it said where it ends with another code than ``expect``."""
    done = subprocess.run(
        command(*arguments),
        cwd=REPO_ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    told = Told(done.returncode, done.stdout, done.stderr)
    assert expect is None or told.code == expect, f"{arguments} ended with {told.code}\n{told.all}"
    return told


@dataclass(frozen=True)
class Job:
    """A spec and the folder its YAML is written to. ``with_`` gives another spec, nothing is changed in place."""

    folder: Path
    spec: Mapping[str, Any]

    @property
    def cube(self) -> str:
        return str(self.spec["cube"]["uri"])

    @property
    def model(self) -> str:
        return str(self.spec["model"]["uri"])

    @property
    def map(self) -> str:
        return str(self.spec["output"]["uri"])

    @property
    def yaml(self) -> str:
        """Path of the spec, written now."""
        path = self.folder / "job.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(json.loads(json.dumps(self.spec)), sort_keys=False))
        return str(path)

    def with_(self, changes: Mapping[str, Any]) -> Job:
        """The spec with dotted keys set: ``{"grid.tile_px": 13}``; None removes a key of the first level."""
        spec = copy.deepcopy(dict(self.spec))
        for key, value in changes.items():
            *above, last = key.split(".")
            inner = spec
            for part in above:
                inner = inner.setdefault(part, {})
            if value is None and not above:
                inner.pop(last, None)
            else:
                inner[last] = value
        return replace(self, spec=spec)

    def at(self, place: str | Path, folder: Path | None = None) -> Job:
        """The job with its cube and map below ``place``; the model stays where it is."""
        moved = self.with_({"cube.uri": f"{place}/cube.zarr", "output.uri": f"{place}/map"})
        return replace(moved, folder=folder or Path(place))

    def copied_to(self, place: Path) -> Job:
        """The job and its finished local cube and map, copied below ``place``."""
        new = self.at(place)
        for old_uri, new_uri in ((self.cube, new.cube), (f"{self.cube}.ledger", f"{new.cube}.ledger")):
            shutil.copytree(old_uri, new_uri)
        shutil.copytree(self.map, new.map)
        return new

    def submit(self, expect: int = 0) -> Told:
        return tilth("submit", self.yaml, expect=expect)

    def build_cube(self) -> Told:
        return tilth("cube", self.yaml)

    def predict(self, expect: int = 0) -> Told:
        return tilth("predict", self.yaml, expect=expect)

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(Objects(self.map).get("report.json"))
        return found

    def records(self, stage: str) -> dict[str, Record]:
        """Newest record of every tile of ``cube`` or ``map``."""
        return Ledger(cube_ledger(self.cube) if stage == "cube" else Objects(self.map).child(LEDGER)).load().latest

    def published(self) -> dict[str, bytes]:
        """Every published file, COGs, items, collection and mosaics, by its path below the map."""
        output = Objects(self.map)
        keys = [e.key for e in output.entries() if not e.key.startswith(NOT_PUBLISHED)]
        return dict(zip(keys, output.get_many(keys), strict=True))

    def product(self, name: str) -> NDArray[np.uint8]:
        """The whole map of one product, read through its mosaic index."""
        with rasterio.open(f"{self.map}/{name}.gti.gpkg") as source:
            return source.read(1)

    def cube_arrays(self) -> dict[str, NDArray]:
        """Every array of the cube but its shard layout: layers, counts, coordinates."""
        root = zarr.open_group(ObjectStore(Objects(self.cube).obstore, read_only=True), mode="r")
        return {name: np.asarray(array[...]) for name, array in root.arrays() if name != "spatial_ref"}


def anew(before: Mapping[str, Record], after: Mapping[str, Record]) -> set[str]:
    """Tiles whose record is another one than before."""
    return {tile for tile, record in after.items() if tile not in before or before[tile].seq != record.seq}


def assert_same_published(one: Job, other: Job) -> None:
    """Both maps hold the same files with the same bytes, and something at all."""
    first, second = one.published(), other.published()
    assert first and sorted(first) == sorted(second)
    assert [key for key in first if first[key] != second[key]] == []
    tiles = [key for key in first if key.endswith("class.tif")]
    assert tiles and {"collection.json", "class.gti.gpkg"} <= set(first)
