"""GDAL's settings for reading rasters, and the patience to try again where that may help.

What is missing or damaged, what is refused, and what may pass are told apart by GDAL's own words.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import rasterio
from rasterio.errors import RasterioError

from engine.environment import refuse_broken
from engine.errors import InfrastructureError, InputError, TileError
from engine.s3 import gdal_options, gdal_session, known_settings
from engine.signing import Links

T = TypeVar("T")

_TRIES, _TRIES_DAMAGED = 4, 6
"""Half of a body and half of a file look alike, and only the first passes: what seems damaged is tried longer. So is
what seems to have no geotransform: GDAL opens half of a header without a word."""
_MISSING = re.compile(r"code: 404|specified (key|bucket) does not exist|NoSuch(Key|Bucket)|No such file or directory")
_REFUSED = re.compile(r"code: 40[13]|Access ?Denied|Forbidden|InvalidAccessKeyId|SignatureDoesNotMatch|Credentials")
_PASSING = re.compile(
    r"code: (408|429|5\d\d)|CURL error|[Cc]onnection|[Tt]ime(d )?out|resolve host|request rate|SlowDown|InternalError"
    r"|does not exist in the file system"  # GDAL's word for an S3 object whose HEAD got no answer; a 404 says so
)


def gdal_settings() -> dict[str, Any]:
    """GDAL's configuration for reading scenes, set once, here; for objects on S3 ``engine.s3`` has more."""
    settings: dict[str, Any] = {
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_HTTP_MULTIPLEX": "YES",
        "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
        "GDAL_HTTP_MAX_RETRY": 4,
        "GDAL_HTTP_RETRY_DELAY": 0.3,
        "GDAL_HTTP_TIMEOUT": 60,
        "GDAL_HTTP_CONNECTTIMEOUT": 10,
        "GDAL_INGESTED_BYTES_AT_OPEN": 32768,
        "GDAL_CACHEMAX": 64,
        "VSI_CACHE": False,
    }
    return settings


def patiently(
    href: str, place: str, read: Callable[[str], T], *, links: Links | None = None, sign: str | None = None
) -> T:
    """What ``read`` gives of the raster at ``href``, tried again while that may help; it is called with GDAL's path.

    Raises TileError for what is missing or damaged, InputError for a link that is refused, InfrastructureError for what
    may pass; all name ``place``.
    """
    links, refused = links or Links(), False
    for attempt in range(_TRIES_DAMAGED):
        path = links.open_path(href, sign, renew=refused)
        # After a failure, what GDAL remembers of the file may be the damaged half.
        extra: dict[str, Any] = {"CPL_VSIL_CURL_NON_CACHED": "/vsis3/:/vsicurl/"} if attempt else {}
        if not path.startswith("/vsi"):
            extra["GDAL_DISABLE_READDIR_ON_OPEN"] = "TRUE"  # no listing, but masks and headers beside a file are seen
        if path.startswith("/vsis3/"):
            s3 = known_settings(place)
            extra |= {"session": gdal_session(s3), **gdal_options(s3)}
        try:
            with rasterio.Env(**(gdal_settings() | extra)):
                return read(path)
        except (RasterioError, OSError, ValueError) as error:
            text = _whole_text(error, path, href)
            told = _tell(text, place, definite="://" not in href, tries=attempt + 1)
            if told is not None:
                if isinstance(told, TileError):
                    refuse_broken(place)  # where nothing can be read, no scene is to blame
                raise told from error
            refused = _REFUSED.search(text) is not None
            time.sleep(random.uniform(0.5, 1.0) * min(0.3 * 2**attempt, 2.0))
    raise AssertionError("the last attempt returns or raises")


def _whole_text(error: BaseException, path: str, href: str) -> str:
    """The error and its causes in words, without the file's own name: names hold digits that look like HTTP codes."""
    words, cause = [], error.__cause__
    words.append(str(error) or type(error).__name__)
    while cause is not None:
        words.append(str(cause))
        cause = cause.__cause__
    text = "; ".join(dict.fromkeys(words))
    for name in (path, href, href.rsplit("/", 1)[-1]):
        text = text.replace(name, "the file")
    return text


_AGAIN = (
    "mend the scene, then tiles --retry and resume; or do without it: inputs.*.damaged: leave_out, or its id under "
    "inputs.*.exclude, then submit"
)


def _tell(text: str, place: str, definite: bool, tries: int) -> Exception | None:
    """The error to raise, or None to try again."""
    if _MISSING.search(text) and not _PASSING.search(text):
        return TileError(f"not found: {text}", place=place, remedy=_AGAIN)
    if not definite and _REFUSED.search(text):
        remedy = "check the credentials or the signing service, then tiles --retry and resume"
        # Not the tile's fault: where the first tiles all meet it, the run ends.
        return InputError(f"refused: {text}", place=place, remedy=remedy) if tries >= _TRIES else None
    if not definite and _PASSING.search(text):
        return InfrastructureError(text, place=place, remedy="the run tries again") if tries >= _TRIES else None
    if not definite and tries < _TRIES_DAMAGED:
        return None
    return TileError(
        f"cannot be read, truncated or damaged: {text}",
        expected="a georeferenced raster GDAL can decode",
        place=place,
        remedy=_AGAIN,
    )
