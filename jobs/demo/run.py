"""``tilth demo``: make the country, map it, and say how good the map is on fields the model never saw."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import geopandas as gpd
import numpy as np
import rasterio
import yaml
from numpy.typing import NDArray
from rasterio.features import rasterize
from rich.console import Console

from engine.accuracy import Scores, confusion, score
from engine.errors import SpecError
from engine.ledger import Ledger
from engine.map_values import NODATA
from engine.models import Card, read_card
from engine.objects import Objects
from engine.samples import read_codes
from engine.training.unknown import numbered
from engine.types import Grid, Window, dump_json
from engine.work import LEDGER
from jobs import lines, picture, start
from jobs.demo.country import Country, Size, make_country
from jobs.pinned import pinned_plan
from jobs.spec import load_spec

_YEAR = 2024
_TILE_PX = {"small": 100, "medium": 256, "large": 512}


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
    truth = read_codes(str(country.truth[_YEAR]), grid, Window(0, grid.height, 0, grid.width))
    rows = _unseen(country, grid) & (truth != 0) & (classes != NODATA)
    found = judged(classes[rows], truth[rows], card, country.legend)
    for line in _said(found):
        lines.say(line)
    report = {"made": True, "on_unseen_fields": found, "map": spec.output.uri}
    (out / "report.json").write_bytes(dump_json(report))
    image = picture.draw(
        spec.output.uri, card, plan, _folders(spec.output.uri), truth=str(country.truth[_YEAR]), truth_is="truth",
        title=f"Made country (invented, not observed), {_YEAR}: kappa {found['kappa']:.2f} on unseen fields",
    )  # fmt: skip
    (out / "map.png").write_bytes(image)
    lines.say(f"look at {out}/map.png; fields are in {country.parcels[_YEAR]}")


def judged(
    mapped: NDArray[np.integer], truth: NDArray[np.integer], card: Card, names: Mapping[int, str]
) -> dict[str, Any]:
    """Agreement of a map with the truth, as JSON: of all pixels, those of classes that the model does not know being
    errors; and of the classes it knows.

    mapped: (n,) class indices. truth: (n,) codes. names: of codes.
    """
    y, classes = np.full(len(truth), -1, np.int64), len(card.classes)
    for index, entry in enumerate(card.classes):
        y[truth == entry.code] = index
    known = y >= 0
    y[~known], unknown = numbered(truth[~known], classes, names)
    return {
        **_figures(score(confusion(mapped, y, classes + len(unknown)))),
        "unknown_share": round(1 - float(known.mean()), 4) if len(known) else None,
        "unknown_classes": [{"code": one.code, "name": one.name, "pixels": one.samples} for one in unknown],
        "of_known_classes": _figures(score(confusion(mapped[known], y[known], classes))),
    }


def _figures(scores: Scores) -> dict[str, Any]:
    known = {"kappa": round(scores.kappa, 4), "overall_accuracy": round(scores.overall, 4)}
    return {**known, "pixels": int(scores.confusion.sum())}


def _said(found: Mapping[str, Any]) -> Iterator[str]:
    """What ``judged`` found, in sentences."""
    yield f"on {found['pixels']} pixels of fields the model never saw (made country): {_told(found)}"
    if found["unknown_share"]:
        names = ", ".join(row["name"] for row in found["unknown_classes"])
        yield f"{found['unknown_share']:.1%} of them are of classes that the model does not know, all errors: {names}"
        yield f"of the classes it knows: {_told(found['of_known_classes'])}"


def _told(figures: Mapping[str, Any]) -> str:
    return f"kappa {figures['kappa']:.3f}, overall accuracy {figures['overall_accuracy']:.3f}"


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
