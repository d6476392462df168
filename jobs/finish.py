"""The end of a run: collection, mosaic indexes and report over all published tiles."""

from __future__ import annotations

import platform
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import geopandas as gpd
import pyogrio
import shapely
from rasterio.errors import RasterioError

from engine.accuracy import COUNTED
from engine.errors import TilthError
from engine.keys import map_digest
from engine.ledger import Ledger, Record
from engine.map_values import NODATA, classes_table, map_values
from engine.models import Card
from engine.objects import Objects
from engine.output import Product, stac_collection
from engine.parcels import Register
from engine.plan import Plan
from engine.samples import is_raster
from engine.types import dump_json
from jobs import picture
from jobs.assessments import FOLDER, write_index
from jobs.checks import checked_card
from jobs.familiar import output_of, unfamiliar_report
from jobs.look import IN_THE_LOOK
from jobs.older import PICTURE, REPORT, bring_back, published
from jobs.parcels import parcel_report
from jobs.spec import Spec
from jobs.tiles import bare, damaged
from jobs.whose import model_told

_MOST_PX_BESIDE = 50_000_000
_NAMED = ("ray", "dask", "torch", "zarr", "numba", "numpy", "rasterio", "xarray", "odc-geo", "scikit-learn")


def stated(spec: Spec) -> dict[str, str]:
    """What published items say of the run."""
    season = spec.season
    last = min(season.end, season.as_of) if season.as_of else season.end
    return {"name": spec.name, "start": f"{season.start}T00:00:00Z", "end": f"{last}T00:00:00Z"}


def finish(
    spec: Spec, plan: Plan, ledger: Ledger, cube_ledger: Ledger, *, seconds: float, epoch: int,
    register: Register | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Publish collection, mosaics and report; remove what no record names any more. Returns the report.

    ``seconds``, ``epoch``: how long this driver's turn took and its number; the speed is that of the turn's own tiles.
    """
    output = Objects(spec.output.uri)
    card = checked_card(spec)
    written = published(plan.tiles, ledger.latest)
    named = map_digest(written)
    mosaics, products = [], output_of(spec, card).products
    for product in products:
        name = f"{product}.gti.gpkg"
        output.put(name, _mosaic(plan, written, product))
        mosaics.append(name)
    items = [(f"./{record.body['folder']}/item.json", record.body["bbox"]) for record in written.values()]
    model = model_told(spec, plan, card, written.values())
    facts = {**stated(spec), "version": version("tilth"), "bbox": [-180, -90, 180, 90], "model": model}
    collection = stac_collection(card, items, mosaics, facts, parcels=register is not None, codes=spec.output.codes)
    output.put("collection.json", dump_json(collection | {"tilth:map": named}))
    output.put("classes.csv", classes_table(card, map_values(card, spec.output.codes)))
    output.delete([f"{product}.gti.gpkg" for product in get_args(Product) if product not in products])
    if any(record.seq > 1 or record.epoch > 1 for record in ledger.latest.values()):  # else nothing old can be there
        _prune(output, written)
    output.sweep()
    folders = {tile: record.body["folder"] for tile, record in written.items()}
    _draw(spec, plan, card, output, folders, f"{spec.name}, map {named[:12]}")
    report = _report(spec, plan, ledger, cube_ledger, card, model, seconds=seconds, epoch=epoch)
    report |= {"parcels": parcel_report(register, list(written.values()), card)} if register else {}
    output.put(REPORT, dump_json({**report, "map": named}))
    bring_back(output, named)
    write_index(output.child(FOLDER), named)
    return report


def _draw(spec: Spec, plan: Plan, card: Card, output: Objects, folders: Mapping[str, str], title: str) -> None:
    """``map.png``: the map, the labels beside it where they are a raster of moderate size, and the confidence."""
    if not folders or not {"class", "confidence"} <= set(spec.output.products):
        output.delete([PICTURE])
        return
    small = plan.grid.height * plan.grid.width <= _MOST_PX_BESIDE
    labels = spec.labels and spec.labels.uri
    labels = labels if labels and is_raster(labels) and small else None
    with suppress(RasterioError, OSError, TilthError):  # the map is whole without its picture
        image = picture.draw(
            spec.output.uri, card, plan, folders, title=title, codes=spec.output.codes, truth=labels,
            truth_band=spec.labels.band if spec.labels else None,
        )  # fmt: skip
        output.put(PICTURE, image)


def _mosaic(plan: Plan, written: Mapping[str, Record], product: str) -> bytes:
    """A GDAL tile index (GTI, GeoPackage) of one product; its paths are relative, so a map can be moved whole."""
    tiles = [tile for tile in plan.tiles if tile.id in written]
    frame = gpd.GeoDataFrame(
        {"location": [f"{written[tile.id].body['folder']}/{product}.tif" for tile in tiles]},
        geometry=[shapely.box(*plan.grid.bounds(tile.core)) for tile in tiles],
        crs=plan.grid.crs,
    )
    # GeoPackage writes down when it was changed; equal maps are to have equal bytes.
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mosaic.gpkg"
        pyogrio.write_dataframe(frame, path, driver="GPKG", layer="tiles", geometry_type="Polygon")
        return path.read_bytes()


def _prune(output: Objects, written: Mapping[str, Record]) -> None:
    """Delete files that no record names: of tiles done anew or let go, or left by a driver that was killed."""
    bodies = [record.body for record in written.values()]
    current = {body["folder"] for body in bodies} | {body["parcels"]["folder"] for body in bodies if "parcels" in body}
    for tree in ("tiles", "parcels"):
        output.delete([e.key for e in output.entries(tree) if e.key.rsplit("/", 1)[0] not in current])


def _report(
    spec: Spec, plan: Plan, ledger: Ledger, cube_ledger: Ledger, card: Card, model: Mapping[str, Any],
    *, seconds: float, epoch: int,
) -> dict[str, Any]:  # fmt: skip
    records = [ledger.latest[tile.id] for tile in plan.tiles if tile.id in ledger.latest]
    land, of_this_turn = _km2(plan, records), _km2(plan, [r for r in records if r.epoch == epoch])
    mapped_now = sum(km2 for index, km2 in of_this_turn.items() if index != str(NODATA))
    asked = sum(record.body.get("asked", 0) * plan.pixel_km2[record.tile] for record in records)
    area = {
        title: {"code": entry.code, "km2": round(land.get(str(i), 0.0), 6)}
        for i, (entry, title) in enumerate(zip(card.classes, card.titles, strict=True))
    }
    mapped = sum(km2 for index, km2 in land.items() if index != str(NODATA))
    told = unfamiliar_report(spec, records, card, plan.pixel_km2)
    masked = told["km2"] if told and told["masked"] else 0.0
    quarantined = {r.tile: r.body.get("reason", "") for r in records if r.state == "quarantined"}
    return {
        "name": spec.name,
        "run": spec.digest(),
        "season": stated(spec),
        "area_km2_by_class": area,
        "area_km2_is": COUNTED,
        "area_km2_mapped": round(mapped, 6),
        "area_km2_without_data": max(0.0, round(asked - mapped - masked, 6)),
        **({"unfamiliar": told} if told else {}),
        "tiles": {
            "planned": len(plan.tiles),
            "written": sum(r.state == "written" for r in records),
            "quarantined": len(quarantined),
        },
        "quarantined": quarantined,
        "without_scenes": [record.tile for record in records if record.state == "written" and bare(record)],
        "damaged": damaged(cube_ledger, plan),
        "seconds": round(seconds, 1),
        "km2_per_hour": round(mapped_now / seconds * 3600, 3),
        "bytes": _bytes(records, [cube_ledger.latest[t.id] for t in plan.tiles if t.id in cube_ledger.latest]),
        "devices": dict(Counter(r.body["device"] for r in records if "device" in r.body)),
        "model": model,
        "inputs": [
            *(line for line in plan.audit if not line.startswith(IN_THE_LOOK)),
            *_told([cube_ledger.latest[t.id] for t in plan.tiles if t.id in cube_ledger.latest]),
        ],
        "left_out": list(plan.left_out),
        "items": len(plan.items),
        "versions": {"tilth": version("tilth"), "python": platform.python_version()} | {n: version(n) for n in _NAMED},
    }


def _told(records: Sequence[Record]) -> list[str]:
    """Where item, header and document of scenes disagreed while tiles were built, each sentence once."""
    reads: Counter[str] = Counter()
    tiles: Counter[str] = Counter()
    for record in records:
        found = record.body.get("told", {})
        reads.update(found)
        tiles.update(found.keys())
    return [f"{sentence} ({reads[sentence]} reads in {tiles[sentence]} tiles)" for sentence in sorted(reads)]


def _km2(plan: Plan, records: Sequence[Record]) -> dict[str, float]:
    """Land per class index, as text, km2 on the ellipsoid; 255 is no data."""
    land: dict[str, float] = {}
    for record in records:
        for index, count in record.body.get("pixels", {}).items():
            land[index] = land.get(index, 0.0) + count * plan.pixel_km2[record.tile]
    return land


def _bytes(records: Sequence[Record], cube_records: Sequence[Record]) -> dict[str, int]:
    published = [size for r in records for size, _ in r.body.get("files", {}).values()]
    published += [r.body["parcels"]["file"][0] for r in records if "parcels" in r.body]
    shards = [size for r in cube_records for size in r.body.get("bytes", {}).values()]
    requests = [r.body.get("requests", 0) for book in (records, cube_records) for r in book]
    read = [r.body.get("bytes_read", 0) for r in cube_records]
    return {
        "published": sum(published),
        "cube": sum(shards),
        "scenes_read": sum(read),
        "requests": sum(requests),
    }
