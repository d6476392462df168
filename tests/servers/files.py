"""Static files over HTTP with ranges, open or behind short-lived signed links as Planetary Computer hands them out.

``GET /api/sas/v1/token/NAME`` answers ``{"token": "se=...&sig=...", "msft:expiry": ...}``; a file's link is its URL
plus ``?`` and the token. The server checks what it handed out: without a token, with a forged or an expired one a file
answers 403. Run as a process: python -m tests.servers.files ROOT PORT TOKEN_SECONDS.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

from aiohttp import web

from tests.servers.process import LOOPBACK, call_json, free_port, running

TOKEN_PATH = "/api/sas/v1/token"
REFUSED = (
    '<?xml version="1.0" encoding="utf-8"?><Error><Code>AuthenticationFailed</Code><Message>Server failed to '
    "authenticate the request. Make sure the value of Authorization header is formed correctly including the "
    "signature.</Message></Error>"
)


@dataclass(frozen=True)
class FileServer:
    """A running file server: ``url/RELATIVE_PATH`` is a file, ``token_url/NAME`` hands out a token."""

    url: str

    @property
    def token_url(self) -> str:
        return self.url + TOKEN_PATH

    def expire_tokens(self) -> None:
        """Let every token handed out so far be expired from now on, without waiting."""
        call_json(f"{self.url}/-/expire", method="POST")

    def counts(self) -> Counter[str]:
        """How often so far: ``token`` handed out, ``served``, ``refused`` (403), ``missing`` (404)."""
        return Counter(call_json(f"{self.url}/-/counts"))


@contextmanager
def file_server(root: Path, *, token_seconds: float | None = None, log: Path | None = None) -> Iterator[FileServer]:
    """Serve the files under ``root`` for the length of the block.

    ``token_seconds``: files need a token, which lives so long (rounded up to a full second); ``None`` = open to all.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tilth-files-") as folder:
        command = [sys.executable, "-m", "tests.servers.files", str(root.resolve()), str(port), str(token_seconds or 0)]
        with running(command, log or Path(folder) / "files.log", port):
            yield FileServer(f"http://{LOOPBACK}:{port}")


class Files:
    """The server's side: one secret, replaced when all tokens are to expire."""

    def __init__(self, root: Path, token_seconds: float) -> None:
        self.root, self.token_seconds = root, token_seconds
        self.secret = secrets.token_bytes(32)
        self.counts: Counter[str] = Counter()

    def signature(self, expiry: str) -> str:
        return hmac.new(self.secret, expiry.encode(), hashlib.sha256).hexdigest()

    async def token(self, _: web.Request) -> web.Response:
        self.counts["token"] += 1
        end = datetime.fromtimestamp(math.ceil(datetime.now(UTC).timestamp() + self.token_seconds), UTC)
        expiry = end.strftime("%Y-%m-%dT%H:%M:%SZ")
        return web.json_response(
            {"msft:expiry": expiry, "token": urlencode({"se": expiry, "sp": "rl", "sig": self.signature(expiry)})}
        )

    async def file(self, request: web.Request) -> web.StreamResponse:
        if self.token_seconds and not self.is_signed(request):
            self.counts["refused"] += 1
            return web.Response(status=403, text=REFUSED, content_type="application/xml")
        path = (self.root / request.match_info["path"]).resolve()
        if not (path.is_file() and path.is_relative_to(self.root)):
            self.counts["missing"] += 1
            return web.Response(status=404)
        self.counts["served"] += 1
        return web.FileResponse(path)

    def is_signed(self, request: web.Request) -> bool:
        expiry = request.query.get("se", "")
        if not hmac.compare_digest(self.signature(expiry), request.query.get("sig", "")):
            return False
        return datetime.now(UTC) < datetime.fromisoformat(expiry)

    async def expire(self, _: web.Request) -> web.Response:
        self.secret = secrets.token_bytes(32)
        return web.json_response(True)

    async def tell_counts(self, _: web.Request) -> web.Response:
        return web.json_response(self.counts)


async def serve(root: Path, port: int, token_seconds: float) -> None:
    """Serve until the process is ended."""
    files, app = Files(root, token_seconds), web.Application()
    app.add_routes(
        [
            web.get(TOKEN_PATH + "/{name:.+}", files.token),
            web.post("/-/expire", files.expire),
            web.get("/-/counts", files.tell_counts),
            web.get("/{path:.*}", files.file),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
