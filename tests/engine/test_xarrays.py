"""Kernels on xarray: NumPy and Dask give the same, names and coordinates stay."""

from __future__ import annotations

from functools import partial

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from engine.xarrays import apply
from kernels.indices import evi, ndvi
from kernels.polarimetry import m_chi
from kernels.smooth import fill_linear, whittaker
from kernels.speckle import refined_lee, refined_lee_c2


def made(steps: int = 5, seed: int = 1) -> xr.DataArray:
    """A small series with gaps, its time in the middle of the dimensions."""
    rng = np.random.default_rng(seed)
    values = rng.random((4, steps, 6), dtype=np.float32)
    values[rng.random(values.shape) < 0.3] = np.nan
    return xr.DataArray(
        values,
        dims=("y", "time", "x"),
        coords={
            "y": [30.0, 20.0, 10.0, 0.0],
            "time": np.arange(steps).astype("datetime64[D]"),
            "x": np.arange(6.0),
            "field": ("x", list("abcdef")),
        },
        attrs={"unit": "reflectance"},
        name="nir",
    )


def test_an_index_keeps_coordinates_attributes_and_order_and_dask_computes_nothing_early() -> None:
    nir, red, blue = made(1), made(1, 2), made(1, 3)
    want = evi(nir.values, red.values, blue.values)
    for chunks in (None, {"y": 3, "x": 4}, {"y": 1}):
        arrays = [a if chunks is None else a.chunk(chunks) for a in (nir, red, blue)]
        got = apply(evi, *arrays)
        assert isinstance(got.data, da.Array if chunks else np.ndarray)
        assert got.dims == nir.dims and got.dtype == np.float32 and got.attrs == nir.attrs
        xr.testing.assert_identical(got.compute().rename(None), nir.copy(data=want).rename(None))


@pytest.mark.parametrize(
    "kernel", [fill_linear, partial(fill_linear, hold_ends=False), partial(whittaker, smoothing=3.0)]
)
@pytest.mark.parametrize("chunks", [None, {"y": 3, "x": 4}])
def test_a_series_kernel_runs_along_the_named_dimension(kernel: object, chunks: dict[str, int] | None) -> None:
    nir = made()
    want = np.moveaxis(kernel(np.moveaxis(nir.values, 1, 0).reshape(5, -1)).reshape(5, 4, 6), 0, 1)  # type: ignore[operator]
    got = apply(kernel, nir if chunks is None else nir.chunk(chunks), series="time")  # type: ignore[arg-type]
    assert got.dims == nir.dims
    xr.testing.assert_identical(got.compute(), nir.copy(data=want))


def test_several_results_come_as_a_tuple_and_dask_agrees() -> None:
    arrays = [made(1, seed) for seed in range(4)]
    want = m_chi(*(a.values for a in arrays))
    for got in (apply(m_chi, *arrays, outputs=3), apply(m_chi, *(a.chunk({"x": 2}) for a in arrays), outputs=3)):
        assert len(got) == 3
        for one, other in zip(got, want, strict=True):
            assert one.dims == arrays[0].dims and np.array_equal(one.values, other, equal_nan=True)


def test_what_does_not_fit_is_refused() -> None:
    nir = made()
    with pytest.raises(ValueError, match="expected in each"):
        apply(fill_linear, nir.isel(time=0), series="time")
    with pytest.raises(ValueError, match="multiple chunks"):
        apply(fill_linear, nir.chunk({"time": 2}), series="time")
    with pytest.raises(ValueError, match="exact"):
        apply(ndvi, nir, nir.assign_coords(y=nir.y + 5))
    with pytest.raises(ValueError, match="expected float32"):
        apply(ndvi, nir, nir.astype(np.float64))


def test_a_kernel_that_looks_at_neighbours_sees_them_beyond_its_chunk() -> None:
    rng = np.random.default_rng(5)
    planes = [xr.DataArray(rng.gamma(4, 1, (40, 31)).astype(np.float32), dims=("y", "x")) for _ in range(2)]
    c2 = [*planes, 0.1 * planes[0], 0.1 * planes[1]]
    cut = [plane.chunk({"y": 7, "x": 11}) for plane in c2]
    one = apply(refined_lee, cut[0], halo={"y": 3, "x": 3})
    assert isinstance(one.data, da.Array) and one.dims == ("y", "x")
    np.testing.assert_array_equal(one.values, refined_lee(c2[0].values))
    np.testing.assert_array_equal(apply(refined_lee, c2[0], halo={"y": 3, "x": 3}).values, one.values)
    four = apply(refined_lee_c2, *cut, halo={"y": 3, "x": 3}, outputs=4)
    for found, wanted in zip(four, refined_lee_c2(*(plane.values for plane in c2)), strict=True):
        np.testing.assert_array_equal(found.values, wanted)
