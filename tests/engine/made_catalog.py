"""Real items of public catalogues, and Flanders' own, for the tests of the catalogue."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pystac
import pytest
import shapely

from engine.catalog import (
    SourceOptions,
)

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
FLANDERS = DATA / "flanders-2018" / "items.ndjson"
FIELD = shapely.box(3.0193, 50.8131, 3.0284, 50.8188)
WORLD = shapely.box(-180, -90, 180, 90)
YEAR = (datetime(2018, 1, 1), datetime(2018, 12, 1))
EVER = (datetime(1970, 1, 1), datetime(2040, 1, 1))

HERE = pytest.mark.skipif(not FLANDERS.is_file(), reason="the shared data are not here")


def documents(name: str) -> list[dict[str, Any]]:
    path = FLANDERS if name == "flanders" else DATA / "stac-items" / f"{name}.ndjson"
    return [json.loads(line) for line in path.read_text().splitlines()]


def item(name: str, start: str = "", **properties: Any) -> pystac.Item:
    """The first real item of a file whose id begins so, some of its properties changed (None removes one)."""
    document = next(d for d in documents(name) if d["id"].startswith(start))
    changed = {**document["properties"], **properties}
    document["properties"] = {key: value for key, value in changed.items() if value is not None or key == "datetime"}
    return pystac.Item.from_dict(document, migrate=False)


def of_satellite(scene: pystac.Item, short: str, platform: str) -> pystac.Item:
    """The item as if another satellite had taken it: ``short`` (S2B, LE07) begins its names."""
    for key in ("s2:product_uri", "landsat:scene_id"):
        if key in scene.properties:
            scene.properties[key] = short + scene.properties[key].removeprefix(scene.properties[key][: len(short)])
    scene.id = short + scene.id[len(short) :]
    scene.properties["platform"] = platform
    return scene


def earth_search(**options: Any) -> SourceOptions:
    return SourceOptions(catalog="https://earth-search.example/v1", collection="sentinel-2-l2a", **options)


def copy_with(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A deep copy with top-level fields or (``p_`` in front) properties changed."""
    copy = json.loads(json.dumps(document))
    for key, value in changes.items():
        if key.startswith("p_"):
            copy["properties"][key[2:].replace("__", ":")] = value
        else:
            copy[key] = value
    return copy


def write_ndjson(path: Path, items: list[dict[str, Any]]) -> SourceOptions:
    path.write_text("".join(json.dumps(document) + "\n" for document in items))
    return SourceOptions(catalog=str(path), collection="sentinel-2-l2a")


def absolute_flanders() -> list[dict[str, Any]]:
    """Flanders' items with absolute paths, so that they can be catalogued from elsewhere."""
    found = documents("flanders")
    for document in found:
        for asset in document["assets"].values():
            asset["href"] = str((FLANDERS.parent / asset["href"]).resolve())
    return found
