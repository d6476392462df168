"""Sentinel-2 and Landsat seen through one sensor's bands: the published lines, in the scaling of each item."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from engine.catalog import SourceOptions, resolve
from engine.catalog.resolution import resolve_explained
from engine.errors import InputError
from engine.plan import Inputs
from kernels.bandpass import TO_OLI
from tests.engine.made_catalog import HERE, earth_search, item, of_satellite


def test_it_is_for_optical_sources_only() -> None:
    source = SourceOptions(catalog="items.ndjson", collection="c", bandpass="oli")
    assert Inputs(optical=(source,)).optical == (source,)
    with pytest.raises(ValidationError, match="bandpass under radar; expected: under optical only"):
        Inputs(radar=(source,))
    with pytest.raises(ValidationError):
        SourceOptions(catalog="items.ndjson", collection="c", bandpass="etm")  # type: ignore[arg-type]


@HERE
def test_sentinel_2_gets_the_line_of_its_satellite_and_the_narrow_near_infrared() -> None:
    scene = of_satellite(item("sentinel-2-l2a"), "S2B", "Sentinel-2B")
    plain, (seen, told) = (
        resolve(scene, earth_search(), "optical"),
        resolve_explained(scene, earth_search(bandpass="oli"), "optical"),
    )
    for band in ("blue", "green", "red", "swir1"):
        slope, shift = TO_OLI["sentinel-2b"][band]
        before, after = plain.assets[band], seen.assets[band]
        assert after.href == before.href and after.nodata == before.nodata
        for dn in (1.0, 1500.0, 9000.0):
            want = slope * (dn * before.scale + before.offset) + shift
            assert dn * after.scale + after.offset == pytest.approx(want, abs=1e-12)
    assert seen.assets["nir"].href == scene.assets["nir08"].href != plain.assets["nir"].href
    assert seen.assets["mask"] == plain.assets["mask"] and seen.identity != plain.identity
    assert "as OLI sees it" in told


@HERE
@pytest.mark.parametrize(
    ("asset", "words"), [("nir", "its nir is nir, band 8"), ("rededge3", "calls its band rededge")]
)
def test_the_users_own_asset_for_near_infrared_is_no_other_band(asset: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        resolve(item("sentinel-2-l2a"), earth_search(bandpass="oli", assets={"nir": asset}), "optical")


@HERE
def test_landsat_8_is_the_reference_and_stays_as_it_is() -> None:
    source = SourceOptions(catalog="https://catalogue.example/v1", collection="landsat-c2l2-sr")
    scene = item("landsat-c2l2-sr", platform="LANDSAT_8")
    plain = resolve(scene, source, "optical")
    assert resolve(scene, source.model_copy(update={"bandpass": "oli"}), "optical").assets == plain.assets


@HERE
@pytest.mark.parametrize(("short", "satellite"), [("S2_", "sentinel-2"), ("S2C", "sentinel-2c")])
def test_a_satellite_without_a_published_line_is_refused_with_the_remedy(short: str, satellite: str) -> None:
    scene = of_satellite(item("sentinel-2-l2a"), short, satellite)
    with pytest.raises(InputError, match=rf"bandpass: oli, but sensor '{satellite}'.*no published line.*exclude"):
        resolve(scene, earth_search(bandpass="oli"), "optical")


@HERE
def test_band_8_is_not_adjusted_with_the_line_of_band_8a() -> None:
    scene = item("sentinel-2-l2a")
    with pytest.raises(InputError, match=r"its nir is nir, band 8, for which no line is published.*leave"):
        resolve(scene, earth_search(bandpass="oli", assets={"nir": "nir"}), "optical")
    del scene.assets["nir08"]
    with pytest.raises(InputError, match=r"no nir08, the near infrared whose line is published.*leave"):
        resolve(scene, earth_search(bandpass="oli"), "optical")
