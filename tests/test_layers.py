"""The arrows of the house: kernels <- engine <- jobs; inside engine nouns <- stages <- stories <- drivers."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("kernels", "engine", "jobs")

NOUNS = {"bands", "claims", "colours", "earth", "errors", "memory", "types", "units"}
STAGES = {
    "accuracy", "assess", "catalog", "cube", "environment", "features", "fetch", "grid", "ground", "header", "ledger",
    "map_values", "models", "objects", "output", "parcels", "plausible", "points", "predict", "published", "rasters",
    "read", "s3", "samples", "signing", "steps", "store", "training", "vectors", "xarrays",
}  # fmt: skip
STORIES = {
    "judge", "keys", "look", "pairing", "parcel_samples", "parcel_tile", "pipeline", "plan", "seasons", "sparing",
    "survey", "train",
}  # fmt: skip
DRIVERS = {"executors", "run", "work"}
FLOORS = [NOUNS, STAGES, STORIES, DRIVERS]

SIDEWAYS = {
    ("read", "rasters"): "what a tile opened the next finds open",
    ("read", "header"): "how a raster is read is decided in one place",
    ("rasters", "header"): "a header is read once, when its raster is opened",
    ("read", "signing"): "a link is signed at the moment it is opened",
    ("cube", "read"): "the Patch that a reader gives is placed on the grid after despeckling",
    ("cube", "plausible"): "what cannot be is refused where it is read",
    ("store", "objects"): "a zarr shard is one object",
    ("ledger", "objects"): "a record, a snapshot and a lease are objects",
    ("objects", "s3"): "where S3 is, and as whom it is asked, is resolved in one place",
    ("read", "fetch"): "a raster is opened with patience in one place",
    ("ground", "fetch"): "a raster is opened with patience in one place",
    ("fetch", "signing"): "a link is signed at the moment it is opened",
    ("fetch", "environment"): "where nothing can be read, no scene is to blame",
    ("fetch", "s3"): "where S3 is, and as whom it is asked, is resolved in one place",
    ("catalog", "objects"): "fsspec's filesystems are opened in one place",
    ("grid", "vectors"): "the area may be a file of polygons",
    ("models", "objects"): "fsspec's filesystems are opened in one place",
    ("ground", "grid"): "the area's mask is the grid's",
    ("ground", "objects"): "a path is made absolute in one place",
    ("ground", "read"): "a mask is a raster like any other",
    ("samples", "ground"): "a label raster is read as a mask is",
    ("samples", "objects"): "a path is made absolute in one place",
    ("output", "models"): "palette and names come from the card",
    ("output", "map_values"): "what a pixel holds for a class is known in one place",
    ("points", "map_values"): "points are drawn from the classes that pixels hold",
    ("map_values", "models"): "values stand for the card's classes",
    ("parcels", "vectors"): "a register is a file of polygons",
    ("samples", "vectors"): "labels and regions may be files of polygons",
    ("parcels", "published"): "a table is read back before it is published",
    ("points", "published"): "a table is read back before it is published",
    ("points", "vectors"): "a sample's points are a file of vectors",
    ("vectors", "objects"): "fsspec's filesystems are opened in one place",
    ("parcels", "objects"): "a register is a file that a person named, its parts are objects",
    ("parcels", "models"): "crops are named by the card",
    ("predict", "models"): "forward passes are the model's",
    ("training", "models"): "what is trained is a model",
    ("training", "accuracy"): "what is trained is judged",
    ("training", "features"): "what was known at a drawn cut-off is filled as a map's input is",
    ("assess", "accuracy"): "the same scores, resampled and permuted",
    ("points", "assess"): "points are drawn by a design",
    ("points", "read"): "its pixels are read whole, as any raster's are",
    ("points", "objects"): "points are a file that a person named",
    ("points", "ground"): "a map's tile is a raster like any other",
}
"""The only imports between stages: (who, whom) -> why."""


def modules(folder: str) -> Iterator[tuple[str, Path]]:
    """(dotted name, file) of every module in a top folder."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative path"
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def room(name: str) -> str | None:
    """The room of the engine that a dotted name lies in."""
    parts = name.split(".")
    return parts[1] if parts[0] == "engine" and len(parts) > 1 else None


def floor(name: str) -> int:
    """The floor of a room, counted from the nouns."""
    return next(level for level, rooms in enumerate(FLOORS) if name in rooms)


def test_a_top_folder_imports_only_itself_and_what_lies_below_it() -> None:
    for level, folder in enumerate(FOLDERS):
        above = {*FOLDERS[level + 1 :], "tests", "deploy"}
        for name, path in modules(folder):
            wrong = {other for other in imports(path) if other.split(".")[0] in above}
            assert not wrong, f"{name} must not import {sorted(wrong)}"


def test_kernels_are_arithmetic_on_numpy_and_numba_alone() -> None:
    allowed = {"numpy", "numba", "llvmlite", "kernels", "__future__", "collections", "functools", "math", "typing"}
    for name, path in modules("kernels"):
        wrong = {other for other in imports(path) if other.split(".")[0] not in allowed}
        assert not wrong, f"{name} must not import {sorted(wrong)}"


def test_every_room_of_the_engine_has_a_floor() -> None:
    rooms = {path.stem for path in (ROOT / "engine").glob("*.py")} | {
        path.parent.name for path in (ROOT / "engine").glob("*/__init__.py")
    }
    unknown = rooms - {"__init__"} - set().union(*FLOORS)
    assert not unknown, f"say in this test on which floor {sorted(unknown)} stand"


def test_no_arrow_in_the_engine_points_up_a_floor() -> None:
    for name, path in modules("engine"):
        mine = room(name)
        for other in sorted(imports(path)):
            theirs = room(other)
            if mine and theirs and theirs != mine:
                assert floor(theirs) <= floor(mine), f"{name} imports {other}, which stands above it"


def test_stages_know_each_other_only_where_a_reason_is_written_down() -> None:
    used = set()
    for name, path in modules("engine"):
        mine = room(name)
        for theirs in {room(other) for other in imports(path)} - {mine, None}:
            if mine in STAGES and theirs in STAGES:
                used.add((mine, theirs))
    assert used - set(SIDEWAYS) == set(), "a new import between stages: remove it, or write its reason above"
    assert set(SIDEWAYS) - used == set(), "these imports are gone: take their reasons out of the table"


def test_nothing_in_the_engine_imports_in_a_circle() -> None:
    arrows: dict[str, set[str]] = {}
    for name, path in modules("engine"):
        mine = room(name)
        if mine:
            theirs = {other for imported in imports(path) if (other := room(imported)) and other != mine}
            arrows.setdefault(mine, set()).update(theirs)
    while arrows:
        free = [name for name, targets in arrows.items() if not targets & set(arrows)]
        assert free, f"a circle among {sorted(arrows)}"
        for name in free:
            del arrows[name]


HEAVY = {
    "engine.types": ("torch", "rasterio", "ray", "dask", "distributed", "sklearn", "xarray", "zarr"),
    "engine.errors": ("torch", "rasterio", "ray", "dask", "distributed", "numpy", "zarr"),
    "engine.pipeline": ("ray", "distributed", "torch", "sklearn"),
    "engine.plan": ("ray", "distributed", "torch", "sklearn"),
    "engine.run": ("ray", "distributed", "torch", "sklearn"),
    "engine.executors.local": ("ray", "distributed", "torch", "sklearn"),
    "jobs.spec": ("ray", "distributed", "torch", "sklearn"),
    "jobs.cli": ("ray", "distributed", "torch", "sklearn", "rasterio", "zarr"),
}
"""Module -> what must not come along with it, not even through others."""


@pytest.mark.parametrize("name", HEAVY)
def test_importing_a_light_module_brings_nothing_heavy_along(name: str) -> None:
    script = f"import {name}, sys; print(*[m for m in {HEAVY[name]!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_no_stage_or_story_but_models_and_training_knows_how_a_model_works() -> None:
    for name, path in modules("engine"):
        if room(name) in (STAGES | STORIES) - {"models", "training"}:
            named = {other for other in imports(path) if other.split(".")[0] in ("torch", "sklearn", "skops")}
            assert not named, f"{name} imports {named}"


def test_deploy_holds_settings_and_no_python() -> None:
    assert not list((ROOT / "deploy").rglob("*.py"))
