"""Fixtures of the servers' own tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A folder with one tiled GeoTIFF large enough to need several range requests."""
    values = np.random.default_rng(2).integers(0, 255, (1024, 1024), dtype=np.uint8)
    profile = {"driver": "GTiff", "width": 1024, "height": 1024, "count": 1, "dtype": "uint8", "tiled": True}
    profile |= {"crs": "EPSG:32631", "transform": Affine(10, 0, 500_000, 0, -10, 5_630_000)}
    with rasterio.open(tmp_path / "image.tif", "w", blockxsize=256, blockysize=256, **profile) as f:
        f.write(values, 1)
    return tmp_path
