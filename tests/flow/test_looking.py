"""Commands that look: they say what is and what would be, and leave no trace."""

from __future__ import annotations

import json
from pathlib import Path

from engine.objects import Objects
from jobs.pinned import is_cancelled, seconds_spent
from tests.flow.flow import Job, tilth


def test_plan_and_dry_run_say_what_a_job_takes_and_make_no_folder(finished: Job, tmp_path: Path) -> None:
    job = finished.at(tmp_path / "place", folder=tmp_path / "spec")
    facts = json.loads(tilth("plan", job.yaml, "--json").out)
    assert (facts["tiles"], facts["cube_tiles_done"], facts["season_steps"], facts["used_steps"]) == (4, 0, 8, 8)
    assert set(facts["seconds"]) == {"start", "cube", "training_at_most", "map"}
    assert facts["memory_peak_bytes"] >= facts["tiles_at_once"] * facts["memory_per_tile_bytes"]
    told = tilth("plan", job.yaml)
    assert "8 in the season, 8 in the features" in told.out
    assert any(line.startswith("input: optical: sentinel-2-l2a") for line in told.out.splitlines()), "not wrapped"
    assert not (tmp_path / "place").exists()
    assert "nothing was started" in tilth("submit", job.yaml, "--dry-run").err
    assert [path.name for path in (tmp_path / "place").rglob("*") if path.is_file()] == []


def test_plan_knows_what_is_built_and_how_many_steps_as_of_leaves(finished: Job) -> None:
    job = finished.with_({"season.as_of": "2024-07-20"})
    facts = json.loads(tilth("plan", job.with_({"model.uri": f"{job.folder}/early"}).yaml, "--json").out)
    assert (facts["cube_tiles_done"], facts["season_steps"], facts["used_steps"]) == (4, 8, 4)
    assert facts["seconds"]["cube"] == 0


def test_a_sample_builds_tiles_of_the_cube_and_tells_the_time_by_them(finished: Job, tmp_path: Path) -> None:
    job = finished.at(tmp_path / "place", folder=tmp_path / "spec")
    for sample, built, told in ((3, 3, "3 sampled"), (3, 4, "1 sampled"), (1, 4, "nothing is left to sample")):
        facts = json.loads(tilth("plan", job.yaml, "--sample", str(sample), "--json").out)
        assert facts["cube_tiles_done"] == built and told in facts["assumed"]["rates"]
        assert 1e-4 < facts["assumed"]["seconds_per_asset_read"] < 1, "tiles that were there are not timed"
    assert len(job.records("cube")) == 4 and job.records("map") == {}


def test_another_grid_than_the_cubes_is_refused_before_anything_starts(finished: Job, tmp_path: Path) -> None:
    job = finished.copied_to(tmp_path).with_({"grid.tile_px": 28})
    for words in (["plan"], ["submit", "--dry-run"], ["submit"]):
        told = tilth(words[0], job.yaml, *words[1:], expect=2)
        assert "tilth:tile_px 42, the spec gives 28" in told.err and "name another cube.uri" in told.err


def test_cancelling_what_nobody_drives_leaves_no_word(finished: Job, tmp_path: Path) -> None:
    job = finished.copied_to(tmp_path)
    assert "nobody drives this run" in tilth("cancel", job.map).out
    assert not is_cancelled(Objects(job.map))


def test_a_budget_counts_all_drivers_of_a_run_until_it_is_submitted_anew(finished: Job, tmp_path: Path) -> None:
    job = finished.at(tmp_path)
    output = Objects(job.map)
    told = tilth("predict", job.yaml, "--set", "budget.max_hours=0.0000001", expect=5)
    first = seconds_spent(output)
    assert first > 0 and "budget.max_hours" in told.err
    tilth("resume", job.map, "--set", f"budget.max_hours={first / 3600}", expect=5)
    assert seconds_spent(output) > first and job.records("map") == {}, "what the first used leaves nothing"
    job.predict()
    again = seconds_spent(output)
    job.predict()
    assert seconds_spent(output) == 0 < again, "nothing was left to do, on a new account"


def test_tiles_as_json_hold_what_a_script_asks_for(finished: Job) -> None:
    rows = json.loads(tilth("tiles", finished.map, "--json").out)
    assert len(rows) == 8 and {row["stage"] for row in rows} == {"cube", "map"}
    assert set().union(*rows) <= {"stage", "tile", "state", "reason", "folder", "seconds", "bbox"}
