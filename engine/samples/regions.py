"""Regions that are held out whole: which pixels lie in them."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize

from engine.errors import InputError
from engine.samples.options import HELD, RegionOptions
from engine.types import Grid, Window
from engine.vectors import read_polygons, told_of


class Regions:
    """The held-out regions on one grid; asks for one window at a time. InputError where a named one is not there."""

    def __init__(self, options: RegionOptions, grid: Grid) -> None:
        part = {**dict.fromkeys(options.validation, "validation"), **dict.fromkeys(options.test, "test")}
        found = read_polygons(options.file, [options.column], grid.crs, needed=[options.column])
        names = pd.Series(found.columns[options.column].to_pylist(), dtype=object).astype(str)
        self.told = told_of("labels.regions", found.left_out, found.changed)
        """Sentences on rows that were repaired or left out."""
        unknown = sorted(set(part) - set(names))
        if unknown:
            raise InputError(
                f"no region {unknown[0]!r}; it has {', '.join(sorted(set(names))[:20])}",
                expected="the names under labels.regions.validation and test",
                place=options.uri,
                remedy="mend the name, or name another column under labels.regions.column",
            )
        self.grid, self._shapes = grid, gpd.GeoSeries(found.shapes, crs=grid.crs)
        # Index 0 is no held-out region. A region that is not held covers one below it, as any later row does.
        self.names = np.array(["", *part])
        self.held = np.array([0, *(HELD.index(which) for which in part.values())], np.int8)
        self._number = names.map({name: i for i, name in enumerate(part, 1)}).fillna(0).astype(int)

    def read(self, window: Window) -> NDArray[np.int32]:
        """(y, x) int32, the region of each pixel's centre as a place in ``names`` and ``held``; 0 = none held."""
        left, bottom, right, top = self.grid.bounds(window)
        near = self._shapes.cx[left:right, bottom:top]
        if near.empty:
            return np.zeros(window.shape, np.int32)
        return rasterize(
            zip(near, self._number[near.index], strict=True),
            out_shape=window.shape,
            transform=rasterio.Affine(*self.grid.transform(window)),
            dtype="int32",
        )
