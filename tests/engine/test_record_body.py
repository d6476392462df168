"""A record's body is the same to its readers whether it is parsed or still text."""

from __future__ import annotations

import pickle
from pathlib import Path

from engine.ledger import Ledger, Record
from engine.ledger.record import Body, body_text
from engine.objects import Objects

PLAIN = {"checksums": {"optical/c/0/0/1/2": "ab" * 32}, "steps": {"optical": ["a1", "b2"]}, "seconds": 1.25}


def test_a_body_as_text_reads_like_the_mapping_it_was() -> None:
    body = Body(body_text(PLAIN))
    assert body == PLAIN and dict(body) == PLAIN and len(body) == 3 and list(body) == sorted(PLAIN)
    assert body["seconds"] == 1.25 and body.get("reason", "none") == "none"


def test_a_body_travels_to_a_worker_and_back() -> None:
    assert pickle.loads(pickle.dumps(Body(body_text(PLAIN)))) == PLAIN


def test_a_record_is_written_the_same_with_a_parsed_body_and_with_text() -> None:
    parsed = Record("r0001c0002", 1, "k", "written", 1, PLAIN)
    text = Record("r0001c0002", 1, "k", "written", 1, Body(body_text(PLAIN)))
    assert parsed.dumps() == text.dumps() and Record.loads(text.dumps()) == parsed == text


def test_a_ledger_holds_bodies_as_text_before_and_after_its_snapshot(tmp_path: Path) -> None:
    ledger = Ledger(Objects(str(tmp_path))).load()
    ledger.commit(Record("r0001c0002", 1, "k", "written", 1, PLAIN))
    ledger.compact(force=True)
    read = Ledger(Objects(str(tmp_path))).load()
    for held in (ledger.latest["r0001c0002"].body, read.latest["r0001c0002"].body):
        assert isinstance(held, Body) and held == PLAIN
