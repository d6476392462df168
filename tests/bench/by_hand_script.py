"""What one would write without Tilth: odc-stac, xarray, dask and torch in one script. It imports nothing of Tilth.

Sentinel-2 masked by SCL and composited to ten-day steps by the largest GCVI, Sentinel-1 and Landsat surface temperature
averaged per step, gaps filled linearly in time, 13 features, a TempCNN from the weights and the scaling that lie in a
model folder, class and confidence written as COGs. All lazy, in chunks of 256 pixels, on Dask's threads; no speckle
filter, no resume, no record of what was done.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import dask
import numpy as np
import odc.stac
import pystac
import rioxarray  # noqa: F401  (gives xarray its .rio)
import torch
import xarray as xr
from odc.geo.geobox import GeoBox
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import relu

SCL_DROP = [0, 1, 3, 8, 9, 10, 11]
OPTICAL = {"blue": "blue", "green": "green", "red": "red", "nir": "nir", "swir16": "swir1"}
BATCH = 4096


class TempCNN(nn.Module):
    """Three convolutions over time and two dense layers, with batch norms (Pelletier et al. 2019)."""

    def __init__(self, steps: int, features: int, classes: int) -> None:
        super().__init__()
        widths = (features, 64, 64, 64)
        self.convs = nn.ModuleList(nn.Conv1d(widths[i], 64, 5, padding=2) for i in range(3))
        self.conv_norms = nn.ModuleList(nn.BatchNorm1d(64) for _ in range(3))
        self.dense = nn.Linear(64 * steps, 256)
        self.dense_norm = nn.BatchNorm1d(256)
        self.out = nn.Linear(256, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x.transpose(1, 2)
        for conv, norm in zip(self.convs, self.conv_norms, strict=True):
            h = relu(norm(conv(h)))
        h = h.transpose(1, 2).flatten(1)
        return self.out(relu(self.dense_norm(self.dense(h))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", type=Path, help="NDJSON of STAC items")
    parser.add_argument("--bounds", type=float, nargs=4, required=True, help="left bottom right top, in the CRS")
    parser.add_argument("--crs", required=True)
    parser.add_argument("--start", required=True, help="first day")
    parser.add_argument("--steps", type=int, required=True, help="ten-day steps")
    parser.add_argument("--model", type=Path, required=True, help="folder with model.json and model.safetensors")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--chunk", type=int, default=256)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    dask.config.set(scheduler="threads", num_workers=arguments.threads)
    torch.set_num_threads(1)  # Dask's threads fill the cores
    cube = build_cube(arguments)
    result = classify(features(cube), arguments.model).compute()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in ("class", "confidence"):
        image = result.sel(product=name).rio.write_crs(arguments.crs).rio.write_nodata(255)
        image.rio.to_raster(arguments.out / f"{name}.tif", driver="COG", compress="DEFLATE")


def build_cube(arguments: argparse.Namespace) -> xr.DataArray:
    """Composites (band, step, y, x) float32, NaN where nothing was seen."""
    start = np.datetime64(arguments.start)
    items = read_items(arguments.items)
    geobox = GeoBox.from_bbox(arguments.bounds, arguments.crs, resolution=10)
    end = start + np.timedelta64(10 * arguments.steps, "D")

    def load(collection: str, bands: list[str]) -> xr.Dataset:
        mine = [
            item
            for item in items
            if item.collection_id == collection
            and start <= np.datetime64(item.properties["datetime"][:10]) < end
            and item.properties.get("eo:cloud_cover", 0) <= 90
        ]
        chunks = {"x": arguments.chunk, "y": arguments.chunk}
        data = odc.stac.load(mine, bands=bands, geobox=geobox, chunks=chunks, groupby="time")
        return data.assign_coords(step=("time", ((data.time.values - start) // np.timedelta64(10, "D")).astype(int)))

    s2 = load("sentinel-2-l2a", [*OPTICAL, "scl"])
    clear = ~s2.scl.isin(SCL_DROP) & (s2.nir > 0)
    optical = s2[[*OPTICAL]].rename(OPTICAL).where(clear).astype("float32") * np.float32(1e-4)
    optical = optical.groupby("step").map(greenest)
    s1 = load("sentinel-1-rtc", ["vv", "vh"])
    radar = s1.where(s1 > 0).groupby("step").mean("time")
    st = load("landsat-c2-l2-st", ["lwir11", "qa_pixel"])
    kelvin = st.lwir11.where((st.qa_pixel & 0b111111 == 0) & (st.lwir11 > 0)) * np.float32(0.00341802) + np.float32(149)
    thermal = kelvin.astype("float32").groupby("step").mean("time").rename("lst")
    merged = xr.merge([optical, radar, thermal], join="outer", compat="override")
    merged = merged.drop_vars("time", errors="ignore").reindex(step=np.arange(arguments.steps))
    return merged.to_dataarray("band").chunk(band=1, step=-1)


def read_items(path: Path) -> list[pystac.Item]:
    items = []
    for line in path.read_text().splitlines():
        item = pystac.Item.from_dict(json.loads(line))
        item.set_self_href(str(path.resolve()))
        item.make_asset_hrefs_absolute()
        items.append(item)
    return items


def greenest(step: xr.Dataset) -> xr.Dataset:
    """All bands of each pixel from the date with the largest GCVI."""
    gcvi = step.nir / step.green - 1
    return step.where(gcvi == gcvi.max("time")).max("time")


def features(cube: xr.DataArray) -> xr.DataArray:
    """The 13 features (step, y, x, feature), gaps filled."""
    filled = xr.apply_ufunc(
        fill, cube, input_core_dims=[["step"]], output_core_dims=[["step"]], dask="parallelized",
        output_dtypes=["float32"],
    )  # fmt: skip
    b = {name: filled.sel(band=name, drop=True) for name in filled.band.values}
    nir, red, blue = b["nir"], b["red"], b["blue"]
    b["ndvi"] = (nir - red) / (nir + red)
    b["evi"] = (2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1)).clip(-1, 1)
    b["gcvi"] = nir / b["green"] - 1
    b["lswi"] = (nir - b["swir1"]) / (nir + b["swir1"])
    b["rvi"] = nir / red
    return xr.concat(b.values(), xr.DataArray(list(b), dims="feature", name="feature")).chunk(feature=-1)


def fill(values: np.ndarray) -> np.ndarray:
    """Linear in time along the last axis; the ends are held."""
    steps = values.shape[-1]
    at = np.arange(steps)
    valid = ~np.isnan(values)
    before = np.maximum.accumulate(np.where(valid, at, -1), axis=-1)
    after = np.minimum.accumulate(np.where(valid, at, steps)[..., ::-1], axis=-1)[..., ::-1]
    low = np.take_along_axis(values, np.clip(np.where(before < 0, after, before), 0, steps - 1), axis=-1)
    high = np.take_along_axis(values, np.clip(np.where(after >= steps, before, after), 0, steps - 1), axis=-1)
    gap = np.maximum(after - before, 1)
    weight = np.where((before < 0) | (after >= steps), 0, (at - before) / gap)
    return (low + (high - low) * weight).astype("float32")


def classify(x: xr.DataArray, folder: Path) -> xr.DataArray:
    """Class index and confidence in percent, (product, y, x) uint8, 255 where nothing was ever seen."""
    card = json.loads((folder / "model.json").read_text())["properties"]["tilth:card"]
    names = card["recipe"]["features"]
    network = TempCNN(card["recipe"]["steps"], len(names), len(card["classes"]))
    weights = load_file(folder / card["weights"])
    network.load_state_dict({k: v.squeeze(2) if "convs" in k and v.ndim == 4 else v for k, v in weights.items()})
    network.eval()
    lower, upper, missing = (np.array(card[name], "float32") for name in ("lower", "upper", "fill"))

    def predict(block: np.ndarray) -> np.ndarray:
        pixels = block.reshape(-1, *block.shape[-2:])
        out = np.full((len(pixels), 2), 255, np.uint8)
        seen = np.flatnonzero(~np.isnan(pixels[:, 0, names.index("nir")]))
        for i in range(0, len(seen), BATCH):
            rows = seen[i : i + BATCH]
            scaled = np.where(np.isnan(pixels[rows]), missing, pixels[rows])
            scaled = np.clip((scaled - lower) / (upper - lower), 0, 1).astype("float32")
            with torch.inference_mode():
                p = torch.softmax(network(torch.from_numpy(scaled)) / card["temperature"], 1)
            best = p.max(1)
            out[rows, 0] = best.indices.numpy()
            out[rows, 1] = np.rint(best.values.numpy() * 100)
        return out.reshape(*block.shape[:2], 2)

    result = xr.apply_ufunc(
        predict, x.sel(feature=names), input_core_dims=[["step", "feature"]], output_core_dims=[["product"]],
        dask="parallelized", output_dtypes=["uint8"], dask_gufunc_kwargs={"output_sizes": {"product": 2}},
    )  # fmt: skip
    return result.assign_coords(product=["class", "confidence"]).transpose("product", "y", "x")


if __name__ == "__main__":
    main()
