"""Values of labels that are numbers -> codes: int64, never rounded, wrapped or guessed."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.errors import InputError

MOST_CODE = 2**63 - 1
_EXPECTED = f"whole numbers from 1 to {MOST_CODE}, 0 for not labelled"
_WHOLE = re.compile(r"\+?[0-9]+(\.0+)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_KINDS = {"integer", "floating", "mixed-integer-float", "decimal", "empty"}
"""What pandas calls a column of numbers."""


def is_whole(text: str) -> bool:
    """Whether a text is a whole number of digits alone, such as ``0123`` or ``12.0``."""
    return _WHOLE.fullmatch(text) is not None


def is_number(text: str) -> bool:
    """Whether a text is a number of any kind."""
    return _NUMBER.fullmatch(text) is not None


def number_of(text: str, what: str, place: str) -> int:
    """The code that a text of digits is; InputError above int64. ``what``: the cell, for the error."""
    code = int(text.partition(".")[0])
    if code > MOST_CODE:
        raise InputError(f"{what} holds {text}", expected=_EXPECTED, place=place, remedy="use shorter codes")
    return code


def raster_codes(values: NDArray[Any], ignore: Collection[int | str], place: str) -> NDArray[np.int64]:
    """A raster's codes, int64 of the same shape, 0 where the raster holds NaN or a value to ignore.

    InputError for what is no code, and for floats so large that they stand for several: float32 knows every whole
    number up to 2 ** 24 only.
    """
    if values.dtype.kind not in "iuf":
        raise _refused(f"holds {values.dtype}", place, "write a raster of whole numbers")
    numbers = [number for number in ignore if isinstance(number, int)]
    unlabelled = np.isin(values, np.array([n for n in numbers if _fits(n, values.dtype)], values.dtype))
    if values.dtype.kind == "f":
        unlabelled |= np.isnan(values)
    labelled = values[~unlabelled]
    remedy = "name it under labels.ignore, or as the raster's nodata, if it means not labelled"
    if values.dtype.kind == "f":
        refuse_rounded(labelled, place)
        broken = labelled[labelled % 1 != 0]
        if len(broken):
            raise _refused(f"a pixel holds {broken[0]:g}", place, "write a raster of whole numbers")
    wrong = labelled[(labelled < 0) | (labelled > MOST_CODE)] if values.dtype.kind != "i" else labelled[labelled < 0]
    if len(wrong):
        raise _refused(f"a pixel holds {wrong[0]}", place, remedy)
    codes = np.zeros(values.shape, np.int64)
    codes[~unlabelled] = labelled.astype(np.int64)
    return codes


def refuse_rounded(values: NDArray[Any], place: str) -> None:
    """InputError for floats that are infinite, or so large that whole numbers beside each other are one of them."""
    if values.dtype.kind != "f":
        return
    digits = np.finfo(values.dtype).nmant + 1
    large = values[np.abs(values) >= 2.0**digits]
    if len(large):
        raise InputError(
            f"a pixel holds {large.flat[0]:.17g} as {values.dtype}",
            expected=f"less than 2 ** {digits}: from there on {values.dtype} does not know every whole number",
            place=place,
            remedy="write the raster as int64 or uint32 from what it was made of",
        )


def column_codes(values: pd.Series, column: str, place: str) -> NDArray[np.int64]:
    """Codes (n,) int64 of a column of numbers without missing values; InputError, with the row, for what is no code."""
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind not in _KINDS:
        raise InputError(
            f"column {column!r} holds {kind} values, such as {values.iloc[0]!r}",
            expected="whole numbers or names of crops",
            place=place,
            remedy="name a column of codes or names under labels.column",
        )
    numbers = values.to_numpy()
    if numbers.dtype.kind in "iu":
        wrong = numbers > MOST_CODE if numbers.dtype.kind == "u" else numbers < 0
        exact = numbers
    elif numbers.dtype.kind == "f":
        exact, wrong = numbers, ~np.isfinite(numbers) | (numbers < 0) | (numbers >= 2.0**53)
        wrong[~wrong] = numbers[~wrong] % 1 != 0
    else:
        exact = np.array([_python_int(number) for number in numbers], object)
        wrong = np.array([code is None for code in exact], bool)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise _refused(
            f"column {column!r} holds {numbers[first]} in row {values.index[first]}", place,
            "mend the code; rows that are not labelled have none, or one under labels.ignore",
        )  # fmt: skip
    return exact.astype(np.int64)


def _python_int(number: Any) -> int | None:
    """A Python or decimal number as a code; None where it is none."""
    try:
        whole = int(number)
    except (ValueError, OverflowError, ArithmeticError):
        return None
    return whole if whole == number and 0 <= whole <= MOST_CODE else None


def _fits(number: int, dtype: np.dtype[Any]) -> bool:
    """Whether a raster of this type can hold the number at all."""
    if dtype.kind == "f":
        return abs(number) <= np.finfo(dtype).max and int(dtype.type(number)) == number
    return bool(np.iinfo(dtype).min <= number <= np.iinfo(dtype).max)


def _refused(value: str, place: str, remedy: str) -> InputError:
    return InputError(value, expected=_EXPECTED, place=place, remedy=remedy)
