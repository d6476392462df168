"""What headers tell before a worker starts: whether a raster can be read as codes at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import InputError
from jobs.headers import raster_box
from tests.engine.made_scenes import LEFT, TOP, made_grid
from tests.engine.test_raster_header import write

PLANE = np.ones((20, 20), np.uint8)


def test_a_raster_of_one_band_is_where_it_lies(tmp_path: Path) -> None:
    path = write(tmp_path / "mask.tif", PLANE, nodata=255)
    assert raster_box(str(path), made_grid()) == (LEFT, TOP - 200, LEFT + 200, TOP)


def test_what_cannot_be_read_as_codes_is_refused_before_work_starts(tmp_path: Path) -> None:
    several = str(write(tmp_path / "several.tif", PLANE, PLANE, PLANE))
    with pytest.raises(InputError, match=r"several\.tif: 3 bands in the file, and none is named: 1 \(uint8\)"):
        raster_box(several, made_grid())
    assert raster_box(several, made_grid(), 3)
    with pytest.raises(InputError, match=r"no band 4 in the file.*1 \(uint8\), 2 \(uint8\), 3 \(uint8\)"):
        raster_box(several, made_grid(), 4)
    with pytest.raises(InputError, match="data type complex64"):
        raster_box(str(write(tmp_path / "slc.tif", PLANE.astype(np.complex64))), made_grid())


def test_values_to_keep_that_the_header_calls_no_data_are_refused(tmp_path: Path) -> None:
    path = str(write(tmp_path / "mask.tif", PLANE, nodata=1))
    assert raster_box(path, made_grid(), keep=(2,))
    with pytest.raises(InputError, match=r"its header calls 1 no data.*unsetnodata"):
        raster_box(path, made_grid(), keep=(1, 2))
