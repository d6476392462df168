"""One folder of object storage, on S3 or on a local disk, through the same few verbs.

Chunks and commits go through obstore: it is faster than fsspec on small objects and its create-only PUT is a true
``If-None-Match: *``. On a local disk the same verbs are a temporary file and a hard link.
"""

from __future__ import annotations

import os
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import fsspec
import obstore
from obstore.exceptions import AlreadyExistsError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, ObjectStore, S3Store

from engine.errors import InfrastructureError, InputError
from engine.s3 import S3Settings, known_settings, obstore_options, s3fs_options
from engine.types import digest

T = TypeVar("T")

_PARALLEL = 16
_CLOUDS = ("AZURE_", "GOOGLE_", "GCS_")
"""How the variables begin that decide which store is asked, and as whom."""
_PER_DELETE = 1000
_TEMPORARY = re.compile(r".+#\d+")
_TRIES = 8
_RETRY: Any = {"max_retries": 8, "retry_timeout": timedelta(seconds=120)}


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: ``key`` relative to the folder, ``size`` in bytes, ``modified`` in the store's own clock (UTC)."""

    key: str
    size: int
    modified: datetime


class Objects:
    """The objects below ``uri`` (``s3://bucket/prefix`` or a local path). Pickles as its URI.

    Credentials, endpoint and region are found as every AWS tool finds them (``engine.s3``), never in the URI.
    """

    def __init__(self, uri: str) -> None:
        self.uri = absolute(uri)
        self.requests = 0
        self.bytes_out = 0
        self.bytes_in = 0
        self._store = _open(self.uri) if "://" in self.uri else None

    def __reduce__(self) -> tuple:
        return Objects, (self.uri,)

    def child(self, *parts: str) -> Objects:
        """The folder below this one."""
        return Objects("/".join([self.uri, *parts]))

    def url(self, key: str) -> str:
        """Full URI of one object."""
        return f"{self.uri}/{key}"

    @property
    def obstore(self) -> ObjectStore:
        """The store itself, to be written to; a local folder is made."""
        self._store = self._store or _open(self.uri)
        return self._store

    def _is_unmade(self) -> bool:
        """Whether this is a local folder that nobody has written to yet: looking must leave no trace."""
        return self._store is None and "://" not in self.uri and not Path(self.uri).exists()

    def put(self, key: str, data: bytes) -> None:
        """Write an object in one PUT, replacing what was there."""
        self._put(key, data, "overwrite")

    def put_new(self, key: str, data: bytes) -> bool:
        """Write an object only if there is none; False when somebody was first, with other bytes.

        The client below does not repeat a create-only PUT whose answer was lost: it cannot know whether it was done.
        We can, because what lies there then has our bytes.
        """
        try:
            self._patiently(lambda: self._put(key, data, "create"))
        except FileExistsError:
            return self.find(key) == data
        return True

    def get(self, key: str) -> bytes:
        """The object's bytes; FileNotFoundError when there is none."""
        return self._patiently(lambda: self._get(key))

    def get_many(self, keys: list[str]) -> list[bytes]:
        """The bytes of several objects, fetched side by side, in the order asked."""
        if len(keys) < 2:
            return [self.get(key) for key in keys]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            return list(pool.map(self.get, keys))

    def find(self, key: str) -> bytes | None:
        """The object's bytes, or None when there is none."""
        try:
            return self.get(key)
        except FileNotFoundError:
            return None

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Every object below a folder-like prefix."""
        yield from self._patiently(lambda: self._list(prefix))

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those already gone are no error."""
        doomed = [] if self._is_unmade() else list(keys)
        if len(doomed) < 2:
            for key in doomed:
                self._delete(key)
        elif not self._delete_at_once(doomed):
            with ThreadPoolExecutor(_PARALLEL) as pool:
                list(pool.map(self._delete, doomed))

    def sweep(self) -> None:
        """On a disk: remove the temporary files that puts cut short by a kill left behind; a store keeps none.

        For one who knows that nobody is writing here. What lies below a folder whose name begins with ``_`` (a ledger,
        its lease) stays. The client below names them OBJECT#NUMBER and does not list them.
        """
        root = Path(self.uri)
        for path in root.rglob("*#*") if "://" not in self.uri else ():
            noted = any(part.startswith("_") for part in path.relative_to(root).parts)
            if _TEMPORARY.fullmatch(path.name) and not noted:
                path.unlink(missing_ok=True)

    def _patiently(self, do: Callable[[], T]) -> T:
        """``do`` again after a fault that the client below lets through: a body cut short, or a lost answer."""
        until = time.monotonic() + _RETRY["retry_timeout"].total_seconds()
        for attempt in range(_TRIES):
            try:
                return do()
            except InfrastructureError:
                if attempt == _TRIES - 1 or time.monotonic() > until:
                    raise
                time.sleep(random.uniform(0.5, 1.0) * 0.1 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _get(self, key: str) -> bytes:
        self.requests += 1
        if self._is_unmade():
            raise FileNotFoundError(self.url(key))
        store = self.obstore
        try:
            data = bytes(obstore.get(store, key).bytes())
        except FileNotFoundError:
            raise FileNotFoundError(self.url(key)) from None
        except Exception as error:
            raise self._told(error, key) from error
        self.bytes_in += len(data)
        return data

    def _list(self, prefix: str) -> list[Entry]:
        self.requests += 1
        if self._is_unmade():
            return []
        store = self.obstore
        try:
            return [
                Entry(meta["path"], meta["size"], meta["last_modified"])
                for page in obstore.list(store, prefix or None, chunk_size=1000)
                for meta in page
            ]
        except Exception as error:
            raise self._told(error, prefix) from error

    def _delete_at_once(self, keys: list[str]) -> bool:
        """A thousand keys a request (measured on moto: 0.1 s instead of 5 s); False where any may be left."""
        self.requests += -(-len(keys) // _PER_DELETE)
        try:
            obstore.delete(self.obstore, keys)
        except Exception:  # a key that is gone from a disk, a store that cannot: one by one they tell what it is
            return False
        return True

    def _delete(self, key: str) -> None:
        self.requests += 1
        try:
            obstore.delete(self.obstore, key)
        except FileNotFoundError:
            return
        except Exception as error:
            raise self._told(error, key) from error

    def _put(self, key: str, data: bytes, mode: Literal["create", "overwrite"]) -> None:
        self.requests += 1
        store = self.obstore
        try:
            obstore.put(store, key, data, mode=mode, use_multipart=False)
        except AlreadyExistsError as error:
            raise FileExistsError(self.url(key)) from error
        except Exception as error:
            raise self._told(error, key) from error
        self.bytes_out += len(data)

    def _told(self, error: Exception, key: str) -> Exception:
        """Tell a refusal, which a person must mend, from a fault, which passes."""
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError | NotADirectoryError):
            return InputError(
                f"the store refuses: {first}",
                place=self.url(key),
                remedy="check the credentials in the environment and the bucket's policy, or name another uri",
            )
        if "NoSuchBucket" in str(error) or "bucket does not exist" in str(error):
            return InputError("no such bucket", place=self.url(key), remedy="create it first, or mend the name")
        return InfrastructureError(f"{type(error).__name__}: {first}", place=self.url(key))


def filesystem(uri: str) -> tuple[Any, str]:
    """fsspec's filesystem for a file or folder that a person or a catalogue named, and its path there.

    One for each store and environment, its listings forgotten. fsspec's own cache keeps the process' first endpoint and
    keys; without any, s3fs closes a collected instance in whatever event loop runs just then, and asyncio complains.
    """
    parts = urlsplit(uri)
    store = parts._replace(path="/", query="", fragment="").geturl() if parts.netloc and parts.scheme != "file" else ""
    if parts.scheme in ("s3", "s3a"):
        fs = _s3(known_settings(uri))
    else:
        environment = tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith(_CLOUDS)))
        fs = _filesystem(store, environment) if store else fsspec.filesystem("file")
    fs.invalidate_cache()
    return fs, str(fs._strip_protocol(uri))


@contextmanager
def local_file(uri: str) -> Iterator[str]:
    """Path of the file itself, or of a copy for as long as it is read: GDAL wants a name with the right ending."""
    if "://" not in uri and Path(uri).exists():
        yield uri
        return
    fs, name = filesystem(uri)
    with tempfile.NamedTemporaryFile(suffix=PurePosixPath(urlsplit(uri).path).suffix.lower()) as copy:
        fs.get_file(name, copy.name)
        yield copy.name


@cache
def _s3(settings: S3Settings) -> Any:
    return fsspec.filesystem("s3", skip_instance_cache=True, **s3fs_options(settings))


@cache
def _filesystem(store: str, environment: tuple[tuple[str, str], ...]) -> Any:
    return fsspec.core.url_to_fs(store, skip_instance_cache=True)[0]


def file_digest(uri: str) -> str:
    """What changes when a file that a person named does: size with time of change, or the store's own checksum."""
    try:
        fs, path = filesystem(uri)
        info = fs.info(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", place=uri, remedy="check the uri") from error
    stamp = [str(info.get(name)) for name in ("size", "mtime", "ETag", "LastModified")]
    return digest([uri, *stamp])


def absolute(uri: str) -> str:
    """A URI without a trailing slash; local paths made absolute, ``file://`` dropped."""
    if uri.startswith("file://"):
        uri = uri.removeprefix("file://")
    if "://" in uri:
        return uri.rstrip("/")
    return str(Path(uri).expanduser().absolute())


def _open(uri: str) -> ObjectStore:
    if uri.startswith("s3://"):
        return S3Store.from_url(uri, **obstore_options(known_settings(uri)), retry_config=_RETRY)
    if "://" in uri:
        raise InputError(
            f"cannot keep objects in {uri!r}", expected="a local path or s3://bucket/prefix", remedy="use one of them"
        )
    try:
        return LocalStore(uri, mkdir=True)
    except Exception as error:
        raise InputError(f"cannot write there: {error}", place=uri, remedy="choose a folder you may write") from error
