"""Input cut off at a date: to the bit what a training up to that date would have taken, squares and parcels as well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.judge import dates
from engine.judge.choose import Judges
from engine.samples import chosen
from engine.train import TrainRequest, collect
from engine.training import TrainOptions
from engine.types import Samples
from tests.engine.test_clec import STEPS, made_layers, request_for
from tests.engine.test_parcel_samples import ODD, made_request, write_labels


def cut_off(request: TrainRequest, samples: Samples, until: int) -> np.ndarray:
    """Input up to a cut-off of every sample, in their order."""
    recipe = request.recipe.model_copy(update={"steps": until})
    if request.labels.per == "parcel":
        tiles = list(dates._of_parcels(request, samples))
    else:
        tiles = list(dates._of_pixels(request, Judges(samples, samples.y.astype(np.int64), True, ())))
    assert sorted(np.concatenate([rows for rows, _ in tiles])) == list(range(len(samples.y)))
    x = np.full((len(samples.y), until, *samples.x.shape[2:]), -1, np.float32)
    for rows, given in tiles:
        x[rows] = given(recipe)
    return x


@pytest.mark.parametrize(("family", "patch"), [("forest", None), ("twobranch", 3), ("cnn3d", 7)])
def test_pixels_and_their_squares_are_cut_off_as_a_training_would(
    tmp_path: Path, family: str, patch: int | None
) -> None:
    request = request_for(tmp_path, made_layers((30, 30)))
    request = replace(request, options=TrainOptions.model_validate({"family": family, "patch": patch, "block_m": 50}))
    samples = collect(request)
    some = np.random.default_rng(1).random(len(samples.y)) < 0.2
    for until in (STEPS, 2):
        early = request.recipe.model_copy(update={"steps": until})
        expected = collect(replace(request, recipe=early))
        np.testing.assert_array_equal(expected.row, samples.row)
        np.testing.assert_array_equal(cut_off(request, chosen(samples, some), until), expected.x[some])


def test_parcels_are_cut_off_as_a_training_would(tmp_path: Path) -> None:
    request = made_request(tmp_path, write_labels(tmp_path / "p.parquet", ODD))
    samples = collect(request)
    for until in (STEPS, 2):
        early = request.recipe.model_copy(update={"steps": until})
        expected = collect(replace(request, recipe=early)).x
        np.testing.assert_array_equal(cut_off(request, samples, until), expected)
        np.testing.assert_array_equal(cut_off(request, chosen(samples, np.arange(1, 3)), until), expected[1:3])
