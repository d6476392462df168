"""Codes of ten digits, and names in their place, from labels through training, map and parcels to assessment."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest
import rasterio

from engine.errors import InputError
from engine.map_values import NODATA
from engine.models import read_card
from jobs import start
from jobs.assess import assess, draw_sample
from jobs.demo import Country
from tests.flow.conftest import made_job
from tests.flow.flow import Job

HCAT = 3301060600
"""EuroCrops' codes begin so; int32 makes -993906696 of it."""


def named_parcels(country: Country, path: Path) -> tuple[str, dict[int, str]]:
    """The country's labelled parcels with codes of ten digits and with names, one of these the word ``NA``."""
    frame = gpd.read_parquet(country.parcels[2024])
    frame = frame[frame["crop_code"] > 0]
    known = sorted(frame["crop_code"].unique())
    names = {HCAT + place: "NA" if place == 0 else f"crop, {place}" for place in range(len(known))}
    frame["hcat"] = frame["crop_code"].map({code: HCAT + place for place, code in enumerate(known)}).astype("int64")
    frame["label"] = frame["hcat"].map(names)
    frame.to_parquet(path)
    return str(path), names


@pytest.fixture(scope="module")
def job(country: Country, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A finished job whose labels have codes of ten digits and whose map holds these."""
    place = tmp_path_factory.mktemp("codes")
    uri, names = named_parcels(country, place / "labels.parquet")
    with (place / "legend.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("code", "name"), *names.items()])
    labels = {"uri": uri, "column": "hcat", "legend": str(place / "legend.csv"), "block_m": 100}
    made = made_job(country, place).with_(
        {
            "labels": labels,
            "parcels": {"uri": uri, "id": "id"},
            "output.codes": True,
            "model.train": {"family": "forest"},
        }
    )
    assert start.submit(made.yaml, []) == 0
    return made


def codes_of(job: Job) -> dict[int, str]:
    return {entry.code: entry.name for entry in read_card(job.model).classes}


def test_map_parcels_report_and_tables_hold_the_codes_as_they_are(job: Job) -> None:
    codes = codes_of(job)
    assert len(codes) >= 2 and min(codes) >= HCAT and codes.get(HCAT, "NA") == "NA"
    whole = job.product("class")
    assert whole.dtype == np.uint32 and set(np.unique(whole).tolist()) <= {*codes, 4294967295}
    assert {row["code"] for row in job.report()["area_km2_by_class"].values()} == set(codes)
    pixels = {code: int((whole == code).sum()) for code in codes}
    told = {row["code"]: row["km2"] for row in job.report()["area_km2_by_class"].values()}
    assert told == pytest.approx({code: count * 1e-4 for code, count in pixels.items()}, rel=1e-3)
    table = ds.dataset(f"{job.map}/parcels", format="parquet").to_table().to_pandas()
    given = table.dropna(subset=["code"])
    assert len(given) and {
        int(code): name for code, name in zip(given["code"], given["crop"], strict=True)
    }.items() <= (codes.items())
    assert set(job.report()["parcels"]["by_crop"]) <= {*codes.values(), "no observation"}
    with open(f"{job.map}/classes.csv", newline="", encoding="utf-8") as file:
        assert {int(row["value"]): row["name"] for row in csv.DictReader(file)} == codes
    assert Path(f"{job.map}/map.png").stat().st_size > 10_000


def test_a_map_of_indices_is_the_same_map(job: Job, tmp_path: Path) -> None:
    other = job.with_({"output.codes": False, "output.uri": f"{tmp_path}/map"})
    assert start.submit(Job(tmp_path, other.spec).yaml, []) == 0
    index = other.product("class")
    table = np.full(256, 4294967295, np.uint32)
    table[: len(codes_of(job))] = list(codes_of(job))
    assert index.dtype == np.uint8 and (index != NODATA).any()
    np.testing.assert_array_equal(table[index], job.product("class"))
    with rasterio.open(next(Path(other.map).glob("tiles/*/*/class.tif"))) as file:
        assert file.colormap(1)


def test_labels_and_points_judge_the_map_by_its_codes(job: Job, tmp_path: Path) -> None:
    facts, _ = assess(job.map, dates=1, out=str(tmp_path / "judged"))
    labels = gpd.read_parquet(job.spec["labels"]["uri"])
    for row in facts["accuracy"]["classes"]:
        assert row["code"] in set(labels["hcat"]) and row["known_to_the_model"] == (row["code"] in codes_of(job))
    draw_sample(job.map, str(tmp_path / "points.gpkg"), size=60)
    points = gpd.read_file(tmp_path / "points.gpkg")
    with rasterio.open(f"{job.map}/class.gti.gpkg") as file:
        rows, cols = rasterio.transform.rowcol(file.transform, points["x"], points["y"])
    at = job.product("class")[rows, cols].tolist()
    assert pd.read_parquet(tmp_path / "points.design.parquet").set_index("id")["map_code"][points["id"]].tolist() == at
    points["reference"] = at
    points.to_file(tmp_path / "filled.gpkg")
    filled = {"sample": str(tmp_path / "filled.gpkg"), "design": str(tmp_path / "points.design.parquet")}
    facts, _ = assess(job.map, **filled, dates=1, out=str(tmp_path / "sampled"))
    assert facts["areas"]["sample"]["overall_accuracy"]["value"] == 1.0


def by_name(job: Job, place: Path) -> Job:
    """The same parcels, labelled by text alone."""
    labels = {key: value for key, value in job.spec["labels"].items() if key != "legend"} | {"column": "label"}
    spec: dict[str, Any] = {
        "labels": labels,
        "parcels": None,
        "model.uri": f"{place}/model",
        "output.uri": f"{place}/map",
    }
    return Job(place, job.with_({**spec, "output.codes": False}).spec)


def test_names_without_a_legend_train_map_and_judge(job: Job, tmp_path: Path) -> None:
    named = by_name(job, tmp_path)
    assert start.submit(named.yaml, []) == 0
    names = sorted({*codes_of(job).values()} | {row["name"] for row in _left_out(named)})
    assert set(codes_of(named).values()) <= set(names)
    assert sorted(codes_of(named)) == [code for code, _ in sorted(codes_of(named).items(), key=lambda item: item[1])]
    assert any("numbered in the order of their names: 1 NA" in line for line in named.report()["inputs"])
    same, _ = assess(named.map, dates=1, out=str(tmp_path / "same"))
    assert same["labels"]["held_out_blocks_of_the_training"]
    with pytest.raises(InputError, match="holds numbers"):
        assess(named.map, str(job.spec["labels"]["uri"]), "hcat", dates=1, out=str(tmp_path / "wrong"))


def _left_out(job: Job) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((Path(job.model) / "training.json").read_text())["left_out"]
    return rows
