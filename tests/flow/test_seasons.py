"""Two seasons of the made country: last year's labels map this year, a year is left out, a region is left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely
from typer.testing import CliRunner

from engine.errors import InputError
from jobs.assess import assess
from jobs.cli import app
from jobs.demo import Country
from tests.flow.conftest import INSET_M, SIDE_M, area_file, inputs
from tests.flow.flow import Job

FAST = {"family": "forest", "trees": 20, "max_samples_per_class": 100}
ADAPTED = {
    "family": "agrispec",
    "epochs": 2,
    "max_samples_per_class": 60,
    "max_judged": 200,
    "adversarial": {"series": 300},
}


def run(*words: str, expect: int = 0) -> str:
    """A command in this process; what it said."""
    told = CliRunner().invoke(app, list(words))
    said = told.output + str(told.exception or "")
    assert told.exit_code == expect or (expect and isinstance(told.exception, InputError)), said
    return said


@pytest.fixture(scope="module")
def years(country: Country, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Job]:
    """A job for each year, its cube built: 84 x 84 pixels in four tiles, eight steps."""
    root, found = tmp_path_factory.mktemp("years"), {}
    for year in country.years:
        spec = {
            "name": f"made-{year}",
            "area": {"file": area_file(country, root / "area.gpkg")},
            "season": {"start": f"{year}-03-01", "end": f"{year}-10-27", "step_days": 30},
            "grid": {"crs": country.crs, "resolution": 10, "tile_px": 42},
            "inputs": inputs(str(country.items)),
            "mask": {"uri": str(country.cropland)},
            "cube": {"uri": f"{root}/{year}.zarr"},
            "model": {"uri": f"{root}/model-{year}", "features": ["ndvi", "lswi", "vv"], "train": FAST},
            "labels": {"uri": str(country.labels[year]), "legend": str(country.legend_csv), "block_m": 150},
            "output": {"uri": f"{root}/map-{year}"},
            "compute": {"in_process": True},
        }
        found[year] = Job(root / str(year), spec)
        run("cube", found[year].yaml)
    return found


def learning(years: Mapping[int, Job], country: Country, place: Path, **labels: Any) -> Job:
    """This year's job with last year's labels beside its own, model and map below ``place``."""
    other = {"cube": years[2023].cube, "uri": str(country.labels[2023])}
    changes = {"labels.seasons": [other], **{f"labels.{key}": value for key, value in labels.items()}}
    job = years[2024].with_({"model.uri": f"{place}/model", "output.uri": f"{place}/map", **changes})
    return Job(place, job.spec)


def trained(job: Job) -> dict[str, Any]:
    run("train", job.yaml)
    return dict(json.loads(Path(job.model, "training.json").read_text()))


def test_a_season_without_labels_is_mapped_by_a_network_adapted_to_it(
    years: dict[int, Job], country: Country, tmp_path: Path
) -> None:
    job = learning(years, country, tmp_path, uri=None).with_({"model.train": ADAPTED})
    planned = json.loads(run("plan", job.yaml, "--json"))
    assert planned["seconds"]["training_at_most"] > 0
    assert "dry run" in run("submit", job.yaml, "--dry-run")
    run("submit", job.yaml)
    report = json.loads(Path(job.model, "training.json").read_text())
    assert report["target_series"] == 300 and 0 <= report["domain_accuracy"] <= 1
    assert [(row["season"], row["part"]) for row in report["seasons"]] == [("2023-03-01", "any")]
    mapped = job.product("class")
    assert (mapped != 255).any() and job.report()["tiles"]["written"] == 4
    with pytest.raises(InputError, match=r"no labels of its own season.*--labels.*--sample"):
        assess(job.map)
    facts, _ = assess(job.map, str(country.labels[2024]), out=str(tmp_path / "told"), dates=1)
    assert facts["accuracy"]["samples"] > 0 and not facts["labels"]["held_out_blocks_of_the_training"]
    assert "already trained" in run("train", job.yaml)
    run("replay", job.map, "r0000c0000")


def test_a_year_is_left_out_and_the_map_is_judged_by_it(
    years: dict[int, Job], country: Country, tmp_path: Path
) -> None:
    job = learning(years, country, tmp_path, part="test", border_m=10).with_(
        {"mask": None}
    )  # all that is labelled is mapped
    run("submit", job.yaml)
    report = json.loads(Path(job.model, "training.json").read_text())
    last, this = report["split"]["seasons"]
    assert (last["season"], last["test"], this["season"]) == ("2023-03-01", 0, "2024-03-01")
    judged = report["accuracy"].get("of_known_classes", report["accuracy"])["samples"]
    assert (this["train"], this["validation"], this["test"]) == (0, 0, judged)
    assert last["train"] and last["validation"] and report["split"]["reaching_into_another_part"] > 0
    facts, _ = assess(job.map, dates=1)
    assert facts["labels"]["held_out_blocks_of_the_training"]
    assert facts["accuracy"]["overall"]["value"] == pytest.approx(report["accuracy"]["overall_accuracy"], abs=2e-6)
    away = learning(years, country, tmp_path / "away")
    away = away.with_({"labels.seasons": [{**away.spec["labels"]["seasons"][0], "part": "validation"}]})
    split = trained(away)["split"]
    assert split["seasons"][0]["train"] == split["seasons"][1]["validation"] == 0 < split["seasons"][0]["validation"]


def test_a_region_is_left_out_in_every_season(years: dict[int, Job], country: Country, tmp_path: Path) -> None:
    left, top = country.bounds[0] + INSET_M, country.bounds[3] - INSET_M
    halves = [
        shapely.box(left, top - SIDE_M, left + 500, top),
        shapely.box(left + 500, top - SIDE_M, left + SIDE_M, top),
    ]
    path = tmp_path / "regions.gpkg"
    names = ["West", "East", "Nowhere"]
    gpd.GeoDataFrame({"name": names}, geometry=[*halves, None], crs=country.crs).to_file(path)
    job = learning(years, country, tmp_path, regions={"uri": str(path), "test": ["East"]})
    report = trained(job)
    (region,) = report["split"]["regions"]
    assert region == {"region": "East", "train": 0, "validation": 0, "test": report["split"]["test"]["samples"]}
    assert all(row["train"] and row["test"] for row in report["split"]["seasons"])
    assert report["split"]["left_out_at_held_places"] > 0, "a block is cut by the region's edge"
    assert "labels.regions: 1 polygons cannot be used and are left out" in run("plan", job.yaml)
    wrong = job.with_({"labels.regions": {"uri": str(path), "test": ["North"]}})
    assert "no region 'North'" in run("train", wrong.yaml, expect=2)


def test_a_season_that_cannot_be_learnt_from_is_refused_before_work_starts(
    years: dict[int, Job], country: Country, tmp_path: Path
) -> None:
    job = learning(years, country, tmp_path)
    (season,) = job.spec["labels"]["seasons"]
    far = tmp_path / "far.gpkg"
    gpd.GeoDataFrame({"crop_code": [1]}, geometry=[shapely.box(4e5, 4e6, 4.1e5, 4.1e6)], crs=country.crs).to_file(far)
    for change, words in (
        ({"labels.seasons": [{**season, "uri": "no.tif"}]}, "labels.seasons.0.uri = no.tif"),
        ({"labels.seasons": [{**season, "uri": str(far)}]}, "something of the area"),
        ({"labels.seasons": [{**season, "cube": f"{tmp_path}/no.zarr"}]}, "no cube is there"),
        ({"season.end": "2024-09-27"}, "240 days in 8 steps"),
        ({"grid.resolution": 20}, "resolution 10"),
        ({"season.start": "2024-03-31"}, "from 01 March on"),
    ):
        wrong = job.with_({**change, "cube.uri": f"{tmp_path}/cube.zarr"})
        for command in (["plan"], ["submit"]):
            said = run(*command, wrong.yaml, expect=2)
            assert words in said, said
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path != far and path.name != "job.yaml"
                and path.name != "area.gpkg"]  # fmt: skip
