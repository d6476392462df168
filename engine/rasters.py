"""Rasters kept open from one tile to the next.

Opening costs a request on a store and half a millisecond on a disk, and neighbouring tiles read the same scenes.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import rasterio._env
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from engine.header import Header, read_header

_MOST = 1024
"""Rasters idle at most: the scenes of a season under one tile, each band a file, are some hundreds."""


_GDAL = ctypes.CDLL(rasterio._env.__file__)
"""The GDAL that rasterio itself is linked with."""
_KEEP_ERRORS = ctypes.cast(_GDAL.CPLQuietErrorHandler, ctypes.c_void_p)
_Stamp = tuple[tuple[int, int, int] | None, ...]
_BESIDE = ("", ".msk", ".aux.xml")
"""A raster and what GDAL keeps of it in files beside it."""
_ABSENT = re.compile(
    r"code: 40[034]|Access ?Denied|NoSuchKey|specified (key|bucket) does not exist|No such file"
    r"|not recogni[sz]ed as being in a supported file format"
)
"""What stores answer about an object that is not there; those that do not let it be listed answer 403."""


@dataclass(frozen=True, slots=True)
class Raster:
    """An open raster with its header, read once, and the far mask beside it, if there is one."""

    source: DatasetReader
    header: Header
    mask: DatasetReader | None

    def close(self) -> None:
        """Close the raster and its mask."""
        self.source.close()
        if self.mask is not None:
            self.mask.close()


def open_raster(path: str) -> Raster:
    """The raster at GDAL's path, with its header. Raises rasterio's errors.

    A mask beside it, ``.msk``: GDAL finds a local one by its name, without listing the folder; a far one costs one
    request each time that a raster is opened, and the answer that there is none is remembered as long as the process
    lives.
    """
    source = _opened(path)
    mask = _far_mask(path) if path.startswith("/vsi") else None
    return Raster(source, read_header(source, mask is not None), mask)


def _opened(path: str) -> DatasetReader:
    """The dataset at GDAL's path, opened in the rasterio environment that there is.

    While it is opened GDAL keeps its errors, where rasterio finds them, and rasterio does not log them as they occur:
    GDAL tells of some while it holds the lock of its caches of far files, rasterio's logging needs Python's, and the
    thread that has that may be waiting for GDAL's, since rasterio asks for masks with it held. Both would wait for ever
    (of this kind is rasterio issue 3611). ``rasterio.open`` sets its logging anew, so it is not used.
    """
    _GDAL.CPLPushErrorHandler(_KEEP_ERRORS)
    try:
        return DatasetReader(path)
    finally:
        _GDAL.CPLPopErrorHandler()


class Rasters:
    """Rasters by GDAL path, opened where they are not yet; each is in one thread's hands at a time.

    One that failed is closed, so the next try opens it anew; so is one whose file on this machine's disk has changed (a
    far one is as GDAL remembers it anyway). Beyond the limit (a third of what the process may have open, at most 1024)
    the one longest not used is closed. ``opened`` counts what had to be opened.
    """

    def __init__(self) -> None:
        self.opened = 0
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._limit = _MOST if files == resource.RLIM_INFINITY else min(_MOST, files // 3)
        self._idle: OrderedDict[str, tuple[Raster, _Stamp]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def use(self, path: str) -> Iterator[Raster]:
        """The raster at ``path`` for the length of the block. Raises rasterio's errors where it cannot be opened."""
        stamp = _stamp(path)
        with self._lock:
            source, before = self._idle.pop(path, (None, None))
        if source is not None and before != stamp:
            source.close()
            source = None
        if source is None:
            with self._lock:
                self.opened += 1
            source = open_raster(path)
        try:
            yield source
        except BaseException:
            source.close()
            raise
        for extra in self._put_back(path, source, stamp):
            extra.close()

    def _put_back(self, path: str, source: Raster, stamp: _Stamp) -> list[Raster]:
        """Keep it; returns what is to be closed: another of the same name, and the oldest beyond the limit."""
        with self._lock:
            extra = [self._idle.pop(path)[0]] if path in self._idle else []
            self._idle[path] = source, stamp
            while len(self._idle) > self._limit:
                extra.append(self._idle.popitem(last=False)[1][0])
        return extra


def _stamp(path: str) -> _Stamp:
    """What changes when a file here, or what lies beside it, does; nothing but None for what is none of this
    machine's."""
    return tuple(_told(path + ending) for ending in _BESIDE)


def _told(path: str) -> tuple[int, int, int] | None:
    try:
        told = os.stat(path)
    except OSError:
        return None
    return told.st_ino, told.st_size, told.st_mtime_ns


def _far_mask(path: str) -> DatasetReader | None:
    """The ``.msk`` beside a far raster, None where there is none. A signature in the link stays at its end."""
    name, mark, query = path.partition("?")
    try:
        return _opened(f"{name}.msk{mark}{query}")
    except RasterioIOError as error:
        if _ABSENT.search(f"{error}; {error.__cause__}"):
            return None
        raise
