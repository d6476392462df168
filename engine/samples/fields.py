"""How large the labelled fields are, and whether each is kept whole where blocks are dealt to training and test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one season's labels: polygons, or connected pieces of one code."""

    count: int | None
    """None: they were not looked for."""
    median_m: float | None = None
    """Half of the labelled ground lies in fields whose longer side is longer."""
    p90_m: float | None = None
    """A tenth does."""
    cut_share: float = 0.0
    """Share of the labelled ground in pieces that are cut along blocks."""
    why: str = ""
    """Why fields were not looked for."""

    @classmethod
    def unknown(cls, why: str) -> Fields:
        """Fields that were not looked for: they are cut along blocks."""
        return cls(None, why=why)

    @classmethod
    def of_sizes(cls, longest_m: NDArray[Any], ground: NDArray[Any], cut_share: float) -> Fields:
        """longest_m: (n,) the longer side of each field's box. ground: (n,) its area, in any unit."""
        if not len(longest_m):
            return cls(0)
        order = np.argsort(longest_m, kind="stable")
        upto = np.cumsum(ground[order]) / np.sum(ground)
        median, p90 = longest_m[order][np.searchsorted(upto, [0.5, 0.9]).clip(max=len(order) - 1)].tolist()
        return cls(len(longest_m), float(median), float(p90), cut_share)

    @classmethod
    def of_several_seasons(cls) -> Fields:
        """Fields of rasters of several seasons: pixels keep the blocks of their places, so that no season is tested on
        ground that another is learnt from."""
        return cls.unknown("several seasons share the ground, which is dealt by its blocks")

    def told(self, block_m: float) -> dict[str, Any]:
        """As JSON, for report and card. ``optimistic``: sentences on why figures of the test flatter; ``notes``: on
        blocks smaller than fields."""
        optimistic, notes = [], []
        if self.count is None:
            optimistic.append(
                f"fields are not kept whole ({self.why}), so that parts of one may be learnt from and tested on; "
                "labels.border_m keeps them apart"
            )
        elif self.cut_share > 0:
            optimistic.append(
                f"{self.cut_share:.0%} of the labelled ground lies in connected pieces of one code that hold more than "
                "a tenth of all labels, or are longer than a block and all that there is of their code; these are cut "
                "along blocks, so that parts of one field may be learnt from and tested on; labels.border_m keeps them "
                "apart"
            )
        if self.p90_m is not None and self.p90_m > block_m:
            notes.append(
                f"blocks of {block_m:g} m are smaller than fields: half of the labelled ground lies in fields longer "
                f"than {self.median_m:.0f} m, a tenth in fields longer than {self.p90_m:.0f} m; a larger "
                "labels.block_m holds more than one"
            )
        return {
            "count": self.count,
            "longer_side_m": {"median": self.median_m, "p90": self.p90_m},
            "cut_share": round(self.cut_share, 6),
            "block_m": block_m,
            "optimistic": optimistic,
            "notes": notes,
        }
