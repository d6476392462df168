"""Small made scenes and grids for the tests of reading, the cube and the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.shutil import copy as gdal_copy

from engine.bands import ASSET_BANDS
from engine.claims import SILENT, Claim
from engine.types import Asset, Axis, Grid, Item

CRS = "EPSG:32631"
LEFT, TOP = 500_000.0, 5_600_000.0


def made_grid(height: int = 40, width: int = 40, tile_px: int = 16, resolution: float = 10.0) -> Grid:
    """A grid whose upper left corner is that of the made scenes."""
    return Grid(CRS, resolution, LEFT, TOP, height, width, tile_px)


def made_axis(steps: int = 3, name: str = "time") -> Axis:
    """Steps of ten days from 1 January 2018."""
    days = [datetime.fromtimestamp(1_514_764_800 + i * 864_000, UTC) for i in range(steps + 1)]
    return Axis(name, tuple(days[:-1]), tuple(days[1:]))


def write_raster(
    path: Path,
    values: NDArray,
    pixel: float = 10.0,
    *,
    left: float = LEFT,
    top: float = TOP,
    crs: str | None = CRS,
    block: int = 16,
    **profile: Any,
) -> Path:
    """A tiled, deflated COG of one band; ``crs`` None: a plain TIFF without georeference."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = path.with_suffix(".plain.tif")
    flat = {"driver": "GTiff", "dtype": values.dtype, "count": 1, "height": values.shape[0], "width": values.shape[1]}
    place = {} if crs is None else {"crs": crs, "transform": rasterio.Affine(pixel, 0, left, 0, -pixel, top)}
    with rasterio.open(plain, "w", **flat, **place, **profile) as file:
        file.write(values, 1)
    gdal_copy(plain, path, driver="GTiff" if crs is None else "COG", COMPRESS="DEFLATE", **_blocks(crs, block))
    plain.unlink()
    return path


def _blocks(crs: str | None, block: int) -> dict[str, Any]:
    return {} if crs is None else {"BLOCKSIZE": max(block, 128), "OVERVIEWS": "NONE"}


def made_item(
    assets: Mapping[str, str | Path],
    sensor: str = "optical",
    day: int = 1,
    *,
    name: str = "",
    scale: float | None = 1.0,
    offset: float | None = 0.0,
    nodata: float | None = None,
    mask_kind: str | None = None,
    sign: str | None = None,
    footprint: shapely.Geometry | None = None,
    crs: str = CRS,
) -> Item:
    """An item observed on a day of January 2018 (days run on past 31), with one encoding for all its bands."""
    moment = datetime.fromtimestamp(1_514_764_800 + (day - 1) * 86_400 + 39_600, UTC)
    outline = footprint if footprint is not None else shapely.box(LEFT, TOP - 2000, LEFT + 2000, TOP)
    back = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    lonlat = shapely.transform(outline, lambda xy: np.column_stack(back.transform(xy[:, 0], xy[:, 1])))
    bands = {
        band: Asset(str(href), f"made:{href}", SILENT if band == "mask" else Claim(scale, offset, nodata))
        for band, href in assets.items()
    }
    return Item(
        id=name or f"{sensor}-{day:03d}",
        collection=f"made-{sensor}",
        sensor=sensor,
        datetime=moment,
        footprint=dict(shapely.geometry.mapping(lonlat)),
        assets=bands,
        mask_kind=mask_kind,
        sign=sign,
    )


def write_scene(folder: Path, sensor: str, planes: Mapping[str, NDArray], pixel: float = 10.0, **kwargs: Any) -> Item:
    """A scene's bands as COGs and the item that names them; a 20 m or 30 m mask where it has fewer pixels."""
    widest = max(plane.shape[1] for plane in planes.values())
    assets = {}
    for band, plane in planes.items():
        size = pixel * widest / plane.shape[1]
        assets[band] = write_raster(folder / f"{band}.tif", plane, size)
    assert set(planes) <= {*ASSET_BANDS[sensor], "mask"}
    return made_item(assets, sensor, **kwargs)
