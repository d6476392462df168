"""What no land looks like is told, whatever land it is; and no land is told to be none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.plausible import (
    Finding,
    Sight,
    impossible_covariances,
    jump,
    kelvin_fault,
    kelvin_findings,
    mask_fault,
    mask_findings,
    misplaced,
    named,
    power_fault,
    power_findings,
    range_findings,
    reflectance_fault,
)
from tests.engine.made_pixels import BACKSCATTER, LAND, SIDE, kelvin, power, reflectance, season, sight

SEEDS = range(6)
GREEN = ("fields", "forest", "oasis", "winter", "savanna")
"""Countries with dense vegetation in them."""


def certain(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.certain]


@pytest.mark.parametrize("land", LAND)
def test_reflectance_of_every_land_passes_without_a_word(land: str) -> None:
    for seed in SEEDS:
        sights = season(land, seed)
        assert reflectance_fault(sights[0].pixels()) is None
        assert range_findings(sights) == [] and misplaced(sights) == []


@pytest.mark.parametrize("land", LAND)
def test_numbers_that_are_not_scaled_are_certain_on_every_land(land: str) -> None:
    for seed in SEEDS:
        for scale in (1e4, 1e2):
            sights = season(land, seed, scale=scale)
            (found,) = range_findings(sights)
            assert found.certain and "above 1.5" in found.seen and len(found.scenes) == 5
        fault = reflectance_fault(season(land, seed, scale=1e4)[0].pixels())
        assert fault is not None and "brightest band" in fault.seen


@pytest.mark.parametrize("land", LAND)
def test_a_scale_applied_twice_is_certain_on_every_land(land: str) -> None:
    for seed in SEEDS:
        (found,) = range_findings(season(land, seed, scale=1e-4))
        assert found.certain and "below" in found.seen


@pytest.mark.parametrize("land", ["fields", "forest", "savanna", "desert", "salt pan", "winter"])
def test_ten_times_too_bright_is_certain_on_dry_land(land: str) -> None:
    for seed in SEEDS:
        assert certain(range_findings(season(land, seed, scale=10)))


@pytest.mark.parametrize("land", [*GREEN, "lake", "sea"])
def test_an_offset_taken_off_twice_is_certain_where_there_is_vegetation_or_water(land: str) -> None:
    for seed in SEEDS:
        (found,) = misplaced(season(land, seed, plus=-0.1))
        assert found.level == "dark" and found.right == () and len(found.scenes) == 5
        assert all(-0.12 < value < -0.025 for value in found.scenes.values())


@pytest.mark.parametrize("land", [*GREEN, "lake", "sea", "city"])
def test_an_offset_not_taken_off_is_certain_where_there_is_vegetation_or_water(land: str) -> None:
    for seed in SEEDS:
        (found,) = misplaced(season(land, seed, plus=0.1))
        assert found.level == "bright" and found.right == () and len(found.scenes) == 5
        assert not found.doubtful


def test_bright_land_alone_tells_nothing_of_an_offset() -> None:
    for seed in SEEDS:
        for plus in (0.1, -0.1, 0.0):
            assert misplaced(season("desert", seed, plus=plus)) == []


def test_one_hazy_date_among_clear_ones_is_doubtful_and_one_that_jumps_in_every_band_is_certain() -> None:
    haze = np.array([0.11, 0.10, 0.09, 0.03, 0.01], np.float32)[:, None, None]
    for seed in SEEDS:
        field = reflectance("forest", seed)
        clear = [sight(field, f"clear-{i}", 10 * i) for i in range(3)]
        (found,) = misplaced([*clear, sight(field + haze, "hazy", 15)])
        assert not found.scenes and list(found.doubtful) == ["hazy"] and len(found.right) == 3
        (found,) = misplaced([*clear, sight(field + 0.1, "shifted", 15)])
        assert list(found.scenes) == ["shifted"] and not found.doubtful
        (found,) = misplaced([sight(field + haze, "hazy", 15)])
        assert not found.scenes and list(found.doubtful) == ["hazy"]


@pytest.mark.parametrize("land", LAND)
def test_a_jump_of_a_tenth_in_every_band_is_seen_on_every_land(land: str) -> None:
    for seed in SEEDS:
        field = reflectance(land, seed)
        before = [sight(field, f"old-{i}", 5 * i) for i in range(2)]
        after = [sight(field + 0.1, f"new-{i}", 10 + 5 * i) for i in range(2)]
        size, sure = jump(before, after) or (0.0, False)
        assert sure and size == pytest.approx(0.1, abs=1e-5)
        size, sure = jump(after, before) or (0.0, False)
        assert sure and size == pytest.approx(-0.1, abs=1e-5)
        size, sure = jump(before[:1], after[:1]) or (0.0, True)
        assert not sure, "a single pair is a doubt"


def test_growth_snow_and_haze_are_no_jump_of_an_offset() -> None:
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        for one, other in (("fields", "winter"), ("savanna", "forest"), ("fields", "savanna"), ("lake", "winter")):
            before = [sight(reflectance(one, seed + i), f"old-{i}", i) for i in range(2)]
            after = [sight(reflectance(other, seed + 9 + i), f"new-{i}", 10 + i) for i in range(2)]
            assert jump(before, after) is None
        field = reflectance("fields", seed)
        haze = np.linspace(0.15, 0.01, 5, dtype=np.float32)[:, None, None] * rng.uniform(0.7, 1.2)
        assert jump([sight(field, "a")], [sight(field + haze, "b", 5)]) is None
        assert jump([sight(field, "a")], [sight(field, "b", 5, place=1)]) is None, "another place"


def test_the_few_pixels_that_clouds_leave_over_say_nothing_of_a_tile() -> None:
    """Shadows, cloud edges and the border of a swath; the same numbers all over a tile tell."""
    faults = (reflectance_fault, power_fault, kelvin_fault, impossible_covariances_fault)
    impossible = (np.full((5, SIDE, SIDE), 4e3), np.full((SIDE, SIDE), -12.0), np.full((SIDE, SIDE), 15.0),
                  np.stack([np.ones((SIDE, SIDE))] * 4) * 3 ** np.arange(4)[:, None, None])  # fmt: skip
    for fault, values in zip(faults, impossible, strict=True):
        whole = values.astype(np.float32)
        few = np.full_like(whole, np.nan)
        few[..., :5, :5] = whole[..., :5, :5]
        assert fault(few) is None and fault(whole) is not None
    mask = np.zeros((SIDE, SIDE), np.uint16)
    mask[:5, :5] = 21824
    assert mask_fault("scl", mask) is None and mask_fault("scl", np.full_like(mask, 21824)) is not None


def impossible_covariances_fault(planes: NDArray[np.float32]) -> Finding | None:
    return impossible_covariances(list(planes), np.isfinite(planes).all(axis=0))[1]


def test_bright_snow_above_one_in_some_pixels_is_no_fault_and_much_of_it_a_doubt() -> None:
    for seed in SEEDS:
        (found,) = range_findings([sight(reflectance("winter", seed) * 1.3, f"s{i}", i) for i in range(3)])
        assert not found.certain and "above 1.2" in found.seen


def test_too_few_pixels_say_nothing() -> None:
    empty = sight(np.full((5, SIDE, SIDE), np.nan), "gone")
    assert range_findings([empty]) == [] and misplaced([empty]) == [] and kelvin_findings([]) == []
    assert reflectance_fault(empty.pixels()) is None and range_findings([]) == [] and power_findings([]) == []
    assert jump([empty], [empty]) is None


def _radar(land: str, change: str = "", looks: float = 4.4) -> list[list[Sight]]:
    changes = {
        "": lambda x: x,
        "decibels": lambda x: 10 * np.log10(x),
        "amplitude": np.sqrt,
        "unscaled": lambda x: x * 1e4,
        "twice": lambda x: x * 1e-4,
        "exchanged": lambda x: x[::-1],
        "dn": lambda x: np.sqrt(x) * 600,
    }
    return [
        [sight(changes[change](power(land, 100 * seed + i, looks)), f"{land}-{i}", i) for i in range(4)]
        for seed in SEEDS
    ]


@pytest.mark.parametrize("looks", [1.0, 4.4, 30.0])
@pytest.mark.parametrize("land", BACKSCATTER)
def test_power_of_every_land_passes(land: str, looks: float) -> None:
    for sights in _radar(land, looks=looks):
        assert all(power_fault(band) is None for one in sights for band in one.bands)
        assert certain(power_findings(sights)) == []


@pytest.mark.parametrize("looks", [1.0, 4.4, 30.0])
@pytest.mark.parametrize(("change", "words"), [("decibels", "decibels"), ("dn", "amplitudes")])
@pytest.mark.parametrize("land", ["fields", "forest", "desert", "steppe", "lake"])
def test_decibels_and_digital_numbers_are_certain_in_one_image(
    land: str, change: str, words: str, looks: float
) -> None:
    for sights in _radar(land, change, looks):
        for band in sights[0].bands:
            fault = power_fault(band)
            assert (
                fault is not None and words in fault.seen and fault.expected.startswith("backscatter in linear power")
            )


@pytest.mark.parametrize("land", BACKSCATTER)
def test_a_scale_of_ten_thousand_missing_or_applied_twice_is_certain(land: str) -> None:
    for sights in _radar(land, "unscaled"):
        assert all(power_fault(band) is not None for band in sights[0].bands)
    for sights in _radar(land, "twice"):
        fault = power_fault(sights[0].bands[1])
        assert fault is None if land == "city" else fault is not None and "twice" in fault.seen


@pytest.mark.parametrize("looks", [1.0, 4.4, 30.0])
@pytest.mark.parametrize("land", ["fields", "forest", "rain forest", "rape"])
def test_amplitudes_of_what_grows_are_certain(land: str, looks: float) -> None:
    for sights in _radar(land, "amplitude", looks):
        (found,) = power_findings(sights)
        assert found.certain and "square roots of power" in found.seen


@pytest.mark.parametrize("fill", [9999.0, 32767.0, 1e20])
def test_fill_that_nobody_calls_no_data_is_told(fill: float) -> None:
    for seed in SEEDS:
        planes = np.stack(power("fields", seed))
        planes[:, :2, :5] = fill
        (found,) = power_findings([sight(planes, "filled")])
        assert not found.certain and found.scenes == ("filled",) and f"up to {fill:.6g}" in found.seen


def test_exchanged_polarisations_are_told() -> None:
    for land in ("fields", "forest", "steppe"):
        for sights in _radar(land, "exchanged"):
            (found,) = power_findings(sights)
            assert found.certain and "exchanged" in found.seen


def test_covariances_that_contradict_themselves_are_told() -> None:
    for seed in SEEDS:
        c11, c22 = power("fields", seed)
        phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, c11.shape)
        right = np.sqrt(c11 * c22) * 0.6
        planes = [c11, c22, (right * np.cos(phase)).astype(np.float32), (right * np.sin(phase)).astype(np.float32)]
        wrong, fault = impossible_covariances(planes, np.ones(c11.shape, np.bool_))
        assert not wrong.any() and fault is None
        wrong, fault = impossible_covariances([c11, c22, planes[2] * 3, planes[3] * 3], np.ones(c11.shape, np.bool_))
        assert wrong.all() and fault is not None and "no covariances" in fault.seen


@pytest.mark.parametrize("mean", [235.0, 274.0, 308.0, 335.0])
def test_temperatures_of_land_pass(mean: float) -> None:
    for seed in SEEDS:
        values = kelvin(mean, seed)
        assert kelvin_fault(values) is None and kelvin_findings([sight(values)]) == []


@pytest.mark.parametrize(("mean", "words"), [(22.0, "Celsius"), (-8.0, "Celsius"), (42_000.0, "numbers without"),
                                             (143.0, "numbers without"), (15_000.0, "numbers without")])  # fmt: skip
def test_celsius_and_numbers_without_scale_are_no_temperatures(mean: float, words: str) -> None:
    for seed in SEEDS:
        fault = kelvin_fault(kelvin(mean, seed))
        assert fault is not None and words in fault.seen
        (found,) = kelvin_findings([sight(kelvin(mean, seed), "hot")])
        assert found.certain and found.scenes == ("hot",)


def test_a_cold_cloud_top_is_a_doubt() -> None:
    sights = [sight(kelvin(mean, 1), f"{mean}") for mean in (290.0, 300.0, 295.0, 205.0)]
    (found,) = kelvin_findings(sights)
    assert not found.certain and found.scenes == ("205.0",)


SCL = np.array([4, 5, 4, 6, 8, 9, 3, 7, 2, 10, 11, 1], np.uint8)
QA_PIXEL = np.array([1, 21824, 21952, 22080, 22280, 23888, 30048, 54596, 55052, 21762, 5440, 63076, 56854], np.uint16)
PIXEL_QA = np.array([1, 322, 324, 328, 336, 352, 386, 392, 416, 480, 834, 864, 898, 928, 992, 66, 68, 72], np.uint16)
FMASK = np.array([0, 1, 2, 3, 4, 255], np.uint8)
PROBABILITY = np.array([0, 17, 43, 60, 77, 82, 95, 99, 100], np.uint8)
KINDS = {"scl": SCL, "qa_pixel": QA_PIXEL, "pixel_qa": PIXEL_QA}
OTHERS = {"fmask": FMASK, "dea_fmask": np.arange(6, dtype=np.uint8), "cloud_probability": PROBABILITY}


def _mask(values: NDArray, seed: int) -> NDArray:
    return np.random.default_rng(seed).choice(values, (SIDE, SIDE))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_mask_is_known_by_its_own_values_alone(kind: str) -> None:
    for seed in SEEDS:
        assert mask_fault(kind, _mask(KINDS[kind], seed)) is None
        assert mask_fault(kind, np.zeros((4, 4), np.uint8)) is None, "what was not taken is no witness"
        for other, values in {**KINDS, "probability": PROBABILITY}.items():
            if other == kind:
                continue
            fault = mask_fault(kind, _mask(values, seed))
            assert fault is not None and f"no class of {kind}" in fault.seen, other


@pytest.mark.parametrize("kind", OTHERS)
def test_masks_of_few_classes_know_their_own_and_no_bits(kind: str) -> None:
    for seed in SEEDS:
        assert mask_fault(kind, _mask(OTHERS[kind], seed)) is None
        assert mask_fault(kind, _mask(QA_PIXEL, seed)) is not None
        assert (mask_fault(kind, _mask(SCL[SCL > 5], seed)) is None) == (kind == "cloud_probability")


def test_bytes_of_another_meaning_are_no_landsat_bits() -> None:
    for kind in ("qa_pixel", "pixel_qa"):
        for seed in SEEDS:
            assert mask_fault(kind, _mask(FMASK[2:], seed)) is not None


def test_a_mask_that_says_fill_where_there_are_bands_is_certain() -> None:
    """As Fmask does, whose 0 is clear land, or a cloud probability, where it is read as scene classes."""
    for seed in SEEDS:
        field = reflectance("fields", seed)
        for values in ([0, 0, 0, 4, 2], [0, 0, 0, 0, 12, 80]):
            mask = _mask(np.array(values, np.uint8), seed)
            sights = [sight(field, f"s{i}", i, clear=mask == 4, mask=mask) for i in range(3)]
            (found,) = certain(mask_findings("scl", sights))
            assert "fill" in found.seen and found.scenes == ("s0", "s1", "s2")
        gone = np.where(mask == 0, np.nan, field).astype(np.float32)
        assert mask_findings("scl", [sight(gone, f"s{i}", i, clear=mask == 4, mask=mask) for i in range(3)]) == []


def test_a_mask_that_keeps_or_drops_everything_and_one_that_keeps_the_clouds_are_doubtful() -> None:
    for seed in SEEDS:
        field = reflectance("fields", seed)
        flat, cloud = np.full((SIDE, SIDE), 4, np.uint8), field * 0 + 0.6
        same = [sight(field, f"s{i}", i, mask=flat) for i in range(4)]
        assert mask_findings("scl", same) == [], "a season without a cloud"
        (found,) = mask_findings("scl", [*same, sight(cloud, "cloud", 5, mask=flat)])
        assert not found.certain and "drops nothing" in found.seen and found.scenes == ("cloud",)
        nothing = [sight(field, f"s{i}", i, clear=flat == 5, mask=flat * 2) for i in range(4)]
        (found,) = mask_findings("scl", nothing)
        assert not found.certain and "keeps nothing" in found.seen
        binary = [sight(field, f"s{i}", i, clear=flat == 5, mask=np.ones_like(flat)) for i in range(4)]
        (found,) = mask_findings("scl", binary)  # 1 = clear, as a mask of 0 and 1 has it
        assert found.certain and "whose values are 1 alone" in found.seen
        cloudy = np.zeros((SIDE, SIDE), np.bool_)
        cloudy[:20] = True
        bright = np.where(cloudy, 0.6, field)
        upside = np.where(cloudy, 4, 9).astype(np.uint8)
        (found,) = mask_findings("scl", [sight(bright, f"s{i}", i, clear=cloudy, mask=upside) for i in range(3)])
        assert not found.certain and "brighter than what it drops" in found.seen
        right = np.where(cloudy, 9, 4).astype(np.uint8)
        assert mask_findings("scl", [sight(bright, f"s{i}", i, clear=~cloudy, mask=right) for i in range(3)]) == []


def test_three_scenes_are_named_and_the_others_counted() -> None:
    assert named(["a", "b", "a"]) == "a, b" and named(list("abcde")) == "a, b, c and 2 more"
