"""What this process does with memory that its arrays no longer need."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt(3)."""
_ARRAY_BYTES, _FREE_BYTES = 256 << 20, 512 << 20
_MOST = 32 << 20
"""Older versions of glibc refuse a larger _ARRAY_BYTES."""


def keep_freed() -> None:
    """Have the next arrays take the place of freed ones, where the C library is glibc; elsewhere nothing happens.

    By itself glibc hands what lies free at the end of its heap back to the system, and gets it again page by page: with
    layers of a MiB or two a 1D-CNN then runs at half its speed, in one process and not in the next, as the heap
    happens to lie, and a tile's features take three times as long to derive. Arrays up to 256 MiB are kept, and at most
    512 MiB free at the end.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for size in (_ARRAY_BYTES, _MOST):
            if library.mallopt(_MMAP_THRESHOLD, size):
                library.mallopt(_TRIM_THRESHOLD, _FREE_BYTES)  # alone it would have every large array come anew
                break
