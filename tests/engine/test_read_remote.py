"""Scenes behind HTTP, signed links and S3: what passes is survived, what does not is told apart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import engine.fetch
from engine.errors import InfrastructureError, InputError, TileError
from engine.read import SceneReader
from engine.signing import Links
from engine.types import Window
from tests.engine.made_scenes import made_grid, made_item, write_raster
from tests.servers.faults import Fault, FaultProxy, fault_proxy
from tests.servers.files import FileServer, file_server
from tests.servers.s3 import S3

WHOLE = Window(0, 600, 0, 600)
NAMES = [f"s2_20180404_{i}.tif" for i in range(12)]
"""GDAL remembers what it has fetched, so every test takes a scene of its own."""


@pytest.fixture(scope="module")
def scene() -> NDArray[np.uint16]:
    return np.random.default_rng(4).integers(1, 60_000, (600, 600), dtype=np.uint16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, scene: NDArray[np.uint16]) -> Path:
    """The scene under many names, and half of it."""
    root = tmp_path_factory.mktemp("scenes")
    data = write_raster(root / "first.tif", scene).read_bytes()
    for name in NAMES:
        (root / name).write_bytes(data)
    (root / "torn.tif").write_bytes(data[: len(data) // 2])
    return root


@pytest.fixture(scope="module")
def http(folder: Path) -> Iterator[FileServer]:
    with file_server(folder) as server:
        yield server


@pytest.fixture(scope="module")
def http_proxy(http: FileServer) -> Iterator[FaultProxy]:
    with fault_proxy(http.url, seed=3) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def stored(s3: S3, folder: Path) -> str:
    """Address of the scenes on a real S3 server."""
    bucket = s3.make_bucket("scenes-of-test-read")
    s3.upload_tree(folder, bucket, "deep")
    return f"s3://{bucket}/deep"


@pytest.fixture(scope="module")
def s3_proxy(s3: S3) -> Iterator[FaultProxy]:
    with fault_proxy(s3.endpoint, seed=3) as proxy:
        yield proxy


@pytest.fixture
def at_s3(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment by which the server is reached without the proxy."""
    for name, value in s3.env().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def at_proxy(s3: S3, s3_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> FaultProxy:
    """The environment by which the server is reached through the proxy."""
    for name, value in s3.at(s3_proxy.url).env().items():
        monkeypatch.setenv(name, value)
    return s3_proxy


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """GDAL's own retries without their long pauses."""
    settings = engine.fetch.gdal_settings
    monkeypatch.setattr(engine.fetch, "gdal_settings", lambda: settings() | {"GDAL_HTTP_MAX_RETRY": 0})


def see(href: str, window: Window = WHOLE, sign: str | None = None) -> NDArray:
    patch = SceneReader(made_grid(600, 600, 256))(made_item({"blue": href}, sign=sign), "blue", window)
    assert patch is not None
    return patch.on_grid(patch.values, 0)


def refused(href: str, kind: type[Exception], sign: str | None = None) -> str:
    with pytest.raises(kind) as error:
        see(href, sign=sign)
    assert f"item optical-001, asset blue ({href})" in str(error.value)
    return str(error.value)


def test_a_scene_is_read_over_http_and_from_s3(
    http: FileServer, stored: str, at_s3: None, scene: NDArray[np.uint16]
) -> None:
    np.testing.assert_array_equal(see(f"{http.url}/{NAMES[0]}"), scene)
    np.testing.assert_array_equal(see(f"{stored}/{NAMES[0]}"), scene)
    np.testing.assert_array_equal(see(f"{stored}/{NAMES[0]}", Window(300, 310, 500, 520)), scene[300:310, 500:520])


@pytest.mark.parametrize("kind", ["slow_down", "half_body", "cut"])
def test_a_fault_that_passes_costs_no_pixel(
    kind: str, http_proxy: FaultProxy, stored: str, at_proxy: FaultProxy, scene: NDArray[np.uint16]
) -> None:
    name = NAMES[1 + ["slow_down", "half_body", "cut"].index(kind)]
    for proxy, href in ((http_proxy, f"{http_proxy.url}/{name}"), (at_proxy, f"{stored}/{name}")):
        before = proxy.counts()[kind]
        with proxy.during(Fault(kind, times=1)):  # type: ignore[arg-type]
            np.testing.assert_array_equal(see(href), scene)
        assert proxy.counts()[kind] > before


@pytest.mark.parametrize("kind", ["slow_down", "cut"])
def test_a_server_that_goes_on_failing_is_no_fault_of_the_scene(
    kind: str, http_proxy: FaultProxy, stored: str, at_proxy: FaultProxy, quick: None
) -> None:
    name = NAMES[4 + ["slow_down", "cut"].index(kind)]
    for proxy, href in ((http_proxy, f"{http_proxy.url}/{name}"), (at_proxy, f"{stored}/{name}")):
        with proxy.during(Fault(kind)):  # type: ignore[arg-type]
            assert "the run tries again" in refused(href, InfrastructureError)


def test_a_server_that_fails_in_the_midst_of_a_scene_is_no_fault_of_the_scene(
    http_proxy: FaultProxy, stored: str, at_proxy: FaultProxy, quick: None, scene: NDArray[np.uint16]
) -> None:
    for proxy, href in ((http_proxy, f"{http_proxy.url}/{NAMES[6]}"), (at_proxy, f"{stored}/{NAMES[6]}")):
        np.testing.assert_array_equal(see(href, Window(0, 9, 0, 9)), scene[:9, :9])  # the header is remembered
        with proxy.during(Fault("slow_down")):
            refused(href, InfrastructureError)
        np.testing.assert_array_equal(see(href), scene)


def test_a_truncated_scene_is_called_damaged_behind_http_and_s3_too(http: FileServer, stored: str, at_s3: None) -> None:
    for href in (f"{http.url}/torn.tif", f"{stored}/torn.tif"):
        assert "truncated or damaged" in refused(href, TileError)


def test_a_scene_that_is_not_there_is_named_at_once(http: FileServer, stored: str, at_s3: None) -> None:
    before = http.counts()["missing"]
    for href in (f"{http.url}/no_20180503.tif", f"{stored}/no.tif", "s3://no-such-bucket-here/no.tif"):
        assert "not found" in refused(href, TileError)
    assert http.counts()["missing"] - before <= 2


def test_a_signed_link_is_fetched_and_its_token_used_again(folder: Path, scene: NDArray[np.uint16]) -> None:
    with file_server(folder, token_seconds=3600) as server:
        read = SceneReader(made_grid(600, 600, 256))
        for name in NAMES[:3]:
            item = made_item({"blue": f"{server.url}/{name}"}, sign=server.token_url)
            patch = read(item, "blue", WHOLE)
            assert patch is not None
            np.testing.assert_array_equal(patch.on_grid(patch.values, 0), scene)
        # One token for each first part of the path: here each scene's own name.
        assert server.counts()["token"] == 3 and server.counts()["refused"] == 0
        assert read(made_item({"blue": f"{server.url}/{NAMES[0]}"}, sign=server.token_url), "blue", WHOLE)
        assert server.counts()["token"] == 3


def test_a_link_that_expires_in_the_midst_of_a_scene_is_signed_anew(folder: Path, scene: NDArray[np.uint16]) -> None:
    with file_server(folder, token_seconds=3600) as server:
        read = SceneReader(made_grid(600, 600, 256))
        item = made_item({"blue": f"{server.url}/{NAMES[7]}"}, sign=server.token_url)
        assert read(item, "blue", Window(0, 9, 0, 9)) is not None
        server.expire_tokens()
        patch = read(item, "blue", WHOLE)
        assert patch is not None
        np.testing.assert_array_equal(patch.on_grid(patch.values, 0), scene)
        assert server.counts()["token"] == 2 and server.counts()["refused"] > 0


def test_a_link_that_nobody_signs_is_refused_with_the_remedy(folder: Path) -> None:
    with file_server(folder, token_seconds=3600) as server:
        text = refused(f"{server.url}/{NAMES[8]}", InputError)
        assert "refused" in text and "signing service" in text


def test_a_token_is_renewed_before_it_expires(folder: Path) -> None:
    with file_server(folder, token_seconds=2) as server:
        links, href = Links(), f"{server.url}/{NAMES[9]}"
        first = links.open_path(href, server.token_url)
        assert links.open_path(href, server.token_url) == first
        time.sleep(2.1)
        assert links.open_path(href, server.token_url) != first and server.counts()["token"] == 2


def test_a_signing_service_that_is_down_is_tried_again_by_the_run(http: FileServer) -> None:
    item = made_item({"blue": f"{http.url}/{NAMES[10]}"}, sign="http://127.0.0.1:9/sign")
    with pytest.raises(InfrastructureError, match="no token"):
        SceneReader(made_grid())(item, "blue", WHOLE)
