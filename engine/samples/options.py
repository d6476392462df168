"""What a person may say of labels; light, for the spec."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from engine.types import Options
from engine.vectors import VectorFile

_WHOLE = re.compile(r"-?(0|[1-9]\d*)")
RASTER_SUFFIXES = (".tif", ".tiff", ".vrt")

Held = Literal["any", "validation", "test"]
"""What a season is for: ``any``, its blocks are dealt as usual; else it is that part, as a whole."""
HELD: tuple[Held, ...] = ("any", "validation", "test")
"""Their places are the numbers that ORIGIN holds."""


def is_raster(uri: str) -> bool:
    """Whether labels at this uri are a raster of codes; else they are polygons."""
    return uri.lower().endswith(RASTER_SUFFIXES)


class OtherSeason(Options):
    """Labels of another season, whose cube was built before (``tilth cube``) from that season's start and days."""

    cube: Annotated[str, Field(min_length=1)]
    """Cube of that season, built before by a job of the same grid."""
    uri: Annotated[str, Field(min_length=1)]
    """Its labels, raster or polygons, in the codes of the job's own legend."""
    column: str | None = None
    """For polygons: the column of codes or of names; None: ``labels.column``."""
    band: int | str | None = None
    """For a raster of several bands: as ``labels.band``, which it does not inherit."""
    layer: str | None = None
    """For polygons: the layer of the file, where it holds several."""
    encoding: str | None = None
    """For polygons: the encoding of their text, where the file says none or a wrong one."""
    part: Held = "any"
    """``validation``: epochs are chosen and confidence is calibrated on it; ``test``: it is the test."""


class RegionOptions(Options):
    """Regions that are held out whole, in every season."""

    uri: Annotated[str, Field(min_length=1)]
    """Polygons, any CRS; where two overlap, the later row counts."""
    column: str = "name"
    """The column of their names."""
    layer: str | None = None
    """The layer of the file, where it holds several."""
    encoding: str | None = None
    """Encoding of its text, where the file says none or a wrong one."""
    validation: tuple[str, ...] = ()
    """Names of the regions that validate; none: blocks do."""
    test: tuple[str, ...] = ()
    """Names of the regions that test; none: blocks do."""

    @property
    def file(self) -> VectorFile:
        """The file, as it is to be read."""
        return VectorFile(self.uri, "labels.regions", self.layer, self.encoding)

    @model_validator(mode="after")
    def _each_is_held_once(self) -> RegionOptions:
        if not self.validation and not self.test:
            raise ValueError("no region is named; name some under validation or test, or leave regions out")
        both = sorted(set(self.validation) & set(self.test))
        if both:
            raise ValueError(f"{both[0]!r} is under validation and under test; keep it in one")
        return self


class LabelOptions(Options):
    """What grew where: a raster of codes, or polygons with a code column; and the legend that names the codes."""

    uri: str | None = None
    """Of the job's own season; None: it has no labels, those of ``seasons`` are learnt from."""
    part: Held = "any"
    """What the job's own season is for, as under ``seasons``."""
    legend: str | None = None
    """CSV in UTF-8 with columns code and name, optionally colour (#rrggbb) and kind (rows of kind CT are crops)."""
    column: str = "crop_code"
    """For polygons: the column of codes or of names."""
    band: int | str | None = None
    """For a raster of several bands: which holds the codes, by its number from 1 or its name in the file."""
    layer: str | None = None
    """For polygons: the layer of the file, where it holds several."""
    encoding: str | None = None
    """For polygons: the encoding of their text, where the file says none or a wrong one."""
    ignore: tuple[int | str, ...] = (0,)
    """Codes or names that mean: not labelled."""
    seasons: tuple[OtherSeason, ...] = ()
    """Labelled seasons beside the job's own."""
    regions: RegionOptions | None = None
    """Regions that validate or test; None: blocks are dealt to every part, wherever they lie."""
    block_m: Annotated[float, Field(gt=0)] | None = None
    """Side of the blocks dealt whole to training, validation and test; None: as ``model.train`` says."""
    border_m: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """Labelled pixels so near, along rows and columns, to labels of a block of another part are left out."""
    min_samples: Annotated[int, Field(ge=1)] | None = None
    """Classes with fewer samples (see ``per``) are left out; None: as ``model.train`` says."""
    per: Literal["pixel", "parcel"] = "pixel"
    """What is one sample: a labelled pixel, or a polygon, by the one series that ``parcels`` with ``method: series``
    makes of it for the map."""
    statistic: Literal["median", "mean"] = "median"
    """With ``per: parcel``, as ``parcels.statistic``."""
    inward_px: Annotated[float, Field(ge=0, le=100)] = 1.0
    """With ``per: parcel``, as ``parcels.inward_px``."""

    @field_validator("ignore")
    @classmethod
    def _numbers_are_numbers(cls, ignore: tuple[int | str, ...]) -> tuple[int | str, ...]:
        return tuple(int(one) if isinstance(one, str) and _WHOLE.fullmatch(one.strip()) else one for one in ignore)

    @field_validator("seasons")
    @classmethod
    def _each_season_once(cls, seasons: tuple[OtherSeason, ...]) -> tuple[OtherSeason, ...]:
        cubes = [season.cube for season in seasons]
        twice = next((cube for cube in cubes if cubes.count(cube) > 1), None)
        if twice:
            raise ValueError(f"the cube {twice} stands there twice; name each season once")
        return seasons

    @model_validator(mode="after")
    def _some_season_is_learnt_from(self) -> LabelOptions:
        if self.uri is None and not self.seasons:
            raise ValueError("uri is missing; name the labels, or other seasons that have some under labels.seasons")
        if self.uri is None and self.part != "any":
            raise ValueError(f"part {self.part} without uri; name the labels of this season, or take part out")
        parts = [season.part for season in self.seasons] + ([self.part] if self.uri else [])
        if "any" not in parts:
            raise ValueError("every season is held for validation or test; leave one at part: any to be learnt from")
        return self

    @property
    def uris(self) -> tuple[str, ...]:
        """The labels of all seasons that have some."""
        return (*([self.uri] if self.uri else []), *(season.uri for season in self.seasons))

    @property
    def held(self) -> set[str]:
        """The parts that seasons or regions are held for: blocks are not dealt to these."""
        regions = self.regions or RegionOptions.model_construct()
        named = {part for part in ("validation", "test") if getattr(regions, part)}
        return named | ({self.part, *(season.part for season in self.seasons)} - {"any"})

    def of(self, season: OtherSeason) -> LabelOptions:
        """How the labels of another season are read."""
        own = {"uri": season.uri, "column": season.column or self.column, "band": season.band, "part": season.part}
        return self.model_copy(update={**own, "layer": season.layer, "encoding": season.encoding})

    @property
    def file(self) -> VectorFile:
        """The file of polygons, as it is to be read."""
        assert self.uri is not None, "a season without labels is not read"
        return VectorFile(self.uri, "labels", self.layer, self.encoding)
