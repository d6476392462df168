"""A job handed over to a Ray cluster: it runs on its own, and is followed, left alone and stopped from outside."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

from ray.job_submission import JobSubmissionClient

from engine.ledger.lease import holder
from engine.objects import Objects
from jobs import ended
from tests.chaos.runs import TILES, Place, cluster_environment, run_to_end, tilth, wait_for
from tests.servers.process import wait_until
from tests.servers.rays import Nodes

ENDS = ("SUCCEEDED", "FAILED", "STOPPED")


def told(log: Path, *words: str) -> str:
    """What a command says that must succeed."""
    return run_to_end(log, *words, env=cluster_environment())


def state(place: Place, log: Path) -> dict[str, Any]:
    """``tilth status`` as data."""
    return dict(json.loads(told(log, "status", place.map, "--json")))


def handed_over(place: Place, cluster: Nodes, log: Path) -> str:
    """Submit a job and return; its id."""
    said = told(log, "submit", str(place.job), "--address", cluster.dashboard, "--detach")
    found = re.search(r"job (\S+) runs on", said)
    assert found, said
    return found[1]


def how_it_ended(cluster: Nodes, job: str) -> str:
    client = JobSubmissionClient(cluster.dashboard)
    wait_until(lambda: client.get_job_status(job).value in ENDS, 120, f"the end of job {job}", 0.25)
    return str(client.get_job_status(job).value)


def test_ctrl_c_while_watching_detaches_and_the_job_runs_on_followed_by_status_and_watch(
    copied: Place, undisturbed: Place, cluster: Nodes, tmp_path: Path
) -> None:
    words = ("submit", str(copied.job), "--address", cluster.dashboard, "--wait")
    with tilth(tmp_path / "log", *words, env=cluster_environment()) as watching:
        assert wait_for(watching, lambda: holder(copied.ledger("map")) is not None)  # its map is made in a moment
        watching.signal_group(signal.SIGINT)
        assert watching.ended(30) == 0, watching.told()
        assert "the run goes on" in watching.told()
        found = re.search(r"job (\S+) runs on", watching.told())
    now = state(copied, tmp_path / "status")
    assert now["finished"] or now["driver"] is not None
    told(tmp_path / "watch", "watch", copied.map)
    assert found and how_it_ended(cluster, found[1]) == "SUCCEEDED"
    after = state(copied, tmp_path / "after")
    assert after["finished"] and after["driver"] is None and after["tiles"]["map"] == {"written": TILES}
    assert copied.published() == undisturbed.published()


def test_a_detached_submit_returns_at_once_and_cancel_drains_the_job_on_the_cluster(
    copied: Place, cluster: Nodes, tmp_path: Path
) -> None:
    job = handed_over(copied, cluster, tmp_path / "submit")
    assert copied.count("map") < TILES, "submit came back only after the job was done"
    told(tmp_path / "cancel", "cancel", copied.map)
    with tilth(tmp_path / "watch", "watch", copied.map, env=cluster_environment()) as watching:
        assert watching.ended() == 130, watching.told()
    assert how_it_ended(cluster, job) == "FAILED"  # Ray knows no third way to end
    now = state(copied, tmp_path / "status")
    assert not now["finished"] and now["driver"] is None
    assert not copied.torn("map")


def test_a_job_that_dies_at_its_start_is_told_by_status_and_watch_with_the_exit_code(
    copied: Place, cluster: Nodes, tmp_path: Path
) -> None:
    words = ("--address", cluster.dashboard, "--wait", "--set", "budget.max_hours=1e-9")
    with tilth(tmp_path / "log", "submit", str(copied.job), *words, env=cluster_environment()) as watching:
        assert watching.ended() == 5, watching.told()
        assert "budget.max_hours" in watching.told()
    assert state(copied, tmp_path / "status")["ended"]["place"] == "budget.max_hours"
    output = Objects(copied.map)
    ended.begins_here(output)
    job = JobSubmissionClient(cluster.dashboard).submit_job(entrypoint="python -m no_such_module_there")
    ended.handed_over(output, job, cluster.dashboard)
    with tilth(tmp_path / "watch", "watch", copied.map, env=cluster_environment()) as watching:
        assert watching.ended(60) == 4, watching.told()
        assert f"job {job} ended as FAILED" in watching.told() and "no_such_module_there" in watching.told()
    told_now = state(copied, tmp_path / "status-2")["ended"]
    assert told_now["place"] == cluster.dashboard and "No module named" in told_now["value"]
