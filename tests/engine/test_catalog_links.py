"""Servers that fail, catalogues that lie, and where links may lead."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import ValidationError

from engine.catalog import (
    SourceOptions,
    links,
    resolve,
    search,
)
from engine.catalog.links import Trust, absolute, check_link
from engine.errors import InfrastructureError, InputError
from tests.engine.made_catalog import (
    FIELD,
    HERE,
    YEAR,
    absolute_flanders,
)
from tests.servers.process import free_port

pytestmark = HERE


class Handler(BaseHTTPRequestHandler):
    """Serves the pages it is given; ``redirect:URL`` redirects and a number is a status."""

    def __init__(self, pages: dict[str, str | int], *args: Any) -> None:
        self.pages = pages
        super().__init__(*args)

    def do_GET(self) -> None:
        page = self.pages.get(self.path, 404)
        redirect = isinstance(page, str) and page.startswith("redirect:")
        self.send_response(302 if redirect else page if isinstance(page, int) else 200)
        if redirect:
            self.send_header("Location", str(page).removeprefix("redirect:"))
        body = page.encode() if isinstance(page, str) and not redirect else b""
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, str | int]], str]]:
    servers: list[ThreadingHTTPServer] = []

    def start(pages: dict[str, str | int]) -> str:
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, pages)))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("pages", "path", "words"),
    [
        ({}, "/catalog.json", "HTTP 404"),
        ({"/catalog.json": "<html>hello</html>"}, "/catalog.json", "not JSON"),
        ({"/catalog.json": "[]"}, "/catalog.json", "no JSON object"),
        ({"/catalog.json": '{"type": "Feature"}'}, "/catalog.json", "type 'Feature'"),
        ({"/items.ndjson": '{"type": "Feature"}\nnonsense\n'}, "/items.ndjson", "items.ndjson:2"),
        ({"/catalog.json": "redirect:http://example.org/catalog.json"}, "/catalog.json", "without TLS"),
        ({"/catalog.json": "redirect:file:///etc/hostname"}, "/catalog.json", "catalog.json"),
        (
            {"/catalog.json": '{"type": "Catalog", "links": [{"rel": "item", "href": "file:///etc/hostname"}]}'},
            "/catalog.json",
            "points at a local file",
        ),
        (
            {"/": '{"type": "Catalog", "id": "a", "stac_version": "1.0.0", "description": "", "conformsTo": '
             '["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"], '
             '"links": [{"rel": "search", "type": "application/geo+json", '
             '"method": "POST", "href": "http://example.org/search"}]}'},
            "/",
            "without TLS",
        ),
    ],
)  # fmt: skip
def test_a_remote_catalogue_that_is_none_or_lies_is_refused(
    serve: Callable[[dict[str, str | int]], str], pages: dict[str, str | int], path: str, words: str
) -> None:
    source = SourceOptions(catalog=serve(pages) + path, collection="sentinel-2-l2a")
    with pytest.raises(InputError, match=words):
        search(source, "optical", FIELD, *YEAR)


def test_a_remote_catalogue_may_not_name_local_files(serve: Callable[[dict[str, str | int]], str]) -> None:
    scene = next(d for d in absolute_flanders() if d["collection"] == "sentinel-2-l2a")
    for key, href in (("blue", "file:///etc/hostname"), ("red", "/etc/hostname")):
        lying = json.loads(json.dumps(scene))
        for asset in lying["assets"].values():
            asset["href"] = "data.tif"
        lying["assets"][key]["href"] = href
        source = SourceOptions(
            catalog=serve({"/items.ndjson": json.dumps(lying)}) + "/items.ndjson", collection="sentinel-2-l2a"
        )
        (found,) = search(source, "optical", FIELD, datetime(2017, 1, 1), datetime(2018, 1, 1))
        if key == "red":  # a path on the server, not on this machine
            assert resolve(found, source, "optical").assets["red"].href.startswith("http://127.0.0.1")
            continue
        with pytest.raises(InputError, match=r"asset blue: a remote catalogue points at a local file: /etc/hostname"):
            resolve(found, source, "optical")


def test_a_service_that_keeps_failing_is_the_services_fault(
    serve: Callable[[dict[str, str | int]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "RETRY", links.RETRY.new(total=1))
    source = SourceOptions(catalog=serve({"/catalog.json": 503}) + "/catalog.json", collection="a")
    with pytest.raises(InfrastructureError, match="HTTP 503"):
        search(source, "optical", FIELD, *YEAR)


def test_nobody_listening_is_told_in_seconds() -> None:
    began = time.perf_counter()
    with pytest.raises(InputError, match="cannot be reached"):
        search(SourceOptions(catalog=f"http://127.0.0.1:{free_port()}/", collection="a"), "optical", FIELD, *YEAR)
    with pytest.raises(InputError, match="no such file"):
        search(SourceOptions(catalog="nowhere/items.ndjson", collection="a"), "optical", FIELD, *YEAR)
    assert time.perf_counter() - began < 60, "not after minutes of retries"


@pytest.mark.parametrize(
    ("href", "catalog", "hosts", "words"),
    [
        ("https://a.example/x.tif", "https://stac.example", None, None),
        ("s3://bucket/x.tif", "https://stac.example", None, None),
        ("s3://bucket/x.tif", "s3://bucket/items.ndjson", None, None),
        ("/data/x.tif", "/data/items.ndjson", None, None),
        ("http://127.0.0.1:9/x.tif", "/data/items.ndjson", None, None),
        ("https://x.blob.core.windows.net/y", "https://stac.example", ("*.blob.core.windows.net",), None),
        ("https://stac.example/y", "https://stac.example", ("other.example",), None),
        ("https://a.example/x.tif", "https://stac.example", ("b.example",), "b.example"),
        ("s3://bucket/x.tif", "https://stac.example", ("b.example",), "link to bucket"),
        ("https://b.example@evil.example/x", "https://stac.example", ("b.example",), "evil.example"),
        ("http://a.example/x.tif", "https://stac.example", None, "without TLS"),
        ("http://127.0.0.1:9/x.tif", "https://stac.example", None, "points at this machine"),
        ("/data/x.tif", "s3://bucket/items.ndjson", None, "local file"),
        ("/data/x.tif", "http://127.0.0.1:9/", None, "local file"),
        ("ftp://a.example/x.tif", "https://stac.example", None, "scheme ftp"),
        ("/vsicurl/http://a.example/x.tif", "/data/items.ndjson", None, "virtual"),
        ("http://127.0.0.1\\@evil.example/x", "/data/items.ndjson", None, "backslash"),
    ],
)
def test_links_lead_only_where_they_may(
    href: str, catalog: str, hosts: tuple[str, ...] | None, words: str | None
) -> None:
    trust = Trust(catalog, hosts)
    if words is None:
        check_link(href, trust, "here")
        return
    with pytest.raises(InputError, match=words) as caught:
        check_link(href, trust, "here")
    assert caught.value.place == "here" and caught.value.remedy


def test_relative_links_are_seen_from_their_document() -> None:
    assert absolute("b/x.tif", "/data/items.ndjson") == "/data/b/x.tif"
    assert absolute("../x.tif", "/data/a/items.ndjson") == "/data/x.tif"
    assert absolute("b/x.tif", "https://host/a/items.ndjson") == "https://host/a/b/x.tif"
    assert absolute("../x.tif", "s3://bucket/a/items.ndjson") == "s3://bucket/x.tif"
    assert absolute("https://host/x.tif", "/data/items.ndjson") == "https://host/x.tif"
    assert absolute("file:///data/a%20b.tif", "https://host/") == "/data/a b.tif"


@pytest.mark.parametrize(
    "options",
    [
        {"catalog": "http://stac.example/v1"},
        {"catalog": ""},
        {"collection": ""},
        {"max_cloud": 101},
        {"max_cloud": -1},
        {"assets": {"swir16": "swir1"}},
        {"sign": "http://signer.example/token"},
        {"sign": "somebody"},
        {"clouds": 10},
    ],
)
def test_wrong_source_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SourceOptions(**{"catalog": "https://stac.example", "collection": "sentinel-2-l2a", **options})
