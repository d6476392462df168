"""Land unlike the training's on the whole way: a layer, a share in the report, a mask, and a model that cannot tell."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.models import read_model, write_model
from engine.models.package import read_golden
from engine.objects import Objects
from tests.engine.made_models import DOMAIN
from tests.flow.flow import Job, tilth

NODATA = 255


def alone(job: Job, place: Path) -> Job:
    """The job with a copy of its model, map and cube below ``place``, and no labels: it maps with the model there."""
    shutil.copytree(job.model, place / "model")
    return job.copied_to(place).with_({"model.uri": str(place / "model"), "labels": None})


def test_the_layer_is_published_beside_class_and_confidence_and_its_share_is_reported(finished: Job) -> None:
    mapped, familiarity = finished.product("class"), finished.product("familiarity")
    seen = mapped != NODATA
    assert (familiarity[seen] <= 100).all() and (familiarity[~seen] == NODATA).all()
    assert len(np.unique(familiarity[seen])) > 20
    told = finished.report()["unfamiliar"]
    strange = seen & (familiarity < 5)
    assert told["share"] == round(strange.sum() / seen.sum(), 6) and told["masked"] is False
    assert sum(row["km2"] for row in told["by_class"].values()) == pytest.approx(told["km2"], abs=1e-5)
    item = json.loads(
        Objects(finished.map).get(f"{next(iter(finished.records('map').values())).body['folder']}/item.json")
    )
    assert (
        set(item["assets"]) == {"class", "confidence", "familiarity"} and item["assets"]["familiarity"]["unit"] == "%"
    )
    collection = json.loads(Objects(finished.map).get("collection.json"))
    assert "familiarity" in collection["item_assets"] and "familiarity.gti.gpkg" in collection["assets"]


def test_masked_the_unfamiliar_is_no_data_and_counted_apart(finished: Job, tmp_path: Path) -> None:
    job = alone(finished, tmp_path).with_({"output.unfamiliar": "mask", "output.unfamiliar_below": 20})
    said = job.predict().out
    before, familiarity, after = finished.product("class"), job.product("familiarity"), job.product("class")
    strange = (familiarity < 20) & (before != NODATA)
    assert strange.any() and not strange.all()
    np.testing.assert_array_equal(after, np.where(strange, NODATA, before))
    np.testing.assert_array_equal(familiarity, finished.product("familiarity"))
    assert (job.product("confidence")[strange] == NODATA).all()
    report, whole = job.report(), finished.report()
    assert report["area_km2_without_data"] == pytest.approx(whole["area_km2_without_data"], abs=1e-5)
    assert report["unfamiliar"]["km2"] == pytest.approx(whole["area_km2_mapped"] - report["area_km2_mapped"], abs=1e-5)
    assert "unlike all the model was trained on" in said and "masked" in said


def test_an_older_model_maps_without_the_layer_and_is_refused_where_it_is_named(finished: Job, tmp_path: Path) -> None:
    job = alone(finished, tmp_path)
    card, weights = read_model(job.model)
    old = card.model_copy(update={"familiarity_sha256": None})
    write_model(old, weights, job.model, DOMAIN, read_golden(job.model))
    named = replace(job.with_({"output.products": ["class", "familiarity"]}), folder=tmp_path / "named")
    refused = tilth("predict", named.yaml, expect=2)
    assert "cannot tell what it is familiar with" in refused.err and "train this one anew" in refused.err
    told = job.predict()
    assert "no layer familiarity" in told.err
    assert [key for key in job.published() if "familiarity" in key] == []
    np.testing.assert_array_equal(job.product("class"), finished.product("class"))
    assert "unfamiliar" not in job.report()
