"""Places tried side by side: whoever fails first, nobody is left in the middle of his try."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import jobs.reach
from engine.errors import InputError
from jobs.control import resolve_run
from jobs.reach import check_s3, within
from tests.servers.process import free_port
from tests.servers.s3 import S3


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


@contextmanager
def listening(greeting: bytes) -> Iterator[str]:
    """The address of a service that speaks no HTTP: it greets, or says nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return
                held[-1].sendall(greeting)

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for connection in held:
            connection.close()


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_an_endpoint_that_is_no_store_is_named_and_nothing_hangs(
    greeting: bytes, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.env().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jobs.reach, "ANSWER_S", 0.5)
    with listening(greeting) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        with pytest.raises(InputError, match="does not answer as a store does") as told:
            check_s3(["labels.gpkg", "s3://bucket/map"])
    assert address in told.value.place and "AWS_ENDPOINT_URL_S3" in told.value.remedy


def test_a_run_on_a_store_that_is_not_there_is_refused_at_once(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.env().items():
        monkeypatch.setenv(name, value)
    check_s3(["s3://bucket/map"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(InputError, match="nothing answers"):
        resolve_run("s3://bucket/map")
    check_s3(["work/map"])
