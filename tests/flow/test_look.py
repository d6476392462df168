"""Before work starts some scenes' pixels are looked at: what they cannot be is refused with scenes and remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from engine.errors import InputError
from engine.plan import Plan
from jobs.demo import Country
from jobs.look import looked
from jobs.pinned import fresh_plan, pin, pinned_plan
from jobs.spec import load_spec
from tests.flow.archive import Archive, Document
from tests.flow.conftest import inputs, made_job
from tests.flow.flow import Job, tilth

S2, S1, SR, ST = "sentinel-2-l2a", "sentinel-1-rtc", "landsat-c2-l2", "landsat-c2-l2-st"
BANDS = ("blue", "green", "red", "nir", "swir16")


def job_on(archive: Archive, country: Country, place: Path, *sensors: str) -> Job:
    """A job on the archive's scenes of these sensors."""
    archive.save()
    found = inputs(str(archive.catalog))
    found["optical"] = found["optical"][:1]  # Sentinel-2 alone
    return made_job(country, place).with_({"inputs": {sensor: found[sensor] for sensor in sensors}})


def look_at(job: Job) -> Plan:
    spec = load_spec(job.yaml)
    return looked(spec, fresh_plan(spec))


def rewritten(
    archive: Archive, collection: str, change: Callable[[NDArray], NDArray], *assets: str, dtype: str = ""
) -> None:
    """Other numbers, and where given another data type, in these assets of all the collection's scenes."""
    for name in archive.of(collection):
        for key in assets:
            path = archive.path(name, key)
            with rasterio.open(path) as source:
                values, profile = source.read(1), source.profile
            path.unlink()
            plain = {k: profile[k] for k in ("crs", "transform", "height", "width", "nodata")}
            dtype = dtype or profile["dtype"]
            if np.issubdtype(np.dtype(dtype), np.integer) and plain["nodata"] is not None and np.isnan(plain["nodata"]):
                plain["nodata"] = None
            with rasterio.open(path, "w", driver="GTiff", count=1, dtype=dtype, **plain) as target:
                target.write(change(values.astype(np.float64)).astype(dtype), 1)
        archive.seal(name)


def stated(archive: Archive, collection: str, **properties: object) -> list[Document]:
    """The collection's items, with these properties."""
    found = [archive.items[name] for name in archive.of(collection)]
    for item in found:
        item["properties"] |= {key.replace("__", ":"): value for key, value in properties.items()}
    return found


def raster_says(items: list[Document], *assets: str, **facts: object) -> None:
    """What raster:bands states of these assets; None: nothing."""
    for item in items:
        for key in assets:
            band = item["assets"][key]["raster:bands"][0]
            for fact, value in facts.items():
                band.pop(fact, None) if value is None else band.update({fact: value})


def test_the_made_country_passes_and_the_audit_says_that_it_was_looked_at(country: Country, tmp_path: Path) -> None:
    job = made_job(country, tmp_path)
    plan = look_at(job)
    assert plan.items == fresh_plan(load_spec(job.yaml)).items
    said = [line for line in plan.audit if "looked at" in line]
    assert len(said) == 1 and "of 4 sources were looked at" in said[0], plan.audit
    assert not [line for line in plan.audit if line.startswith("doubtful")]


REFUSED = {
    "an offset taken off twice": (
        S2, "optical", lambda a: (stated(a, S2, earthsearch__boa_offset_applied=False), raster_says(
            stated(a, S2), *BANDS, offset=-0.1)), ("too low", "without it already", "offset: verify"),
    ),
    "an offset not taken off": (
        S2, "optical", lambda a: rewritten(a, S2, lambda v: v + 1000, *BANDS),
        ("too high", "no offset is applied as the items say", "offset: verify"),
    ),
    "reflectance not scaled": (
        S2, "optical", lambda a: raster_says(stated(a, S2), *BANDS, scale=1.0), ("above 1.5", "raster:bands"),
    ),
    "reflectance scaled twice": (
        S2, "optical", lambda a: rewritten(a, S2, lambda v: v * 1e-4, *BANDS, dtype="float32"),
        ("below", "raster:bands"),
    ),
    "a cloud probability as scene classes": (
        S2, "optical", lambda a: rewritten(a, S2, lambda v: np.where(v >= 8, 60 + 3 * v, 1.0 * (v == 3)), "scl"),
        ("mask", "scl", "scene classes"),
    ),
    "Fmask as scene classes": (
        S2, "optical", lambda a: rewritten(
            a, S2, lambda v: np.select([v >= 8, v == 3, v == 6], [4, 2, 1], 0), "scl"),
        ("fill where the bands have values", "scene classes"),
    ),
    "decibels": (
        S1, "radar", lambda a: rewritten(a, S1, lambda v: 10 * np.log10(v), "vv", "vh"), ("decibels", "linear power"),
    ),
    "amplitudes": (
        S1, "radar", lambda a: rewritten(a, S1, np.sqrt, "vv", "vh"), ("square roots of power", "linear power"),
    ),
    "digital numbers": (
        S1, "radar", lambda a: rewritten(a, S1, lambda v: 600 * np.sqrt(v), "vv", "vh", dtype="uint16"),
        ("amplitudes or numbers that were not scaled", "linear power"),
    ),
    "power times 10,000": (
        S1, "radar", lambda a: rewritten(a, S1, lambda v: 1e4 * v, "vv", "vh"), ("not scaled", "linear power"),
    ),
    "polarisations exchanged": (
        S1, "radar", lambda a: [i["assets"].update(vv=i["assets"]["vh"], vh=i["assets"]["vv"]) for i in stated(a, S1)],
        ("exchanged", "inputs.radar.assets"),
    ),
    "degrees Celsius": (
        ST, "thermal", lambda a: raster_says(stated(a, ST), "lwir11", offset=149.0 - 273.15),
        ("Celsius", "kelvin"),
    ),
    "temperature without its offset": (
        ST, "thermal", lambda a: raster_says(stated(a, ST), "lwir11", offset=0.0),
        ("numbers without", "kelvin"),
    ),
    "scene classes as Landsat's bits": (
        ST, "thermal", lambda a: rewritten(a, ST, lambda v: 4.0 + (v != 21824), "qa_pixel"),
        ("no class of qa_pixel", "QA_PIXEL"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_land_looks_like_is_refused_with_scenes_numbers_and_remedy(
    case: str, country: Country, archive: Archive, tmp_path: Path
) -> None:
    collection, sensor, change, words = REFUSED[case]
    change(archive)
    with pytest.raises(InputError) as caught:
        look_at(job_on(archive, country, tmp_path / "run", sensor))
    error = caught.value
    text = str(error)
    print(text)
    assert error.exit_code == 2 and error.place.startswith(f"inputs.{sensor}: {collection}")
    assert [word for word in words if word not in text] == []
    assert any(name in text for name in archive.of(collection)), "the scenes are named"
    assert error.expected and error.remedy


def test_a_shift_of_the_baseline_s_change_is_refused_and_verified(
    country: Country, archive: Archive, tmp_path: Path
) -> None:
    """From some day on the counts hold an offset, as the new baseline's do, and the catalogue does not say so."""
    names = archive.of(S2)
    later = names[len(names) // 2 :]
    for name in later:
        archive.change(name, lambda v: np.where(v > 0, v + 1000, 0), *BANDS)
        archive.items[name]["properties"]["s2:processing_baseline"] = "05.11"
    job = job_on(archive, country, tmp_path / "run", "optical")
    with pytest.raises(InputError, match="too high") as caught:
        look_at(job)
    assert "baseline 05.11" in caught.value.place
    plan = look_at(job.with_({"inputs.optical": [{**job.spec["inputs"]["optical"][0], "offset": "verify"}]}))
    changed = {item.id for item in plan.items if item.assets["red"].offset == -0.1}
    assert changed == {item.id for item in plan.items} & set(later)
    spec = load_spec(job.yaml)
    pin(spec, plan)
    again = pinned_plan(spec)
    assert again.items == plan.items and again.audit == plan.audit, "a resume uses the same offsets"
    (said,) = [line for line in plan.audit if "as their pixels tell" in line]
    assert "offset -0.1 for" in said and "against the items' 0" in said
    assert not [line for line in plan.audit if line.startswith("doubtful")]


def test_verify_changes_single_items_where_the_catalogue_is_right_about_the_others(
    country: Country, archive: Archive, tmp_path: Path
) -> None:
    names = archive.of(S2)
    wrong = names[3::4]
    for name in wrong:
        item = archive.items[name]
        item["properties"]["earthsearch:boa_offset_applied"] = False
        raster_says([item], *BANDS, offset=0)
        archive.change(name, lambda v: np.where(v > 0, v + 1000, 0), *BANDS)
    for name in set(names) - set(wrong):
        raster_says([archive.items[name]], *BANDS, offset=0)
    job = job_on(archive, country, tmp_path / "run", "optical")
    plan = look_at(job.with_({"inputs.optical": [{**job.spec["inputs"]["optical"][0], "offset": "verify"}]}))
    changed = {item.id for item in plan.items if item.assets["red"].offset == -0.1}
    assert changed and changed <= set(wrong)


def test_on_bright_land_a_jump_where_the_baseline_changes_is_refused(
    country: Country, archive: Archive, tmp_path: Path
) -> None:
    """Nothing dark tells where reflectance stands, but the same ground cannot be 0.1 brighter from one date on."""
    names = archive.of(S2)
    sand = dict(zip(BANDS, (0.15, 0.26, 0.40, 0.52, 0.62), strict=True))
    for i, name in enumerate(names):
        for band, level in sand.items():
            rng = np.random.default_rng([i, *band.encode()])
            plus = 1000 if i >= len(names) // 2 else 0
            archive.change(name, lambda v, g=rng, r=level, p=plus: r * 1e4 + p + g.normal(0, 80, v.shape), band)
        archive.change(name, lambda v: np.full_like(v, 5), "scl")
        archive.items[name]["properties"]["s2:processing_baseline"] = "05.11" if i >= len(names) // 2 else "05.10"
    job = job_on(archive, country, tmp_path / "run", "optical")
    with pytest.raises(InputError, match="every band of the same ground jumps by") as caught:
        look_at(job)
    assert "+0.1" in str(caught.value) and "baseline 05.10 with offset 0 to baseline 05.11" in str(caught.value)


def test_a_source_of_which_nothing_can_be_read_is_refused_and_one_broken_scene_is_told(
    country: Country, archive: Archive, tmp_path: Path
) -> None:
    names = archive.of(S1)
    for name in names[::2]:
        archive.path(name, "vv").write_bytes(b"no raster")
    job = job_on(archive, country, tmp_path / "run", "radar")
    assert any("could not be looked at, the first: item" in line for line in look_at(job).audit)
    for name in names:
        archive.path(name, "vv").write_bytes(b"no raster")
    with pytest.raises(InputError, match="no scene looked at can be read"):
        look_at(job)


def test_the_command_ends_with_2_before_anything_is_written_and_without_a_look_goes_on(
    country: Country, archive: Archive, tmp_path: Path
) -> None:
    rewritten(archive, S1, np.sqrt, "vv", "vh")
    job = job_on(archive, country, tmp_path / "run", "radar").with_({"model.features": ["vv", "vh"]})
    for command in (["submit", job.yaml], ["submit", job.yaml, "--dry-run"], ["plan", job.yaml, "--look"]):
        told = tilth(*command, expect=2)
        assert "square roots of power" in told.err and "remedy: " in told.err
    assert not Path(job.map).exists() and not Path(job.cube).exists()
    told = tilth("plan", job.yaml)
    assert "pixels were not looked at" in told.out
    told = tilth("submit", job.yaml, "--dry-run", "--no-look")
    assert "pixels were not looked at" in told.out
    wrong = made_job(country, tmp_path / "other")
    optical = [{**wrong.spec["inputs"]["optical"][0], "offset": "verify"}]
    told = tilth("submit", wrong.with_({"inputs.optical": optical}).yaml, "--no-look", expect=2)
    assert "inputs.optical.offset: verify, and --no-look" in told.err
