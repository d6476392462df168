"""``tilth assess`` and ``tilth sample`` on a finished run: unseen blocks judge, nothing leaks, the page is whole."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import rasterio
from numpy.typing import NDArray
from typer.testing import CliRunner

from engine.errors import InputError
from engine.judge import dates, judge_over_dates, judges
from engine.models import load_model
from engine.types import Layer
from jobs.assess import assess, draw_sample, request_of
from jobs.assess import finished as finished_run
from jobs.cli import app
from jobs.demo import Country
from jobs.page import page
from jobs.spec import parse_spec
from tests.flow.flow import Job


@pytest.fixture(scope="module")
def facts(finished: Job, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is said of the finished run by its own test blocks."""
    return assess(finished.map, out=str(tmp_path_factory.mktemp("assessment")), dates=4)[0]


def repinned(job: Job, change: Callable[[dict[str, Any]], None]) -> str:
    """The copied job's map, as if it had been made there, and by another spec from the start."""
    place = Path(job.map, "_tilth", "run.json")
    run, report = json.loads(place.read_bytes()), Path(job.map, "report.json")
    run["spec"]["output"]["uri"], run["spec"]["cube"]["uri"] = job.map, job.cube
    change(run["spec"])
    place.write_text(json.dumps(run))
    digest = parse_spec(run["spec"]).digest()
    report.write_text(json.dumps(json.loads(report.read_bytes()) | {"run": digest}))
    return job.map


def relabelled(country: Country, path: Path, change: Callable[[NDArray], NDArray]) -> str:
    """The country's label raster with other codes."""
    with rasterio.open(country.labels[2024]) as source:
        values, profile = source.read(1), source.profile
    with rasterio.open(path, "w", **{**profile, "driver": "GTiff"}) as target:
        target.write(change(values).astype(profile["dtype"]), 1)
    return str(path)


def test_the_training_s_own_test_blocks_judge_and_say_what_it_reported(finished: Job, facts: dict[str, Any]) -> None:
    reported = json.loads(Path(finished.model, "training.json").read_bytes())
    assert facts["labels"]["held_out_blocks_of_the_training"]
    every, beside = reported["accuracy"], facts["of_known_classes"]
    known = every["of_known_classes"]
    assert facts["accuracy"]["samples"] == every["samples"] > beside["samples"] == known["samples"]
    assert facts["accuracy"]["overall"]["value"] == pytest.approx(every["overall_accuracy"], abs=2e-6)
    assert beside["overall"]["value"] == pytest.approx(known["overall_accuracy"], abs=2e-6)
    of_map = finished.report()["model"]["accuracy"]
    for name in ("samples", "kappa", "overall_accuracy", "macro_f1"):
        assert of_map[name] == every[name] and of_map["of_known_classes"][name] == known[name]
    timing = facts["timing"]
    assert (timing["steps"], timing["dates"][-1]) == ([2, 4, 6, 8], "2024-10-27")
    assert timing["macro_f1"][-1] == facts["accuracy"]["macro_f1"], "all steps known is the model as it maps"
    assert np.shape(facts["attention"]["values"]) == (8, len(facts["attention"]["features"]))
    assert "no estimate" in facts["areas"]["mapped_km2_is"] and "no estimate" in finished.report()["area_km2_is"]
    assert facts["areas"]["mapped_km2"] == pytest.approx(finished.report()["area_km2_mapped"], abs=1e-5)


def test_nothing_after_a_cut_off_is_looked_at(finished: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    done = finished_run(finished.map)
    request, model = request_of(done), load_model(finished.model)
    by = judges(request, done.card, foreign=False)
    clean = judge_over_dates(model, request, by, 4)
    real = dates.decode_window

    def garbled(*arguments: Any) -> Layer:
        layer = real(*arguments)
        layer.values[4:] = np.random.default_rng(0).permuted(layer.values[4:], axis=-1)
        layer.count[4:] = 255
        return layer

    monkeypatch.setattr(dates, "decode_window", garbled)
    found = judge_over_dates(model, request, by, 4)
    for name in ("overall", "kappa", "macro_f1"):
        assert found[name][:2] == clean[name][:2] and found[name][2:] != clean[name][2:]


def test_the_page_stands_alone_and_its_pictures_are_well_formed(facts: dict[str, Any]) -> None:
    changed = copy.deepcopy(facts)
    for rows in (changed["accuracy"]["classes"], changed["timing"]["classes"], changed["areas"]["classes"]):
        rows[0]["name"] = '<script>"&'
    changed["name"] = "<b>"
    text = page(changed)
    assert "<script" not in text and "<b>:" not in text and "&lt;script&gt;&quot;&amp;" in text
    assert not re.search(r"(src|href)=|url\(|@import|http", text)
    pictures = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text)]
    classes = len(facts["areas"]["classes"])  # those that the map has; labels may have others
    assert len(pictures) > 8 * classes
    assert not re.search(r"\bnan\b|None", text)
    assert len(re.findall(r"<section", text)) == len(re.findall(r"</section", text)) == 8


def test_the_command_writes_both_files_beside_the_map_and_prints_json(finished: Job, tmp_path: Path) -> None:
    uri = repinned(finished.copied_to(tmp_path), lambda spec: None)
    told = CliRunner().invoke(app, ["assess", uri, "--dates", "2", "--json"])
    folder = Path(uri, "assessment")
    assert json.loads(told.stdout) == json.loads((folder / "assessment.json").read_bytes())
    assert (folder / "assessment.html").read_text().startswith("<!doctype html>")


def test_other_labels_judge_whole_and_codes_the_model_does_not_know_are_counted(
    finished: Job, country: Country, tmp_path: Path
) -> None:
    def two_classes(values: NDArray) -> NDArray:
        common = np.argsort(np.bincount(values[values > 0]))[-2:]
        kept = np.where(np.isin(values, common), values, 0)
        kept[:20, :20] = 999
        return kept

    path = relabelled(country, tmp_path / "two.tif", two_classes)
    facts, folder = assess(finished.map, path, out=str(tmp_path / "out"), dates=1)
    assert not facts["labels"]["held_out_blocks_of_the_training"]
    (unknown,) = [row for row in facts["accuracy"]["classes"] if not row["known_to_the_model"]]
    assert unknown["code"] == 999 and unknown["samples"] > 0 and unknown["f1"]["value"] == 0
    told = " ".join(facts["notes"])
    assert "the numbers are too good" in told and f"999 ({unknown['samples']})" in told and "count as errors" in told
    assert "Not one sample to judge by" in told
    known, whole = facts["of_known_classes"], facts["accuracy"]
    assert known["samples"] + unknown["samples"] == whole["samples"] == facts["labels"]["labelled"]
    right = known["overall"]["value"] * known["samples"]
    assert whole["overall"]["value"] == pytest.approx(right / whole["samples"], abs=1e-5) and whole["overall"]["low"]
    assert whole["kappa"]["value"] < known["kappa"]["value"] and facts["timing"]["overall"][-1] == whole["overall"]
    assert "(reference only)" in Path(folder, "assessment.html").read_text()
    absent = [row for row in facts["accuracy"]["classes"] if not row["samples"]]
    assert absent and all(row["producers_accuracy"]["value"] is None for row in absent)
    assert "–" in Path(folder, "assessment.html").read_text()
    same = str(country.labels[2024])
    assert judges(request_of(finished_run(finished.map), same), finished_run(finished.map).card, foreign=True).held_out
    with pytest.raises(InputError, match=r"codes \[999\], none of which the model knows"):
        assess(finished.map, relabelled(country, tmp_path / "no.tif", lambda v: v * 0 + 999), out=str(tmp_path / "no"))
    assert not (tmp_path / "no").exists()


def test_labels_all_in_one_block_give_numbers_without_intervals(
    finished: Job, country: Country, tmp_path: Path
) -> None:
    def one_block(values: NDArray) -> NDArray:
        block = np.indices(values.shape) // 20  # of 200 m, on the country's own lines
        number = np.where((block >= 1).all(axis=0) & (block <= 3).all(axis=0), 4 * block[0] + block[1], 0)
        fullest = np.bincount(number[(values > 0) & (number > 0)]).argmax()
        return np.where(number == fullest, values, 0)

    path = relabelled(country, tmp_path / "one.tif", one_block)
    facts, folder = assess(finished.map, path, out=str(tmp_path / "out"), dates=1)
    overall = facts["accuracy"]["overall"]
    assert facts["accuracy"]["blocks"] == 1 and overall["value"] is not None and overall["low"] is None
    assert any("in 1 block: no interval" in note for note in facts["notes"])
    assert "(no interval)" in Path(folder, "assessment.html").read_text()


def test_what_cannot_be_judged_is_refused_before_anything_is_written(
    finished: Job, country: Country, tmp_path: Path
) -> None:
    other = relabelled(country, tmp_path / "other.tif", lambda values: np.roll(values, 25, axis=0))
    uri = repinned(finished.copied_to(tmp_path / "a"), lambda spec: spec["labels"].update(uri=other))
    with pytest.raises(InputError, match="do not deal into the parts that the model's card tells of"):
        assess(uri)
    uri = repinned(finished.copied_to(tmp_path / "b"), lambda spec: spec.update(labels=None))
    with pytest.raises(InputError, match="the run has no labels"):
        assess(uri)
    Path(uri, "report.json").unlink()
    with pytest.raises(InputError, match=r"not finished.*tilth resume"):
        assess(uri, str(country.labels[2024]))
    uri = repinned(finished.copied_to(tmp_path / "c"), lambda spec: None)
    report = json.loads(Path(uri, "report.json").read_bytes())
    report["model"]["digest"] = "0" * 64
    Path(uri, "report.json").write_text(json.dumps(report))
    with pytest.raises(InputError, match="which made the map"):
        assess(uri)
    for name in "abc":
        assert not (tmp_path / name / "map" / "assessment").exists()


def test_a_sample_drawn_filled_in_and_given_back_estimates_the_areas(
    finished: Job, country: Country, tmp_path: Path
) -> None:
    path = tmp_path / "points.csv"
    told = CliRunner().invoke(app, ["sample", finished.map, "--size", "240", "--out", str(path), "--json"])
    design = json.loads(told.stdout)
    assert design["points"] == 240 == sum(row["points"] for row in design["strata"])
    frame = pd.read_csv(path)
    with rasterio.open(f"{finished.map}/class.gti.gpkg") as source:
        rows, cols = rasterio.transform.rowcol(source.transform, frame["x"], frame["y"])
    drawn = finished.product("class")[np.asarray(rows, int), np.asarray(cols, int)]
    codes = [row["code"] for row in design["strata"]]
    hidden = pd.read_parquet(design["design"]).set_index("id")["map_code"]
    assert [codes[index] for index in drawn] == hidden[frame["id"]].tolist() and "map_code" not in frame
    with rasterio.open(country.truth[2024]) as source:
        truth = [int(value[0]) for value in source.sample(zip(frame["x"], frame["y"], strict=True))]
    frame.assign(reference=truth).to_csv(path, index=False)
    uri = repinned(finished.copied_to(tmp_path / "job"), lambda spec: spec.update(labels=None))
    facts, folder = assess(uri, sample=str(path))
    areas = facts["areas"]
    assert "accuracy" not in facts and areas["sample"]["points"] == 240 and areas["sample"]["drawn_from_this_map"]
    assert sum(row["estimated_km2"]["value"] for row in areas["classes"]) == pytest.approx(
        areas["mapped_km2"], abs=1e-4
    )
    text = Path(folder, "assessment.html").read_text()
    assert "stratified random sample" in text and "no estimate" in text and not re.search(r"± 0\b(?!\.)", text)
    (row,) = json.loads(Path(folder, "index.json").read_text())["assessments"]
    assert row["by"] == ["sample"] and row["of_the_map_there"]
    with pytest.raises(InputError, match="one of --size and --error"):
        draw_sample(finished.map, str(tmp_path / "x.csv"))
    with pytest.raises(InputError, match="cannot give two to each"):
        draw_sample(finished.map, str(tmp_path / "x.csv"), size=3)
    assert draw_sample(finished.map, str(tmp_path / "x.csv"), error=0.03)["points"] > 16
