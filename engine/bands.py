"""Bands of the cube and the features made of them: what is in which layer, and in which unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

OPTICAL_BANDS = ("blue", "green", "red", "nir", "swir1")
RADAR_BANDS = ("vv", "vh")
THERMAL_BANDS = ("lst",)
C2_BANDS = ("ps", "pd", "pv")
"""Surface, double-bounce and volume scattering of the m-chi decomposition, square root of power."""
SENSOR_BANDS: Mapping[str, tuple[str, ...]] = {
    "optical": OPTICAL_BANDS,
    "radar": RADAR_BANDS,
    "thermal": THERMAL_BANDS,
    "c2": C2_BANDS,
}
"""What a sensor's layer of the cube holds."""
ASSET_BANDS: Mapping[str, tuple[str, ...]] = {**SENSOR_BANDS, "c2": ("c11", "c22", "c12_real", "c12_imag")}
"""What an item of a sensor must have: its layer's bands, but for ``c2`` the dual-pol covariance they are made from."""

LayerName = Literal["optical", "radar", "thermal", "radar_acquisitions", "c2"]
"""A cube's layers: one per sensor on the regular axis, and radar again at the times it was acquired."""

FEATURE_BANDS: Mapping[str, tuple[str, ...]] = {
    **{band: (band,) for bands in SENSOR_BANDS.values() for band in bands},
    "ndvi": ("nir", "red"),
    "evi": ("nir", "red", "blue"),
    "gcvi": ("nir", "green"),
    "lswi": ("nir", "swir1"),
    "rvi": ("nir", "red"),
}
"""Every feature a recipe may name, and the bands it is made of (an index: in the order its kernel takes them)."""

FEATURE_UNITS: Mapping[str, str] = {
    **dict.fromkeys(OPTICAL_BANDS, "reflectance"), **dict.fromkeys(RADAR_BANDS, "linear power"),
    **dict.fromkeys(THERMAL_BANDS, "kelvin"), **dict.fromkeys(C2_BANDS, "root of linear power"),
    **dict.fromkeys(("ndvi", "evi", "gcvi", "lswi", "rvi"), "index"),
}  # fmt: skip
"""The physical unit of every feature; reflectance is 0 to 1, an index has none."""


def sensor_of(layer: str) -> str:
    """The sensor group whose items a layer is made of."""
    return "radar" if layer == "radar_acquisitions" else layer
