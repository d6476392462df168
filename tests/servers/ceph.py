"""Ceph's RADOS gateway as an S3 server: signatures checked, multipart and create-only PUT as in production."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import LOOPBACK, ServerUnavailable, answers, cache_folder, free_port, tail, wait_until
from tests.servers.s3 import S3

SCRIPT = Path(__file__).with_name("ceph.sh")
TOOLS = ("bash", "apt-get", "dpkg-deb", "flock")
FETCH_PATIENCE_S = 600
START_PATIENCE_S = 240


def run_script(shell_script: Path, log: Path, patience_s: float, *arguments: str) -> int:
    """Run one of this folder's shell scripts, its output appended to ``log``; returns its exit status.

    ServerUnavailable where it takes longer than ``patience_s``.
    """
    with log.open("ab") as out:
        try:
            done = subprocess.run(
                ["bash", str(shell_script), *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=patience_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ServerUnavailable(f"{shell_script.name} {arguments[0]} took more than {patience_s:.0f} s") from error
    return done.returncode


def fetch_packages(shell_script: Path, cache: Path, *arguments: str) -> None:
    """Have a script fetch its Debian packages into ``cache``; ServerUnavailable, with the reason, where it cannot."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if sys.platform != "linux" or missing:
        raise ServerUnavailable(f"{shell_script.name} needs Linux with {', '.join(TOOLS)}; missing: {missing}")
    log = cache / "fetch.log"
    log.unlink(missing_ok=True)
    if run_script(shell_script, log, FETCH_PATIENCE_S, "fetch", str(cache), *arguments):
        raise ServerUnavailable(f"{shell_script.name} could not fetch its packages: {tail(log, 3)}")


@contextmanager
def ceph() -> Iterator[S3]:
    """A gateway over an empty in-memory store for the length of the block, about 15 s to start.

    ServerUnavailable where its packages cannot be had; RuntimeError with the log's end where they do not run.
    """
    cache = cache_folder("ceph")
    fetch_packages(SCRIPT, cache)
    # Unix sockets live in the run folder and their paths may not exceed 107 bytes, so pytest's tmp_path is too long.
    with tempfile.TemporaryDirectory(prefix="tilth-ceph-", dir="/tmp", ignore_cleanup_errors=True) as run:
        log, port = Path(run) / "start.log", free_port()
        try:
            if run_script(SCRIPT, log, START_PATIENCE_S, "start", str(cache), run, str(port), str(free_port())):
                raise RuntimeError(f"Ceph did not start; last of {log}:\n{tail(log)}")
            endpoint = f"http://{LOOPBACK}:{port}"
            wait_until(lambda: answers(endpoint), 30, f"Ceph's gateway at {endpoint}")
            yield S3(endpoint, "TILTHTEST", "tilth-test-secret")
        finally:
            run_script(SCRIPT, log, 60, "stop", run)
