"""The doctor has the nodes of a real cluster try the store: each says for itself what it found."""

from __future__ import annotations

import inspect
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from ray.job_submission import JobSubmissionClient

from engine.objects import Objects
from jobs import from_nodes, node_check
from jobs.doctor import examine
from jobs.findings import Finding
from jobs.reach import probe
from tests.servers.moto import moto
from tests.servers.process import free_port, wait_until
from tests.servers.rays import Nodes, nodes
from tests.servers.s3 import S3

PASSWORD = "a-hidden-word"
JOB = "cluster: job that asks the nodes"

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def old_tilth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for Python's path in which another version of Tilth is installed."""
    folder = tmp_path_factory.mktemp("old")
    told = folder / "tilth-0.0.1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: tilth\nVersion: 0.0.1\n")
    return folder


@pytest.fixture(scope="module")
def cluster(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Two nodes, the head among them, that reach the store; jobs start in a folder that is no checkout of Tilth."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("head"))
        for name, value in s3.env().items():
            patch.setenv(name, value)
        with nodes(1, 1, head_cpus=1, dashboard=True, node_name="field") as made:
            yield made


@pytest.fixture
def here(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process reaches the store."""
    for name, value in s3.env().items():
        monkeypatch.setenv(name, value)


def of_nodes(found: list[Finding]) -> dict[str, Finding]:
    """What the nodes said, by name."""
    return {one.name: one for one in found if " node" in one.name}


def test_every_node_tries_a_bucket_and_leaves_nothing(cluster: Nodes, s3: S3, bucket: str, here: None) -> None:
    found = of_nodes(examine(f"s3://{bucket}/some/prefix", cluster.dashboard))
    assert [one.ok for one in found.values()] == [True] * 4, found
    assert "cluster: store from node field" in found and "cluster: tilth on node field" in found
    assert s3.keys(bucket) == []


def test_every_node_tries_a_shared_folder_and_leaves_nothing(cluster: Nodes, tmp_path: Path) -> None:
    found = of_nodes(examine(str(tmp_path / "store"), cluster.dashboard))
    assert [one.ok for one in found.values()] == [True] * 4, found
    assert not list((tmp_path / "store").iterdir())


def test_without_a_store_the_nodes_tell_their_version_only(cluster: Nodes) -> None:
    found = of_nodes(examine(None, cluster.dashboard))
    assert len(found) == 2 and all(one.ok for one in found.values())
    told = found["cluster: tilth on node field"].value
    assert told == f"{version('tilth')} there, {version('tilth')} here"


def test_a_bucket_that_does_not_exist_is_told_from_each_node(cluster: Nodes, here: None) -> None:
    found = of_nodes(examine("s3://no-such-bucket-there/x", cluster.dashboard))
    stores = {name: one for name, one in found.items() if "store" in name}
    assert len(stores) == 2 and all(one.ok is False and "no such bucket" in one.value for one in stores.values())
    assert all("on that node: create it" in one.remedy for one in stores.values())


def test_a_node_says_what_keeps_it_from_the_store_while_the_others_are_well(
    cluster: Nodes, s3: S3, bucket: str, here: None, monkeypatch: pytest.MonkeyPatch, old_tilth: Path, tmp_path: Path
) -> None:
    """Each node has an environment of its own, as a machine set up by hand has."""
    added = []
    with moto(tmp_path / "other.log") as other:
        other.make_bucket(bucket)
        wrong = {
            "silent": {"AWS_ENDPOINT_URL": f"http://someone:{PASSWORD}@127.0.0.1:{free_port()}"},
            "elsewhere": {"AWS_ENDPOINT_URL": other.endpoint, "PYTHONPATH": str(old_tilth)},
            "nobody": {"AWS_ACCESS_KEY_ID": "", "AWS_EC2_METADATA_DISABLED": "true"},
        }
        try:
            for name, environment in wrong.items():
                with monkeypatch.context() as patch:
                    for variable, value in environment.items():
                        patch.setenv(variable, value) if value else patch.delenv(variable)
                    if "AWS_ACCESS_KEY_ID" in environment:
                        patch.delenv("AWS_SECRET_ACCESS_KEY")
                    added.append(cluster.add(1, node_name=name))
            found = of_nodes(examine(f"s3://{bucket}/x", cluster.dashboard))
        finally:
            for node in added:
                cluster.lose(node)
            wait_until(lambda: cluster.alive() == 2, 30, "two nodes left")
    stores = {name: found[f"cluster: store from node {name}"] for name in ("field", *wrong)}
    assert [one.ok for one in stores.values()] == [True, False, False, False], stores
    assert "nothing answers at 127.0.0.1" in stores["silent"].value and PASSWORD not in str(found)
    assert "another store" in stores["elsewhere"].value and "same endpoint" in stores["elsewhere"].remedy
    assert "no credentials for S3" in stores["nobody"].value and "AWS_ACCESS_KEY_ID" not in stores["nobody"].value
    old = found["cluster: tilth on node elsewhere"]
    assert old.ok is False and old.value.startswith("0.0.1 there") and f"install tilth {version('tilth')}" in old.remedy
    assert s3.keys(bucket) == []


def test_a_job_that_fails_is_one_finding_with_the_last_line_of_its_log(
    cluster: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/no-such-python")
    found = {one.name: one for one in examine(None, cluster.dashboard)}
    assert found["cluster"].ok and found[JOB].ok is False
    assert "FAILED" in found[JOB].value and "no-such-python" in found[JOB].value and "ray job logs" in found[JOB].remedy
    assert of_nodes(list(found.values())).keys() == {JOB}


def test_a_job_that_is_not_over_in_time_is_told_and_stopped(cluster: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_nodes, "WAIT_S", 0.2)
    found = {one.name: one for one in examine(None, cluster.dashboard)}
    assert found["cluster"].ok and found[JOB].ok is False and "not over within 0.2 s" in found[JOB].value
    client = JobSubmissionClient(cluster.dashboard)
    job = found[JOB].value.split()[0]
    wait_until(lambda: client.get_job_status(job).value == "STOPPED", 60, f"the end of {job}", 0.25)


def test_a_node_that_gave_no_answer_is_named(cluster: Nodes) -> None:
    living = {node["NodeID"]: node["NodeName"] for node in cluster.cluster.global_state.node_table() if node["Alive"]}
    gone = {secrets.token_hex(28): "gone"}
    found = {one.name: one for one in from_nodes.tried_from_nodes(cluster.dashboard, living | gone, None, False)}
    assert found["cluster: node gone"].ok is False and found["cluster: node gone"].value == "no answer"
    assert found["cluster: tilth on node field"].ok


def test_a_node_without_tilth_says_so() -> None:
    """What a node is sent runs in a Python that has nothing but its own library."""
    script = f"from __future__ import annotations\nimport json\n{inspect.getsource(node_check.look)}"
    script += "\nprint(json.dumps(look('s3://bucket/x', None)))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    tilth, store = from_nodes._of_node("bare", json.loads(done.stdout), "s3://bucket/x")
    assert tilth.ok is False and "not installed there" in tilth.value and "install tilth" in tilth.remedy
    assert store.ok is False and "not tried: No module named 'jobs'" in store.value


def test_nodes_that_share_a_name_are_told_apart() -> None:
    assert from_nodes._told_apart({"aaaaaaaa11": "n", "bbbbbbbb22": "n", "cccccccc33": "m"}) == {
        "aaaaaaaa11": "n (aaaaaaaa)",
        "bbbbbbbb22": "n (bbbbbbbb)",
        "cccccccc33": "m",
    }


def test_a_trial_leaves_no_folder_that_was_not_there(tmp_path: Path) -> None:
    probe(Objects(str(tmp_path / "a" / "b" / "c")))
    assert list(tmp_path.iterdir()) == []
