"""A scene archive that tests may damage, mend and add to: a copy of the made country's scenes and its catalogue."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.warp import Resampling, calculate_default_transform, reproject

from jobs.demo import Country

Document = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Half-open pixel ranges of the country's 10 m lattice, from its upper left corner."""

    y0: int
    y1: int
    x0: int
    x1: int


class Archive:
    """Scenes below ``root`` and the NDJSON that lists them; ``save`` writes the catalogue."""

    def __init__(self, country: Country, root: Path) -> None:
        self.country, self.root = country, root
        self.catalog = root / "items.ndjson"
        self.items: dict[str, Document] = {}
        for line in country.items.read_text().splitlines():
            item = json.loads(line)
            if item["properties"]["datetime"].startswith("2024"):
                self.items[item["id"]] = item
        for collection in {item["collection"] for item in self.items.values()}:
            shutil.copytree(country.root / collection, root / collection)
        self.save()

    def save(self) -> Archive:
        self.catalog.write_text("".join(json.dumps(item) + "\n" for item in self.items.values()))
        return self

    def of(self, collection: str) -> list[str]:
        """Ids of a collection's scenes, earliest first."""
        mine = [item for item in self.items.values() if item["collection"] == collection]
        return [item["id"] for item in sorted(mine, key=lambda item: str(item["properties"]["datetime"]))]

    def path(self, item: str, asset: str) -> Path:
        return self.root / self.items[item]["assets"][asset]["href"]

    def add(self, source: str, name: str, *, day: str, place: Place | None = None, crs: str | None = None) -> Document:
        """A new scene ``name`` of ``day``, the part of ``source`` at ``place``, or all of it moved to another CRS."""
        item = copy.deepcopy(self.items[source])
        item["id"] = name
        clock = str(item["properties"]["datetime"])[10:]
        item["properties"] |= {"datetime": day + clock, **({"proj:code": crs} if crs else {})}
        item["properties"].pop("s2:datatake_id", None)
        for key, asset in item["assets"].items():
            old = self.path(source, key)
            asset["href"] = f"{item['collection']}/{name}/{old.name}"
            new = self.root / asset["href"]
            new.parent.mkdir(parents=True, exist_ok=True)
            if crs:
                _move(old, new, crs)
            else:
                _cut(old, new, place)
        self.items[name] = item
        if place is not None:
            item["geometry"] = self._outline(place)
            item["bbox"] = list(shapely.geometry.shape(item["geometry"]).bounds)
        return self.seal(name)

    def change(self, item: str, change: Callable[[NDArray], NDArray], *assets: str) -> Document:
        """Write other pixels into a scene's assets, and its new checksums into the catalogue."""
        for key in assets or tuple(self.items[item]["assets"]):
            path = self.path(item, key)
            with rasterio.open(path) as source:
                values, profile = source.read(1), source.profile
            path.unlink()
            _write(path, change(values).astype(values.dtype), profile)
        return self.seal(item)

    def seal(self, name: str) -> Document:
        """State each asset's checksum, shape and place as its file has them now."""
        item = self.items[name]
        for key, asset in item["assets"].items():
            data = self.path(name, key).read_bytes()
            asset |= {"file:checksum": "1220" + hashlib.sha256(data).hexdigest(), "file:size": len(data)}
            with rasterio.open(self.path(name, key)) as source:
                asset |= {"proj:shape": list(source.shape), "proj:transform": list(source.transform)[:6]}
        return item

    def _outline(self, place: Place) -> Mapping[str, Any]:
        left, _, _, top = self.country.bounds
        box = shapely.box(left + place.x0 * 10, top - place.y1 * 10, left + place.x1 * 10, top - place.y0 * 10)
        back = Transformer.from_crs(self.country.crs, "EPSG:4326", always_xy=True)
        lonlat = shapely.transform(box, lambda xy: np.column_stack(back.transform(xy[:, 0], xy[:, 1])))
        return dict(shapely.geometry.mapping(lonlat))


def truncate(path: Path) -> bytes:
    """Cut a file to 60 % of its bytes and return what it held."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    return whole


def strip_georeference(path: Path) -> bytes:
    """Rewrite a raster without CRS and geotransform and return what the file held."""
    whole = path.read_bytes()
    with rasterio.open(path) as source:
        values, profile = source.read(1), source.profile
    path.unlink()
    _write(path, values, {**profile, "crs": None, "transform": Affine.identity()})
    return whole


def _cut(old: Path, new: Path, place: Place | None) -> None:
    with rasterio.open(old) as source:
        values, profile = source.read(1), source.profile
    if place is not None:
        step = round(profile["transform"].a / 10)
        y, x = slice(place.y0 // step, place.y1 // step), slice(place.x0 // step, place.x1 // step)
        values = values[y, x]
        corner = profile["transform"] @ Affine.translation(x.start, y.start)
        profile |= {"height": values.shape[0], "width": values.shape[1], "transform": corner}
    _write(new, values, profile)


def _move(old: Path, new: Path, crs: str) -> None:
    with rasterio.open(old) as source:
        transform, width, height = calculate_default_transform(
            source.crs, crs, source.width, source.height, *source.bounds, resolution=source.res
        )
        values = np.full((height, width), source.nodata or 0, source.dtypes[0])
        reproject(
            source.read(1), values, src_transform=source.transform, src_crs=source.crs, src_nodata=source.nodata,
            dst_transform=transform, dst_crs=crs, dst_nodata=source.nodata, resampling=Resampling.nearest,
        )  # fmt: skip
        profile = {**source.profile, "crs": crs, "transform": transform, "height": height, "width": width}
    _write(new, values, profile)


def _write(path: Path, values: NDArray, profile: Mapping[str, Any]) -> None:
    plain = {k: profile[k] for k in ("crs", "transform", "dtype", "nodata", "height", "width")}
    with rasterio.open(path, "w", driver="GTiff", count=1, compress="deflate", tiled=False, **plain) as target:
        target.write(values, 1)
