"""Labels looked at before a cube is built: no further than need be, and what a training would say of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import InputError
from engine.samples import LabelOptions, Labels
from engine.survey import survey
from engine.train import TrainRequest, collect
from engine.training import TrainOptions
from engine.training.blocks import tally
from tests.engine.made_scenes import write_raster
from tests.engine.test_clec import made_layers, request_for

SHAPE = (30, 30)


def made(root: Path, codes: np.ndarray, **options: Any) -> TrainRequest:
    """Labels of these codes on an area of 30 x 30 pixels in four tiles."""
    request = request_for(root, made_layers(SHAPE), family="forest")
    uri = str(write_raster(root / "codes.tif", codes.astype(np.uint8)))
    changed = TrainOptions.model_validate({"family": "forest", "block_m": 50, **options})
    return replace(request, labels=LabelOptions(uri=uri), options=changed)


def looked(request: TrainRequest) -> None:
    survey(request.labels, request.options, request.plan)


def test_good_labels_are_read_no_further_than_need_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, cols = np.indices(SHAPE) // 2 % 2
    request, read = made(tmp_path, 2 * rows + cols + 1), []
    real = Labels.read
    monkeypatch.setattr(Labels, "read", lambda self, window: read.append(window) or real(self, window))
    looked(request)
    assert len(read) == 1 < len(request.plan.tiles)


def corner() -> np.ndarray:
    """Two classes in the first 10 x 10 pixels, four blocks of 50 m; each row is a piece, cut along them."""
    codes = np.zeros(SHAPE)
    codes[:10, :10] = np.indices((10, 10))[0] % 2 + 1
    return codes


def halves() -> np.ndarray:
    """Everywhere one class, but for one block."""
    codes = np.ones(SHAPE)
    codes[:5, :5] = 2
    return codes


@pytest.mark.parametrize(
    ("codes", "options", "words"),
    [
        (np.zeros(SHAPE), {}, "not one labelled pixel"),
        (np.ones(SHAPE), {}, r"1 classes of the legend.*\{1: 900\}"),
        (halves(), {"min_samples": 5}, r"1 classes of the legend.*in two blocks or more.*2: 25"),
        (np.indices(SHAPE)[0] % 2 + 1, {"min_samples": 1000}, "0 classes of the legend with 1000 samples"),
        (corner(), {}, "labels in 4 spatial blocks"),
    ],
)
def test_labels_that_no_training_could_use_are_refused(
    tmp_path: Path, codes: np.ndarray, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=f"(?s){words}") as told:
        looked(made(tmp_path, codes, **options))
    assert told.value.expected and told.value.remedy and told.value.place


def test_what_cannot_be_used_is_told_before_a_cube_is_built(tmp_path: Path) -> None:
    request = made(tmp_path, np.indices(SHAPE)[0] % 3 + 1)
    (tmp_path / "legend.csv").write_text("code,name\n1,oats\n2,rye\n")
    named = request.labels.model_copy(update={"legend": str(tmp_path / "legend.csv")})
    small = "blocks of 50 m are smaller than fields"
    unnamed, of_fields = survey(named, request.options, request.plan)
    assert unnamed == "labels: codes 3 are not in the legend and are left out" and small in of_fields
    (of_fields,) = survey(request.labels, request.options, request.plan)
    assert small in of_fields and "longer than 300 m" in of_fields


def test_samples_are_counted_by_code_and_block_as_plain_loops_count_them(tmp_path: Path) -> None:
    samples = collect(made(tmp_path, np.random.default_rng(1).integers(0, 4, SHAPE)))
    codes, blocks, counts = tally(samples.y, samples.block)
    expected = Counter(zip(samples.y.tolist(), samples.block.tolist(), strict=True))
    found = {(int(codes[k]), int(blocks[g])): int(counts[k, g]) for k, g in np.argwhere(counts)}
    assert found == expected and counts.sum() == len(samples.y)
