"""Starting a server as a process of its own, waiting for its answer, and ending exactly what was started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

REPO_ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
END_PATIENCE_S = 5.0
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens URLs without the proxy that the machine's environment may name."""


class ServerUnavailable(RuntimeError):
    """This machine cannot run the server; the message is the reason a skipped test gives."""


def cache_folder(name: str) -> Path:
    """Folder outside the repository for what is fetched once: ``$TILTH_TEST_CACHE`` or ``~/.cache/tilth-tests``."""
    base = os.environ.get("TILTH_TEST_CACHE") or Path.home() / ".cache" / "tilth-tests"
    folder = Path(base) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now, from the kernel's ephemeral range (above Ray's worker ports)."""
    with socket.socket() as s:
        s.bind((LOOPBACK, 0))
        return int(s.getsockname()[1])


def listens(port: int) -> bool:
    """True if something accepts connections on this port of 127.0.0.1."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def wait_until(ready: Callable[[], bool], seconds: float, what: str, pause_s: float = 0.05) -> None:
    """Return once ``ready()`` is true; TimeoutError naming ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(pause_s)


@contextmanager
def running(
    command: Sequence[str], log: Path, port: int, *, env: Mapping[str, str] | None = None, patience_s: float = 30
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in a process group of its own from the repository root until the block ends; output goes to ``log``.

    Yields once ``port`` accepts connections. RuntimeError with the log's end if the server dies before that.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=REPO_ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: process.poll() is not None or listens(port), patience_s, f"{command[0]} on port {port}")
        if process.poll() is not None:
            raise RuntimeError(f"{list(command)} ended with {process.returncode}; last of {log}:\n{tail(log)}")
        yield process
    finally:
        end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End the process group that ``process`` leads: asked first, killed after a few seconds."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(END_PATIENCE_S)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log, or a note that there is none."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else f"no {log}"


def call_json(url: str, payload: Any = None, *, method: str = "GET") -> Any:
    """Ask a control address and return its JSON answer; ``payload`` is sent as JSON. Raises URLError."""
    body = None if payload is None else json.dumps(payload).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
    with DIRECT.open(request, timeout=10) as answer:
        return json.load(answer)


def answers(url: str) -> bool:
    """True if the URL gives any HTTP answer, an error status included."""
    try:
        DIRECT.open(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def command_of(process: psutil.Process) -> str:
    """The command line, empty for a process that has just ended."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def tree(root: psutil.Process) -> Sequence[psutil.Process]:
    """The process and all below it, those that still live."""
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
