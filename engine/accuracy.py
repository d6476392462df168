"""How good a map is: confusion matrix, agreement, per-class accuracies, calibration, and areas with their errors.

One orientation throughout: rows of a confusion matrix are the map, columns the reference. So user's accuracy (of what
the map calls maize, how much is maize: precision) divides by row sums, and producer's accuracy (of the maize there is,
how much the map finds: recall) by column sums. scikit-learn's matrix is the transpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054
"""Half-width of a 95 % interval in standard errors (normal)."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Agreement of a map with reference labels; NaN where it is not defined (a class nobody has or nobody maps).

    confusion: (k, k) int64, rows map, columns reference. users, producers, f1: (k,) float64, 0 to 1.
    """

    confusion: NDArray[np.int64]
    overall: float
    """Share of the samples that are right."""
    kappa: float
    """Cohen's kappa."""
    macro_f1: float
    """Mean F1 of the classes that the reference or the map has."""
    users: NDArray[np.float64]
    producers: NDArray[np.float64]
    f1: NDArray[np.float64]
    quantity: float
    """Quantity disagreement (Pontius and Millones 2011): how wrong the classes' amounts are."""
    allocation: float
    """Allocation disagreement: the rest of the error, right amounts in wrong places."""


COUNTED = "counted from the map's pixels, no estimate: a map's errors do not cancel; tilth sample estimates areas"
"""Said wherever areas are printed or stored that are sums of a map's pixels, or of parcels by mapped crop."""


@dataclass(frozen=True, slots=True)
class AreaEstimate:
    """Area-weighted accuracies and areas, each with its standard error (``*_se``); shares 0 to 1, (k,) float64. NaN
    where not defined: with fewer than two points in a stratum, or none of a class, no variance is known."""

    overall: float
    overall_se: float
    users: NDArray[np.float64]
    users_se: NDArray[np.float64]
    users_between: tuple[NDArray[np.float64], NDArray[np.float64]]
    """Ends of their 95 % intervals (Clopper and Pearson 1934): exact, where all points of a stratum agree as well."""
    producers: NDArray[np.float64]
    producers_se: NDArray[np.float64]
    area: NDArray[np.float64]
    """Area of each reference class, in the unit of the mapped areas."""
    area_se: NDArray[np.float64]

    @property
    def area_interval(self) -> NDArray[np.float64]:
        """Half-width of the areas' 95 % intervals, (k,)."""
        return Z95 * self.area_se


def confusion(mapped: NDArray[np.integer], reference: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Counts (k, k) int64, rows map, columns reference, of class indices (n,) 0 <= i < classes."""
    if mapped.shape != reference.shape or mapped.ndim != 1:
        raise ValueError(f"mapped and reference must be (n,) alike, got {mapped.shape} and {reference.shape}")
    for name, values in (("mapped", mapped), ("reference", reference)):
        if len(values) and not (values.min() >= 0 and values.max() < classes):
            raise ValueError(f"{name} must hold 0 to {classes - 1}, got {values.min()} to {values.max()}")
    flat = mapped.astype(np.int64) * classes + reference
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def score(matrix: NDArray[np.integer]) -> Scores:
    """The scores of a confusion matrix (k, k), rows map, columns reference; all NaN where it is empty."""
    counts = matrix.astype(np.int64)
    total = counts.sum()
    right, rows, columns = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    overall = _ratio(right.sum(), total)
    chance = _ratio((rows * columns).sum(), total * total)
    f1 = _ratio(2 * right, rows + columns)
    quantity = _ratio(np.abs(rows - columns).sum() / 2, total)
    return Scores(
        confusion=counts,
        overall=float(overall),
        kappa=float(_ratio(overall - chance, 1 - chance)),
        macro_f1=float(np.nanmean(f1)) if total else float("nan"),
        users=_ratio(right, rows),
        producers=_ratio(right, columns),
        f1=f1,
        quantity=float(quantity),
        allocation=float(1 - overall - quantity),
    )


def calibration_error(p: NDArray[np.floating], reference: NDArray[np.integer], bins: int = 15) -> float:
    """Expected calibration error of the winning class, in bins of equal mass (Nixon et al. 2019).

    p: (n, k) probabilities. reference: (n,) class indices. Returns the mean over samples of |confidence - accuracy|
    per bin, 0 to 1; NaN without samples.
    """
    if len(p) == 0:
        return float("nan")
    confidence = p.max(axis=1).astype(np.float64)
    right = p.argmax(axis=1) == reference
    order = np.argsort(confidence, kind="stable")
    gaps = [abs(confidence[part].sum() - right[part].sum()) for part in np.array_split(order, bins)]
    return float(sum(gaps) / len(p))


def estimate_areas(
    matrix: NDArray[np.integer], mapped_area: NDArray[np.floating], pixels: NDArray[np.integer] | None = None
) -> AreaEstimate:
    """Areas and accuracies of a stratified random sample whose strata are the map's classes (Olofsson et al. 2014).

    matrix: (k, k) sample counts, rows map, columns reference. mapped_area: (k,) area of each map class, any unit.
    pixels: (k,) of each stratum; one of which every pixel was looked at has no variance. Equations 1 to 7 and 9 to 11
    of Olofsson et al. (Remote Sensing of Environment 148, 42-57), save where all points of a stratum agree: their
    variance of 0 would say that so few points prove it, so there it is that of the share (x + z2/2) / (n + z2) of
    n + z2 points (Agresti and Coull 1998). Only a probability sample gives design-based estimates; with convenience
    labels the numbers are agreement with the reference. Raises ValueError where areas do not fit.
    """
    n = matrix.sum(axis=1).astype(np.float64)
    mapped = np.asarray(mapped_area, np.float64)
    if mapped.shape != n.shape or not (mapped >= 0).all() or mapped.sum() <= 0:
        raise ValueError(f"mapped_area must be {len(n)} areas, 0 or more and not all 0, got {mapped}")
    total, there = mapped.sum(), (mapped > 0)[:, None]
    weight = (mapped / total)[:, None]
    share = np.where(there, _ratio(matrix, n[:, None]), 0.0)  # n_ij / n_i
    p = weight * share  # equation 4
    columns = p.sum(axis=0)  # equation 8 and 9
    users, producers = np.where(there[:, 0], np.diag(share), np.nan), _ratio(np.diag(p), columns)
    spread = np.where(there, _spread(matrix, n, share, pixels), 0.0)
    never = matrix.sum(axis=0) == 0
    return AreaEstimate(
        overall=float(np.trace(p)),
        overall_se=float(np.sqrt((weight[:, 0] ** 2 * np.diag(spread)).sum())),  # equation 5
        users=users,
        users_se=np.where(there[:, 0], np.sqrt(np.diag(spread)), np.nan),  # equation 6
        users_between=_exact(np.diag(matrix), np.where(there[:, 0] & (n > 1), n, 0)),
        producers=producers,
        producers_se=_known(_producers_se(spread, producers, mapped, share), spread, there),
        area=total * columns,
        area_se=np.where(never, np.nan, total * np.sqrt((weight**2 * spread).sum(axis=0))),  # equation 10
    )


def _spread(
    matrix: NDArray[np.integer], n: NDArray[np.float64], share: NDArray[np.float64], pixels: NDArray[np.integer] | None
) -> NDArray[np.float64]:
    """Variance of each share in its stratum, (k, k); NaN with fewer than two points, 0 where all pixels are known."""
    agree = (matrix == n[:, None]).any(axis=1)[:, None]
    many = n[:, None] + Z95**2
    near = (matrix + Z95**2 / 2) / many
    found = np.where(agree, near * (1 - near) / many, _ratio(share * (1 - share), n[:, None] - 1))
    found = np.where(n[:, None] < 2, np.nan, found)
    whole = np.zeros_like(agree) if pixels is None else ((n >= pixels) & (n > 0))[:, None]
    return np.where(whole, 0.0, found)


def _known(error: NDArray[np.float64], spread: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """No error of 0 unless every pixel is known: of a share of 1, points that missed nothing are no proof."""
    return np.where((error == 0) & (spread[there[:, 0]] > 0).any(), np.nan, error)


def _exact(right: NDArray[np.integer], n: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % interval of a share, ``right`` of ``n`` points; NaN without points."""
    from scipy.stats import beta  # takes a while to import

    with np.errstate(invalid="ignore"):
        low, high = beta.ppf(0.025, right, n - right + 1), beta.ppf(0.975, right + 1, n - right)
    low, high = np.where(right == 0, 0.0, low), np.where(right == n, 1.0, high)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def _producers_se(
    spread: NDArray[np.float64],
    producers: NDArray[np.float64],
    mapped: NDArray[np.float64],
    share: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Standard error of producer's accuracy, equation 7 of Olofsson et al. 2014."""
    own = mapped**2 * (1 - producers) ** 2 * np.diag(spread)
    others = (mapped[:, None] ** 2 * spread).sum(axis=0) - mapped**2 * np.diag(spread)
    estimated = (mapped[:, None] * share).sum(axis=0)
    return np.sqrt(_ratio(own + producers**2 * others, estimated**2))


def _ratio(a: NDArray | float, b: NDArray | float, empty: float = np.nan) -> NDArray[np.float64]:
    """a / b in float64, ``empty`` where b is 0."""
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    return np.divide(a, b, out=np.full(a.shape, empty), where=b != 0)
