"""Parcels from register to table, in this process: the same rows however the area is tiled, the same bytes again."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest
import shapely
import torch

from engine.earth import areas_m2
from engine.errors import InputError, TilthError
from engine.models import write_model
from engine.models.agrispec import AgriSpec
from engine.models.series import to_bytes
from engine.objects import Objects
from jobs import start
from jobs.demo import Country
from tests.engine.made_models import DOMAIN, made_card
from tests.engine.stac_rules import validate
from tests.flow.conftest import INSET_M, SIDE_M, made_job
from tests.flow.flow import Job, anew, assert_same_published

YEAR = 2024
FEATURES = ("nir", "swir1", "ndvi", "vv", "lst")


def register(country: Country, path: Path) -> Path:
    """The country's parcels, some cut so that they overlap, are narrow, cross tiles, or cannot be used."""
    frame = gpd.read_parquet(country.parcels[YEAR])[["id", "geometry"]]
    left, top = country.bounds[0] + INSET_M, country.bounds[3] - INSET_M
    long = shapely.box(left - 100, top - 440, left + SIDE_M + 100, top - 400)
    narrow = shapely.box(left + 203, top - 300, left + 215, top - 100)
    crumb = shapely.box(left + 501, top - 504, left + 503, top - 501)
    bow = shapely.Polygon([(left, top), (left + 90, top - 90), (left + 90, top), (left, top - 90)])
    far = shapely.box(left + 10 * SIDE_M, top - 90, left + 10 * SIDE_M + 50, top)
    odd = {"long": long, "narrow": narrow, "crumb": crumb, "bow": bow, "far": far, "none": None}
    more = gpd.GeoDataFrame({"id": list(odd)}, geometry=list(odd.values()), crs=frame.crs)
    pd.concat([more, frame], ignore_index=True).to_crs("EPSG:4326").to_parquet(path)
    return path


@pytest.fixture(scope="module")
def job(country: Country, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A finished job with parcels, four tiles."""
    place = tmp_path_factory.mktemp("parcels")
    parcels = {"uri": str(register(country, place / "register.parquet")), "id": "id"}
    job = made_job(country, place).with_({"parcels": parcels, "labels": None})
    write_untrained(job.model)
    run(job)
    return job


def write_untrained(uri: str) -> None:
    """An AgriSpec that was never trained, its answers spread over fields as they may be: some sure, some not."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        network = AgriSpec(8, len(FEATURES), 4).eval()
        fields = torch.rand(200, 8, len(FEATURES)) * 0.3 + torch.rand(200, 1, len(FEATURES)) * 0.3
        fields[..., 3:] = torch.tensor([0.0, 1.0])  # dark in radar, and warmer than the card's scaling
        out, logits = network.classes[-1], network(fields)
        out.bias.sub_(logits.mean(0)).div_(logits.std(0) / 4)
        out.weight.div_(logits.std(0)[:, None] / 4)
    weights = to_bytes(network)
    card = made_card(weights, 8, len(FEATURES), 4, "agrispec")
    recipe = card.recipe.model_copy(update={"features": FEATURES, "step_days": 30, "season_start": "03-01"})
    write_model(card.model_copy(update={"recipe": recipe, "units": recipe.units}), weights, uri, DOMAIN)


def run(job: Job) -> None:
    assert start.submit(job.yaml, []) == 0


def rows(job: Job) -> pd.DataFrame:
    """Every parcel's row, read as one dataset, by name; without its tile."""
    table = ds.dataset(f"{job.map}/parcels", format="parquet").to_table()
    return table.drop_columns(["tile"]).sort_by("id").to_pandas()


def test_every_parcel_of_the_area_has_one_row(country: Country, job: Job) -> None:
    found = rows(job).set_index("id")
    area = shapely.box(*country.bounds).buffer(-INSET_M, join_style="mitre")
    given = gpd.read_parquet(job.spec["parcels"]["uri"]).set_index("id").to_crs(country.crs)
    usable = given[given.geometry.notna()]
    usable = usable.set_geometry(usable.make_valid())
    inside = usable[usable.representative_point().within(area)]
    assert sorted(found.index) == sorted(inside.index) and {"long", "narrow", "crumb"} <= set(found.index)
    np.testing.assert_allclose(
        found["area_m2"], areas_m2(inside.loc[found.index].geometry.to_numpy(), country.crs), rtol=1e-6
    )
    assert found.loc[["long", "narrow", "crumb"], "pixels_from"].tolist() == ["interior", "parcel", "point"]
    assert found.loc["crumb", "pixels"] == 1 and found.loc["long", "pixels"] == 2 * 84, (
        "two rows of pixels in four tiles"
    )
    assert (found["pixels"] > 0).all() and found["n_valid"].between(1, 8).all()
    p = found[["confidence", "probability_2", "probability_3"]].to_numpy()
    assert (np.diff(p, axis=1) <= 0).all() and (p.sum(axis=1) <= 1 + 1e-6).all()
    assert (found["review"] == (found["confidence"] < np.float32(0.65))).all() and found["crop"].notna().all()
    assert found["review"].nunique() == 2 and found["crop"].nunique() > 1


def test_a_tiles_table_is_geoparquet_and_its_stac_item_and_the_report_tell_of_it(job: Job) -> None:
    output, report = Objects(job.map), job.report()["parcels"]
    frames = []
    for record in job.records("map").values():
        key = f"{record.body['parcels']['folder']}/parcels.parquet"
        frame = gpd.read_parquet(io.BytesIO(output.get(key)))
        assert frame.crs == job.spec["grid"]["crs"] and (frame["tile"] == record.tile).all()
        frames.append(frame)
        item = json.loads(output.get(f"{record.body['folder']}/item.json"))
        validate(item)
        assert item["assets"]["parcels"]["href"] == f"../../../{key}"
    validate(json.loads(output.get("collection.json")))
    whole = gpd.read_parquet(f"{job.map}/parcels")
    assert whole.crs == frames[0].crs and len(whole) == sum(map(len, frames)), "the folder opens as one"
    assert len(frames) == 4 and report["parcels"] == len(whole) and report["review"] == whole["review"].sum()
    for crop, row in report["by_crop"].items():
        mine = whole[whole["crop"] == crop]
        assert row["parcels"] == len(mine) and row["review_share"] == pytest.approx(mine["review"].mean(), abs=1e-4)
        assert row["area_km2"] == pytest.approx(mine["area_judged_m2"].sum() / 1e6, abs=1e-5)
    left_out = report["register"]["left_out"]
    assert {why: row["such_as"] for why, row in left_out.items()} == {"no geometry": ["none"]}
    assert report["register"]["changed"] == {"repaired: Self-intersection": {"parcels": 1, "such_as": ["bow"]}}
    assert report["register"]["rows"] == len(whole) + report["register"]["outside"] + 1


@pytest.fixture(scope="module")
def finer(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The same on sixteen tiles."""
    finer = job.at(tmp_path_factory.mktemp("finer")).with_({"grid.tile_px": 23})
    run(finer)
    return finer


def test_tiling_does_not_show_in_any_row(job: Job, finer: Job) -> None:
    assert len(job.records("map")) == 4 and len(finer.records("map")) == 16
    pd.testing.assert_frame_equal(rows(job), rows(finer), check_exact=True)


@pytest.mark.parametrize("changes", [{"statistic": "mean"}, {"method": "vote", "inward_px": 0}])
def test_nor_does_it_show_in_means_and_votes_which_are_others(
    job: Job, finer: Job, tmp_path: Path, changes: dict[str, Any]
) -> None:
    asked = {f"parcels.{name}": value for name, value in changes.items()}
    one, many = (
        done.with_(asked | {"output.uri": f"{tmp_path}/{done.folder.name}"}) for done in (job, finer)
    )  # fmt: skip
    run(one)
    run(many)
    pd.testing.assert_frame_equal(rows(one), rows(many), check_exact=True)
    assert (rows(one)["confidence"] != rows(job)["confidence"]).any()


def test_a_second_run_gives_the_same_bytes_and_a_resume_has_nothing_to_do(job: Job, tmp_path: Path) -> None:
    again = job.at(tmp_path)
    run(again)
    assert_same_published(job, again)
    assert [key for key in again.published() if key.startswith("parcels/")]
    before = again.records("map")
    assert start.resume(again.map, []) == 0
    assert anew(before, again.records("map")) == set()


def test_a_parcel_that_changes_does_its_own_tile_again_and_no_parcels_leave_no_table(job: Job, tmp_path: Path) -> None:
    mine = job.copied_to(tmp_path / "run")
    frame = gpd.read_parquet(job.spec["parcels"]["uri"])
    crumb = frame["id"] == "crumb"
    frame.loc[crumb, "geometry"] = frame.geometry[crumb].scale(3, 3)
    frame.to_parquet(tmp_path / "changed.parquet")
    mine = mine.with_({"parcels.uri": str(tmp_path / "changed.parquet")})
    before, old = mine.records("map"), mine.published()
    run(mine)
    assert anew(before, mine.records("map")) == {"r0001c0001"}
    assert {key.split("/")[1] for key in set(old) ^ set(mine.published())} == {"r0001c0001"}
    run(mine.with_({"parcels": None}))
    assert not [key for key in mine.published() if key.startswith("parcels/")]


def test_a_changed_register_is_not_taken_for_the_one_that_was_submitted(job: Job, tmp_path: Path) -> None:
    register = tmp_path / "register.parquet"
    register.write_bytes(Path(job.spec["parcels"]["uri"]).read_bytes())
    mine = job.copied_to(tmp_path / "run").with_({"parcels.uri": str(register)})
    run(mine)
    dealt = [e.key for e in Objects(mine.map).entries("_tilth/parcels")]
    register.write_bytes(b"another")
    assert start.resume(mine.map, []) == 0, "what was dealt out is all that a resume needs"
    Objects(mine.map).delete(dealt)
    with pytest.raises(InputError, match="another file than when the run was submitted"):
        start.resume(mine.map, [])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"parcels.id": "idd"}, "has no column 'idd'"),
        ({"parcels.uri": "gone.parquet"}, "parcels.uri = gone.parquet"),
        ({"parcels.methods": "vote"}, "parcels.methods: unknown key; did you mean method?"),
        ({"parcels.inward_px": -1}, "parcels.inward_px: -1"),
    ],
)
def test_what_is_wrong_with_parcels_is_told_before_anything_is_written(
    job: Job, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    mine = job.at(tmp_path).with_(changes)
    with pytest.raises(TilthError, match=re.escape(words)):
        start.submit(mine.yaml, [])
    assert not Path(mine.map).exists() and not Path(mine.cube).exists()


def test_a_name_given_twice_ends_the_run_before_a_tile_is_worked_on(job: Job, tmp_path: Path) -> None:
    frame = gpd.read_parquet(job.spec["parcels"]["uri"])
    frame.loc[frame["id"] == "narrow", "id"] = "long"
    frame.to_parquet(tmp_path / "twice.parquet")
    mine = job.at(tmp_path).with_({"parcels.uri": str(tmp_path / "twice.parquet")})
    with pytest.raises(InputError, match="more than once, such as 'long', 2 times"):
        start.submit(mine.yaml, [])
    assert not mine.records("cube") and not mine.records("map")
