"""Scripted, seeded faults between a client and a server on loopback, injected by a proxy that runs as its own process.

The proxy hands requests on unchanged, the Host header included, so that a signature made for the proxy's address stays
valid. It holds no whole body in memory. Which requests are struck depends only on the seed and on the request itself
(method, path, range and how often it was seen), never on the order in which concurrent clients arrive.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from tests.servers.process import LOOPBACK, call_json, free_port, running, wait_until

Kind = Literal["slow_down", "cut", "lost_answer", "half_body", "delay", "expired", "not_found"]


@dataclass(frozen=True)
class Fault:
    """One kind of fault and the requests it strikes."""

    kind: Kind
    """``slow_down``: 503 as S3 throttles. ``cut``: the connection ends before the server saw the request.
    ``lost_answer``: it ends after the server has done its work, as when a commit succeeds unheard. ``half_body``: half
    of the body under the full Content-Length, then the end. ``delay``: ``seconds`` of waiting, then the request goes
    on, to further faults too. ``expired``: 403 for a link whose signature (query ``token``, ``sig`` or ``se``) has been
    used ``uses`` times or was first seen ``age_s`` ago. ``not_found``: 404."""
    share: float = 1.0
    """Probability for each request that the fault applies to, 0 to 1."""
    methods: tuple[str, ...] = ()
    """Such as ``("GET", "PUT")``; empty = all."""
    path: str = ""
    """Regular expression searched for in the path with its query, as sent."""
    times: int | None = None
    """Strikes only the first so many attempts of the same request; ``None`` = every attempt."""
    seconds: float = 0.0
    uses: int | None = None
    age_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share is a probability, 0 to 1, got {self.share}")
        if self.kind == "expired" and self.uses is None and self.age_s is None:
            raise ValueError("an expired fault needs uses or age_s")


def strikes(share: float, seed: int, *request: object) -> bool:
    """True for about ``share`` of all requests, always the same ones for the same seed."""
    return random.Random("|".join(map(str, (seed, *request)))).random() < share


@dataclass(frozen=True)
class FaultProxy:
    """A running proxy: ``url`` is what clients are given instead of the server's address."""

    url: str
    control: str

    def set(self, *faults: Fault) -> None:
        """Inject these from now on instead of the present ones; none = pass everything on."""
        call_json(f"{self.control}/faults", [asdict(fault) for fault in faults], method="PUT")

    @contextmanager
    def during(self, *faults: Fault) -> Iterator[None]:
        """Inject these for the length of the block, and nothing after it."""
        self.set(*faults)
        try:
            yield
        finally:
            self.set()

    def counts(self) -> Counter[str]:
        """How often each kind was really injected since the start, and ``passed``: requests answered in full."""
        return Counter(call_json(f"{self.control}/counts"))


@contextmanager
def fault_proxy(upstream: str, *faults: Fault, seed: int = 0, log: Path | None = None) -> Iterator[FaultProxy]:
    """Run a proxy in front of ``upstream`` (such as ``http://127.0.0.1:40001``) for the length of the block."""
    port, control = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="tilth-proxy-") as folder:
        # The module runs by itself because a client that holds the interpreter lock while it waits for an answer, as
        # GDAL's bindings may, would starve a proxy in a thread of the same process.
        command = [sys.executable, "-m", "tests.servers.fault_process", upstream, str(port), str(control), str(seed)]
        with running(command, log or Path(folder) / "proxy.log", port):
            proxy = FaultProxy(f"http://{LOOPBACK}:{port}", f"http://{LOOPBACK}:{control}")
            wait_until(lambda: call_json(f"{proxy.control}/counts") is not None, 10, "the proxy's control address")
            proxy.set(*faults)
            yield proxy
