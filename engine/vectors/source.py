"""Any file of vectors, read in batches, as far as it lies in a box: never the whole of it in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError

from engine.vectors.crs import Box
from engine.vectors.file import FORMATS, VectorFile, local_copy, parquet_files
from engine.vectors.ogr import open_layer
from engine.vectors.parquet import open_parquet
from engine.vectors.rows import Header, Opened


@contextmanager
def opened(
    file: VectorFile, columns: Sequence[str] | None = (), box: Box | None = None, crs: str | None = None
) -> Iterator[Opened]:
    """The file's rows near ``box`` (in ``crs``; None: all) in batches, in the file's order; more may come.

    columns: those that are wanted; None: all. InputError: no such file, another format, no geometry, no or a foreign
    CRS, no column of that name, several layers, text in an unknown encoding.
    """
    near = None if box is None or crs is None else (box, crs)
    try:
        paths = parquet_files(file)
        if paths is not None:
            yield Opened(*open_parquet(file, paths, columns, near))
        else:
            with local_copy(file) as path:
                yield Opened(*open_layer(file, path, columns, near))
    except FileNotFoundError as error:
        raise file.refused("no such file", FORMATS, f"check {file.key}") from error
    except (
        OSError, UnicodeDecodeError, pa.ArrowException, DataSourceError, DataLayerError, FeatureError, FieldError
    ) as error:  # fmt: skip
        raise file.refused(f"cannot be read: {error}", FORMATS, f"check {file.key}") from error


def read_header(file: VectorFile) -> Header:
    """What the file says of itself; InputError as ``opened``."""
    with opened(file) as found:
        return found.header
