"""A new map under the same output: nothing that was said of the one before stands as its own, and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engine.errors import InputError
from engine.keys import map_digest
from engine.objects import Objects
from jobs import drive
from jobs.assess import assess
from jobs.cli import app
from jobs.control import resolve_run, status
from tests.flow.flow import Job
from tests.flow.test_assess import repinned


def run(*words: str) -> str:
    """What a command said that ended well."""
    told = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return told.output


def files(job: Job) -> set[str]:
    """What lies in the output, tiles and ledger apart."""
    keys = {entry.key for entry in Objects(job.map).entries()}
    return {key for key in keys if not key.startswith(("tiles/", "_tilth/"))}


def test_the_map_s_digest_is_in_report_collection_and_assessment(finished: Job, tmp_path: Path) -> None:
    job = finished.copied_to(tmp_path)
    repinned(job, lambda spec: None)
    named = job.report()["map"]
    assert named == map_digest(job.records("map")) == json.loads(job.published()["collection.json"])["tilth:map"]
    facts, _ = assess(job.map, dates=1)
    assert facts["map"] == named
    one = next(iter(job.records("map")))
    assert map_digest({tile: r for tile, r in job.records("map").items() if tile != one}) != named


def test_assessments_by_labels_and_by_sample_are_kept_side_by_side(finished: Job, tmp_path: Path) -> None:
    job = finished.copied_to(tmp_path)
    uri = repinned(job, lambda spec: None)
    first, folder = assess(uri, dates=1)
    (old,) = json.loads(Path(folder, "index.json").read_text())["assessments"]
    assert old["by"] == ["labels"] and old["of_the_map_there"] and old["folder"].startswith("labels-")
    kept = Path(folder, old["folder"], "assessment.json").read_bytes()
    assess(uri, dates=2)
    index = json.loads(Path(folder, "index.json").read_text())
    assert len(index["assessments"]) == 2 and index["map"] == first["map"]
    assert Path(folder, old["folder"], "assessment.json").read_bytes() == kept
    assert f'href="{old["folder"]}/assessment.html"' in Path(folder, "assessment.html").read_text()
    assess(uri, dates=1)
    again = json.loads(Path(folder, "index.json").read_text())
    assert again == index, "the same assessment again is the same one"
    Path(folder, "assessment.json").write_text(json.dumps(first | {"name": "earlier"}))
    assess(uri, dates=1)
    assert len(list(Path(folder).glob("kept-*/assessment.html"))) == 1, "one of before there were folders is kept"


def test_a_new_map_leaves_nothing_of_the_one_before_standing_as_its_own(
    finished: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = finished.copied_to(tmp_path)
    uri = repinned(job, lambda spec: None)
    assess(uri, dates=1)
    before, picture = job.report(), Path(uri, "map.png").read_bytes()
    renamed = job.with_({"name": "another"})

    def cut_short(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(drive, "finish", cut_short)
    CliRunner().invoke(app, ["predict", renamed.yaml])
    aside = f"older/{before['map'][:16]}"
    assert {f"{aside}/{name}" for name in ("report.json", "map.png", "assessment/assessment.json")} <= files(job)
    assert not {"report.json", "map.png", "assessment/assessment.html"} & files(job)
    assert Path(uri, aside, "map.png").read_bytes() == picture
    (row,) = status(resolve_run(uri))["assessments"]
    assert not row["of_the_map_there"] and row["map"] == before["map"]
    told = run("status", uri)
    assert "not finished" in told and f"of map {before['map'][:12]}, and the one here is not finished" in told
    assert aside in told
    with pytest.raises(InputError, match="the run is not finished"):
        assess(uri)

    monkeypatch.undo()
    run("resume", uri)
    after = job.report()
    assert after["map"] != before["map"] and Path(uri, "map.png").read_bytes() != picture
    (row,) = json.loads(Path(uri, "assessment", "index.json").read_text())["assessments"]
    assert (row["map"], row["of_the_map_there"]) == (before["map"], False)
    told = run("assess", uri, "--labels", job.spec["labels"]["uri"], "--dates", "1")
    assert f"{row['folder']} is of map {before['map'][:12]}, not the one that is there" in told
    assert "another map" in Path(uri, "assessment", "assessment.html").read_text()

    run("predict", job.yaml)
    assert job.report()["map"] == before["map"]
    assert aside not in {key.rsplit("/", 1)[0] for key in files(job)}, "the map of before is there again"
    rows = json.loads(Path(uri, "assessment", "index.json").read_text())["assessments"]
    assert sorted(row["of_the_map_there"] for row in rows) == [False, True]


def test_tiles_mapped_anew_under_the_same_spec_are_no_finished_map(finished: Job, tmp_path: Path) -> None:
    job = finished.copied_to(tmp_path)
    uri = repinned(job, lambda spec: None)
    report = Path(uri, "report.json")
    report.write_text(json.dumps(json.loads(report.read_text()) | {"map": "0" * 64}))
    assert not status(resolve_run(uri))["finished"]
    with pytest.raises(InputError, match=r"report.json is of map 000000000000.*tilth resume"):
        assess(uri)
    run("resume", uri)
    assert status(resolve_run(uri))["finished"]
