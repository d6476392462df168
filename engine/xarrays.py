"""Kernels on xarray: names, coordinates and Dask chunks outside, plain NumPy arrays inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from dask.array.overlap import overlap, trim_internal
from numpy.typing import DTypeLike, NDArray


def apply(
    kernel: Callable[..., Any],
    *arrays: xr.DataArray,
    series: str | None = None,
    halo: Mapping[str, int] | None = None,
    outputs: int = 1,
    dtype: DTypeLike = np.float32,
) -> Any:
    """The kernel's result as a DataArray with the dimensions, coordinates and attributes of the first array.

    kernel: takes as many NumPy arrays as are given here, of the dtype they have (kernels refuse another: convert with
    ``.astype`` first), and returns ``outputs`` arrays of ``dtype``. Other arguments are bound with functools.partial.
    series: None for a kernel that works pixel by pixel, such as ``kernels.indices``; else the dimension that the kernel
    takes first with all others flattened behind it, (t, n), such as ``fill_linear`` and ``whittaker``. It keeps its
    length, so a kernel's ``until`` must be left alone: select the steps instead.
    halo: for a kernel that looks at neighbours, how far along each dimension, such as {"y": 3, "x": 3} for
    ``refined_lee``: Dask's chunks are read so much larger and cut after, and the result is that of the whole array.
    Arrays: of one shape after alignment; NaN, units and no data are the kernel's. With NumPy inside, computed at once;
    with Dask inside, one task per chunk and nothing is computed here. Along ``series`` a Dask array must be one chunk:
    ValueError otherwise (xarray names the rechunking). A tuple of DataArrays where ``outputs`` is above 1.
    """
    core = [] if series is None else [series]
    if series is not None and (missing := [a.name for a in arrays if series not in a.dims]):
        raise ValueError(f"arrays {missing} have no dimension {series!r}, expected in each; rename it")
    if halo and all(array.chunks for array in arrays):
        return _overlapping(kernel, arrays, halo, outputs, dtype)
    order = arrays[0].dims
    result = xr.apply_ufunc(
        kernel if series is None else _Series(kernel),
        *arrays,
        input_core_dims=[core] * len(arrays),
        output_core_dims=[core] * outputs,
        join="exact",  # arrays that do not lie on each other are a mistake, not something to cut
        dask="parallelized",
        output_dtypes=[np.dtype(dtype)] * outputs,
        keep_attrs=True,
    )
    if outputs == 1:
        return result.transpose(*order)
    return tuple(one.transpose(*order) for one in result)


def _overlapping(
    kernel: Callable[..., Any], arrays: Sequence[xr.DataArray], halo: Mapping[str, int], outputs: int, dtype: DTypeLike
) -> Any:
    """``apply`` over Dask's chunks grown by the halo; at the array's own edges the kernel decides."""
    first, *others = xr.align(*arrays, join="exact")
    depth = {axis: int(halo.get(str(dim), 0)) for axis, dim in enumerate(first.dims)}
    planes = [array.transpose(*first.dims).chunk(dict(first.chunksizes)) for array in others]
    grown = [xr.DataArray(overlap(array.data, depth, boundary="none"), dims=first.dims) for array in (first, *planes)]
    made = apply(kernel, *grown, outputs=outputs, dtype=dtype)
    cut = [first.copy(data=trim_internal(one.data, depth, "none")) for one in (made if outputs > 1 else (made,))]
    return tuple(cut) if outputs > 1 else cut[0]


class _Series:
    """The kernel between layouts: xarray puts the series last, the kernel wants it first and the rest flattened."""

    def __init__(self, kernel: Callable[..., Any]) -> None:
        self._kernel = kernel

    def __call__(self, *arrays: NDArray) -> Any:
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        made = self._kernel(*(np.ascontiguousarray(_first(array, shape)) for array in arrays))
        return tuple(_last(one, shape) for one in made) if isinstance(made, tuple) else _last(made, shape)


def _first(array: NDArray, shape: tuple[int, ...]) -> NDArray:
    """(..., t) -> (t, n)."""
    return np.moveaxis(np.broadcast_to(array, shape), -1, 0).reshape(shape[-1], -1)


def _last(array: NDArray, shape: tuple[int, ...]) -> NDArray:
    """(t, n) -> (..., t)."""
    return np.moveaxis(array.reshape(shape[-1], *shape[:-1]), 0, -1)
