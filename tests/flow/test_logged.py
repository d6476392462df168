"""A run whose output goes into files leaves dated lines there, and so does who watches it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.flow.flow import PATIENCE_S, Job, command, tilth
from tests.flow.test_drivers import held_still
from tests.jobs.test_lines import undated
from tests.servers.process import REPO_ROOT, wait_until


def test_a_run_and_who_watches_it_write_dated_lines_alone(finished: Job, tmp_path: Path) -> None:
    job, log = finished.at(tmp_path / "run"), tmp_path / "watch.log"
    with log.open("wb") as out, held_still(job):
        watching = subprocess.Popen(command("watch", job.map), cwd=REPO_ROOT, stdout=out, stderr=out)
        wait_until(lambda: b"driven by" in log.read_bytes(), 60, "the first line of who watches")
    assert watching.wait(PATIENCE_S) == 0
    assert undated(log.read_text())[-1] == "nobody drives the run now; map: {'written': 4}"
    assert "\r" not in log.read_text() and "\x1b" not in log.read_text()
    told = finished.at(tmp_path / "again").predict()
    assert "cube: 4 of 4 tiles, 0 under way, 0 retried, 0 quarantined" in undated(told.err)
    assert any("of 4 tiles published" in line for line in undated(told.out))
    failed = tilth("resume", str(tmp_path / "nowhere"), expect=2)
    assert undated(failed.err)[-1].startswith("tilth: ")
    assert json.loads(tilth("status", job.map, "--json").out)["finished"]
