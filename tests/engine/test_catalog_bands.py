"""Several bands in one asset, told by eo:bands, by STAC 1.1 bands or by the user as KEY#2; and what is pinned."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pystac
import pytest

from engine.bands import OPTICAL_BANDS
from engine.catalog import SourceOptions, read_items, resolve, write_items
from engine.catalog.resolution import resolve_explained
from engine.claims import Claim
from engine.errors import InputError

ORDER = ("swir16", "nir", "red", "green", "blue")
NAMES = ("B11", "B08", "B04", "B03", "B02")
ALL = {**dict.fromkeys(OPTICAL_BANDS, "all"), "mask": "SCL"}


def scene(fields: dict[str, Any]) -> pystac.Item:
    """A Sentinel-2 scene whose bands lie in one file."""
    item = pystac.Item(
        "S2A_31UFS_20240501", {"type": "Polygon", "coordinates": [[[3, 50], [4, 50], [4, 51], [3, 50]]]},
        [3, 50, 4, 51], datetime(2024, 5, 1, tzinfo=UTC),
        {"platform": "sentinel-2a", "s2:processing_baseline": "05.10"},
    )  # fmt: skip
    item.add_asset("all", pystac.Asset("https://example.org/all.tif", extra_fields=fields))
    item.add_asset("SCL", pystac.Asset("https://example.org/SCL.tif"))
    return item


def source(**changes: Any) -> SourceOptions:
    return SourceOptions(**{"catalog": "https://example.org/c.json", "collection": "c", "assets": ALL, **changes})


def numbers(item: pystac.Item, **changes: Any) -> list[int | str | None]:
    pinned = resolve(item, source(**changes), "optical")
    return [pinned.assets[band].item.band for band in OPTICAL_BANDS]


RASTER = [{"scale": 1e-4, "offset": -0.1, "nodata": i} for i in range(5)]
STATED: dict[str, dict[str, Any]] = {
    "common names": {"eo:bands": [{"name": n, "common_name": c} for n, c in zip(NAMES, ORDER, strict=True)]},
    "names": {"eo:bands": [{"name": name} for name in ORDER]},
    "STAC 1.1": {"bands": [{"name": n, "eo:common_name": c} for n, c in zip(NAMES, ORDER, strict=True)]},
}


@pytest.mark.parametrize("fields", STATED.values(), ids=STATED)
def test_each_band_of_one_file_is_found_by_the_items_own_list(fields: dict[str, Any]) -> None:
    assert numbers(scene(fields)) == [5, 4, 3, 2, 1]


def test_what_is_stated_of_a_band_is_that_of_its_place() -> None:
    pinned = resolve(scene({**STATED["common names"], "raster:bands": RASTER}), source(), "optical")
    assert [pinned.assets[band].item.nodata for band in OPTICAL_BANDS] == [4, 3, 2, 1, 0]
    assert pinned.assets["blue"].item.count == 5 and pinned.assets["mask"].item.band is None


@pytest.mark.parametrize("mark", ["#{number}", "#{name}"])
def test_the_user_names_a_band_by_number_or_name(mark: str) -> None:
    wanted = dict(zip(reversed(OPTICAL_BANDS), enumerate(ORDER, 1), strict=True))
    assets = {band: "all" + mark.format(number=i, name=name) for band, (i, name) in wanted.items()}
    assert numbers(scene({}), assets={**assets, "mask": "SCL"}) == (
        [5, 4, 3, 2, 1] if "number" in mark else list(reversed(ORDER))
    )
    assert numbers(scene(STATED["names"]), assets={**assets, "mask": "SCL"}) == [5, 4, 3, 2, 1]


def test_several_bands_of_which_none_is_ours_are_refused_with_their_names() -> None:
    fields = {"eo:bands": [{"name": "one"}, {"name": "two"}]}
    with pytest.raises(InputError, match=r"2 bands in one asset: 1 \(one\), 2 \(two\).*called blue.*KEY#2"):
        resolve(scene(fields), source(), "optical")


def test_pinned_items_carry_item_and_document_apart_and_old_ones_are_read() -> None:
    pinned, told = resolve_explained(scene(STATED["names"]), source(), "optical")
    blue = pinned.assets["blue"]
    assert (blue.item.scale, blue.family.scale, blue.family.offset) == (None, 1e-4, -0.1)
    assert "a scale in the file's header counts instead" in told
    content = write_items([pinned])
    assert read_items(content) == (pinned,)
    record = json.loads(content)
    for asset in record["assets"].values():
        for name in ("item", "family", "line"):
            asset.pop(name)
        asset |= {"scale": 1e-4, "offset": -0.1, "nodata": 0.0}
    old = read_items(json.dumps(record).encode())[0]
    assert old.assets["blue"].item == Claim(1e-4, -0.1, 0.0) and old.identity != pinned.identity


@pytest.mark.parametrize("fields", ["eo:bands", "bands"])
def test_an_asset_that_is_called_another_colour_is_refused(fields: str) -> None:
    item = scene({})
    for key, common in zip(
        ("blue", "green", "red", "nir", "swir16"), ("blue", "green", "nir", "red", "swir16"), strict=True
    ):
        word = "common_name" if fields == "eo:bands" else "eo:common_name"
        item.add_asset(key, pystac.Asset(f"https://example.org/{key}.tif", extra_fields={fields: [{word: common}]}))
    with pytest.raises(InputError, match="calls its band nir") as told:
        resolve(item, source(assets={"mask": "SCL"}), "optical")
    assert "red" in told.value.expected and "inputs.*.assets" in told.value.remedy
    exchanged = {"mask": "SCL", "red": "nir", "nir": "red", "swir1": "swir16", "blue": "blue", "green": "green"}
    assert resolve(item, source(assets=exchanged), "optical").assets["red"].href.endswith("nir.tif")
