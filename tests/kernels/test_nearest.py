"""The distance to the nearest of some points agrees with plain NumPy, and is a row's own."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.nearest import nearest


def made(n: int, d: int, r: int, m: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(3)
    shapes = ((n, d), (d,), (d, r), (r, m))
    rows, centre, axes, points = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    return rows, centre, axes, points


def plainly(rows: np.ndarray, centre: np.ndarray, axes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The slow twin, in float64."""
    z = (rows.astype(np.float64) - centre) @ axes.astype(np.float64)
    return ((z[:, :, None] - points.astype(np.float64)) ** 2).sum(axis=1).min(axis=1)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (7, 5, 3, 2), (33, 70, 17, 9), (200, 442, 48, 40)])
def test_it_is_the_least_squared_distance_along_the_axes(sizes: tuple[int, int, int, int]) -> None:
    arrays = made(*sizes)
    np.testing.assert_allclose(nearest(*arrays), plainly(*arrays), rtol=2e-4)


def test_a_rows_distance_is_the_same_bits_in_any_company_and_none() -> None:
    rows, *space = made(101, 60, 20, 5)
    whole = nearest(rows, *space)
    order = np.random.default_rng(0).permutation(len(rows))
    np.testing.assert_array_equal(nearest(rows[order], *space), whole[order])
    np.testing.assert_array_equal([nearest(row[None], *space)[0] for row in rows], whole)
    np.testing.assert_array_equal(nearest(np.asfortranarray(rows), *space), whole)
    assert nearest(rows[:0], *space).shape == (0,)


def test_a_row_with_a_missing_value_is_infinitely_far_and_the_others_are_not() -> None:
    rows, *space = made(4, 6, 3, 2)
    rows[1, 2] = np.nan
    assert np.isinf(nearest(rows, *space)).tolist() == [False, True, False, False]
    rows[:] = np.nan
    assert np.isinf(nearest(rows, *space)).all()


def test_other_dtypes_and_shapes_and_no_point_at_all_are_refused() -> None:
    rows, centre, axes, points = made(4, 6, 3, 2)
    for wrong in (
        (rows.astype(np.float64), centre, axes, points),
        (rows, centre[:5], axes, points),
        (rows, centre, axes[:, :2], points),
        (rows, centre, axes, points[:, :0]),
    ):
        with pytest.raises(ValueError, match="expected"):
            nearest(*wrong)
