"""Reaching what a spec names: errors that name its key, addresses that answer, stores that keep what is written."""

from __future__ import annotations

import queue
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import requests
from botocore.exceptions import BotoCoreError
from pyogrio.errors import DataSourceError
from pyproj.exceptions import CRSError
from rasterio.errors import RasterioError

from engine.errors import InputError, SpecError, TilthError
from engine.objects import Objects
from engine.s3 import known_settings

CONNECT_S = 3.0
ANSWER_S = 15.0
"""A store that answers a first, empty request later than this is none to work with."""


@contextmanager
def about(place: str) -> Iterator[None]:
    """Whatever fails inside is an InputError that names ``place``, unless it names a key of the spec itself."""
    try:
        yield
    except SpecError:
        raise
    except TilthError as error:
        detail = f" ({error.place})" if error.place and error.place not in place and place not in error.place else ""
        raise InputError(
            f"{error.value}{detail}", expected=error.expected, place=place, remedy=error.remedy or "check the uri"
        ) from error
    except (OSError, ValueError, RasterioError, DataSourceError, CRSError, BotoCoreError) as error:
        raise InputError(
            f"cannot be read: {error}", place=place, remedy="check the uri, and the credentials in the environment"
        ) from error


def answers(host: str, port: int) -> bool:
    """Whether something accepts a connection there within ``CONNECT_S``."""
    try:
        with socket.create_connection((host, port), timeout=CONNECT_S):
            return True
    except OSError:
        return False


def check_address(address: str, place: str, schemes: tuple[str, ...], example: str, *, connect: bool = True) -> None:
    """SpecError for an address of another form, InputError where nothing accepts a connection."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        port = None
    if parts.scheme not in schemes or not parts.hostname or port is None:
        raise SpecError(f"{address!r} is no address", expected=example, place=place, remedy="write it so")
    if connect and not answers(parts.hostname, port):
        raise InputError(
            f"{address}: nothing answers at {parts.hostname}, port {port}",
            expected="a service that runs and can be reached from here",
            place=place,
            remedy="start it, or mend the address; tilth doctor looks closer",
        )


def check_s3(uris: Iterable[str]) -> None:
    """InputError where one of ``uris`` lies on S3 and nobody is known there, or its endpoint does not answer."""
    place = next((uri for uri in uris if uri.startswith("s3://")), None)
    settings = known_settings(place) if place else None
    if settings is None or settings.endpoint is None:
        return
    where = f"the endpoint of S3 ({settings.endpoint})"
    check_address(settings.endpoint, where, ("http", "https"), "https://s3.example.org")
    try:
        requests.get(settings.endpoint, timeout=(CONNECT_S, ANSWER_S), allow_redirects=False, stream=True).close()
    except requests.RequestException as error:
        raise InputError(
            f"what listens there does not answer as a store does: {type(error).__name__}",
            expected="a store that speaks HTTP",
            place=where,
            remedy="mend AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or endpoint_url in ~/.aws/config",
        ) from error


def within(seconds: float, place: str, tasks: list[Callable[[], None]]) -> None:
    """Run the tasks side by side and wait for them all; their first error, or InputError once ``seconds`` are over.

    One that was left in the middle would not clean up after itself. Threads that hang are left behind all the same:
    they end with the process.
    """
    ended: queue.Queue[Exception | None] = queue.Queue()

    def run(task: Callable[[], None]) -> None:
        try:
            task()
        except Exception as error:
            ended.put(error)
        else:
            ended.put(None)

    for task in tasks:
        threading.Thread(target=run, args=(task,), daemon=True).start()
    errors: list[Exception] = []
    deadline = time.monotonic() + seconds
    for _ in tasks:
        try:
            error = ended.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            error = InputError(
                f"no answer within {seconds:g} s",
                expected="a store that answers",
                place=place,
                remedy="check AWS_ENDPOINT_URL, AWS_REGION and the network; look closer with tilth doctor --store",
            )
        if error is not None:
            errors.append(error)
    if errors:
        raise errors[0]


@contextmanager
def own_folder(uri: str, first: str) -> Iterator[Objects]:
    """A folder of its own below a store, with a ``first`` object, removed afterwards with all that lies in it."""
    folder = Objects(uri).child(f".tilth-doctor-{secrets.token_hex(8)}")
    folder.put(first, b"tilth")
    try:
        yield folder
    finally:
        with suppress(TilthError):
            folder.delete([entry.key for entry in folder.entries()])
        if "://" not in folder.uri:
            shutil.rmtree(folder.uri, ignore_errors=True)


def probe(store: Objects) -> None:
    """Write, read back and delete a small object; InputError where the store does not do what commits need.

    Local folders that were not there are not there afterwards.
    """
    folder = Path(store.uri)
    made = [] if "://" in store.uri else [path for path in (folder, *folder.parents) if not path.exists()]
    key = f".tilth-probe-{secrets.token_hex(8)}"
    store.put_new(key, b"tilth")
    try:
        overwrites = store.put_new(key, b"again")
        if overwrites or store.get(key) != b"tilth":
            raise InputError(
                "the store overwrites an object that was to be created only once",
                expected="a store that honours If-None-Match: *, or a local folder",
                remedy="use another store (S3, Ceph, a local folder); see tilth doctor --store",
            )
    finally:
        store.delete([key])
        with suppress(OSError):  # somebody has written into one since
            for path in made:
                path.rmdir()
