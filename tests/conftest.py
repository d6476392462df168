"""Fixtures shared by the whole suite: the repository's root, real data beside it, and a real S3 server on loopback."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.servers.moto import moto
from tests.servers.process import REPO_ROOT
from tests.servers.rays import settle_environment
from tests.servers.s3 import S3

settle_environment()  # before any test module imports ray
# The same examples for everybody; others, drawn anew each time, with --hypothesis-profile=default.
settings.register_profile("steady", derandomize=True)
settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # Begun in the background of a shell; the commands that tests start would inherit it and not heed Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line(
        "markers", "ceph: starts Ceph's gateway from Debian packages; skipped where they are not to be had"
    )
    config.addinivalue_line(
        "markers", "pgstac: starts PostgreSQL with pgstac; skipped where its packages are not to be had"
    )


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The folder that holds pyproject.toml."""
    return REPO_ROOT


@pytest.fixture(scope="session")
def flanders(repo_root: Path) -> Path:
    """Folder of the real fused scenes (read-only), or a skip where it is absent."""
    folder = (repo_root / ".." / "shared" / "data" / "flanders-2018").resolve()
    if not (folder / "items.ndjson").exists():
        pytest.skip(f"real data is not beside the repository: {folder} has no items.ndjson")
    return folder


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """moto's S3 server, one for the session; take ``bucket`` for a place of your own in it."""
    with moto(tmp_path_factory.mktemp("moto") / "moto.log") as server:
        yield server


@pytest.fixture
def bucket(s3: S3) -> str:
    """Name of a fresh, empty bucket."""
    return s3.make_bucket(f"test-{secrets.token_hex(6)}")
