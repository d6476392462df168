"""Results as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.assess.bootstrap import Intervals, Measures


def plain(value: Any) -> Any:
    """``value`` with arrays as lists, numbers rounded to six places (no -0.0), NaN as None: what JSON can hold."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else round(float(value), 6) + 0.0
    return int(value) if isinstance(value, np.integer) else value


def ranged(found: Measures, between: Intervals, name: str, index: int | None = None) -> dict[str, Any]:
    """A number with the ends of its interval."""
    at = () if index is None else index
    pairs = (("value", found), ("low", between.low), ("high", between.high))
    return {key: float(np.asarray(getattr(each, name))[at]) for key, each in pairs}
