"""Every family of models, the whole way: trained, saved, read back and mapped by the one engine."""

from __future__ import annotations

import json
from dataclasses import replace
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

from engine.models import read_card
from engine.models.card import PATCHES, Family
from jobs.cli import app
from jobs.demo import Country
from tests.flow.archive import Archive
from tests.flow.conftest import area_file, inputs
from tests.flow.flow import Job, tilth

SQUARE_PX = 6
ACROSS_PX, DOWN_PX = 7, 21
"""From one square of labelled pixels to the next: those side by side lie within the reach of every patch."""
STEPS = 16
AS_OF, EARLY_STEPS = "2024-07-29", 10
"""Where the season is cut off for the family that forecasts the rest."""
FAST: dict[str, Any] = {"epochs": 2, "max_samples_per_class": 30, "max_judged": 150, "trees": 20}
SMALLER = {"convstar3d": 5, "convstar": 5, "cnn3d": 5}
"""Patches of the heaviest: 5 pixels instead of 11 take a fifth of the time."""


@pytest.fixture(scope="module")
def base(country: Country, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job whose cube is there: 84 x 84 pixels in four tiles, sixteen steps, some squares of pixels that are labelled,
    and mapped, so that what the training was judged by is all on the map."""
    root = tmp_path_factory.mktemp("families")
    with rasterio.open(country.labels[2024]) as source:
        profile, codes = source.profile, source.read(1)
        rows, cols = np.indices(codes.shape)
        in_square = (rows % DOWN_PX < SQUARE_PX) & (cols % ACROSS_PX < SQUARE_PX)
    for name, values in (("known", codes * in_square), ("asked", ((codes != 0) & in_square).astype(np.uint8))):
        with rasterio.open(root / f"{name}.tif", "w", **{**profile, "dtype": values.dtype, "nodata": None}) as file:
            file.write(values, 1)
    spec = {
        "name": "families",
        "area": {"file": area_file(country, root / "area.gpkg")},
        "season": {"start": "2024-03-01", "end": "2024-10-27", "step_days": 15},
        "grid": {"crs": country.crs, "resolution": 10, "tile_px": 42},
        "inputs": inputs(str(country.items)),
        "mask": {"uri": str(root / "asked.tif")},
        "cube": {"uri": f"{root}/cube.zarr"},
        "model": {"uri": f"{root}/model", "features": ["nir", "ndvi", "lswi", "vv"]},
        "labels": {"uri": str(root / "known.tif"), "legend": str(country.legend_csv), "block_m": 200},
        "output": {"uri": f"{root}/map"},
        "compute": {"in_process": True},
    }
    job = Job(root, spec)
    job.with_({"labels": None}).build_cube()  # neither labels nor a model are there yet
    return job


def run(*words: str) -> str:
    """A command in this process, where kernels are compiled and libraries loaded once for all; what it said."""
    told = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return told.output


@pytest.mark.parametrize("family", [family for family in get_args(Family) if family != "onnx"])
def test_a_family_is_trained_saved_mapped_and_assessed(family: str, base: Job, tmp_path: Path) -> None:
    train = {f"model.train.{name}": value for name, value in FAST.items()}
    if family in SMALLER:
        train["model.train.patch"] = SMALLER[family]
    job = base.with_({
        "model.uri": f"{tmp_path}/model", "output.uri": f"{tmp_path}/map", "model.train.family": family, **train,
    })  # fmt: skip
    if family == "clec":
        job = job.with_({"season.as_of": AS_OF})
    planned = json.loads(run("plan", job.yaml, "--json"))
    assert planned["assumed"]["model_pixels_per_second_and_worker"] > 0 and planned["seconds"]["map"] > 0
    told = run("submit", job.yaml)
    assert "cube: nothing to do" in told
    card = read_card(job.model)
    early = EARLY_STEPS if family == "clec" else STEPS
    assert (card.family, card.recipe.steps, card.later_steps) == (family, early, STEPS - early)
    assert card.patch == SMALLER.get(family, PATCHES.get(family, 1))
    training = json.loads(Path(job.model, "training.json").read_text())
    assert 0 <= training["accuracy"]["overall_accuracy"] <= 1
    assert (training["split"]["reaching_into_another_part"] > 0) == (family in PATCHES)
    mapped, confidence = job.product("class"), job.product("confidence")
    assert mapped[mapped != 255].max() < len(card.classes) and confidence[mapped != 255].max() <= 100
    run("assess", job.map, "--dates", "2")
    assessed = json.loads(Path(job.map, "assessment", "assessment.json").read_text())
    labels = assessed["labels"]
    assert labels["held_out_blocks_of_the_training"] and labels["without_data"] == 0
    assert (mapped != 255).sum() == labels["labelled"] > 400
    reported = training["accuracy"]["overall_accuracy"]
    assert assessed["accuracy"]["overall"]["value"] == pytest.approx(reported, abs=2e-6)
    timing = assessed["timing"]
    assert len(timing["dates"]) == 2 and timing["samples"] == assessed["accuracy"]["samples"]
    assert timing["macro_f1"][-1] == assessed["accuracy"]["macro_f1"], "all steps known is the model as it maps"


def test_a_model_used_outside_its_domain_is_told_at_every_step(base: Job, tmp_path: Path) -> None:
    train = {"model.train.family": "forest", "model.train.trees": 10, "model.uri": f"{tmp_path}/model"}
    own = base.with_({**train, "output.uri": f"{tmp_path}/own"})
    run("submit", own.yaml)
    told = own.report()["model"]
    assert told["accuracy"]["of_this_map"] and told["accuracy"]["seasons"] == ["2024-03-01"]
    assert not [line for line in told["outside"] if "beyond the range" not in line]
    assert set(told["beyond_the_trainings_range"]) == {"nir", "ndvi", "lswi", "vv"}
    job = replace(own, folder=tmp_path / "other").with_({
        "labels": None, "grid.resolution": 20, "cube.uri": f"{tmp_path}/other/cube.zarr",
        "cube.composite": "median", "output.uri": f"{tmp_path}/other/map",
    })  # fmt: skip
    expected = ["pixels of 20 m, the training's were of 10 m", "cube made with composite median"]
    labels = ("--labels", str(base.spec["labels"]["uri"]), "--dates", "2")
    texts = [run("plan", job.yaml), run("submit", job.yaml), run("assess", job.map, *labels)]
    files = ("report.json", "collection.json", "assessment/assessment.html")
    texts += [unescape(Path(job.map, name).read_text()) for name in files]
    for text in texts:
        assert [words for words in (*expected, "season from 2024-03-01 on") if words not in text] == []
    assert job.report()["model"]["outside"][:2] == own_words(job)


def own_words(job: Job) -> list[str]:
    """What the plan says of the model's domain, which is what the report says first."""
    found: list[str] = json.loads(run("plan", job.yaml, "--json"))["model"]["outside"]
    return found


@pytest.fixture(scope="module")
def of_the_season(base: Job, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A finished job of the whole season whose model takes cut-offs from the sixth step on."""
    place = tmp_path_factory.mktemp("random")
    cascade = {"cutoff": "random", "from_step": 6, "mask_channel": True}
    train = {"family": "clec", **FAST, "epochs": 4, "learning_rate": 3e-3, "cascade": cascade}
    uris = {"model.uri": f"{place}/model", "output.uri": f"{place}/map"}
    job = replace(base, folder=place).with_({**uris, "model.train": train})
    run("submit", job.yaml)
    return job


def cut_off(job: Job, place: Path, day: str) -> Job:
    """The same season as it was known on that day, to be mapped with the model that is there."""
    changes = {"labels": None, "season.as_of": day, "output.uri": f"{place}/{day}/map"}
    return replace(job, folder=place / day).with_(changes)


def test_one_model_maps_a_season_at_several_dates_from_what_was_known_then(
    of_the_season: Job, archive: Archive, tmp_path: Path
) -> None:
    model = Path(of_the_season.model, "model.json").read_bytes()
    early, late = (cut_off(of_the_season, tmp_path, day) for day in ("2024-06-01", AS_OF))
    for job in (early, late):
        told = run("submit", job.yaml)
        assert "cube: nothing to do" in told and "model: training" not in told
    assert Path(of_the_season.model, "model.json").read_bytes() == model
    maps = [job.product("class") for job in (early, late, of_the_season)]
    assert all((a != b).any() and ((a != 255) <= (b != 255)).all() for a, b in pairwise(maps))
    steps = [row["steps"] for row in read_card(of_the_season.model).training["cut_offs"]]
    assert steps == list(range(6, 17))
    assert [job.report()["model"]["accuracy"]["steps"] for job in (early, late)] == [6, EARLY_STEPS]

    archive.items = {n: item for n, item in archive.items.items() if str(item["properties"]["datetime"]) <= AS_OF}
    archive.save()
    blind = late.with_({
        "inputs": inputs(str(archive.catalog)), "cube.uri": f"{tmp_path}/cube.zarr", "output.uri": f"{tmp_path}/map",
    })  # fmt: skip
    run("submit", blind.yaml)
    for product in ("class", "confidence"):
        np.testing.assert_array_equal(late.product(product), blind.product(product))


def test_a_model_of_several_dates_is_shown_and_assessed_at_each(of_the_season: Job, tmp_path: Path) -> None:
    shown = run("model", "show", of_the_season.model)
    assert "05-29 to 10-26, 6 to 16 steps" in shown and "known to 05-29" in shown
    labels = str(of_the_season.spec["labels"]["uri"])
    job = cut_off(of_the_season, tmp_path, AS_OF)
    run("submit", job.yaml)
    for judged, words, steps in ((of_the_season, (), [9, 13, 16]), (job, ("--labels", labels), [7, 9, 10])):
        run("assess", judged.map, "--dates", "3", *words)
        found = json.loads(Path(judged.map, "assessment", "assessment.json").read_text())
        assert found["timing"]["steps"] == steps and not found["timing"]["held"]
        assert found["labels"]["held_out_blocks_of_the_training"]
        assert found["timing"]["overall"][-1]["value"] == found["accuracy"]["overall"]["value"]


def test_a_date_before_the_models_first_is_refused_before_work_starts(of_the_season: Job, tmp_path: Path) -> None:
    job = cut_off(of_the_season, tmp_path, "2024-05-28")
    told = tilth("submit", job.yaml, expect=2)
    assert not list(Path(job.map).rglob("*.*"))
    for words in ("season.as_of: 2024-05-28", "5 of the season's 16 steps", "6 to 16 steps, to 05-29 up to 10-26"):
        assert words in " ".join(told.err.split())
