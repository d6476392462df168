"""A made country's scenes and a job over them: what the benchmarks of the whole way start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import shapely

from jobs.demo import Country, CountryOptions, write_country
from jobs.spec import Spec, parse_spec

YEAR = 2024


def country(root: Path, pixels: int, cadence: int) -> Country:
    """The made country of this size under ``root``, every so many overpasses kept; ``pixels`` is a multiple of 6."""
    print(f"  making a country of {pixels} x {pixels} pixels: invented scenes (not timed)", flush=True)
    return write_country(root / "country", CountryOptions(pixels=pixels, cadence=cadence))


def job(made: Country, root: Path, px: int, *, side: int | None = None, changes: dict[str, Any] | None = None) -> Spec:
    """A job over the country, or over its upper left square of ``side`` pixels; everything it writes is below ``root``.

    ``changes``: top-level keys of the spec to put in.
    """
    source = {"catalog": str(made.items)}
    return parse_spec(
        {
            "name": "made-country-benchmark",
            "area": {"file": str(_square(made, root, side))} if side else {"bbox": made.bbox},
            "season": {"start": f"{YEAR}-01-01", "end": f"{YEAR}-12-26", "step_days": 10},
            "grid": {"crs": made.crs, "resolution": 10, "tile_px": px},
            "inputs": {
                "optical": {**source, "collection": "sentinel-2-l2a", "max_cloud": 90},
                "radar": {**source, "collection": "sentinel-1-rtc"},
                "thermal": {**source, "collection": "landsat-c2-l2-st"},
            },
            "cube": {"uri": f"{root}/cube.zarr"},
            "model": {"uri": f"{root}/model"},
            "output": {"uri": f"{root}/map"},
            **(changes or {}),
        }
    )


def _square(made: Country, root: Path, side: int) -> Path:
    left, _, _, top = made.bounds
    path = root / f"area-{side}.gpkg"
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = shapely.box(left, top - 10 * side, left + 10 * side, top)
    gpd.GeoDataFrame(geometry=[shape], crs=made.crs).to_file(path)
    return path
