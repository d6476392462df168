"""The made country's two seasons as cubes, and labelled samples of them: what the papers' experiments are tried on.

All of it is invented: it shows that the code works, and nothing of any real place. Country and cubes are made once, by
what a user's commands call, and kept. Labels are the crops of all fields, dealt out by blocks.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from engine.ledger import Ledger, Record
from engine.models import Recipe
from engine.objects import Objects
from engine.plan import Plan
from engine.samples import LabelOptions, chosen, coding_of
from engine.store import CubeLayout, layout_of
from engine.train import TrainRequest, collect, domain_of
from engine.training import TrainOptions
from engine.types import Samples
from engine.work import cube_ledger
from jobs.demo import CountryOptions, write_country
from jobs.demo.country import CORNER
from jobs.demo.write import CRS, Frame
from jobs.pinned import pinned_plan
from jobs.spec import Spec, load_spec
from tests.bench.measure import ROOT

STEPS = 37
"""Of ten days from 1 January: a year."""
YEARS = (2023, 2024)
"""The first is wet, the second dry and early; the fields are the same, their crops in rotation."""
BLOCK_M = 300.0
"""Side of a block of fields: a hundred of them in the smallest country."""
_TILE_PX = 100
_INPUTS = {
    "optical": ["sentinel-2-l2a", "landsat-c2-l2"],
    "radar": ["sentinel-1-rtc"],
    "thermal": ["landsat-c2-l2-st"],
    "c2": ["sentinel-1-c2"],
}


@dataclass(frozen=True)
class Season:
    """A season of a place, its cube built."""

    year: int
    spec: Spec
    plan: Plan
    layout: CubeLayout
    records: Mapping[str, Record]

    def samples(self, recipe: Recipe, options: TrainOptions, codes: tuple[int, ...] = ()) -> Samples:
        """Labelled pixels as ``tilth train`` collects them, of these codes alone where any are given; unlabelled ones
        beside them where ``options.virtual`` asks for some."""
        found = collect(
            TrainRequest(
                plan=self.plan,
                layout=self.layout,
                records=self.records,
                cube_uri=self.spec.cube.uri,
                labels=self.labels(options),
                recipe=recipe,
                options=options,
                model_uri=self.spec.model.uri,
                domain=domain_of(self.plan, self.spec.cube),
            )
        )
        return chosen(found, np.isin(found.y, (0, *codes))) if codes else found

    def labels(self, options: TrainOptions) -> LabelOptions:
        """The job's labels, in blocks of the size asked for."""
        assert self.spec.labels is not None, "a job of the experiments has labels"
        return self.spec.labels.model_copy(update={"block_m": options.block_m})

    def names(self, samples: Samples) -> dict[int, str]:
        """Name of each code among the samples."""
        labelled = replace(samples, y=samples.y[samples.y != 0])
        return dict(coding_of(self.labels(TrainOptions())).legend_for(labelled.y).names)


def recipe(features: tuple[str, ...], steps: int = STEPS, **more: Any) -> Recipe:
    """Ten-day steps from 1 January, the first so many."""
    return Recipe(features=features, steps=steps, step_days=10, season_start="01-01", **more)


def made_season(root: Path, year: int, pixels: int, seed: int = 7) -> Season:
    """A season of the country of so many pixels a side, made and built below ``root`` where it is not there.

    ``pixels`` is a multiple of 6; the country's ``README.md`` is written last, so what a kill left is made anew.
    """
    place = root.absolute() / f"country-{pixels}-{seed}"
    scenes = place / "scenes"
    if not (scenes / "README.md").is_file():
        print(f"  making a country of {pixels / 100:g} x {pixels / 100:g} km: invented, not observed", flush=True)
        write_country(scenes, CountryOptions(pixels=pixels, seed=seed))
    job = place / f"job-{year}.yaml"
    job.write_text(yaml.safe_dump(_job(place, scenes, year, pixels)))
    return season_of(job, year)


def season_of(job: Path, year: int) -> Season:
    """The season of a job, its cube built where it is not there."""
    built = subprocess.run(
        [sys.executable, "-m", "jobs", "cube", str(job)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if built.returncode != 0:
        raise RuntimeError(f"tilth cube {job} ended with {built.returncode}: {built.stderr[-2000:]}")
    spec = load_spec(str(job))
    plan = pinned_plan(spec)
    layout = layout_of(Objects(spec.cube.uri), plan.grid, plan.axes)
    return Season(year, spec, plan, layout, Ledger(cube_ledger(spec.cube.uri)).load().latest)


def _job(place: Path, scenes: Path, year: int, pixels: int) -> dict[str, Any]:
    catalog = str(scenes / "items.ndjson")
    return {
        "name": f"papers-{year}",
        "area": {"bbox": list(Frame(*CORNER, pixels * 10.0).bbox())},
        "season": {"start": f"{year}-01-01", "end": f"{year + 1}-01-01", "step_days": 10},
        "grid": {"crs": CRS, "resolution": 10, "tile_px": _TILE_PX},
        "inputs": {
            sensor: [{"catalog": catalog, "collection": name} for name in names] for sensor, names in _INPUTS.items()
        },
        "cube": {"uri": str(place / f"cube-{year}.zarr")},
        "model": {"uri": str(place / f"model-{year}")},
        "labels": {
            "uri": str(scenes / f"parcels_{year}.parquet"),
            "legend": str(scenes / "legend.csv"),
            "block_m": BLOCK_M,
        },
        "output": {"uri": str(place / f"map-{year}")},
    }
