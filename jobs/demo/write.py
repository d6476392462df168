"""The made country on disk: cloud-optimised GeoTIFFs, a static STAC catalogue, the same items as one NDJSON, tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import rasterio
from numpy.typing import NDArray
from rasterio.warp import transform_geom

CRS = "EPSG:32631"
MADE = "made by tilth, not observed"
EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
]
COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
MULTIHASH_SHA256 = "1220"
"""Multihash code of SHA-256 and its length, in hexadecimal."""


@dataclass(frozen=True)
class Frame:
    """The square every raster of the country covers: upper left corner and side, in metres of the CRS."""

    left: float
    top: float
    side_m: float

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top)."""
        return self.left, self.top - self.side_m, self.left + self.side_m, self.top

    def transform(self, pixels: int) -> tuple[float, float, float, float, float, float]:
        """Affine coefficients (a, b, c, d, e, f) of a raster with ``pixels`` rows and columns."""
        step = self.side_m / pixels
        return (step, 0.0, self.left, 0.0, -step, self.top)

    def footprint(self) -> dict[str, Any]:
        """GeoJSON polygon in longitude and latitude, rounded to a centimetre."""
        x0, y0, x1, y1 = self.bounds
        ring = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
        shape = transform_geom(CRS, "EPSG:4326", {"type": "Polygon", "coordinates": [ring]})
        return {"type": "Polygon", "coordinates": [[[round(v, 7) for v in xy] for xy in shape["coordinates"][0]]]}

    def bbox(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) of the footprint, in degrees."""
        lon, lat = np.array(self.footprint()["coordinates"][0]).T
        return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())


@dataclass(frozen=True)
class Band:
    """One asset of a scene before it is written.

    values: (y, x), the numbers as stored. scale, offset: physical = DN * scale + offset; None where a class is meant.
    """

    values: NDArray
    nodata: float
    scale: float | None = None
    offset: float | None = None
    unit: str | None = None
    common_name: str | None = None


def write_cog(path: Path, values: NDArray, frame: Frame, nodata: float, *, classes: bool = False) -> None:
    """Write (y, x) ``values`` as a COG of 512-pixel blocks; overviews take the mean, or the mode of classes."""
    with rasterio.open(
        path,
        "w",
        driver="COG",
        height=values.shape[0],
        width=values.shape[1],
        count=1,
        dtype=values.dtype,
        crs=CRS,
        transform=rasterio.Affine(*frame.transform(values.shape[0])),
        nodata=nodata,
        blocksize=512 if len(values) > 512 else 256,
        compress="DEFLATE",
        level=1,
        predictor="NO" if classes else "YES",
        overview_resampling="MODE" if classes else "AVERAGE",
    ) as dataset:
        dataset.write(values, 1)


@dataclass(frozen=True)
class Scene:
    """One item before it is written; bands by asset name."""

    collection: str
    id: str
    moment: datetime
    """UTC, naive."""
    bands: Mapping[str, Band]
    properties: Mapping[str, Any]


def write_scene(root: Path, frame: Frame, scene: Scene) -> pystac.Item:
    """Write the bands below ``root/collection/id`` and give the STAC item that describes them."""
    folder = root / scene.collection / scene.id
    folder.mkdir(parents=True, exist_ok=True)
    item = pystac.Item(
        scene.id,
        frame.footprint(),
        list(frame.bbox()),
        scene.moment.replace(tzinfo=UTC),
        {**scene.properties, "description": MADE, "tilth:made": True, "proj:code": CRS},
        stac_extensions=EXTENSIONS,
        collection=scene.collection,
    )
    for name, band in scene.bands.items():
        path = folder / f"{name}.tif"
        write_cog(path, band.values, frame, band.nodata, classes=band.scale is None)
        item.add_asset(name, _asset(path, band, frame))
    return item


def _asset(path: Path, band: Band, frame: Frame) -> pystac.Asset:
    content = path.read_bytes()
    pixels = band.values.shape[0]
    raster: dict[str, Any] = {
        "data_type": str(band.values.dtype),
        "nodata": "nan" if np.isnan(band.nodata) else int(band.nodata),
        "spatial_resolution": frame.side_m / pixels,
    }
    raster |= {k: v for k in ("scale", "offset", "unit") if (v := getattr(band, k)) is not None}
    fields: dict[str, Any] = {
        "proj:shape": list(band.values.shape),
        "proj:transform": list(frame.transform(pixels)),
        "raster:bands": [raster],
        "file:checksum": MULTIHASH_SHA256 + hashlib.sha256(content).hexdigest(),
        "file:size": len(content),
    }
    if band.common_name:
        fields["eo:bands"] = [{"name": band.common_name, "common_name": band.common_name}]
    return pystac.Asset(path.name, media_type=COG_TYPE, roles=["data"], extra_fields=fields)


def write_catalogue(root: Path, frame: Frame, collections: Mapping[str, str], items: Sequence[pystac.Item]) -> None:
    """Write ``catalog.json`` with its collections and items, self-contained, and ``items.ndjson`` beside it.

    collections: id -> description. The NDJSON holds the same items with asset links relative to that file.
    """
    catalogue = pystac.Catalog("tilth-made-country", f"A country {MADE}.", title=f"Made country ({MADE})")
    with (root / "items.ndjson").open("w", encoding="utf-8", newline="\n") as lines:
        for name, description in collections.items():
            members = [item for item in items if item.collection_id == name]
            if not members:
                continue
            times = [item.datetime for item in members if item.datetime]
            extent = pystac.Extent(
                pystac.SpatialExtent([list(frame.bbox())]), pystac.TemporalExtent([[min(times), max(times)]])
            )
            collection = pystac.Collection(
                name, f"{description}. {MADE.capitalize()}.", extent, title=f"{name} ({MADE})", license="CC0-1.0"
            )
            for item in members:
                lines.write(json.dumps(_flat(item), separators=(",", ":")) + "\n")
            collection.add_items(members)
            catalogue.add_child(collection)
    catalogue.normalize_and_save(str(root), pystac.CatalogType.SELF_CONTAINED)


def _flat(item: pystac.Item) -> dict[str, Any]:
    flat = item.to_dict(include_self_link=False, transform_hrefs=False)
    flat["links"] = [{"rel": "collection", "href": f"{item.collection_id}/collection.json", "type": "application/json"}]
    for asset in flat["assets"].values():
        asset["href"] = f"{item.collection_id}/{item.id}/{asset['href']}"
    return flat
