"""Whether this process can work with rasters, vectors and projections at all: tried, not asked.

A broken installation of PROJ or GDAL makes every scene look damaged: it is named before a scene is blamed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from engine.errors import InputError

_VARIABLES = (
    "PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH", "GDAL_SKIP", "OGR_SKIP", "GTIFF_SRS_SOURCE",
)  # fmt: skip
"""Variables that lead PROJ and GDAL astray where another installation has set them."""
_ACCOUNTS = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
"""Variables that rasterio has botocore heed, whatever raster it opens, where keys are in the environment too."""
_ZONE = "EPSG:32631"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that every job needs and this process cannot do. name: what was tried. error: what came of it."""

    name: str
    error: str
    remedy: str


@cache
def faults() -> tuple[Fault, ...]:
    """Everything that was tried and does not work; tried once in a process."""
    found = []
    for name, trial in TRIALS.items():
        try:
            trial()
        except Exception as error:  # whatever these libraries raise is a fault
            told = str(error).strip().splitlines() or [type(error).__name__]
            found.append(Fault(name, told[0][:300], _remedy(error)))
    return tuple(found)


def refuse_broken(place: str) -> None:
    """InputError naming the first fault of this process' PROJ and GDAL, if there is any. ``place``: where it shows."""
    for fault in faults():
        raise InputError(
            f"{fault.name} do not work in this process: {fault.error}",
            expected="an environment in which PROJ and GDAL work",
            place=place,
            remedy=fault.remedy,
        )


def _remedy(error: Exception) -> str:
    """What to change: the variables that are set, else the installation."""
    of_account = type(error).__module__.startswith("botocore")
    given = [f"{name}={os.environ[name]}" for name in (_ACCOUNTS if of_account else _VARIABLES) if name in os.environ]
    return f"unset {', '.join(given)}; tilth doctor looks again" if given else "install Tilth into an environment anew"


def _projections() -> None:
    """By pyproj and by rasterio, which bring a PROJ each."""
    import pyproj
    from rasterio.warp import transform

    ours = pyproj.Transformer.from_crs(_ZONE, "EPSG:4326", always_xy=True).transform(500_000, 5_600_000)
    (lon,), (lat,) = transform(_ZONE, "EPSG:4326", [500_000], [5_600_000])
    expected = (3.0, 50.552)
    if not (np.allclose(ours, expected, atol=1e-3) and np.allclose((lon, lat), expected, atol=1e-3)):
        raise ValueError(f"{ours} and {(lon, lat)} for a point at {expected}")


def _rasters() -> None:
    """A GeoTIFF and a COG, written and read back with their CRS."""
    import rasterio
    from rasterio.io import MemoryFile

    values = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for driver in ("GTiff", "COG"):
        with MemoryFile(ext=".tif") as memory:
            with memory.open(
                driver=driver, width=8, height=8, count=1, dtype="uint8", crs=_ZONE,
                transform=rasterio.Affine(10, 0, 500_000, 0, -10, 5_600_000),
            ) as raster:  # fmt: skip
                raster.write(values, 1)
            with memory.open() as raster:
                if raster.crs != rasterio.crs.CRS.from_user_input(_ZONE) or (raster.read(1) != values).any():
                    raise ValueError(f"a {driver} comes back other than it was written")


def _vectors() -> None:
    """A GeoPackage, written and read back with its CRS."""
    import geopandas as gpd
    import shapely

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "try.gpkg"
        gpd.GeoDataFrame({"code": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs=_ZONE).to_file(path)
        frame = gpd.read_file(path)
    if frame.crs is None or frame.crs.to_epsg() != 32631 or frame["code"].tolist() != [1]:
        raise ValueError("a GeoPackage comes back other than it was written")


TRIALS: dict[str, Callable[[], None]] = {
    "projections": _projections,
    "rasters": _rasters,
    "vector files": _vectors,
}
"""What is tried, by name."""
