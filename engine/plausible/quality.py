"""Quality layers that are not of the kind they are read as."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.plausible.finding import Finding, Sight, enough

ENOUGH = 4
"""Scenes from which on it is worth telling that a mask keeps nothing."""
BRIGHTER = 0.1
"""Blue reflectance by which a mask's own clouds should not be outshone: clouds are 0.3 to 0.9, land 0.02 to 0.2."""


def _is_scl(values: NDArray) -> NDArray[np.bool_]:
    """Sen2Cor has the classes 0 to 11."""
    return np.asarray((values >= 0) & (values <= 11))


def _is_qa_pixel(values: NDArray) -> NDArray[np.bool_]:
    """Fill alone (1), or a confidence of cloud (bits 8, 9), shadow (10, 11) and snow (12, 13) each, with bit 6, clear,
    set unless cloud (3) or dilated cloud (1) is: USGS LSDS-1619, and all 14 values of 55 scenes of Flanders."""
    bits = values.astype(np.int64)
    confident = ((bits >> 8) & 3 != 0) & ((bits >> 10) & 3 != 0) & ((bits >> 12) & 3 != 0) & (bits < 65536)
    agrees = ((bits >> 6) & 1 == 0) == ((bits & 0b1010) != 0)
    return np.asarray((bits == 1) | (confident & agrees))


def _is_pixel_qa(values: NDArray) -> NDArray[np.bool_]:
    """Fill alone (1), or a cloud confidence (bits 6, 7) with at most one of clear, water, shadow, snow and cloud being
    clear: USGS LSDS-1368, table 7-2. Eleven bits are used."""
    bits = values.astype(np.int64)
    not_clear = (bits & 0b111100) != 0
    one = ((bits >> 1) & 1 == 1) != not_clear
    return np.asarray((bits == 1) | (((bits >> 6) & 3 != 0) & one & (bits < 2048)))


def _is_byte(values: NDArray) -> NDArray[np.bool_]:
    return np.asarray((values >= 0) & (values <= 255))


CLASSES: Mapping[str, tuple[Callable[[NDArray], NDArray[np.bool_]], Callable[[NDArray], NDArray[np.bool_]], str]] = {
    "scl": (_is_scl, lambda v: np.asarray(v == 0), "Sentinel-2's scene classes 0 to 11"),
    "qa_pixel": (_is_qa_pixel, lambda v: np.asarray(v.astype(np.int64) & 1 == 1), "bits of Landsat's QA_PIXEL"),
    "pixel_qa": (_is_pixel_qa, lambda v: np.asarray(v.astype(np.int64) & 1 == 1), "bits of Landsat's pixel_qa"),
    "fmask": (lambda v: np.isin(v, (0, 1, 2, 3, 4, 255)), lambda v: np.asarray(v == 255), "Fmask's classes 0 to 4"),
    "dea_fmask": (lambda v: np.isin(v, range(6)), lambda v: np.asarray(v == 0), "the classes 0 to 5"),
    "hls_fmask": (_is_byte, lambda v: np.asarray(v == 255), "the eight bits of HLS"),
    "cloud_probability": (
        lambda v: np.asarray(((v >= 0) & (v <= 100)) | (v == 255)), lambda v: np.asarray(v > 100), "per cent, 0 to 100",
    ),
}  # fmt: skip
"""Kind of mask -> (is a value one of its classes, is it fill, what they are in words)."""


def mask_fault(kind: str, values: NDArray) -> Finding | None:
    """What shows in one image of a quality layer that it is of another kind; None where nothing does, or where too few
    pixels tell.

    values: any shape, integers, as stored. Zeros are no witness: they fill what was not taken.
    """
    if kind not in CLASSES:
        return None
    known, _, words = CLASSES[kind]
    some = values[values != 0]
    wrong = some[~known(some)]
    if not enough(some.size, values.size) or 2 * wrong.size <= some.size:
        return None
    often = ", ".join(str(v) for v in np.unique(wrong)[:5])
    return Finding(
        f"{wrong.size / some.size:.0%} of the mask's values are no class of {kind}: {often}",
        words,
        "name the asset that holds them: inputs.*.assets {mask: ...}",
    )


def mask_findings(kind: str, sights: Sequence[Sight], optical: bool = True) -> list[Finding]:
    """What the masks of several sights show together, beside the first of their bands: blue, where ``optical``."""
    if kind not in CLASSES:
        return []
    masked = [sight for sight in sights if sight.mask is not None]
    bright = [*_keeping_clouds(masked), *_upside_down(masked)] if optical else []
    return [*_filled(kind, masked), *_dropping_all(kind, masked), *bright]


def _filled(kind: str, sights: Sequence[Sight]) -> list[Finding]:
    """Fill where the bands have values: so a mask looks whose 0, or lowest bit, means clear."""
    fill = CLASSES[kind][1]
    shares = []
    for sight in sights:
        assert sight.mask is not None
        data = np.isfinite(sight.bands).all(axis=0)
        shares.append(float(np.mean(fill(sight.mask)[data])) if data.any() else 0.0)
    wrong = [sight.scene for sight, share in zip(sights, shares, strict=True) if share > 0.5]
    if not wrong:
        return []
    return [
        Finding(
            f"the mask says fill where the bands have values, in {len(wrong)} of {len(sights)} sights",
            f"{CLASSES[kind][2]}, in which {'0' if kind == 'scl' else 'bit 0'} means that there is no image",
            "name the asset that holds them: inputs.*.assets {mask: ...}",
            3 * len(wrong) > len(sights),
            tuple(wrong),
        )
    ]


def _dropping_all(kind: str, sights: Sequence[Sight]) -> list[Finding]:
    scenes = {sight.scene: sight for sight in sights}
    if len(scenes) < ENOUGH or any(sight.clear.any() for sight in sights):
        return []
    values = np.unique(np.concatenate([sight.mask.ravel() for sight in sights if sight.mask is not None]))
    binary = kind == "scl" and bool((values <= 1).all())  # neither ground nor cloud in a season: a mask of 0 and 1
    told = f", whose values are {' and '.join(map(str, values.tolist()))} alone" if binary else ""
    return [
        Finding(
            f"the mask keeps nothing in any of {len(scenes)} scenes looked at{told}",
            f"{CLASSES[kind][2]}, clear ground in some of them",
            "check that it is the scenes' own mask, and inputs.*.mask",
            certain=binary,
            scenes=tuple(scenes),
        )
    ]


def _keeping_clouds(sights: Sequence[Sight]) -> list[Finding]:
    """Scenes wholly kept that are as bright as clouds, among others of the same place that are not, where the mask
    drops nothing anywhere."""
    seen = [sight for sight in sights if np.isfinite(sight.bands[0]).any()]
    if not seen or not all(sight.clear[np.isfinite(sight.bands[0])].all() for sight in seen):
        return []
    level = np.array([np.nanmedian(sight.bands[0]) for sight in seen])
    clouds = level > np.median(level) + 2 * BRIGHTER
    if not clouds.any():
        return []
    return [
        Finding(
            f"the mask drops nothing in {len(seen)} sights, of which some are as bright as clouds",
            "clouds dropped",
            "check that it is the scenes' own mask, and inputs.*.mask",
            certain=False,
            scenes=tuple(sight.scene for sight, cloud in zip(seen, clouds, strict=True) if cloud),
        )
    ]


def _upside_down(sights: Sequence[Sight]) -> list[Finding]:
    """Whether what is kept outshines what is dropped, scene after scene, as where clouds are kept."""
    bright, judged = [], 0
    for sight in sights:
        data = np.isfinite(sight.bands[0])
        kept, dropped = sight.bands[0][data & sight.clear], sight.bands[0][data & ~sight.clear]
        if 20 * min(kept.size, dropped.size) > data.size:
            judged += 1
            bright += [sight.scene] if np.median(kept) > np.percentile(dropped, 75) + BRIGHTER else []
    if len(bright) < 2 or 2 * len(bright) <= judged:
        return []
    return [
        Finding(
            f"what the mask keeps is brighter than what it drops by more than {BRIGHTER:g} in {len(bright)} of "
            f"{judged} sights",
            "clouds dropped",
            "check which of its values mean clear",
            certain=False,
            scenes=tuple(bright),
        )
    ]
