"""The doctor tries things out on real servers, says what it saw and leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from jobs import doctor
from jobs.cli import main
from jobs.doctor import examine
from jobs.findings import Finding
from tests.servers.process import free_port
from tests.servers.rays import nodes
from tests.servers.s3 import S3

TRIALS = {"create-only PUT", "range GET", "multipart upload", "list after write", "delete", "clock"}


def named(found: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in found}


@contextmanager
def careless(s3: S3) -> Iterator[str]:
    """Address of a store that knows neither If-None-Match nor ranges: a real one behind a server that drops both."""

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kept = {k: v for k, v in self.headers.items() if k.lower() not in ("if-none-match", "range", "connection")}
            upstream = http.client.HTTPConnection(urlsplit(s3.endpoint).netloc)
            upstream.request(self.command, self.path, body, kept)
            answer = upstream.getresponse()
            data = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            upstream.close()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = relay

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_this_machine_has_what_is_needed_and_says_what_was_not_tried() -> None:
    found = named(examine(None, None))
    assert not [f for f in found.values() if f.ok is False]
    assert found["GDAL driver COG"].ok and found["GDAL driver GTI"].ok and found["zarr"].ok
    assert found["store"].ok is None and "--store" in found["store"].remedy
    assert found["cluster"].ok is None and "--address" in found["cluster"].remedy


def test_a_package_too_old_is_found_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "requires", lambda _: ["numpy>=99", "no-such-package-here>=1"])
    found = named(list(doctor._versions()))
    assert found["numpy"].ok is False and found["numpy"].remedy == "pip install 'numpy>=99'"
    assert found["no-such-package-here"].value == "not installed"


def test_a_local_folder_is_usable_and_left_clean(tmp_path: Path) -> None:
    found = named(examine(str(tmp_path / "store"), None))
    assert {name.removeprefix("store: ") for name in found if name.startswith("store: ")} == TRIALS
    assert all(found[f"store: {trial}"].ok for trial in TRIALS)
    assert not list((tmp_path / "store").iterdir())


def test_a_bucket_is_usable_and_left_clean(s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.env().items():
        monkeypatch.setenv(name, value)
    found = named(examine(f"s3://{bucket}/some/prefix", None))
    assert all(found[f"store: {trial}"].ok for trial in TRIALS), found
    assert "one winner of 16" in found["store: create-only PUT"].value
    assert "MB/s" in found["store: multipart upload"].value
    assert s3.keys(bucket) == []


def test_a_store_that_overwrites_and_ignores_ranges_is_called_unusable(
    tmp_path: Path, s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with careless(s3) as endpoint:
        for name, value in s3.at(endpoint).env().items():
            monkeypatch.setenv(name, value)
        found = named(examine(f"s3://{bucket}/x", None))
    race, part = found["store: create-only PUT"], found["store: range GET"]
    assert race.ok is False and "not usable: 16 of 16" in race.value and "If-None-Match" in race.remedy
    assert part.ok is False and "range" in part.remedy
    assert found["store: delete"].ok


def test_a_bucket_or_a_server_that_is_not_there_is_one_finding(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.env().items():
        monkeypatch.setenv(name, value)
    missing = named(examine("s3://no-such-bucket/x", None))["store"]
    assert missing.ok is False and "no such bucket" in missing.value and "create" in missing.remedy
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    silent = named(examine("s3://bucket/x", None))["store"]
    assert silent.ok is False and "nothing answers" in silent.value


def test_a_ray_cluster_tells_its_version_and_resources() -> None:
    with nodes(0, 1, head_cpus=2, dashboard=True) as cluster:
        found = named(examine(None, cluster.dashboard))
    assert found["cluster"].ok and found["cluster: Ray"].ok
    assert "1 nodes, 2 CPUs" in found["cluster: resources"].value


def test_a_cluster_that_is_not_there_is_found_and_the_command_ends_with_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setattr(sys, "argv", ["tilth", "doctor", "--address", address, "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert ended.value.code == 4
    assert rows["cluster"]["ok"] is False and address in rows["cluster"]["value"]
