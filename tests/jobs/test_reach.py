"""Places tried side by side: whoever fails first, nobody is left in the middle of his try."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from engine.errors import InputError
from jobs.reach import within


def test_the_first_error_is_told_once_all_others_have_cleaned_up(tmp_path: Path) -> None:
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise InputError("no such place")

    def leave_no_trace() -> None:
        (tmp_path / "probe").touch()
        failed.wait(10)
        (tmp_path / "probe").unlink()

    for _ in range(20):
        failed.clear()
        with pytest.raises(InputError, match="no such place"):
            within(10, "here", [leave_no_trace, fail])
        assert not (tmp_path / "probe").exists()


def test_a_place_that_never_answers_is_told_with_the_seconds_it_was_given_unless_another_failed() -> None:
    answered = threading.Event()

    def hang() -> None:
        answered.wait()

    def fail() -> None:
        raise InputError("no such place")

    with pytest.raises(InputError, match=r"no answer within 0\.2 s") as told:
        within(0.2, "output.uri", [lambda: None, hang])
    assert told.value.place == "output.uri" and "AWS_ENDPOINT_URL" in told.value.remedy
    with pytest.raises(InputError, match="no such place"):
        within(0.2, "output.uri", [hang, fail])
    answered.set()
