"""``tilth demo``: make the country, map it, and say how good the map is on fields the model never saw."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, get_args

import geopandas as gpd
import numpy as np
import rasterio
import yaml
from numpy.typing import NDArray
from rasterio.features import rasterize
from rich.console import Console

from engine.accuracy import confusion, score
from engine.errors import SpecError
from engine.ledger import Ledger
from engine.map_values import NODATA
from engine.models import Card, read_card
from engine.objects import Objects
from engine.types import Grid, dump_json
from engine.work import LEDGER
from jobs import lines, picture, start
from jobs.demo.country import Country, Size, make_country
from jobs.pinned import pinned_plan
from jobs.spec import load_spec

_YEAR = 2024
_TILE_PX = {"small": 100, "medium": 256, "large": 512}
_FIRST_CROP = 1000
"""Codes from here on are crops, below it other land cover."""


def run_demo(size: str, out: Path) -> int:
    """The whole way on the made country of this size, left in ``out``; returns the exit code."""
    if size not in get_args(Size):
        raise SpecError(repr(size), expected=" or ".join(get_args(Size)), place="--size")
    began = time.monotonic()
    lines.say(f"making a country under {out}/country: invented fields and scenes, not observed anywhere")
    country = _make(out / "country", size)
    job = out / "job.yaml"
    job.write_text(_job(country, out, size))
    lines.say(f"the country took {time.monotonic() - began:.0f} s; now as a user would: tilth submit {job}")
    code = start.submit(str(job), [])
    _compare(country, job, out)
    lines.say(f"{time.monotonic() - began:.0f} s in all")
    return code


def _make(root: Path, size: Any) -> Country:
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        stages: dict[str, Any] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bar.add_task(f"making {stage}", total=total)
            bar.update(stages[stage], completed=done, total=total)

        return make_country(root, size, progress=tell)


def _job(country: Country, out: Path, size: str) -> str:
    """The job a user would write for this country."""
    catalog = str(country.items)
    spec = {
        "name": f"made-country-{size}",
        "area": {"bbox": [round(v, 6) for v in country.bbox]},
        "season": {"start": f"{_YEAR}-01-01", "end": f"{_YEAR}-12-01", "step_days": 10},
        "grid": {"crs": country.crs, "resolution": 10, "tile_px": _TILE_PX[size]},
        "inputs": {
            "optical": [
                {"catalog": catalog, "collection": "sentinel-2-l2a", "max_cloud": 90},
                {"catalog": catalog, "collection": "landsat-c2-l2", "max_cloud": 90},
            ],
            "radar": {"catalog": catalog, "collection": "sentinel-1-rtc"},
            "thermal": {"catalog": catalog, "collection": "landsat-c2-l2-st"},
        },
        "cube": {"uri": str(out / "cube.zarr")},
        "model": {"uri": str(out / "model"), "train": {"max_samples_per_class": 1000, "epochs": 20}},
        "labels": {"uri": str(country.labels[_YEAR]), "legend": str(country.legend_csv), "block_m": 600},
        "output": {"uri": str(out / "map")},
    }
    return "# A made country: invented fields and scenes, not observed anywhere.\n" + yaml.safe_dump(
        spec, sort_keys=False
    )


def _compare(country: Country, job: Path, out: Path) -> None:
    """Score the map on the fields held out, write it into the report, and draw map, truth and confidence."""
    spec = load_spec(str(job))
    plan, card = pinned_plan(spec), read_card(spec.model.uri)
    grid = plan.grid
    with rasterio.open(f"{spec.output.uri}/class.gti.gpkg") as source:
        classes = _on_grid(source, grid)
    truth = picture.truth_index(str(country.truth[_YEAR]), grid, card)
    unseen = _unseen(country, grid) & (truth != NODATA) & (classes != NODATA)
    crops = _crop_indices(card)
    rows = unseen & np.isin(truth, crops)
    scores = score(confusion(classes[rows], truth[rows], len(card.classes)))
    lines.say(
        f"on {int(rows.sum())} pixels of fields the model never saw (made country): kappa {scores.kappa:.3f}, "
        f"overall accuracy {scores.overall:.3f}"
    )
    found = {"kappa": round(scores.kappa, 4), "overall_accuracy": round(scores.overall, 4)}
    (out / "report.json").write_bytes(
        dump_json({"made": True, "on_unseen_fields": {**found, "pixels": int(rows.sum())}, "map": spec.output.uri})
    )
    image = picture.draw(
        spec.output.uri, card, plan, _folders(spec.output.uri), truth=str(country.truth[_YEAR]), truth_is="truth",
        title=f"Made country (invented, not observed), {_YEAR}: kappa {scores.kappa:.2f} on unseen fields",
    )  # fmt: skip
    (out / "map.png").write_bytes(image)
    lines.say(f"look at {out}/map.png; fields are in {country.parcels[_YEAR]}")


def _folders(uri: str) -> dict[str, str]:
    """Where each published tile of the map lies."""
    records = Ledger(Objects(uri).child(LEDGER)).load().latest
    return {tile: record.body["folder"] for tile, record in records.items() if record.state == "written"}


def _on_grid(source: Any, grid: Grid) -> NDArray[np.uint8]:
    """The mosaic on the whole grid; tiles that lie off the area are no data."""
    classes = np.full((grid.height, grid.width), NODATA, np.uint8)
    y0 = round((grid.top - source.transform.f) / grid.resolution)
    x0 = round((source.transform.c - grid.left) / grid.resolution)
    classes[y0 : y0 + source.height, x0 : x0 + source.width] = source.read(1)
    return classes


def _unseen(country: Country, grid: Grid) -> NDArray[np.bool_]:
    parcels = gpd.read_parquet(country.parcels[_YEAR])
    held_out = parcels[parcels["split"] == "test"].to_crs(grid.crs)
    transform = rasterio.Affine(*grid.transform(grid.tile(0, 0).core))
    return rasterize(held_out.geometry, out_shape=(grid.height, grid.width), transform=transform).astype(bool)


def _crop_indices(card: Card) -> list[int]:
    return [i for i, entry in enumerate(card.classes) if entry.code >= _FIRST_CROP]
