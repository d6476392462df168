"""The servers of this folder do what the tests that lean on them believe."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pystac_client
import pytest
import rasterio
import s3fs
from botocore.exceptions import ClientError
from obstore.exceptions import AlreadyExistsError
from obstore.store import S3Store

from tests.servers.ceph import ceph
from tests.servers.faults import Fault, FaultProxy, fault_proxy, strikes
from tests.servers.moto import moto
from tests.servers.process import ServerUnavailable, listens
from tests.servers.s3 import S3
from tests.servers.stac import pgstac_api, read_items, stac_api

WRITERS = 16


def store(server: S3, bucket: str) -> S3Store:
    return S3Store(
        bucket,
        endpoint=server.endpoint,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        region=server.region,
        client_options={"allow_http": True},
        retry_config={"max_retries": 10, "retry_timeout": timedelta(seconds=30)},
    )


def race(server: S3, bucket: str) -> list[int]:
    """The writers that won a race to create one object."""
    opened = store(server, bucket)

    def create(writer: int) -> bool:
        try:
            obstore.put(opened, "commit", str(writer).encode(), mode="create")
        except AlreadyExistsError:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        return [writer for writer, won in enumerate(pool.map(create, range(WRITERS))) if won]


def behaves_like_s3(server: S3, bucket: str) -> None:
    """Create-only PUT, range GET and multipart, as the ledger and the cube need them."""
    winners = race(server, bucket)
    assert len(winners) == 1
    assert server.read(bucket, "commit") == str(winners[0]).encode()
    client = server.client()
    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket=bucket, Key="commit", Body=b"late", IfNoneMatch="*")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    body = np.random.default_rng(1).bytes(12 << 20)
    obstore.put(store(server, bucket), "large", body, use_multipart=True, chunk_size=5 << 20)
    assert server.read(bucket, "large") == body
    assert "-" in client.head_object(Bucket=bucket, Key="large")["ETag"], "was not sent in parts"
    part = client.get_object(Bucket=bucket, Key="large", Range="bytes=100-199")
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert part["Body"].read() == body[100:200]


@pytest.fixture
def proxy(s3: S3) -> Iterator[FaultProxy]:
    with fault_proxy(s3.endpoint, seed=11) as running:
        yield running


def test_moto_honours_create_only_put_ranges_and_multipart(s3: S3, bucket: str) -> None:
    behaves_like_s3(s3, bucket)


def test_a_tree_is_uploaded_under_its_prefix_and_listed(s3: S3, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "one.txt").write_text("1")
    (tmp_path / "two.txt").write_text("2")
    keys = s3.upload_tree(tmp_path, bucket, "scenes/")
    assert keys == ["scenes/a/b/one.txt", "scenes/two.txt"] == s3.keys(bucket, "scenes/")
    with pytest.raises(KeyError, match="none"):
        s3.read(bucket, "none")


def test_obstore_s3fs_and_gdal_find_the_server_by_its_environment(
    s3: S3, bucket: str, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.env().items():
        monkeypatch.setenv(name, value)
    s3.upload_tree(image, bucket)
    assert obstore.head(S3Store(bucket), "image.tif")["size"] == (image / "image.tif").stat().st_size
    assert s3fs.S3FileSystem(skip_instance_cache=True).ls(bucket) == [f"{bucket}/image.tif"]
    with rasterio.open(image / "image.tif") as here, rasterio.open(f"s3://{bucket}/image.tif") as there:
        np.testing.assert_array_equal(here.read(), there.read())


def test_a_server_is_gone_after_its_block() -> None:
    with moto() as server:
        port = int(server.endpoint.rsplit(":", 1)[1])
        assert listens(port)
    assert not listens(port)


def test_no_faults_pass_every_byte_and_the_head_of_every_answer(s3: S3, bucket: str, proxy: FaultProxy) -> None:
    behaves_like_s3(s3.at(proxy.url), bucket)
    through = s3.at(proxy.url).client()
    through.put_object(Bucket=bucket, Key="empty", Body=b"")
    assert through.head_object(Bucket=bucket, Key="large")["ContentLength"] == 12 << 20
    through.delete_object(Bucket=bucket, Key="empty")
    assert s3.keys(bucket) == ["commit", "large"]
    assert set(proxy.counts()) == {"passed"}


def test_obstore_survives_throttling_and_cut_connections_with_whole_objects(
    s3: S3, bucket: str, proxy: FaultProxy
) -> None:
    opened = store(s3.at(proxy.url), bucket)
    bodies = {f"o{i}": np.random.default_rng(i).bytes(100_000) for i in range(24)}
    with proxy.during(Fault("slow_down", share=0.3, times=2), Fault("cut", share=0.3, times=2)):
        for key, body in bodies.items():
            obstore.put(opened, key, body)
        assert {key: bytes(obstore.get(opened, key).bytes()) for key in bodies} == bodies
    assert proxy.counts()["slow_down"] >= 5
    assert proxy.counts()["cut"] >= 5


def test_a_half_body_keeps_its_full_length_and_is_noticed(s3: S3, bucket: str, proxy: FaultProxy) -> None:
    s3.client().put_object(Bucket=bucket, Key="k", Body=b"x" * 1_000_000)
    with proxy.during(Fault("half_body", methods=("GET",), times=1)):
        answer = s3.at(proxy.url).client().get_object(Bucket=bucket, Key="k")
        assert answer["ContentLength"] == 1_000_000
        with pytest.raises(Exception, match=r"(?i)incomplete|broken|read"):
            answer["Body"].read()
        assert len(s3.at(proxy.url).client().get_object(Bucket=bucket, Key="k")["Body"].read()) == 1_000_000
    assert proxy.counts()["half_body"] == 1


def test_s3fs_reads_whole_files_through_half_bodies_and_throttling(s3: S3, bucket: str, proxy: FaultProxy) -> None:
    body = np.random.default_rng(5).bytes(300_000)
    s3.client().put_object(Bucket=bucket, Key="k", Body=body)
    through = s3.at(proxy.url)
    files = s3fs.S3FileSystem(
        key=through.access_key, secret=through.secret_key, endpoint_url=proxy.url, skip_instance_cache=True
    )
    with proxy.during(Fault("half_body", methods=("GET",), path="/k", times=1), Fault("slow_down", share=0.5, times=1)):
        assert files.cat_file(f"{bucket}/k") == body
    assert proxy.counts()["half_body"] == 1


def test_a_lost_answer_leaves_the_object_written(s3: S3, bucket: str, proxy: FaultProxy) -> None:
    with proxy.during(Fault("lost_answer", methods=("PUT",), times=1)), contextlib.suppress(AlreadyExistsError):
        obstore.put(store(s3.at(proxy.url), bucket), "commit", b"mine", mode="create")
    assert s3.read(bucket, "commit") == b"mine"
    assert proxy.counts()["lost_answer"] == 1


def test_delays_hold_a_request_and_then_let_it_through(s3: S3, bucket: str, proxy: FaultProxy) -> None:
    s3.client().put_object(Bucket=bucket, Key="k", Body=b"v")
    start = time.monotonic()
    with proxy.during(Fault("delay", seconds=0.4, methods=("GET",))):
        assert s3.at(proxy.url).read(bucket, "k") == b"v"
    assert time.monotonic() - start > 0.4
    assert proxy.counts()["delay"] == 1


def test_the_same_seed_strikes_the_same_requests() -> None:
    struck = [strikes(0.3, 7, "GET", f"/b/{i}") for i in range(1000)]
    assert struck == [strikes(0.3, 7, "GET", f"/b/{i}") for i in range(1000)]
    assert struck != [strikes(0.3, 8, "GET", f"/b/{i}") for i in range(1000)]
    assert 250 < sum(struck) < 350


def test_impossible_faults_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1\.5"):
        Fault("cut", share=1.5)
    with pytest.raises(ValueError, match="uses or age_s"):
        Fault("expired")


def count(url: str, **search: Any) -> int:
    return len(list(pystac_client.Client.open(url).search(**search).items()))


def test_a_stac_api_pages_and_filters_by_place_time_and_collection(flanders: Path) -> None:
    items = read_items(flanders / "items.ndjson", "http://127.0.0.1:1/scenes")
    with stac_api(items) as url:
        assert count(url, limit=100) == len(items) == 358
        assert count(url, collections=["sentinel-2-l2a"], datetime="2018-01-01/2018-01-31", limit=2) == 5
        assert count(url, bbox=[10, 50, 11, 51]) == 0
        first = next(pystac_client.Client.open(url).search(collections=["sentinel-1-grd"]).items())
    assert first.assets["vv"].href.startswith("http://127.0.0.1:1/scenes/sentinel-1-grd/")


@pytest.fixture(scope="module")
def gateway() -> Iterator[S3]:
    with contextlib.ExitStack() as stack:
        try:
            yield stack.enter_context(ceph())
        except ServerUnavailable as reason:
            pytest.skip(str(reason))


@pytest.mark.ceph
def test_ceph_honours_create_only_put_ranges_and_multipart(gateway: S3) -> None:
    behaves_like_s3(gateway, gateway.make_bucket("direct"))


@pytest.mark.ceph
def test_ceph_refuses_a_wrong_key(gateway: S3) -> None:
    stranger = S3(gateway.endpoint, gateway.access_key, "wrong")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        stranger.make_bucket("stranger")


@pytest.mark.ceph
def test_signatures_made_for_the_proxy_are_valid_at_ceph_behind_it(gateway: S3) -> None:
    with fault_proxy(gateway.endpoint, seed=5) as proxy:
        through = gateway.at(proxy.url)
        behaves_like_s3(through, through.make_bucket("behind-proxy"))
        with proxy.during(Fault("slow_down", share=0.3, times=1), Fault("cut", share=0.3, times=1)):
            opened = store(through, "behind-proxy")
            for i in range(16):
                obstore.put(opened, f"o{i}", bytes(50_000))
        assert proxy.counts()["slow_down"] and proxy.counts()["cut"]
    assert len(gateway.keys("behind-proxy", "o")) == 16


@pytest.mark.pgstac
def test_pgstac_pages_and_filters_by_properties(flanders: Path) -> None:
    items = read_items(flanders / "items.ndjson")
    clear = [i for i in items if i["collection"] == "sentinel-2-l2a" and i["properties"]["eo:cloud_cover"] < 20]
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(pgstac_api(items))
        except ServerUnavailable as reason:
            pytest.skip(str(reason))
        assert count(url, limit=100) == 358
        asked = {"collections": ["sentinel-2-l2a"], "limit": 7}
        assert count(url, query={"eo:cloud_cover": {"lt": 20}}, **asked) == len(clear) > 10
        assert count(url, filter="eo:cloud_cover < 20", filter_lang="cql2-text", **asked) == len(clear)
        assert count(url, datetime="2018-01-01/2018-01-31", **asked) == 5


def test_a_machine_without_apt_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TILTH_TEST_CACHE", str(tmp_path))
    with pytest.raises(ServerUnavailable, match=r"missing: .*apt-get"), ceph():
        pass
