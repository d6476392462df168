"""Tables of samples: put together, and some of their rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.samples.near import stacked
from engine.types import Samples


def joined(parts: list[Samples]) -> Samples:
    """One table of several, all with the same columns."""
    held = [name for name in Samples.__slots__ if getattr(parts[0], name) is not None]
    columns: dict[str, Any] = {
        name: (stacked if name == "near" else np.concatenate)([getattr(part, name) for part in parts]) for name in held
    }
    return replace(parts[0], **columns)


def chosen(samples: Samples, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Samples:
    """Some rows of a table, by mask or by number."""
    held = [name for name in Samples.__slots__ if getattr(samples, name) is not None]
    return replace(samples, **{name: getattr(samples, name)[rows] for name in held})
