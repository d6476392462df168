"""Optical, series and zonal kernels beside their peers and a memory copy: ``python -m tests.bench.kernels_optical``."""

from __future__ import annotations

import argparse
import importlib
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.ndimage
import xarray as xr
from numpy.typing import NDArray

from kernels import fused, indices, smooth, stacked, zonal
from kernels.zonal_median import parcel_medians
from tests.bench.kernel_rows import Peer, Row, compare, peer, show

GREEN, NIR = 1, 3
LAMBDA = 100.0


class Sizes(NamedTuple):
    """How much is worked on; ``runs`` turns."""

    side: int = 1448
    series: int = 131072
    parcels: int = 71
    runs: int = 7


def rows(sizes: Sizes = Sizes()) -> list[Row]:  # noqa: B008  (a tuple: nothing to share)
    """Every row of this file."""
    made = []
    for bench in (
        one_index, four_indices, composites, linear_fill, whittaker_series, zonal_mean_std, zonal_medians
    ):  # fmt: skip
        made += bench(sizes)
    return made


def one_index(sizes: Sizes) -> list[Row]:
    """NDVI and EVI from float32 reflectance."""
    rng = np.random.default_rng(1)
    nir, red, blue, out = (rng.uniform(0.02, 0.6, (sizes.side, sizes.side)).astype(np.float32) for _ in range(4))
    unit = nir.size / 1e6
    labelled = {name: xr.DataArray(a) for name, a in (("nir", nir), ("red", red), ("blue", blue))}
    spatial, spyndex, numexpr = peer("xrspatial.multispectral"), peer("spyndex"), peer("numexpr")
    names = {"N": nir, "R": red, "B": blue, "g": 2.5, "C1": 6.0, "C2": 7.5, "L": 1.0}
    evi = "2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1)"
    found = compare(
        "NDVI", 12 * nir.size, unit, lambda: indices.ndvi(nir, red, out), sizes.runs,
        {
            "numpy": (lambda: (nir - red) / (nir + red), unit),
            "xarray-spatial": spatial and (lambda: spatial.ndvi(labelled["nir"], labelled["red"]), unit),
            "spyndex": spyndex and (lambda: spyndex.computeIndex("NDVI", names), unit),
        },
    )  # fmt: skip
    return found + compare(
        "EVI", 16 * nir.size, unit, lambda: indices.evi(nir, red, blue, out=out), sizes.runs,
        {
            "numpy": (lambda: np.float32(2.5) * (nir - red) / (nir + 6 * red - np.float32(7.5) * blue + 1), unit),
            "xarray-spatial": spatial
            and (lambda: spatial.evi(labelled["nir"], labelled["red"], labelled["blue"]), unit),
            "spyndex": spyndex and (lambda: spyndex.computeIndex("EVI", names), unit),
            "numexpr": numexpr
            and (lambda: numexpr.evaluate(evi, local_dict={"nir": nir, "red": red, "blue": blue}), unit),
        },
    )  # fmt: skip


def four_indices(sizes: Sizes) -> list[Row]:
    """NDVI, EVI, GCVI and LSWI from five bands of DN and a mask."""
    rng = np.random.default_rng(2)
    shape = sizes.side, sizes.side
    bands = {name: rng.integers(0, 9000, shape, dtype=np.uint16) for name in fused.BANDS}
    valid = rng.random(shape) < 0.8
    names = ("ndvi", "evi", "gcvi", "lswi")
    out = np.empty((4, *shape), np.float32)
    unit = valid.size / 1e6

    def by_numpy() -> list[NDArray]:
        missing = np.float32(np.nan)
        n, r, g, b, s = (
            np.where(valid & (dn != 0), dn * np.float32(1e-4) - np.float32(0.1), missing) for dn in bands.values()
        )
        with np.errstate(all="ignore"):
            evi = np.float32(2.5) * (n - r) / (n + 6 * r - np.float32(7.5) * b + 1)
            return [(n - r) / (n + r), np.clip(evi, -1, 1), n / g - 1, (n - s) / (n + s)]

    return compare(
        "four indices from DN", 27 * valid.size, unit,
        lambda: fused.indices_from_dn(names, bands, valid=valid, out=out), sizes.runs, {"numpy": (by_numpy, unit)},
    )  # fmt: skip


def composites(sizes: Sizes) -> list[Row]:
    """Four dates of ten bands: largest GCVI, and median."""
    rng = np.random.default_rng(3)
    shape = sizes.side // 2, sizes.side // 2
    dn = rng.integers(1, 9000, (4, 10, *shape), dtype=np.uint16)
    valid = rng.random((4, *shape)) < 0.7
    out = np.empty((10, *shape), np.uint16), np.empty(shape, np.uint8)
    unit, moved = valid[0].size / 1e6, 105 * valid[0].size

    def by_numpy() -> NDArray:
        usable = valid & (dn != 0).all(1) & (dn[:, GREEN] > 1000)
        with np.errstate(all="ignore"):
            gcvi = (dn[:, NIR] - np.float32(1000)) / (dn[:, GREEN] - np.float32(1000))
        winner = np.where(usable, gcvi, -np.inf).argmax(0)
        return np.where(usable.any(0), np.take_along_axis(dn, winner[None, None], 0)[0], 0)

    cube, clear = xr.DataArray(dn, dims=("t", "b", "y", "x")), xr.DataArray(valid, dims=("t", "y", "x"))

    def by_xarray() -> xr.DataArray:
        usable = clear & (cube != 0).all("b") & (cube.isel(b=GREEN) > 1000)
        gcvi = (cube.isel(b=NIR) - np.float32(1000)) / (cube.isel(b=GREEN) - np.float32(1000))
        return cube.isel(t=gcvi.where(usable, -np.inf).argmax("t")).where(usable.any("t"), 0)

    def median_by_numpy() -> NDArray:
        part = slice(shape[0] // 8)
        usable = valid[:, part] & (dn[:, :, part] != 0).all(1)
        with warnings.catch_warnings(action="ignore"):  # pixels without a usable date
            return np.nanmedian(np.where(usable[:, None], dn[:, :, part], np.float32(np.nan)), axis=0)

    best = compare(
        "max-GCVI, 4 dates x 10 bands", moved, unit,
        lambda: stacked.max_gcvi(dn, valid, green=GREEN, nir=NIR, out=out), sizes.runs,
        {"numpy": (by_numpy, unit), "xarray": (by_xarray, unit)},
    )  # fmt: skip
    return best + compare(
        "median, 4 dates x 10 bands", moved, unit, lambda: stacked.median(dn, valid, out=out), sizes.runs,
        {"numpy": (median_by_numpy, unit / 8)},
    )  # fmt: skip


def made_series(sizes: Sizes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """36 steps with 40 % gaps, and every 64th series of them, one after the other."""
    rng = np.random.default_rng(4)
    values = rng.random((36, sizes.series), dtype=np.float32)
    values[rng.random(values.shape) < 0.4] = np.nan
    return values, np.ascontiguousarray(values[:, ::64].T)


def linear_fill(sizes: Sizes) -> list[Row]:
    values, part = made_series(sizes)
    out, steps, few = np.empty_like(values), np.arange(36), len(part) / 1e6
    labelled = xr.DataArray(part, dims=("n", "t"))

    def by_interp() -> None:
        for series in part:
            valid = ~np.isnan(series)
            np.interp(steps, steps[valid], series[valid])

    return compare(
        "linear gap fill, 36 steps", 8 * values.size, sizes.series / 1e6,
        lambda: smooth.fill_linear(values, out=out), sizes.runs,
        {
            "np.interp loop": (by_interp, few),
            "xarray": (lambda: labelled.interpolate_na("t", use_coordinate=False), few),
        },
    )  # fmt: skip


def whittaker_series(sizes: Sizes) -> list[Row]:
    values, part = made_series(sizes)
    out, few = np.empty_like(values), len(part) / 1e6
    weights = (~np.isnan(part)).astype(np.float64)
    filled = np.nan_to_num(part).astype(np.float64)
    bands = smooth._penalty(36, LAMBDA)

    def loop(ws2d: Callable[..., Any]) -> Peer:
        return lambda: [ws2d(y, LAMBDA, w) for y, w in zip(filled, weights, strict=True)], few

    def by_scipy() -> None:
        for y, w in zip(filled, weights, strict=True):
            scipy.linalg.solveh_banded(bands + np.stack([w, 0 * w, 0 * w]), w * y, lower=True, check_finite=False)

    def by_eilers() -> None:
        for y, w in zip(lists, weight_lists, strict=True):
            eilers.WhittakerSmoother(LAMBDA, 2, 36, weights=w).smooth(y)

    vam, modape, eilers = peer("vam.whittaker"), peer("modape.whittaker"), peer("whittaker_eilers")
    lists, weight_lists = filled.tolist(), weights.tolist()
    return compare(
        "Whittaker, 36 steps", 8 * values.size, sizes.series / 1e6,
        lambda: smooth.whittaker(values, LAMBDA, out=out), sizes.runs,
        {
            "vam.whittaker": vam and loop(vam.ws2d),
            "modape": modape and loop(modape.ws2d),
            "whittaker-eilers": eilers and (by_eilers, few),
            "scipy banded loop": (by_scipy, few),
        },
    )  # fmt: skip


def made_parcels(sizes: Sizes, bands: int) -> tuple[NDArray[np.int32], NDArray[np.float32], list[dict[str, Any]]]:
    """Square parcels of 20 x 20 pixels (5,041 where ``parcels`` is 71), their values and outlines."""
    count, width = sizes.parcels, 20
    y, x = np.indices((count * width, count * width), np.int32) // width
    values = np.random.default_rng(5).random((bands, *y.shape), dtype=np.float32)
    top = count * width
    outlines = []
    for row, column in np.ndindex(count, count):
        left, upper = column * width, top - row * width
        ring = [(left, upper), (left + width, upper), (left + width, upper - width), (left, upper - width)]
        shape = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
        outlines.append({"type": "Feature", "properties": {}, "geometry": shape})
    return y * count + x + 1, values, outlines


def exactly(values: NDArray[np.float32], outlines: list[dict[str, Any]], what: list[str]) -> Peer:
    """exactextract over all bands, from memory."""
    exactextract = peer("exactextract")
    if exactextract is None:
        return None
    raster = importlib.import_module("exactextract.raster")
    height, width = values.shape[1:]
    sources = [
        raster.NumPyRasterSource(band, 0, 0, width, height, name=f"b{k}", nodata=None) for k, band in enumerate(values)
    ]
    return lambda: exactextract.exact_extract(sources, outlines, what), values.size / 1e6


def zonal_mean_std(sizes: Sizes) -> list[Row]:
    labels, values, outlines = made_parcels(sizes, 10)
    parcels = sizes.parcels**2
    out, unit = zonal.parcel_sums(labels, values, parcels, bound=1.0), values.size / 1e6

    def ours() -> object:
        return zonal.mean_std(zonal.parcel_sums(labels, values, parcels, bound=1.0, out=out))

    def by_bincount() -> list[NDArray]:
        flat = labels.ravel()
        number = np.bincount(flat, minlength=parcels + 1)
        made = []
        for band in values[:2]:
            mean = np.bincount(flat, band.ravel(), parcels + 1) / number
            made.append(np.sqrt(np.bincount(flat, band.ravel() ** 2, parcels + 1) / number - mean**2))
        return made

    with np.errstate(invalid="ignore"):
        return compare(
            "zonal mean and std", 4 * values.size + 4 * labels.size, unit, ours, sizes.runs,
            {
                "bincount": (by_bincount, unit / 5),
                "exactextract mean": exactly(values[:1], outlines, ["mean"]),
                "exactextract mean, stdev": exactly(values[:1], outlines, ["mean", "stdev"]),
            },
        )  # fmt: skip


def zonal_medians(sizes: Sizes) -> list[Row]:
    labels, values, outlines = made_parcels(sizes, 2)
    parcels, unit = sizes.parcels**2, values.size / 1e6
    out, numbers = np.empty((2, parcels), np.float32), np.arange(1, parcels + 1)
    return compare(
        "zonal median", 4 * values.size + 4 * labels.size, unit,
        lambda: parcel_medians(labels, values, parcels, out), sizes.runs,
        {
            "scipy": (lambda: scipy.ndimage.median(values[0], labels, numbers), unit / 2),
            "exactextract": exactly(values[:1], outlines, ["median"]),
        },
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="little data and few turns: to see that all of it runs")
    show(rows(Sizes(256, 4096, 12, 2) if parser.parse_args().small else Sizes()))
