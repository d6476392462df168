"""moto's S3 server as a process: in memory, honours create-only PUT and ranges, checks no signature."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import LOOPBACK, answers, free_port, running, wait_until
from tests.servers.s3 import S3

__all__ = ["S3", "moto"]


@contextmanager
def moto(log: Path | None = None) -> Iterator[S3]:
    """An empty S3 server for the length of the block; it logs every request to ``log`` (default: a temporary file)."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tilth-moto-") as folder:
        command = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)]
        with running(command, log or Path(folder) / "moto.log", port):
            endpoint = f"http://{LOOPBACK}:{port}"
            wait_until(lambda: answers(endpoint), 20, f"moto at {endpoint}")
            yield S3(endpoint, "tilth-test", "tilth-test-secret")
