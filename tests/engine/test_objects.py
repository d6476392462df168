"""One folder of objects, on a disk and on a real S3 server, through the same verbs with the same meaning."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.errors import InfrastructureError, InputError
from engine.objects import Objects, absolute, file_digest
from tests.servers.faults import Fault, fault_proxy
from tests.servers.s3 import S3


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    if request.param == "folder":
        return Objects(str(tmp_path / "a folder" / "deep"))
    server: S3 = request.getfixturevalue("s3")
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    return Objects(f"s3://{request.getfixturevalue('bucket')}/a folder/deep")


def test_what_is_put_is_got_and_a_second_put_replaces_it(objects: Objects) -> None:
    for data in (b"one", b"", bytes(range(256)) * 9000):
        objects.put("a/b.bin", data)
        assert objects.get("a/b.bin") == objects.find("a/b.bin") == data
    assert objects.url("a/b.bin") == f"{objects.uri}/a/b.bin"


def test_what_is_not_there_is_none_to_find_and_an_error_to_get(objects: Objects) -> None:
    assert objects.find("nothing") is None
    with pytest.raises(FileNotFoundError, match="nothing"):
        objects.get("nothing")
    with pytest.raises(FileNotFoundError):
        objects.get_many(["nothing", "at all"])


def test_only_the_first_creates_and_what_it_wrote_stays(objects: Objects) -> None:
    with ThreadPoolExecutor(12) as pool:
        won = list(pool.map(lambda i: objects.put_new("commit", f"writer {i}".encode()), range(12)))
    assert won.count(True) == 1
    assert objects.get("commit") == f"writer {won.index(True)}".encode()


def test_creating_the_very_same_again_counts_as_done(objects: Objects) -> None:
    assert objects.put_new("commit", b"mine") and objects.put_new("commit", b"mine")
    assert not objects.put_new("commit", b"yours")


def test_entries_are_those_below_a_folder_like_prefix(objects: Objects) -> None:
    for key in ("records/a.json", "records/deep/b.json", "records-old/c.json", "top.json"):
        objects.put(key, b"12345")
    before = datetime.now(UTC)
    assert sorted(e.key for e in objects.entries("records")) == ["records/a.json", "records/deep/b.json"]
    assert sorted(e.key for e in objects.child("records").entries()) == ["a.json", "deep/b.json"]
    assert len(list(objects.entries())) == 4 and list(objects.entries("none")) == []
    entry = next(iter(objects.entries("records/deep")))
    assert entry.size == 5 and abs((entry.modified - before).total_seconds()) < 60


def test_many_are_got_in_the_order_asked_and_deleted_twice_without_complaint(objects: Objects) -> None:
    keys = [f"k/{i:03d}" for i in range(40)]
    for key in keys:
        objects.put(key, key.encode())
    assert objects.get_many(keys[::-1]) == [key.encode() for key in keys[::-1]]
    objects.delete(keys[:20])
    objects.delete(keys[:21])
    assert sorted(e.key for e in objects.entries("k")) == keys[21:]


def test_a_listing_of_more_than_a_thousand_is_whole(tmp_path: Path) -> None:
    objects = Objects(str(tmp_path))
    for i in range(1203):
        (tmp_path / f"{i:05d}").write_bytes(b"")
    assert len(list(objects.entries())) == 1203


def test_objects_travel_to_a_worker_and_still_work(objects: Objects) -> None:
    objects.put("x", b"1")
    there = pickle.loads(pickle.dumps(objects))
    assert there.uri == objects.uri and there.get("x") == b"1"


def test_requests_and_bytes_are_counted(tmp_path: Path) -> None:
    objects = Objects(str(tmp_path))
    objects.put("a", b"123")
    objects.get("a")
    list(objects.entries())
    objects.delete(["a"])
    assert (objects.requests, objects.bytes_out, objects.bytes_in) == (4, 3, 3)


def test_a_bucket_that_is_not_there_is_the_persons_to_mend(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.env().items():
        monkeypatch.setenv(name, value)
    objects = Objects("s3://no-such-bucket-at-all/x")
    for use in (lambda: objects.put("a", b"1"), lambda: list(objects.entries()), lambda: objects.put_new("a", b"1")):
        with pytest.raises(InputError, match=r"no such bucket.*create it first"):
            use()


def test_a_store_that_throttles_or_cuts_is_survived_and_commits_only_once(
    s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fault_proxy(s3.endpoint, seed=5) as proxy:
        for name, value in s3.at(proxy.url).env().items():
            monkeypatch.setenv(name, value)
        objects = Objects(f"s3://{bucket}/run")
        for kind in ("slow_down", "cut", "half_body", "lost_answer"):
            with proxy.during(Fault(kind, times=1)):  # type: ignore[arg-type]
                objects.put(f"{kind}/plain", b"data" * 1000)
                assert objects.put_new(f"{kind}/new", b"mine" * 1000)
                assert objects.get(f"{kind}/plain") == b"data" * 1000
                assert len(list(objects.entries(kind))) == 2
                assert not objects.put_new(f"{kind}/new", b"other")
            assert proxy.counts()[kind] > 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_the_persons_to_mend(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=r"refuses|cannot write"):
        Objects(str(tmp_path)).put("a", b"1")


def test_a_file_in_the_place_of_a_folder_is_the_persons_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError):
        Objects(str(tmp_path / "file")).put("a", b"1")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "records").write_text("x")
    with pytest.raises((InputError, InfrastructureError)):
        Objects(str(tmp_path / "run")).put("records/a.json", b"1")


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match=r"gs://b/x.*s3://bucket/prefix"):
        Objects("gs://b/x")


def test_addresses_are_made_absolute_and_lose_their_trailing_slash(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("map/") == absolute("./map") == absolute(f"file://{tmp_path}/map") == str(tmp_path / "map")
    assert absolute("s3://b/x/") == "s3://b/x" and absolute("~") == str(Path.home())


def test_a_files_digest_changes_when_the_file_does_and_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    path.write_bytes(b"one")
    first = file_digest(str(path))
    assert file_digest(str(path)) == first
    path.write_bytes(b"longer")
    assert file_digest(str(path)) != first
    with pytest.raises(InputError, match="check the uri"):
        file_digest(str(tmp_path / "gone"))


def test_what_a_put_cut_short_left_on_a_disk_is_swept_and_nothing_else(tmp_path: Path) -> None:
    objects = Objects(str(tmp_path / "map"))
    objects.put("tiles/a/item.json", b"1")
    objects.put("_tilth/lease.json", b"2")
    for name in ("tiles/a/item.json#1", "collection.json#23", "_tilth/lease.json#4", "tiles/a/notes #5 of mine.txt"):
        (tmp_path / "map" / name).write_bytes(b"half")
    objects.sweep()
    left = {path.relative_to(tmp_path / "map").as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"tiles/a/item.json", "_tilth/lease.json", "_tilth/lease.json#4", "tiles/a/notes #5 of mine.txt"}
    Objects(str(tmp_path / "none")).sweep()
    assert not (tmp_path / "none").exists()
