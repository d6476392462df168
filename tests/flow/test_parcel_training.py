"""A model trained on parcels' series, the whole way: told, mapped by pixels and by parcels, judged by parcels."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import pytest
import shapely
from typer.testing import CliRunner

from engine.models import read_card
from jobs.cli import app
from jobs.demo import Country
from tests.flow.conftest import made_job
from tests.flow.flow import Job


def run(*words: str) -> str:
    """What a command said that ended well."""
    told = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return told.output


@pytest.fixture(scope="module")
def job(country: Country, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Labels by parcel, one of them broken, and the same register mapped."""
    place = tmp_path_factory.mktemp("per-parcel")
    frame = gpd.read_parquet(country.parcels[2024])[["id", "crop_code", "geometry"]]
    x, y, side = country.bounds[0] + 200, country.bounds[1] + 200, 50
    bow = shapely.Polygon([(x, y), (x + side, y + side), (x + side, y), (x, y + side)])
    frame.loc[len(frame)] = ["bow", int(frame["crop_code"].iloc[0]), bow]
    frame.to_parquet(place / "register.parquet")
    register = {"uri": str(place / "register.parquet")}
    job = made_job(country, place).with_(
        {"labels.uri": register["uri"], "labels.per": "parcel", "labels.min_samples": 3, "labels.block_m": 150}
        | {"parcels": {**register, "id": "id"}, "model.train": {"family": "forest", "trees": 20}}
    )
    (place / "said.txt").write_text(run("submit", job.yaml))
    return job


def test_it_says_what_its_samples_were_and_what_was_left_out(job: Job) -> None:
    said = (job.folder / "said.txt").read_text()
    assert "labels: 1 polygons were changed and are used: repaired: Self-intersection (1)" in said
    report = json.loads(Path(job.model, "training.json").read_text())
    rare = [row for row in report["left_out"] if 0 < row["samples"] < 3]
    for row in rare:
        assert f"left out: {row['name']} (code {row['code']}), {row['samples']} samples" in said
    parcels = sum(report["split"][part]["samples"] for part in ("train", "validation", "test"))
    assert 20 < parcels < len(gpd.read_parquet(job.spec["labels"]["uri"]))
    assert read_card(job.model).sampled == "parcel median"
    assert "parcel median series" in run("model", "show", job.model)
    assert "already trained" in run("submit", job.yaml)


def test_it_is_judged_by_parcels_over_the_dates_as_well(job: Job) -> None:
    run("assess", job.map, "--dates", "2")
    facts = json.loads(Path(job.map, "assessment", "assessment.json").read_text())
    report = json.loads(Path(job.model, "training.json").read_text())
    assert facts["labels"]["per"] == "parcel" and facts["labels"]["held_out_blocks_of_the_training"]
    assert facts["accuracy"]["samples"] == report["accuracy"]["samples"] == facts["timing"]["samples"]
    assert facts["accuracy"]["overall"]["value"] == pytest.approx(report["accuracy"]["overall_accuracy"], abs=2e-6)
    assert facts["timing"]["macro_f1"][-1] == facts["accuracy"]["macro_f1"]
    assert f"{facts['accuracy']['samples']} parcels in" in Path(job.map, "assessment", "assessment.html").read_text()


def test_a_raster_of_other_labels_judges_it_by_pixels(job: Job, country: Country, tmp_path: Path) -> None:
    run("assess", job.map, "--labels", str(country.labels[2024]), "--dates", "1", "--out", str(tmp_path))
    facts = json.loads((tmp_path / "assessment.json").read_text())
    assert facts["labels"]["per"] == "pixel" and facts["accuracy"]["samples"] > 500


def test_the_parcels_of_its_own_training_are_mapped_as_they_are_called(job: Job) -> None:
    report, crops = job.report()["parcels"], gpd.read_parquet(f"{job.map}/parcels").set_index("id")
    labels = gpd.read_parquet(job.spec["labels"]["uri"]).set_index("id")
    assert report["parcels"] == len(crops) > 20 and "bow" in crops.index
    true = labels["crop_code"][crops.index]
    known = true.isin([entry.code for entry in read_card(job.model).classes])
    assert known.sum() > 15 and (crops["code"] == true)[known].mean() > 0.6, "three fifths of them it was trained on"
