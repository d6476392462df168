# ruff: noqa: E501 (one case to a line: the lists are read as tables)
"""Ways to get a spec wrong, each with the words that the refusal must hold: the value, the place, a way out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine

from engine.models import Card, ClassEntry, Domain, Recipe, write_model
from tests.servers.process import free_port
from tests.servers.stac import read_items

REMOVED = object()
BOX = [3.0193, 50.8131, 3.0284, 50.8188]

Change = dict[str, Any]
"""Dotted keys and their values; ``REMOVED`` takes a key away."""


@dataclass(frozen=True)
class Wrong:
    """One way. ``change`` may be a function of (an empty folder, the real data's folder) that lays files out first."""

    name: str
    change: Change | Callable[[Path, Path], Change]
    words: tuple[str, ...]


PARSED = [
    Wrong("no area", {"area": REMOVED}, ("area: is missing", "add it")),
    Wrong("no season", {"season": REMOVED}, ("season: is missing", "tilth init")),
    Wrong("no collection", {"inputs.radar.collection": REMOVED}, ("inputs.radar.collection: is missing",)),
    Wrong("area without box or file", {"area": {}}, ("area", "neither", "bbox and file")),
    Wrong("area with box and file", {"area.file": "a.gpkg"}, ("area", "both", "keep one of them")),
    Wrong("unknown key at the top", {"seson": 1}, ("seson", "unknown key", "did you mean season?")),
    Wrong("unknown key in grid", {"grid.tile_size": 9}, ("grid.tile_size", "unknown key", "tile_px")),
    Wrong("unknown key in a source", {"inputs.optical.max_clouds": 5}, ("inputs.optical.max_clouds", "max_cloud?")),
    Wrong("unknown sensor", {"inputs.optcal": {}}, ("inputs.optcal", "did you mean optical?")),
    Wrong("unknown key deep down", {"model.train.epoch": 3}, ("model.train.epoch", "did you mean epochs?")),
    Wrong("unknown key three levels down", {"compute.workers.maximum": 3}, ("compute.workers.maximum", "max")),
    Wrong("box of three numbers", {"area.bbox": BOX[:3]}, ("area.bbox", "3.0193", "too few values")),
    Wrong("box reversed", {"area.bbox": [3.02, 50.81, 3.01, 50.82]}, ("area.bbox", "3.02", "order it as [3.01, 50.81")),
    Wrong("box in metres", {"area.bbox": [501360, 5629040, 502000, 5629680]}, ("area.bbox", "leaves the globe", "metres")),
    Wrong("box with text", {"area.bbox": ["west", 1, 2, 3]}, ("area.bbox", "'west'", "a number")),
    Wrong("area of unknown format", {"area": {"file": "a.dwg"}}, ("area.file", "'a.dwg'", ".gpkg", "ogr2ogr")),
    Wrong("season reversed", {"season.end": "2017-01-01"}, ("season.start 2018-01-01", "season.end 2017-01-01", "swap")),
    Wrong("season of five years", {"season.end": "2023-01-01"}, ("season", "1826 days", "a job per season")),
    Wrong("a thirteenth month", {"season.start": "2018-13-01"}, ("season.start", "2018-13-01", "a day such as")),
    Wrong("as_of before the first step", {"season.as_of": "2018-01-05"}, ("season.as_of 2018-01-05", "later day")),
    Wrong("random cut-offs without a range", {"model.train": {"family": "clec", "cascade": {"cutoff": "random"}}}, ("model.train.cascade", "without from_step", "from_step: 9")),
    Wrong("random cut-offs from the third step", {"model.train": {"family": "clec", "cascade": {"cutoff": "random", "from_step": 3}}}, ("model.train.cascade.from_step", "3", "4")),
    Wrong("random cut-offs from the last step", {"model.train": {"family": "clec", "cascade": {"cutoff": "random", "from_step": 34}}}, ("from_step 34", "34 steps", "less than 34")),
    Wrong("random cut-offs of a season cut off", {"season.as_of": "2018-07-01", "model.train": {"family": "clec", "cascade": {"cutoff": "random", "from_step": 9}}}, ("season.as_of 2018-07-01", "a season that is over", "take season.as_of out")),
    Wrong("random cut-offs of a family that forecasts nothing", {"model.train": {"family": "dcm", "cascade": {"cutoff": "random", "from_step": 9}}}, ("model.train", "family dcm", "clec alone")),
    Wrong("random cut-offs with virtual labels", {"model.train": {"family": "clec", "virtual": {}, "cascade": {"cutoff": "random", "from_step": 9}}}, ("model.train", "virtual", "leave virtual out")),
    Wrong("a range for a fixed cut-off", {"model.train": {"family": "clec", "cascade": {"from_step": 9}}}, ("model.train.cascade", "from_step 9", "cutoff: random")),
    Wrong("a mask channel for a fixed cut-off", {"model.train": {"family": "clec", "cascade": {"mask_channel": True}}}, ("model.train.cascade", "mask_channel", "take it out")),
    Wrong("step of no days", {"season.step_days": 0}, ("season.step_days", "0", "1 to 366")),
    Wrong("text for a number", {"season.step_days": "ten"}, ("season.step_days", "'ten'", "a whole number")),
    Wrong("a broken number", {"grid.tile_px": 31.5}, ("grid.tile_px", "31.5", "a whole number")),
    Wrong("resolution below zero", {"grid.resolution": -10}, ("grid.resolution", "-10", "greater than 0")),
    Wrong("tile of no pixels", {"grid.tile_px": 0}, ("grid.tile_px", "0", "greater than or equal to 1")),
    Wrong("cloud limit above all", {"inputs.optical.max_cloud": 150}, ("inputs.optical.max_cloud", "150", "100")),
    Wrong("no sensor", {"inputs": {}}, ("inputs", "no sensor", "optical, radar, thermal")),
    Wrong("a list for keys", {"grid": ["EPSG:32631", 10]}, ("grid", "keys with values")),
    Wrong("catalogue without TLS", {"inputs.radar.catalog": "http://example.org/stac"}, ("inputs.radar.catalog", "http://example.org/stac", "https")),
    Wrong("asset under their name", {"inputs.optical.assets": {"B04": "red"}}, ("inputs.optical.assets", "B04", "our band name")),
    Wrong("unknown signer", {"inputs.optical.sign": "azure"}, ("inputs.optical.sign", "'azure'", "planetary-computer")),
    Wrong("unknown layer", {"cube.layers": ["optcal"]}, ("cube.layers", "'optcal'", "did you mean optical?")),
    Wrong("layer without its input", {"inputs.thermal": REMOVED, "cube.layers": ["thermal"]}, ("cube.layers", "thermal", "inputs.thermal")),
    Wrong("unknown feature", {"model.features": ["ndvi", "ndwi"]}, ("model.features", "'ndwi'", "did you mean ndvi?")),
    Wrong("feature without its input", {"inputs.thermal": REMOVED, "model.features": ["lst"]}, ("model.features", "lst", "inputs.thermal", "add it")),
    Wrong("name with spaces", {"name": "Flanders 2018"}, ("name", "'Flanders 2018'", "lower-case")),
    Wrong("name is a number", {"name": 2018}, ("name", "2018", "quotes")),
    Wrong("cube and map in one place", {"cube.uri": "work/x", "output.uri": "work/x"}, ("cube.uri", "output.uri", "work/x", "place of its own")),
    Wrong("output nowhere", {"output.uri": ""}, ("output.uri", "empty", "s3://bucket/prefix")),
    Wrong("unknown product", {"output.products": ["clas"]}, ("output.products", "'clas'", "did you mean class?")),
    Wrong("smoothing without Whittaker", {"model.smoothing": 5}, ("model", "smoothing 5", "whittaker")),
    Wrong("smoothing beyond what arithmetic bears", {"model.fill": "whittaker", "model.smoothing": 1e16},
          ("model.smoothing", "1e+16", "10000000000")),
    Wrong("unknown model family", {"model.train.family": "cnn"}, ("model.train.family", "'cnn'", "tempcnn")),
    Wrong("forest that goes on", {"model.train": {"family": "forest", "start_from": "there"}}, ("model.train", "start_from is for networks")),
    Wrong("forest that mixes", {"model.train": {"family": "forest", "imbalance": "mixup"}}, ("model.train", "'mixup'", "balanced_loss")),
    Wrong("unknown device", {"model.train.device": "tpu"}, ("model.train.device", "'tpu'", "cuda:0")),
    Wrong("labels of nothing", {"labels.uri": None}, ("labels", "uri is missing", "labels.seasons")),
    Wrong("labels of another season without a cube", {"labels.seasons": [{"uri": "a.tif"}]}, ("labels.seasons", "cube", "is missing")),
    Wrong("another season misspelt", {"labels.seasons": [{"cub": "c", "uri": "a.tif"}]}, ("labels.seasons.cub", "did you mean cube?")),
    Wrong("a season for nothing known", {"labels.seasons": [{"cube": "c", "uri": "a.tif", "part": "tests"}]}, ("labels.seasons", "'tests'", "did you mean test?")),
    Wrong("one season twice", {"labels.seasons": [{"cube": "c", "uri": "a.tif"}, {"cube": "c", "uri": "b.tif"}]}, ("labels.seasons", "the cube c", "twice", "once")),
    Wrong("no season to learn from", {"labels.uri": None, "labels.seasons": [{"cube": "c", "uri": "a.tif", "part": "test"}]}, ("labels", "every season is held", "part: any")),
    Wrong("part of no labels", {"labels.uri": None, "labels.part": "test", "labels.seasons": [{"cube": "c", "uri": "a.tif"}]}, ("labels", "part test without uri", "name the labels")),
    Wrong("another season is this one", lambda f, _: {"labels.seasons": [{"cube": str(f / "cube.zarr"), "uri": "a.tif"}]}, ("labels.seasons", "cube.uri itself", "labels.uri")),
    Wrong("regions without a name", {"labels.regions": {"uri": "r.gpkg"}}, ("labels.regions", "no region is named", "validation or test")),
    Wrong("region held twice", {"labels.regions": {"uri": "r.gpkg", "test": ["A"], "validation": ["A"]}}, ("labels.regions", "'A'", "keep it in one")),
    Wrong("border below zero", {"labels.border_m": -5}, ("labels.border_m", "-5", "greater than or equal to 0")),
    Wrong("adversarial for another family", {"model.train": {"family": "tempcnn", "adversarial": {}}}, ("model.train", "family tempcnn", "agrispec")),
    Wrong("adversarial with mixup", {"model.train": {"family": "agrispec", "imbalance": "mixup", "adversarial": {}}}, ("model.train", "mixup", "another imbalance")),
    Wrong("adversarial without another season", {"model.train": {"family": "agrispec", "adversarial": {}}}, ("model.train.adversarial", "labels.seasons", "other seasons")),
    Wrong("adversarial that learns from the season itself", {"model.train": {"family": "agrispec", "adversarial": {}}, "labels.seasons": [{"cube": "c", "uri": "a.tif"}]}, ("model.train.adversarial", "labels.part any", "part: test")),
    Wrong("adversarial of one series", {"model.train": {"family": "agrispec", "adversarial": {"series": 1}}}, ("model.train.adversarial.series", "1", "greater than or equal to 2")),
    Wrong("budget below zero", {"budget.max_hours": -1}, ("budget.max_hours", "-1", "greater than 0")),
    Wrong("budget in words", {"budget.max_cost": "cheap"}, ("budget.max_cost", "'cheap'", "a number")),
    Wrong("bytes in flight of nothing", {"compute.bytes_in_flight": 10}, ("compute.bytes_in_flight", "10", "1000000")),
    Wrong("yes for a number", {"compute.retries": "often"}, ("compute.retries", "'often'", "a whole number")),
]  # fmt: skip


def area_of(folder: Path, **frame: Any) -> Change:
    """An area file of these geometries."""
    gpd.GeoDataFrame(**frame).to_file(folder / "area.gpkg")
    return {"area": {"file": str(folder / "area.gpkg")}}


def under_way(folder: Path, data: Path) -> Change:
    """A season of which half is still to come, for a model of random cut-offs."""
    today, half = datetime.now(UTC).date(), timedelta(days=150)
    cascade = {"family": "clec", "cascade": {"cutoff": "random", "from_step": 9}}
    return {"season.start": str(today - half), "season.end": str(today + half), "model.train": cascade}


def parcels(folder: Path, codes: list[Any], crs: str | None = "EPSG:4326", column: str = "crop_code") -> Change:
    """Labels as polygons with these codes, all over the area."""
    shapes = [shapely.box(*BOX)] * len(codes)
    gpd.GeoDataFrame({column: codes}, geometry=shapes, crs=crs).to_parquet(folder / "parcels.parquet")
    return {"labels.uri": str(folder / "parcels.parquet"), "labels.legend": None}


def raster(folder: Path, crs: str | None, left: float = 501360) -> str:
    """A raster of ones, 640 m wide, without a CRS or beside the area where so asked."""
    profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint8"}
    with rasterio.open(
        folder / "raster.tif", "w", crs=crs, transform=Affine(10, 0, left, 0, -10, 5629680), **profile
    ) as f:
        f.write(np.ones((64, 64), np.uint8), 1)
    return str(folder / "raster.tif")


def legend(folder: Path, text: str) -> Change:
    """A legend of this text."""
    (folder / "legend.csv").write_text(text)
    return {"labels.legend": str(folder / "legend.csv")}


def model(folder: Path, features: tuple[str, ...], steps: int) -> Change:
    """A model that needs these features on so many steps; no labels."""
    weights = b"never opened"
    card = Card(
        name="made-model",
        family="tempcnn",
        recipe=Recipe(features=features, steps=steps),
        classes=(
            ClassEntry(code=1, name="maize", colour="#ffcc00"),
            ClassEntry(code=2, name="wheat", colour="#aa8800"),
        ),
        lower=(0.0,) * len(features),
        upper=(1.0,) * len(features),
        fill=(0.5,) * len(features),
        weights="model.safetensors",
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        weights_bytes=len(weights),
        parameters=1,
    )
    domain = {"geometry": shapely.geometry.mapping(shapely.box(*BOX)), "start": "2018-01-01", "end": "2018-12-01"}
    write_model(card, weights, str(folder / "model"), Domain.model_validate(domain))
    return {"labels": REMOVED, "model.uri": str(folder / "model")}


def parent(folder: Path, data: Path) -> Change:
    """A model that needs fewer features than the inputs give, to go on from."""
    return {
        "model.train.start_from": model(folder, ("ndvi", "vv"), 34)["model.uri"],
        "model.uri": str(folder / "finer"),
    }


def without_geotransform(folder: Path, data: Path) -> Change:
    """The real radar scenes as raw GRD states them: placed by ground control points only."""
    items = [item for item in read_items(data / "items.ndjson") if item["collection"] == "sentinel-1-grd"]
    for item in items:
        del item["properties"]["proj:code"]
        for asset in item["assets"].values():
            del asset["proj:transform"]
    (folder / "grd.ndjson").write_text("".join(json.dumps(item) + "\n" for item in items))
    return {"inputs.radar.catalog": str(folder / "grd.ndjson")}


def a_file(folder: Path) -> str:
    """A path that is a file."""
    (folder / "taken").write_text("")
    return str(folder / "taken")


PLACED = [
    Wrong("CRS unknown", {"grid.crs": "EPSG:99999"}, ("grid.crs", "'EPSG:99999'", "use EPSG:32631")),
    Wrong("CRS geographic", {"grid.crs": "EPSG:4326"}, ("grid.crs", "not projected", "use EPSG:32631")),
    Wrong("CRS in feet", {"grid.crs": "EPSG:2263"}, ("grid.crs", "EPSG:2263", "metres", "use EPSG:32631")),
    Wrong("CRS of elsewhere", {"grid.crs": "EPSG:32760"}, ("grid.crs", "EPSG:32760", "beyond", "use EPSG:32631")),
    Wrong("area file missing", {"area": {"file": "no/such.gpkg"}}, ("area.file", "no/such.gpkg", "no such file")),
    Wrong("area file without CRS", lambda f, _: area_of(f, geometry=[shapely.box(*BOX)]), ("area.file", "no CRS", "ogr2ogr -a_srs")),
    Wrong("area file of points", lambda f, _: area_of(f, geometry=[shapely.Point(3, 50)], crs=4326), ("area.file", "Point", "points and lines are not supported")),
    Wrong("area file empty", lambda f, _: area_of(f, geometry=[], crs=4326), ("area.file", "no polygon", "another area.file")),
    Wrong("area outside the catalogue", {"area.bbox": [4.1, 50.8, 4.11, 50.81], "labels": REMOVED}, ("inputs.optical", "nothing found", "in the area: 0", "4.1")),
    Wrong("season without scenes", {"season.start": "2020-01-01", "season.end": "2020-12-01"}, ("inputs.optical", "nothing found", "2020-01-01", "season")),
    Wrong("season to come", {"season.start": "2198-01-01", "season.end": "2198-12-01"}, ("season.start", "2198-01-01", "future")),
    Wrong("collection of another name", {"inputs.radar.collection": "sentinel-1-rtc"}, ("inputs.radar", "sentinel-1-rtc", "collection sentinel-1-rtc: 0")),
    Wrong("random cut-offs of a season under way", under_way, ("season.end", "has not come", "an earlier season")),
    Wrong("no scene so clear", {"season.start": "2018-01-11", "season.end": "2018-01-15"}, ("inputs.optical", "at most 90 % cloud: 0", "max_cloud")),
    Wrong("catalogue not found", {"inputs.optical.catalog": "no/items.ndjson"}, ("no/items.ndjson", "no such file", "catalogue's address")),
    Wrong("catalogue that nobody serves", lambda *_: {"inputs.optical.catalog": f"http://127.0.0.1:{free_port()}/stac"}, ("http://127.0.0.1", "cannot be reached", "check the address")),
    Wrong("catalogue of odd scheme", {"inputs.optical.catalog": "gopher://x/y"}, ("gopher://x/y", "https")),
    Wrong("catalogue is no STAC", lambda _, d: {"inputs.optical.catalog": str(d / "SOURCE.txt")}, ("SOURCE.txt", "not JSON", "catalog.json")),
    Wrong("asset that is not there", {"inputs.optical.assets": {"nir": "B8A"}}, ("inputs.optical", "nir (B8A)", "inputs.optical.assets")),
    Wrong("GRD without geotransform", without_geotransform, ("inputs.radar", "ground control points", "RTC")),
    Wrong("labels missing", {"labels.uri": "no/labels.tif"}, ("labels.uri", "no/labels.tif", "no such file", "check the uri")),
    Wrong("labels without CRS", lambda f, _: {"labels.uri": raster(f, None)}, ("labels.uri", "raster.tif", "no CRS")),
    Wrong("labels beside the area", lambda f, _: {"labels.uri": raster(f, "EPSG:32631", 600000)}, ("labels.uri", "600000", "something of the area", "CRS")),
    Wrong("label column missing", lambda f, _: parcels(f, [1, 2], column="cropcode"), ("labels.uri", "'crop_code'", "labels.column: cropcode")),
    Wrong("label polygons without CRS", lambda f, _: parcels(f, [1, 2], None), ("labels.uri", "parcels.parquet", "no CRS", "a_srs")),
    Wrong("label blocks too large", {"labels.block_m": 10_000}, ("labels.block_m", "10000 m", "5 blocks", "use labels.block_m")),
    Wrong("label blocks not given", {"labels.block_m": REMOVED}, ("labels.block_m", "10000 m", "not given", "use labels.block_m: 100")),
    Wrong("label border wider than blocks", {"labels.border_m": 40}, ("labels.border_m", "40 m", "80 m", "narrower")),
    Wrong("cube of another season missing", lambda f, _: {"labels.seasons": [{"cube": str(f / "no.zarr"), "uri": "a.tif"}]}, ("no.zarr", "no cube is there", "tilth cube")),
    Wrong("regions missing", {"labels.regions": {"uri": "no.gpkg", "test": ["A"]}}, ("labels.regions.uri", "no.gpkg", "no such file", "check labels.regions")),
    Wrong("legend missing", {"labels.legend": "no/legend.csv"}, ("labels.legend", "no/legend.csv", "code,name")),
    Wrong("legend without codes", lambda f, _: legend(f, "id,name\n1,a\n2,b\n"), ("labels.legend", "'id'", "code and name", "add ['code']")),
    Wrong("legend of one crop", lambda f, _: legend(f, "code,name\n1,a\n"), ("labels.legend", "names 1", "two or more", "add classes")),
    Wrong("legend of words", lambda f, _: legend(f, "code,name\nx,a\ny,b\n"), ("labels.uri", "raster of numbers", "names or text codes of the legend")),
    Wrong("legend of odd colour", lambda f, _: legend(f, "code,name,colour\n1,a,#00ff00\n2,b,green\n"), ("labels.legend", "'green'", "code 2", "#rrggbb")),
    Wrong("mask missing", {"mask.uri": "no/mask.tif"}, ("mask.uri", "no/mask.tif", "no such file")),
    Wrong("mask beside the area", lambda f, _: {"mask.uri": raster(f, "EPSG:32631", 600000)}, ("mask.uri", "600000", "something of the area")),
    Wrong("no model and no labels", {"labels": REMOVED}, ("model", "no such file", "labels", "model.uri")),
    Wrong("model of other bands", lambda f, _: model(f, ("ndvi", "lst"), 34) | {"inputs.thermal": REMOVED}, ("model", "ndvi, lst", "inputs.thermal", "add the input")),
    Wrong("model of other steps", lambda f, _: model(f, ("ndvi", "vv"), 36), ("model", "steps 36", "34", "season.as_of")),
    Wrong("fine-tuning of no model", lambda f, _: {"model.train.start_from": str(f / "no")}, ("model.train.start_from", "no such file", "correct")),
    Wrong("fine-tuning of the model itself", lambda f, _: {"model.train.start_from": str(f / "x" / ".." / "model")}, ("model.train.start_from", "model.uri itself", "of its own")),
    Wrong("fine-tuning of a model of other features", parent, ("model.train.start_from", "features", "ndvi, vv", "begin from a model that is alike")),
    Wrong("tile too large for memory", {"grid.tile_px": 4096, "compute.bytes_in_flight": 100_000_000}, ("grid.tile_px", "4096 px", "0.10 GB", "use tile_px")),
    Wrong("output is a file", lambda f, _: {"output.uri": a_file(f)}, ("output.uri", "taken", "choose a folder")),
    Wrong("output where nobody may write", {"output.uri": "/proc/tilth"}, ("output.uri", "/proc/tilth", "choose a folder")),
    Wrong("output in an unknown store", {"output.uri": "ftp://host/map"}, ("output.uri", "ftp://host/map", "s3://bucket/prefix")),
    Wrong("cube is a file", lambda f, _: {"cube.uri": a_file(f)}, ("cube.uri", "taken", "choose a folder")),
    Wrong("model where nobody may write", {"model.uri": "/proc/tilth"}, ("model.uri", "/proc/tilth", "choose a folder")),
    Wrong("model inside the map", lambda f, _: {"model.uri": str(f / "map" / "model")}, ("model.uri", "output.uri", "folder of its own")),
    Wrong("cube over the map by a detour", lambda f, _: {"cube.uri": str(f / "x" / ".." / "map")}, ("cube.uri", "output.uri", "folder of its own")),
    Wrong("cluster's address is none", {"compute.address": "cluster one"}, ("compute.address", "'cluster one'", "http://head:8265")),
    Wrong("cluster by Ray's client", {"compute.address": "ray://head:10001"}, ("compute.address", "ray://head:10001", "http://head:8265")),
    Wrong("cluster that is not there", lambda *_: {"compute.address": f"http://127.0.0.1:{free_port()}"}, ("compute.address", "nothing answers", "tilth doctor")),
    Wrong("Dask that is not there", lambda *_: {"compute.dask_address": f"tcp://127.0.0.1:{free_port()}"}, ("compute.dask_address", "nothing answers", "start it")),
    Wrong("Dask without a port", {"compute.dask_address": "scheduler"}, ("compute.dask_address", "'scheduler'", "tcp://scheduler:8786")),
]  # fmt: skip
