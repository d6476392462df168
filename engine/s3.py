"""One answer to where S3 is and as whom it is asked, for every client: s3fs, obstore and GDAL.

botocore resolves it as it does for every AWS tool: variables of the environment (``AWS_ENDPOINT_URL_S3`` before
``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_ACCESS_KEY_ID`` ...), the profile that ``AWS_PROFILE`` names, files of
configuration and credentials, a web identity, the role of a machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import urlsplit

from engine.errors import InputError

_DECIDE = ("AWS_", "BOTO_")
"""How the variables begin that decide where S3 is and as whom it is asked."""
_FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
_DEFAULT_FILES = ("~/.aws/config", "~/.aws/credentials")
_YES = ("1", "true", "yes", "on")


class Credentials(Protocol):
    """botocore's credentials: ``get_frozen_credentials`` fetches new ones where they run out."""

    def get_frozen_credentials(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Where S3 is and as whom it is asked."""

    endpoint: str | None
    """Address of a store other than Amazon's; None: Amazon's own."""
    region: str
    credentials: Credentials | None
    """None: none were found."""
    unsigned: bool
    """Requests are not signed (``AWS_NO_SIGN_REQUEST``), for buckets that everybody may read."""
    virtual_host: bool | None
    """Whether the bucket stands in the host's name rather than in the path; None: as each client does by itself."""
    source: str
    """What the credentials were found by, in botocore's words, such as ``env`` or ``shared-credentials-file``."""

    @property
    def plain_http(self) -> bool:
        """Whether the endpoint is asked without TLS."""
        return bool(self.endpoint and self.endpoint.startswith("http://"))


def s3_settings() -> S3Settings:
    """The settings of this process' environment; InputError where they contradict themselves or name no profile."""
    files = [os.environ.get(name) or default for name, default in zip(_FILES, _DEFAULT_FILES, strict=True)]
    stamps = tuple(_stamp(os.path.expanduser(path)) for path in files)
    decided = tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith(_DECIDE)))
    return _resolved(decided, stamps)


def known_settings(place: str) -> S3Settings:
    """The settings, for what must be asked as somebody; InputError naming ``place`` where no credentials are found."""
    settings = s3_settings()
    if settings.credentials is None and not settings.unsigned:
        raise InputError(
            "no credentials for S3 were found",
            expected="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile (AWS_PROFILE), or the role of a cloud's "
            "machine",
            place=place,
            remedy="set them, and AWS_REGION or AWS_ENDPOINT_URL as the store asks; AWS_NO_SIGN_REQUEST=YES for a "
            "bucket that everybody may read",
        )
    return settings


@lru_cache(maxsize=4)
def _resolved(decided: tuple[tuple[str, str], ...], stamps: tuple[tuple[int, int] | None, ...]) -> S3Settings:
    from botocore.configprovider import ConfiguredEndpointProvider
    from botocore.exceptions import BotoCoreError, ProfileNotFound
    from botocore.session import Session

    environment = dict(decided)
    try:
        session = Session()
        region = session.get_config_variable("region") or environment.get("AWS_REGION") or "us-east-1"
        own = session.get_scoped_config()
        url = ConfiguredEndpointProvider(session.full_config, own, "s3").provide()
        unsigned = environment.get("AWS_NO_SIGN_REQUEST", "").lower() in _YES
        credentials = None if unsigned else session.get_credentials()
        addressing = (own.get("s3") or {}).get("addressing_style", "auto")
    except ProfileNotFound as error:
        raise InputError(
            str(error), expected="a profile of ~/.aws/config or ~/.aws/credentials", place="AWS_PROFILE",
            remedy="mend the name, or unset AWS_PROFILE",
        ) from error  # fmt: skip
    except (BotoCoreError, ValueError) as error:
        raise InputError(
            f"the settings of S3 cannot be used: {error}",
            expected="a region, an address and credentials that fit",
            place="the environment and ~/.aws/config",
            remedy="mend AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or AWS_REGION",
        ) from error
    endpoint = str(url).rstrip("/") if url else None
    parts = urlsplit(endpoint or "https://s3.amazonaws.com")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(
            f"{endpoint!r} is no address", expected="https://s3.example.org", place="the endpoint of S3",
            remedy="mend AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or endpoint_url in ~/.aws/config",
        )  # fmt: skip
    return S3Settings(
        endpoint=endpoint,
        region=region,
        credentials=credentials,
        unsigned=unsigned,
        virtual_host=None if addressing == "auto" else addressing == "virtual",
        source="unsigned" if unsigned else str(getattr(credentials, "method", "nowhere")),
    )


def obstore_options(settings: S3Settings) -> dict[str, Any]:
    """Keyword arguments of obstore's ``S3Store.from_url``."""
    config: dict[str, Any] = {"region": settings.region, "skip_signature": settings.unsigned}
    if settings.virtual_host is not None:
        config["virtual_hosted_style_request"] = settings.virtual_host
    if settings.endpoint:
        config["endpoint"] = settings.endpoint
    options: dict[str, Any] = {"config": config, "client_options": {"allow_http": settings.plain_http}}
    if settings.credentials is not None:
        options["credential_provider"] = _Provider(settings.credentials)
    return options


def s3fs_options(settings: S3Settings) -> dict[str, Any]:
    """Storage options of fsspec's ``s3`` filesystem."""
    options: dict[str, Any] = {"client_kwargs": {"region_name": settings.region}, "anon": settings.unsigned}
    options["config_kwargs"] = {"connect_timeout": 5, "read_timeout": 30}
    if settings.virtual_host is not None:
        options["config_kwargs"]["s3"] = {"addressing_style": "virtual" if settings.virtual_host else "path"}
    if settings.endpoint:
        options["endpoint_url"] = settings.endpoint
    return options


def gdal_options(settings: S3Settings) -> dict[str, Any]:
    """GDAL's configuration for ``/vsis3/``, without the credentials, which ``gdal_session`` brings."""
    options: dict[str, Any] = {"AWS_VIRTUAL_HOSTING": settings.virtual_host or not settings.endpoint}
    if settings.endpoint:
        options["AWS_S3_ENDPOINT"] = settings.endpoint.split("://", 1)[-1]
        options["AWS_HTTPS"] = "NO" if settings.plain_http else "YES"
    return options


def gdal_session(settings: S3Settings) -> Any:
    """The session for ``rasterio.Env``: rasterio takes keys by no other way. Fetched anew where they run out."""
    from rasterio.session import AWSSession, DummySession

    if settings.unsigned:
        return AWSSession(aws_unsigned=True, region_name=settings.region)
    if settings.credentials is None:
        return DummySession()
    return AWSSession(session=_Holder(settings.credentials, settings.region), aws_unsigned=False)


@dataclass(frozen=True, slots=True)
class _Holder:
    """What rasterio asks a session of boto3 for."""

    credentials: Credentials
    region_name: str

    def get_credentials(self) -> Credentials:
        return self.credentials


@dataclass(frozen=True, slots=True)
class _Provider:
    """obstore asks it for keys before they run out."""

    credentials: Credentials

    def __call__(self) -> dict[str, Any]:
        frozen = self.credentials.get_frozen_credentials()
        until: datetime | None = getattr(self.credentials, "_expiry_time", None)
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": until,
        }


def _stamp(path: str) -> tuple[int, int] | None:
    """What changes when a configuration file does."""
    try:
        told = os.stat(path)
    except OSError:
        return None
    return told.st_size, told.st_mtime_ns
