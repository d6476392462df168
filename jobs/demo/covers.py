"""The crops and other covers of the made country: codes, colours, radar and calendars of north-west Europe.

Maize and grass were set against Flanders in 2018, the others after the common calendar; nothing here is a measurement.
"""

from __future__ import annotations

from dataclasses import dataclass

FOREST, BUILT_UP, WATER = 40, 60, 70

Spectrum = tuple[float, float, float, float, float]
"""Reflectance of blue, green, red, nir, swir16."""


@dataclass(frozen=True)
class Cover:
    """What one kind of land looks like where it covers the ground fully."""

    code: int
    """Crop type or land cover code of the legend."""
    name: str
    canopy: Spectrum
    vv_db: float
    vh_db: float
    drought_loss: float
    """NDVI lost in the worst week of a drought on middling soil."""


@dataclass(frozen=True)
class Sown(Cover):
    """A crop with a calendar; days are days of the year of harvest, negative in the autumn before."""

    share: float
    green_up: float
    wilt: float
    harvest: float
    peak: float
    emerged: float | None = None
    """Green-up in autumn of a winter crop; None for a crop sown in spring."""
    winter: float = 0.0
    """NDVI above bare soil on the winter plateau, as a share of the peak."""
    straw: float = 0.0
    """Share of the ground under dry straw after wilting, until the plough."""


@dataclass(frozen=True)
class Standing(Cover):
    """A cover that stands all year."""

    monthly: tuple[float, ...]
    """NDVI at the middle of each month."""
    share: float = 0.0


CROPS: tuple[Sown | Standing, ...] = (
    Sown(1110, "Winter wheat", (0.036, 0.062, 0.034, 0.440, 0.185), -12.8, -18.2, 0.05,
         0.22, 97, 185, 214, 0.85, -60, 0.28, 0.75),
    Sown(1510, "Winter barley", (0.039, 0.068, 0.038, 0.425, 0.190), -12.2, -16.9, 0.03,
         0.11, 86, 167, 190, 0.83, -78, 0.42, 0.75),
    Sown(1520, "Spring barley", (0.039, 0.067, 0.038, 0.430, 0.190), -12.0, -17.2, 0.07,
         0.08, 126, 188, 212, 0.79, None, 0.0, 0.7),
    Sown(1200, "Maize", (0.042, 0.068, 0.038, 0.480, 0.195), -10.0, -16.4, 0.09,
         0.18, 157, 247, 252, 0.80, None, 0.0, 0.25),
    Sown(4350, "Rapeseed", (0.038, 0.070, 0.036, 0.460, 0.180), -10.4, -13.6, 0.03,
         0.08, 78, 178, 203, 0.84, -112, 0.62, 0.6),
    Sown(5100, "Potatoes", (0.040, 0.074, 0.036, 0.500, 0.210), -8.6, -14.4, 0.13,
         0.10, 148, 241, 264, 0.82, None, 0.0, 0.15),
    Sown(8100, "Sugar beet", (0.040, 0.075, 0.036, 0.510, 0.200), -8.9, -14.9, 0.12,
         0.09, 154, 330, 302, 0.84),
    Standing(9120, "Permanent grass crops", (0.034, 0.063, 0.026, 0.430, 0.215), -10.9, -17.9, 0.15,
             (0.86, 0.83, 0.79, 0.80, 0.79, 0.73, 0.68, 0.65, 0.66, 0.72, 0.74, 0.82), 0.14),
)  # fmt: skip
GRASS = len(CROPS) - 1
LAND: tuple[Standing, ...] = (
    Standing(FOREST, "Forest", (0.024, 0.042, 0.024, 0.350, 0.125), -8.6, -13.9, 0.04,
             (0.52, 0.52, 0.54, 0.64, 0.82, 0.86, 0.86, 0.85, 0.81, 0.73, 0.60, 0.53)),
    Standing(BUILT_UP, "Built up", (0.045, 0.075, 0.050, 0.390, 0.200), -5.5, -12.0, 0.04,
             (0.28, 0.28, 0.31, 0.35, 0.40, 0.41, 0.39, 0.37, 0.37, 0.35, 0.31, 0.28)),
    Standing(WATER, "Water", (0.048, 0.050, 0.032, 0.020, 0.010), -19.0, -27.0, 0.0, (-0.2,) * 12),
    Standing(0, "Road or verge", (0.044, 0.074, 0.048, 0.400, 0.210), -9.6, -16.0, 0.06,
             (0.46, 0.46, 0.48, 0.52, 0.55, 0.52, 0.48, 0.46, 0.47, 0.49, 0.48, 0.46)),
)  # fmt: skip
CATCH_CROP = Cover(-1, "Catch crop", (0.040, 0.070, 0.036, 0.420, 0.200), -9.6, -17.0, 0.0)
COVERS: tuple[Cover, ...] = (*CROPS, *LAND, CATCH_CROP)
"""Every ``State.cover`` is an index into this table."""
VERGE, CATCH = len(COVERS) - 2, len(COVERS) - 1
LEGEND = {c.code: c.name for c in (*LAND[:3], *CROPS)}
COLOURS = {
    FOREST: "#1b5e20", BUILT_UP: "#8d8d8d", WATER: "#3d7fc4", 1110: "#e0c068", 1510: "#c8892b", 1520: "#f2e394",
    1200: "#e4572e", 4350: "#f7e11e", 5100: "#8e5ea2", 8100: "#c2185b", 9120: "#8bc34a",
}  # fmt: skip
"""What maps of it are drawn in, by code."""
