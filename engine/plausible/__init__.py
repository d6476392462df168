"""Whether pixels can be what they are said to be: rules on decoded arrays, without any reading.

``*_fault`` judge one image, by what no scene of land can show, and are cheap enough for every tile; ``*_findings``
judge a source by several sights. Every threshold says where it is from.
"""

from engine.plausible.finding import Finding, Sight, named
from engine.plausible.kelvin import kelvin_fault, kelvin_findings
from engine.plausible.power import impossible_covariances, power_fault, power_findings
from engine.plausible.quality import mask_fault, mask_findings
from engine.plausible.reflectance import Misplaced, jump, misplaced, range_findings, reflectance_fault

__all__ = [
    "Finding", "Misplaced", "Sight", "impossible_covariances", "jump", "kelvin_fault", "kelvin_findings", "mask_fault",
    "mask_findings", "misplaced", "named", "power_fault", "power_findings", "range_findings", "reflectance_fault",
]  # fmt: skip
