"""Units in the spellings that catalogues and files use, and those that a sensor's numbers must not be in."""

from __future__ import annotations

import re

from engine.errors import InputError

_UNITS = {
    "decibel": ("db", "decibel", "decibels", "decibeles", "decibel (db)", "10*log10"),
    "celsius": ("c", "°c", "degc", "deg c", "celsius", "degree celsius", "degrees celsius", "degree c", "degrees c",
                "celcius", "degrees celcius", "centigrade", "deg celsius", "degree_celsius"),
    "fahrenheit": ("f", "°f", "degf", "fahrenheit", "degrees fahrenheit", "degree fahrenheit"),
    "kelvin": ("k", "kelvin", "kelvins", "degrees kelvin", "degree kelvin", "deg k", "°k"),
    "linear power": ("linear power", "power", "linear", "linear scale", "intensity", "natural", "gamma0", "sigma0",
                     "linear_power", "gamma naught", "sigma naught", "m2/m2", "m^2/m^2", "m²/m²"),
    "amplitude": ("amplitude", "linear amplitude", "digital number", "dn"),
}  # fmt: skip
_DECIBELS = re.compile(r"(?<![a-z])(db|decibels?)(?![a-z])|10 ?\*? ?log ?10")
"""Decibels in longer words, such as ``sigma0 dB`` or ``10*log10(power)``."""
_ONE = ("1", "unitless", "dimensionless", "none", "n/a", "-", "")
REFUSED_UNITS = {
    "radar": (("decibel", "amplitude"), "linear power", "choose a product in linear power, such as sentinel-1-rtc"),
    "c2": (("decibel", "amplitude"), "linear power", "choose covariances in linear power"),
    "thermal": (("celsius", "fahrenheit"), "kelvin", "choose a product in kelvin"),
    "optical": (("watt", "radiance"), "surface reflectance", "choose a Level-2 (surface reflectance) collection"),
}
"""Sensor -> words as ``unit_word`` gives them, what is wanted, and the way there."""


def unit_word(text: str) -> str:
    """``decibel``, ``celsius``, ``fahrenheit``, ``kelvin``, ``linear power``, ``amplitude`` for any spelling of it;
    empty for 1 and other words of no unit; the text in lower case where it is none of these."""
    bare = re.sub(r"[\s_]+", " ", text.strip().lower()).strip("[]() ")
    if bare in _ONE:
        return ""
    exact = next((word for word, spellings in _UNITS.items() if bare in spellings), None)
    return exact or ("decibel" if _DECIBELS.search(bare) else bare)


def check_unit(unit: str | None, sensor: str) -> None:
    """InputError, whose place is the caller's to say, for a unit that the sensor's numbers must not be in."""
    refused, expected, remedy = REFUSED_UNITS[sensor]
    found = unit_word(unit or "")
    if found in refused or (sensor == "optical" and any(word in found for word in refused)):
        raise InputError(f"unit {unit!r}", expected=expected, remedy=remedy)
