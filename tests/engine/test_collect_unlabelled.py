"""Unlabelled pixels drawn from a real cube: off labels, on the mask, and the labelled ones stay what they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.ground import MaskOptions
from engine.judge.choose import judges
from engine.models import read_card
from engine.samples import LabelOptions, Labels
from engine.train import TrainRequest, collect, is_trained, train
from engine.training import TrainOptions
from engine.types import Samples, Window
from tests.engine.made_scenes import write_raster
from tests.engine.test_clec import GRID, made_layers, request_for
from tests.engine.test_samples import polygon, write_parcels

SHAPE = (30, 30)
WHOLE = Window(0, 30, 0, 30)


def made_request(root: Path, family: str, virtual: dict[str, float] | None, **other: int) -> TrainRequest:
    """On a cube of 30 x 30 pixels in four tiles, of which every twelfth is labelled; the left half is on the mask."""
    root.mkdir(exist_ok=True)
    made = request_for(root, made_layers(SHAPE))
    codes = np.where(np.random.default_rng(3).random(SHAPE) < 1 / 12, 1 + np.indices(SHAPE)[0] % 2, 0)
    labels = write_raster(root / "few.tif", codes.astype(np.uint8))
    mask = write_raster(root / "mask.tif", np.repeat([[1] * 15 + [0] * 15], 30, axis=0).astype(np.uint8))
    options = TrainOptions.model_validate({"family": family, "block_m": 50, "virtual": virtual, **other})
    return replace(made, labels=LabelOptions(uri=str(labels)), options=options, mask=MaskOptions(uri=str(mask)))


def rows_of(samples: Samples, which: np.ndarray) -> dict[str, np.ndarray]:
    held = {name: getattr(samples, name) for name in Samples.__slots__}
    return {name: array[which] for name, array in held.items() if array is not None}


@pytest.mark.parametrize(("family", "other"), [("cnn1d", {}), ("twobranch", {"patch": 3}), ("clec", {})])
def test_unlabelled_pixels_come_behind_labelled_ones_that_stay_the_same(
    tmp_path: Path, family: str, other: dict[str, int]
) -> None:
    bare = collect(made_request(tmp_path / "bare", family, None, **other))
    request = made_request(tmp_path / "more", family, {}, **other)
    more = collect(request)
    codes, block = Labels(request.labels, GRID, 50).read(WHOLE)
    assert (bare.y != 0).all()
    for name, array in rows_of(more, more.y != 0).items():
        expected = getattr(bare, name)
        if name == "near":  # as wide as the widest, and unlabelled pixels may touch more blocks
            assert not array[:, expected.shape[1] :].any()
            array = array[:, : expected.shape[1]]
        np.testing.assert_array_equal(array, expected, err_msg=name)
    free = more.y == 0
    assert 60 < free.sum() <= 3 * (~free).sum()
    assert (codes[more.row[free], more.col[free]] == 0).all() and (more.col[free] < 15).all()
    assert not ((more.row == 0) & (more.col == 0)).any(), "a pixel that was never seen"
    np.testing.assert_array_equal(more.block, block[more.row, more.col])
    assert len({*zip(more.row.tolist(), more.col.tolist(), strict=True)}) == len(more.y)
    if more.near is not None:
        around = np.pad(block, 1)
        for i in np.flatnonzero(free):
            row, col = more.row[i], more.col[i]
            if 0 < row < 29 and 0 < col < 29:
                assert set(more.near[i].tolist()) - {0} == set(around[row : row + 3, col : col + 3].ravel().tolist())
    again = collect(request)
    np.testing.assert_array_equal(more.x, again.x)


def test_fewer_are_drawn_for_a_smaller_share_and_the_mask_counts_for_them_alone(tmp_path: Path) -> None:
    request = made_request(tmp_path, "cnn1d", {"share": 0.3})
    samples = collect(request)
    labelled = int((samples.y != 0).sum())
    assert 0 < (samples.y == 0).sum() <= labelled
    assert (samples.col[samples.y != 0] >= 15).any()
    bare = replace(request, options=request.options.model_copy(update={"virtual": None}))
    assert request.key() != replace(request, mask=None).key() != bare.key()
    assert bare.key() == replace(bare, mask=None).key()


def test_a_model_of_virtual_labels_is_trained_from_a_cube_and_judged_on_its_own_test_blocks(tmp_path: Path) -> None:
    request = made_request(tmp_path, "forest", {"threshold_scale": 2.0}, min_samples=5, trees=5)
    report = train(request)
    assert report["virtual"]["trained_on"] > 0 and is_trained(request)
    by = judges(request, read_card(request.model_uri), foreign=False)
    assert by.held_out and by.unknown == () and (by.samples.y != 0).all()
    assert len(by.y) == report["accuracy"]["samples"]


def test_beside_parcels_a_pixel_lies_in_the_block_of_its_own_place(tmp_path: Path) -> None:
    path = write_parcels(tmp_path / "p.parquet", [polygon(10, 10, 190, 30)], [1])
    codes, block = Labels(LabelOptions(uri=str(path)), GRID, 100.0).read(WHOLE)
    raster = write_raster(tmp_path / "r.tif", np.ones(SHAPE, np.uint8))
    place = Labels(LabelOptions(uri=str(raster)), GRID, 100.0).read(WHOLE)[1]
    assert len(np.unique(block[codes == 1])) == 1 < len(np.unique(place[codes == 1]))
    np.testing.assert_array_equal(block[codes == 0], place[codes == 0])
    far = Labels(LabelOptions(uri=str(path)), GRID, 100.0).read(Window(20, 30, 20, 30))[1]
    np.testing.assert_array_equal(far, place[20:, 20:])
