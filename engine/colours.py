"""Colours of classes: of a code alone, so that a crop has the same colour in every job.

A code times three odd constants, modulo 2 ** 64, gives hue, lightness and chroma in OKLCh (Ottosson 2020,
bottosson.github.io/posts/oklab), as Fibonacci hashing does. The constants were searched for so that the first 20 codes
in steps of 1, 2, 3, 5, 10, 20, 100, 1000 up to a million are far apart; 0.02 in OKLab can just be told apart. Codes of
nine digits and more, whose digits are levels of a nomenclature, and names are hashed first: multiplied as they are, the
crops of one group would be all alike.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

_FACTORS = (0xF5AD8D33E2DC8FFD, 0x4358B0174447FB45, 0x70A0FA341743F4C3)
_LIGHTNESS = (0.42, 0.46)
_CHROMA = (0.10, 0.12)
"""(least, range)."""
APART = 0.03
"""Distance in OKLab below which a made colour gives way to another's."""
_MOST_TRIES = 64
_HASHED_FROM = 10**8

Lab = tuple[float, float, float]


def colours_of(
    names: Mapping[int, str], given: Mapping[int, str] | None = None, by_text: Mapping[int, str] | None = None
) -> dict[int, str]:
    """#rrggbb of every code of a legend: as ``given``, else made of the code alone or, where codes were numbered for
    texts, of its text.

    A made colour that could be taken for a given one, or for that of a smaller code, is replaced by the next that its
    code gives; after 64 tries the last stays.
    """
    colours = {code: colour.lower() for code, colour in (given or {}).items() if code in names}
    taken = [_lab_of(colour) for colour in colours.values()]
    for code in sorted(names.keys() - colours.keys()):
        seed = _seed(code, by_text[code] if by_text else None)
        for attempt in range(_MOST_TRIES):
            colour = _colour(seed + (attempt << 40))
            lab = _lab_of(colour)
            if all(math.dist(lab, other) >= APART for other in taken):
                break
        colours[code] = colour
        taken.append(lab)
    return colours


def _seed(code: int, text: str | None) -> int:
    if text is None and code < _HASHED_FROM:
        return code
    return int.from_bytes(hashlib.sha256((text or str(code)).encode()).digest()[:8])


def _colour(seed: int) -> str:
    hue, light, strong = ((seed * factor) % 2**64 / 2**64 for factor in _FACTORS)
    lightness, chroma = _LIGHTNESS[0] + _LIGHTNESS[1] * light, _CHROMA[0] + _CHROMA[1] * strong
    a, b = math.cos(2 * math.pi * hue), math.sin(2 * math.pi * hue)
    while not all(-1e-4 <= channel <= 1.0001 for channel in _linear_rgb(lightness, chroma * a, chroma * b)):
        chroma *= 0.97  # a screen does not show it so strong
    channels = (min(max(channel, 0.0), 1.0) for channel in _linear_rgb(lightness, chroma * a, chroma * b))
    return "#" + "".join(f"{round(255 * _encoded(channel)):02x}" for channel in channels)


def _linear_rgb(lightness: float, a: float, b: float) -> Lab:
    """Linear sRGB, 0 to 1 where a screen can show it."""
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _lab_of(colour: str) -> Lab:
    """OKLab of #rrggbb."""
    red, green, blue = (_decoded(channel / 255) for channel in bytes.fromhex(colour.removeprefix("#")))
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    medium = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def _encoded(channel: float) -> float:
    """sRGB's transfer function."""
    return float(12.92 * channel if channel <= 0.0031308 else 1.055 * channel ** (1 / 2.4) - 0.055)


def _decoded(channel: float) -> float:
    return float(channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4)
