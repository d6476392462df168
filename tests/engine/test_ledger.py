"""What becomes of a tile that failed, told without clocks; and a ledger that races, compacts and loses nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.ledger import Attempts, Failure, Ledger, Quarantine, Record, Retry, Stop, advance, systemic
from engine.ledger.book import commit_record, standing_record
from engine.objects import Objects
from tests.servers.s3 import S3

TILE = "r0000c0001"


def record(tile: str = TILE, seq: int = 1, key: str = "k", state: Any = "written", **body: Any) -> Record:
    return Record(tile, seq, key, state, 1, body)


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    """A ledger's place: a folder of this disk, then a bucket of a real S3 server."""
    if request.param == "folder":
        return Objects(str(tmp_path / "ledger"))
    server: S3 = request.getfixturevalue("s3")
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    return Objects(f"s3://{request.getfixturevalue('bucket')}/map/_tilth")


def test_bad_data_is_set_aside_at_once() -> None:
    attempts, decision = advance(Attempts(), Failure("tile", "truncated"), retries=5)
    assert decision == Quarantine("truncated") and attempts == Attempts()


@pytest.mark.parametrize("kind", ["infrastructure", "node_lost"])
def test_what_may_pass_is_tried_again_without_limit_and_ever_slower(kind: Any) -> None:
    attempts, delays = Attempts(), []
    for _ in range(50):
        attempts, decision = advance(attempts, Failure(kind, "503"), retries=0)
        assert isinstance(decision, Retry) and not decision.alone
        delays.append(decision.delay_s)
    assert delays[0] <= 1 and delays[-1] == 30 and all(a <= b for a, b in pairwise(delays))


def test_a_tile_whose_worker_dies_runs_alone_and_is_set_aside_at_the_third_death() -> None:
    attempts, first = advance(Attempts(), Failure("death", "SIGKILL"), retries=9)
    attempts, second = advance(attempts, Failure("death", "SIGKILL"), retries=9)
    attempts, third = advance(attempts, Failure("death", "SIGKILL"), retries=9)
    assert first == second == Retry(0.0, alone=True)
    assert isinstance(third, Quarantine) and "died 3 times on a living node: SIGKILL" in third.reason


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_an_unforeseen_error_is_tried_again_as_often_as_asked(retries: int) -> None:
    attempts = Attempts()
    for _ in range(retries):
        attempts, decision = advance(attempts, Failure("unknown", "ZeroDivisionError"), retries)
        assert isinstance(decision, Retry)
    attempts, decision = advance(attempts, Failure("unknown", "ZeroDivisionError"), retries)
    assert decision == Quarantine(f"failed {retries + 1} times: ZeroDivisionError")


def test_kinds_of_failure_are_counted_apart() -> None:
    attempts = Attempts()
    for kind in ("unknown", "infrastructure", "death", "infrastructure", "node_lost", "unknown", "death"):
        attempts, decision = advance(attempts, Failure(kind, "x"), retries=2)  # type: ignore[arg-type]
        assert isinstance(decision, Retry)
    assert attempts == Attempts(unknown=2, deaths=2, infrastructure=3) and attempts.total == 7


def test_the_job_stops_when_its_first_eight_tiles_fail_alike_and_only_then() -> None:
    alike, other = Failure("unknown", "KeyError: 'x' (a.py:1)", "a.py:1"), Failure("unknown", "other", "b.py:2")
    assert isinstance(systemic([alike] * 8), Stop)
    assert "KeyError: 'x'" in str(systemic([alike] * 9))
    assert systemic([Failure("tile", "item S2_1 is truncated", "truncated")] * 9) is None, "one scene, many tiles"
    for first in ([alike] * 7, [None, *[alike] * 8], [*[alike] * 7, other], [*[alike] * 7, None], [], [None] * 8):
        assert systemic(first) is None


def test_a_record_reads_back_equal_and_equal_records_are_equal_bytes() -> None:
    one = record(seconds={"read": 0.25}, files={"class.tif": [10, "ab"]}, reason="ä")
    other = Record(one.tile, one.seq, one.key, one.state, one.epoch, dict(reversed(one.body.items())))
    assert Record.loads(one.dumps()) == one and one.dumps() == other.dumps()


def test_of_many_writers_of_one_result_one_writes_and_all_hear_of_it(objects: Objects) -> None:
    with ThreadPoolExecutor(12) as pool:
        stood = list(pool.map(lambda i: commit_record(objects, record(by=i)), range(12)))
    assert len({r.body["by"] for r in stood}) == 1 and {r.seq for r in stood} == {1}
    assert [e.key for e in objects.entries("records")] == [f"records/{TILE}.000001.json"]


def test_writers_of_different_results_get_numbers_of_their_own(objects: Objects) -> None:
    with ThreadPoolExecutor(8) as pool:
        stood = list(pool.map(lambda i: commit_record(objects, record(key=f"k{i}")), range(8)))
    assert sorted(r.seq for r in stood) == list(range(1, 9)) and len({r.key for r in stood}) == 8
    newest = max(stood, key=lambda r: r.seq)
    assert Ledger(objects).load().latest == {TILE: newest}


def test_the_next_number_follows_the_newest_record(objects: Objects) -> None:
    ledger = Ledger(objects).load()
    assert ledger.next_seq(TILE) == 1
    ledger.commit(record())
    ledger.commit(record(seq=ledger.next_seq(TILE), state="pending"))
    assert Ledger(objects).load().next_seq(TILE) == 3


def test_compacting_changes_nothing_that_a_reader_sees(objects: Objects) -> None:
    ledger = Ledger(objects).load()
    for i in range(30):
        ledger.commit(record(f"r0000c{i:04d}", key=f"k{i}", seconds=i / 7))
    ledger.commit(record("r0000c0003", 2, "k3", "quarantined", reason="404"))
    before = Ledger(objects).load().latest
    ledger.compact(force=True)
    assert Ledger(objects).load().latest == before == ledger.latest
    assert [e.key for e in objects.entries("records")] == [] and len(list(objects.entries("snapshots"))) == 1


def test_compacting_waits_until_there_is_enough_and_keeps_two_snapshots(objects: Objects) -> None:
    ledger = Ledger(objects).load()
    ledger.commit(record())
    ledger.compact()
    assert list(objects.entries("snapshots")) == []
    for seq in range(2, 6):
        ledger.commit(record(seq=seq))
        ledger.compact(force=True)
    ledger.compact(force=True)
    assert [e.key[-14:] for e in objects.entries("snapshots")] == ["000003.parquet", "000004.parquet"]
    assert Ledger(objects).load().latest[TILE].seq == 5


def test_a_record_that_comes_late_harms_nobody(objects: Objects) -> None:
    ledger = Ledger(objects).load()
    ledger.commit(record(seq=1, state="quarantined"))
    ledger.commit(record(seq=2, state="written"))
    ledger.compact(force=True)
    late = commit_record(objects, record(seq=1, state="quarantined", reason="from a driver whose turn is over"))
    again = Ledger(objects).load()
    assert late.seq == 1 and again.latest[TILE].state == "written" and again.next_seq(TILE) == 3


def test_a_late_record_of_a_tile_not_known_before_is_found_beside_the_snapshot(objects: Objects) -> None:
    ledger = Ledger(objects).load()
    ledger.commit(record())
    ledger.compact(force=True)
    commit_record(objects, record("r0009c0009"))
    assert set(Ledger(objects).load().latest) == {TILE, "r0009c0009"}


@pytest.mark.parametrize("ahead", [1, 4])
def test_two_drivers_that_compact_lose_no_record_between_them(objects: Objects, ahead: int) -> None:
    old, new = Ledger(objects).load(), Ledger(objects).load()
    old.commit(record("r0000c0000"))
    for i in range(1, ahead + 1):
        new.commit(record(f"r0000c{i:04d}"))
        new.compact(force=True)
    old.compact(force=True)
    assert set(Ledger(objects).load().latest) == {f"r0000c{i:04d}" for i in range(ahead + 1)}


def test_a_number_whose_holder_was_just_compacted_away_is_not_waited_for(objects: Objects) -> None:
    ledger = Ledger(objects).load()
    ledger.commit(record(state="pending"))
    worker = Objects(objects.uri)
    put_new = worker.put_new

    def put_while_another_compacts(key: str, data: bytes) -> bool:
        done = put_new(key, data)
        ledger.compact(force=True)
        return done

    worker.put_new = put_while_another_compacts  # type: ignore[method-assign]
    stood = commit_record(worker, record())
    assert stood.seq == 2 and Ledger(objects).load().latest[TILE].state == "written"


def test_a_reader_that_a_compaction_overtakes_starts_over(objects: Objects) -> None:
    writer = Ledger(objects).load()
    writer.commit(record())
    reader = Ledger(Objects(objects.uri))
    fetch: Callable[[list[str]], list[bytes]] = reader.objects.get_many

    def compact_then_fetch(keys: list[str]) -> list[bytes]:
        writer.compact(force=True)
        return fetch(keys)

    reader.objects.get_many = compact_then_fetch  # type: ignore[method-assign]
    assert set(reader.load().latest) == {TILE}


def test_readers_that_race_with_commits_and_compactions_never_miss_a_record(tmp_path: Path) -> None:
    objects, stop, done = Objects(str(tmp_path)), threading.Event(), 0
    wrong: list[object] = []

    def watch() -> None:
        while not stop.is_set():
            known = done
            try:
                seen = len(Ledger(Objects(objects.uri)).load().latest)
            except Exception as error:
                wrong.append(error)
                return
            if seen < known:
                wrong.append((seen, known))

    watchers = [threading.Thread(target=watch) for _ in range(2)]
    for thread in watchers:
        thread.start()
    ledger = Ledger(objects).load()
    began = time.monotonic()
    while time.monotonic() - began < 2:
        ledger.commit(record(f"r{done // 9999:04d}c{done % 9999:04d}"))
        done += 1
        if done % 5 == 0:
            ledger.compact(force=True)
    stop.set()
    for thread in watchers:
        thread.join()
    assert not wrong and done > 20


def test_two_thousand_records_load_loose_and_by_a_handful_of_requests_compacted(objects: Objects) -> None:
    count = 300 if objects.uri.startswith("s3://") else 2000  # the test's own server takes 5 ms for each
    names = [f"r{i // 50:04d}c{i % 50:04d}" for i in range(count)]
    records = [record(name, key=f"{i:064d}", files={"class.tif": [i, "0" * 64]}) for i, name in enumerate(names)]
    ledger = Ledger(objects).load()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda r: commit_record(objects, r), records))
    assert len(ledger.load().latest) == count
    ledger.compact(force=True)
    assert list(objects.entries("records")) == []
    reader = Objects(objects.uri)
    assert Ledger(reader).load().latest == {r.tile: r for r in records}
    assert reader.requests <= 4


def test_a_record_behind_the_mark_that_its_writing_had_begun_still_stands(tmp_path: Path) -> None:
    objects = Objects(str(tmp_path))
    commit_record(objects, Record("a", 3, "new", "pending", 1, {"old": 1}))
    assert standing_record(objects, "a", 3, "new") is None
    commit_record(objects, Record("a", 3, "new", "written", 1, {"sum": 2}))
    standing = standing_record(objects, "a", 3, "new")
    assert standing is not None and (standing.seq, standing.state, standing.body["sum"]) == (4, "written", 2)
    assert standing_record(objects, "a", 3, "other") is None
