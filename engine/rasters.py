"""Rasters kept open from one tile to the next.

Opening costs a request on a store and half a millisecond on a disk, and neighbouring tiles read the same scenes.
"""

from __future__ import annotations

import os
import resource
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import rasterio
from rasterio.io import DatasetReader

_MOST = 1024
"""Rasters idle at most: the scenes of a season under one tile, each band a file, are some hundreds."""


_Stamp = tuple[int, int, int] | None


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
        self._idle: OrderedDict[str, tuple[DatasetReader, _Stamp]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def use(self, path: str) -> Iterator[DatasetReader]:
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
            source = rasterio.open(path)
        try:
            yield source
        except BaseException:
            source.close()
            raise
        for extra in self._put_back(path, source, stamp):
            extra.close()

    def _put_back(self, path: str, source: DatasetReader, stamp: _Stamp) -> list[DatasetReader]:
        """Keep it; returns what is to be closed: another of the same name, and the oldest beyond the limit."""
        with self._lock:
            extra = [self._idle.pop(path)[0]] if path in self._idle else []
            self._idle[path] = source, stamp
            while len(self._idle) > self._limit:
                extra.append(self._idle.popitem(last=False)[1][0])
        return extra


def _stamp(path: str) -> _Stamp:
    """What changes when a file here does; None for a path that is none of this machine's."""
    try:
        told = os.stat(path)
    except OSError:
        return None
    return told.st_ino, told.st_size, told.st_mtime_ns
