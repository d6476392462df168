"""How the public catalogues name the bands we need, and what their numbers mean where an item does not say.

Read off real items: Earth Search v0 and v1, Planetary Computer, USGS; and off the product pages of the Copernicus Data
Space, HLS and Digital Earth Australia. A naming holds for one product family.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from engine.bands import ASSET_BANDS, OPTICAL_BANDS, RADAR_BANDS, THERMAL_BANDS


@dataclass(frozen=True, slots=True)
class Naming:
    """Asset keys of one product family, with its documented encoding as the last resort."""

    product: str
    """Words for messages."""
    platforms: tuple[str, ...]
    """Satellites it holds for, by the start of their name."""
    bands: Mapping[str, str]
    """Our band name -> asset key."""
    mask: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    dtype: str = "uint16"
    """The data type that the encoding is documented for."""
    family: str = ""
    """As ``engine.catalog.product.family`` names it: a naming holds for items of its family alone."""


class _Encoded(TypedDict, total=False):
    """What a family's products have in common."""

    scale: float
    offset: float
    nodata: float
    family: str


def _optical(*keys: str) -> dict[str, str]:
    return dict(zip(OPTICAL_BANDS, keys, strict=True))


def _radar(*keys: str) -> dict[str, str]:
    return dict(zip(RADAR_BANDS, keys, strict=True))


_LST = THERMAL_BANDS[0]
_S2, _OLI = ("sentinel-2",), ("landsat-8", "landsat-9")
_TM, _LANDSAT = ("landsat-4", "landsat-5", "landsat-7"), ("landsat",)
_SR2: _Encoded = {"scale": 2.75e-5, "offset": -0.2, "nodata": 0.0}
"""Landsat Collection 2 surface reflectance (USGS LSDS-1619)."""
_ST2: _Encoded = {"scale": 0.00341802, "offset": 149.0, "nodata": 0.0}
"""Landsat Collection 2 surface temperature, kelvin (the same)."""
_HLS: _Encoded = {"scale": 1e-4, "nodata": -9999.0, "family": "hls"}
"""Harmonized Landsat Sentinel-2, version 2 (its user guide); of Sentinel-2 the narrow near infrared."""
_DEA: _Encoded = {"scale": 1e-4, "nodata": -999.0, "family": "dea"}
"""Analysis-ready data, Collection 3 (its product pages)."""
_COMMON_LANDSAT = _optical("blue", "green", "red", "nir08", "swir16")

NAMINGS: Mapping[str, tuple[Naming, ...]] = {
    "optical": (
        Naming("Sentinel-2 L2A, common names", _S2, _optical("blue", "green", "red", "nir", "swir16"),
               "scl", 1e-4, 0.0, 0.0),
        Naming("Sentinel-2 L2A, band numbers", _S2, _optical("B02", "B03", "B04", "B08", "B11"),
               "SCL", 1e-4, 0.0, 0.0),
        Naming("Sentinel-2 L2A, band numbers and metres", _S2,
               _optical("B02_10m", "B03_10m", "B04_10m", "B08_10m", "B11_20m"), "SCL_20m", 1e-4, 0.0, 0.0),
        Naming("HLS S30", _S2, _optical("B02", "B03", "B04", "B8A", "B11"), "Fmask", **_HLS),
        Naming("HLS L30", _LANDSAT, _optical("B02", "B03", "B04", "B05", "B06"), "Fmask", **_HLS),
        Naming("Digital Earth Australia, Sentinel-2", _S2,
               _optical("nbart_blue", "nbart_green", "nbart_red", "nbart_nir_1", "nbart_swir_2"), "oa_fmask", **_DEA),
        Naming("Digital Earth Australia, Landsat", _LANDSAT,
               _optical("nbart_blue", "nbart_green", "nbart_red", "nbart_nir", "nbart_swir_1"), "oa_fmask", **_DEA),
        Naming("Landsat Collection 2 L2, common names", _LANDSAT, _COMMON_LANDSAT, "qa_pixel", **_SR2),
        Naming("Landsat Collection 1 L2, common names", _LANDSAT, _COMMON_LANDSAT, "pixel_qa",
               1e-4, 0.0, -9999.0),
        Naming("Landsat 8/9 Collection 2 L2, band numbers", _OLI,
               _optical("SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6"), "QA_PIXEL", **_SR2),
        Naming("Landsat 4-7 Collection 2 L2, band numbers", _TM,
               _optical("SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5"), "QA_PIXEL", **_SR2),
    ),
    "radar": (
        Naming("Sentinel-1", ("sentinel-1",), _radar("vv", "vh"), dtype="float32"),
        Naming("Sentinel-1, upper case", ("sentinel-1",), _radar("VV", "VH"), dtype="float32"),
        Naming("Sentinel-1 RTC, gamma0", ("sentinel-1",), _radar("gamma0_vv", "gamma0_vh"),
               dtype="float32"),
    ),
    "c2": (
        Naming("Sentinel-1 dual-pol covariance C2", ("sentinel-1",), {band: band for band in ASSET_BANDS["c2"]},
               dtype="float32"),
        Naming("Sentinel-1 dual-pol covariance C2, upper case", ("sentinel-1",),
               dict(zip(ASSET_BANDS["c2"], ("C11", "C22", "C12_real", "C12_imag"), strict=True)), dtype="float32"),
    ),
    "thermal": (
        Naming("Landsat 8/9 Collection 2 ST", _LANDSAT, {_LST: "lwir11"}, "qa_pixel", **_ST2),
        Naming("Landsat 4-7 Collection 2 ST", _LANDSAT, {_LST: "lwir"}, "qa_pixel", **_ST2),
        Naming("Landsat 8/9 Collection 2 ST, band numbers", _OLI, {_LST: "ST_B10"}, "QA_PIXEL", **_ST2),
        Naming("Landsat 4-7 Collection 2 ST, band numbers", _TM, {_LST: "ST_B6"}, "QA_PIXEL", **_ST2),
        Naming("MODIS LST 1 km", ("terra", "aqua", "modis"), {_LST: "LST_Day_1km"}, scale=0.02, nodata=0.0),
    ),
}  # fmt: skip
