"""The whole way on a real S3 server: scenes, catalogue, labels, cube, model and map all lie in a bucket."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from engine.objects import Objects
from jobs.demo import Country
from tests.flow.archive import Archive
from tests.flow.conftest import inputs, made_job
from tests.flow.flow import Job, assert_same_published, tilth
from tests.servers.ceph import ceph
from tests.servers.faults import Fault, fault_proxy
from tests.servers.process import ServerUnavailable
from tests.servers.s3 import S3

FAULTS = (
    Fault("slow_down", share=0.06, times=2),
    Fault("cut", share=0.06, times=1),
    Fault("lost_answer", share=0.2, methods=("PUT",), times=1),
    Fault("half_body", share=0.08, methods=("GET",), times=1),
)
"""About every eighth request suffers: throttling, dead connections, commits that succeed unheard, half an answer."""


@dataclass(frozen=True)
class Bucket:
    """A fresh bucket that holds the country's archive, labels and legend."""

    server: S3
    name: str

    @property
    def uri(self) -> str:
        return f"s3://{self.name}"


@pytest.fixture(scope="module", params=["moto", pytest.param("ceph", marks=pytest.mark.ceph)])
def server(request: pytest.FixtureRequest) -> Iterator[S3]:
    """moto, and Ceph's gateway where it can be had."""
    if request.param == "moto":
        yield request.getfixturevalue("s3")
        return
    try:
        with ceph() as gateway:
            yield gateway
    except ServerUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def stocked(server: S3, country: Country, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """The archive in a bucket, and this process and its children pointed at the server."""
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    name = server.make_bucket(f"flow-{secrets.token_hex(6)}")
    server.upload_tree(archive.root, name, "scenes")
    for path in (country.labels[2024], country.legend_csv):
        server.client().upload_file(str(path), name, path.name)
    return Bucket(server, name)


def on_s3(job: Job, bucket: Bucket, run: str) -> Job:
    """The job with its scenes, cube and map in the bucket."""
    return job.at(f"{bucket.uri}/{run}", job.folder).with_({"inputs": inputs(f"{bucket.uri}/scenes/items.ndjson")})


def copy_model(source: str, target: str) -> None:
    """Every object of a model, as it is."""
    old, new = Objects(source), Objects(target)
    for entry in list(old.entries()):
        new.put(entry.key, old.get(entry.key))


def test_scenes_labels_cube_model_and_map_in_a_bucket_give_the_bytes_of_a_local_run(
    stocked: Bucket, country: Country, finished: Job, tmp_path: Path
) -> None:
    remote = on_s3(made_job(country, tmp_path / "remote"), stocked, "run").with_(
        {
            "model.uri": f"{stocked.uri}/run/model",
            "labels.uri": f"{stocked.uri}/{country.labels[2024].name}",
            "labels.legend": f"{stocked.uri}/legend.csv",
            "compute": {"workers": {"max": 1}},
        }
    )
    told = remote.submit()
    assert "test blocks of the model's training, which it never saw" in told.err and "Traceback" not in told.err
    assert "cube: nothing to do" in tilth("resume", remote.map).err
    local = finished.at(tmp_path / "local").with_({"model.uri": f"{tmp_path}/model"})
    copy_model(remote.model, local.model)
    local.predict()
    assert_same_published(remote, local)
    here, there = local.cube_arrays(), remote.cube_arrays()
    for name in here:
        np.testing.assert_array_equal(there[name], here[name], err_msg=name)


def test_throttling_cut_connections_lost_answers_and_half_bodies_are_survived(
    stocked: Bucket, finished: Job, tmp_path: Path
) -> None:
    job = on_s3(finished, stocked, "run").with_({"model.uri": f"{stocked.uri}/model"})
    copy_model(finished.model, job.model)
    job = Job(tmp_path, job.spec)
    with fault_proxy(stocked.server.endpoint, *FAULTS, seed=1) as proxy:
        told = tilth("predict", job.yaml, env=stocked.server.at(proxy.url).env())
        counts = proxy.counts()
    assert all(counts[fault.kind] > 0 for fault in FAULTS), counts
    assert "Traceback" not in told.err
    assert_same_published(finished, job)
    assert {record.state for stage in ("cube", "map") for record in job.records(stage).values()} == {"written"}
