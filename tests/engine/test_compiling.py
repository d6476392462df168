"""After ``warm_up`` the cube and feature stages run through without compiling anything."""

from __future__ import annotations

from pathlib import Path

from engine.bands import FEATURE_BANDS
from engine.cube import CubeOptions
from engine.features import derive
from engine.models import Recipe
from kernels.warm import warm_up
from tests.engine.test_cube import build, landsat, sentinel2
from tests.engine.test_features import made_block
from tests.kernels.test_warm import compiled


def test_no_kernel_is_compiled_in_the_middle_of_a_job(tmp_path: Path) -> None:
    warm_up()
    before = compiled()
    scenes = [sentinel2(tmp_path, 1)[0], landsat(tmp_path, 2)[0]]
    for composite in ("max_gcvi", "median", "latest"):
        build("optical", scenes, CubeOptions(uri="u", composite=composite))
    for steps in (1, 5):
        for fill in ("linear", "whittaker"):
            derive(made_block(), Recipe(features=tuple(FEATURE_BANDS), steps=steps, fill=fill))
    assert compiled() == before
