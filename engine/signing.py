"""From an asset's pinned link to a path that GDAL opens now: schemes, and signatures that expire."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

import requests

from engine.errors import InfrastructureError

_PLANETARY_COMPUTER = "https://planetarycomputer.microsoft.com/api/sas/v1/token"
_EARLY_S = 120.0
"""A token is renewed this long before it expires, so that a long read does not outlive it."""


@dataclass
class Links:
    """Signs links with tokens of a SAS service, renewed before they expire or when they were refused.

    A service answers ``GET {service}/{account}/{container}`` with ``{"token": ..., "msft:expiry": ISO time}``; account
    is the first label of the link's host, container the first part of its path.
    """

    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open_path(self, href: str, sign: str | None, renew: bool = False) -> str:
        """The path to give to GDAL; ``renew`` asks for a fresh signature because the last one was refused."""
        if sign is not None and href.startswith(("http://", "https://")):
            href = f"{href}{'&' if '?' in href else '?'}{self._token(href, sign, renew)}"
        return gdal_path(href)

    def _token(self, href: str, sign: str, renew: bool) -> str:
        parts = urlsplit(href)
        account = (parts.hostname or "").split(".")[0]
        container = parts.path.lstrip("/").split("/")[0]
        service = _PLANETARY_COMPUTER if sign == "planetary-computer" else sign.rstrip("/")
        url = f"{service}/{account}/{container}"
        with self._lock:
            token, until = self._tokens.get(url, ("", 0.0))
            if renew or time.time() > until:
                token, until = _fetch_token(url)
                self._tokens[url] = token, until
        return token


def gdal_path(href: str) -> str:
    """``s3://`` and ``http(s)://`` links as GDAL's virtual file systems; local paths unchanged."""
    if href.startswith("s3://"):
        return "/vsis3/" + href.removeprefix("s3://")
    if href.startswith(("http://", "https://")):
        return "/vsicurl/" + href
    return href


def _fetch_token(url: str) -> tuple[str, float]:
    try:
        answer = requests.get(url, timeout=30)
        answer.raise_for_status()
        body = answer.json()
        expiry = datetime.fromisoformat(body["msft:expiry"].replace("Z", "+00:00"))
        left_s = expiry.timestamp() - time.time()
        return body["token"], time.time() + max(left_s - _EARLY_S, left_s / 2)
    except (requests.RequestException, KeyError, ValueError) as error:
        raise InfrastructureError(f"no token: {error}", place=url, remedy="the run tries again") from error
