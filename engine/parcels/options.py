"""What a spec says of parcels."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from engine.types import Options
from engine.vectors import VectorFile

PARCELS_VERSION = "parcels-2"
"""Raised whenever a parcel's row changes for the same register, cube and model: it is part of the tile's key."""


class ParcelOptions(Options):
    """Which parcels are classified, and how; the map of pixels is made beside them."""

    uri: Annotated[str, Field(min_length=1)]
    """Polygons, any CRS: GeoPackage, GeoParquet (a file or a folder), FlatGeobuf, GeoJSON or Shapefile."""
    id: str | None = None
    """Column that names a parcel, no name twice; None: the number of its row (GDAL's feature number)."""
    layer: str | None = None
    """The layer of the file, where it holds several."""
    encoding: str | None = None
    """Encoding of its text, where the file says none or a wrong one."""
    method: Literal["series", "vote"] = "series"
    """``series``: one series per parcel is classified once; ``vote``: the mean of its pixels' probabilities."""
    statistic: Literal["median", "mean"] = "median"
    """How pixels become the one series of ``method: series``, for each feature and step."""
    inward_px: Annotated[float, Field(ge=0, le=100)] = 1.0
    """A parcel's pixels lie this many pixels inside its edge; a parcel too narrow for that gives those it has."""
    review_below: Annotated[float, Field(ge=0, le=1)] = 0.65
    """A parcel whose crop is less sure than this is marked for a person to look at."""

    @property
    def file(self) -> VectorFile:
        """The register, as it is to be read."""
        return VectorFile(self.uri, "parcels", self.layer, self.encoding)

    @property
    def arithmetic(self) -> list[Any]:
        """What decides a row beside the parcel, its pixels and the model."""
        statistic = self.statistic if self.method == "series" else None
        return [PARCELS_VERSION, self.method, statistic, self.inward_px, self.review_below]
