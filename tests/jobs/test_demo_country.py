"""The made country: real formats, the statistics of real fields, and the same bytes every time."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pystac
import pytest
import rasterio
from pydantic import ValidationError
from rio_cogeo import cog_validate

from engine.bands import OPTICAL_BANDS
from jobs.demo import Country, CountryOptions, write_country
from jobs.demo.canvas import CODES, ground
from jobs.demo.country import _canvas
from jobs.demo.phenology import state_on
from jobs.demo.radar import LOOKS, speckle, wishart
from jobs.demo.sky import day_of, drought, make_sky, stream

MAIZE, GRASS = 1200, 9120
TINY = CountryOptions(pixels=96, cadence=12)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Country:
    return write_country(tmp_path_factory.mktemp("tiny"), TINY)


@pytest.fixture(scope="module")
def canvas():
    """2.4 x 2.4 km without scenes: enough fields of every crop for monthly means."""
    return _canvas(CountryOptions(pixels=240))


def _items(country: Country) -> list[dict[str, Any]]:
    return [json.loads(line) for line in country.items.read_text().splitlines()]


def _read(country: Country, item: dict[str, Any], name: str) -> np.ndarray:
    asset = item["assets"][name]
    raster = asset["raster:bands"][0]
    with rasterio.open(country.root / asset["href"]) as dataset:
        values = dataset.read(1)
    return values.astype(np.float64) * raster["scale"] + raster["offset"] if "scale" in raster else values


def _digests(root: Path) -> dict[str, str]:
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()
    }


def test_two_makes_of_one_seed_are_equal_to_the_byte_and_another_seed_differs(tiny: Country, tmp_path: Path) -> None:
    again = write_country(tmp_path / "again", TINY)
    other = write_country(tmp_path / "other", TINY.model_copy(update={"seed": 8}))
    assert _digests(again.root) == _digests(tiny.root)
    assert other.truth[2023].read_bytes() != tiny.truth[2023].read_bytes()


def test_every_raster_is_a_valid_cog_of_the_shape_and_place_its_item_says(tiny: Country) -> None:
    for item in _items(tiny):
        for asset in item["assets"].values():
            path = tiny.root / asset["href"]
            assert cog_validate(path, strict=True)[:2] == (True, []), path
            with rasterio.open(path) as dataset:
                assert list(dataset.shape) == asset["proj:shape"]
                assert list(dataset.transform)[:6] == asset["proj:transform"]
                assert str(dataset.crs) == item["properties"]["proj:code"] == tiny.crs
                assert dataset.dtypes[0] == asset["raster:bands"][0]["data_type"]
            assert asset["file:checksum"] == "1220" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_overview_is_written_where_a_raster_is_larger_than_a_block(tmp_path: Path) -> None:
    country = write_country(tmp_path, CountryOptions(pixels=300, cadence=200))
    with rasterio.open(country.truth[2023]) as truth:
        assert truth.overviews(1) == [2]
        assert set(np.unique(truth.read(1, out_shape=(150, 150)))) <= {0, *country.legend}


def test_the_catalogue_opens_with_pystac_and_every_link_leads_to_a_file(tiny: Country) -> None:
    catalogue = pystac.Catalog.from_file(str(tiny.catalog))
    items = list(catalogue.get_items(recursive=True))
    assert {item.id for item in items} == {item["id"] for item in _items(tiny)}
    assert {c.id for c in catalogue.get_collections()} == {
        "sentinel-2-l2a", "landsat-c2-l2", "landsat-c2-l2-st", "sentinel-1-rtc", "sentinel-1-c2",
    }  # fmt: skip
    for item in items:
        assert item.to_dict()["stac_version"] == "1.1.0"
        assert all(Path(asset.get_absolute_href()).is_file() for asset in item.assets.values())


def test_it_is_named_as_made_everywhere(tiny: Country) -> None:
    said = "made by tilth, not observed"
    assert said in (tiny.root / "README.md").read_text()
    catalogue = pystac.Catalog.from_file(str(tiny.catalog))
    assert said in catalogue.description and said in str(catalogue.title)
    for collection in catalogue.get_collections():
        assert said in collection.description.lower() and said in str(collection.title)
    assert all(item["properties"]["description"] == said and item["id"].startswith("MADE_") for item in _items(tiny))


def test_counts_of_both_years_decode_to_reflectance_though_only_one_keeps_the_offset(tiny: Country) -> None:
    for item in _items(tiny):
        if item["collection"] != "sentinel-2-l2a":
            continue
        raster = item["assets"]["nir"]["raster:bands"][0]
        first = item["properties"]["datetime"].startswith("2023")
        assert (raster["scale"], raster["offset"]) == (1e-4, -0.1 if first else 0.0)
        assert item["properties"]["earthsearch:boa_offset_applied"] is not first
        for name in ("blue", "green", "red", "nir", "swir16"):
            values = _read(tiny, item, name)
            assert values.min() >= 0.0 and values.max() < 1.0


def test_labels_show_the_training_parcels_alone_and_truth_shows_all(tiny: Country) -> None:
    for year in tiny.years:
        parcels = geopandas.read_parquet(tiny.parcels[year])
        assert set(parcels.split) == {"train", "test"}
        assert parcels.geometry.is_valid.all() and parcels.crs.to_epsg() == 32631
        assert (parcels.crop_name == parcels.crop_code.map(dict(tiny.legend))).all()
        with rasterio.open(tiny.truth[year]) as truth, rasterio.open(tiny.labels[year]) as labels:
            for row in parcels.itertuples():
                x, y = row.geometry.representative_point().coords[0]
                assert next(truth.sample([(x, y)]))[0] == row.crop_code
                assert next(labels.sample([(x, y)]))[0] == (row.crop_code if row.split == "train" else 0)


def test_crops_rotate_between_years_but_permanent_grass_stays(canvas) -> None:
    before, after = (CODES[canvas.growth.crop[year]] for year in (2023, 2024))
    arable = (before >= 1000) & (before != GRASS)
    assert (before[arable] != after[arable]).mean() > 0.75
    assert (before[~arable] == after[~arable]).all()
    assert set(CODES[:8]) <= set(before)


# (month, maize NDVI, grass NDVI) of Flanders 2018; grass in July and August is of a drought, which 2023 is not
NDVI = [(1, 0.74, 0.87), (3, 0.60, 0.76), (5, 0.31, 0.74), (6, 0.56, 0.61), (7, 0.75, 0.52), (9, 0.39, 0.55)]


@pytest.mark.parametrize(("month", "maize", "grass"), NDVI)
def test_maize_and_grass_in_the_wet_year_are_as_green_as_in_flanders(canvas, month, maize, grass) -> None:
    red, nir = OPTICAL_BANDS.index("red"), OPTICAL_BANDS.index("nir")
    for code, expected in ((MAIZE, maize), (GRASS, grass)):
        pixels = []
        for day in (5, 15, 25):
            when = day_of(date(2023, month, day))
            surface = ground(canvas, state_on(canvas.growth, when), 0.4, 0, canvas.pixels)
            here = CODES[canvas.growth.crop[2023]][canvas.landscape.ids] == code
            pixels.append(((surface[nir] - surface[red]) / (surface[nir] + surface[red]))[here])
        assert np.mean(pixels) == pytest.approx(expected, abs=0.12)
        assert 0.04 < np.std(pixels) < 0.25


def test_maize_reflectance_in_july_is_that_of_flanders(canvas) -> None:
    surface = ground(canvas, state_on(canvas.growth, day_of(date(2023, 7, 15))), 0.35, 0, canvas.pixels)
    here = CODES[canvas.growth.crop[2023]][canvas.landscape.ids] == MAIZE
    assert surface[:, here].mean(axis=1) == pytest.approx([0.055, 0.078, 0.062, 0.436, 0.215], rel=0.12)


def test_radar_means_and_the_spread_within_fields_are_those_of_flanders(tmp_path: Path) -> None:
    country = write_country(tmp_path, CountryOptions(pixels=180, cadence=15))
    with rasterio.open(country.truth[2023]) as dataset:
        truth = dataset.read(1)[::2, ::2]
    scenes = [
        i for i in _items(country) if i["collection"] == "sentinel-1-rtc" and "2023" in i["properties"]["datetime"]
    ]
    for code in (MAIZE, GRASS):
        for name, low, high in (("vv", -11.5, -8.0), ("vh", -20.0, -15.0)):
            fields = [_read(country, item, name)[truth == code] for item in scenes]
            assert all(low < 10 * np.log10(values.mean()) < high for values in fields)
            assert 1.5 < np.median([values.mean() ** 2 / values.var() for values in fields]) < LOOKS


def test_speckle_has_mean_one_and_the_looks_it_was_drawn_with() -> None:
    drawn = speckle(stream(1, "speckle"), (400, 400), LOOKS).astype(np.float64)
    assert drawn.mean() == pytest.approx(1.0, abs=0.01)
    assert drawn.mean() ** 2 / drawn.var() == pytest.approx(LOOKS, rel=0.03)


def test_covariance_draws_have_their_mean_their_looks_and_no_negative_eigenvalue() -> None:
    vv, vh = np.full((400, 400), 0.1, np.float32), np.full((400, 400), 0.02, np.float32)
    cross = np.full(vv.shape, 0.01 + 0.005j, np.complex64)
    c11, c22, c12 = wishart(stream(1, "wishart"), vv, vh, cross, looks=LOOKS)
    assert c11.mean() == pytest.approx(0.1, rel=0.01) and c22.mean() == pytest.approx(0.02, rel=0.01)
    assert c12.mean() == pytest.approx(0.01 + 0.005j, rel=0.03)
    for power in (c11, c22):
        assert power.mean() ** 2 / power.var() == pytest.approx(LOOKS, rel=0.03)
    assert (c11.astype(np.float64) * c22 - np.abs(c12.astype(np.complex128)) ** 2 > 0).all()


def test_stored_covariance_is_positive_semi_definite_and_c11_is_vv_on_average(tiny: Country) -> None:
    items = _items(tiny)
    for item in (i for i in items if i["collection"] == "sentinel-1-c2"):
        c11, c22, re, im = (_read(tiny, item, name) for name in ("c11", "c22", "c12_real", "c12_imag"))
        assert (c11 * c22 * (1 + 1e-6) >= re**2 + im**2).all()
        day = item["properties"]["datetime"]
        twins = [i for i in items if i["collection"] == "sentinel-1-rtc" and i["properties"]["datetime"] == day]
        for twin in twins:
            assert c11.mean() == pytest.approx(_read(tiny, twin, "vv").mean(), rel=0.1)


def test_the_scene_classification_misses_edges_and_shadows_of_clouds() -> None:
    sky = make_sky(3, "scene", 0.5, 3000.0)
    at = np.arange(10.0, 3000.0, 20.0)
    cover, shadow, error = sky.over(at, at)
    assert 0.4 < (cover > 0.45).mean() < 0.6
    assert ((cover > 0.02) & (cover < 0.4)).mean() > 0.01 and shadow.max() > 0.9
    assert abs(error.mean()) < 0.5
    assert make_sky(3, "scene", 0.0, 3000.0).over(at, at).cover.max() <= 0.4


def test_the_dry_year_is_short_of_water_in_summer_alone() -> None:
    assert drought(day_of(date(2024, 8, 1))) > 0.9 > 0.2 > drought(day_of(date(2023, 8, 1)))
    assert drought(day_of(date(2024, 2, 1))) < 0.01


def test_strips_do_not_show(canvas) -> None:
    state = state_on(canvas.growth, 180)
    whole = ground(canvas, state, 0.4, 0, canvas.pixels)
    parts = [ground(canvas, state, 0.4, top, top + 60) for top in range(0, canvas.pixels, 60)]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("wrong", [{"pixels": 100}, {"pixels": 6}, {"cadence": 0}, {"seed": -1}, {"size": "small"}])
def test_options_that_fit_no_country_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CountryOptions(**wrong)
