"""The process behind ``faults.fault_proxy``: python -m tests.servers.fault_process UPSTREAM PORT CONTROL_PORT SEED."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict
from yarl import URL

from tests.servers.faults import Fault, strikes
from tests.servers.process import LOOPBACK

HOP_BY_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding", "TE", "Trailer", "Upgrade", "Expect", "Proxy-Connection")
NOT_INVENTED = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
SIGNATURE_KEYS = ("token", "sig", "se")
PIECE_BYTES = 64 * 1024
REFUSALS = {
    "slow_down": (503, "SlowDown", "Please reduce your request rate."),
    "expired": (403, "AuthenticationFailed", "Signature not valid in the specified time frame."),
    "not_found": (404, "NoSuchKey", "The specified key does not exist."),
}


class Proxy:
    """Passes requests to the upstream server and injects the faults of the moment."""

    def __init__(self, upstream: str, seed: int) -> None:
        self.upstream = upstream.rstrip("/")
        self.seed = seed
        self.faults: tuple[Fault, ...] = ()
        self.counts: Counter[str] = Counter()
        self.attempts: Counter[tuple[str, str, str]] = Counter()
        self.signature_uses: Counter[str] = Counter()
        self.signature_seen: dict[str, float] = {}
        self.session: ClientSession

    async def open_session(self, _: web.Application) -> None:
        # A connection per request: a kept one may be closed by the server just as the next request goes out, which
        # would be a fault nobody scripted.
        connector = TCPConnector(limit=0, force_close=True)
        self.session = ClientSession(connector=connector, auto_decompress=False, timeout=ClientTimeout(total=None))

    async def close_session(self, _: web.Application) -> None:
        await self.session.close()

    def applies(self, fault: Fault, index: int, request: web.Request, attempt: int) -> bool:
        """True if this fault strikes this attempt of the request."""
        if (fault.methods and request.method not in fault.methods) or not re.search(fault.path, request.raw_path):
            return False
        if fault.times is not None and attempt >= fault.times:
            return False
        if fault.kind == "expired" and not self.is_expired(fault, request):
            return False
        span = request.headers.get("Range", "")
        return strikes(fault.share, self.seed, index, request.method, request.raw_path, span, attempt)

    def is_expired(self, fault: Fault, request: web.Request) -> bool:
        signature = next((request.query[key] for key in SIGNATURE_KEYS if key in request.query), None)
        if signature is None:
            return False
        age_s = time.monotonic() - self.signature_seen.setdefault(signature, time.monotonic())
        self.signature_uses[signature] += 1
        used_up = fault.uses is not None and self.signature_uses[signature] > fault.uses
        return used_up or (fault.age_s is not None and age_s >= fault.age_s)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        same = (request.method, request.raw_path, request.headers.get("Range", ""))
        attempt = self.attempts[same]
        self.attempts[same] += 1
        struck = None
        for index, fault in enumerate(self.faults):
            if not self.applies(fault, index, request, attempt):
                continue
            if fault.kind != "delay":
                struck = fault.kind
                break
            self.counts["delay"] += 1
            await asyncio.sleep(fault.seconds)
        if struck == "cut":
            return self.cut(request, struck)
        if struck in REFUSALS:
            return await self.refuse(request, struck)
        return await self.pass_on(request, struck)

    def cut(self, request: web.Request, kind: str) -> web.Response:
        self.counts[kind] += 1
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def refuse(self, request: web.Request, kind: str) -> web.Response:
        async for _ in request.content.iter_chunked(PIECE_BYTES):
            pass  # a client still sending would see a broken pipe instead of the status
        self.counts[kind] += 1
        status, code, message = REFUSALS[kind]
        text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
        return web.Response(status=status, text=text, content_type="application/xml")

    async def pass_on(self, request: web.Request, struck: str | None) -> web.StreamResponse:
        try:
            async with self.session.request(
                request.method,
                URL(self.upstream + request.raw_path, encoded=True),
                headers=without_hops(request.headers),
                data=request.content.iter_chunked(PIECE_BYTES) if request.can_read_body else None,
                skip_auto_headers=NOT_INVENTED,
                allow_redirects=False,
            ) as answer:
                if struck == "lost_answer":
                    await answer.read()
                    return self.cut(request, struck)
                return await self.relay(request, answer, struck)
        except ClientError as error:
            self.counts["upstream_failed"] += 1
            return web.Response(status=502, text=f"upstream failed: {error!r}")

    async def relay(self, request: web.Request, answer: ClientResponse, struck: str | None) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=without_hops(answer.headers))
        size = int(answer.headers.get("Content-Length", 0))
        halved = struck == "half_body" and answer.status < 300 and request.method != "HEAD" and size > 1
        left = size // 2 if halved else sys.maxsize
        await response.prepare(request)
        async for piece in answer.content.iter_chunked(PIECE_BYTES):
            await response.write(piece[:left])
            left -= len(piece)
            if left <= 0:
                break
        if not halved:
            self.counts["passed"] += 1
            return response
        self.counts["half_body"] += 1
        if request.transport is not None:
            request.transport.close()
        return response


def without_hops(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """End-to-end headers only; Content-Length stays, so a HEAD answer and a half body keep the full size."""
    kept = CIMultiDict(headers)
    for name in HOP_BY_HOP:
        kept.popall(name, None)
    return kept


async def serve(upstream: str, port: int, control_port: int, seed: int) -> None:
    """Serve until the process is ended."""
    proxy = Proxy(upstream, seed)

    async def put_faults(request: web.Request) -> web.Response:
        listed = await request.json()
        proxy.faults = tuple(Fault(**{**fault, "methods": tuple(fault["methods"])}) for fault in listed)
        return web.json_response(len(proxy.faults))

    async def get_counts(_: web.Request) -> web.Response:
        return web.json_response(proxy.counts)

    control = web.Application()
    control.add_routes([web.put("/faults", put_faults), web.get("/counts", get_counts)])
    front = web.Application()
    front.on_startup.append(proxy.open_session)
    front.on_cleanup.append(proxy.close_session)
    front.router.add_route("*", "/{path:.*}", proxy.handle)
    for app, at in ((control, control_port), (front, port)):
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, at).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
