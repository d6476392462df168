"""What a run says where no terminal is: dated lines, at tenths, at trouble, and when it was silent for long."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from engine.run import Progress
from jobs import follow, lines

DATED = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (.*)$")


def undated(text: str) -> list[str]:
    """The lines without their dates; AssertionError where one has none."""
    found = [DATED.match(line) for line in text.splitlines()]
    assert all(found), text
    return [match[1] for match in found if match]


def test_every_line_of_a_sentence_has_its_date_and_a_terminal_needs_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines.say("one\ntwo")
    lines.result("three")
    told = capsys.readouterr()
    assert undated(told.err) == ["one", "two"] and undated(told.out) == ["three"]
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr", screen)
    lines.say("one")
    assert screen.getvalue() == "one\n"


def test_a_stage_is_told_at_each_tenth_with_what_was_retried_and_quarantined(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with lines.Bar(Console(file=io.StringIO())) as bar:
        for done in range(101):
            bar.update(Progress("map", 100, written=done - done // 50, quarantined=done // 50, retried=3, in_flight=2))
    told = undated(capsys.readouterr().err)
    assert len(told) == 11
    assert told[0] == "map: 0 of 100 tiles, 2 under way, 3 retried, 0 quarantined"
    assert told[-1] == "map: 100 of 100 tiles, 2 under way, 3 retried, 2 quarantined"


def test_trouble_is_told_once_and_silence_never_lasts_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(lines.time, "monotonic", lambda: clock[0])
    log = lines.Log()
    for clock[0] in range(100, 221):
        log.update(Progress("model", 30, written=7, unit="epochs", note="loss 0.412", trouble="no node yet"))
    assert undated(capsys.readouterr().err) == ["model: no node yet", *3 * ["model: 7 of 30 epochs; loss 0.412"]]


def test_who_watches_into_a_file_is_told_who_drives_and_where_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    with follow.logged() as show:
        show(None, None)
        for _ in range(3):
            show({"stage": "cube", "total": 8, "written": 4, "quarantined": 0, "retried": 1, "in_flight": 2,
                  "trouble": "", "unit": "tiles", "note": "", "at": 1.0}, {"host": "node-1", "pid": 7})  # fmt: skip
    assert undated(capsys.readouterr().err) == [
        "nobody drives the run yet",
        "driven by node-1, process 7",
        "cube: 4 of 8 tiles, 2 under way, 1 retried, 0 quarantined",
    ]
