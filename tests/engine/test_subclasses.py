"""Sub-classes of a crop: as many as there are, one where there is but one kind."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.training.subclasses import MIN_SIZE, explained, mapped, paper_score, split, sub_classes


def heaps(seed: int, sizes: tuple[int, ...], features: int = 14) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Gaussian heaps of these sizes, their centres 8 standard deviations from each other; which heap each is of."""
    rng = np.random.default_rng(seed)
    heap = np.repeat(np.arange(len(sizes)), sizes)
    return 0.45 * np.eye(len(sizes), features)[heap] + 0.08 * rng.standard_normal((len(heap), features)), heap


def same_parts(one: NDArray, other: NDArray) -> bool:
    """Whether two numberings part the samples alike."""
    pairs = len(np.unique(np.stack([one, other]), axis=1).T)
    return pairs == len(np.unique(one)) == len(np.unique(other))


@pytest.mark.parametrize("sizes", [(80, 80), (100, 25), (60, 50, 40)])
def test_a_class_of_several_kinds_is_parted_into_just_these(sizes: tuple[int, ...]) -> None:
    for seed in range(2):
        x, heap = heaps(seed, sizes)
        assert same_parts(split(x, "calinski_harabasz", seed), heap)


def test_a_gaussian_class_stays_whole_and_by_the_papers_score_is_always_cut_in_four() -> None:
    for seed in range(4):
        x, _ = heaps(seed, (120,))
        assert not split(x, "calinski_harabasz", seed).any()
        assert len(np.unique(split(x, "paper", seed))) == 4
    two, _ = heaps(9, (80, 80))
    assert len(np.unique(split(two, "paper", 9))) == 4


def test_no_sub_class_is_smaller_than_ten_and_a_small_class_stays_whole() -> None:
    x, _ = heaps(1, (60, MIN_SIZE - 3))
    assert not split(x, "calinski_harabasz", 1).any()
    x, _ = heaps(1, (9, 9))
    assert not split(x, "calinski_harabasz", 1).any()
    assert split(x[:1], "paper", 1).tolist() == [0]


def test_sub_classes_are_numbered_through_all_classes_and_equal_for_equal_seeds() -> None:
    x, heap = heaps(4, (50, 50, 50))
    y = np.where(heap == 2, 3, 1)
    shuffled = np.random.default_rng(0).permutation(len(y))
    x, y, heap = x[shuffled], y[shuffled], heap[shuffled]
    found = sub_classes(x, y, "calinski_harabasz", 7)
    assert set(found[y == 1]) == {0, 1} and set(found[y == 3]) == {2} and same_parts(found, heap)
    np.testing.assert_array_equal(found, sub_classes(x.copy(), y.copy(), "calinski_harabasz", 7))


def test_what_sub_classes_explain_and_the_papers_score_agree_with_slow_twins() -> None:
    x, heap = heaps(2, (20, 30, 15), features=5)
    member = mapped(x, 3, 0)
    assert same_parts(member, heap)
    whole = sum(((row - x.mean(axis=0)) ** 2).sum() for row in x)
    centres = [np.mean([row for row, own in zip(x, member, strict=True) if own == unit], axis=0) for unit in range(3)]
    rest = sum(((row - centres[own]) ** 2).sum() for row, own in zip(x, member, strict=True))
    assert explained(x, member) == pytest.approx(whole - rest)
    within = np.mean([np.sqrt(((row - centres[own]) ** 2).sum()) for row, own in zip(x, member, strict=True)])
    between = sum(np.sqrt(((centre - x.mean(axis=0)) ** 2).sum()) for centre in centres)
    assert paper_score(x, member) == pytest.approx(within / between)
