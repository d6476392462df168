"""Where, when and from what a model was trained, and in what a job differs from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

import numpy as np
import shapely
from pydantic import Field

from engine.earth import areas_m2, shape_of
from engine.types import Options

_LEAST_SHARE = 0.005
"""Less of the area than this outside the model's is rounding."""
_OFTEN, _USUAL = 0.10, 0.02
"""Share of a feature's values beyond the card's range that is told, and that of the training, whose 1st and 99th
percentile the range is."""


class Domain(Options):
    """Where, when and from what a model was trained, the domain it is recommended for."""

    geometry: dict[str, Any]
    """GeoJSON Polygon or MultiPolygon, longitude and latitude."""
    start: datetime
    end: datetime
    seasons: tuple[Annotated[str, Field(pattern=r"^[12]\d{3}-\d{2}-\d{2}$")], ...] = ()
    """First days (YYYY-MM-DD) of the seasons that were learnt from; none: the one from ``start`` on."""
    crs: str | None = None
    """Of the grid; None: not known."""
    resolution: float | None = None
    """Pixel size of the grid, metres; None: not known."""
    sources: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Sensor -> collections of its scenes and the satellites that took them, such as ``sentinel-2-l2a`` and ``S2``;
    a sensor that is missing here is not known."""
    processing: dict[str, Any] = Field(default_factory=dict)
    """How scenes were made a cube (despeckling, composite, classes of the mask that are dropped); empty: not known."""

    @property
    def learnt_from(self) -> tuple[str, ...]:
        """First days of the seasons that were learnt from."""
        return self.seasons or (f"{self.start:%Y-%m-%d}",)


def outside(model: Domain, job: Domain) -> list[str]:
    """In sentences: in what a job's domain differs from the model's; none where it lies within it.

    What the model's package does not say is not compared, and that is a sentence of its own.
    """
    return [*_place(model, job), *_time(model, job), *_grid(model, job), *_inputs(model, job)]


def share_outside(model: Domain, job: Domain) -> float:
    """The share of the job's area that lies outside the model's, on the ellipsoid, 0 to 1."""
    mine, its = shape_of(job.geometry), shape_of(model.geometry)
    parts = shapely.get_parts(shapely.difference(mine, its))
    whole, rest = (float(areas_m2(shapes, "EPSG:4326").sum()) for shapes in (shapely.get_parts(mine), parts))
    share = rest / whole if whole else float(shapely.disjoint(mine, its))
    return share if share > _LEAST_SHARE else 0.0


def beyond(features: Mapping[str, Mapping[str, float]]) -> list[str]:
    """In sentences: of which features so many of the map's values lie beyond what the training saw.

    features: name -> share of the values ``below`` and ``above`` the card's range, 0 to 1, as ``ranges`` gives them.
    """
    return [
        f"{row['below'] + row['above']:.0%} of the map's {name} lies beyond the range of the training "
        f"({row['below']:.0%} below, {row['above']:.0%} above; {_USUAL:.0%} of the training's own does)"
        for name, row in features.items()
        if row["below"] + row["above"] > _OFTEN
    ]


def _place(model: Domain, job: Domain) -> Iterator[str]:
    share = share_outside(model, job)
    if share:
        away = _distance_km(model, job)
        told = f", {away:,.0f} km from it" if away >= 1 else ""
        yield f"{share:.0%} of the area lies outside the area that the model was trained in{told}"
    south, its_south = (_latitude(one) < 0 for one in (job, model))
    if south != its_south:
        names = ("south", "north") if south else ("north", "south")
        yield f"the area lies {names[0]} of the equator, the training's {names[1]}: one day is another season there"


def _time(model: Domain, job: Domain) -> Iterator[str]:
    mine = f"{job.start:%Y-%m-%d}"
    if mine not in model.learnt_from:
        yield f"the season from {mine} on is none that the model learnt from ({', '.join(model.learnt_from)})"
    if mine[5:] not in {day[5:] for day in model.learnt_from}:
        yield f"the season begins on {mine[5:]}, the training's on {', '.join(d[5:] for d in model.learnt_from)}"


def _grid(model: Domain, job: Domain) -> Iterator[str]:
    if model.crs is None or model.resolution is None:
        yield "the model's package does not say on which grid it was trained: CRS and resolution are not compared"
        return
    if model.resolution != job.resolution:
        yield f"pixels of {job.resolution:g} m, the training's were of {model.resolution:g} m"
    if model.crs != job.crs:
        yield f"a grid in {job.crs}, the training's was in {model.crs}"


def _inputs(model: Domain, job: Domain) -> Iterator[str]:
    if not model.sources:
        yield "the model's package does not say what scenes it was trained on: collections are not compared"
    for sensor, mine in job.sources.items():
        its = model.sources.get(sensor)
        if its and (new := [name for name in mine if name not in its]):
            yield f"{sensor} scenes of {', '.join(new)}, the training's were of {', '.join(its)}"
    for name, value in job.processing.items():
        if name in model.processing and model.processing[name] != value:
            yield f"cube made with {name} {_told(value)}, the training's with {_told(model.processing[name])}"


def _told(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _latitude(domain: Domain) -> float:
    return float(shape_of(domain.geometry).centroid.y)


def _distance_km(model: Domain, job: Domain) -> float:
    """Between the nearest points of both areas, the shorter way around the earth; 0 where they meet."""
    from pyproj import Geod

    mine, its = shape_of(job.geometry), shape_of(model.geometry)
    found = []
    for turn in (-360.0, 0.0, 360.0):
        moved = shapely.transform(mine, lambda xy, by=turn: xy + np.array([by, 0.0]))
        (lon, lat), (other_lon, other_lat) = shapely.get_coordinates(shapely.shortest_line(moved, its))
        found.append(Geod(ellps="WGS84").inv(lon, lat, other_lon, other_lat)[2] / 1000)
    return float(min(found))
