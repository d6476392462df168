"""What the made country's register and maps say: parcels, legend, truth and labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import geopandas
import numpy as np
from numpy.typing import NDArray

from jobs.demo.covers import COLOURS, COVERS, LEGEND
from jobs.demo.fields import FIELD, Landscape
from jobs.demo.write import CRS, Frame, write_cog


def write_truth(root: Path, frame: Frame, landscape: Landscape, crop: Mapping[int, NDArray[np.int8]]) -> None:
    """Write legend, cropland mask, and per year parcels, truth and labels under ``root``.

    crop: year -> (n,) index into COVERS by the landscape's ids.
    """
    _write_legend(root / "legend.csv")
    code_of = np.array([max(c.code, 0) for c in COVERS], np.uint16)
    is_field = np.concatenate([[False], landscape.kind == FIELD])
    seen = np.concatenate([[False], ~landscape.test])
    write_cog(root / "cropland.tif", is_field.astype(np.uint8)[landscape.ids], frame, 255, classes=True)
    for year, index in crop.items():
        code = code_of[index]
        write_cog(root / f"truth_{year}.tif", code[landscape.ids], frame, 0, classes=True)
        write_cog(
            root / f"labels_{year}.tif",
            np.where(seen, code, 0).astype(np.uint16)[landscape.ids],
            frame,
            0,
            classes=True,
        )
        _write_parcels(root / f"parcels_{year}.parquet", landscape, code[1:])


def _write_parcels(path: Path, landscape: Landscape, code: NDArray[np.uint16]) -> None:
    table = geopandas.GeoDataFrame(
        {
            "id": [f"M{number:06d}" for number in range(1, len(code) + 1)],
            "crop_code": code.astype(np.int32),
            "crop_name": [LEGEND[c] for c in code.tolist()],
            "area_ha": np.round([polygon.area / 10_000 for polygon in landscape.polygons], 4),
            "split": np.where(landscape.test, "test", "train"),
        },
        geometry=landscape.polygons,
        crs=CRS,
    )
    table.to_parquet(path, index=False)


def _write_legend(path: Path) -> None:
    rows = [(0, "No Information"), *sorted(LEGEND.items())]
    lines = [f'CT,{code},"{name}",{COLOURS.get(code, "")}\n' for code, name in rows]
    path.write_text("kind,code,name,colour\n" + "".join(lines), encoding="utf-8")
