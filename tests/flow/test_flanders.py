"""The main job on real scenes: 640 m of Flanders in 2018, from the ready example, with Dask and Ray as it comes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pystac
import rasterio
import rioxarray  # noqa: F401 (gives xarray its .rio)
import xarray as xr
import yaml
from rasterio.warp import transform_bounds

from engine.bands import C2_BANDS, FEATURE_BANDS
from engine.models import read_card
from tests.flow.flow import Job, tilth
from tests.servers.process import REPO_ROOT

EXAMPLE = REPO_ROOT / "jobs" / "examples" / "flanders.yaml"


def test_flanders_becomes_a_cube_of_34_steps_a_model_of_13_features_and_a_map_with_its_kappa(
    flanders: Path, tmp_path: Path
) -> None:
    spec = yaml.safe_load(EXAMPLE.read_text())
    job = Job(tmp_path, spec).at(tmp_path).with_({"model.uri": f"{tmp_path}/model"})
    changed = [
        f"cube.uri={job.cube}", f"model.uri={job.model}", f"output.uri={job.map}", "compute.workers.max=2",
        "model.train.epochs=12",
    ]  # fmt: skip
    told = tilth("submit", str(EXAMPLE), *(part for change in changed for part in ("--set", change)))

    with xr.open_zarr(job.cube, consolidated=False) as cube:
        assert cube.sizes["time"] == 34
        assert (cube["time"].diff("time") == np.timedelta64(10, "D")).all()
        assert cube.rio.crs == pyproj.CRS("EPSG:32631")
    card = read_card(job.model)
    assert card.recipe.features == tuple(f for f in FEATURE_BANDS if f not in C2_BANDS)
    assert len(card.recipe.features) == 13
    assert card.recipe.steps == 34

    report = job.report()
    kappa = report["model"]["accuracy"]["kappa"]
    assert kappa > 0.5
    assert f"kappa {kappa:.3f}" in told.err and f"kappa {kappa:.3f}, " in told.out
    assert report["tiles"] == {"planned": 6, "written": 6, "quarantined": 0} and report["left_out"] == []

    with rasterio.open(f"{job.map}/class.gti.gpkg") as source, rasterio.open(flanders / "labels.tif") as labels:
        classes, codes = source.read(1), labels.read(1)
        box = transform_bounds("EPSG:4326", source.crs, *spec["area"]["bbox"], densify_pts=21)
        assert source.bounds.left <= box[0] + 1 and source.bounds.bottom <= box[1] + 1
        assert source.bounds.right >= box[2] - 1 and source.bounds.top >= box[3] - 1
        window = rasterio.windows.from_bounds(*labels.bounds, transform=source.transform)
        y0, x0 = round(window.row_off), round(window.col_off)
        on_labels = (slice(y0, y0 + codes.shape[0]), slice(x0, x0 + codes.shape[1]))
    assert (classes[on_labels] != 255).all(), "every pixel that the scenes cover has a class"
    mapped = np.array([entry.code for entry in card.classes] + [0] * (256 - len(card.classes)))[classes[on_labels]]
    known = np.isin(codes, [entry.code for entry in card.classes])
    agreement = float((mapped == codes)[known].mean())
    print(f"\nFlanders 2018: kappa {kappa:.3f} on held-out blocks; the map agrees with {agreement:.1%} of all labels")
    assert agreement > 0.7

    collection = pystac.Collection.from_file(f"{job.map}/collection.json")
    assert len(list(collection.get_items())) == 6
