"""Parcels of a real scene: exactextract and rasterstats find the same, where they are installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy.ndimage import label

from kernels.zonal import class_counts, mean_std, parcel_sums
from kernels.zonal_median import parcel_medians

BANDS = ("nir", "red", "swir16")


@pytest.fixture(scope="module")
def scene(flanders: Path) -> tuple[NDArray[np.int32], NDArray[np.float32], list[dict], rasterio.Affine]:
    """Parcels (touching fields of one crop count as one), DN of one date as float, outlines, and the transform."""
    with rasterio.open(flanders / "labels.tif") as source:
        crops, transform = source.read(1), source.transform
    labels = np.zeros(crops.shape, np.int32)
    for crop in np.unique(crops[crops > 0]):
        parts = label(crops == crop)[0]
        labels[parts > 0] = parts[parts > 0] + labels.max()
    folder = sorted((flanders / "sentinel-2-l2a").iterdir())[30]
    planes = []
    for band in BANDS:
        with rasterio.open(folder / f"{band}.tif") as source:
            planes.append(source.read(1, out_shape=labels.shape).astype(np.float32))
    outlines = [
        {"type": "Feature", "properties": {"id": int(value)}, "geometry": geometry}
        for geometry, value in shapes(labels, mask=labels > 0, transform=transform)
    ]
    return labels, np.stack(planes), sorted(outlines, key=lambda f: f["properties"]["id"]), transform


def test_exactextract_agrees_on_pixels_that_lie_wholly_in_their_parcel(scene, tmp_path: Path) -> None:
    exactextract = pytest.importorskip("exactextract", reason="exactextract is not installed")
    labels, values, outlines, transform = scene
    mean, std = mean_std(parcel_sums(labels, values, int(labels.max()), bound=65536.0))
    assert len(outlines) == labels.max() > 15
    for band, plane in enumerate(values):
        raster = write(tmp_path / f"{BANDS[band]}.tif", plane, transform)
        found = exactextract.exact_extract(raster, outlines, ["mean", "stdev", "count"])
        rows = [feature["properties"] for feature in found]
        np.testing.assert_allclose(mean[band], [row["mean"] for row in rows], rtol=1e-9)
        np.testing.assert_allclose(std[band], [row["stdev"] for row in rows], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(np.bincount(labels.ravel())[1:], np.rint([row["count"] for row in rows]))


def test_exactextract_agrees_on_medians_of_values_that_differ(scene, tmp_path: Path) -> None:
    """Of equal values exactextract makes one of double weight and interpolates past it, so ranks take their place."""
    exactextract = pytest.importorskip("exactextract", reason="exactextract is not installed")
    labels, values, outlines, transform = scene
    ranks = np.stack([plane.ravel().argsort(kind="stable").argsort().reshape(plane.shape) for plane in values])
    middle = parcel_medians(labels, ranks.astype(np.float32), int(labels.max()))
    for band, plane in enumerate(ranks.astype(np.float32)):
        raster = write(tmp_path / f"{BANDS[band]}.tif", plane, transform)
        found = exactextract.exact_extract(raster, outlines, ["median"])
        np.testing.assert_allclose(middle[band], [feature["properties"]["median"] for feature in found], rtol=1e-6)


def test_rasterstats_agrees_by_pixel_centres(scene) -> None:
    rasterstats = pytest.importorskip("rasterstats", reason="rasterstats is not installed")
    labels, values, outlines, transform = scene
    parcels = int(labels.max())
    mean, std = mean_std(parcel_sums(labels, values, parcels, bound=65536.0))
    middle, counts = (
        parcel_medians(labels, values, parcels),
        class_counts(labels, (labels % 7).astype(np.uint8), parcels),
    )
    for band, plane in enumerate(values):
        rows = rasterstats.zonal_stats(
            outlines, plane, affine=transform, nodata=-1, stats=["mean", "std", "median", "count"]
        )
        for ours, name in (
            (mean[band], "mean"),
            (std[band], "std"),
            (middle[band], "median"),
            (counts.sum(1), "count"),
        ):
            np.testing.assert_allclose(ours, [row[name] for row in rows], rtol=1e-6, atol=1e-6, err_msg=name)


def write(path: Path, plane: NDArray[np.float32], transform: rasterio.Affine) -> str:
    profile = {"driver": "GTiff", "count": 1, "dtype": "float32", "crs": "EPSG:32631", "transform": transform}
    with rasterio.open(path, "w", height=plane.shape[0], width=plane.shape[1], **profile) as target:
        target.write(plane, 1)
    return str(path)
