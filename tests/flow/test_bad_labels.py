"""Labels and models that cannot do are refused by the command itself: before a cube is built, nothing left behind."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from engine.models import Card, Recipe, write_model
from jobs.cli import main
from jobs.demo import Country
from jobs.notes import said_of_training
from tests.engine.made_models import DOMAIN, made_card
from tests.flow.conftest import made_job
from tests.flow.flow import Job

STEPS = 8
Change = dict[str, Any]


def end_of(job: Job, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of ``tilth submit``, run in this process."""
    monkeypatch.setattr(sys, "argv", ["tilth", "submit", job.yaml])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def polygons(country: Country, place: Path, change: Callable[[gpd.GeoDataFrame], gpd.GeoDataFrame]) -> Change:
    """The country's parcels as labels, changed."""
    frame = gpd.read_parquet(country.parcels[2024])[["crop_code", "geometry"]].to_crs(country.crs)
    change(frame).to_parquet(place / "labels.parquet")
    return {"labels.uri": str(place / "labels.parquet")}


def overlapping(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """One parcel reaches 40 m further into those around it."""
    frame.loc[10, "geometry"] = frame.geometry[10].buffer(40)
    return frame


def around(country: Country, place: Path) -> Change:
    """Polygons on every side of the area, none in it."""
    left, bottom, right, top = country.bounds
    sides = [shapely.box(left - 90, bottom, left - 10, top), shapely.box(right + 10, bottom, right + 90, top)]
    gpd.GeoDataFrame({"crop_code": [1, 2]}, geometry=sides, crs=country.crs).to_parquet(place / "labels.parquet")
    return {"labels.uri": str(place / "labels.parquet")}


def raster(country: Country, place: Path, change: Callable[[np.ndarray], np.ndarray], dtype: str = "") -> Change:
    """The country's raster of labels, changed."""
    with rasterio.open(country.labels[2024]) as source:
        values, profile = source.read(1), source.profile
    profile |= {"driver": "GTiff", **({"dtype": dtype, "nodata": None} if dtype else {})}
    with rasterio.open(place / "labels.tif", "w", **profile) as target:
        target.write(change(values).astype(profile["dtype"]), 1)
    return {"labels.uri": str(place / "labels.tif")}


def one_corner(values: np.ndarray) -> np.ndarray:
    """Labels within 10 pixels of one labelled pixel alone: in four blocks at most."""
    row, col = np.argwhere(values[20:76, 20:76])[0] + 20
    kept = np.zeros_like(values)
    near = slice(row - 10, row + 10), slice(col - 10, col + 10)
    kept[near] = values[near]
    return kept


def legend(place: Path, text: str) -> Change:
    (place / "legend.csv").write_text(text)
    return {"labels.legend": str(place / "legend.csv")}


def ready(place: Path, features: tuple[str, ...] = ("ndvi", "vv"), **changes: Any) -> Change:
    """A model that is there already; it is never opened."""
    card = made_card(b"x", STEPS, len(features), 3)
    recipe = Recipe(features=features, steps=STEPS, step_days=30, season_start="03-01")
    fields = {**card.model_dump(exclude={"units"}), "recipe": recipe}
    recipe = recipe.model_copy(update=changes.pop("recipe", {}))
    write_model(Card.model_validate({**fields, "recipe": recipe, **changes}), b"x", str(place / "ready"), DOMAIN)
    return {"labels": None, "model.uri": str(place / "ready")}


def in_decibels(place: Path) -> Change:
    """A model whose radar is in decibels."""
    change = ready(place)
    path = place / "ready" / "model.json"
    item = json.loads(path.read_text())
    item["properties"]["tilth:card"]["units"][1] = "decibel"
    path.write_text(json.dumps(item))
    return change


CASES: dict[str, tuple[Callable[[Country, Path], Change], tuple[str, ...]]] = {
    "codes that no legend names": (
        lambda c, p: legend(p, "code,name\n7001,oats\n7002,rye\n"),
        ("labels.uri", "0 classes of the legend", "samples by code", "a legend that names the codes found"),
    ),
    "one class of the legend": (
        lambda c, p: raster(c, p, lambda v: np.where(v == np.bincount(v[v > 0]).argmax(), v, 0)),
        ("labels.uri", "1 classes of the legend", "2 to 255", "more labels"),
    ),
    "no label at all": (
        lambda c, p: raster(c, p, np.zeros_like),
        ("labels.uri", "not one labelled pixel in the area", "labels.ignore"),
    ),
    "labels around the area": (around, ("labels.uri", "not one labelled pixel in the area", "CRS and extent")),
    "metres that are called degrees": (
        lambda c, p: polygons(c, p, lambda frame: frame.set_crs(4326, allow_override=True)),
        ("labels.uri", "longitude -180 to 180", "CRS"),
    ),
    "a file without a row": (
        lambda c, p: polygons(c, p, lambda frame: frame[:0]),
        ("labels.uri", "expected", "remedy"),
    ),
    "codes that are no whole numbers": (
        lambda c, p: raster(c, p, lambda v: np.where(v > 0, v + 0.5, np.nan), "float32"),
        ("labels.uri", "a pixel holds", ".5", "whole numbers", "write a raster"),
    ),
    "a network longer than the season": (
        lambda c, p: {"model.train.family": "hybridsn"},
        ("hybridsn", "8 steps", "13 or more", "a longer season"),
    ),
    "a model that was brought": (
        lambda c, p: {"model.uri": ready(p)["model.uri"]},
        ("model.uri", "a model that was brought", "no labels", "tilth predict"),
    ),
    "features that a brought model was not trained with": (
        lambda c, p: ready(p) | {"model": {"uri": str(p / "ready"), "features": ["ndvi"]}},
        ("model.features: ndvi", "expected: ndvi, vv", "leave the key out"),
    ),
    "labels in one corner": (
        lambda c, p: raster(c, p, one_corner) | {"labels.min_samples": 5},
        ("labels.uri", "block", "smaller", "block_m"),
    ),
    "parcels of two crops in one place": (
        lambda c, p: polygons(c, p, overlapping),
        ("labels.uri", "with different codes overlap", "row 10 ", "m2 at x", "one code for every place", "cut or"),
    ),
    "too few parcels to be samples": (
        lambda c, p: polygons(c, p, lambda frame: frame[:40]) | {"labels.per": "parcel"},
        ("labels.uri", "classes of the legend with 30 samples", "a smaller min_samples"),
    ),
    "parcels of a raster": (lambda c, p: {"labels.per": "parcel"}, ("labels.per", "is a raster", "polygons with")),
    "parcels for squares": (
        lambda c, p: polygons(c, p, lambda f: f) | {"labels.per": "parcel", "model.train.family": "hybridsn"},
        ("labels.per", "hybridsn looks at the squares", "agrispec", "model.train.family"),
    ),
    "parcels of another statistic": (
        lambda c, p: (
            polygons(c, p, lambda f: f)
            | {"labels.per": "parcel", "parcels": {"uri": str(c.parcels[2024]), "statistic": "mean"}}
        ),
        ("labels.statistic", "median", "parcels.statistic is mean", "use labels.statistic: mean"),
    ),
    "a model of parcels' means": (
        lambda c, p: ready(p, sampled="parcel mean") | {"parcels": {"uri": str(c.parcels[2024])}},
        ("parcels.statistic", "median", "parcel mean", "use that"),
    ),
    "a model of radar without radar": (
        lambda c, p: ready(p) | {"inputs.radar": []},
        ("ready", "the model needs ndvi, vv", "inputs.radar", "add the input"),
    ),
    "a model of radar without its layer": (
        lambda c, p: ready(p) | {"cube.layers": ["optical"]},
        ("cube.layers", "optical", "ndvi, vv need radar", "add radar"),
    ),
    "features without their layer": (
        lambda c, p: {"cube.layers": ["optical"]},
        ("cube.layers", "need radar, thermal", "name features without"),
    ),
    "a model in decibels": (
        lambda c, p: in_decibels(p),
        ("ready", "vv is in 'decibel'", "'linear power'", "convert the model"),
    ),
    "a model of another number of steps": (
        lambda c, p: ready(p, recipe={"steps": 9}),
        ("ready", "steps 9", "8, as the season gives", "season.as_of"),
    ),
    "a model of another length of steps": (
        lambda c, p: ready(p, recipe={"step_days": 15}),
        ("ready", "step_days 15", "30, as the season gives", "step_days"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_before_a_cube_is_built_and_nothing_is_left_behind(
    case: str, country: Country, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change, words = CASES[case]
    base = made_job(country, tmp_path)
    job = base.with_(change(country, tmp_path))
    code, said = end_of(job, monkeypatch), capsys.readouterr().err
    assert code == 2, said
    missing = [word for word in words if word not in said]
    assert not missing, f"{missing} not in: {said}"
    assert "expected" in said and "remedy" in said and "Traceback" not in said
    left = [uri for uri in (base.cube, f"{base.cube}.ledger", base.model, base.map) if Path(uri).exists()]
    assert not left, f"left behind: {left}"


def test_codes_without_a_name_and_a_class_of_one_field_are_left_out_and_told(
    country: Country, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = gpd.read_parquet(country.parcels[2024])
    field = frame.geometry.area.idxmax()

    def change(labels: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        labels.loc[field, "crop_code"] = 7777
        return labels

    named = country.legend_csv.read_text()
    common = int(frame["crop_code"].mode()[0])
    rows = [line for line in named.splitlines() if f",{common}," not in line]
    job = made_job(country, tmp_path).with_(
        polygons(country, tmp_path, change)
        | legend(tmp_path, "\n".join([*rows, "CT,7777,lone field,"]) + "\n")
        | {"model.train": {"family": "forest", "trees": 5}, "labels.block_m": 200}
    )
    assert end_of(job, monkeypatch) == 0
    told = capsys.readouterr()
    said = told.out + told.err
    report = json.loads(Path(job.model, "training.json").read_text())
    reasons = {row["code"]: row["reason"] for row in report["left_out"]}
    assert reasons[common] == "not in the legend" and reasons[7777].startswith("all in one block of 200 m")
    for line in said_of_training(report):
        assert line in said
    assert f"left out: code {common}" in said and "left out: lone field (code 7777)" in said
