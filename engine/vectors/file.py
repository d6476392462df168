"""A file of vectors that a person named, and the formats that are read."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from engine.errors import InputError
from engine.objects import absolute, file_digest, filesystem, local_file
from engine.types import digest

DRIVERS = {
    ".gpkg": "GPKG",
    ".fgb": "FlatGeobuf",
    ".geojson": "GeoJSON",
    ".json": "GeoJSON",
    ".shp": "ESRI Shapefile",
    ".zip": "ESRI Shapefile",
}
"""GDAL's driver by the ending of a name."""
PARQUET = (".parquet", ".geoparquet")
FORMATS = (
    "GeoPackage (.gpkg), GeoParquet (.parquet, .geoparquet, or a folder of such files), FlatGeobuf (.fgb), "
    "GeoJSON (.geojson, .json) or Shapefile (.shp, or zipped: .zip)"
)
_SIDECARS = (".shp", ".shx", ".dbf", ".prj", ".cpg")


@dataclass(frozen=True, slots=True)
class VectorFile:
    """What a spec says of a file of vectors."""

    uri: str
    """Path or fsspec URL of the file, or of a folder of Parquet files."""
    key: str
    """Key of the spec that names it, such as ``parcels``; its remedies speak of ``parcels.layer``."""
    layer: str | None = None
    """The layer that is read, where the file holds several."""
    encoding: str | None = None
    """Encoding of its text, where the file says none or a wrong one."""
    usual: str | None = None
    """The layer that is read where none is named and several are there."""

    def refused(self, value: str, expected: str, remedy: str) -> InputError:
        """The error that names this file."""
        return InputError(value, expected=expected, place=self.uri, remedy=remedy)

    @property
    def suffix(self) -> str:
        """Ending of the name in lower case."""
        return suffix_of(self.uri)


def suffix_of(uri: str) -> str:
    """Ending of a file's name in lower case, query and fragment of a URL dropped."""
    path = urlsplit(uri).path if "://" in uri else uri
    return PurePosixPath(path).suffix.lower()


def is_unknown(uri: str) -> bool:
    """Whether the name has an ending of no known format, and is no folder on this machine."""
    ending = suffix_of(uri)
    return ending not in (*DRIVERS, *PARQUET, "") and not Path(absolute(uri)).is_dir()


def parquet_files(file: VectorFile) -> list[str] | None:
    """Paths, on the file's own filesystem, of the Parquet files that it is or holds; None where it is no Parquet.

    In a folder, names that begin with ``_`` or ``.`` are passed over. FileNotFoundError where there is nothing.
    """
    fs, path = filesystem(absolute(file.uri))
    if file.suffix in DRIVERS:
        return None
    if not fs.isdir(path):
        if file.suffix not in PARQUET:
            fs.info(path)
            raise file.refused(f"its name ends with {file.suffix or 'nothing'}", FORMATS, "convert it with ogr2ogr")
        fs.info(path)
        return [path]
    found = [name for name in sorted(fs.find(path)) if suffix_of(name) in PARQUET and not _hidden(name, path)]
    if not found:
        raise file.refused(
            "is a folder without a Parquet file", FORMATS, f"name a file, or another folder, in {file.key}"
        )
    return found


@contextmanager
def local_copy(file: VectorFile) -> Iterator[str]:
    """Path that GDAL opens: the file, or a copy of it and its side files for as long as it is read; a zipped Shapefile
    as the folder it was packed from."""
    uri = absolute(file.uri)
    if file.suffix not in (".shp", ".zip") or ("://" not in uri and file.suffix == ".shp"):
        with local_file(uri) as path:
            yield path
        return
    with TemporaryDirectory() as folder:
        if file.suffix == ".shp":
            fs, _ = filesystem(uri)
            for name in _family(uri):
                fs.get_file(name, str(Path(folder, PurePosixPath(name).name)))
            yield str(Path(folder, PurePosixPath(urlsplit(uri).path).name))
        else:
            with local_file(uri) as packed:
                yield _unpacked(file, packed, folder)


def file_identity(uri: str) -> str:
    """What changes when a file of vectors does: with its side files, or all files of its folder."""
    path = absolute(uri)
    fs, inner = filesystem(path)
    if suffix_of(path) == ".shp":
        return digest([file_digest(path), *(_stamp(fs, name) for name in _family(path))])
    if suffix_of(path) not in DRIVERS and fs.isdir(inner):
        return digest([path, *(_stamp(fs, name) for name in sorted(fs.find(inner)))])
    return file_digest(path)


def _stamp(fs: object, name: str) -> str:
    info = fs.info(name)  # type: ignore[attr-defined]
    return digest([name, *(str(info.get(key)) for key in ("size", "mtime", "ETag", "LastModified"))])


def _family(uri: str) -> list[str]:
    """A Shapefile and its side files, on its own filesystem."""
    fs, path = filesystem(uri)
    stem = PurePosixPath(path).stem.lower()
    return [
        name
        for name in sorted(fs.ls(str(PurePosixPath(path).parent), detail=False))
        if PurePosixPath(name).stem.lower() == stem and PurePosixPath(name).suffix.lower() in _SIDECARS
    ]


def _unpacked(file: VectorFile, packed: str, folder: str) -> str:
    """The Shapefile of an archive, or the folder where it holds several: these are then its layers."""
    try:
        with zipfile.ZipFile(packed) as archive:
            archive.extractall(folder)
    except zipfile.BadZipFile as error:
        raise file.refused(f"cannot be unpacked: {error}", "a zipped Shapefile", "pack it again") from error
    packed_files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() == ".shp")
    found = [path for path in packed_files if not _hidden(str(path), folder)]  # Macs add files of their own
    if not found:
        raise file.refused("holds no Shapefile", "a zipped Shapefile", "unpack it, and name the file in it")
    if len({path.parent for path in found}) == 1:
        return str(found[0] if len(found) == 1 else found[0].parent)
    named = [path for path in found if path.stem == file.layer]
    if len(named) == 1:
        return str(named[0])
    told = ", ".join(str(path.relative_to(folder)) for path in found)
    raise file.refused(
        f"holds Shapefiles in several folders: {told}",
        "one folder, or a layer that names one of them",
        f"name it under {file.key}.layer where its name stands there once, else unpack the archive",
    )


def _hidden(name: str, folder: str) -> bool:
    return any(part.startswith(("_", ".")) for part in PurePosixPath(name).relative_to(folder).parts)
