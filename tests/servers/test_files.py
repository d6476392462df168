"""Files over HTTP: ranges through the fault proxy, links that expire, tokens that are checked and refreshed."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import rasterio

from tests.servers.faults import Fault, fault_proxy
from tests.servers.files import file_server
from tests.servers.process import DIRECT, call_json


def status(url: str) -> int:
    try:
        with DIRECT.open(urllib.request.Request(url), timeout=10) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_gdal_reads_ranges_through_the_proxy_and_its_retries_survive(image: Path) -> None:
    throttled = Fault("slow_down", share=1.0, times=1, path="image")
    with file_server(image) as files, fault_proxy(files.url, throttled, seed=3) as proxy:
        retries = {"GDAL_HTTP_MAX_RETRY": "5", "GDAL_HTTP_RETRY_DELAY": "0.05", "CPL_VSIL_CURL_CHUNK_SIZE": "65536"}
        gdal = rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", **retries)
        with gdal, rasterio.open(f"{proxy.url}/image.tif") as there:
            values = there.read()
        counts = proxy.counts()
    with rasterio.open(image / "image.tif") as here:
        np.testing.assert_array_equal(here.read(), values)
    assert counts["slow_down"] >= 1
    assert counts["passed"] >= 3


def test_links_expire_at_the_proxy_after_their_uses_and_other_paths_can_be_missing(image: Path) -> None:
    with file_server(image) as files, fault_proxy(files.url) as proxy:
        proxy.set(Fault("expired", uses=2), Fault("not_found", path="^/gone"))
        link = f"{proxy.url}/image.tif?token=a"
        assert [status(link) for _ in range(4)] == [200, 200, 403, 403]
        assert status(f"{proxy.url}/image.tif?token=b") == 200
        assert status(f"{proxy.url}/image.tif") == 200
        assert status(f"{proxy.url}/gone.tif") == 404
        proxy.set(Fault("expired", age_s=0.3))
        assert status(f"{proxy.url}/image.tif?se=c") == 200
        time.sleep(0.35)
        assert status(f"{proxy.url}/image.tif?se=c") == 403
        assert proxy.counts() == {"expired": 3, "not_found": 1, "passed": 5}


def test_signed_links_are_checked_refreshed_and_run_out(image: Path) -> None:
    with file_server(image, token_seconds=1) as files:
        url = f"{files.url}/image.tif"
        granted = call_json(f"{files.token_url}/sentinel-2-l2a")
        assert set(granted) == {"token", "msft:expiry"}
        assert status(url) == 403
        assert status(f"{url}?{granted['token']}") == 200
        assert status(f"{url}?{granted['token'][:-1]}") == 403
        files.expire_tokens()
        assert status(f"{url}?{granted['token']}") == 403
        fresh = call_json(f"{files.token_url}/sentinel-2-l2a")["token"]
        assert status(f"{url}?{fresh}") == 200
        time.sleep(2.1)
        assert status(f"{url}?{fresh}") == 403
        assert files.counts() == {"token": 2, "served": 2, "refused": 4}


def test_files_outside_the_root_are_not_served(image: Path) -> None:
    (image / "inner").mkdir()
    with file_server(image / "inner") as files:
        assert status(f"{files.url}/..%2Fimage.tif") == 404
