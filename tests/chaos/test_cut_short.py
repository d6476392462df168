"""The few objects that the driver writes by itself may be cut short at any moment, too."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

from jobs.demo.country import Country
from jobs.pinned import fresh_plan
from jobs.spec import load_spec
from tests.chaos.runs import write_job
from tests.servers.process import REPO_ROOT

TIMES = 25


def test_metadata_cut_short_at_any_moment_is_made_whole_by_the_next_driver(country: Country, tmp_path: Path) -> None:
    plan = fresh_plan(load_spec(str(write_job(tmp_path, country).job)))
    (tmp_path / "plan.pickle").write_bytes(pickle.dumps((plan.grid, plan.axes)))
    command = [sys.executable, "-W", "ignore", "-m", "tests.chaos.cut_short", str(tmp_path), str(TIMES)]
    killed = subprocess.run(command, cwd=REPO_ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert int(killed) == TIMES
    whole = tree(tmp_path / "whole")
    prepared = [folder for folder in tmp_path.iterdir() if folder.name.isdigit()]
    assert len(prepared) >= TIMES
    for folder in prepared:
        assert tree(folder) == whole


def tree(folder: Path) -> dict[str, bytes]:
    """Every object below a folder; what a killed write left aside under a name of its own is none."""
    files = [path for path in folder.rglob("*") if path.is_file() and "#" not in path.name]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
