"""What every kernel asks of the arrays it is given: dtype, dimensions, layout, and an ``out`` that fits."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray


def contiguous(name: str, array: NDArray, dtype: DTypeLike, shape: tuple[int | None, ...] | None = None) -> NDArray:
    """The array itself where it is C-contiguous and writeable, else such a copy of it.

    A read-only array is another type to Numba, which would compile the kernel once more in the middle of the work.
    ``shape``: expected lengths, None = any length; None instead of a tuple = any shape.
    Raises ValueError on another dtype or shape: a silent cast would hide a unit or a no-data mistake.
    """
    check(name, array, dtype, shape)
    return np.ascontiguousarray(array) if array.flags.writeable else np.array(array, order="C")


def check(name: str, array: NDArray, dtype: DTypeLike, shape: tuple[int | None, ...] | None = None) -> None:
    """Raise ValueError unless the array has this dtype and shape (None = any length)."""
    if array.dtype != np.dtype(dtype):
        raise ValueError(f"{name} is {array.dtype}, expected {np.dtype(dtype)}; convert it with .astype")
    if shape is None:
        return
    fits = array.ndim == len(shape) and all(
        want is None or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"{name} has shape {array.shape}, expected ({wanted})")


def destination(out: NDArray | None, shape: tuple[int, ...], dtype: DTypeLike, *inputs: NDArray) -> NDArray:
    """``out`` where it can be written as it is, or a fresh array; ValueError where it does not fit.

    ``inputs``: those of a kernel that works element by element; out may be one of them, but not lie across one.
    """
    if out is None:
        return np.empty(shape, dtype)
    accumulator("out", out, dtype, shape)
    refuse_shift(out, *inputs)
    return out


def destinations(
    out: tuple[NDArray, ...] | None, number: int, shape: tuple[int, ...], *inputs: NDArray
) -> list[NDArray[np.float32]]:
    """``number`` float32 arrays to write into, overlapping neither each other nor the inputs; else ValueError."""
    parts = out or (None,) * number
    if len(parts) != number:
        raise ValueError(f"out holds {len(parts)} arrays, expected {number}")
    made = [destination(part, shape, np.float32) for part in parts]
    for k, part in enumerate(made):
        refuse_overlap(part, *made[k + 1 :], *inputs)
    return made


def accumulator(name: str, array: NDArray, dtype: DTypeLike, shape: tuple[int | None, ...]) -> None:
    """Raise ValueError unless the array can be updated in place: dtype, shape, C-contiguous, writeable."""
    check(name, array, dtype, shape)
    if not (array.flags.c_contiguous and array.flags.writeable):
        raise ValueError(f"{name} must be C-contiguous and writeable to be written in place; pass a fresh array")


def refuse_shift(out: NDArray, *inputs: NDArray) -> None:
    """Raise ValueError where ``out`` shares memory with an input without being that input, element on element."""
    for array in inputs:
        same = out.ctypes.data == array.ctypes.data and out.nbytes == array.nbytes
        if not same and np.may_share_memory(out, array):
            raise ValueError("out shares memory with a part of an input, expected the whole of it, or separate memory")


def refuse_overlap(out: NDArray, *inputs: NDArray) -> None:
    """Raise ValueError where ``out`` may share memory with an input that is read after out is written."""
    if any(np.may_share_memory(out, array) for array in inputs):
        raise ValueError("out shares memory with an input, expected separate memory; pass a fresh out")
