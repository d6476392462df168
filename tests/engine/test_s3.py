"""Where S3 is, and as whom it is asked: one answer for obstore, s3fs and GDAL."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile

from engine.errors import InputError
from engine.objects import Objects, filesystem
from engine.s3 import gdal_options, gdal_session, known_settings, s3_settings
from tests.servers.s3 import S3

CONFIG = """[profile farm]
region = eu-north-1
services = ours
[services ours]
s3 =
  endpoint_url = {endpoint}
"""
CREDENTIALS = """[farm]
aws_access_key_id = {key}
aws_secret_access_key = {secret}
"""


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment that says nothing of S3, and a folder for configuration files."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


def write_profile(folder: Path, endpoint: str, key: str = "A", secret: str = "B") -> None:
    (folder / "config").write_text(CONFIG.format(endpoint=endpoint))
    (folder / "credentials").write_text(CREDENTIALS.format(key=key, secret=secret))


def test_without_a_word_it_is_amazons_and_nobody_is_known(nobody: Path) -> None:
    settings = s3_settings()
    assert (settings.endpoint, settings.credentials, settings.unsigned) == (None, None, False)
    with pytest.raises(InputError, match="no credentials for S3 were found") as error:
        Objects("s3://somewhere/below").find("key")
    assert "AWS_NO_SIGN_REQUEST" in error.value.remedy and error.value.place == "s3://somewhere/below"


def test_a_profile_says_where_and_as_whom(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_profile(nobody, "http://127.0.0.1:9/")
    monkeypatch.setenv("AWS_PROFILE", "farm")
    settings = known_settings("here")
    assert (settings.endpoint, settings.region) == ("http://127.0.0.1:9", "eu-north-1")
    assert settings.credentials is not None and settings.credentials.get_frozen_credentials().access_key == "A"


def test_the_services_own_variable_counts_before_the_common_one_and_the_file(
    nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_profile(nobody, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_PROFILE", "farm")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:10")
    assert s3_settings().endpoint == "http://127.0.0.1:10"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://127.0.0.1:11/")
    assert s3_settings().endpoint == "https://127.0.0.1:11" and not s3_settings().plain_http


def test_a_file_that_changes_is_read_again(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_profile(nobody, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_PROFILE", "farm")
    assert s3_settings().endpoint == "http://127.0.0.1:9"
    write_profile(nobody, "http://127.0.0.1:100")
    assert s3_settings().endpoint == "http://127.0.0.1:100"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("AWS_PROFILE", "nope", "nope"), ("AWS_ENDPOINT_URL", "not an address", "no address"),
     ("AWS_ENDPOINT_URL_S3", "ftp://127.0.0.1", "no address")],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(
    nobody: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=told):
        s3_settings()


def test_a_profile_alone_serves_obstore_s3fs_and_gdal_alike(
    nobody: Path, monkeypatch: pytest.MonkeyPatch, s3: S3, bucket: str
) -> None:
    write_profile(nobody, s3.endpoint, s3.access_key, s3.secret_key)
    monkeypatch.setenv("AWS_PROFILE", "farm")
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", width=8, height=8, count=1, dtype="uint8", crs="EPSG:32631",
                         transform=rasterio.Affine(10, 0, 0, 0, -10, 0)) as raster:  # fmt: skip
            raster.write(np.full((8, 8), 7, np.uint8), 1)
        data = bytes(memory.getbuffer())
    Objects(f"s3://{bucket}").put("a.tif", data)
    fs, path = filesystem(f"s3://{bucket}/a.tif")
    assert fs.cat_file(path) == data
    settings = s3_settings()
    with (
        rasterio.Env(session=gdal_session(settings), **gdal_options(settings)),
        rasterio.open(f"/vsis3/{bucket}/a.tif") as raster,
    ):
        assert (raster.read(1) == 7).all()
