"""Where a catalogue's links may lead, and the one place that fetches its documents.

A catalogue is other people's data. What it names is fetched only if the rules of ``check_link`` let it: a remote
catalogue cannot make us read local files, services of this machine, or hosts that the user has ruled out.
"""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import requests
from botocore.exceptions import BotoCoreError
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from engine.errors import InfrastructureError, InputError
from engine.objects import filesystem

LOCAL = "local"
OBJECT_STORES = ("s3", "gs", "gcs", "az", "abfs", "abfss")
TIMEOUT_S = (10.0, 60.0)
"""Connecting, and waiting for the next bytes."""
RETRY = Retry(
    total=5,
    connect=2,
    backoff_factor=0.3,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,  # searches are POST requests, and change nothing
    raise_on_status=False,
)


@dataclass(frozen=True, slots=True)
class Trust:
    """What decides which links are followed: where the catalogue itself lies, and the hosts the user allows."""

    catalog: str
    allow_hosts: tuple[str, ...] | None = None

    @property
    def near(self) -> bool:
        """The catalogue lies on this machine, so it may name services of this machine."""
        return scheme_of(self.catalog) == LOCAL or is_loopback(urlsplit(self.catalog).hostname)


def scheme_of(href: str) -> str:
    """Scheme in lower case; ``local`` for paths and ``file://``."""
    scheme = urlsplit(href).scheme.lower() if "://" in href else ""
    return LOCAL if scheme in ("", "file") else scheme


def is_loopback(host: str | None) -> bool:
    """True for this machine's own names: localhost, 127.0.0.0/8 and ::1."""
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_link(href: str, trust: Trust, place: str) -> None:
    """InputError, naming ``place``, unless a catalogue trusted so far may lead to ``href``."""
    reason = _refusal(href, trust)
    if reason:
        value, expected, remedy = reason
        raise InputError(f"{value}: {without_query(href)}", expected=expected, place=place, remedy=remedy)


def absolute(href: str, base: str) -> str:
    """``href`` as seen from the document ``base``: absolute URL or absolute path; ``file://`` becomes a path."""
    if "://" in href:
        return unquote(urlsplit(href).path) if href.lower().startswith("file://") else href
    if scheme_of(base) == LOCAL:
        return os.path.abspath(os.path.join(os.path.dirname(base), href))
    if scheme_of(base) in ("http", "https"):
        return urljoin(base, href)
    parts = urlsplit(base)  # urljoin knows no object stores: borrow a scheme that it knows
    joined = urlsplit(urljoin(parts._replace(scheme="https").geturl(), href))
    return joined._replace(scheme=parts.scheme).geturl()


def without_query(href: str) -> str:
    """``href`` without what may be a signature; paths are left alone."""
    return href if scheme_of(href) == LOCAL else urlsplit(href)._replace(query="", fragment="").geturl()


def open_session(trust: Trust) -> requests.Session:
    """HTTP session with retries, each of whose requests, redirects included, passes ``check_link``."""
    session = requests.Session()
    guard(session, trust)
    return session


def guard(session: requests.Session, trust: Trust) -> None:
    """Make an existing session (pystac-client's) ask ``check_link`` before every request."""
    for prefix in ("http://", "https://"):
        session.mount(prefix, _Guarded(trust))


def read_text(href: str, session: requests.Session, trust: Trust) -> str:
    """A document of the catalogue. InputError where it is not there or not allowed, InfrastructureError where the
    service fails after all retries."""
    check_link(href, trust, place=trust.catalog)
    if scheme_of(href) in ("http", "https"):
        return _get(href, session)
    try:
        fs, path = filesystem(href)
        return bytes(fs.cat_file(path)).decode("utf-8")
    except FileNotFoundError as error:
        raise InputError("no such file", place=href, remedy="check the catalogue's address") from error
    except (OSError, BotoCoreError, ValueError, ImportError) as error:
        raise InputError(f"cannot be read: {error}", expected="a readable STAC document", place=href) from error


def read_json(href: str, session: requests.Session, trust: Trust) -> dict[str, Any]:
    """A JSON object of the catalogue; InputError where it is anything else."""
    try:
        document = json.loads(read_text(href, session, trust))
    except ValueError as error:
        raise InputError(
            f"not JSON: {error}",
            expected="a STAC API, a catalog.json, or items in a file that ends with .ndjson",
            place=without_query(href),
        ) from error
    if not isinstance(document, dict):
        raise InputError("no JSON object", expected="a STAC catalogue", place=without_query(href))
    return document


class _Guarded(HTTPAdapter):
    """Every request passes here, also those a redirect or a paging link asks for."""

    def __init__(self, trust: Trust) -> None:
        super().__init__(max_retries=RETRY, pool_maxsize=16)
        self._trust = trust

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        check_link(str(request.url), self._trust, place=self._trust.catalog)
        kwargs["timeout"] = kwargs.get("timeout") or TIMEOUT_S
        return super().send(request, *args, **kwargs)


def _get(href: str, session: requests.Session) -> str:
    place = without_query(href)
    try:
        response = session.get(href, timeout=TIMEOUT_S)
    except requests.Timeout as error:
        raise InfrastructureError("no answer in time", place=place, remedy="try again later") from error
    except requests.RequestException as error:
        raise InputError(
            f"cannot be reached: {error}", place=place, remedy="check the address, and whether the service is up"
        ) from error
    if response.status_code in RETRY.status_forcelist:
        raise InfrastructureError(f"HTTP {response.status_code} after retries", place=place, remedy="try again later")
    if not response.ok:
        raise InputError(f"HTTP {response.status_code}", expected="200", place=place, remedy="check the address")
    return response.content.decode("utf-8")


def _refusal(href: str, trust: Trust) -> tuple[str, str, str] | None:
    """(value, expected, remedy) of what is wrong with this link, or None."""
    scheme, parts = scheme_of(href), urlsplit(href)
    if "\\" in href or any(ord(c) < 32 for c in href):
        return "link with a backslash or control character", "a plain URL", "mend the catalogue"
    if scheme == LOCAL:
        return _local_refusal(href, trust)
    if scheme not in ("http", "https", *OBJECT_STORES):
        return f"link of scheme {scheme}", "https, s3, gs or az", "choose a catalogue with such links"
    if scheme == "http" and not is_loopback(parts.hostname):
        return "http link without TLS", "https", "choose a catalogue with https links"
    if is_loopback(parts.hostname) and not trust.near:
        return "a remote catalogue points at this machine", "links to other hosts", "do not use this catalogue"
    return _host_refusal(parts, trust)


def _local_refusal(href: str, trust: Trust) -> tuple[str, str, str] | None:
    if scheme_of(trust.catalog) != LOCAL:
        return "a remote catalogue points at a local file", "https or s3 links", "do not use this catalogue"
    if any(part.startswith("vsi") for part in PurePosixPath(href).parts[1:2]):
        return "a path of GDAL's virtual file systems", "a plain path or URL", "write the URL itself"
    return None


def _host_refusal(parts: SplitResult, trust: Trust) -> tuple[str, str, str] | None:
    host = (parts.hostname or "").lower()
    own = scheme_of(trust.catalog) != LOCAL and host == (urlsplit(trust.catalog).hostname or "").lower()
    if trust.allow_hosts is None or own or any(fnmatch(host, allowed.lower()) for allowed in trust.allow_hosts):
        return None
    return f"link to {host}", f"one of the allowed hosts {', '.join(trust.allow_hosts)}", "add it to allow_hosts"
