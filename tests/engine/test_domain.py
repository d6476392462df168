"""In what a job leaves the domain of its model, and whose an accuracy is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from pyproj import Geod

from engine.models import Domain, read_domain, write_model
from engine.models.domain import beyond, outside, share_outside
from engine.models.ranges import SAMPLED, Ranges, ranges
from engine.models.whose import accuracy_of, known_to
from engine.types import FeatureBlock
from tests.engine.made_models import DOMAIN, made_card

CARD = made_card(b"x", 5, 3, 4)
SPLIT = {"test": {"blocks": 3, "samples": 120, "lacks": []}, "train": {}, "validation": {}}
FOUND = {"samples": 120, "kappa": 0.8123, "overall_accuracy": 0.9, "macro_f1": 0.7}


def box(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    return dict(shapely.geometry.mapping(shapely.box(west, south, east, north)))


def made(**changes: Any) -> Domain:
    """A domain of 2024 with everything known."""
    known = {
        "geometry": box(3.0, 50.0, 4.0, 51.0),
        "start": datetime(2024, 3, 1, tzinfo=UTC),
        "end": datetime(2024, 10, 27, tzinfo=UTC),
        "crs": "EPSG:32631",
        "resolution": 10.0,
        "sources": {"optical": ("S2", "sentinel-2-l2a"), "radar": ("S1", "sentinel-1-rtc")},
        "processing": {"composite": "max_gcvi", "scl_drop": [0, 1, 3]},
    }
    return Domain.model_validate({**known, **changes})


def test_a_job_within_the_domain_of_its_model_is_told_nothing() -> None:
    assert outside(made(), made()) == []
    assert outside(made(), made(geometry=box(3.2, 50.1, 3.4, 50.4))) == []
    more = made(sources={**made().sources, "thermal": ("landsat-c2-l2",)})
    assert outside(more, made()) == [], "what a model had beside is no matter"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"geometry": box(3.5, 50.0, 4.5, 51.0)},
            "50% of the area lies outside the area that the model was trained in",
        ),
        ({"geometry": box(9.0, 50.0, 9.5, 51.0)}, "100% of the area lies outside"),
        ({"geometry": box(3.0, -20.0, 4.0, -19.0)}, "south of the equator, the training's north"),
        ({"start": datetime(2025, 3, 1, tzinfo=UTC)}, "season from 2025-03-01 on is none that the model learnt from"),
        ({"start": datetime(2024, 9, 1, tzinfo=UTC)}, "begins on 09-01, the training's on 03-01"),
        ({"resolution": 20.0}, "pixels of 20 m, the training's were of 10 m"),
        ({"crs": "EPSG:3035"}, "a grid in EPSG:3035, the training's was in EPSG:32631"),
        (
            {"sources": {"optical": ("S2", "sentinel-2-l1c")}},
            "optical scenes of sentinel-2-l1c, the training's were of",
        ),
        ({"sources": {"optical": ("LC08", "S2", "sentinel-2-l2a")}}, "optical scenes of LC08"),
        (
            {"processing": {"composite": "median", "scl_drop": [0, 1, 3]}},
            "composite median, the training's with max_gcvi",
        ),
        ({"processing": {"scl_drop": [0]}}, "scl_drop 0, the training's with 0, 1, 3"),
    ],
)
def test_what_a_job_differs_in_is_told_in_words(changes: dict[str, Any], words: str) -> None:
    told = outside(made(), made(**changes))
    assert any(words in line for line in told), told


def test_the_share_outside_is_that_of_the_ground_and_the_distance_the_shorter_way_round() -> None:
    assert share_outside(made(), made(geometry=box(3.5, 50.0, 4.5, 51.0))) == pytest.approx(0.5, abs=1e-4)
    geod, wide = Geod(ellps="WGS84"), made(geometry=box(3.0, 0.0, 4.0, 80.0))
    expected = 1 - np.divide(
        *(geod.geometry_area_perimeter(shapely.box(3, s, 4, n))[0] for s, n in ((50, 51), (0, 80)))
    )
    assert share_outside(made(), wide) == pytest.approx(expected, abs=1e-3)
    fiji, west = made(geometry=box(179.0, -18.0, 179.9, -17.0)), made(geometry=box(-179.9, -18.0, -179.0, -17.0))
    told = outside(fiji, west)
    assert "21 km from it" in told[0], told


def test_what_a_package_does_not_say_is_said_to_be_unknown() -> None:
    bare = Domain(geometry=made().geometry, start=made().start, end=made().end)
    told = outside(bare, made())
    assert len(told) == 2 and "does not say on which grid" in told[0] and "what scenes" in told[1]


def test_a_domain_is_written_with_the_model_and_read_back(tmp_path: Path) -> None:
    domain = made(seasons=("2022-03-01", "2024-03-01"))
    write_model(CARD, b"x", str(tmp_path), domain)
    assert read_domain(str(tmp_path)).model_dump(mode="json") == domain.model_dump(mode="json")
    write_model(CARD, b"x", str(tmp_path), DOMAIN)
    assert read_domain(str(tmp_path)) == DOMAIN and DOMAIN.learnt_from == ("2018-01-01",)
    assert outside(domain, made(start=datetime(2022, 3, 1, tzinfo=UTC))) == []


def judged(**training: Any) -> Any:
    return CARD.model_copy(update={"training": {"split": SPLIT, "accuracy": FOUND, **training}})


def test_an_accuracy_says_whose_it_is() -> None:
    own = accuracy_of(judged(), made(), made())
    assert own["of_this_map"] and own["kappa"] == FOUND["kappa"]
    assert own["said"] == (
        "overall accuracy 0.900, kappa 0.812, macro-F1 0.700 on 120 samples of 3 test blocks of the model's training, "
        "which it never saw, season from 2024-03-01 on, known to 02-19"
    )
    later = accuracy_of(judged(), made(), made(start=datetime(2025, 3, 1, tzinfo=UTC)))
    assert not later["of_this_map"] and later["said"].startswith(own["said"])
    assert "not this map's: that is of the season from 2025-03-01 on" in later["said"]
    away = accuracy_of(judged(), made(), made(geometry=box(3.5, 50.0, 4.5, 51.0)))
    assert "50% of its area lies outside the training's" in away["said"]
    assert accuracy_of(judged(), made())["of_this_map"] is None
    assert accuracy_of(judged(accuracy={}), made(), made())["said"] == "not known"
    known = {**FOUND, "samples": 60, "kappa": 0.95}
    told = accuracy_of(judged(accuracy={**FOUND, "unknown_share": 0.5, "of_known_classes": known}), made())
    assert told["kappa"] == 0.8123 and told["said"].startswith(
        "overall accuracy 0.900, kappa 0.812, macro-F1 0.700 with all labelled classes counted, 50% of the labelled "
        "land being of classes that the model does not know; overall accuracy 0.900, kappa 0.950, macro-F1 0.700 of "
        "those it knows on 120 samples of"
    )


def test_a_cut_off_that_was_not_tested_has_no_figure_but_its_neighbours() -> None:
    rows = [
        {**FOUND, "steps": n, "last_day": day, "kappa": k} for n, day, k in ((9, "03-31", 0.252), (20, "07-19", 0.7))
    ]
    found = accuracy_of(judged(accuracy={"steps": 17, "last_day": "06-19", "tested": rows}), made(), made())
    assert "kappa" not in found and found["cut_off"] == found["last_day"] == "06-18"
    said = found["said"]
    assert said.startswith("not tested at the cut-off 06-18; known to 03-30:") and "kappa 0.252" in said
    assert "known to 07-18:" in said and "kappa 0.700" in said, "in 2024, a leap year, a day earlier"


def year(number: int, end: str = "12-01") -> dict[str, Any]:
    return {"start": datetime(number, 1, 1, tzinfo=UTC), "end": datetime.fromisoformat(f"{number}-{end}T00:00:00Z")}


@pytest.mark.parametrize(
    ("changes", "steps", "last"),
    [
        (year(2024), 34, "11-30"),  # 34 steps of 10 days reach to 12-05
        (year(2023), 34, "11-30"),
        (year(2024, "12-06"), 34, "12-05"),
        (year(2023, "12-07"), 34, "12-06"),
        (year(2023), 10, "04-10"),
        ({**year(2024), "seasons": ("2023-01-01", "2024-01-01")}, 34, "11-30"),
        ({**year(2024), "seasons": ("2023-01-01", "2024-01-01")}, 10, "04-09"),
        ({**year(2024), "end": datetime(2025, 1, 1, tzinfo=UTC)}, 37, "12-31"),
        ({**year(2024), "end": datetime(2025, 2, 1, tzinfo=UTC)}, 40, "01-31"),
        ({"start": datetime(2024, 1, 1, tzinfo=UTC), "end": datetime(2024, 2, 29, 10, 0, 1, tzinfo=UTC)}, 7, "02-28"),
        ({"start": datetime(2023, 6, 1, tzinfo=UTC), "end": datetime(2022, 12, 1, tzinfo=UTC)}, 3, "01-30"),
    ],
)
def test_the_cut_off_that_is_named_never_lies_after_the_season_s_end(
    changes: dict[str, Any], steps: int, last: str
) -> None:
    assert known_to(steps, CARD, made(**changes)) == last


def test_a_held_out_season_of_another_year_ends_on_its_own_last_day() -> None:
    split = {**SPLIT, "seasons": [{"season": "2023-01-01", "train": 0, "test": 7}]}
    card = judged(split=split, accuracy={**FOUND, "steps": 34, "last_day": "12-06"})
    found = accuracy_of(card, made(**year(2024)))
    assert found["cut_off"] == found["last_day"] == "11-30" and found["said"].endswith("known to 11-30")


def test_a_season_or_a_region_that_was_held_out_is_named() -> None:
    seasons = [{"season": "2023-03-01", "train": 9, "test": 0}, {"season": "2024-03-01", "train": 0, "test": 7}]
    held = accuracy_of(
        judged(split={**SPLIT, "seasons": seasons, "regions": []}), made(seasons=("2023-03-01",)), made()
    )
    assert "a season held out of the training, season from 2024-03-01 on" in held["said"] and held["of_this_map"]
    regions = [{"region": "south", "train": 0, "test": 7}, {"region": "east", "train": 0, "test": 0}]
    held = accuracy_of(judged(split={**SPLIT, "seasons": [], "regions": regions}), made())
    assert "the region south, held out of the training" in held["said"] and "east" not in held["said"]
    fields = {"optimistic": ["fields are cut"]}
    assert accuracy_of(judged(split={**SPLIT, "fields": fields}), made())["said"].endswith(
        "; optimistic: fields are cut"
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("portion", [7, 100, 5000])
def test_values_beyond_the_trainings_range_are_counted_as_a_slow_search_does(seed: int, portion: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-0.3, 1.3, (5, 3, 1, 900)).astype(np.float32)  # (t, f, y, x)
    x[:, 1, 0, rng.random(900) < 0.3] = np.nan
    features, counted, calls = FeatureBlock(x, np.ones((1, 900), bool)), Ranges(CARD), []
    watched = counted.watching(lambda block, rows, cols: calls.append(len(rows)))
    for start in range(0, 900, portion):
        cols = np.arange(start, min(start + portion, 900))
        watched(features, np.zeros_like(cols), cols)
    assert sum(calls) == 900
    seen = x[:, :, 0, ::SAMPLED]
    told = ranges(CARD, [counted.told(), counted.told()])
    for f, name in enumerate(CARD.recipe.features):
        values = seen[:, f][~np.isnan(seen[:, f])]
        assert told[name]["below"] == pytest.approx((values < np.float32(CARD.lower[f])).mean(), abs=1e-6)
        assert told[name]["above"] == pytest.approx((values > np.float32(CARD.upper[f])).mean(), abs=1e-6)
    assert len(beyond(told)) == 3 and "below" in beyond(told)[0]


def test_a_usual_share_beyond_the_range_is_no_news_and_a_feature_never_seen_has_none() -> None:
    assert beyond({"ndvi": {"below": 0.01, "above": 0.02}}) == []
    assert ranges(CARD, [{name: [0, 0, 0] for name in ("values", "below", "above")}]) == {}
    assert ranges(CARD, []) == {}
