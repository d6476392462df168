"""What a job asks of a model's familiarity: left out and told, or refused, where the model cannot tell it."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import InputError
from engine.ledger import Record
from jobs.familiar import output_of, refuse_untold, said_before, unfamiliar_report
from jobs.notes import said_of_unfamiliar
from jobs.spec import Spec, parse_spec
from tests.engine.made_models import made_card

OLD = made_card(b"x")
TELLS = OLD.model_copy(update={"familiarity_sha256": "a" * 64})


def spec(**output: Any) -> Spec:
    """A job that maps with a model that is there."""
    return parse_spec(
        {
            "name": "made",
            "area": {"bbox": [3.0, 50.0, 3.1, 50.1]},
            "season": {"start": "2018-01-01", "end": "2018-12-01"},
            "grid": {"crs": "EPSG:32631", "resolution": 10},
            "inputs": {"optical": {"catalog": "items.ndjson", "collection": "sentinel-2-l2a"}},
            "cube": {"uri": "cube.zarr"},
            "model": {"uri": "model"},
            "output": {"uri": "map", **output},
        }
    )


def test_an_older_model_maps_without_the_layer_and_that_is_said() -> None:
    refuse_untold(spec(), OLD)
    assert output_of(spec(), OLD).products == ("class", "confidence") and not output_of(spec(), OLD).tells
    assert "no layer familiarity" in " ".join(said_before(spec(), OLD))
    assert output_of(spec(), TELLS).products == ("class", "confidence", "familiarity")
    assert list(said_before(spec(), TELLS)) == [] == list(said_before(spec(products=["class"]), OLD))


@pytest.mark.parametrize(
    "output",
    [{"products": ["class", "familiarity"]}, {"products": ["familiarity"]}, {"unfamiliar": "mask"},
     {"products": ["class"], "unfamiliar": "mask"}],
)  # fmt: skip
def test_what_is_asked_for_by_name_is_refused_where_the_model_cannot_give_it(output: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"cannot tell what it is.*train this one anew"):
        refuse_untold(spec(**output), OLD)
    refuse_untold(spec(**output), TELLS)


@pytest.mark.parametrize("masked", [False, True])
def test_the_report_says_how_much_of_the_land_mapped_was_unfamiliar_by_class(masked: bool) -> None:
    told = {"0": 30, "1": 10}
    left = {"0": 70, "1": 10} if masked else {"0": 100, "1": 20}
    bodies: list[dict[str, Any]] = [{"pixels": {**left, "255": 7}, "unfamiliar": told}, {"empty": True}]
    records = [Record(f"r{i}", 1, "key", "written", 1, body) for i, body in enumerate(bodies)]
    facts = unfamiliar_report(spec(unfamiliar="mask" if masked else "keep"), records, TELLS, {"r0": 0.01, "r1": 0.01})
    assert facts is not None and facts["masked"] is masked and facts["below"] == 5
    assert facts["share"] == pytest.approx(40 / 120, abs=1e-6) and facts["km2"] == pytest.approx(0.4)
    assert [facts["by_class"][name]["share"] for name in ("crop 0", "crop 1", "crop 2")] == [0.3, 0.5, None]
    said = " ".join(said_of_unfamiliar(facts))
    assert "33.3% of the land mapped, 0.4 km2" in said and "crop 1 50%, crop 0 30%" in said
    assert ("masked" in said) is masked
    assert unfamiliar_report(spec(), records[1:], TELLS, 0.01) is None
