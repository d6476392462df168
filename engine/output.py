"""Class map -> COGs and a STAC item, and over all tiles a collection and one mosaic index.

A COG is made in memory, checked by an independent reader, and then published by one PUT, under a name that carries
the tile's key. Nothing here depends on the clock: equal maps give equal bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from pydantic import Field
from rasterio.io import MemoryFile
from rasterio.shutil import copy as gdal_copy
from rio_cogeo.cogeo import cog_validate

from engine.earth import union_box
from engine.errors import TilthError
from engine.map_values import NODATA, MapValues, map_values
from engine.models.card import Card
from engine.models.familiarity import FALSE_ALARMS
from engine.types import ClassMap, Grid, Options, Tile

OUTPUT_VERSION = "output-2"
"""Raised whenever the bytes of published files change for the same map: it is part of every map tile's key."""

Product = Literal["class", "confidence", "familiarity"]


class ProfileOptions(Options):
    """How COGs are written."""

    compress: Literal["deflate", "zstd", "lzw"] = "deflate"
    """Compression of the published rasters, without loss."""
    blocksize: Annotated[int, Field(ge=128, le=4096, multiple_of=16)] = 512
    """Side of a raster's inner blocks in pixels."""


class OutputOptions(Options):
    """Where the map is published and which layers."""

    uri: str
    """Folder or s3://bucket/prefix that the map is published in."""
    products: Annotated[tuple[Product, ...], Field(min_length=1)] = ("class", "confidence", "familiarity")
    """Layers of the map: the winning class, its calibrated probability, and how familiar the pixel is to the model.
    Where the key is left out, a model that cannot tell the familiar maps without that layer."""
    unfamiliar: Literal["keep", "mask"] = "keep"
    """What becomes of pixels unlike all that the model was trained on: they keep their class, or are no data in every
    layer but familiarity, and are counted apart in the report."""
    unfamiliar_below: Annotated[int, Field(ge=1, le=50)] = FALSE_ALARMS
    """Pixels of a familiarity below this are told unfamiliar. So many in a hundred pixels of land like the validation
    samples are told so by mistake: the false alarms."""
    profile: ProfileOptions = ProfileOptions()
    """How the published rasters (COGs) are written."""
    codes: bool = False
    """Whether class.tif holds the crops' codes (uint16, or uint32 where one is larger; no data is the type's largest)
    instead of indices with a palette; classes.csv says which value is which crop."""

    @property
    def tells(self) -> bool:
        """Whether it is asked how familiar pixels are."""
        return "familiarity" in self.products or self.unfamiliar == "mask"


def cog_files(grid: Grid, tile: Tile, card: Card, classes: ClassMap, options: OutputOptions) -> dict[str, bytes]:
    """The tile's products as file name -> COG bytes, each checked."""
    held = map_values(card, options.codes)
    planes = {
        "class": held.plane(classes.class_index), "confidence": classes.confidence, "familiarity": classes.familiarity,
    }  # fmt: skip
    files = {}
    for product in options.products:
        plane = planes[product]
        if plane is None:  # of a model that cannot tell the familiar, as the job has said
            continue
        data = _cog(plane, grid, tile, product, card, options)
        _check(data, plane, f"tile {tile.id}, {product}")
        files[f"{product}.tif"] = data
    return files


def told_unfamiliar(classes: ClassMap, below: int) -> NDArray[np.bool_]:
    """(y, x) True where a mapped pixel's familiarity is below ``below``; nowhere, where it was not asked for."""
    if classes.familiarity is None:
        return np.zeros(classes.class_index.shape, np.bool_)
    return (classes.familiarity < below) & (classes.class_index != NODATA)


def without(classes: ClassMap, unfamiliar: NDArray[np.bool_]) -> ClassMap:
    """The map with no data for class and confidence of these pixels (y, x); their familiarity stays, and says why."""
    hidden = (np.where(unfamiliar, NODATA, plane) for plane in (classes.class_index, classes.confidence))
    index, confidence = (plane.astype(np.uint8) for plane in hidden)
    return replace(classes, class_index=index, confidence=confidence)


def stac_item(
    grid: Grid, tile: Tile, card: Card, files: Mapping[str, bytes], facts: Mapping[str, Any], *, codes: bool = False
) -> dict[str, Any]:
    """The tile's STAC 1.1 item; ``facts``: name, start, end (RFC 3339), version, model (digest), geometry, bbox.

    ``codes``: whether its classes are codes."""
    assets, held = {}, map_values(card, codes)
    for name, data in files.items():
        product = name.removesuffix(".tif")
        assets[product] = {
            "href": f"./{name}",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "title": _title(product, codes),
            "roles": ["data"],
            "data_type": held.dtype if product == "class" else "uint8",
            "nodata": held.nodata if product == "class" else NODATA,
            "file:size": len(data),
            "file:checksum": "1220" + hashlib.sha256(data).hexdigest(),
            **({"classification:classes": classification(card, held)} if product == "class" else {"unit": "%"}),
        }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [_PROJECTION, _CLASSIFICATION, _PROCESSING, _FILE],
        "id": f"{facts['name']}-{tile.id}",
        "collection": facts["name"],
        "geometry": facts["geometry"],
        "bbox": facts["bbox"],
        "properties": {
            "datetime": None,
            "start_datetime": facts["start"],
            "end_datetime": facts["end"],
            "proj:code": grid.crs,
            "proj:shape": list(tile.core.shape),
            "proj:transform": list(grid.transform(tile.core)),
            "processing:software": {"tilth": facts["version"]},
            "processing:lineage": f"model {card.name}, {facts['model']}",
        },
        "links": [
            {"rel": "root", "href": "../../../collection.json", "type": "application/json"},
            {"rel": "parent", "href": "../../../collection.json", "type": "application/json"},
            {"rel": "collection", "href": "../../../collection.json", "type": "application/json"},
        ],
        "assets": assets,
    }


def parcel_asset(data: bytes, href: str) -> dict[str, Any]:
    """The tile's parcel table, GeoParquet bytes published at ``href``, as an asset of its STAC item."""
    return {
        "href": href,
        "type": _PARQUET,
        "title": _TITLES["parcels"],
        "roles": ["data"],
        "file:size": len(data),
        "file:checksum": "1220" + hashlib.sha256(data).hexdigest(),
    }


def stac_collection(
    card: Card, items: Sequence[tuple[str, list[float]]], mosaics: Sequence[str], facts: Mapping[str, Any],
    *, parcels: bool = False, codes: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """The map's STAC collection; ``items``: (href, bbox) of every published tile; ``parcels``: a table per tile too;
    ``codes``: whether its classes are codes.

    ``facts``: as for ``stac_item``; ``model`` may be what is told of it, with whose its accuracy is.
    """
    told = "familiarity.gti.gpkg" in mosaics
    layers = "Class, confidence and familiarity" if told else "Class and confidence"
    boxes = [bbox for _, bbox in items] or [facts["bbox"]]
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [_CLASSIFICATION, _PROCESSING],
        "id": facts["name"],
        "title": f"Crop map {facts['name']}",
        "description": f"{layers} per pixel, {facts['start'][:10]} to {facts['end'][:10]}.",
        "license": "other",
        "extent": {"spatial": {"bbox": [union_box(boxes)]}, "temporal": {"interval": [[facts["start"], facts["end"]]]}},
        "item_assets": {
            "class": {
                "title": _title("class", codes),
                "classification:classes": classification(card, map_values(card, codes)),
            },
            "confidence": {"title": _TITLES["confidence"], "unit": "%"},
            **({"familiarity": {"title": _TITLES["familiarity"], "unit": "%"}} if told else {}),
            **({"parcels": {"title": _TITLES["parcels"], "type": _PARQUET}} if parcels else {}),
        },
        **({"tilth:model": facts["model"]} if "model" in facts else {}),
        "providers": [{"name": "Tilth", "roles": ["processor"], "processing:software": {"tilth": facts["version"]}}],
        "summaries": {"processing:software": [{"tilth": facts["version"]}]},
        "assets": {
            name: {
                "href": f"./{name}",
                "type": "application/geopackage+sqlite3",
                "roles": ["metadata"],
                "title": "mosaic index",
            }
            for name in mosaics
        }
        | {"classes": _CLASSES_ASSET}
        | ({"parcels": _PARCELS_ASSET} if parcels else {}),
        "links": [
            {"rel": "root", "href": "./collection.json", "type": "application/json"},
            *({"rel": "item", "href": href, "type": "application/geo+json"} for href, _ in items),
        ],
    }


def classification(card: Card, held: MapValues) -> list[dict[str, Any]]:
    """The card's classes as the STAC classification extension writes them."""
    return [
        {
            "value": value,
            "name": f"c{entry.code}",
            "title": entry.name,
            "description": f"{entry.name} (code {entry.code})",
            "color_hint": entry.colour.removeprefix("#").upper(),
        }
        for value, entry in zip(held.values.tolist(), card.classes, strict=True)
    ] + [{"value": held.nodata, "name": "nodata", "description": "no data", "nodata": True}]


_TITLES = {
    "class": "winning class, index into the legend",
    "confidence": "calibrated probability of the class, %",
    "familiarity": "share of known land that is no more like what the model was trained on, %; below 5: unfamiliar",
    "parcels": "crop of every parcel whose representative point lies on this tile",
}
_CLASSES_ASSET = {
    "href": "./classes.csv",
    "type": "text/csv",
    "roles": ["metadata"],
    "title": "value in class.tif, code, name and colour of every class",
}
_PARQUET = "application/vnd.apache.parquet"
_PARCELS_ASSET = {"href": "./parcels", "type": _PARQUET, "roles": ["data"], "title": "parcel tables, opened as one"}
_PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
_CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
_PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
_FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"


def _title(product: str, codes: bool) -> str:
    return "code of the winning class" if product == "class" and codes else _TITLES[product]


def _cog(values: NDArray[Any], grid: Grid, tile: Tile, product: str, card: Card, options: OutputOptions) -> bytes:
    height, width = values.shape
    nodata, profile = int(np.iinfo(values.dtype).max), options.profile
    flat = {"driver": "GTiff", "dtype": values.dtype, "count": 1, "height": height, "width": width, "nodata": nodata}
    georeference = {"crs": grid.crs, "transform": rasterio.Affine(*grid.transform(tile.core))}
    with rasterio.Env(GDAL_NUM_THREADS=1), MemoryFile() as plain, MemoryFile(ext=".tif") as cog:
        with plain.open(**flat, **georeference) as target:
            target.write(values, 1)
            target.set_band_description(1, product)
            if product == "class":
                held = map_values(card, options.codes)
                if not options.codes:  # a palette of uint16 would add a megabyte to every file
                    target.write_colormap(1, _palette(card))
                named = zip(held.values.tolist(), card.classes, strict=True)
                target.update_tags(1, **{f"CATEGORY_{value}": entry.name for value, entry in named})
        with plain.open() as source:
            gdal_copy(
                source,
                cog.name,
                driver="COG",
                COMPRESS=profile.compress.upper(),
                BLOCKSIZE=profile.blocksize,
                OVERVIEW_RESAMPLING="MODE" if product == "class" else "AVERAGE",
            )
        return bytes(cog.read())


def _check(data: bytes, values: NDArray[Any], place: str) -> None:
    """Refuse to publish what an independent validator does not call a COG or what does not read back as written."""
    with MemoryFile(data, ext=".tif") as file:
        good, errors, _ = cog_validate(file.name, quiet=True)
        with file.open() as source:
            same = np.array_equal(source.read(1), values)
    if not good or not same:
        raise TilthError(
            f"the COG made is not valid: {errors or 'it reads back otherwise than written'}",
            place=place,
            remedy="another GDAL build is in use than the one tested; see tilth doctor",
        )


def _palette(card: Card) -> dict[int, tuple[int, int, int, int]]:
    colours = {i: bytes.fromhex(entry.colour.removeprefix("#")) for i, entry in enumerate(card.classes)}
    return {i: (c[0], c[1], c[2], 255) for i, c in colours.items()} | {NODATA: (0, 0, 0, 0)}
