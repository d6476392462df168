"""A driver that ends with an error leaves why, for who looks at the run later; no secret is left there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import InputError, LeaseHeld
from engine.objects import Objects
from jobs import ended
from tests.flow.flow import Job, tilth


def test_status_and_watch_say_why_a_run_ended_until_it_is_resumed(finished: Job, tmp_path: Path) -> None:
    job = finished.at(tmp_path / "run").with_({"budget": {"max_hours": 1e-9}})
    job.predict(expect=5)
    told = json.loads(tilth("status", job.map, "--json").out)["ended"]
    assert told["exit_code"] == 5 and told["place"] == "budget.max_hours" and "tilth resume" in told["remedy"]
    assert "ended with exit code 5: budget.max_hours" in tilth("status", job.map).out
    assert "budget.max_hours" in tilth("watch", job.map, expect=5).err
    tilth("resume", job.map, "--set", "budget.max_hours=null")
    assert json.loads(tilth("status", job.map, "--json").out)["ended"] is None
    tilth("watch", job.map)


def test_no_secret_is_left_and_who_finds_another_driver_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abcdefgh12345678")
    place = "https://me:word@host/a.tif?sig=xyz"
    with pytest.raises(InputError), ended.leaves_word(str(tmp_path)):
        raise InputError("denied for abcdefgh12345678", place=place, remedy="ask")
    told = ended.how(Objects(str(tmp_path)), "any")
    assert told is not None and told["exit_code"] == 2
    assert told["value"] == "denied for ***" and told["place"] == "https://host/a.tif?***"
    ended.begins(Objects(str(tmp_path)))
    with pytest.raises(LeaseHeld), ended.leaves_word(str(tmp_path)):
        raise LeaseHeld("somebody drives")
    assert ended.how(Objects(str(tmp_path)), "any") is None
