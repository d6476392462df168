"""The noun of an S3 server: where it is, with which key, and the few things every test does with one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

UPLOAD_THREADS = 8


@dataclass(frozen=True)
class S3:
    """A running S3 server and a key to it. Addressed by path (``endpoint/bucket/key``)."""

    endpoint: str
    """Such as ``http://127.0.0.1:40001``, no slash at the end."""
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"

    def env(self) -> dict[str, str]:
        """Environment by which obstore, s3fs, boto3 and GDAL all reach this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ALLOW_HTTP": "true",
            "AWS_S3_ENDPOINT": self.endpoint.split("://", 1)[1],
            "AWS_HTTPS": "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
        }

    def at(self, endpoint: str) -> S3:
        """The same server and key, reached by another address, such as a proxy's."""
        return replace(self, endpoint=endpoint)

    def client(self) -> Any:
        """A boto3 client with path addressing."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=2 * UPLOAD_THREADS),
        )

    def make_bucket(self, name: str) -> str:
        """Make a bucket and return its name (3 to 63 lower-case letters, digits, hyphens)."""
        self.client().create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """All keys under a prefix, sorted."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return sorted(entry["Key"] for page in pages for entry in page.get("Contents", ()))

    def read(self, bucket: str, key: str) -> bytes:
        """The whole object; KeyError where there is none."""
        try:
            return bytes(self.client().get_object(Bucket=bucket, Key=key)["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                raise KeyError(f"s3://{bucket}/{key}") from error
            raise

    def upload_tree(self, path: Path, bucket: str, prefix: str = "") -> list[str]:
        """Copy a folder's files into the bucket under ``prefix/`` by their relative paths; returns the keys, sorted."""
        client, start = self.client(), f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        files = {start + f.relative_to(path).as_posix(): f for f in sorted(path.rglob("*")) if f.is_file()}
        with ThreadPoolExecutor(UPLOAD_THREADS) as pool:
            list(pool.map(lambda key: client.upload_file(str(files[key]), bucket, key), files))
        return sorted(files)
