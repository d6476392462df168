"""Areas and accuracies from a filled-in sample, design-based: what it says, and what it is too small to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.accuracy import Z95, AreaEstimate, estimate_areas
from engine.errors import InputError
from engine.points import Strata, refuse_twice

_TOO_FEW = "not defined: too few points"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a filled-in sample says. Classes are those of the map, then codes that only the reference has."""

    codes: tuple[int, ...]
    names: tuple[str, ...]
    matrix: NDArray[np.int64]
    """(k, k) counts, rows map, columns reference."""
    mapped_km2: NDArray[np.float64]
    areas: AreaEstimate
    unfilled: int
    """Points without a reference yet."""
    written: Mapping[str, int]
    """What stands in their place, other than nothing, and how often."""
    missing: int
    """Points that were drawn and are not in the file."""
    checked: bool
    """Whether the file names the map it was drawn from."""
    few: tuple[tuple[str, int], ...]
    """Classes of the map with fewer than two points, of more pixels than that, and how many these have."""

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers should know."""
        found = []
        for count, lack in ((self.unfilled, "have no reference"), (self.missing, "of those drawn are not in the file")):
            if count:
                found.append(f"{count} points {lack}; if not by chance, areas are off.")
        for word, count in self.written.items():
            found.append(f"{count} points hold {word!r} as reference, which is taken for none.")
        mapped = self.mapped_km2 > 0
        counts = self.matrix.sum(axis=0)
        strangers = [(self.names[i], int(counts[i])) for i in np.flatnonzero(~mapped & (counts > 0))]
        if strangers:
            told = ", ".join(f"{name} ({count})" for name, count in strangers)
            found.append(f"Points whose reference the map never says, all of them errors: {told}.")
        if self.few:
            found.append(f"No interval is defined where it rests on these: {self._lacking}.")
        return found

    def row(self, index: int) -> dict[str, Any]:
        """Area and accuracies of one class with their intervals."""
        areas, never = self.areas, int(self.matrix[:, index].sum()) == 0
        of_area = f"{_TOO_FEW}: not one has this class as reference" if never else f"{_TOO_FEW}: {self._lacking}"
        of_producers = (
            of_area if never or self.few else f"{_TOO_FEW}: none that the map calls otherwise is of this class"
        )
        unsaid = f"{_TOO_FEW} where the map says so" if self.mapped_km2[index] else "not defined: the map never says it"
        low, high = (float(end[index]) for end in areas.users_between)
        return {
            "estimated_km2": spread(areas.area[index], areas.area_se[index], of_area),
            "users_accuracy": spread(
                areas.users[index], areas.users_se[index], unsaid, 1.0, None if np.isnan(low) else (low, high)
            ),
            "producers_accuracy": spread(areas.producers[index], areas.producers_se[index], of_producers, 1.0),
        }

    @property
    def overall(self) -> dict[str, Any]:
        """Overall accuracy with its interval."""
        return spread(self.areas.overall, self.areas.overall_se, f"{_TOO_FEW}: {self._lacking}", 1.0)

    @property
    def _lacking(self) -> str:
        return ", ".join(f"{count} where the map says {name}" for name, count in self.few)


def spread(
    value: float,
    error: float,
    reason: str,
    most: float = np.inf,
    between: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """A number with its 95 % interval, cut to what it can be; NaN with the ``reason`` where the interval is not
    defined. between: its ends, where they do not follow from the standard error."""
    if np.isnan(error):
        nothing = float("nan")
        return {"value": value, "low": nothing, "high": nothing, "standard_error": nothing, "reason": reason}
    half = Z95 * error
    low, high = between or (max(0.0, value - half), min(most, value + half))
    return {"value": value, "low": low, "high": high, "standard_error": error}


def estimate(points: pd.DataFrame, strata: Strata, place: str) -> Estimate:
    """Areas and accuracies from a filled-in sample (Olofsson et al. 2014), design-based if the points are a
    probability sample of this map.

    Raises InputError where they were drawn from another map, name classes it does not have, hold a point twice, or
    have not one reference.
    """
    refuse_twice(points, place)
    checked = _check_map(points, strata, place)
    filled = points[points["reference"].notna() & points["map_code"].notna()]
    if not len(filled):
        raise InputError("not one point has a reference", place=place, remedy="fill in the column reference")
    mapped, reference = filled["map_code"].to_numpy(np.int64), filled["reference"].to_numpy(np.int64)
    foreign = sorted(set(mapped.tolist()) - set(strata.codes))
    if foreign:
        raise InputError(f"map_code {foreign[:5]}", expected=f"codes of the map: {list(strata.codes)}", place=place)
    strangers = sorted(set(reference.tolist()) - set(strata.codes))
    codes = (*strata.codes, *strangers)
    names = (*strata.names, *(f"code {code}, not of the map" for code in strangers))
    at = {code: index for index, code in enumerate(codes)}
    matrix = np.zeros((len(codes), len(codes)), np.int64)
    np.add.at(matrix, ([at[c] for c in mapped.tolist()], [at[c] for c in reference.tolist()]), 1)
    area, pixels = (
        np.concatenate([of, np.zeros(len(strangers))]) for of in (strata.area_km2, strata.pixels.sum(axis=0))
    )
    count = matrix.sum(axis=1)
    few = [(names[i], int(count[i])) for i in np.flatnonzero((count < 2) & (pixels > count))]
    there = points["there"] if "there" in points.columns else pd.Series(True, points.index)
    return Estimate(
        codes, names, matrix, area, estimate_areas(matrix, area, pixels.astype(np.int64)),
        unfilled=int(there.sum()) - len(filled), written=_written(points), missing=_missing(points, there),
        checked=checked, few=tuple(few),
    )  # fmt: skip


def _check_map(points: pd.DataFrame, strata: Strata, place: str) -> bool:
    """Whether the points say what map they were drawn from; InputError where it is another one."""
    for column, mine in (("map", strata.map), ("design", strata.design)):
        if column in points.columns:
            named = [str(name) for name in points[column].dropna().unique()]
            if named != [mine]:
                raise InputError(
                    f"points drawn from map {', '.join(name[:12] for name in named[:3])}",
                    expected=f"{mine[:12]}, as it is now",
                    place=place,
                    remedy="the map was made anew since: its strata are others; draw again with tilth sample",
                )
            return True
    return False


def _written(points: pd.DataFrame) -> dict[str, int]:
    if "written" not in points.columns:
        return {}
    words = points["written"][points["written"] != ""]
    return {str(word): int(count) for word, count in words.value_counts().items()}


def _missing(points: pd.DataFrame, there: pd.Series) -> int:
    """How many of those drawn are not there: by the design, or up to the largest number."""
    if "there" in points.columns or "id" not in points.columns:
        return int((~there).sum())
    return max(int(points["id"].max()), len(points)) - len(points)
